//! Lifecycles of buckets as boto3 knows them: their rules, and what goes by them. Proxies look by themselves nowhere here; each story
//! runs the pass, and days are as short as the configuration allows.

use apus_tests::boto::script;
use apus_tests::{Cluster, tools};
use tempfile::TempDir;

/// Ways to write rules and to run passes, and a bucket.
const PRELUDE: &str = r#"
import calendar, subprocess, threading
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

fn cluster(day: u64) -> Cluster {
    let lifecycle = format!("lifecycle = {{ interval = 0, day = {day} }}");
    Cluster::builder().without_passes().settings("proxy", &lifecycle).start()
}

fn tell(cluster: &mut Cluster, text: &str) {
    let folder = TempDir::new().expect("a temporary folder");
    let (proxy, node) = (cluster.proxy(0).config(), cluster.node(0).config());
    let whole = format!(
        "import os\nos.environ.update(APUS={:?}, PROXY_CONFIG={proxy:?}, NODE_CONFIG={node:?})\n{PRELUDE}\n{text}",
        tools::binary()
    );
    script(cluster, folder.path(), &whole);
}

#[test]
fn rules_come_back_as_they_were_or_are_refused() {
    let mut cluster = cluster(86_400);
    tell(
        &mut cluster,
        r#"
refused('NoSuchLifecycleConfiguration', owner.get_bucket_lifecycle_configuration, Bucket='pail')
one = dict(Expiration={'Days': 1})
refused('NoSuchBucket', owner.put_bucket_lifecycle_configuration, Bucket='none', LifecycleConfiguration={'Rules': [rule(**one)]})

# Every kind of rule, read as it was written.
kinds = [
    rule('days', 'logs/', Expiration={'Days': 30}),
    rule('off', 'x', 'Disabled', Expiration={'Days': 1}),
    rule('tag', Filter={'Tag': {'Key': 'a b', 'Value': 'c/d'}}, Expiration={'Days': 2}),
    rule('sizes', Filter={'And': {'ObjectSizeGreaterThan': 10, 'ObjectSizeLessThan': 20}}, Expiration={'Days': 3}),
    rule('and', Filter={'And': {'Prefix': 'é<', 'Tags': [{'Key': 'k', 'Value': ''}, {'Key': 'l', 'Value': 'm'}]}}, Expiration={'Days': 4}),
    rule('versions', NoncurrentVersionExpiration={'NoncurrentDays': 5, 'NewerNoncurrentVersions': 6},
         AbortIncompleteMultipartUpload={'DaysAfterInitiation': 7}, Expiration={'ExpiredObjectDeleteMarker': True}),
    {'ID': 'old', 'Prefix': 'old/', 'Status': 'Enabled', 'Expiration': {'Days': 8}},
]
answer = rules(*kinds)
assert stored() == kinds, stored()
answer = owner.get_bucket_lifecycle_configuration(Bucket='pail')
assert answer['TransitionDefaultMinimumObjectSize'] == 'all_storage_classes_128K', answer
rules(rule(Expiration={'Date': PAST}), TransitionDefaultMinimumObjectSize='varies_by_storage_class')
answer = owner.get_bucket_lifecycle_configuration(Bucket='pail')
assert (str(answer['Rules'][0]['Expiration']['Date']), answer['TransitionDefaultMinimumObjectSize']) == ('2020-01-01 00:00:00+00:00', 'varies_by_storage_class')

# One without an id gets one.
rules({'Filter': {}, 'Status': 'Enabled', 'Expiration': {'Days': 1}})
assert len(stored()[0]['ID']) == 32

# A thousand.
many = [rule(f'rule-{n}', f'tenants/{n:04}/', Expiration={'Days': n + 1}) for n in range(1000)]
rules(*many)
assert stored() == many

# What is refused changes nothing.
for code, bad in [
    ('MalformedXML', []),
    ('MalformedXML', many + [rule('more', **one)]),
    ('MalformedXML', [rule(status='enabled', **one)]),
    ('MalformedXML', [{'ID': 'neither', 'Status': 'Enabled', **one}]),
    ('InvalidRequest', [rule('both', Prefix='x', **one)]),
    ('InvalidRequest', [rule()]),
    ('InvalidArgument', [rule('same', **one), rule('same', **one)]),
    ('InvalidArgument', [rule('i' * 256, **one)]),
    ('InvalidArgument', [rule(Expiration={'Days': 0})]),
    ('InvalidArgument', [rule(Expiration={'Date': '2020-01-01T01:00:00Z'})]),
    ('InvalidArgument', [rule(NoncurrentVersionExpiration={'NoncurrentDays': 0})]),
    ('InvalidArgument', [rule(AbortIncompleteMultipartUpload={'DaysAfterInitiation': 0})]),
    ('InvalidRequest', [rule(Filter={'Tag': {'Key': 'k', 'Value': ''}}, AbortIncompleteMultipartUpload={'DaysAfterInitiation': 1})]),
    ('NotImplemented', [rule(Transitions=[{'Days': 1, 'StorageClass': 'GLACIER'}])]),
    ('NotImplemented', [rule(NoncurrentVersionTransitions=[{'NoncurrentDays': 1, 'StorageClass': 'GLACIER'}])]),
]:
    try:
        rules(*bad)
        raise SystemExit(f'{code} was expected of {bad}')
    except botocore.exceptions.ClientError as error:
        assert error.response['Error']['Code'] == code, (bad, error)
assert stored() == many

# The body has to be vouched for.
plain = boto3.client('s3', aws_access_key_id='test:tester', aws_secret_access_key='testing', config=Config(
    retries={'max_attempts': 1}, s3={'addressing_style': 'path'}, request_checksum_calculation='when_required'))
def strip(request, **_):
    for name in list(request.headers):
        if name.lower() == 'content-md5' or name.lower().startswith('x-amz-checksum'):
            del request.headers[name]
plain.meta.events.register_first('before-sign.s3.PutBucketLifecycleConfiguration', strip)
refused('InvalidRequest', plain.put_bucket_lifecycle_configuration, Bucket='pail', LifecycleConfiguration={'Rules': kinds[:1]})

# Rules are the owner's, unless a policy gives them away.
asks = lambda by, bucket='pail': by.get_bucket_lifecycle_configuration(Bucket=bucket)
for by, bucket in [(friend, 'pail'), (stranger, 'test:pail'), (nobody, 'test:pail')]:
    refused('AccessDenied', asks, by=by, bucket=bucket)
owner.put_bucket_policy(Bucket='pail', Policy=json.dumps({'Version': '2012-10-17', 'Statement': {
    'Effect': 'Allow', 'Principal': {'AWS': 'arn:aws:iam::test:user/tester3'}, 'Action': 's3:GetLifecycleConfiguration', 'Resource': 'arn:aws:s3:::pail'}}))
assert len(asks(friend)['Rules']) == 1000
refused('AccessDenied', friend.delete_bucket_lifecycle, Bucket='pail')

# Who reads or writes an object hears when it goes.
rules(rule('a rule', 'logs/', Expiration={'Days': 30}), rule('tagged', Filter={'Tag': {'Key': 'go', 'Value': 'soon'}}, Expiration={'Days': 1}))
def goes(answer):
    date, id = answer['Expiration'].rsplit(', ', 1)
    date = calendar.timegm(time.strptime(date, 'expiry-date="%a, %d %b %Y %H:%M:%S GMT"'))
    assert date % 86400 == 0, answer
    return round((date - time.time()) / 86400 - 0.5), id
assert goes(put('logs/a')) == (30, 'rule-id="a%20rule"'), goes(put('logs/a'))
assert goes(put('logs/b', Tagging='go=soon')) == (1, 'rule-id="tagged"')
for answer in [owner.head_object(Bucket='pail', Key='logs/b'), owner.get_object(Bucket='pail', Key='logs/b', Range='bytes=0-0')]:
    assert goes(answer) == (1, 'rule-id="tagged"')
assert goes(owner.copy_object(Bucket='pail', Key='logs/c', CopySource='pail/logs/b')) == (1, 'rule-id="tagged"')
assert 'Expiration' not in put('other') and 'Expiration' not in owner.head_object(Bucket='pail', Key='other')

owner.delete_bucket_lifecycle(Bucket='pail')
owner.delete_bucket_lifecycle(Bucket='pail')
refused('NoSuchLifecycleConfiguration', owner.get_bucket_lifecycle_configuration, Bucket='pail')
assert 'Expiration' not in owner.head_object(Bucket='pail', Key='logs/b')
"#,
    );
}

