//! The judge: the real Swift's own functional suite, from its source package, run from outside against a cluster of many
//! processes. `make test-swift` runs it; it takes longer than a story should.
//!
//! Every test that the real Swift passes with the same configuration has to pass here. `swift_suite/skipped.txt` names those
//! that the real one skips, with its reasons; nothing else may be skipped.

use apus_tests::{Certificate, Cluster, suite};

/// The proxy's settings that the suite's own sample configuration asks for: its users, a second reseller with service users, a
/// domain. One test reserves four times the largest object on every device, so that is small.
const SETTINGS: &str = r#"
resellers = [{ prefix = "AUTH" }, { prefix = "SERVICE", require_group = "service" }]
users = [
    { account = "admin", user = "admin", key = "admin", groups = [".admin", ".reseller_admin"] },
    { account = "test", user = "tester", key = "testing", groups = [".admin"] },
    { account = "test", user = "tester2", key = "testing2", groups = [".admin"] },
    { account = "test", user = "tester3", key = "testing3" },
    { account = "test2", user = "tester2", key = "testing2", groups = [".admin"] },
    { account = "test5", user = "tester5", key = "testing5", groups = ["service"] },
    { account = "test", user = "tester6", key = "testing6", groups = [".reseller_admin"] },
]
constraints = { max_file_size = 1073741826 }
allow_open_expired = true
domain_remap = { storage_domain = ["example.com"] }
"#;

/// The suite's configuration for a cluster at `url`.
fn configuration(url: &str) -> String {
    format!(
        "[func_test]
auth_uri = {url}/auth/v1.0
account = test
username = tester
password = testing
account2 = test2
username2 = tester2
password2 = testing2
username3 = tester3
password3 = testing3
account5 = test5
username5 = tester5
password5 = testing5
service_prefix = SERVICE
account6 = test
username6 = tester6
password6 = testing6
collate = C
insecure = yes
storage_domain = example.com
"
    )
}

#[track_caller]
fn judge(url: &str) {
    let outcomes = suite::run("test/functional", &configuration(url), &["--ignore=test/functional/s3api"]);
    suite::judge(&outcomes, &suite::listed("tests/tests/swift_suite/skipped.txt"));
}

#[test]
#[ignore = "takes minutes: make test-swift"]
fn swifts_own_suite_passes() {
    let cluster = Cluster::builder().policies(&["gold", "silver"]).settings("proxy", SETTINGS).start();
    judge(&format!("http://{}", cluster.swift().address));
}

#[test]
#[ignore = "takes minutes: make test-swift"]
fn swifts_own_suite_passes_over_tls() {
    let certificate = Certificate::new();
    let settings = format!("{SETTINGS}{}", certificate.settings());
    let cluster = Cluster::builder().policies(&["gold", "silver"]).settings("proxy", &settings).start();
    judge(&format!("https://{}", cluster.swift().address));
}

#[test]
#[ignore = "takes minutes: make test-swift"]
fn swifts_own_suite_passes_with_encryption_at_rest() {
    let secret = "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA=";
    let settings = format!("{SETTINGS}encryption = {{ root_secret = \"{secret}\" }}\n");
    let cluster = Cluster::builder().policies(&["gold", "silver"]).settings("proxy", &settings).start();
    judge(&format!("http://{}", cluster.swift().address));
}
