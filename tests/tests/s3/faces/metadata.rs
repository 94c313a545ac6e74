//! Metadata, in the words of each face.

use super::run;

#[test]
fn metadata_of_s3_is_seen_by_swift() {
    run(r#"
headers = {'ContentType': 'text/x-story; charset=utf-8', 'CacheControl': 'max-age=60', 'ContentDisposition': 'attachment; filename="a b.txt"',
           'ContentEncoding': 'x-none', 'ContentLanguage': 'de, en', 'Expires': 'Thu, 01 Jan 2037 00:00:00 GMT'}
put('k', b'body', Metadata={'color': 'blue', 'empty': '', 'under_score': 'a b'}, **headers)

# Every header and every item, an empty one too.
told = other.head_object('pail', 'k')
of = lambda *names: [told.get(name) for name in names]
assert of('content-type', 'cache-control', 'content-disposition', 'content-encoding', 'content-language', 'expires') == list(headers.values()), told
assert of('x-object-meta-color', 'x-object-meta-empty', 'x-object-meta-under_score') == ['blue', '', 'a b'], told
shown = stat('pail', 'k')
assert (shown['Meta Color'], shown['Content Type'], shown['Content Length']) == ('blue', headers['ContentType'], '4'), shown
assert shown['ETag'] == owner.head_object(Bucket='pail', Key='k')['ETag'].strip('"')

# Replaced by a copy in place, through S3: nothing is left of it.
owner.copy_object(Bucket='pail', Key='k', CopySource='pail/k', MetadataDirective='REPLACE', Metadata={'shape': 'round'}, ContentType='a/b')
told = other.head_object('pail', 'k')
assert of('content-type', 'x-object-meta-shape', 'x-object-meta-color', 'cache-control') == ['a/b', 'round', None, None], told
"#);
}

#[test]
fn metadata_of_swift_is_seen_by_boto3() {
    run(r#"
open('k', 'w').write('body')
headers = {'Content-Type': 'text/x-story', 'Cache-Control': 'max-age=60', 'Content-Disposition': 'inline', 'Content-Encoding': 'x-none',
           'Content-Language': 'de', 'Expires': 'Thu, 01 Jan 2037 00:00:00 GMT', 'X-Object-Meta-Color': 'blue', 'X-Object-Meta-Empty': ''}
swift('upload', 'pail', 'k', *[word for item in headers.items() for word in ('-H', '%s:%s' % item)])
head = owner.head_object(Bucket='pail', Key='k')
seen = [head.get(n) for n in ['ContentType', 'CacheControl', 'ContentDisposition', 'ContentEncoding', 'ContentLanguage', 'ExpiresString']]
assert seen == list(headers.values())[:6], head
meta = {name: value for name, value in head['Metadata'].items() if name != 'mtime'}
assert meta == {'color': 'blue', 'empty': ''}, meta

# A POST replaces the metadata and leaves the type, the bytes and their ETag, and the tags, which Swift does not know.
owner.put_object_tagging(Bucket='pail', Key='k', Tagging={'TagSet': [{'Key': 'class', 'Value': 'kept'}]})
swift('post', 'pail', 'k', '-m', 'shape:round', '-H', 'Cache-Control: no-store')
after = owner.head_object(Bucket='pail', Key='k')
assert (after['Metadata'], after['CacheControl'], after.get('ContentLanguage')) == ({'shape': 'round'}, 'no-store', None), after
assert (after['ETag'], after['ContentType'], get('k')) == (head['ETag'], 'text/x-story', b'body'), after
assert owner.get_object_tagging(Bucket='pail', Key='k')['TagSet'] == [{'Key': 'class', 'Value': 'kept'}]

# Tags of a copy come along through either face, and metadata through both.
owner.copy_object(Bucket='pail', Key='by s3', CopySource='pail/k')
swift('copy', '-d', '/pail/by swift', 'pail', 'k')
for copy in ['by s3', 'by swift']:
    assert owner.head_object(Bucket='pail', Key=copy)['Metadata'] == {'shape': 'round'}, copy
    assert other.head_object('pail', copy)['x-object-meta-shape'] == 'round', copy
    assert owner.get_object_tagging(Bucket='pail', Key=copy)['TagSet'] == [{'Key': 'class', 'Value': 'kept'}], copy
"#);
}

#[test]
fn metadata_that_is_not_ascii_is_the_same_for_both() {
    run(r#"
# Swift speaks UTF-8; S3 answers as mail would have it, as AWS does.
other.put_object('pail', 'by swift', b'x', headers={'X-Object-Meta-Snow': '☃ é'})
snow = '=?UTF-8?B?4piDIMOp?='
assert owner.head_object(Bucket='pail', Key='by swift')['Metadata'] == {'snow': snow}

# boto3 refuses to send it, but others do: what is stored is what was meant.
signer = boto3.client('s3', config=Config(signature_version='s3v4', s3={'addressing_style': 'path'}))
signer.meta.events.unregister('before-parameter-build.s3.PutObject', botocore.handlers.validate_ascii_metadata)
url = signer.generate_presigned_url('put_object', Params={'Bucket': 'pail', 'Key': 'by s3', 'Metadata': {'snow': '☃ é'}})
request = urllib.request.Request(url, b'x', {'x-amz-meta-snow': '☃ é'.encode().decode('latin-1')}, method='PUT')
assert urllib.request.urlopen(request).status == 200
assert other.head_object('pail', 'by s3')['x-object-meta-snow'] == '☃ é'
assert owner.head_object(Bucket='pail', Key='by s3')['Metadata'] == {'snow': snow}

# A client that writes as mail does is answered so.
put('as mail', Metadata={'snow': snow})
assert owner.head_object(Bucket='pail', Key='as mail')['Metadata'] == {'snow': snow}
"#);
}
