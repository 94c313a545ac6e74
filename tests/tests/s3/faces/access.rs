//! Who else may: what one face allows is allowed, and shown, by the other.

use super::run as tell;

/// What somebody without a key, or with another's, sees of `pail/k` and of the list: through S3, and through Swift.
const SEEN: &str = r#"
def s3_sees(client, call, **of):
    try:
        getattr(client, call)(Bucket='test:pail', **of)
        return True
    except botocore.exceptions.ClientError as error:
        assert error.response['Error']['Code'] == 'AccessDenied', error
        return False

def swift_sees(token, path):
    headers = {'X-Auth-Token': token} if token else {}
    try:
        return urllib.request.urlopen(urllib.request.Request(f'{url}/{path}', headers=headers)).status in (200, 204)
    except urllib.error.HTTPError as error:
        assert error.code in (401, 403), error
        return False

url, _ = other.get_auth()
tokens = {nobody: None, **{client: swiftclient.get_auth(os.environ['ST_AUTH'], *key)[1] for client, key in [
    (friend, ('test:tester3', 'testing3')), (stranger, ('test2:tester2', 'testing2'))]}}

# Whether the object is read, and whether the list is: both faces have to agree.
def sees(client):
    s3 = s3_sees(client, 'get_object', Key='k'), s3_sees(client, 'list_objects_v2')
    swift = swift_sees(tokens[client], 'pail/k'), swift_sees(tokens[client], 'pail')
    assert s3 == swift, (s3, swift)
    return s3

def grants():
    listed = owner.get_bucket_acl(Bucket='pail')['Grants']
    return {(g['Grantee'].get('URI', '').rpartition('/')[2] or g['Grantee']['ID'], g['Permission']) for g in listed}

own = ('test:tester', 'FULL_CONTROL')
put('k')
"#;

fn run(script: &str) {
    tell(&format!("{SEEN}{script}"));
}

#[test]
fn a_container_that_swift_opens_is_open_for_s3() {
    run(r#"
assert sees(nobody) == sees(stranger) == sees(friend) == (False, False) and grants() == {own}

# To everybody, with its list; to everybody, without; to nobody again.
swift('post', 'pail', '-r', '.r:*,.rlistings')
assert sees(nobody) == sees(stranger) == sees(friend) == (True, True) and grants() == {own, ('AllUsers', 'READ')}, grants()
swift('post', 'pail', '-r', '.r:*')
assert sees(nobody) == (True, False)
swift('post', 'pail', '-r', '')
assert sees(nobody) == sees(stranger) == (False, False) and grants() == {own}
"#);
}

#[test]
fn a_bucket_that_s3_opens_is_open_for_swift() {
    run(r#"
owner.delete_public_access_block(Bucket='pail')
owner.put_bucket_acl(Bucket='pail', ACL='public-read')
assert stat('pail')['Read ACL'] == '.r:*,.rlistings' and stat('pail')['Write ACL'] == ''
assert sees(nobody) == sees(stranger) == (True, True) and grants() == {own, ('AllUsers', 'READ')}
refused('AccessDenied', nobody.put_object, Bucket='test:pail', Key='k', Body=b'')

# A container is not writable for everybody: S3 says so, and nothing is changed.
refused('NotImplemented', owner.put_bucket_acl, Bucket='pail', ACL='public-read-write')
assert sees(nobody) == (True, True)
owner.put_bucket_acl(Bucket='pail', ACL='private')
assert sees(nobody) == sees(stranger) == (False, False) and grants() == {own}
assert (stat('pail')['Read ACL'], stat('pail')['Write ACL']) == ('', '')
"#);
}

#[test]
fn whom_swift_names_may_by_both_faces() {
    run(r#"
# One user of another account reads; nobody else does, and the grant is told.
swift('post', 'pail', '-r', 'test2:tester2')
assert sees(stranger) == (True, True) and sees(friend) == sees(nobody) == (False, False)
assert grants() == {own, ('test2:tester2', 'READ')}, grants()
refused('AccessDenied', stranger.put_object, Bucket='test:pail', Key='new', Body=b'x')

# All of another account, and one of this: to write too.
swift('post', 'pail', '-r', 'test2,test:tester3', '-w', 'test:tester3')
assert sees(stranger) == sees(friend) == (True, True) and sees(nobody) == (False, False)
assert grants() == {own, ('test2', 'READ'), ('test:tester3', 'READ'), ('test:tester3', 'WRITE')}, grants()
friend.put_object(Bucket='pail', Key='new', Body=b'by a friend')
assert stranger.get_object(Bucket='test:pail', Key='new')['Body'].read() == b'by a friend'
refused('AccessDenied', stranger.delete_object, Bucket='test:pail', Key='new')

# `private` takes all of them away, for both.
owner.put_bucket_acl(Bucket='pail', ACL='private')
assert sees(stranger) == sees(friend) == (False, False) and grants() == {own}
assert (stat('pail')['Read ACL'], stat('pail')['Write ACL']) == ('', '')
"#);
}
