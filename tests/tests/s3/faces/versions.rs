//! Versions, which are the same ones for both faces, by the same ids.

use super::run;

#[test]
fn versions_of_a_bucket_are_listed_and_read_by_swift() {
    run(r#"
put('k', b'before')
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
assert other.head_container('pail')['x-versions-enabled'] == 'True'
ids = [put('k', body)['VersionId'] for body in [b'one', b'two']]

# Both list the same, the newest first; what was there before is a version, too, and each is read by its id.
def listed():
    s3 = [(v['VersionId'], v['IsLatest']) for v in owner.list_object_versions(Bucket='pail')['Versions']]
    swift = [(row['version_id'], row['is_latest']) for row in other.get_container('pail', query_string='versions')[1]]
    assert s3 == swift, (s3, swift)
    return s3
before = listed()[2][0]
assert listed() == [(ids[1], True), (ids[0], False), (before, False)], listed()
for id, body in zip([*ids, before], [b'one', b'two', b'before']):
    head, read = other.get_object('pail', 'k', query_string=f'version-id={id}')
    assert (head['x-object-version-id'], read) == (id, body), head
    assert get('k', VersionId=id) == body

# What S3 deletes is gone for Swift; Swift sees the marker, and when S3 takes it away both have the object again.
marker = owner.delete_object(Bucket='pail', Key='k')['VersionId']
missing(other.head_object, 'pail', 'k')
rows = other.get_container('pail', query_string='versions')[1]
assert (rows[0]['version_id'], rows[0]['content_type'].split(';')[0]) == (marker, 'application/x-deleted'), rows
owner.delete_object(Bucket='pail', Key='k', VersionId=marker)
assert other.get_object('pail', 'k')[1] == get('k') == b'two'

# A version that Swift deletes is no version of S3's, and the one that Swift makes current again is S3's newest.
other.delete_object('pail', 'k', query_string=f'version-id={ids[1]}')
refused('NoSuchKey', owner.get_object, Bucket='pail', Key='k', VersionId=ids[1])
other.put_object('pail', 'k', b'', query_string=f'version-id={ids[0]}')
assert get('k') == b'one' and listed() == [(ids[0], True), (before, False)], listed()

# Suspended by S3, an overwriting by Swift makes no version.
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Suspended'})
assert other.head_container('pail')['x-versions-enabled'] == 'False'
for body in [b'three', b'four']:
    other.put_object('pail', 'k', body)
assert get('k', VersionId='null') == get('k') == b'four'
assert listed() == [('null', True), (ids[0], False), (before, False)], listed()
"#);
}

#[test]
fn versions_of_a_container_are_listed_and_read_by_boto3() {
    run(r#"
swift('post', 'pail', '-H', 'X-Versions-Enabled: true')
assert owner.get_bucket_versioning(Bucket='pail')['Status'] == 'Enabled'
for body in ['one', 'two']:
    open('k', 'w').write(body)
    swift('upload', 'pail', 'k')
swift('delete', 'pail', 'k')

# Two versions and a marker, each readable by the id that Swift knows.
listed = owner.list_object_versions(Bucket='pail')
(marker,), versions = listed['DeleteMarkers'], listed['Versions']
assert marker['IsLatest'] and not any(v['IsLatest'] for v in versions), listed
assert [get('k', VersionId=v['VersionId']) for v in versions] == [b'two', b'one']
for version in versions:
    swift('download', 'pail', 'k', '--version-id', version['VersionId'], '-o', 'back')
    assert open('back', 'rb').read() == get('k', VersionId=version['VersionId'])
refused('NoSuchKey', owner.get_object, Bucket='pail', Key='k')
assert 'Contents' not in owner.list_objects_v2(Bucket='pail') and swift('list', 'pail') == ''

# Without the marker it is back for both.
owner.delete_object(Bucket='pail', Key='k', VersionId=marker['VersionId'])
swift('download', 'pail', 'k', '-o', 'back')
assert get('k') == b'two' == open('back', 'rb').read()
assert [v['IsLatest'] for v in owner.list_object_versions(Bucket='pail')['Versions']] == [True, False]
"#);
}

#[test]
fn a_version_in_parts_and_one_in_segments_outlive_what_took_their_place() {
    run(r#"
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
open('large', 'wb').write(os.urandom(12 << 20))
large = open('large', 'rb').read()

# Each is overwritten through the other face, and read by its id through both.
owner.upload_file('large', 'pail', 'parts', Config=TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20))
swift('upload', '--use-slo', '--segment-size', '5000000', 'pail', 'large', '--object-name', 'segments')
ids = {v['Key']: v['VersionId'] for v in owner.list_object_versions(Bucket='pail')['Versions']}
other.put_object('pail', 'parts', b'small')
put('segments', b'small')
for key in ['parts', 'segments']:
    assert get(key) == other.get_object('pail', key)[1] == b'small'
    of = dict(key=key, VersionId=ids[key])
    assert get(**of) == other.get_object('pail', key, query_string=f'version-id={ids[key]}')[1] == large
    assert get(**of, Range='bytes=4999990-7000000') == large[4999990:7000001]
    assert owner.head_object(Bucket='pail', Key=key, VersionId=ids[key])['ContentLength'] == len(large)
"#);
}

#[test]
fn versions_that_go_at_the_same_time_leave_nothing_behind() {
    run(r#"
from concurrent.futures import ThreadPoolExecutor
crowd = ThreadPoolExecutor(8)
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
def ids(key):
    listed = owner.list_object_versions(Bucket='pail', Prefix=key)
    return [v['VersionId'] for v in listed.get('Versions', []) + listed.get('DeleteMarkers', [])]
def gone(key):
    refused('NoSuchKey', owner.get_object, Bucket='pail', Key=key)
    assert ids(key) == [] and 'Contents' not in owner.list_objects_v2(Bucket='pail', Prefix=key), key

# In one request, by which the one before becomes current each time; and in requests of their own.
def together(key):
    listed = [dict(Key=key, VersionId=id) for id in ids(key)]
    assert 'Errors' not in owner.delete_objects(Bucket='pail', Delete={'Objects': listed})
def apart(key):
    list(crowd.map(lambda id: owner.delete_object(Bucket='pail', Key=key, VersionId=id), ids(key)))
for turn in range(12):
    for delete in [together, apart]:
        for body in [b'one', b'two', b'three']: put(f'k{turn}', body)
        delete(f'k{turn}')
        gone(f'k{turn}')

# What is stored while the current version goes is current afterwards.
for turn in range(12):
    key = f'stored{turn}'
    old = [put(key, body)['VersionId'] for body in [b'one', b'two']]
    going = crowd.submit(owner.delete_object, Bucket='pail', Key=key, VersionId=old[1])
    new = put(key, b'three')['VersionId']
    going.result()
    assert get(key) == b'three' and ids(key) == [new, old[0]], (turn, ids(key))

# A marker that was made on a condition is taken away like any other, also when the version is deleted next.
etag = put('marked', b'one')['ETag']
marker = owner.delete_object(Bucket='pail', Key='marked', IfMatch=etag)['VersionId']
owner.delete_object(Bucket='pail', Key='marked', VersionId=marker)
assert get('marked') == b'one'
marker = owner.delete_object(Bucket='pail', Key='marked')['VersionId']
together('marked')
gone('marked')
"#);
}

#[test]
fn the_null_version_is_nobody_elses() {
    run(r#"
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
ids = [put('k', body)['VersionId'] for body in [b'one', b'two', b'three']]
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Suspended'})
put('k', b'null')
# Versions go from behind it, and it stays.
owner.delete_object(Bucket='pail', Key='k', VersionId=ids[0])
assert get('k') == get('k', VersionId='null') == b'null'
# When it goes itself, the newest that is left is current again.
owner.delete_object(Bucket='pail', Key='k', VersionId='null')
assert get('k') == b'three', get('k')
# Now there is none; deleting it takes nobody else's place.
owner.delete_object(Bucket='pail', Key='k', VersionId='null')
assert get('k') == b'three' and owner.head_object(Bucket='pail', Key='k')['VersionId'] == ids[2]
listed = owner.list_object_versions(Bucket='pail')['Versions']
assert [(v['VersionId'], v['IsLatest']) for v in listed] == [(ids[2], True), (ids[1], False)], listed
"#);
}
