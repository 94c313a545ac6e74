//! Objects that were uploaded piece by piece.

use std::fs;
use std::path::Path;

use apus_tests::boto::{self, run};
use apus_tests::{Apus, bytes};
use tempfile::TempDir;

/// Five parts of the AWS CLI.
const LARGE: usize = 40_000_000;
/// What it sends as one part.
const PART: usize = 8 << 20;

/// A cluster, and a folder with a large file.
fn start() -> (Apus, TempDir, Vec<u8>) {
    let (folder, large) = (TempDir::new().expect("a folder"), bytes(4, LARGE));
    fs::write(folder.path().join("large"), &large).expect("a file");
    (Apus::builder().start(), folder, large)
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).expect("a file")
}

#[test]
fn parts_of_the_aws_cli_are_read_ranged_and_copied_by_swift() {
    let (apus, folder, large) = start();
    let here = folder.path();
    let aws = |arguments: &[&str]| run(&apus, here, "aws", arguments);
    let swift = |arguments: &[&str]| run(&apus, here, "swift", arguments);
    aws(&["s3", "mb", "s3://pail"]);
    aws(&["s3", "cp", "--no-progress", "--metadata", "color=blue", "large", "s3://pail/in parts"]);

    // It is a large object for Swift, as long as the file, and whole.
    let told = swift(&["stat", "pail", "in parts"]);
    for line in ["Content Length: 40000000", "Meta Color: blue", "X-Static-Large-Object: True"] {
        assert!(told.contains(line), "{told}");
    }
    swift(&["download", "pail", "in parts", "-o", "whole"]);
    assert!(read(here, "whole") == large);

    // Ranges: over a seam, over all of a part and both of its seams, the end, and what begins with a part.
    for (range, expected) in [
        (format!("{}-{}", PART - 8, PART + 7), &large[PART - 8..PART + 8]),
        (format!("{}-{}", PART - 1, 2 * PART), &large[PART - 1..=2 * PART]),
        ("-5".into(), &large[LARGE - 5..]),
        (format!("{}-", 4 * PART), &large[4 * PART..]),
    ] {
        let header = format!("Range: bytes={range}");
        swift(&["download", "pail", "in parts", "-H", &header, "-o", "part", "--ignore-checksum"]);
        assert!(read(here, "part") == expected, "{range}");
    }

    // A copy by Swift is an object of its own, with the metadata, and stays when the upload and its parts go.
    swift(&["copy", "-d", "/pail/copied", "pail", "in parts"]);
    aws(&["s3", "rm", "s3://pail/in parts"]);
    aws(&["s3", "cp", "--no-progress", "s3://pail/copied", "back"]);
    assert!(read(here, "back") == large);
    let head = aws(&["s3api", "head-object", "--bucket", "pail", "--key", "copied"]);
    assert!(head.contains(r#""color": "blue""#) && head.contains(&apus_tests::md5_hex(&large)), "{head}");
}

#[test]
fn segments_of_swift_are_read_ranged_and_copied_by_boto3() {
    let (apus, folder, large) = start();
    let here = folder.path();
    let swift = |arguments: &[&str]| run(&apus, here, "swift", arguments);
    swift(&["upload", "--use-slo", "--segment-size", "7000000", "pail", "large", "--object-name", "in segments"]);

    let script = r#"
from botocore.exceptions import ClientError
large = open('large', 'rb').read()
of = dict(Bucket='pail', Key='in segments')

# Its length is the file's, and its ETag is none that could be taken for an MD5.
head = s3.head_object(**of)
assert head['ContentLength'] == len(large) and head['ETag'].endswith('-N"'), head
assert [o['Size'] for o in s3.list_objects_v2(Bucket='pail')['Contents']] == [len(large)]

# Whole, in ranges over the seams of segments, and by its ETag.
assert s3.get_object(**of, IfMatch=head['ETag'])['Body'].read() == large
for first, last in [(6999990, 7000009), (6999999, 14000000), (35000000, 39999999)]:
    got = s3.get_object(**of, Range=f'bytes={first}-{last}')
    assert got['ContentRange'] == f'bytes {first}-{last}/{len(large)}' and got['Body'].read() == large[first:last + 1], first
assert s3.get_object(**of, Range='bytes=-5')['Body'].read() == large[-5:]
refused('PreconditionFailed', s3.get_object, **of, IfMatch='"another"')

# By the transfer manager: many ranges at once.
config = TransferConfig(multipart_threshold=6 << 20, multipart_chunksize=6 << 20, max_concurrency=4)
s3.download_file('pail', 'in segments', 'back', Config=config)
assert open('back', 'rb').read() == large

# Copied in one request, and in parts that are ranges over the seams.
s3.copy_object(Bucket='pail', Key='one', CopySource=of)
s3.copy(of, 'pail', 'parts', Config=config)
assert s3.head_object(Bucket='pail', Key='parts')['ETag'].endswith('-7"')
s3.delete_object(**of)
"#;
    boto::script(&apus, here, script);

    // It went with its segments, and the copies stay.
    assert_eq!(swift(&["list", "pail_segments"]), "");
    for copy in ["one", "parts"] {
        swift(&["download", "pail", copy, "-o", "copy"]);
        assert!(read(here, "copy") == large, "{copy}");
    }
}
