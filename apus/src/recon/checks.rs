//! The checks there are: what each asks, and what it makes of the answers.

use serde_json::Value;

use super::report::{completions, date, figures};
use super::{Answers, Finding, ReconArguments, Round, disks, same};
use crate::roles::Role;
use crate::view;

/// What can be checked, in the order in which `--all` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Async,
    Auditor,
    Updater,
    Expirer,
    Reconstruction,
    Sharding,
    Replication,
    Unmounted,
    Load,
    DiskUsage,
    RingMd5,
    ConfigurationMd5,
    Quarantined,
    Sockets,
    ValidateServers,
    DriveAudit,
    Time,
    Versions,
}

impl Check {
    /// What the options ask for; `--all` leaves out what a server cannot tell.
    pub(super) fn chosen(options: &ReconArguments, server: Role) -> Vec<Self> {
        let all = [
            (Self::Async, options.pending),
            (Self::Auditor, options.auditor),
            (Self::Updater, options.updater),
            (Self::Expirer, options.expirer),
            (Self::Reconstruction, options.reconstruction),
            (Self::Sharding, options.sharding),
            (Self::Replication, options.replication),
            (Self::Unmounted, options.unmounted),
            (Self::Load, options.loadstats),
            (Self::DiskUsage, options.diskusage),
            (Self::RingMd5, options.md5),
            (Self::ConfigurationMd5, options.md5),
            (Self::Quarantined, options.quarantined),
            (Self::Sockets, options.sockstat),
            (Self::ValidateServers, options.validate_servers),
            (Self::DriveAudit, options.driveaudit),
            (Self::Time, options.time),
            (Self::Versions, options.swift_versions),
        ];
        let by_all = |check: Self| options.all && check.question(server).is_some();
        all.into_iter().filter(|(check, chosen)| *chosen || by_all(*check)).map(|(check, _)| check).collect()
    }

    /// What is asked, below `/recon/`; none when such servers have no answer.
    pub(super) fn question(self, server: Role) -> Option<String> {
        let (object, container, name) = (server == Role::Object, server == Role::Container, server.name());
        Some(match self {
            Self::Async => object.then(|| "async".to_owned())?,
            Self::Auditor => format!("auditor/{name}"),
            Self::Updater => (object || container).then(|| format!("updater/{name}"))?,
            Self::Expirer => object.then(|| "expirer/object".to_owned())?,
            Self::Reconstruction => object.then(|| "reconstruction/object".to_owned())?,
            Self::Sharding => container.then(|| "sharding".to_owned())?,
            Self::Replication => format!("replication/{name}"),
            Self::Unmounted => "unmounted".into(),
            Self::Load => "load".into(),
            Self::DiskUsage => "diskusage".into(),
            Self::RingMd5 => "ringmd5".into(),
            Self::ConfigurationMd5 => "swiftconfmd5".into(),
            Self::Quarantined => "quarantined".into(),
            Self::Sockets => "sockstat".into(),
            Self::ValidateServers => String::new(),
            Self::DriveAudit => "driveaudit".into(),
            Self::Time => "time".into(),
            Self::Versions => "version".into(),
        })
    }

