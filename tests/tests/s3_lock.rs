//! Versions that nobody removes before their time, as boto3 locks them and as clients of both faces try; and what
//! GetObjectAttributes tells.

use apus_tests::{Cluster, boto};
use tempfile::TempDir;

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

#[test]
fn a_locked_version_outlives_whatever_either_face_tries() {
    run(r#"
owner.create_bucket(Bucket='plain')
assert owner.get_bucket_versioning(Bucket='vault')['Status'] == 'Enabled'
strict = put('k', b'strict', ObjectLockMode='COMPLIANCE', ObjectLockRetainUntilDate=soon, Metadata={'a': 'b'}, Tagging='t=1')
assert put('k', b'newer') != strict

# Reads show it, and so does its own resource.
for look in [owner.head_object, owner.get_object]:
    seen = look(Bucket='vault', Key='k', VersionId=strict)
    assert (seen['ObjectLockMode'], seen['ObjectLockRetainUntilDate']) == ('COMPLIANCE', soon), seen
assert 'ObjectLockMode' not in owner.head_object(Bucket='vault', Key='k')
assert retained('k', VersionId=strict) == ('COMPLIANCE', soon)

# S3: alone, among others, with a bypass; only a marker is laid over it.
is_kept('k', strict)
is_kept('k', strict, BypassGovernanceRetention=True)
free = put('free')
told = owner.delete_objects(Bucket='vault', Delete={'Objects': [{'Key': 'k', 'VersionId': strict}, {'Key': 'free', 'VersionId': free}]}, BypassGovernanceRetention=True)
assert [(e['Key'], e['VersionId'], e['Code']) for e in told['Errors']] == [('k', strict, 'AccessDenied')], told
assert [d['Key'] for d in told['Deleted']] == ['free'], told
assert owner.delete_object(Bucket='vault', Key='k')['DeleteMarker']

# Swift: by its id, with segments, by taking away what the bucket is.
for path in [f'vault/k?version-id={strict}', f'vault/k?version-id={strict}&multipart-manifest=delete']:
    assert swift('DELETE', path) in (403, 200), path
    assert read('k', strict) == b'strict'
assert swift('DELETE', f'vault/k?version-id={strict}') == 403
assert swift('POST', 'vault', X_Versions_Enabled='false') == 409
assert swift('PUT', 'vault', X_Versions_Enabled='false') == 409
assert swift('POST', 'vault', X_History_Location='plain') == 409
assert swift('DELETE', 'vault') == 409
refused('InvalidBucketState', owner.put_bucket_versioning, Bucket='vault', VersioningConfiguration={'Status': 'Suspended'})
refused('BucketNotEmpty', owner.delete_bucket, Bucket='vault')

# New metadata for the current version leaves its lock, and that of the others.
held = put('k', b'held', ObjectLockLegalHoldStatus='ON')
retain('k', 'GOVERNANCE', soon)
assert swift('POST', 'vault/k', X_Object_Meta_Color='blue', X_Delete_After='1000') == 202
seen = owner.head_object(Bucket='vault', Key='k', VersionId=held)
assert metadata(seen) == {'color': 'blue'} and seen['ObjectLockLegalHoldStatus'] == 'ON', seen
assert retained('k', VersionId=held) == ('GOVERNANCE', soon)
assert swift('DELETE', 'vault/k') == 204 and swift('PUT', 'vault/k', b'over') == 201
assert read('k', held) == b'held' and read('k', strict) == b'strict'

# A lock that is put changes nothing else: neither metadata nor tags, nor when the object was stored.
before = owner.head_object(Bucket='vault', Key='k', VersionId=strict)
retain('k', 'COMPLIANCE', later, VersionId=strict)
hold('k', 'ON', VersionId=strict)
after = owner.head_object(Bucket='vault', Key='k', VersionId=strict)
assert metadata(after) == {'a': 'b'} and after['TagCount'] == 1
assert (before['LastModified'], before['ETag']) == (after['LastModified'], after['ETag'])
owner.put_object_tagging(Bucket='vault', Key='k', VersionId=strict, Tagging={'TagSet': []})
hold('k', 'OFF', VersionId=strict)
assert retained('k', VersionId=strict) == ('COMPLIANCE', later)
assert owner.get_object_legal_hold(Bucket='vault', Key='k', VersionId=strict)['LegalHold']['Status'] == 'OFF'
is_kept('k', strict)

# Copies are free, here and elsewhere.
source = {'Bucket': 'vault', 'Key': 'k', 'VersionId': strict}
copy = owner.copy_object(Bucket='vault', Key='copy', CopySource=source)['VersionId']
owner.copy_object(Bucket='plain', Key='copy', CopySource=source)
assert swift('PUT', 'vault/copied', b'', X_Copy_From='/vault/k') == 201
goes('copy', copy)
refused('NoSuchObjectLockConfiguration', owner.get_object_retention, Bucket='vault', Key='copied')
"#);
}

#[test]
fn retentions_grow_and_holds_end() {
    run(r#"
# What compliance retains, nobody shortens.
strict = put('strict')
refused('NoSuchObjectLockConfiguration', owner.get_object_retention, Bucket='vault', Key='strict')
refused('NoSuchObjectLockConfiguration', owner.get_object_legal_hold, Bucket='vault', Key='strict')
retain('strict', 'COMPLIANCE', later)
retain('strict', 'COMPLIANCE', much_later)
for mode, until in [('COMPLIANCE', later), ('GOVERNANCE', much_later), (None, None)]:
    for bypass in [False, True]:
        refused('AccessDenied', retain, key='strict', mode=mode, until=until, bypass=bypass)
assert retained('strict') == ('COMPLIANCE', much_later)

# What governance retains, those shorten and remove who have the right and say so.
loose = put('loose', ObjectLockMode='GOVERNANCE', ObjectLockRetainUntilDate=later)
retain('loose', 'GOVERNANCE', much_later)
for mode, until in [('GOVERNANCE', later), ('COMPLIANCE', much_later), (None, None)]:
    refused('AccessDenied', retain, key='loose', mode=mode, until=until)
retain('loose', 'GOVERNANCE', soon, bypass=True)
is_kept('loose', loose)
goes('loose', loose, BypassGovernanceRetention=True)
again = put('loose', ObjectLockMode='GOVERNANCE', ObjectLockRetainUntilDate=later)
retain('loose', None, None, bypass=True)
goes('loose', again)

# A hold is beside all that.
held = put('held', ObjectLockLegalHoldStatus='ON')
is_kept('held', held, BypassGovernanceRetention=True)
hold('held', 'OFF')
goes('held', held)

# What is over binds nobody.
brief = put('brief', ObjectLockMode='COMPLIANCE', ObjectLockRetainUntilDate=datetime.now(timezone.utc) + timedelta(seconds=2))
is_kept('brief', brief)
while datetime.now(timezone.utc) < owner.head_object(Bucket='vault', Key='brief')['ObjectLockRetainUntilDate']:
    time.sleep(0.1)
goes('brief', brief)

# What makes no sense.
refused('InvalidArgument', put, key='bad', ObjectLockMode='COMPLIANCE')
refused('InvalidArgument', put, key='bad', ObjectLockMode='COMPLIANCE', ObjectLockRetainUntilDate=now - timedelta(days=1))
refused('InvalidArgument', put, key='bad', ObjectLockLegalHoldStatus='MAYBE')
refused('MalformedXML', retain, key='strict', mode='governance', until=later)
refused('MalformedXML', hold, key='strict', status='MAYBE')
refused('NoSuchKey', retain, key='none', mode='GOVERNANCE', until=later)
"#);
}

#[test]
fn a_bucket_retains_what_comes_without_a_retention() {
    run(r#"
def configure(bucket='vault', **default):
    rule = {'Rule': {'DefaultRetention': default}} if default else {}
    owner.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration={'ObjectLockEnabled': 'Enabled', **rule})

def configured(bucket='vault'):
    return owner.get_object_lock_configuration(Bucket=bucket)['ObjectLockConfiguration']

def is_about(moment, days):
    return abs(moment - datetime.now(timezone.utc) - timedelta(days=days)) < timedelta(minutes=10)

assert configured() == {'ObjectLockEnabled': 'Enabled'}
refused('MalformedXML', configure, Mode='GOVERNANCE', Days=1, Years=1)
refused('InvalidRetentionPeriod', configure, Mode='GOVERNANCE', Days=0)
before = put('before')

# An upload that is open when the rule comes, and one that says its own.
upload = owner.create_multipart_upload(Bucket='vault', Key='parts')['UploadId']
own = owner.create_multipart_upload(Bucket='vault', Key='own', ObjectLockMode='COMPLIANCE', ObjectLockRetainUntilDate=soon, ObjectLockLegalHoldStatus='ON')['UploadId']
configure(Mode='GOVERNANCE', Days=30)
assert configured()['Rule']['DefaultRetention'] == {'Mode': 'GOVERNANCE', 'Days': 30}
versions = {}
for key, id in [('parts', upload), ('own', own)]:
    part = owner.upload_part(Bucket='vault', Key=key, UploadId=id, PartNumber=1, Body=b'p' * 100)
    whole = {'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]}
    versions[key] = owner.complete_multipart_upload(Bucket='vault', Key=key, UploadId=id, MultipartUpload=whole)['VersionId']
mode, until = retained('parts')
assert mode == 'GOVERNANCE' and is_about(until, 30), until
assert retained('own') == ('COMPLIANCE', soon)
assert owner.get_object_legal_hold(Bucket='vault', Key='own')['LegalHold']['Status'] == 'ON'

# Whatever is written has it, through either face; what was there has not.
plain, copy = put('plain'), owner.copy_object(Bucket='vault', Key='copy', CopySource='vault/before')['VersionId']
assert swift('PUT', 'vault/swift', b's') == 201 and swift('PUT', 'vault/swift-copy', b'', X_Copy_From='/vault/before') == 201
for key in ['plain', 'copy', 'swift', 'swift-copy']:
    assert is_about(retained(key)[1], 30), key
goes('before', before)
is_kept('plain', plain)
put('short', ObjectLockMode='GOVERNANCE', ObjectLockRetainUntilDate=soon)
assert retained('short') == ('GOVERNANCE', soon)

# Its parts stay too, whoever wants them away, and so does what they make.
for path in [f'vault%2Bsegments/parts/{upload}/1', f'vault/parts?version-id={versions["parts"]}&multipart-manifest=delete', 'vault/parts?multipart-manifest=delete']:
    swift('DELETE', path)
assert swift('DELETE', f'vault%2Bsegments/parts/{upload}/1') == 403
assert swift('PUT', f'vault%2Bsegments/parts/{upload}/1', b'other') == 403
assert swift('POST', f'vault%2Bsegments/parts/{upload}/1', X_Delete_After='1') == 403
is_kept('parts', versions['parts'])
assert read('parts', versions['parts']) == b'p' * 100
for key in ['parts', 'own', 'swift', 'swift-copy', 'short', 'plain', 'copy']:
    owner.delete_object(Bucket='vault', Key=key)
refused('BucketNotEmpty', owner.delete_bucket, Bucket='vault')
assert read('parts', versions['parts']) == b'p' * 100

# Aborted and without its retention all goes.
other = owner.create_multipart_upload(Bucket='vault', Key='other')['UploadId']
owner.upload_part(Bucket='vault', Key='other', UploadId=other, PartNumber=1, Body=b'p')
owner.abort_multipart_upload(Bucket='vault', Key='other', UploadId=other)
goes('parts', versions['parts'], BypassGovernanceRetention=True)

# A bucket that was made without: not before it keeps versions, and then for ever.
owner.create_bucket(Bucket='plain')
owner.put_object(Bucket='plain', Key='k', Body=b'null')
refused('ObjectLockConfigurationNotFoundError', owner.get_object_lock_configuration, Bucket='plain')
refused('InvalidBucketState', configure, bucket='plain')
refused('InvalidRequest', owner.get_object_retention, Bucket='plain', Key='k')
refused('InvalidRequest', owner.put_object_legal_hold, Bucket='plain', Key='k', LegalHold={'Status': 'ON'})
refused('InvalidRequest', owner.put_object, Bucket='plain', Key='x', Body=b'', ObjectLockLegalHoldStatus='ON')
owner.put_bucket_versioning(Bucket='plain', VersioningConfiguration={'Status': 'Enabled'})
configure(bucket='plain', Mode='COMPLIANCE', Years=1)
refused('InvalidBucketState', owner.put_bucket_versioning, Bucket='plain', VersioningConfiguration={'Status': 'Suspended'})

# What is there from before versions were kept can be locked, and stays, by whatever name.
assert swift('POST', 'plain/k', X_Delete_After='1000') == 202
owner.put_object_legal_hold(Bucket='plain', Key='k', LegalHold={'Status': 'ON'})
assert swift('POST', 'plain/k', X_Delete_After='1000') == 403
assert swift('POST', 'plain/k', X_Object_Meta_A='b') == 202
refused('AccessDenied', owner.delete_object, Bucket='plain', Key='k', VersionId='null')
assert swift('DELETE', 'plain/k?version-id=null') == 403
owner.put_object(Bucket='plain', Key='k', Body=b'over')
first = owner.list_object_versions(Bucket='plain', Prefix='k')['Versions'][-1]['VersionId']
refused('AccessDenied', owner.delete_object, Bucket='plain', Key='k', VersionId=first)
assert read('k', first, 'plain') == b'null'

# A form locks as well.
import requests
fields = {'x-amz-object-lock-legal-hold': 'ON'}
form = owner.generate_presigned_post('vault', 'form', Fields=fields, Conditions=[fields])
assert requests.post(form['url'], data=form['fields'], files={'file': b'f'}).status_code == 204
assert owner.head_object(Bucket='vault', Key='form')['ObjectLockLegalHoldStatus'] == 'ON'
assert is_about(retained('form')[1], 30)

# Making a bucket again makes nothing of it.
owner.create_bucket(Bucket='third')
refused('BucketAlreadyOwnedByYou', owner.create_bucket, Bucket='third', ObjectLockEnabledForBucket=True)
refused('ObjectLockConfigurationNotFoundError', owner.get_object_lock_configuration, Bucket='third')
"#);
}

/// What the servers are asked for whose answer decides is not one that missed it.
#[test]
fn a_lock_is_seen_by_a_majority_or_nothing_is_removed() {
    let (mut cluster, folder) =
        (Cluster::builder().nodes(3).without_passes().start(), TempDir::new().expect("a temporary folder"));
    let run = |cluster: &Cluster, text: &str| boto::script(cluster, folder.path(), &format!("{PRELUDE}{text}"));
    let version = run(&cluster, &format!("{VAULT}\nprint(put('k'))")).trim().to_owned();

    // One primary misses the lock.
    cluster.node(0).kill();
    run(&cluster, "retain('k', 'COMPLIANCE', later)");
    cluster.node(0).start(None);

    // It and another one: the lock is seen. It alone: nobody knows.
    cluster.node(1).kill();
    run(&cluster, &format!("is_kept('k', '{version}')"));
    cluster.node(2).kill();
    run(&cluster, &format!("assert swift('DELETE', 'vault/k?version-id={version}') == 503"));
    cluster.node(1).start(None);
    cluster.node(2).start(None);
    run(&cluster, &format!("is_kept('k', '{version}'); assert read('k', '{version}') == b'x'"));
}

#[test]
fn a_policy_says_who_locks_and_who_passes_over_locks() {
    run(r#"
def policy(*actions):
    text = {'Version': '2012-10-17', 'Statement': [
        {'Effect': 'Allow', 'Principal': {'AWS': 'arn:aws:iam::test:user/tester3'}, 'Action': list(actions), 'Resource': 'arn:aws:s3:::vault/*'}]}
    owner.put_bucket_policy(Bucket='vault', Policy=json.dumps(text))

locks = dict(ObjectLockMode='GOVERNANCE', ObjectLockRetainUntilDate=later)
version = put('k', **locks)

# Who may write may not lock; who may remove versions may not pass over a lock.
policy('s3:PutObject', 's3:GetObject', 's3:GetObjectVersion', 's3:DeleteObjectVersion')
friend.put_object(Bucket='vault', Key='mine', Body=b'')
refused('AccessDenied', friend.put_object, Bucket='vault', Key='mine', Body=b'', **locks)
refused('AccessDenied', friend.put_object, Bucket='vault', Key='mine', Body=b'', ObjectLockLegalHoldStatus='ON')
refused('AccessDenied', retain, key='k', mode='GOVERNANCE', until=much_later, by=friend)
doomed = dict(Bucket='vault', Key='k', VersionId=version, BypassGovernanceRetention=True)
refused('AccessDenied', friend.delete_object, **doomed)
told = friend.delete_objects(Bucket='vault', Delete={'Objects': [{'Key': 'k', 'VersionId': version}]}, BypassGovernanceRetention=True)
assert [e['Code'] for e in told['Errors']] == ['AccessDenied'], told

# Those who may, may.
policy('s3:PutObject', 's3:PutObjectRetention', 's3:GetObjectRetention', 's3:DeleteObjectVersion')
friend.put_object(Bucket='vault', Key='mine', Body=b'', **locks)
retain('k', 'GOVERNANCE', much_later, by=friend)
refused('AccessDenied', retain, key='k', mode='GOVERNANCE', until=later, bypass=True, by=friend)
assert friend.get_object_retention(Bucket='vault', Key='k')['Retention']['RetainUntilDate'] == much_later
policy('s3:BypassGovernanceRetention', 's3:DeleteObjectVersion')
refused('AccessDenied', friend.delete_object, **{**doomed, 'BypassGovernanceRetention': False})
friend.delete_object(**doomed)
refused('NoSuchKey', owner.get_object, Bucket='vault', Key='k', VersionId=version)

# The bucket's own rule is its owner's.
refused('AccessDenied', friend.put_object_lock_configuration, Bucket='vault', ObjectLockConfiguration={'ObjectLockEnabled': 'Enabled'})
refused('AccessDenied', friend.get_object_lock_configuration, Bucket='vault')
"#);
}

#[test]
fn attributes_of_objects_are_told() {
    run(r#"
import base64, zlib
everything = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize']
attributes = lambda key, wanted=everything, **more: owner.get_object_attributes(Bucket='vault', Key=key, ObjectAttributes=wanted, **more)

# One that was stored whole, in each of its versions.
first = put('k', b'first', ChecksumAlgorithm='CRC32')
put('k', b'the second')
seen = attributes('k', VersionId=first)
head = owner.head_object(Bucket='vault', Key='k', VersionId=first)
assert (seen['ETag'], seen['ObjectSize'], seen['StorageClass'], seen['VersionId']) == (head['ETag'].strip('"'), 5, 'STANDARD', first), seen
assert seen['Checksum'] == {'ChecksumCRC32': base64.b64encode(zlib.crc32(b'first').to_bytes(4, 'big')).decode(), 'ChecksumType': 'FULL_OBJECT'}, seen
assert seen['LastModified'] == head['LastModified'] and 'ObjectParts' not in seen
assert attributes('k', ['ObjectSize'])['ObjectSize'] == 10 and 'ETag' not in attributes('k', ['ObjectSize'])

# One in parts, page after page.
upload = owner.create_multipart_upload(Bucket='vault', Key='parts')['UploadId']
sent = {2: b'a' * (5 << 20), 3: b'b' * (5 << 20), 7: b'c'}
etags = {n: owner.upload_part(Bucket='vault', Key='parts', UploadId=upload, PartNumber=n, Body=body)['ETag'] for n, body in sent.items()}
owner.complete_multipart_upload(Bucket='vault', Key='parts', UploadId=upload, MultipartUpload={'Parts': [{'PartNumber': n, 'ETag': etag} for n, etag in etags.items()]})
parts = attributes('parts', ['ObjectParts', 'ObjectSize'], MaxParts=2)
assert parts['ObjectSize'] == (10 << 20) + 1
page = parts['ObjectParts']
assert (page['TotalPartsCount'], page['IsTruncated'], page['NextPartNumberMarker'], page['MaxParts']) == (3, True, 3, 2), page
assert [(p['PartNumber'], p['Size']) for p in page['Parts']] == [(2, 5 << 20), (3, 5 << 20)], page
page = attributes('parts', MaxParts=2, PartNumberMarker=3)['ObjectParts']
assert [(p['PartNumber'], p['Size']) for p in page['Parts']] == [(7, 1)] and not page['IsTruncated'], page
assert attributes('parts')['ETag'].endswith('-3')

# What is not there, and what is not known.
refused('NoSuchKey', attributes, key='none')
refused('InvalidArgument', attributes, key='k', wanted=['Colour'])
refused('AccessDenied', friend.get_object_attributes, Bucket='vault', Key='k', ObjectAttributes=['ETag'])
"#);
}
