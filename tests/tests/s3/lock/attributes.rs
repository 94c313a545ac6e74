//! GetObjectAttributes.

use super::run;

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
