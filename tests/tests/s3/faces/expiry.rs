//! Objects that go by themselves: by Swift's headers and by S3's rules.

use crate::lifecycle::{cluster, tell};

/// The other face, beside what stories of lifecycles know.
const PRELUDE: &str = r#"
other = swiftclient.Connection(os.environ['ST_AUTH'], os.environ['ST_USER'], os.environ['ST_KEY'], retries=0)

def until(wish, what):
    deadline = time.monotonic() + 60
    while not wish():
        assert time.monotonic() < deadline, what

def missing(key):
    try:
        other.head_object('pail', key)
    except swiftclient.ClientException as error:
        assert error.http_status == 404, error
        return True
    return False
"#;

#[test]
fn what_expires_by_swift_is_gone_for_boto3() {
    let mut cluster = cluster(86_400);
    tell(
        &mut cluster,
        &format!(
            "{PRELUDE}{}",
            r#"
def goes_at(key):
    date, rule = owner.head_object(Bucket='pail', Key=key)['Expiration'].rsplit(', ', 1)
    assert rule == 'rule-id="swift-object-expiration"', rule
    return calendar.timegm(time.strptime(date, 'expiry-date="%a, %d %b %Y %H:%M:%S GMT"'))

# Written by one face or the other, with a time that Swift sets; S3 tells of it where it tells of its own rules.
at = int(time.time()) + 8
other.put_object('pail', 'at', b'x', headers={'X-Delete-At': str(at)})
other.put_object('pail', 'after', b'x', headers={'X-Delete-After': '8'})
put('by s3')
other.post_object('pail', 'by s3', headers={'X-Delete-At': str(at)})
put('stays')
other.put_object('pail', 'saved', b'x', headers={'X-Delete-At': str(at)})
assert goes_at('at') == goes_at('by s3') == at and at <= goes_at('after') <= at + 10
assert 'Expiration' not in owner.head_object(Bucket='pail', Key='stays')

# A copy by S3 has the time as it has the metadata, unless that is replaced; a POST without a time takes it away.
owner.copy_object(Bucket='pail', Key='copied', CopySource='pail/at')
owner.copy_object(Bucket='pail', Key='anew', CopySource='pail/at', MetadataDirective='REPLACE')
assert goes_at('copied') == at and other.head_object('pail', 'copied')['x-delete-at'] == str(at)
assert 'Expiration' not in owner.head_object(Bucket='pail', Key='anew')
other.post_object('pail', 'saved', headers={'X-Object-Meta-A': 'b'})
assert 'Expiration' not in owner.head_object(Bucket='pail', Key='saved')

# When its time has come it is gone for S3 at once, whoever else knows.
until(lambda: time.time() > at, 'late')
for key in ['at', 'by s3', 'copied']:
    refused('NoSuchKey', owner.get_object, Bucket='pail', Key=key)
    refused('404', owner.head_object, Bucket='pail', Key=key)
    refused('NoSuchKey', owner.copy_object, Bucket='pail', Key='copy', CopySource=f'pail/{key}')
until(lambda: missing('after'), 'after')
refused('NoSuchKey', owner.get_object, Bucket='pail', Key='after')

# And not listed when the expirer was there.
def expired():
    passed('expire', os.environ['NODE_CONFIG'], codes=(0, 1))
    return keys() == ['anew', 'saved', 'stays']
until(expired, keys)
assert [row['name'] for row in other.get_container('pail')[1]] == ['anew', 'saved', 'stays']
"#
        ),
    );
}

#[test]
fn what_expires_by_a_rule_is_gone_for_swift() {
    let mut cluster = cluster(86_400);
    tell(
        &mut cluster,
        &format!(
            "{PRELUDE}{}",
            r#"
# Both wrote, S3's rule takes both, and Swift's clients see no trace of it before.
put('old/by s3')
other.put_object('pail', 'old/by swift', b'x')
other.put_object('pail', 'new', b'x')
rules(rule(prefix='old/', Expiration={'Date': PAST}))
assert 'Expiration' in owner.head_object(Bucket='pail', Key='old/by swift')
assert 'x-delete-at' not in other.head_object('pail', 'old/by s3')
passes_until(lambda: missing('old/by s3') and missing('old/by swift'))
until(lambda: [row['name'] for row in other.get_container('pail')[1]] == ['new'], 'a listing')

# The sooner of both times is told, whichever face it is from.
rules(rule('a', Expiration={'Days': 30}))
soon, late = int(time.time()) + 86400, int(time.time()) + 400 * 86400
for at, by in [(soon, 'swift-object-expiration'), (late, 'a')]:
    other.post_object('pail', 'new', headers={'X-Delete-At': str(at)})
    assert f'rule-id="{by}"' in owner.head_object(Bucket='pail', Key='new')['Expiration'], by

# In a bucket that keeps versions Swift sees a marker, and reads what was current by its id.
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
id = put('old/k', b'kept')['VersionId']
rules(rule(prefix='old/', Expiration={'Date': PAST}))
passes_until(lambda: missing('old/k'))
assert other.get_object('pail', 'old/k', query_string=f'version-id={id}')[1] == b'kept'
rows = other.get_container('pail', query_string='versions&prefix=old/k')[1]
assert [row['content_type'].split(';')[0] for row in rows][0] == 'application/x-deleted', rows
"#
        ),
    );
}