    /// What it is called where it cannot be done.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Async => "asyncs",
            Self::Updater => "updaters",
            Self::Expirer => "expirer",
            Self::Reconstruction => "reconstruction stats",
            Self::Sharding => "sharding",
            _ => "this",
        }
    }

    pub(super) fn title(self, round: &Round<'_>) -> String {
        let (hosts, server) = (round.hosts.len(), round.server.name());
        match self {
            Self::Async => "Checking async pendings".into(),
            Self::Auditor => "Checking auditor stats".into(),
            Self::Updater => "Checking updater times".into(),
            Self::Expirer => "Checking on expirers".into(),
            Self::Reconstruction => "Checking on reconstructors".into(),
            Self::Sharding => "Checking on sharders".into(),
            Self::Replication => "Checking on replication".into(),
            Self::Unmounted => format!("Getting unmounted drives from {hosts} hosts..."),
            Self::Load => "Checking load averages".into(),
            Self::DiskUsage => "Checking disk usage now".into(),
            Self::RingMd5 => "Checking ring md5sums".into(),
            Self::ConfigurationMd5 => "Checking swift.conf and [cluster] md5sums".into(),
            Self::Quarantined => "Checking quarantine".into(),
            Self::Sockets => "Checking socket usage".into(),
            Self::ValidateServers => format!("Validating server type '{server}' on {hosts} hosts..."),
            Self::DriveAudit => "Checking drive-audit errors".into(),
            Self::Time => "Checking time-sync".into(),
            Self::Versions => "Checking versions".into(),
        }
    }

    pub(super) fn judge(self, round: &Round<'_>, answers: &Answers) -> Finding {
        let server = round.server.name();
        match self {
            Self::Async => keyed(answers, &[("async_pending", "/async_pending")]),
            Self::Auditor if round.server == Role::Object => object_auditor(answers),
            Self::Auditor => listing_auditor(answers, server),
            Self::Updater => keyed(answers, &[("updater_last_sweep", &format!("/{server}_updater_sweep"))]),
            Self::Expirer => {
                let passed = ("object_expiration_pass", "/object_expiration_pass");
                keyed(answers, &[passed, ("expired_last_pass", "/expired_last_pass")])
            }
            Self::Reconstruction => {
                let mut found = keyed(answers, &[("object_reconstruction_time", "/object_reconstruction_time")]);
                found.lines.extend(completed(answers, &["/object_reconstruction_last"]));
                found
            }
            Self::Sharding => passes(answers, "sharding", "/sharding_time", "", &["/sharding_last"]),
            Self::Replication => {
                let last = ["/replication_last", "/object_replication_last"];
                passes(answers, "replication", "/replication_time", "replication_", &last)
            }
            Self::Unmounted => disks::unmounted(answers),
            Self::Load => keyed(answers, &[("1m_load_avg", "/1m"), ("5m_load_avg", "/5m"), ("15m_load_avg", "/15m")]),
            Self::DiskUsage => disks::usage(answers, round.arguments),
            Self::RingMd5 => same::rings(round, answers),
            Self::ConfigurationMd5 => same::configuration(round, answers),
            Self::Quarantined => quarantined(answers),
            Self::Sockets => keyed(
                answers,
                &[
                    ("tcp_in_use", "/tcp_in_use"),
                    ("tcp_mem_allocated_bytes", "/tcp_mem_allocated_bytes"),
                    ("tcp6_in_use", "/tcp6_in_use"),
                    ("time_wait", "/time_wait"),
                    ("orphan", "/orphan"),
                ],
            ),
            Self::ValidateServers => same::servers(answers, server),
            Self::DriveAudit => keyed(answers, &[("drive_audit_errors", "/drive_audit_errors")]),
            Self::Time => same::time(round, answers, round.arguments.jitter),
            Self::Versions => same::versions(round, answers),
        }
    }
}

/// One figure of every answer, by its JSON pointer.
fn each(answers: &Answers, pointer: &str) -> Vec<Option<f64>> {
    answers.iter().map(|(_, heard)| heard.value.pointer(pointer)?.as_f64()).collect()
}

/// A line for each of some figures.
fn keyed(answers: &Answers, keys: &[(&str, &str)]) -> Finding {
    let lines = keys.iter().map(|(name, pointer)| figures(name, &each(answers, pointer))).collect();
    Finding { lines, trouble: false }
}

/// A pass that attempts things, some of which fail.
fn passes(answers: &Answers, name: &str, time: &str, prefix: &str, last: &[&str]) -> Finding {
    let mut lines = vec![figures(&format!("{name}_time"), &each(answers, time))];
    for key in ["failure", "success", "attempted"] {
        lines.push(figures(&format!("{prefix}{key}"), &each(answers, &format!("/{name}_stats/{key}"))));
    }
    lines.extend(completed(answers, last));
    Finding { lines, trouble: false }
}

/// Who completed a pass when; the first of `last` that an answer has counts.
fn completed(answers: &Answers, last: &[&str]) -> Vec<String> {
    let at = |value: &Value| last.iter().find_map(|pointer| value.pointer(pointer)?.as_f64());
    let last: Vec<_> = answers.iter().map(|(host, heard)| (host.to_string(), at(&heard.value))).collect();
    completions(&last, view::now())
}

fn listing_auditor(answers: &Answers, server: &str) -> Finding {
    let pointer = |key: &str| format!("/{server}_{key}");
    let names = ["auditor_pass_completed", "audits_failed", "audits_passed"];
    let line = |key: &&str| figures(&format!("{server}_{key}"), &each(answers, &pointer(key)));
    let mut lines: Vec<String> = names.iter().map(line).collect();
    let since: Vec<f64> = each(answers, &pointer("audits_since")).into_iter().flatten().collect();
    let (low, high) = (since.iter().copied().reduce(f64::min), since.iter().copied().reduce(f64::max));
    if let (Some(low), Some(high)) = (low, high) {
        #[expect(clippy::cast_precision_loss, reason = "numbers of hosts")]
        let average = since.iter().sum::<f64>() / since.len() as f64;
        lines.push(format!("[last_pass] oldest: {}, newest: {}, avg: {}", date(low), date(high), date(average)));
    }
    Finding { lines, trouble: false }
}

