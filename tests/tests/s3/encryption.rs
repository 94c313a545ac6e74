//! Encryption as clients of S3 ask for it: with boto3, the AWS CLI and a look at the disks.

use std::fs;

use apus_tests::boto::{USERS, program, run, script};
use apus_tests::{Apus, disk};
use tempfile::TempDir;

/// Stands in every object of these stories.
const MARKER: &str = "ultramarine";
/// Takes keys of clients over a plain connection.
const OPEN_KEYS: &str = "
[proxy.s3]
customer_keys_need_tls = false
";

/// A cluster whose configuration is another one than the first start has made.
fn configured(change: impl Fn(&str) -> String) -> Apus {
    let mut apus = Apus::builder().users(&USERS).start();
    apus.stop();
    let config = apus.data().join("apus.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, change(&text)).expect("a configuration");
    apus.start(None);
    apus
}

fn with_open_keys() -> Apus {
    configured(|text| format!("{text}{OPEN_KEYS}"))
}

/// One whose operator does not want to encrypt anything.
fn without_secret() -> Apus {
    configured(|text| {
        let without = text.lines().filter(|line| !line.starts_with("root_secret"));
        without.map(|line| format!("{line}\n")).collect()
    })
}

/// How many files on the devices hold the marker.
fn marked(apus: &Apus) -> usize {
    let holds = |file: &std::path::PathBuf| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes())
    };
    disk::with_suffix(&apus.data(), ".data").iter().filter(|file| holds(file)).count()
}

#[test]
fn who_asks_for_encryption_gets_it() {
    let (apus, folder) = (Apus::builder().users(&USERS).start(), TempDir::new().expect("a folder"));
    script(
        &apus,
        folder.path(),
        r#"
s3.create_bucket(Bucket='pail')
method = lambda answer: answer.get('ServerSideEncryption')
head = lambda key, **of: s3.head_object(Bucket='pail', Key=key, **of)
put = lambda key, body=b'ultramarine', **more: s3.put_object(Bucket='pail', Key=key, Body=body, **more)

# Told is what is so, also of an object without bytes.
assert method(put('sealed', ServerSideEncryption='AES256')) == 'AES256' == method(head('sealed'))
assert method(put('empty', b'', ServerSideEncryption='AES256')) == 'AES256' == method(head('empty'))
got = s3.get_object(Bucket='pail', Key='sealed', Range='bytes=5-')
assert (got['Body'].read(), method(got)) == (b'marine', 'AES256')
assert head('sealed')['ETag'] == '"' + __import__('hashlib').md5(b'ultramarine').hexdigest() + '"'
refused('412', head, key='sealed', IfMatch='"other"')
assert method(head('sealed', IfMatch=head('sealed')['ETag'])) == 'AES256'

# A copy is what is asked of it, and so is an upload in parts.
s3.copy_object(Bucket='pail', Key='sealed-copy', CopySource='pail/sealed', ServerSideEncryption='AES256')
assert method(head('sealed-copy')) == 'AES256'
upload = s3.create_multipart_upload(Bucket='pail', Key='parts', ServerSideEncryption='AES256')
assert method(upload) == 'AES256'
upload = dict(Bucket='pail', Key='parts', UploadId=upload['UploadId'])
first = s3.upload_part(**upload, PartNumber=1, Body=b'ultramarine' * (5 << 17))
second = s3.upload_part_copy(**upload, PartNumber=2, CopySource='pail/sealed')
assert method(first) == 'AES256' == method(second)
parts = [{'PartNumber': 1, 'ETag': first['ETag']}, {'PartNumber': 2, 'ETag': second['CopyPartResult']['ETag']}]
assert method(s3.complete_multipart_upload(**upload, MultipartUpload={'Parts': parts})) == 'AES256'
assert s3.get_object(Bucket='pail', Key='parts', PartNumber=2)['Body'].read() == b'ultramarine' and method(head('parts')) == 'AES256'
refused('NotImplemented', put, key='k', ServerSideEncryption='aws:kms')

# A policy may demand it.
allowed = {'Effect': 'Allow', 'Principal': {'AWS': 'arn:aws:iam::test:user/tester3'}, 'Action': 's3:PutObject',
           'Resource': 'arn:aws:s3:::pail/*', 'Condition': {'StringEquals': {'s3:x-amz-server-side-encryption': 'AES256'}}}
s3.put_bucket_policy(Bucket='pail', Policy=json.dumps({'Version': '2012-10-17', 'Statement': [allowed]}))
friend.put_object(Bucket='pail', Key='friends', Body=b'ultramarine', ServerSideEncryption='AES256')
refused('AccessDenied', friend.put_object, Bucket='pail', Key='friends', Body=b'ultramarine')

# A bucket may ask for all that is written to it.
refused('ServerSideEncryptionConfigurationNotFoundError', s3.get_bucket_encryption, Bucket='pail')
rules = lambda method: {'Rules': [{'ApplyServerSideEncryptionByDefault': {'SSEAlgorithm': method}}]}
refused('NotImplemented', s3.put_bucket_encryption, Bucket='pail', ServerSideEncryptionConfiguration=rules('aws:kms'))
s3.put_bucket_encryption(Bucket='pail', ServerSideEncryptionConfiguration=rules('AES256'))
told = s3.get_bucket_encryption(Bucket='pail')['ServerSideEncryptionConfiguration']['Rules'][0]
assert told['ApplyServerSideEncryptionByDefault']['SSEAlgorithm'] == 'AES256'
s3.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
version = put('default')
assert method(version) == 'AES256' == method(head('default', VersionId=version['VersionId']))
"#,
    );
    // Also what is written through Swift; then nothing on the disks is readable.
    let tester = apus.swift().login(USERS[0]);
    tester.store("pail/swift", MARKER);
    assert_eq!(tester.get("pail/swift").send().expect(200).text(), MARKER);
    assert_eq!(marked(&apus), 0);
    // A bucket that stops asking gets it no more.
    script(
        &apus,
        folder.path(),
        "
s3.delete_bucket_encryption(Bucket='pail')
s3.put_object(Bucket='pail', Key='plain', Body=b'ultramarine')
assert 'ServerSideEncryption' not in s3.head_object(Bucket='pail', Key='plain')
",
    );
    assert!(marked(&apus) > 0);
}

