//! What was found, and what it means. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::redundancy::Redundancy;

/// Everything that was found.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Facts {
    /// When, in seconds since 1970.
    pub(super) at: f64,
    pub(super) servers: usize,
    /// Servers that gave no answer, and why.
    pub(super) silent: BTreeMap<String, String>,
    pub(super) devices: usize,
    /// Devices that are not well, and how.
    pub(super) unfit: BTreeMap<String, String>,
    /// `accounts`, `containers`, and the objects of each policy.
    pub(super) data: BTreeMap<String, Redundancy>,
    /// The last whole pass of each device's replicator.
    pub(super) replication: BTreeMap<String, LastPass>,
    pub(super) pending: Pending,
    pub(super) quarantine: Quarantine,
    /// What the auditors of each server did last; none when they told nothing.
    pub(super) audits: BTreeMap<String, Option<Audit>>,
    /// Rings and configurations that are not as here.
    pub(super) differing: BTreeMap<String, Vec<String>>,
    /// Clocks that are not as here, in seconds.
    pub(super) clocks: BTreeMap<String, f64>,
    /// Days until each certificate of `[replication]` here expires; none when it cannot be read.
    pub(super) certificates: BTreeMap<String, Option<i64>>,
    /// Seconds between two replication passes, as configured here; 0 is never.
    pub(super) interval: u64,
}

/// One device's last whole replication pass.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct LastPass {
    /// When it ended, in seconds since 1970; none if there was none.
    pub(super) ended: Option<f64>,
    pub(super) seconds: f64,
    pub(super) failed: u64,
    /// Partitions that it brought up to date in a second, in the last pass that had any to; none if there was none.
    pub(super) rate: Option<f64>,
}

/// Container updates that wait.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Pending {
    pub(super) updates: u64,
    /// Since when, in seconds since 1970.
    pub(super) oldest: Option<u64>,
}

/// What was found damaged.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Quarantine {
    pub(super) objects: u64,
    pub(super) unrepaired: u64,
    pub(super) listings: u64,
}

/// What an auditor told.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Audit {
    pub(super) passes: f64,
    pub(super) errors: f64,
    pub(super) quarantined: f64,
}

/// What it means.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Verdict {
    /// Whether everything is known to be as it should.
    pub(super) redundant: bool,
    /// Why not, the gravest first.
    pub(super) trouble: Vec<String>,
    /// Seconds until it is repaired, if that can be said.
    pub(super) repair_seconds: Option<f64>,
    /// How long that is, or why nobody knows.
    pub(super) repair: String,
}

impl Facts {
    pub(super) fn verdict(&self) -> Verdict {
        let mut trouble = Vec::new();
        let mut say = |wrong: bool, what: String| trouble.extend(wrong.then_some(what));
        for (what, data) in &self.data {
            let fewest = data.at_risk.keys().next().copied().unwrap_or_default();
            let (incomplete, all) = (data.incomplete(), data.partitions);
            say(incomplete > 0, format!("{incomplete} of {all} partitions of {what} lack copies; some have {fewest}"));
            say(data.unknown > 0, format!("{} of them may have more, on servers that do not answer", data.unknown));
        }
        let quarantine = &self.quarantine;
        say(
            quarantine.unrepaired > 0,
            format!("{} quarantined objects have no good copy in place", quarantine.unrepaired),
        );
        say(!self.silent.is_empty(), format!("{} of {} servers give no answer", self.silent.len(), self.servers));
        say(!self.unfit.is_empty(), format!("{} of {} devices are not well", self.unfit.len(), self.devices));
        say(self.pending.updates > 0, format!("{} updates of listings wait", self.pending.updates));
        say(
            !self.differing.is_empty(),
            format!("{} servers have other rings or another configuration", self.differing.len()),
        );
        let expired = self.certificates.values().filter(|days| days.is_none_or(|days| days < 0)).count();
        say(expired > 0, "a certificate of [replication] has expired or cannot be read".into());
        say(self.servers == 0, "the rings name no server".into());
        let (repair_seconds, repair) = self.repair(trouble.is_empty());
        Verdict { redundant: trouble.is_empty(), trouble, repair_seconds, repair }
    }

    /// How long until everything is in place.
    fn repair(&self, well: bool) -> (Option<f64>, String) {
        let unknown = |why: &str| (None, format!("unknown: {why}"));
        if well {
            return (Some(0.0), "nothing to repair".into());
        }
        let is_away = |state: &String| state != "full" && state != "read-only";
        if !self.silent.is_empty() || self.unfit.values().any(is_away) {
            return unknown("first the servers and devices that are away have to come back, or leave the rings");
        }
        if !self.unfit.is_empty() {
            return unknown("full and read-only devices take no copies");
        }
        let objects = self.data.iter().filter(|(what, _)| what.starts_with("objects"));
        let left: usize = objects.map(|(_, data)| data.incomplete()).sum();
        if left == 0 {
            return unknown("no rate is known for what is left");
        }
        let rate: f64 = self.replication.values().filter_map(|pass| pass.rate).sum();
        if rate == 0.0 {
            return unknown("no pass has repaired anything yet, so no rate is known");
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = left as f64 / rate + self.interval as f64;
        let daemon = if self.interval == 0 { ", once replication runs: its interval is 0 here" } else { "" };
        (Some(seconds), format!("about {seconds:.0} s, at the rate of the last passes{daemon}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Facts {
        let data = Redundancy { partitions: 8, complete: 8, ..Redundancy::default() };
        Facts {
            servers: 3,
            devices: 3,
            data: [("objects of gold".to_owned(), data)].into(),
            interval: 30,
            ..Facts::default()
        }
    }

    #[test]
    fn only_what_is_known_to_be_whole_is_redundant() {
        assert_eq!(
            well().verdict(),
            Verdict { redundant: true, trouble: vec![], repair_seconds: Some(0.0), repair: "nothing to repair".into() }
        );
        assert!(!Facts::default().verdict().redundant);
        let troubles: [fn(&mut Facts); 6] = [
            |facts| _ = facts.silent.insert("h".into(), "refused".into()),
            |facts| _ = facts.unfit.insert("d".into(), "missing".into()),
            |facts| facts.pending.updates = 1,
            |facts| facts.quarantine.unrepaired = 1,
            |facts| _ = facts.differing.insert("h".into(), vec!["ring".into()]),
            |facts| _ = facts.certificates.insert("c".into(), Some(-1)),
        ];
        for trouble in troubles {
            let mut facts = well();
            trouble(&mut facts);
            assert!(!facts.verdict().redundant && facts.verdict().trouble.len() == 1, "{facts:?}");
        }
    }

    #[test]
    fn the_time_left_is_told_when_there_is_a_rate() {
        let mut facts = well();
        let data = facts.data.values_mut().next().unwrap();
        (data.complete, data.at_risk) = (2, [(1, 2), (2, 4)].into());
        let verdict = facts.verdict();
        assert_eq!(verdict.trouble, ["6 of 8 partitions of objects of gold lack copies; some have 1"]);
        assert_eq!(verdict.repair_seconds, None);
        let pass = LastPass { ended: Some(1.0), seconds: 2.0, failed: 0, rate: Some(2.0) };
        facts.replication.insert("d".into(), pass);
        assert_eq!(facts.verdict().repair_seconds, Some(33.0));
        facts.silent.insert("h".into(), "refused".into());
        assert!(facts.verdict().repair.starts_with("unknown: first the servers"));
    }
}
