//! The clients of S3 that people have, unchanged, against `apus up`: the AWS CLI, boto3 and `rclone`.

use std::fs;
use std::path::Path;
use std::process::Command;

use apus_tests::boto::{self, run};
use apus_tests::rclone::{self, Backend};
use apus_tests::{Apus, bytes, disk, tools, tree};
use tempfile::TempDir;

/// More than the AWS CLI sends in one part.
const LARGE: usize = 20_000_000;

fn aws(apus: &Apus, folder: &Path, arguments: &[&str]) -> String {
    run(apus, folder, "aws", arguments)
}

#[test]
fn the_aws_cli_keeps_a_folder_in_step() {
    let (apus, tree, back) = (Apus::builder().start(), tree(LARGE), TempDir::new().expect("a folder"));
    let (here, there) = (tree.path(), back.path());

    // Everything goes up, the large file in parts, and comes back whole.
    aws(&apus, here, &["s3", "mb", "s3://tree"]);
    aws(&apus, here, &["s3", "sync", ".", "s3://tree/deep"]);
    aws(&apus, there, &["s3", "sync", "s3://tree/deep", "."]);
    assert_eq!(disk::contents(there), disk::contents(here));

    // A second sync has nothing to do; one with a change and a deletion brings just these.
    assert_eq!(aws(&apus, here, &["s3", "sync", ".", "s3://tree/deep", "--no-progress"]), "");
    fs::write(here.join("a.txt"), "changed, and longer").expect("a file");
    fs::remove_file(here.join("empty")).expect("a file");
    let told = aws(&apus, here, &["s3", "sync", ".", "s3://tree/deep", "--delete", "--no-progress"]);
    assert_eq!(told.lines().count(), 2, "{told}");

    // A signed URL is as good as a key.
    let signed = aws(&apus, here, &["s3", "presign", "s3://tree/deep/a.txt"]);
    let fetched = tools::run(Command::new("curl").args(["-fsS", signed.trim()])).stdout;
    assert_eq!(fetched, b"changed, and longer");

    // And all of it is gone when the bucket is.
    aws(&apus, here, &["s3", "rb", "--force", "s3://tree"]);
    assert_eq!(aws(&apus, here, &["s3", "ls"]), "");
}

#[test]
fn boto3_moves_large_files_and_keeps_versions() {
    let (apus, folder) = (Apus::builder().start(), TempDir::new().expect("a folder"));
    fs::write(folder.path().join("large"), bytes(7, LARGE)).expect("a file");
    let script = r#"
s3.create_bucket(Bucket='pail')
config = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20, max_concurrency=4)
s3.upload_file('large', 'pail', 'large', Config=config, ExtraArgs={'Metadata': {'color': 'blue'}})
head = s3.head_object(Bucket='pail', Key='large')
assert head['ETag'].endswith('-4"') and head['Metadata'] == {'color': 'blue'}, head
assert s3.head_object(Bucket='pail', Key='large', PartNumber=4)['PartsCount'] == 4
s3.download_file('pail', 'large', 'back', Config=config)
assert open('large', 'rb').read() == open('back', 'rb').read()

s3.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
first = s3.put_object(Bucket='pail', Key='k', Body=b'one')['VersionId']
second = s3.put_object(Bucket='pail', Key='k', Body=b'two', ChecksumAlgorithm='SHA256')['VersionId']
marker = s3.delete_object(Bucket='pail', Key='k')
assert marker['DeleteMarker'], marker
try:
    s3.get_object(Bucket='pail', Key='k')
    raise SystemExit('it is still there')
except s3.exceptions.NoSuchKey:
    pass
assert s3.get_object(Bucket='pail', Key='k', VersionId=first)['Body'].read() == b'one'
s3.delete_object(Bucket='pail', Key='k', VersionId=marker['VersionId'])
assert s3.get_object(Bucket='pail', Key='k')['Body'].read() == b'two'
listed = s3.list_object_versions(Bucket='pail', Prefix='k')
assert [v['VersionId'] for v in listed['Versions']] == [second, first], listed

try:
    s3.put_object(Bucket='pail', Key='k', Body=b'three', IfNoneMatch='*')
    raise SystemExit('it was overwritten')
except botocore.exceptions.ClientError as error:
    assert error.response['Error']['Code'] == 'PreconditionFailed', error
"#;
    boto::script(&apus, folder.path(), script);
}

#[test]
fn a_page_uploads_by_a_signed_form() {
    let (apus, folder) = (Apus::builder().start(), TempDir::new().expect("a folder"));
    let script = r#"
import requests
s3.create_bucket(Bucket='pail')
def send(body, **more):
    conditions = [{'x-amz-meta-from': 'form'}, ['content-length-range', 2, 20]]
    form = s3.generate_presigned_post('pail', 'forms/${filename}', Fields={'x-amz-meta-from': 'form'}, Conditions=conditions)
    return requests.post(form['url'], data={**form['fields'], **more}, files={'file': ('a b.txt', body)})

assert send(b'from a form').status_code == 204
got = s3.get_object(Bucket='pail', Key='forms/a b.txt')
assert got['Body'].read() == b'from a form' and got['Metadata'] == {'from': 'form'}, got
for refused, body, code in [({}, b'x', 'EntityTooSmall'), ({}, b'x' * 21, 'EntityTooLarge'), ({'acl': 'private'}, b'xxx', 'AccessDenied'),
                            ({'signature': 'AAAA', 'x-amz-signature': '0' * 64}, b'xxx', 'SignatureDoesNotMatch')]:
    answer = send(body, **refused)
    assert f'<Code>{code}</Code>' in answer.text, answer.text
assert s3.get_object(Bucket='pail', Key='forms/a b.txt')['Body'].read() == b'from a form'
"#;
    boto::script(&apus, folder.path(), script);
}

