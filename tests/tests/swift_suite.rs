//! The judge: the real Swift's own functional suite, from its source package, run from outside against a cluster of many
//! processes. `make test-swift` runs it; it takes longer than a story should.
//!
//! Every test that the real Swift passes with the same configuration has to pass here. `swift_suite/skipped.txt` names those
//! that the real one skips, with its reasons; nothing else may be skipped.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use apus_tests::{Certificate, Cluster, tools};
use tempfile::TempDir;

/// What the suite calls an outcome, as pytest prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Passed,
    Failed,
    Skipped,
}

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

/// Runs the suite, shows each test as it ends, and returns all outcomes by name.
fn run(url: &str) -> BTreeMap<String, Outcome> {
    let folder = TempDir::new().expect("a temporary folder");
    let configuration_file = folder.path().join("test.conf");
    fs::write(&configuration_file, configuration(url)).expect("a configuration");
    let mut pytest = Command::new(tools::python_program("python"));
    pytest.args([
        "-m",
        "pytest",
        "-v",
        "--tb=short",
        "-p",
        "no:cacheprovider",
        "-o",
        "python_files=test_*.py tests.py",
    ]);
    pytest.args(["test/functional", "--ignore=test/functional/s3api"]);
    if let Ok(only) = std::env::var("APUS_SUITE_ONLY") {
        pytest.args(["-k", &only]);
    }
    pytest.env("SWIFT_TEST_CONFIG_FILE", &configuration_file).current_dir(sources()).stdout(Stdio::piped());
    let mut running = pytest.spawn().expect("pytest");
    let mut outcomes = BTreeMap::new();
    for line in BufReader::new(running.stdout.take().expect("a piped stream")).lines() {
        let line = line.expect("text");
        println!("{line}");
        outcomes.extend(outcome(&line));
    }
    running.wait().expect("pytest's end");
    outcomes
}

/// The test and its outcome in a line such as `test/functional/test_slo.py::TestSlo::test_a PASSED [ 50%]`.
fn outcome(line: &str) -> Option<(String, Outcome)> {
    let (test, rest) = line.split_once(' ').filter(|(test, _)| test.contains(".py::"))?;
    let outcome = match rest.split_whitespace().next()? {
        "PASSED" | "XFAIL" => Outcome::Passed,
        "FAILED" | "ERROR" | "XPASS" => Outcome::Failed,
        "SKIPPED" => Outcome::Skipped,
        _ => return None,
    };
    Some((test.trim_start_matches("test/functional/").to_owned(), outcome))
}

fn sources() -> PathBuf {
    let sources = std::env::var_os("APUS_SWIFT_SOURCES");
    PathBuf::from(sources.expect("APUS_SWIFT_SOURCES is not set: run `make test-swift`, which fetches them"))
}

/// The tests that the real Swift skips in the same configuration.
fn skipped_by_the_real_one() -> Vec<String> {
    let list = fs::read_to_string(tools::checkout().join("tests/tests/swift_suite/skipped.txt")).expect("the list");
    let tests = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    tests.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Passed, failed and skipped tests for each file.
fn show_table(outcomes: &BTreeMap<String, Outcome>) {
    let mut files: BTreeMap<&str, [u32; 3]> = BTreeMap::new();
    for (test, outcome) in outcomes {
        let file = test.split("::").next().unwrap_or(test);
        files.entry(file).or_default()[*outcome as usize] += 1;
    }
    println!("\n{:<32} {:>7} {:>7} {:>7}", "file", "passed", "failed", "skipped");
    for (file, [passed, failed, skipped]) in &files {
        println!("{file:<32} {passed:>7} {failed:>7} {skipped:>7}");
    }
    let all = files.values().fold([0; 3], |sum, file| [sum[0] + file[0], sum[1] + file[1], sum[2] + file[2]]);
    println!("{:<32} {:>7} {:>7} {:>7}", "all", all[0], all[1], all[2]);
}

#[track_caller]
fn judge(url: &str) {
    let outcomes = run(url);
    show_table(&outcomes);
    assert!(!outcomes.is_empty(), "the suite ran no test");
    let skippable = skipped_by_the_real_one();
    let is_bad = |(test, outcome): &(&String, &Outcome)| match outcome {
        Outcome::Passed => false,
        Outcome::Skipped => !skippable.contains(test),
        Outcome::Failed => true,
    };
    let bad: Vec<_> = outcomes.iter().filter(is_bad).map(|(test, outcome)| format!("{outcome:?} {test}")).collect();
    assert!(bad.is_empty(), "{} tests that the real Swift passes do not pass here:\n{}", bad.len(), bad.join("\n"));
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
