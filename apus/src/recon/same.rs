//! What has to be the same everywhere: rings, configuration, clocks, versions, and the kind of server.

use std::collections::BTreeSet;
use std::path::Path;

use apus_base::serve::recon::{CLUSTER, Sums, file_md5};
use http::HeaderMap;
use serde_json::Value;

use super::{Answers, Finding, Round};
use crate::recon::report::date;
use crate::roles::Role;
use crate::view::{Heard, View};

/// What the header of an answer says, as one.
pub(super) fn server_header(headers: &HeaderMap) -> Heard {
    let server = headers.get(http::header::SERVER).and_then(|name| name.to_str().ok()).unwrap_or_default();
    let kind = server.split('/').next().unwrap_or_default();
    Heard { value: kind.into(), asked: 0.0, heard: 0.0 }
}

pub(super) fn rings(round: &Round<'_>, answers: &Answers) -> Finding {
    let differing = |value: &Value| ring_differences(round.view, round.server, value);
    matched(round, answers, differing)
}

/// What of a server's rings of a role is not as here: `object.ring.gz => MD5`.
pub(crate) fn ring_differences(view: &View, role: Role, told: &Value) -> Vec<String> {
    let folder = &view.config.node.rings;
    let mut differing = Vec::new();
    for (path, sum) in told.as_object().into_iter().flatten() {
        let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let here = file_md5(&folder.join(&name)).ok();
        if name.starts_with(role.name()) && (here.is_none() || here.as_deref() != sum.as_str()) {
            differing.push(format!("{name} => {}", sum.as_str().unwrap_or("unreadable")));
        }
    }
    differing
}

pub(super) fn configuration(round: &Round<'_>, answers: &Answers) -> Finding {
    matched(round, answers, |value| configuration_differences(round.view, value))
}

/// What of a server's configuration is not as here.
pub(crate) fn configuration_differences(view: &View, told: &Value) -> Vec<String> {
    let mut differing = Vec::new();
    let ours = Sums::of_cluster(&view.config.cluster.canonical());
    if told[CLUSTER].as_str() != Some(&ours) {
        differing.push(format!("{CLUSTER} => {}", told[CLUSTER].as_str().unwrap_or("unknown")));
    }
    let conf = &view.config.node.swift_conf;
    let here = file_md5(conf).ok();
    let there = told.get(conf.display().to_string());
    // A node may have it elsewhere, and then it says nothing of it.
    if let Some(there) = there.filter(|there| there.as_str() != here.as_deref()) {
        differing.push(format!("{} => {}", conf.display(), there.as_str().unwrap_or("missing")));
    }
    differing
}

fn matched(round: &Round<'_>, answers: &Answers, differing: impl Fn(&Value) -> Vec<String>) -> Finding {
    let (mut lines, mut matching) = (Vec::new(), 0);
    for (host, heard) in answers {
        let differing = differing(&heard.value);
        matching += usize::from(differing.is_empty());
        let line = |what: &String| format!("!! {} ({what}) doesn't match on disk md5sum", host.url());
        lines.extend(differing.iter().map(line));
    }
    let trouble = matching < answers.len();
    lines.push(tally(matching, round, answers));
    Finding { lines, trouble }
}

fn tally(matching: usize, round: &Round<'_>, answers: &Answers) -> String {
    let hosts = round.hosts.len();
    format!("{matching}/{hosts} hosts matched, {} error[s] while checking hosts.", hosts - answers.len())
}

pub(super) fn servers(answers: &Answers, server: &str) -> Finding {
    let expected = format!("{server}-server");
    let wrong: Vec<_> = answers.iter().filter(|(_, heard)| heard.value.as_str() != Some(&expected)).collect();
    let (right, all) = (answers.len() - wrong.len(), answers.len());
    let mut lines = vec![format!("{right}/{all} hosts ok, {} error[s] while checking hosts.", wrong.len())];
    let line = |(host, heard): &&(_, Heard)| {
        format!("Invalid: {host} is {}", heard.value.as_str().filter(|name| !name.is_empty()).unwrap_or("unknown"))
    };
    lines.extend(wrong.iter().map(line));
    Finding { trouble: !wrong.is_empty(), lines }
}

/// By how many seconds a clock differs from ours; none when it may be the same.
pub(crate) fn clock_difference(heard: &Heard, jitter: f64) -> Option<f64> {
    let there = heard.value.as_f64()?;
    let may_be = (heard.asked - jitter.abs()..=heard.heard + jitter.abs()).contains(&there);
    (!may_be).then_some(there - heard.heard)
}

pub(super) fn time(round: &Round<'_>, answers: &Answers, jitter: f64) -> Finding {
    let mut found = Finding::default();
    for (host, heard) in answers {
        if let Some(difference) = clock_difference(heard, jitter) {
            let there = date(heard.heard + difference);
            found.lines.push(format!(
                "!! {} current time is {}, but remote is {there}, differs by {:.4} sec",
                host.url(),
                date(heard.heard),
                difference.abs()
            ));
            found.trouble = true;
        }
    }
    let matching = answers.len() - found.lines.len();
    found.lines.push(tally(matching, round, answers));
    found
}

pub(super) fn versions(round: &Round<'_>, answers: &Answers) -> Finding {
    let versions: BTreeSet<&str> = answers.iter().filter_map(|(_, heard)| heard.value["version"].as_str()).collect();
    let all = versions.iter().copied().collect::<Vec<_>>().join(", ");
    let silent = round.hosts.len() - answers.len();
    let line = match versions.len() {
        0 => "No hosts returned valid data.".to_owned(),
        1 => format!("Versions matched ({all}), {silent} error[s] while checking hosts."),
        _ => format!("Versions not matched ({all}), {silent} error[s] while checking hosts."),
    };
    Finding { lines: vec![line], trouble: versions.len() > 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_when_it_is_outside_the_time_of_the_question() {
        let heard = |there: f64| Heard { value: there.into(), asked: 100.0, heard: 101.0 };
        assert_eq!(clock_difference(&heard(100.5), 0.0), None);
        assert_eq!(clock_difference(&heard(103.0), 0.0), Some(2.0));
        assert_eq!(clock_difference(&heard(103.0), 2.5), None);
        assert_eq!(clock_difference(&heard(98.0), 0.0), Some(-3.0));
    }
}
