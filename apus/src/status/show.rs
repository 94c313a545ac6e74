//! A status on one screen, or as JSON. Pure.

use serde_json::json;

use super::facts::{Facts, LastPass, Verdict};
use super::redundancy::Redundancy;
use crate::recon::report::{date, elapsed};

/// Names shown of a list; the rest is counted.
const SHOWN: usize = 4;

pub(super) fn json(facts: &Facts, verdict: &Verdict) -> String {
    json!({ "verdict": verdict, "facts": facts }).to_string()
}

pub(super) fn screen(facts: &Facts, verdict: &Verdict) -> String {
    let title = if verdict.redundant { "FULLY REDUNDANT" } else { "NOT FULLY REDUNDANT" };
    let mut lines = vec![format!("{title} at {} UTC", date(facts.at))];
    lines.extend(verdict.trouble.iter().map(|trouble| format!("  ! {trouble}")));
    lines.push(String::new());
    let mut row = |name: &str, what: String| lines.push(format!("{name:18}{what}"));
    row(
        "servers",
        format!("{} of {} answer{}", facts.servers - facts.silent.len(), facts.servers, named(&facts.silent)),
    );
    row(
        "devices",
        format!(
            "{} of {} are well{}",
            facts.devices - facts.unfit.len().min(facts.devices),
            facts.devices,
            named(&facts.unfit)
        ),
    );
    for (what, data) in &facts.data {
        row(what, copies(data));
    }
    row("handoffs", handoffs(facts));
    row("replication", replication(facts));
    let oldest = facts.pending.oldest.map(|at| {
        #[expect(clippy::cast_precision_loss, reason = "seconds of our century fit")]
        let age = (facts.at - at as f64).max(0.0);
        format!(", the oldest for {}", elapsed(age))
    });
    row("updates", format!("{} wait{}", facts.pending.updates, oldest.unwrap_or_default()));
    let quarantine = &facts.quarantine;
    row(
        "quarantine",
        format!(
            "{} objects, {} of them not repaired; {} listings",
            quarantine.objects, quarantine.unrepaired, quarantine.listings
        ),
    );
    row("audits", audits(facts));
    row("configuration", same(facts));
    row("clocks", clocks(facts));
    row("certificates", certificates(facts));
    row("repair", verdict.repair.clone());
    lines.join("\n")
}

fn named<V: std::fmt::Display>(items: &std::collections::BTreeMap<String, V>) -> String {
    let shown: Vec<String> = items.iter().take(SHOWN).map(|(name, what)| format!("{name} ({what})")).collect();
    let more = items.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if shown.is_empty() { String::new() } else { format!("; not {}{more}", shown.join(", ")) }
}

fn copies(data: &Redundancy) -> String {
    if data.partitions == 0 {
        return "nothing is stored".into();
    }
    let mut text = format!("{} of {} partitions have all copies in place", data.complete, data.partitions);
    for (copies, many) in &data.at_risk {
        text += &format!("; {many} have {copies}");
    }
    if data.unknown > 0 {
        text += &format!("; unknown of {}", data.unknown);
    }
    text
}

fn handoffs(facts: &Facts) -> String {
    let held: Vec<_> =
        facts.data.iter().flat_map(|(what, data)| data.handoffs.iter().map(move |held| (what, held))).collect();
    let shown: Vec<_> = held
        .iter()
        .take(SHOWN)
        .map(|(what, (device, many))| format!("{many} partitions of {what} on {device}"))
        .collect();
    let more = held.len().saturating_sub(SHOWN);
    match (shown.is_empty(), more) {
        (true, _) => "hold nothing".into(),
        (_, 0) => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

fn replication(facts: &Facts) -> String {
    let ended = |(name, pass): (&String, &LastPass)| Some((pass.ended?, name.clone()));
    let oldest = facts.replication.iter().filter_map(ended).min_by(|a, b| a.0.total_cmp(&b.0));
    let Some((at, name)) = oldest else { return "unknown: no whole pass has been told of".into() };
    let failed: u64 = facts.replication.values().map(|pass| pass.failed).sum();
    let ago = elapsed((facts.at - at).max(0.0));
    format!("oldest last pass {ago} ago ({name}); {failed} things failed in the last passes")
}

fn audits(facts: &Facts) -> String {
    let told: Vec<_> = facts.audits.values().flatten().collect();
    if told.is_empty() {
        return "unknown: no auditor has told anything".into();
    }
    let errors: f64 = told.iter().map(|audit| audit.errors).sum();
    let quarantined: f64 = told.iter().map(|audit| audit.quarantined).sum();
    let passed: f64 = told.iter().map(|audit| audit.passes).sum();
    let silent = facts.audits.len() - told.len();
    let unknown = if silent > 0 { format!("; unknown of {silent} servers") } else { String::new() };
    format!("{passed:.0} passed, {errors:.0} errors, {quarantined:.0} quarantined{unknown}")
}

fn same(facts: &Facts) -> String {
    match facts.differing.iter().next() {
        None if facts.silent.is_empty() => "rings and [cluster] are the same everywhere".into(),
        None => "rings and [cluster] are the same wherever there is an answer".into(),
        Some((name, what)) => format!("differs on {}; {name}: {}", facts.differing.len(), what.join(", ")),
    }
}

fn clocks(facts: &Facts) -> String {
    match facts.clocks.iter().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())) {
        None => "agree with this one".into(),
        Some((name, by)) => format!("{} differ; most {name}, by {by:.1} s", facts.clocks.len()),
    }
}

fn certificates(facts: &Facts) -> String {
    let said = |(path, days): (&String, &Option<i64>)| match days {
        None => format!("{path} cannot be read"),
        Some(days) if *days < 0 => format!("{path} HAS EXPIRED"),
        Some(days) => format!("{path} expires in {days} days"),
    };
    let all: Vec<_> = facts.certificates.iter().map(said).collect();
    if all.is_empty() { "none: there is no [replication] here".into() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_screen_says_all() {
        let mut facts = Facts { at: 100.0, servers: 3, devices: 3, ..Facts::default() };
        let data =
            Redundancy { partitions: 9, complete: 7, at_risk: [(1, 2)].into(), unknown: 1, ..Redundancy::default() };
        facts.data.insert("objects of gold".into(), data);
        facts.silent.insert("object h:1".into(), "refused".into());
        facts.pending.oldest = Some(40);
        let text = screen(&facts, &facts.verdict());
        for line in [
            "NOT FULLY REDUNDANT at 1970-01-01 00:01:40 UTC",
            "  ! 2 of 9 partitions of objects of gold lack copies; some have 1",
            "servers           2 of 3 answer; not object h:1 (refused)",
            "objects of gold   7 of 9 partitions have all copies in place; 2 have 1; unknown of 1",
            "updates           0 wait, the oldest for 1 minutes",
            "audits            unknown: no auditor has told anything",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(text.lines().count() < 24, "{text}");
        let parsed: serde_json::Value = serde_json::from_str(&json(&facts, &facts.verdict())).unwrap();
        assert_eq!(parsed["verdict"]["redundant"], false);
    }
}