#[test]
fn without_a_secret_nothing_is_said_to_be_encrypted() {
    let (apus, folder) = (without_secret(), TempDir::new().expect("a folder"));
    script(
        &apus,
        folder.path(),
        r#"
s3.create_bucket(Bucket='pail')
refused('NotImplemented', s3.put_object, Bucket='pail', Key='k', Body=b'x', ServerSideEncryption='AES256')
refused('NotImplemented', s3.create_multipart_upload, Bucket='pail', Key='k', ServerSideEncryption='AES256')
rules = {'Rules': [{'ApplyServerSideEncryptionByDefault': {'SSEAlgorithm': 'AES256'}}]}
refused('NotImplemented', s3.put_bucket_encryption, Bucket='pail', ServerSideEncryptionConfiguration=rules)
refused('ServerSideEncryptionConfigurationNotFoundError', s3.get_bucket_encryption, Bucket='pail')
assert 'ServerSideEncryption' not in s3.put_object(Bucket='pail', Key='k', Body=b'x')

# Keys are not for plain connections.
refused('InvalidRequest', s3.put_object, Bucket='pail', Key='k', Body=b'x', SSECustomerAlgorithm='AES256', SSECustomerKey='k' * 32)
refused('NoSuchUpload', s3.list_parts, Bucket='pail', Key='k', UploadId='none')
"#,
    );
}

