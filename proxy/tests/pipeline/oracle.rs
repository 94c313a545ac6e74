//! The real Swift's steps for signatures, sites and hosts as the oracle, where `APUS_SWIFT_PYTHON` names a Python that
//! has them, as in `make test`.

use std::collections::BTreeMap;
use std::process::Command;

use crate::rig::Rig;
use apus_base::body;
use http::{HeaderMap, Method, Request};
use serde::Deserialize;
use serde_json::json;

const REQUESTS: &str = "1500";
/// The seed of the random requests; another one may be given in `APUS_SEED`.
const SEED: &str = "1";

/// What the storage server has: headers and content by name.
type Kept = BTreeMap<String, (BTreeMap<String, String>, String)>;

#[derive(Debug, Deserialize)]
struct Case {
    asked: Asked,
    answer: Answer,
}

#[derive(Debug, Deserialize)]
struct Asked {
    method: String,
    target: String,
    headers: BTreeMap<String, String>,
    body: String,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    /// Content, a byte a character, and headers by name.
    stored: BTreeMap<String, (String, BTreeMap<String, String>)>,
}

#[tokio::test]
async fn random_requests_are_answered_as_swift_answers_them() {
    let Ok(python) = std::env::var("APUS_SWIFT_PYTHON") else {
        eprintln!("left out: APUS_SWIFT_PYTHON does not name a Python that has Swift");
        return;
    };
    let seed = std::env::var("APUS_SEED").unwrap_or_else(|_| SEED.to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/swift_web.py");
    let output = Command::new(python).args([script, &seed, REQUESTS]).output().unwrap();
    assert!(output.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (kept, cases) = text.split_once('\n').unwrap();
    let rig = Rig::with(json!({ "domain_remap": { "storage_domain": ["example.com"] } })).await;
    keep(&rig, serde_json::from_str(kept).unwrap());
    let mut differences = Vec::new();
    for line in cases.lines() {
        let Case { asked, answer: expected } = serde_json::from_str(line).unwrap();
        let seen = answer(&rig, &asked, &expected).await;
        if seen != expected {
            differences.push(format!("{asked:?}\n  Apus  {seen:?}\n  Swift {expected:?}\n"));
        }
    }
    assert!(differences.is_empty(), "seed {seed}, {} differ:\n{}", differences.len(), differences.join("\n"));
}

/// The rig keeps what lives as long as the test.
fn keep(rig: &Rig, kept: Kept) {
    for (names, (headers, content)) in kept {
        let leaked = |text: String| -> &'static str { text.leak() };
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (leaked(name), leaked(value))).collect();
        rig.backend.keep(&names, &headers, leaked(content));
    }
}

/// What we answer, as much of it as Swift's answer is known of.
async fn answer(rig: &Rig, asked: &Asked, expected: &Answer) -> Answer {
    let mut request = Request::builder().method(asked.method.as_str()).uri(&asked.target);
    for (name, value) in &asked.headers {
        request = request.header(name, value);
    }
    let request = request.header("content-length", asked.body.len()).body(body::full(asked.body.clone())).unwrap();
    let seen = rig.send(request).await;
    let stored = rig.backend.take_stored().into_iter().map(|(names, bytes)| {
        let headers = rig.backend.asked(&Method::PUT, &names).unwrap();
        let known = expected.stored.get(&names).map(|(_, headers)| headers.keys()).into_iter().flatten();
        (names.clone(), (bytes.iter().map(|b| char::from(*b)).collect(), picked(&headers, known)))
    });
    let stored = stored.collect();
    let names =
        ["Location", "Content-Disposition", "Expires", "Www-Authenticate", "X-Object-Meta-A", "X-Object-Meta-Public-B"];
    let body = if asked.method == "HEAD" { String::new() } else { seen.body };
    Answer { status: seen.status.as_u16(), headers: picked(&seen.headers, names), body, stored }
}

fn picked(headers: &HeaderMap, names: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeMap<String, String> {
    let text = |name: &str| Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned());
    let found = names.into_iter().filter_map(|name| Some((name.as_ref().to_owned(), text(name.as_ref())?)));
    found.collect()
}