#[test]
fn rclone_keeps_a_folder_in_step() {
    let (apus, tree, back) = (Apus::builder().start(), tree(LARGE), TempDir::new().expect("a folder"));
    let (here, there) = (tree.path(), back.path());
    let rclone = |folder: &Path, arguments: &[&str]| rclone::run(&apus, Backend::S3, folder, arguments);

    // Up with parts of 5 MiB, and every byte is there.
    rclone(here, &["sync", ".", "apus:tree"]);
    rclone(here, &["check", "--download", ".", "apus:tree"]);

    // Down again.
    rclone(there, &["copy", "apus:tree", "."]);
    assert_eq!(disk::contents(there), disk::contents(here));
    rclone(here, &["purge", "apus:tree"]);
}

/// What Terraform's `use_lockfile`, and the logs of databases on S3, rely upon.
#[test]
fn one_of_many_takes_a_lock_and_a_counter_loses_no_step() {
    let (apus, folder) = (Apus::builder().start(), TempDir::new().expect("a folder"));
    let script = r#"
from concurrent.futures import ThreadPoolExecutor
from botocore.exceptions import ClientError

def tried(call, **arguments):
    try:
        return call(Bucket='locks', **arguments)
    except ClientError as error:
        return error.response['Error']['Code']

s3.create_bucket(Bucket='locks')
pool = ThreadPoolExecutor(8)

# Eight want the lock at once: one has it, and who has it can give it back.
for _ in range(5):
    answers = list(pool.map(lambda n: tried(s3.put_object, Key='lock', Body=b'%d' % n, IfNoneMatch='*'), range(8)))
    won = [n for n, answer in enumerate(answers) if isinstance(answer, dict)]
    lost = {answer for answer in answers if not isinstance(answer, dict)}
    assert len(won) == 1 and lost <= {'PreconditionFailed', 'ConditionalRequestConflict'}, answers
    assert s3.get_object(Bucket='locks', Key='lock')['Body'].read() == b'%d' % won[0]
    assert tried(s3.delete_object, Key='lock', IfMatch='"another"') == 'PreconditionFailed'
    assert isinstance(tried(s3.delete_object, Key='lock', IfMatch=answers[won[0]]['ETag']), dict)
    assert tried(s3.head_object, Key='lock') == '404'

# A counter that each reads and replaces: no step is lost.
assert tried(s3.put_object, Key='counter', Body=b'0', IfMatch='"nothing"') == 'NoSuchKey'
s3.put_object(Bucket='locks', Key='counter', Body=b'0')
def step(_):
    for _ in range(1000):
        seen = s3.get_object(Bucket='locks', Key='counter')
        number = int(seen['Body'].read()) + 1
        if isinstance(tried(s3.put_object, Key='counter', Body=b'%d' % number, IfMatch=seen['ETag']), dict):
            return
    raise AssertionError('never')
list(pool.map(step, range(24)))
assert s3.get_object(Bucket='locks', Key='counter')['Body'].read() == b'24'

# An upload in parts, known by its own ETag, and a copy.
upload = s3.create_multipart_upload(Bucket='locks', Key='large')['UploadId']
part = s3.upload_part(Bucket='locks', Key='large', UploadId=upload, PartNumber=1, Body=b'x' * (5 << 20))
whole = {'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]}
complete = dict(Key='large', UploadId=upload, MultipartUpload=whole)
assert tried(s3.complete_multipart_upload, IfMatch='"another"', **complete) == 'NoSuchKey'
made = tried(s3.complete_multipart_upload, IfNoneMatch='*', **complete)
source = {'Bucket': 'locks', 'Key': 'counter'}
assert tried(s3.copy_object, Key='large', CopySource=source, IfNoneMatch='*') == 'PreconditionFailed'
assert tried(s3.put_object, Key='large', Body=b'', IfMatch=part['ETag']) == 'PreconditionFailed'
doomed = lambda etag: {'Objects': [{'Key': 'large', 'ETag': etag}]}
kept = s3.delete_objects(Bucket='locks', Delete=doomed(part['ETag']))
assert [error['Code'] for error in kept['Errors']] == ['PreconditionFailed'], kept
assert len(s3.get_object(Bucket='locks', Key='large')['Body'].read()) == 5 << 20
assert len(s3.delete_objects(Bucket='locks', Delete=doomed(made['ETag']))['Deleted']) == 1
assert tried(s3.head_object, Key='large') == '404'
print('kept')
"#;
    assert_eq!(boto::script(&apus, folder.path(), script), "kept\n");
}
