//! What each of its servers knows of an account or a container, in the words of swift-account-info and swift-container-info.
//!
//! The listings of a device belong to the process that has them open, so the servers are asked. Where one gives no answer and
//! the device is on this machine, its listings are read beside it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use apus_base::db::info::Head;
use apus_base::db::{Kind, ListingId, Offline};
use apus_base::hash_path::PathHash;
use apus_base::listing::describe;
use apus_base::policy::PolicyIndex;
use apus_base::ring::{Device, Ring};
use apus_base::timestamp::Timestamp;
use apus_base::wire::backend_path;
use serde_json::Value;

use super::nodes::{self, Place};
use super::{Sight, split};
use crate::error::StartError;
use crate::view::{self, Host, View};

/// How long a server has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn account(view: &View, account: &str, drop_prefixes: bool) -> Result<Sight, StartError> {
    let names = split(&[account.to_owned()], 1, "an account")?;
    Ok(show(view, Kind::Account, names, drop_prefixes).await)
}

pub(super) async fn container(view: &View, target: &[String], drop_prefixes: bool) -> Result<Sight, StartError> {
    let names = split(target, 2, "ACCOUNT/CONTAINER")?;
    Ok(show(view, Kind::Container, names, drop_prefixes).await)
}

async fn show(view: &View, kind: Kind, names: Vec<String>, drop_prefixes: bool) -> Sight {
    let (ring, folder): (&Ring, _) = match kind {
        Kind::Account => (&view.rings.account, "accounts"),
        Kind::Container => (&view.rings.container, "containers"),
    };
    let hash = nodes::hash(&view.cluster.hash_path, &names);
    let partition = ring.partition(&hash.0);
    let primaries: Vec<&Device> = ring.primaries(partition).collect();
    let scout = view.scout(PATIENCE);
    let parts: Vec<&str> = names.iter().map(String::as_str).collect();
    let asked = view::each(&primaries, |device| {
        let target = format!("{}{}", describe::PATH, backend_path(&device.device, partition, &parts));
        let (scout, host) = (&scout, Host::of(device));
        async move { scout.get(&host, &target).await.map(|heard| heard.value) }
    });
    let mut sight = Sight::default();
    let mut versions = BTreeSet::new();
    for (device, answer) in primaries.iter().zip(asked.await) {
        sight.line(format!("--> {}:{} {}", device.ip, device.port, device.device));
        let id = ListingId { kind, hash };
        match answer.or_else(|reason| offline(view, device, id).ok_or(reason)) {
            Ok(told) => {
                described(&mut sight, view, &told, hash, drop_prefixes);
                versions
                    .insert(["hash", "put_timestamp", "delete_timestamp", "metadata"].map(|key| told[key].to_string()));
            }
            Err(reason) => {
                sight.line(format!("nothing: {reason}"));
                sight.unsound = true;
            }
        }
        sight.line("");
    }
    sight.unsound |= versions.len() > 1;
    let verdict = match (sight.unsound, versions.len()) {
        (false, _) => "OK: every primary knows the same",
        (true, 0 | 1) => "WRONG: not every primary has it",
        _ => "WRONG: the primaries differ",
    };
    sight.line(format!("{verdict}\n"));
    let policy = None;
    nodes::show(&mut sight, &Place { ring, folder: folder.into(), names, hash: Some(hash), partition, policy }, false);
    sight
}

/// What is on a disk of this machine, if the device is here.
fn offline(view: &View, device: &Device, id: ListingId) -> Option<Value> {
    let folder = view.config.node.devices.join(&device.device);
    let scratch = std::env::temp_dir().join(format!("apus-inspect-{}", std::process::id()));
    let read = Offline::open(&folder, &scratch).and_then(|listings| Head::load(&listings, id));
    remove(&scratch);
    let head = read.inspect_err(|error| tracing::warn!(%error, "the listings on the disk cannot be read")).ok()??;
    let deleted = head.info.status_deleted || head.info.delete_timestamp > head.info.put_timestamp;
    Some(describe::value(&head, deleted))
}

