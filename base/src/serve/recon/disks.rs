//! What recon says of the devices: which are there, how full they are, what lies in their quarantine.
//!
//! The devices are those that the rings give this node; without any, all folders that are there. One counts as mounted when the folder is there and,
//! where any device is a disk of its own, it is one too: an empty mount point is none. Each disk is asked on its own queue, so
//! one that hangs is reported and holds up nobody.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde_json::{Map, Value, json};

use crate::fs::{Device, Devices, Reserve};

/// How long a disk has to answer a question about itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// What stands under `mounted`.
type Mounted = Result<Arc<Device>, Value>;

/// The devices that are not there: `[{"device", "mounted"}]`, where `mounted` is false or says what is wrong.
pub(super) async fn unmounted(devices: &Devices, expected: BTreeSet<String>) -> Value {
    let all = all(devices, expected).await;
    let away = all.into_iter().filter_map(|(name, mounted)| Some((name, mounted.err()?)));
    away.map(|(device, mounted)| json!({"device": device, "mounted": mounted})).collect::<Vec<_>>().into()
}

/// How full each device is, in bytes; beside Swift's keys whether it takes no more writes.
pub(super) async fn usage(devices: &Devices, expected: BTreeSet<String>, reserve: Reserve) -> Value {
    let each = all(devices, expected).await.into_iter().map(|(name, mounted)| async move {
        let found = match mounted {
            Ok(device) => ask(&device, move |device| used(device, reserve)).await,
            Err(mounted) => Err(mounted),
        };
        found.unwrap_or_else(|mounted| json!({"device": name, "mounted": mounted, "size": "", "used": "", "avail": ""}))
    });
    join_all(each).await.into()
}

fn used(device: &Device, reserve: Reserve) -> io::Result<Value> {
    let found = statvfs(device.path())?;
    let size = found.f_frsize.saturating_mul(found.f_blocks);
    let used = found.f_frsize.saturating_mul(found.f_blocks.saturating_sub(found.f_bavail));
    Ok(json!({
        "device": device.name(), "mounted": true,
        "size": size, "used": used, "avail": found.f_frsize.saturating_mul(found.f_bavail),
        "read_only": found.f_flag.contains(StatVfsMountFlags::RDONLY), "full": reserve.check(device).is_err(),
    }))
}

/// How much is in quarantine, in Swift's shape.
pub(super) async fn quarantined(devices: &Devices) -> Value {
    let there: Vec<_> = devices.names().into_iter().filter_map(|name| devices.get(&name).ok()).collect();
    let counted = join_all(there.iter().map(|device| ask(device, |device| Ok(counts(device.path()).into())))).await;
    let (mut totals, mut policies) = (json!({"objects": 0, "containers": 0, "accounts": 0}), Map::new());
    for (kind, many) in counted.iter().flatten().filter_map(Value::as_object).flatten() {
        let many = many.as_u64().unwrap_or_default();
        let total = if kind.starts_with("objects") { "objects" } else { kind };
        totals[total] = (totals[total].as_u64().unwrap_or_default() + many).into();
        if total == "objects" && many > 0 {
            let policy = kind.split_once('-').map_or("0", |(_, policy)| policy);
            let before = policies.get(policy).and_then(|p| p["objects"].as_u64()).unwrap_or_default();
            policies.insert(policy.to_owned(), json!({"objects": before + many}));
        }
    }
    totals["policies"] = policies.into();
    totals
}

/// How many entries each folder of a device's quarantine has. Its link count, by which Swift tells, is 1 on btrfs.
fn counts(device: &Path) -> Map<String, Value> {
    let folders = fs::read_dir(device.join("quarantined")).into_iter().flatten().flatten();
    let counted = folders.filter_map(|folder| {
        let many = fs::read_dir(folder.path()).ok()?.count();
        Some((folder.file_name().into_string().ok()?, many.into()))
    });
    counted.collect()
}

/// Every device by name, with what is wrong with it if it is not there.
async fn all(devices: &Devices, expected: BTreeSet<String>) -> Vec<(String, Mounted)> {
    let names = if expected.is_empty() { devices.names().into_iter().collect() } else { expected };
    let root = fs::metadata(devices.root()).ok().map(|found| found.dev());
    let looked = join_all(names.into_iter().map(|name| async move {
        let Ok(device) = devices.get(&name) else { return (name, Err(Value::Bool(false))) };
        // Reading, so that a disk that only fails to be read does not pass for one that is there.
        let disk =
            ask(&device, |device| Ok((fs::read_dir(device.path())?, fs::metadata(device.path())?.dev()).1)).await;
        (name, disk.map(|disk| (device, Some(disk) != root)))
    }))
    .await;
    let are_disks = looked.iter().any(|(_, found)| matches!(found, Ok((_, true))));
    let judge = |(device, is_disk): (Arc<Device>, bool)| {
        if are_disks && !is_disk { Err(Value::Bool(false)) } else { Ok(device) }
    };
    looked.into_iter().map(|(name, found)| (name, found.and_then(judge))).collect()
}

/// Asks a disk, for a while; the error says what is wrong, as Swift has it under `mounted`.
async fn ask<T, F>(device: &Arc<Device>, look: F) -> Result<T, Value>
where
    T: Send + 'static,
    F: FnOnce(&Device) -> io::Result<T> + Send + 'static,
{
    let looked = Arc::clone(device);
    match tokio::time::timeout(PATIENCE, device.queue().run(move || look(&looked))).await {
        Ok(Ok(answer)) => answer.map_err(|error| error.to_string().into()),
        Ok(Err(error)) => Err(error.to_string().into()),
        Err(_) => Err(format!("the disk did not answer within {} s", PATIENCE.as_secs()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_of_the_rings_without_a_folder_is_not_mounted() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d1")).unwrap();
        let devices = Devices::new(root.path(), 1);
        let expected = || BTreeSet::from(["d1".to_owned(), "d2".to_owned()]);
        assert_eq!(unmounted(&devices, expected()).await, json!([{"device": "d2", "mounted": false}]));

        let usage = usage(&devices, expected(), Reserve::Bytes(u64::MAX)).await;
        let (here, gone) = (&usage[0], &usage[1]);
        assert_eq!((&here["device"], &here["mounted"], &here["full"]), (&json!("d1"), &json!(true), &json!(true)));
        assert_eq!(here["size"].as_u64(), Some(here["used"].as_u64().unwrap() + here["avail"].as_u64().unwrap()));
        assert_eq!(*gone, json!({"device": "d2", "mounted": false, "size": "", "used": "", "avail": ""}));
    }

    #[tokio::test]
    async fn what_is_in_quarantine_is_counted_by_policy() {
        let root = tempfile::tempdir().unwrap();
        for folder in [
            "d1/quarantined/objects/a",
            "d2/quarantined/objects/b",
            "d1/quarantined/objects-1/c",
            "d1/quarantined/containers/e",
        ] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let told = quarantined(&Devices::new(root.path(), 1)).await;
        let policies = json!({"0": {"objects": 2}, "1": {"objects": 1}});
        assert_eq!(told, json!({"objects": 3, "containers": 1, "accounts": 0, "policies": policies}));
    }
}