#[test]
fn a_clients_own_key_is_needed_and_kept_nowhere() {
    let (mut apus, folder) = (with_open_keys(), TempDir::new().expect("a folder"));
    script(
        &apus,
        folder.path(),
        r#"
s3.create_bucket(Bucket='pail')
key = lambda letter, prefix='': {f'{prefix}SSECustomerAlgorithm': 'AES256', f'{prefix}SSECustomerKey': letter * 32}
mine, other = key('k'), key('o')
get = lambda name='sealed', **more: s3.get_object(Bucket='pail', Key=name, **more)
head = lambda name='sealed', **more: s3.head_object(Bucket='pail', Key=name, **more)
put = lambda name='sealed', body=b'ultramarine', **more: s3.put_object(Bucket='pail', Key=name, Body=body, **more)
is_mine = lambda answer: answer['SSECustomerAlgorithm'] == 'AES256' and answer['SSECustomerKeyMD5'] and 'ServerSideEncryption' not in answer

# Whoever has the key reads; nobody else does.
stored = put(**mine, ContentMD5=__import__('base64').b64encode(__import__('hashlib').md5(b'ultramarine').digest()).decode())
assert is_mine(stored) and stored['ETag'] != '"' + __import__('hashlib').md5(b'ultramarine').hexdigest() + '"'
got = get(**mine, ChecksumMode='ENABLED')
assert is_mine(got) and got['Body'].read() == b'ultramarine' and got['ETag'] == stored['ETag'] and 'ChecksumCRC32' in got
assert is_mine(head(**mine)) and head(**mine)['ContentLength'] == 11
assert get(**mine, Range='bytes=5-7')['Body'].read() == b'mar'
assert get(**mine, IfMatch=stored['ETag'])['Body'].read() == b'ultramarine'
refused('InvalidRequest', get)
refused('AccessDenied', get, **other)
refused('400', head)
refused('403', head, **other)
refused('BadDigest', put, name='k', **mine, ContentMD5='AAAAAAAAAAAAAAAAAAAAAA==')
put('plain')
refused('InvalidRequest', get, name='plain', **mine)
refused('InvalidArgument', put, **{**mine, 'SSECustomerKey': 'short'})
refused('InvalidArgument', put, **mine, SSECustomerKeyMD5='AAAAAAAAAAAAAAAAAAAAAA==')
refused('InvalidArgument', put, **mine, ServerSideEncryption='AES256')
assert put('empty', b'', **mine) and get('empty', **mine)['Body'].read() == b''
refused('InvalidRequest', get, name='empty')

# Copies: to another key, to none, and from none; only with the key of the source.
copy = lambda name, source='sealed', **more: s3.copy_object(Bucket='pail', Key=name, CopySource=f'pail/{source}', **more)
source = key('k', 'CopySource')
assert is_mine(copy('other', **source, **other)) and get('other', **other)['Body'].read() == b'ultramarine'
copy('opened', **source)
assert get('opened')['Body'].read() == b'ultramarine'
copy('sealed-too', 'plain', **mine)
assert get('sealed-too', **mine)['Body'].read() == b'ultramarine'
refused('InvalidRequest', copy, name='k')
refused('AccessDenied', copy, name='k', **key('x', 'CopySource'))
refused('InvalidRequest', copy, name='k', source='plain', **source)
copy('sealed', **source, **other)
assert get(**other)['Body'].read() == b'ultramarine'
refused('AccessDenied', get, **mine)
[s3.delete_object(Bucket='pail', Key=name) for name in ['plain', 'opened']]

# Uploads in parts, with the same key for each.
upload = s3.create_multipart_upload(Bucket='pail', Key='parts', **mine)
assert is_mine(upload)
upload = dict(Bucket='pail', Key='parts', UploadId=upload['UploadId'])
refused('InvalidRequest', s3.upload_part, **upload, PartNumber=1, Body=b'x')
refused('InvalidRequest', s3.upload_part, **upload, PartNumber=1, Body=b'x', **other)
first = s3.upload_part(**upload, PartNumber=1, Body=b'ultramarine' * (5 << 17), **mine)
second = s3.upload_part_copy(**upload, PartNumber=2, CopySource='pail/sealed-too', **source, **mine)
assert is_mine(first) and is_mine(second)
parts = [{'PartNumber': 1, 'ETag': first['ETag']}, {'PartNumber': 2, 'ETag': second['CopyPartResult']['ETag']}]
s3.complete_multipart_upload(**upload, MultipartUpload={'Parts': parts})
assert get('parts', **mine)['Body'].read() == b'ultramarine' * ((5 << 17) + 1)
at = 11 * (5 << 17)
assert get('parts', **mine, Range=f'bytes={at - 4}-{at + 4}')['Body'].read() == b'rineultra'
assert get('parts', **mine, PartNumber=2)['Body'].read() == b'ultramarine' and is_mine(head('parts', **mine))
refused('InvalidRequest', get, name='parts')
refused('AccessDenied', get, name='parts', **other)
refused('400', head, name='parts')

# The transfer manager.
open('large', 'wb').write(b'ultramarine' * (1 << 20))
s3.upload_file('large', 'pail', 'large', ExtraArgs=mine, Config=TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20))
s3.download_file('pail', 'large', 'back', ExtraArgs=mine)
assert open('back', 'rb').read() == open('large', 'rb').read()

# Versions keep their keys, also the one from before there were any.
s3.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
new = put(**mine)['VersionId']
assert get(**mine)['Body'].read() == b'ultramarine' and get(**mine, VersionId=new)['Body'].read() == b'ultramarine'
old = [v['VersionId'] for v in s3.list_object_versions(Bucket='pail', Prefix='sealed')['Versions'] if v['Key'] == 'sealed' and not v['IsLatest']]
assert len(old) == 1 and get(**other, VersionId=old[0])['Body'].read() == b'ultramarine'
refused('AccessDenied', get, **mine, VersionId=old[0])
refused('InvalidRequest', get, VersionId=old[0])
"#,
    );
    // Through Swift it cannot be read, nor copied, nor taken for what it is not; it can be deleted.
    let tester = apus.swift().login(USERS[0]);
    for name in ["pail/sealed", "pail/parts", "pail/other"] {
        let refused = tester.get(name).send().expect(403);
        assert!(refused.text().contains("encrypted with a key of its writer"), "{}", refused.text());
        assert_eq!(tester.head(name).send().status, 200);
    }
    assert_eq!(marked(&apus), 0);
    tester.delete("pail/parts").send().expect(204);
    // Neither does the log know a key: in Base64, as it came.
    let log = apus.stop().log;
    assert!(!log.contains("a2tra2tra2tra2tr") && !log.contains(&"k".repeat(32)));
}