#[test]
fn what_is_over_its_time_goes_and_nothing_else() {
    let mut cluster = cluster(86_400);
    tell(
        &mut cluster,
        r#"
for key in ['logs/a', 'logs/b', 'log', 'other']:
    put(key)
put('tagged', Tagging='class=scratch&a=b')
put('tagged otherwise', Tagging='class=kept')
put('small', b'x' * 5)
put('large', b'x' * 5000)
put('both', b'x' * 500, Tagging='class=scratch')
name, made = upload('logs/parts', 2)
# All but the last have to have 5 MiB.
big = {'PartNumber': 1, 'ETag': owner.upload_part(**name, PartNumber=1, Body=b'p' * (5 << 20))['ETag']}
owner.complete_multipart_upload(**name, MultipartUpload={'Parts': [big, made['Parts'][1]]})
assert owner.head_object(Bucket='pail', Key='logs/parts')['ContentLength'] == (5 << 20) + 1 and len(parts()) == 2
rules(
    rule('logs', 'logs/', Expiration={'Date': PAST}),
    rule('off', 'other', 'Disabled', Expiration={'Date': PAST}),
    rule('later', 'other', Expiration={'Days': 1}),
    rule('tag', Filter={'Tag': {'Key': 'class', 'Value': 'scratch'}}, Expiration={'Date': PAST}),
    rule('large', Filter={'ObjectSizeGreaterThan': 4999}, Expiration={'Date': PAST}),
    rule('small', Filter={'And': {'ObjectSizeLessThan': 6, 'Prefix': 'sm'}}, Expiration={'Date': PAST}),
)
passes_until(lambda: keys() == ['log', 'other', 'tagged otherwise'])
for key in ['logs/a', 'logs/parts', 'tagged', 'large', 'small', 'both']:
    refused('404', owner.head_object, Bucket='pail', Key=key)
# The parts of the upload are the expirer's.
deadline = time.monotonic() + 60
while parts():
    passed('expire', os.environ['NODE_CONFIG'])
    assert time.monotonic() < deadline, parts()

# A bucket without rules is left alone, and so is one that is gone.
owner.delete_bucket_lifecycle(Bucket='pail')
put('logs/a')
owner.create_bucket(Bucket='gone')
rules(rule(Expiration={'Date': PAST}), bucket='gone')
owner.delete_bucket(Bucket='gone')
passed()
assert keys() == ['log', 'logs/a', 'other', 'tagged otherwise'], keys()
"#,
    );
}

