//! Versions that nobody removes before their time, as boto3 locks them and as clients of both faces try; and what
//! GetObjectAttributes tells.

mod attributes;
mod bucket;
mod version;
mod whose;

use apus_tests::boto;

/// Moments, the other face, and who is refused what is locked.
const PRELUDE: &str = r#"
from datetime import datetime, timedelta, timezone

now = datetime.now(timezone.utc).replace(microsecond=0)
soon, later, much_later = now + timedelta(days=1), now + timedelta(days=2), now + timedelta(days=3)
url = os.environ['AWS_ENDPOINT_URL']
asked = urllib.request.Request(url + '/auth/v1.0', headers={'X-Auth-User': 'test:tester', 'X-Auth-Key': 'testing'})
session = urllib.request.urlopen(asked).headers

def swift(method, path, body=None, **headers):
    headers = {'X-Auth-Token': session['X-Auth-Token'], **{k.replace('_', '-'): v for k, v in headers.items()}}
    request = urllib.request.Request(session['X-Storage-Url'] + '/' + path, method=method, headers=headers, data=body)
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code

def put(key, body=b'x', bucket='vault', **more):
    return owner.put_object(Bucket=bucket, Key=key, Body=body, **more)['VersionId']

def read(key, version, bucket='vault'):
    return owner.get_object(Bucket=bucket, Key=key, VersionId=version)['Body'].read()

def retain(key, mode, until, bypass=False, by=owner, **of):
    retention = {'Mode': mode, 'RetainUntilDate': until} if mode else {}
    by.put_object_retention(Bucket='vault', Key=key, Retention=retention, BypassGovernanceRetention=bypass, **of)

def retained(key, **of):
    found = owner.get_object_retention(Bucket='vault', Key=key, **of)['Retention']
    return found['Mode'], found['RetainUntilDate']

def hold(key, status, **of):
    owner.put_object_legal_hold(Bucket='vault', Key=key, LegalHold={'Status': status}, **of)

def is_kept(key, version, **more):
    refused('AccessDenied', owner.delete_object, Bucket='vault', Key=key, VersionId=version, **more)

def goes(key, version, **more):
    owner.delete_object(Bucket='vault', Key=key, VersionId=version, **more)
    refused('NoSuchKey', owner.get_object, Bucket='vault', Key=key, VersionId=version)

"#;

/// A bucket with object lock.
const VAULT: &str = "owner.create_bucket(Bucket='vault', ObjectLockEnabledForBucket=True)";

fn run(script: &str) {
    boto::story(&format!("{PRELUDE}{VAULT}\n{script}"));
}
