//! The rules themselves: stored, read, refused, and told of in answers.

use super::{cluster, tell};

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