#[test]
fn the_aws_cli_speaks_of_both() {
    let (apus, folder) = (with_open_keys(), TempDir::new().expect("a folder"));
    let large = MARKER.repeat(1 << 20);
    fs::write(folder.path().join("large"), &large).expect("a file");
    fs::write(folder.path().join("key"), "k".repeat(32)).expect("a file");
    let aws = |arguments: &str| run(&apus, folder.path(), "aws", &arguments.split(' ').collect::<Vec<_>>());
    aws("s3 mb s3://pail");
    // With its default checksums, in parts of 8 MiB.
    aws("s3 cp large s3://pail/plain");
    let said = aws("s3api head-object --bucket pail --key plain --checksum-mode ENABLED");
    assert!(said.contains("\"Checksum"), "{said}");
    aws("s3 cp --sse AES256 large s3://pail/sealed");
    assert!(aws("s3api head-object --bucket pail --key sealed").contains("\"ServerSideEncryption\": \"AES256\""));
    let key = "--sse-c AES256 --sse-c-key fileb://key";
    aws(&format!("s3 cp {key} large s3://pail/own"));
    for (name, options) in [("plain", ""), ("sealed", ""), ("own", key)] {
        aws(&format!("s3 cp {options} s3://pail/{name} back").replace("  ", " "));
        assert!(fs::read_to_string(folder.path().join("back")).expect("a file") == large, "{name}");
    }
    let mut refused = program(&apus, folder.path(), "aws");
    let refused = refused.args(["s3", "cp", "s3://pail/own", "other"]).output().expect("the AWS CLI");
    assert!(!refused.status.success() && !folder.path().join("other").exists());
}
