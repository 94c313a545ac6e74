//! The real Swift's object server as the oracle, where `APUS_SWIFT_PYTHON` names a Python that has it, as in `make test`.

use super::Node;
use crate::config::Config;

/// The seed of the random requests; another one may be given in `APUS_SEED`.
const SEED: &str = "1";

#[tokio::test]
async fn the_same_requests_get_the_same_answers() {
    let Ok(python) = std::env::var("APUS_SWIFT_PYTHON") else {
        eprintln!("left out: APUS_SWIFT_PYTHON does not name a Python that has Swift");
        return;
    };
    let node = Node::start(Config { chunk_size: 512, ..Config::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let seed = std::env::var("APUS_SEED").unwrap_or_else(|_| SEED.to_owned());
    let asking = tokio::process::Command::new(python)
        .arg(format!("{}/tests/swift_server.py", std::env::var("CARGO_MANIFEST_DIR").unwrap()))
        .arg(&node.address)
        .arg(folder.path())
        .args([seed.as_str(), "150"])
        .output();
    let output = asking.await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "seed {seed}\n{out}\n{err}");
}
