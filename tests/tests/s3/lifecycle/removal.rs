//! What goes by the rules, and what stays.

use super::{cluster, tell};

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
fn what_is_locked_stays() {
    let mut cluster = cluster(1);
    tell(
        &mut cluster,
        r#"
owner.create_bucket(Bucket='vault', ObjectLockEnabledForBucket=True)
vault = lambda key, **more: owner.put_object(Bucket='vault', Key=key, Body=b'x', **more)['VersionId']
tomorrow = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + 86400))
locked = vault('k', ObjectLockMode='GOVERNANCE', ObjectLockRetainUntilDate=tomorrow)
vault('k')
vault('free')
vault('free')
rules(rule(NoncurrentVersionExpiration={'NoncurrentDays': 1}), bucket='vault')
left = lambda key: [v['VersionId'] for v in owner.list_object_versions(Bucket='vault', Prefix=key).get('Versions', [])]
deadline = time.monotonic() + 60
while 'locked 1' not in passed() or len(left('free')) > 1:
    assert time.monotonic() < deadline, left('free')
assert locked in left('k')

# When the lock goes, so does the version.
owner.put_object_retention(Bucket='vault', Key='k', VersionId=locked, Retention={}, BypassGovernanceRetention=True)
while locked in left('k'):
    passed()
    assert time.monotonic() < deadline + 60, left('k')

# An upload is given up in such a bucket, too, and one that is completed is not.
rules(rule(AbortIncompleteMultipartUpload={'DaysAfterInitiation': 1}), bucket='vault')
upload = lambda: owner.create_multipart_upload(Bucket='vault', Key='up')['UploadId']
part = lambda id: {'PartNumber': 1, 'ETag': owner.upload_part(Bucket='vault', Key='up', UploadId=id, PartNumber=1, Body=b'p')['ETag']}
done = upload()
owner.complete_multipart_upload(Bucket='vault', Key='up', UploadId=done, MultipartUpload={'Parts': [part(done)]})
lost = upload()
made = [part(lost)]
while owner.list_multipart_uploads(Bucket='vault').get('Uploads'):
    passed()
    assert time.monotonic() < deadline + 120
refused('NoSuchUpload', owner.complete_multipart_upload, Bucket='vault', Key='up', UploadId=lost, MultipartUpload={'Parts': made})
assert owner.get_object(Bucket='vault', Key='up')['Body'].read() == b'p'
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
# A server that promised a removal to wait for a newer write may have refused this one, and learn of it by replication.
swift = swiftclient.Connection(os.environ['ST_AUTH'], os.environ['ST_USER'], os.environ['ST_KEY'])
for n in range(40, 60):
    assert swift.get_object('pail', f'{n % 20}', headers={'X-Newest': 'true'})[1] == b'new %d' % n
put('0', b'old', Tagging='over=yes')
passes_until(lambda: len(keys()) == 19)
"#,
    );
}