#[test]
fn versions_markers_and_uploads_go_in_their_time() {
    let mut cluster = cluster(1);
    tell(
        &mut cluster,
        r#"
versioning = lambda status: owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': status})
put('before')
versioning('Enabled')
for n in range(4):
    put('many', str(n).encode())
put('before')
put('deleted')
owner.delete_object(Bucket='pail', Key='deleted')
deadline = time.monotonic() + 60
while versions() != {'many': (4, False), 'before': (2, False), 'deleted': (1, True)}:
    assert time.monotonic() < deadline, versions()

# What is not current goes after a day, which is a second here; two of them are kept.
rules(rule(NoncurrentVersionExpiration={'NoncurrentDays': 1, 'NewerNoncurrentVersions': 2}))
passes_until(lambda: versions().get('many') == (3, False))
left = [owner.get_object(Bucket='pail', Key='many', VersionId=v['VersionId'])['Body'].read()
        for v in owner.list_object_versions(Bucket='pail', Prefix='many')['Versions']]
assert left == [b'3', b'2', b'1'] and versions()['before'] == (2, False) and versions()['deleted'] == (1, True), versions()
rules(rule(NoncurrentVersionExpiration={'NoncurrentDays': 1}))
passes_until(lambda: versions() == {'many': (1, False), 'before': (1, False), 'deleted': (0, True)})

# A delete marker with nothing behind it goes when it is asked for.
rules(rule(Expiration={'ExpiredObjectDeleteMarker': True}))
passes_until(lambda: versions() == {'many': (1, False), 'before': (1, False)})

# The current version expires: there is a marker, and the version is one of the others.
rules(rule(prefix='many', Expiration={'Days': 1}))
passes_until(lambda: versions() == {'many': (1, True), 'before': (1, False)})
assert keys() == ['before']
rules(rule(Expiration={'Days': 1}, NoncurrentVersionExpiration={'NoncurrentDays': 1}))
passes_until(lambda: versions() == {})

# An upload that nobody completes goes with its parts; a younger one and a completed one stay.
rules(rule(prefix='up/', AbortIncompleteMultipartUpload={'DaysAfterInitiation': 1}))
done, made = upload('up/done')
owner.complete_multipart_upload(**done, MultipartUpload=made)
given_up, made = upload('up/lost', 2)
other, _ = upload('other')
passes_until(lambda: [u['Key'] for u in owner.list_multipart_uploads(Bucket='pail').get('Uploads', [])] == ['other'])
refused('NoSuchUpload', owner.complete_multipart_upload, **given_up, MultipartUpload=made)
assert owner.get_object(Bucket='pail', Key='up/done')['Body'].read() == b'p'
deadline = time.monotonic() + 60
while [name.split('/')[0] for name in parts()] != ['other', 'other', 'up'] or any('lost' in name for name in parts()):
    assert time.monotonic() < deadline, parts()
"#,
    );
}