/// The auditor tells of each device, or of several together: what is nested is summed.
fn object_auditor(answers: &Answers) -> Finding {
    let mut lines = Vec::new();
    for (pass, keys) in [
        ("ALL", &["audit_time", "bytes_processed", "passes", "errors", "quarantined"][..]),
        ("ZBF", &["audit_time", "bytes_processed", "errors", "quarantined"][..]),
    ] {
        let told = answers.iter().filter_map(|(_, heard)| heard.value.get(format!("object_auditor_stats_{pass}")));
        let told: Vec<&Value> = told.filter(|stats| stats.as_object().is_some_and(|stats| !stats.is_empty())).collect();
        if told.is_empty() {
            lines.push(format!("[{pass}_auditor] - No hosts returned valid data."));
            continue;
        }
        let sums = |key: &&str| -> Vec<_> { told.iter().map(|stats| Some(sum(stats, key))).collect() };
        lines.extend(keys.iter().map(|key| figures(&format!("{pass}_{key}_last_path"), &sums(key))));
    }
    Finding { lines, trouble: false }
}

/// The sum of a key's values, however deep they are.
pub(crate) fn sum(stats: &Value, key: &str) -> f64 {
    let Some(items) = stats.as_object() else { return 0.0 };
    items.iter().map(|(name, value)| if name == key { value.as_f64().unwrap_or(0.0) } else { sum(value, key) }).sum()
}

fn quarantined(answers: &Answers) -> Finding {
    let policies = answers.iter().filter_map(|(_, heard)| heard.value["policies"].as_object());
    let mut policies: Vec<&String> = policies.flat_map(|policies| policies.keys()).collect();
    policies.sort();
    policies.dedup();
    let of_policy = |policy: &&String| {
        let told = answers.iter().map(|(_, heard)| heard.value["policies"][policy.as_str()]["objects"].as_f64());
        figures(&format!("quarantined_objects_{policy}"), &told.filter(Option::is_some).collect::<Vec<_>>())
    };
    let mut lines: Vec<String> = policies.iter().map(of_policy).collect();
    let kinds = ["objects", "containers", "accounts"];
    lines.extend(kinds.map(|kind| figures(&format!("quarantined_{kind}"), &each(answers, &format!("/{kind}")))));
    Finding { lines, trouble: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Heard, Host};
    use serde_json::json;

    fn answers(values: &[Value]) -> Answers {
        let host = |port| Host { ip: "h".into(), port };
        let heard = |value: &Value| Heard { value: value.clone(), asked: 1.0, heard: 2.0 };
        (1..).zip(values).map(|(port, value)| (host(port), heard(value))).collect()
    }

    #[test]
    fn what_the_auditor_tells_of_each_device_is_summed() {
        let parallel = json!({"object_auditor_stats_ALL": {"d1": {"passes": 2, "errors": 1}, "d2": {"passes": 3}}});
        let single = json!({"object_auditor_stats_ALL": {"passes": 1}, "object_auditor_stats_ZBF": {}});
        let lines = object_auditor(&answers(&[parallel, single])).lines;
        assert!(lines[2].starts_with("[ALL_passes_last_path] low: 1, high: 5, avg: 3.0, total: 6,"), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "[ZBF_auditor] - No hosts returned valid data.");
    }

    #[test]
    fn quarantine_is_told_by_policy_too() {
        let told = json!({"objects": 3, "containers": 0, "accounts": 0, "policies": {"1": {"objects": 3}}});
        let none = json!({"objects": 0, "containers": 0, "accounts": 0, "policies": {}});
        let lines = quarantined(&answers(&[told, none])).lines;
        assert!(lines[0].starts_with("[quarantined_objects_1] low: 3, high: 3,"), "{lines:?}");
        assert!(lines[1].starts_with("[quarantined_objects] low: 0, high: 3,"), "{lines:?}");
    }

    #[test]
    fn a_node_whose_replicator_never_ran_is_told_apart() {
        let never = json!({"replication_time": null, "replication_stats": null, "replication_last": null});
        let once = json!({"replication_time": 2.0, "replication_stats": {"attempted": 9, "failure": 1, "success": 8},
            "replication_last": 60});
        let found = passes(
            &answers(&[never, once]),
            "replication",
            "/replication_time",
            "replication_",
            &["/replication_last"],
        );
        assert!(found.lines[0].ends_with("Failed: 50.0%, no_result: 1, reported: 1"), "{:?}", found.lines);
        assert!(found.lines[1].starts_with("[replication_failure] low: 1,"), "{:?}", found.lines);
        assert!(found.lines[4].contains("1970-01-01 00:01:00"), "{:?}", found.lines);
    }
}
