//! What buckets and objects have beside themselves on AWS, as boto3 asks for it: tags, policies, rules for browsers.

use apus_tests::boto;

/// A bucket with an object.
const BUCKET: &str = r#"
def body(by, bucket='pail', key='k'):
    return by.get_object(Bucket=bucket, Key=key)['Body'].read()

owner.create_bucket(Bucket='pail')
owner.put_object(Bucket='pail', Key='k', Body=b'one')
"#;

fn run(script: &str) {
    boto::story(&format!("{BUCKET}{script}"));
}

#[test]
fn tags_stay_beside_an_object() {
    run(r#"
tags = lambda **of: {t['Key']: t['Value'] for t in owner.get_object_tagging(Bucket='pail', **of)['TagSet']}
put = lambda key, pairs, **of: owner.put_object_tagging(Bucket='pail', Key=key, Tagging={'TagSet': [{'Key': k, 'Value': v} for k, v in pairs.items()]}, **of)

# A change of tags changes nothing else, neither in the answer nor in the listing.
owner.put_object(Bucket='pail', Key='t', Body=b'x', Tagging='color=blue&size=a%20b', Metadata={'a': 'b'}, CacheControl='no-cache')
before, listed = owner.head_object(Bucket='pail', Key='t'), owner.list_objects_v2(Bucket='pail')['Contents']
assert before['TagCount'] == 2 and tags(Key='t') == {'color': 'blue', 'size': 'a b'}
time.sleep(1.1)  # Last-Modified has seconds.
put('t', {'shape': 'round', 'who/é': 'a+b=c'})
after = owner.head_object(Bucket='pail', Key='t')
assert tags(Key='t') == {'shape': 'round', 'who/é': 'a+b=c'}
for name in ['ETag', 'LastModified', 'Metadata', 'CacheControl', 'ContentType', 'ContentLength']:
    assert before[name] == after[name], name
assert owner.list_objects_v2(Bucket='pail')['Contents'] == listed

# Copies bring them along, or have their own; so have uploads in parts.
owner.copy_object(Bucket='pail', Key='copy', CopySource='pail/t', MetadataDirective='REPLACE')
assert tags(Key='copy') == tags(Key='t')
owner.copy_object(Bucket='pail', Key='copy', CopySource='pail/t', TaggingDirective='REPLACE', Tagging='own=1')
assert tags(Key='copy') == {'own': '1'}
upload = owner.create_multipart_upload(Bucket='pail', Key='parts', Tagging='in=parts')['UploadId']
part = owner.upload_part(Bucket='pail', Key='parts', UploadId=upload, PartNumber=1, Body=b'p')
owner.complete_multipart_upload(Bucket='pail', Key='parts', UploadId=upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
assert tags(Key='parts') == {'in': 'parts'}
put('parts', {'now': 'others'})
assert tags(Key='parts') == {'now': 'others'} and body(owner, key='parts') == b'p'
owner.delete_object_tagging(Bucket='pail', Key='t')
assert tags(Key='t') == {} and 'TagCount' not in owner.head_object(Bucket='pail', Key='t')

# Each version has its own.
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
first = owner.put_object(Bucket='pail', Key='v', Body=b'1', Tagging='n=1')['VersionId']
second = owner.put_object(Bucket='pail', Key='v', Body=b'2', Tagging='n=2')['VersionId']
put('v', {'n': 'one'}, VersionId=first)
put('v', {'n': 'two'})
assert tags(Key='v', VersionId=first) == {'n': 'one'} and tags(Key='v', VersionId=second) == {'n': 'two'}
put('k', {'of': 'null'}, VersionId='null')
assert tags(Key='k') == {'of': 'null'}

# What is too much is refused, and changes nothing.
refused('InvalidTag', put, key='v', pairs={str(n): '' for n in range(11)})
refused('InvalidTag', put, key='v', pairs={'k' * 129: ''})
refused('NoSuchKey', put, key='none', pairs={})
assert tags(Key='v') == {'n': 'two'}

# Buckets have fifty.
refused('NoSuchTagSet', owner.get_bucket_tagging, Bucket='pail')
fifty = [{'Key': f'{n} {"k" * 100}', 'Value': 'v' * 256} for n in range(50)]
owner.put_bucket_tagging(Bucket='pail', Tagging={'TagSet': fifty})
assert owner.get_bucket_tagging(Bucket='pail')['TagSet'] == fifty
owner.delete_bucket_tagging(Bucket='pail')
refused('NoSuchTagSet', owner.get_bucket_tagging, Bucket='pail')
"#);
}

#[test]
fn a_policy_says_who_may_do_what() {
    run(r#"
def policy(*statements):
    text = json.dumps({'Version': '2012-10-17', 'Statement': list(statements)})
    owner.put_bucket_policy(Bucket='pail', Policy=text)
    assert owner.get_bucket_policy(Bucket='pail')['Policy'] == text

def statement(effect, principal, action, resource='arn:aws:s3:::pail/*', **condition):
    condition = {'Condition': condition} if condition else {}
    return {'Effect': effect, 'Principal': principal, 'Action': action, 'Resource': resource, **condition}

# Without one, a bucket is its owner's.
refused('NoSuchBucketPolicy', owner.get_bucket_policy, Bucket='pail')
for by, bucket in [(friend, 'pail'), (stranger, 'test:pail'), (nobody, 'test:pail')]:
    refused('AccessDenied', by.get_object, Bucket=bucket, Key='k')

# Everybody may read; a colleague may write, below a prefix of their own; nobody else may do more.
friends = {'AWS': 'arn:aws:iam::test:user/tester3'}
policy(
    statement('Allow', '*', 's3:GetObject'),
    statement('Allow', friends, ['s3:PutObject', 's3:DeleteObject'], 'arn:aws:s3:::pail/home/${aws:username}/*'),
    statement('Allow', friends, 's3:ListBucket', 'arn:aws:s3:::pail', StringLike={'s3:prefix': 'home/*'}),
)
for by, bucket in [(friend, 'pail'), (stranger, 'test:pail'), (nobody, 'test:pail')]:
    assert body(by, bucket) == b'one'
friend.put_object(Bucket='pail', Key='home/tester3/x', Body=b'mine')
assert [o['Key'] for o in friend.list_objects_v2(Bucket='pail', Prefix='home/')['Contents']] == ['home/tester3/x']
refused('AccessDenied', friend.list_objects_v2, Bucket='pail')
refused('AccessDenied', friend.put_object, Bucket='pail', Key='home/other/x', Body=b'')
refused('AccessDenied', nobody.put_object, Bucket='test:pail', Key='home/tester3/x', Body=b'')
refused('AccessDenied', friend.get_bucket_policy, Bucket='pail')
refused('AccessDenied', stranger.put_bucket_policy, Bucket='test:pail', Policy='{}')
deleted = friend.delete_objects(Bucket='pail', Delete={'Objects': [{'Key': 'k'}, {'Key': 'home/tester3/x'}]})
assert [d['Key'] for d in deleted['Deleted']] == ['home/tester3/x'], deleted
assert [(e['Key'], e['Code']) for e in deleted['Errors']] == [('k', 'AccessDenied')], deleted
assert owner.get_bucket_policy_status(Bucket='pail')['PolicyStatus'] == {'IsPublic': True}

# A copy reads what it copies, in whatever bucket that is.
owner.create_bucket(Bucket='secret')
owner.put_object(Bucket='secret', Key='s', Body=b'secret')
refused('AccessDenied', friend.copy_object, Bucket='pail', Key='home/tester3/s', CopySource='secret/s')
friend.copy_object(Bucket='pail', Key='home/tester3/k', CopySource='pail/k')

# What is denied is denied, also to the owner, who can mend it. Tags decide too.
owner.put_object_tagging(Bucket='pail', Key='k', Tagging={'TagSet': [{'Key': 'class', 'Value': 'secret'}]})
policy(
    statement('Allow', '*', 's3:GetObject'),
    statement('Deny', '*', 's3:GetObject', StringEquals={'s3:ExistingObjectTag/class': 'secret'}),
    statement('Deny', '*', 's3:PutObject', Bool={'aws:SecureTransport': 'false'}),
)
for by, bucket in [(owner, 'pail'), (nobody, 'test:pail')]:
    refused('AccessDenied', by.get_object, Bucket=bucket, Key='k')
    assert body(by, bucket, 'home/tester3/k') == b'one'
refused('AccessDenied', owner.put_object, Bucket='pail', Key='k', Body=b'')

# What is none is refused, and the one that was there stays.
refused('MalformedPolicy', owner.put_bucket_policy, Bucket='pail', Policy='{"Version": 1}')
refused('MalformedPolicy', owner.put_bucket_policy, Bucket='pail', Policy=json.dumps({'Version': '2012-10-17', 'Statement': statement('Allow', '*', 's3:GetObject', 'arn:aws:s3:::other/*')}))
refused('AccessDenied', owner.get_object, Bucket='pail', Key='k')
owner.delete_bucket_policy(Bucket='pail')
assert body(owner) == b'one'
refused('AccessDenied', nobody.get_object, Bucket='test:pail', Key='k')
"#);
}

#[test]
fn a_bucket_is_kept_from_being_everybodys() {
    run(r#"
text = json.dumps({'Version': '2012-10-17', 'Statement': {'Effect': 'Allow', 'Principal': '*', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::pail/*'}})
block = lambda **flags: owner.put_public_access_block(Bucket='pail', PublicAccessBlockConfiguration=flags)
refused('NoSuchPublicAccessBlockConfiguration', owner.get_public_access_block, Bucket='pail')

# Lists: they are refused, and those that are there do nothing.
owner.put_bucket_acl(Bucket='pail', ACL='public-read')
assert body(nobody, 'test:pail') == b'one'
block(BlockPublicAcls=True, IgnorePublicAcls=True)
refused('AccessDenied', nobody.get_object, Bucket='test:pail', Key='k')
refused('AccessDenied', owner.put_bucket_acl, Bucket='pail', ACL='public-read-write')
refused('AccessDenied', owner.put_object, Bucket='pail', Key='x', Body=b'', ACL='public-read')
owner.put_bucket_acl(Bucket='pail', ACL='private')

# Policies: those that are there let only users of the account in; new ones are refused.
owner.put_bucket_policy(Bucket='pail', Policy=text)
assert body(stranger, 'test:pail') == b'one'
block(RestrictPublicBuckets=True, BlockPublicPolicy=True)
assert body(friend) == b'one'
refused('AccessDenied', stranger.get_object, Bucket='test:pail', Key='k')
refused('AccessDenied', owner.put_bucket_policy, Bucket='pail', Policy=text)
assert owner.get_public_access_block(Bucket='pail')['PublicAccessBlockConfiguration'] == {
    'BlockPublicAcls': False, 'IgnorePublicAcls': False, 'BlockPublicPolicy': True, 'RestrictPublicBuckets': True}
owner.delete_public_access_block(Bucket='pail')
assert body(nobody, 'test:pail') == b'one'

# No lists at all.
refused('OwnershipControlsNotFoundError', owner.get_bucket_ownership_controls, Bucket='pail')
owner.put_bucket_ownership_controls(Bucket='pail', OwnershipControls={'Rules': [{'ObjectOwnership': 'BucketOwnerEnforced'}]})
refused('AccessControlListNotSupported', owner.put_bucket_acl, Bucket='pail', ACL='public-read')
refused('AccessControlListNotSupported', owner.put_object, Bucket='pail', Key='x', Body=b'', ACL='public-read')
owner.put_object(Bucket='pail', Key='x', Body=b'', ACL='bucket-owner-full-control')
owner.delete_bucket_ownership_controls(Bucket='pail')
"#);
}

#[test]
fn browsers_are_told_what_scripts_may_do() {
    run(r#"
def ask(method, url, **headers):
    request = urllib.request.Request(url, method=method, headers={k.replace('_', '-'): v for k, v in headers.items()})
    try:
        answer = urllib.request.urlopen(request)
    except urllib.error.HTTPError as error:
        answer = error
    return answer.status, dict((k.lower(), v) for k, v in answer.headers.items())

signed = owner.generate_presigned_url('get_object', Params={'Bucket': 'pail', 'Key': 'k'})
asks = dict(Origin='https://a.example.com', Access_Control_Request_Method='GET')
refused('NoSuchCORSConfiguration', owner.get_bucket_cors, Bucket='pail')
assert ask('OPTIONS', signed, **asks)[0] == 403

rules = [
    {'AllowedMethods': ['GET', 'PUT'], 'AllowedOrigins': ['https://*.example.com'], 'AllowedHeaders': ['x-amz-*'], 'ExposeHeaders': ['ETag'], 'MaxAgeSeconds': 30},
    {'AllowedMethods': ['GET'], 'AllowedOrigins': ['*']},
]
owner.put_bucket_cors(Bucket='pail', CORSConfiguration={'CORSRules': rules})
assert owner.get_bucket_cors(Bucket='pail')['CORSRules'] == rules

# The question before, of a signed URL and of a bucket that is named with its account.
public = os.environ['AWS_ENDPOINT_URL'] + '/test:pail/k'
for url in [signed, public]:
    status, headers = ask('OPTIONS', url, Access_Control_Request_Headers='X-Amz-Date', **asks)
    assert status == 200 and headers['access-control-allow-origin'] == asks['Origin'], headers
    assert (headers['access-control-allow-methods'], headers['access-control-max-age']) == ('GET, PUT', '30')
    assert headers['access-control-allow-headers'] == 'x-amz-date' and 'Origin' in headers['vary']
    assert ask('OPTIONS', url, Access_Control_Request_Headers='Range', **asks)[0] == 403
    assert ask('OPTIONS', url, Origin='https://b.org', Access_Control_Request_Method='PUT')[0] == 403
    assert ask('OPTIONS', url, Origin='https://b.org', Access_Control_Request_Method='GET')[1]['access-control-allow-origin'] == '*'
    assert ask('OPTIONS', url, Origin='https://b.org')[0] == 400

# The answers themselves, refusals among them.
status, headers = ask('GET', signed, Origin='https://a.example.com')
assert (status, headers['access-control-expose-headers']) == (200, 'ETag'), headers
status, headers = ask('GET', public, Origin='https://b.org')
assert (status, headers['access-control-allow-origin']) == (403, '*'), headers
assert 'access-control-allow-origin' not in ask('GET', signed)[1]

owner.delete_bucket_cors(Bucket='pail')
assert 'access-control-allow-origin' not in ask('GET', signed, Origin='https://a.example.com')[1]
"#);
}
