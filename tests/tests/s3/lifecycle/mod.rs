//! Lifecycles of buckets as boto3 knows them: their rules, and what goes by them. Where proxies do not look by themselves,
//! each story runs the pass; days are as short as the configuration allows.

mod nodes;
mod removal;
mod rules;

use apus_tests::boto::script;
use apus_tests::{Cluster, tools};
use tempfile::TempDir;

/// Ways to write rules and to run passes, and a bucket.
const PRELUDE: &str = r#"
import calendar, re, subprocess, threading
import swiftclient

PAST = '2020-01-01T00:00:00Z'

def rule(id='r', prefix='', status='Enabled', **more):
    more.setdefault('Filter', {'Prefix': prefix})
    return {'ID': id, 'Status': status, **more}

def rules(*given, bucket='pail', **more):
    return owner.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={'Rules': list(given)}, **more)

def stored(bucket='pail'):
    return owner.get_bucket_lifecycle_configuration(Bucket=bucket)['Rules']

def passed(name='lifecycle', config=os.environ.get('PROXY_CONFIG'), codes=(0,)):
    done = subprocess.run([os.environ['APUS'], 'pass', name, '--once', '--config', config], capture_output=True, text=True)
    assert done.returncode in codes, done
    return done.stdout

# Listings and days come soon, but not at once.
def passes_until(wish):
    deadline = time.monotonic() + 60
    while not wish():
        passed()
        assert time.monotonic() < deadline, versions()

def put(key, body=b'x', **more):
    return owner.put_object(Bucket='pail', Key=key, Body=body, **more)

def keys():
    return [o['Key'] for o in owner.list_objects_v2(Bucket='pail').get('Contents', [])]

# Key, number of versions that are data, whether the newest is a delete marker.
def versions():
    listed, found = owner.list_object_versions(Bucket='pail'), {}
    for version in listed.get('Versions', []):
        found.setdefault(version['Key'], [0, False])[0] += 1
    for marker in listed.get('DeleteMarkers', []):
        found.setdefault(marker['Key'], [0, False])[1] |= marker['IsLatest']
    return {key: tuple(of) for key, of in found.items()}

def parts():
    swift = swiftclient.Connection(os.environ['ST_AUTH'], os.environ['ST_USER'], os.environ['ST_KEY'])
    return [row['name'] for row in swift.get_container('pail+segments')[1]]

def upload(key, count=1):
    id = owner.create_multipart_upload(Bucket='pail', Key=key)['UploadId']
    part = lambda n: {'PartNumber': n, 'ETag': owner.upload_part(Bucket='pail', Key=key, UploadId=id, PartNumber=n, Body=b'p')['ETag']}
    return dict(Bucket='pail', Key=key, UploadId=id), {'Parts': [part(n + 1) for n in range(count)]}

if not owner.list_buckets()['Buckets']:
    owner.create_bucket(Bucket='pail')
"#;

pub(super) fn cluster(day: u64) -> Cluster {
    let lifecycle = format!("lifecycle = {{ interval = 0, day = {day} }}");
    Cluster::builder().without_passes().settings("proxy", &lifecycle).start()
}

pub(super) fn tell(cluster: &mut Cluster, text: &str) {
    let folder = TempDir::new().expect("a temporary folder");
    let (proxy, node) = (cluster.proxy(0).config(), cluster.node(0).config());
    let whole = format!(
        "import os\nos.environ.update(APUS={:?}, PROXY_CONFIG={proxy:?}, NODE_CONFIG={node:?})\n{PRELUDE}\n{text}",
        tools::binary()
    );
    script(&*cluster, folder.path(), &whole);
}
