//! What clients of S3 should not send: each gets its code and its XML, and nothing of it is left anywhere.

use std::fs;

use apus_tests::{Apus, boto, disk};
use tempfile::TempDir;

/// Requests that are signed by hand, so that every byte of them can be wrong, and what they are answered.
const PRELUDE: &str = r#"
import base64, binascii, hashlib, hmac, http.client, re
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, urlsplit

HOST = urlsplit(os.environ['AWS_ENDPOINT_URL']).netloc
MARK = b'MARKED-BYTES-THAT-ARE-NOT-TO-STAY ' * 4096

def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()

class Signed:
    """A request by Signature Version 4."""
    def __init__(self, method, path, query='', headers=None, payload='UNSIGNED-PAYLOAD', at=None, key='testing', id='test:tester'):
        self.at = at or datetime.now(timezone.utc)
        self.day, self.stamp = self.at.strftime('%Y%m%d'), self.at.strftime('%Y%m%dT%H%M%SZ')
        self.method, self.target = method, path + ('?' + query if query else '')
        self.headers = {'host': HOST, 'x-amz-date': self.stamp, 'x-amz-content-sha256': payload, **(headers or {})}
        names = sorted(self.headers)
        canonical = '\n'.join([method, path, '&'.join(sorted(p if '=' in p else p + '=' for p in query.split('&') if p)),
                               *(f'{name}:{self.headers[name]}' for name in names), '', ';'.join(names), payload])
        self.scope = f'{self.day}/us-east-1/s3/aws4_request'
        text = '\n'.join(['AWS4-HMAC-SHA256', self.stamp, self.scope, hashlib.sha256(canonical.encode()).hexdigest()])
        self.key = ('AWS4' + key).encode()
        for part in [self.day, 'us-east-1', 's3', 'aws4_request']:
            self.key = sign(self.key, part)
        self.signature = sign(self.key, text).hex()
        self.headers['authorization'] = (f'AWS4-HMAC-SHA256 Credential={id}/{self.scope}, SignedHeaders={";".join(names)}, '
                                         f'Signature={self.signature}')

    def send(self, body=b''):
        connection = http.client.HTTPConnection(HOST)
        connection.request(self.method, self.target, body, self.headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300 and self.method != 'HEAD':
            assert answer.getheader('content-type') == 'application/xml' and answer.getheader('x-amz-request-id'), text
        found = re.search('<Code>(.*)</Code>', text)
        return (answer.status, found.group(1) if found else text)

def gone(key):
    assert refused('404', s3.head_object, Bucket='pail', Key=key)

s3.create_bucket(Bucket='pail')
"#;

/// Runs a script, and looks for its marked bytes on the disks.
fn leaves_nothing(script: &str) {
    let (apus, folder) = (Apus::builder().users(&boto::USERS).start(), TempDir::new().expect("a folder"));
    boto::script(&apus, folder.path(), &format!("{PRELUDE}{script}"));
    let marked = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(24).any(|window| window == b"MARKED-BYTES-THAT-ARE-NO")
    };
    let left: Vec<_> = disk::files(&apus.data()).into_iter().filter(marked).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn signatures_that_are_wrong_or_of_another_time() {
    leaves_nothing(
        r#"
put = lambda **how: Signed('PUT', '/pail/k', **how).send(MARK)
assert put(key='wrong') == (403, 'SignatureDoesNotMatch')
assert put(id='test:nobody') == (403, 'InvalidAccessKeyId')
assert put(payload='0' * 64) == (400, 'XAmzContentSHA256Mismatch')
now = datetime.now(timezone.utc)
for minutes in [-20, 20]:
    assert put(at=now + timedelta(minutes=minutes)) == (403, 'RequestTimeTooSkewed'), minutes
assert put(at=now - timedelta(minutes=10), headers={'x-amz-meta-a': 'b'})[0] == 200
s3.delete_object(Bucket='pail', Key='k')

# What was signed for one thing is for no other.
good = Signed('PUT', '/pail/k', headers={'x-amz-meta-a': 'b'})
for change in [dict(method='DELETE'), dict(target='/pail/other'), dict(target='/pail/k?acl'), dict(headers={**good.headers, 'x-amz-meta-a': 'c'})]:
    other = Signed('PUT', '/pail/k', headers={'x-amz-meta-a': 'b'})
    other.__dict__.update(change)
    assert other.send(MARK) == (403, 'SignatureDoesNotMatch'), change

# Signed URLs are over when they say.
for seconds, expected in [(-5, (403, 'AccessDenied')), (60, (200, ''))]:
    query = {'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Date': None, 'X-Amz-Expires': '60', 'X-Amz-SignedHeaders': 'host'}
    at = now - timedelta(seconds=60 - seconds)
    day, stamp = at.strftime('%Y%m%d'), at.strftime('%Y%m%dT%H%M%SZ')
    query.update({'X-Amz-Date': stamp, 'X-Amz-Credential': f'test:tester/{day}/us-east-1/s3/aws4_request'})
    text = '&'.join(f'{name}={quote(value, safe="")}' for name, value in sorted(query.items()))
    canonical = '\n'.join(['GET', '/pail', text, f'host:{HOST}', '', 'host', 'UNSIGNED-PAYLOAD'])
    key = b'AWS4testing'
    for part in [day, 'us-east-1', 's3', 'aws4_request']:
        key = sign(key, part)
    signature = sign(key, '\n'.join(['AWS4-HMAC-SHA256', stamp, f'{day}/us-east-1/s3/aws4_request', hashlib.sha256(canonical.encode()).hexdigest()])).hex()
    connection = http.client.HTTPConnection(HOST)
    connection.request('GET', f'/pail?{text}&X-Amz-Signature={signature}')
    answer = connection.getresponse()
    said = answer.read().decode()
    assert answer.status == expected[0] and expected[1] in said, (seconds, said)
"#,
    );
}

#[test]
fn bytes_that_are_not_those_that_were_promised() {
    leaves_nothing(
        r#"
md5 = lambda data: base64.b64encode(hashlib.md5(data).digest()).decode()
crc = lambda data: base64.b64encode(binascii.crc32(data).to_bytes(4, 'big')).decode()
put = lambda body=MARK, **headers: Signed('PUT', '/pail/k', headers={k.replace('_', '-'): v for k, v in headers.items()}).send(body)
assert put(content_md5=md5(b'other')) == (400, 'BadDigest')
assert put(content_md5='nonsense') == (400, 'InvalidDigest')
assert put(x_amz_checksum_crc32=crc(b'other')) == (400, 'BadDigest')
assert put(x_amz_checksum_crc32='nonsense')[0] == 400
assert put(x_amz_checksum_crc32=crc(MARK), x_amz_checksum_sha256=base64.b64encode(hashlib.sha256(MARK).digest()).decode())[0] == 400
gone('k')

def chunked(change=lambda chunk, at: chunk, trailer=None, cut=None, signed=True):
    """The body in three chunks, each signed, and a trailer."""
    payload = 'STREAMING-' + ('AWS4-HMAC-SHA256-PAYLOAD' if signed else 'UNSIGNED-PAYLOAD') + ('-TRAILER' if trailer else '')
    headers = {'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': str(len(MARK))}
    if trailer:
        headers['x-amz-trailer'] = 'x-amz-checksum-crc32'
    request = Signed('PUT', '/pail/k', headers=headers, payload=payload)
    step, wire, before = len(MARK) // 3 + 1, b'', request.signature
    for at, data in enumerate([MARK[:step], MARK[step:2 * step], MARK[2 * step:], b'']):
        extension = ''
        if signed:
            text = '\n'.join(['AWS4-HMAC-SHA256-PAYLOAD', request.stamp, request.scope, before,
                              hashlib.sha256(b'').hexdigest(), hashlib.sha256(data).hexdigest()])
            before = sign(request.key, text).hex()
            extension = f';chunk-signature={before}'
        end = b'\r\n' if data or not trailer else b''
        wire += change(f'{len(data):x}{extension}\r\n'.encode() + data + end, at)
    if trailer:
        wire += f'x-amz-checksum-crc32:{trailer}\r\n\r\n'.encode()
    return request.send(wire[:cut])

assert chunked() == (200, '')
assert s3.get_object(Bucket='pail', Key='k')['Body'].read() == MARK
assert chunked(signed=False, trailer=crc(MARK)) == (200, '')
s3.delete_object(Bucket='pail', Key='k')

flip = lambda which: lambda chunk, at: chunk[:-3] + b'X' + chunk[-2:] if at == which else chunk
for which in range(3):
    assert chunked(flip(which)) == (403, 'SignatureDoesNotMatch'), which
swapped = lambda chunk, at: chunk.replace(b'chunk-signature=', b'chunk-signature=0') if at == 1 else chunk
assert chunked(swapped)[0] in (400, 403)
assert chunked(lambda chunk, at: b'' if at == 3 else chunk)[0] == 400
assert chunked(lambda chunk, at: b'zz\r\n' if at == 1 else chunk)[0] in (400, 403)
assert chunked(lambda chunk, at: chunk + chunk if at == 1 else chunk)[0] in (400, 403)
assert chunked(signed=False, trailer=crc(b'other')) == (400, 'BadDigest')
assert chunked(signed=False, trailer='nonsense')[0] == 400
gone('k')
"#,
    );
}

#[test]
fn documents_that_are_made_to_harm() {
    leaves_nothing(
        r#"
s3.put_object(Bucket='pail', Key='k', Body=b'stays')
laughs = '<!DOCTYPE x [<!ENTITY a "lol">' + ''.join(f'<!ENTITY {chr(98 + i)} "{("&" + chr(97 + i) + ";") * 10}">' for i in range(9)) + ']>'
outside = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
keys = lambda inside: f'<Delete><Object><Key>{inside}</Key></Object></Delete>'
bad = {
    'a bomb': laughs + keys('&j;'), 'an entity from outside': outside + keys('&a;'), 'no entity': keys('&unknown;'),
    'a deep one': '<Delete>' + '<Object>' * 100_000, 'a cut one': keys('k')[:-5], 'another root': keys('k').replace('Delete', 'Remove'),
    'no XML': 'MARKED', 'nothing': '', 'no keys': '<Delete></Delete>', 'no text': keys('k').encode() + b'\xff\xfe\x00',
}
for what, text in bad.items():
    body = text if isinstance(text, bytes) else text.encode()
    md5 = base64.b64encode(hashlib.md5(body).digest()).decode()
    answer = Signed('POST', '/pail', 'delete', {'content-md5': md5}).send(body)
    assert answer[0] == 400 and answer[1] in ('MalformedXML', 'MissingRequestBodyError', 'UserKeyMustBeSpecified'), (what, answer)
    for query in ['tagging', 'cors', 'versioning', 'policy', 'lifecycle', 'publicAccessBlock', 'ownershipControls', 'website', 'object-lock', 'encryption']:
        status, code = Signed('PUT', '/pail', query, {'content-md5': md5}).send(body)
        assert 400 <= status < 500 or status == 501, (what, query, status, code)
assert s3.get_object(Bucket='pail', Key='k')['Body'].read() == b'stays'
"#,
    );
}

#[test]
fn uploads_in_parts_that_are_not_as_they_should_be() {
    leaves_nothing(
        r#"
five = MARK * ((5 << 20) // len(MARK) + 1)
def begin(*bodies):
    upload = s3.create_multipart_upload(Bucket='pail', Key='k')['UploadId']
    of = dict(Bucket='pail', Key='k', UploadId=upload)
    return of, [s3.upload_part(**of, PartNumber=at + 1, Body=body)['ETag'] for at, body in enumerate(bodies)]

def complete(of, *parts):
    return dict(call=s3.complete_multipart_upload, **of, MultipartUpload={'Parts': [{'PartNumber': n, 'ETag': e} for n, e in parts]})

of, (one, two) = begin(MARK, MARK)
refused('EntityTooSmall', **complete(of, (1, one), (2, two)))
refused('InvalidPartOrder', **complete(of, (2, two), (1, one)))
refused('InvalidPartOrder', **complete(of, (1, one), (1, one)))
refused('InvalidPart', **complete(of, (1, one), (3, two)))
refused('InvalidPart', **complete(of, (1, '"' + '0' * 32 + '"')))
for number in [0, 10_001]:
    refused('InvalidArgument', s3.upload_part, **of, PartNumber=number, Body=MARK)
refused('NoSuchUpload', s3.upload_part, Bucket='pail', Key='k', UploadId='none', PartNumber=1, Body=MARK)
refused('NoSuchUpload', s3.upload_part, Bucket='pail', Key='other', UploadId=of['UploadId'], PartNumber=1, Body=MARK)
gone('k')
s3.abort_multipart_upload(**of)
refused('NoSuchUpload', s3.abort_multipart_upload, **of)
refused('NoSuchUpload', **complete(of, (1, one)))

# An upload that was given up leaves nothing behind, nor does one whose client went away in the middle of a part.
of, _ = begin(five, five, MARK)
request = Signed('PUT', '/pail/k', f'partNumber=4&uploadId={of["UploadId"]}', {'content-length': str(len(five))})
connection = http.client.HTTPConnection(HOST)
connection.putrequest('PUT', request.target, skip_host=True)
for name, value in request.headers.items():
    connection.putheader(name, value)
connection.endheaders()
connection.send(five[:len(five) // 2])
connection.close()
s3.abort_multipart_upload(**of)
assert 'Uploads' not in s3.list_multipart_uploads(Bucket='pail')

# What was replaced by the completed upload, and what it did not name, goes too; the object itself goes with its parts.
of, (one, two, three) = begin(five, five, MARK)
s3.upload_part(**of, PartNumber=2, Body=five)
arguments = complete(of, (1, one), (2, two))
arguments.pop('call')(**arguments)
assert s3.head_object(Bucket='pail', Key='k')['ContentLength'] == 2 * len(five)
s3.delete_object(Bucket='pail', Key='k')
gone('k')
s3.delete_bucket(Bucket='pail')
"#,
    );
}
