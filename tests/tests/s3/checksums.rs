//! Checksums of uploads in parts, as boto3 asks for them.

use apus_tests::boto::story;

#[test]
fn uploads_in_parts_have_the_checksums_that_aws_gives_them() {
    story(
        r#"
import base64, hashlib, zlib
crc32 = lambda data: zlib.crc32(data).to_bytes(4, 'big')
digests = {'CRC32': crc32, 'SHA1': lambda data: hashlib.sha1(data).digest(), 'SHA256': lambda data: hashlib.sha256(data).digest()}
text = lambda digest: base64.b64encode(digest).decode()
s3.create_bucket(Bucket='pail')
bodies = [b'first' * (1 << 20), b'the rest']
whole = b''.join(bodies)

def begin(key, **asked):
    made = s3.create_multipart_upload(Bucket='pail', Key=key, **asked)
    return made, dict(Bucket='pail', Key=key, UploadId=made['UploadId'])

def parts_of(upload, algorithm):
    parts = []
    for number, body in enumerate(bodies, 1):
        sent = s3.upload_part(**upload, PartNumber=number, Body=body, ChecksumAlgorithm=algorithm)
        assert sent['Checksum' + algorithm] == text(digests[algorithm](body))
        parts.append({'PartNumber': number, 'ETag': sent['ETag'], 'Checksum' + algorithm: sent['Checksum' + algorithm]})
    return parts

for algorithm, kind in [('CRC32', None), ('CRC32', 'FULL_OBJECT'), ('SHA1', None), ('SHA256', 'COMPOSITE')]:
    digest, key, name = digests[algorithm], f'{algorithm}-{kind}', 'Checksum' + algorithm
    made, upload = begin(key, ChecksumAlgorithm=algorithm, **({'ChecksumType': kind} if kind else {}))
    kind = kind or 'COMPOSITE'
    assert (made['ChecksumAlgorithm'], made['ChecksumType']) == (algorithm, kind)
    listed = s3.list_multipart_uploads(Bucket='pail')['Uploads']
    assert [(u['ChecksumAlgorithm'], u['ChecksumType']) for u in listed] == [(algorithm, kind)]
    parts = parts_of(upload, algorithm)
    listed = s3.list_parts(**upload)
    assert (listed['ChecksumAlgorithm'], listed['ChecksumType']) == (algorithm, kind)
    assert [part[name] for part in listed['Parts']] == [part[name] for part in parts]
    composite = text(digest(b''.join(digest(body) for body in bodies))) + '-2'
    expected = text(digest(whole)) if kind == 'FULL_OBJECT' else composite

    # What is said of the parts and of the whole is held against them.
    complete = lambda parts=parts, **more: s3.complete_multipart_upload(**upload, MultipartUpload={'Parts': parts}, **more)
    other = text(digest(b'other'))
    refused('InvalidPart', complete, parts=[parts[0], {**parts[1], name: other}])
    refused('BadDigest', complete, **{name: other + ('' if kind == 'FULL_OBJECT' else '-2')})
    refused('InvalidRequest', complete, MpuObjectSize=1)
    refused('InvalidRequest', complete, ChecksumType='FULL_OBJECT' if kind == 'COMPOSITE' else 'COMPOSITE')
    if kind == 'COMPOSITE':
        refused('InvalidRequest', complete, parts=[{k: v for k, v in part.items() if k != name} for part in parts])
    done = complete(**{name: expected}, ChecksumType=kind, MpuObjectSize=len(whole))
    assert (done[name], done['ChecksumType']) == (expected, kind), done

    # It is shown to who asks for it; boto3 checks what is of all bytes.
    head = s3.head_object(Bucket='pail', Key=key, ChecksumMode='ENABLED')
    assert (head[name], head['ChecksumType']) == (expected, kind), head
    got = s3.get_object(Bucket='pail', Key=key, ChecksumMode='ENABLED')
    assert got[name] == expected and got['Body'].read() == whole
    part = s3.get_object(Bucket='pail', Key=key, ChecksumMode='ENABLED', PartNumber=2)
    assert (part[name], part['ChecksumType'], part['Body'].read()) == (text(digest(bodies[1])), kind, bodies[1])
    listed = {c['Key']: c for c in s3.list_objects_v2(Bucket='pail')['Contents']}[key]
    assert (listed['ChecksumAlgorithm'], listed['ChecksumType']) == ([algorithm], kind), listed

    # A copy has no parts, so it has the checksum of its bytes.
    copied = s3.copy_object(Bucket='pail', Key='copy', CopySource=f'pail/{key}')['CopyObjectResult']
    assert (copied[name], copied['ChecksumType']) == (text(digest(whole)), 'FULL_OBJECT'), copied
    assert s3.head_object(Bucket='pail', Key='copy', ChecksumMode='ENABLED')[name] == text(digest(whole))

# A part may be a copy.
made, upload = begin('of-copies', ChecksumAlgorithm='SHA256')
part = s3.upload_part_copy(**upload, PartNumber=1, CopySource='pail/copy', CopySourceRange='bytes=1-3')['CopyPartResult']
assert part['ChecksumSHA256'] == text(hashlib.sha256(whole[1:4]).digest())
listed = [{'PartNumber': 1, 'ETag': part['ETag'], 'ChecksumSHA256': part['ChecksumSHA256']}]
s3.complete_multipart_upload(**upload, MultipartUpload={'Parts': listed})
assert 'ChecksumCRC32' in s3.copy_object(Bucket='pail', Key='copy', CopySource='pail/of-copies', ChecksumAlgorithm='CRC32')['CopyObjectResult']

# What is not sent is computed where the whole needs no list of it.
plain = boto3.client('s3', aws_access_key_id='test:tester', aws_secret_access_key='testing',
                     config=Config(request_checksum_calculation='when_required', s3={'addressing_style': 'path'}))
made = plain.create_multipart_upload(Bucket='pail', Key='nvme', ChecksumAlgorithm='CRC64NVME')
assert made['ChecksumType'] == 'FULL_OBJECT'
upload = dict(Bucket='pail', Key='nvme', UploadId=made['UploadId'])
part = plain.upload_part(**upload, PartNumber=1, Body=b'123456789')
assert part['ChecksumCRC64NVME'] == 'rosUhgp5mIg=', part
done = plain.complete_multipart_upload(**upload, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
assert (done['ChecksumCRC64NVME'], done['ChecksumType']) == ('rosUhgp5mIg=', 'FULL_OBJECT')
refused('InvalidRequest', s3.create_multipart_upload, Bucket='pail', Key='k', ChecksumAlgorithm='CRC64NVME', ChecksumType='COMPOSITE')
refused('InvalidRequest', s3.create_multipart_upload, Bucket='pail', Key='k', ChecksumAlgorithm='SHA1', ChecksumType='FULL_OBJECT')
_, upload = begin('mixed', ChecksumAlgorithm='SHA1')
refused('InvalidRequest', s3.upload_part, **upload, PartNumber=1, Body=b'x', ChecksumAlgorithm='CRC32')

# The transfer manager does all of this by itself.
open('large', 'wb').write(whole * 3)
s3.upload_file('large', 'pail', 'large', Config=TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20))
head = s3.head_object(Bucket='pail', Key='large', ChecksumMode='ENABLED')
assert 'ChecksumCRC32' in head and head['ContentLength'] == 3 * len(whole), head
s3.download_file('pail', 'large', 'back')
assert open('back', 'rb').read() == whole * 3
"#,
    );
}
