//! Who may lock, and who may pass over locks.

use super::run;

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
