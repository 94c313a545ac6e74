//! Locks of versions: what they withstand, and what becomes of them.

use apus_tests::{Cluster, boto};
use tempfile::TempDir;

use super::{PRELUDE, VAULT, run};

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
assert seen['Metadata'] == {'color': 'blue'} and seen['ObjectLockLegalHoldStatus'] == 'ON', seen
assert retained('k', VersionId=held) == ('GOVERNANCE', soon)
assert swift('DELETE', 'vault/k') == 204 and swift('PUT', 'vault/k', b'over') == 201
assert read('k', held) == b'held' and read('k', strict) == b'strict'

# A lock that is put changes nothing else: neither metadata nor tags, nor when the object was stored.
before = owner.head_object(Bucket='vault', Key='k', VersionId=strict)
retain('k', 'COMPLIANCE', later, VersionId=strict)
hold('k', 'ON', VersionId=strict)
after = owner.head_object(Bucket='vault', Key='k', VersionId=strict)
assert after['Metadata'] == {'a': 'b'} and after['TagCount'] == 1
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

/// An answer that decides comes from a majority, not from a server that missed the lock.
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
