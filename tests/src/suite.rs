//! The real Swift's own suites, from its source package, run from outside against a cluster, and what became of each test.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::tools;

/// What a suite calls an outcome, as pytest prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed, or could not begin.
    Failed,
    /// It did not apply.
    Skipped,
}

/// All outcomes, by the names of the tests without the suite's folder.
pub type Outcomes = BTreeMap<String, Outcome>;

/// Runs the suite in a folder of Swift's sources with a configuration for it, and shows each test as it ends.
///
/// # Panics
/// When it cannot be run.
pub fn run(folder: &str, configuration: &str, more: &[&str]) -> Outcomes {
    let scratch = TempDir::new().expect("a temporary folder");
    let configuration_file = scratch.path().join("test.conf");
    fs::write(&configuration_file, configuration).expect("a configuration");
    let mut pytest = Command::new(tools::python_program("python"));
    pytest.args(["-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider"]);
    pytest.args(["-o", "python_files=test_*.py tests.py", folder]).args(more);
    if let Ok(only) = std::env::var("APUS_SUITE_ONLY") {
        pytest.args(["-k", &only]);
    }
    pytest.env("SWIFT_TEST_CONFIG_FILE", &configuration_file).current_dir(sources()).stdout(Stdio::piped());
    let mut running = pytest.spawn().expect("pytest");
    let mut outcomes = BTreeMap::new();
    for line in BufReader::new(running.stdout.take().expect("a piped stream")).lines() {
        let line = line.expect("text");
        println!("{line}");
        outcomes.extend(outcome(&line, folder));
    }
    running.wait().expect("pytest's end");
    outcomes
}

/// The test and its outcome in a line such as `test/functional/test_slo.py::TestSlo::test_a PASSED [ 50%]`.
fn outcome(line: &str, folder: &str) -> Option<(String, Outcome)> {
    let (test, rest) = line.split_once(' ').filter(|(test, _)| test.contains(".py::"))?;
    let outcome = match rest.split_whitespace().next()? {
        "PASSED" | "XFAIL" => Outcome::Passed,
        "FAILED" | "ERROR" | "XPASS" => Outcome::Failed,
        "SKIPPED" => Outcome::Skipped,
        _ => return None,
    };
    Some((test.trim_start_matches(folder).trim_start_matches('/').to_owned(), outcome))
}

fn sources() -> PathBuf {
    let sources = std::env::var_os("APUS_SWIFT_SOURCES");
    PathBuf::from(sources.expect("APUS_SWIFT_SOURCES is not set: run `make test-swift`, which fetches them"))
}

/// The tests that a list names, one in each line; what stands behind a name is the reason.
///
/// # Panics
/// When there is no such list.
pub fn listed(path: &str) -> Vec<String> {
    let list = fs::read_to_string(tools::checkout().join(path)).expect("the list");
    let tests = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    tests.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Passed, failed and skipped tests for each file.
fn show_table(outcomes: &Outcomes) {
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

/// Fails the story unless every test passed but those that may be skipped.
///
/// # Panics
/// Then.
#[track_caller]
pub fn judge(outcomes: &Outcomes, skippable: &[String]) {
    show_table(outcomes);
    assert!(!outcomes.is_empty(), "the suite ran no test");
    let is_bad = |(test, outcome): &(&String, &Outcome)| match outcome {
        Outcome::Passed => false,
        Outcome::Skipped => !skippable.contains(test),
        Outcome::Failed => true,
    };
    let bad: Vec<_> = outcomes.iter().filter(is_bad).map(|(test, outcome)| format!("{outcome:?} {test}")).collect();
    assert!(bad.is_empty(), "{} tests that the real Swift passes do not pass here:\n{}", bad.len(), bad.join("\n"));
}
