use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Recon, Sources, Sums};
use crate::body;
use crate::fs::{Devices, Reserve};
use crate::recon::ReconCache;

fn recon(folder: &TempDir) -> Recon {
    std::fs::create_dir_all(folder.path().join("devices/d1")).unwrap();
    let sources = Sources {
        devices: Arc::new(Devices::new(folder.path().join("devices"), 1)),
        reserve: Reserve::default(),
        cache: ReconCache::new(folder.path().join("recon")),
        sums: Sums::new(Vec::new(), PathBuf::from("/nowhere/swift.conf"), "cluster"),
    };
    Recon::new("object", Arc::new(sources), BTreeSet::new)
}

async fn get(recon: &Recon, path: &str) -> Result<Value, StatusCode> {
    let answer = recon.answer(path).await.unwrap();
    let status = answer.status();
    let text = body::read_to_end(answer.into_body(), 1 << 20).await.unwrap();
    if status == StatusCode::OK { Ok(serde_json::from_slice(&text).unwrap()) } else { Err(status) }
}

#[tokio::test]
async fn what_no_pass_has_told_is_null_and_what_one_told_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let recon = recon(&folder);
    let nothing = json!({"async_pending": null, "async_pending_last": null});
    assert_eq!(get(&recon, "/recon/async").await, Ok(nothing));
    let Value::Object(told) = json!({"async_pending": 3, "other": 1}) else { panic!() };
    recon.sources.cache.merge("object", told);
    assert_eq!(get(&recon, "/recon/async").await.unwrap()["async_pending"], 3);
    assert_eq!(get(&recon, "/recon/replication").await, get(&recon, "/recon/replication/object").await);
    assert_eq!(get(&recon, "/recon/sharding").await.unwrap()["sharding_stats"], Value::Null);
}

#[tokio::test]
async fn every_question_of_swifts_tools_has_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let recon = recon(&folder);
    let plain = "version load mem async devices mounted unmounted diskusage ringmd5 swiftconfmd5 quarantined sockstat \
                 driveaudit time sharding relinker reconstruction/object expirer/object";
    let kinds = ["account", "container", "object"];
    let of_kinds = kinds.iter().flat_map(|kind| ["replication", "auditor"].map(|what| format!("{what}/{kind}")));
    let updaters = ["updater/container", "updater/object"].map(str::to_owned);
    for what in plain.split_whitespace().map(str::to_owned).chain(of_kinds).chain(updaters) {
        get(&recon, &format!("/recon/{what}")).await.unwrap_or_else(|status| panic!("{what}: {status}"));
    }
    for unknown in ["", "nonsense", "replication/proxy", "updater/account", "expirer", "auditor"] {
        assert_eq!(get(&recon, &format!("/recon/{unknown}")).await, Err(StatusCode::NOT_FOUND), "{unknown}");
    }
    assert!(recon.answer("/recon/redundancy/d1").await.is_none());
}