#[test]
fn what_is_written_anew_meanwhile_stays() {
    let mut cluster = cluster(86_400);
    tell(
        &mut cluster,
        r#"
# Whatever is tagged so has expired; what takes its place has not. Passes go over the bucket all the time.
rules(rule(Filter={'Tag': {'Key': 'over', 'Value': 'yes'}}, Expiration={'Date': PAST}))
stop = threading.Event()
failures = []
def sweep():
    try:
        while not stop.is_set():
            # A removal that met a write may have to be tried again, and says so.
            passed(codes=(0, 1))
    except BaseException as error:
        failures.append(error)
sweepers = [threading.Thread(target=sweep) for _ in range(2)]
for sweeper in sweepers:
    sweeper.start()
for n in range(60):
    put(f'{n % 20}', b'old', Tagging='over=yes')
    put(f'{n % 20}', b'new %d' % n, Tagging='over=no')
stop.set()
for sweeper in sweepers:
    sweeper.join()
assert not failures, failures
for n in range(40, 60):
    assert owner.get_object(Bucket='pail', Key=f'{n % 20}')['Body'].read() == b'new %d' % n
put('0', b'old', Tagging='over=yes')
passes_until(lambda: len(keys()) == 19)
"#,
    );
}

/// Runs the pass of a proxy.
fn pass(cluster: &mut Cluster, arguments: &[&str]) -> String {
    let output = cluster.proxy(0).pass("lifecycle", arguments);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_killed_pass_is_gone_on_with_and_proxies_look_by_themselves() {
    let mut cluster =
        Cluster::builder().proxies(2).without_passes().settings("proxy", "lifecycle = { interval = 0 }").start();
    tell(&mut cluster, "put('a'); put('b'); rules(rule(Expiration={'Date': PAST}))");

    // It dies when the objects are gone, and before it has said so.
    assert!(cluster.proxy(0).pass_until("lifecycle", "lifecycle.page_done"));
    tell(&mut cluster, "assert keys() == [], keys()\nput('c')");
    let said = pass(&mut cluster, &[]);
    assert!(said.contains("expired 1"), "{said}");

    // A bucket without rules leaves no work.
    tell(
        &mut cluster,
        "assert keys() == [], keys()\nowner.delete_bucket_lifecycle(Bucket='pail')\nput('d')\npassed()\nassert keys() == ['d']",
    );

    // Two proxies that look by themselves.
    for i in 0..2 {
        let path = cluster.proxy(i).config();
        let text = std::fs::read_to_string(&path).expect("a configuration").replace("interval = 0", "interval = 1");
        std::fs::write(&path, text).expect("a configuration");
        cluster.proxy(i).kill();
        cluster.proxy(i).start(None);
    }
    tell(
        &mut cluster,
        r#"
rules(rule(Expiration={'Date': PAST}))
deadline = time.monotonic() + 60
while keys():
    assert time.monotonic() < deadline
"#,
    );
}
