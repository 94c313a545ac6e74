//! What a pass tells recon: in Swift's keys, as far as they mean something here, and beside them what it counted.

use std::collections::BTreeMap;

use apus_base::pass::Report;
use apus_base::recon::ReconCache;
use serde_json::{Map, Value, json};

/// Under this key is each device's last pass.
const PER_DISK: &str = "object_replication_per_disk";
/// Under this one, in each device's, its last pass that had anything to do: how fast it is when it has.
const LAST_WORK: &str = "last_work";
/// What counts as that.
const WORKED_ON: &str = "partitions worked on";

/// The entries of a pass over the whole node. Reads the cache, to remove devices that are no longer this node's.
pub(super) fn entries(whole: &Report, devices: Vec<(String, Report)>, recon: &ReconCache) -> Map<String, Value> {
    let before = recon.load("object").remove(PER_DISK);
    let before = before.as_ref().and_then(Value::as_object).cloned().unwrap_or_default();
    let mut told = of(whole);
    told.insert(PER_DISK.to_owned(), per_disk(devices, before).into());
    told
}

/// A device that several policies share is one. Those that are gone are removed by what is empty.
fn per_disk(devices: Vec<(String, Report)>, before: Map<String, Value>) -> Map<String, Value> {
    let mut disks: BTreeMap<String, Report> = BTreeMap::new();
    for (name, report) in devices {
        match disks.get_mut(&name) {
            Some(disk) => disk.merge(&report),
            None => _ = disks.insert(name, report),
        }
    }
    let told: Map<_, _> = disks.iter().map(|(name, report)| (name.clone(), disk(report, before.get(name)))).collect();
    let gone = before.into_iter().filter(|(name, _)| !disks.contains_key(name)).map(|(name, _)| (name, json!({})));
    told.into_iter().chain(gone.collect::<Vec<_>>()).collect()
}

fn disk(report: &Report, before: Option<&Value>) -> Value {
    let mut told = of(report);
    let worked_on = report.counts.get(WORKED_ON).copied().unwrap_or(0);
    let work = json!({"partitions": worked_on, "seconds": report.seconds, "ended": report.ended});
    let work = if worked_on > 0 { Some(work) } else { before.and_then(|before| before.get(LAST_WORK)).cloned() };
    told.extend(work.map(|work| (LAST_WORK.to_owned(), work)));
    told.into()
}

fn of(report: &Report) -> Map<String, Value> {
    let count = |what| report.counts.get(what).copied().unwrap_or(0);
    let failure = report.failures();
    let stats = json!({
        "start": report.ended.saturating_sub(report.whole_seconds()),
        "attempted": report.done,
        "success": report.done.saturating_sub(failure),
        "failure": failure,
        "hashmatch": report.done.saturating_sub(count(WORKED_ON)),
        "remove": count("handed off"),
        "rsync": count("pushed"),
        "counts": report.counts,
    });
    let told = json!({
        "replication_stats": stats,
        "replication_time": report.seconds,
        "replication_last": report.ended,
        "object_replication_time": report.seconds / 60.0,
        "object_replication_last": report.ended,
    });
    told.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::pass::Progress;

    #[test]
    fn a_device_is_told_once_and_goes_when_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let recon = ReconCache::new(folder.path());
        let (progress, other) = (Progress::default(), Progress::default());
        progress.expect(3);
        (0..3).for_each(|_| progress.step());
        progress.fail();
        progress.count(WORKED_ON);
        other.fail();
        let (one, two) = (progress.report(), other.report());
        let devices =
            [("d1", &one), ("d2", &two), ("d1", &two)].map(|(name, report)| (name.to_owned(), report.clone()));
        recon.merge("object", entries(&one, devices.to_vec(), &recon));
        let told = recon.load("object");
        let stats = &told["replication_stats"];
        assert_eq!((&stats["attempted"], &stats["failure"], &stats["hashmatch"]), (&json!(3), &json!(1), &json!(2)));
        assert_eq!(told[PER_DISK]["d1"]["replication_stats"]["failure"], 2);

        assert_eq!(
            (&told[PER_DISK]["d1"][LAST_WORK]["partitions"], told[PER_DISK]["d2"].get(LAST_WORK)),
            (&json!(1), None)
        );

        // A pass without work does not make it forget how fast it was.
        recon.merge("object", entries(&two, vec![devices[1].clone(), ("d1".to_owned(), two.clone())], &recon));
        assert_eq!(recon.load("object")[PER_DISK]["d1"][LAST_WORK]["partitions"], 1);
        recon.merge("object", entries(&two, devices[1..2].to_vec(), &recon));
        let disks: Vec<_> = recon.load("object")[PER_DISK].as_object().unwrap().keys().cloned().collect();
        assert_eq!(disks, ["d2"]);
    }
}
