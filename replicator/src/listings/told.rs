//! What a pass tells recon: in Swift's keys, as far as they mean something here, and beside them what it counted.

use apus_base::pass::Report;
use serde_json::{Map, Value, json};

/// The entries of a pass over the whole node.
pub(super) fn entries(report: &Report) -> Map<String, Value> {
    let count = |what| report.counts.get(what).copied().unwrap_or(0);
    let failure = report.failures();
    let hashmatch = report.done.saturating_sub(count("partitions worked on"));
    let stats = json!({
        "attempted": report.done,
        "success": report.done.saturating_sub(failure),
        "failure": failure,
        "hashmatch": hashmatch,
        "no_change": hashmatch,
        "diff": count("differences"),
        "rsync": count("whole"),
        "remove": count("handed off"),
        "counts": report.counts,
    });
    let told = json!({
        "replication_stats": stats,
        "replication_time": report.seconds,
        "replication_last": report.ended,
    });
    told.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::pass::Progress;

    #[test]
    fn swifts_words_for_what_was_counted() {
        let progress = Progress::default();
        (0..3).for_each(|_| progress.step());
        progress.count("partitions worked on");
        progress.add("whole", 2);
        progress.fail();
        let told = entries(&progress.report());
        let stats = &told["replication_stats"];
        assert_eq!((&stats["attempted"], &stats["success"], &stats["failure"]), (&json!(3), &json!(2), &json!(1)));
        assert_eq!((&stats["hashmatch"], &stats["rsync"], &stats["diff"]), (&json!(2), &json!(2), &json!(0)));
        assert!(told["replication_last"].is_u64() && told["replication_time"].is_f64());
    }
}
