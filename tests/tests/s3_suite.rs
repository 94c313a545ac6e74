//! The judge of the S3 face: the S3 parts of the real Swift's own suites, run from outside against a cluster of many processes.
//! `make test-swift` runs it with the rest.
//!
//! Every test that the real Swift passes has to pass here, but for those in `s3_suite/left_out.txt`; `s3_suite/skipped.txt` names
//! those that do not apply. Both have the reasons.

use apus_tests::{Cluster, suite};

/// The users of the suites' sample configuration. Swift's own limit of parts is what its tests expect.
const SETTINGS: &str = r#"
users = [
    { account = "test", user = "tester", key = "testing", groups = [".admin"] },
    { account = "test", user = "tester2", key = "testing2", groups = [".admin"] },
    { account = "test", user = "tester3", key = "testing3" },
    { account = "test2", user = "tester2", key = "testing2", groups = [".admin"] },
]
s3 = { max_upload_part_num = 1000 }
"#;

/// The suites' configuration for a cluster at `url`. Lists of Swift's own `s3_acl` mode are not spoken here.
fn configuration(url: &str) -> String {
    format!(
        "[func_test]
auth_uri = {url}/auth/v1.0
s3_storage_url = {url}/
s3_region = us-east-1
account = test
username = tester
password = testing
s3_access_key = test:tester
s3_secret_key = testing
s3_access_key2 = test:tester2
s3_secret_key2 = testing2
s3_access_key3 = test:tester3
s3_secret_key3 = testing3
account2 = test2
username2 = tester2
password2 = testing2
username3 = tester3
password3 = testing3
collate = C
insecure = yes
[s3api_test]
endpoint = {url}
region = us-east-1
access_key1 = test:tester
secret_key1 = testing
access_key2 = test:tester2
secret_key2 = testing2
access_key3 = test:tester3
secret_key3 = testing3
s3_acl_tests_enabled = false
"
    )
}

#[track_caller]
fn judge(folder: &str) {
    let cluster = Cluster::builder().settings("proxy", SETTINGS).start();
    let url = format!("http://{}", cluster.swift().address);
    let left_out = suite::listed("tests/tests/s3_suite/left_out.txt");
    let left_out: Vec<String> = left_out.iter().map(|test| format!("--deselect={folder}/{test}")).collect();
    let left_out: Vec<&str> = left_out.iter().map(String::as_str).collect();
    let outcomes = suite::run(folder, &configuration(&url), &left_out);
    suite::judge(&outcomes, &suite::listed("tests/tests/s3_suite/skipped.txt"));
}

#[test]
#[ignore = "takes minutes: make test-swift"]
fn swifts_s3_suite_passes() {
    judge("test/s3api");
}

#[test]
#[ignore = "takes minutes: make test-swift"]
fn swifts_functional_s3_suite_passes() {
    judge("test/functional/s3api");
}