/// What a reader leaves behind is only its log.
fn remove(scratch: &Path) {
    let _ = std::fs::remove_dir_all(scratch);
}

fn described(sight: &mut Sight, view: &View, told: &Value, hash: PathHash, drop_prefixes: bool) {
    let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
    let (account, container) = (text("account"), text("container"));
    let of_container = !container.is_empty();
    sight.line(format!("Path: /{account}{}{container}", if of_container { "/" } else { "" }));
    sight.line(format!("  Account: {account}"));
    if of_container {
        sight.line(format!("  Container: {container}"));
    }
    let python = |yes: bool| if yes { "True" } else { "False" };
    sight.line(format!("  Deleted: {}", python(told["deleted"].as_bool().unwrap_or_default())));
    sight.line(format!("  {} Hash: {hash}", if of_container { "Container" } else { "Account" }));
    sight.line("Metadata:");
    let time = |sight: &mut Sight, title: &str, value: &Value| {
        let at: Timestamp = value.as_str().and_then(|text| text.parse().ok()).unwrap_or(Timestamp::ZERO);
        sight.line(format!("  {title}: {} ({})", at.isoformat(), at.internal()));
    };
    let titles = [
        ("Created at", "created_at"),
        ("Put Timestamp", "put_timestamp"),
        ("Delete Timestamp", "delete_timestamp"),
        ("Status Timestamp", "status_changed_at"),
    ];
    titles.iter().for_each(|(title, key)| time(sight, title, &told[key]));
    let sum = |key: &str| -> u64 {
        told["policies"].as_object().into_iter().flatten().filter_map(|(_, stats)| stats[key].as_u64()).sum()
    };
    if of_container {
        sight.line(format!("  Object Count: {}\n  Bytes Used: {}", sum("rows"), sum("bytes")));
        let index = told["policy"].as_u64().and_then(|index| u32::try_from(index).ok()).map(PolicyIndex);
        let policy = index.and_then(|index| view.cluster.policies.get(index));
        let name = policy.map_or("Unknown", |policy| policy.name.as_str());
        sight.line(format!("  Storage Policy: {name} ({})", told["policy"]));
        let reported = &told["reported"];
        time(sight, "Reported Put Timestamp", &reported["put_timestamp"]);
        time(sight, "Reported Delete Timestamp", &reported["delete_timestamp"]);
        sight.line(format!("  Reported Object Count: {}", reported["objects"]));
        sight.line(format!("  Reported Bytes Used: {}", reported["bytes"]));
    } else {
        let counts = (sum("rows"), sum("objects"), sum("bytes"));
        sight
            .line(format!("  Container Count: {}\n  Object Count: {}\n  Bytes Used: {}", counts.0, counts.1, counts.2));
    }
    sight.line(format!("  Chexor: {}\n  State: {}", text("hash"), text("state")));
    metadata(sight, told, if of_container { "container" } else { "account" }, drop_prefixes);
}

fn metadata(sight: &mut Sight, told: &Value, kind: &str, drop_prefixes: bool) {
    for (what, prefix) in [("system", format!("x-{kind}-sysmeta-")), ("user", format!("x-{kind}-meta-"))] {
        let items = told["metadata"].as_object().into_iter().flatten();
        let items: Vec<_> = items.filter(|(name, _)| name.to_ascii_lowercase().starts_with(&prefix)).collect();
        if items.is_empty() {
            sight.line(format!("No {what} metadata found in db file"));
            continue;
        }
        let title = if what == "system" { "System" } else { "User" };
        sight.line(format!("  {title} Metadata:"));
        for (name, item) in items {
            let shown = if drop_prefixes { &name[prefix.len()..] } else { name };
            sight.line(format!("    {shown}: {}", item[0].as_str().unwrap_or_default()));
        }
    }
}
