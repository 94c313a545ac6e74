//! Buckets that lock what is written into them.

use super::run;

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
