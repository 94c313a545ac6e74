//! The end of a storm: is everything there that was acknowledged, is nothing there that was deleted, and does all that the
//! cluster says of itself agree?

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::history::{History, Seen};
use super::load::{CONTAINERS, SEGMENTS};
use super::{LISTINGS_ARE_REPLICATED, Settings};
use crate::{Cluster, Response, Session, copies, disk};

/// Rounds of all passes until nothing is left to do: more than enough, so that only a fault needs more.
const MOST_ROUNDS: usize = 10;
/// Names in a page of a listing.
const PAGE: usize = 1000;

/// Lets every pass run on every node until nothing is left to do.
pub fn settle(cluster: &Cluster, history: &History) {
    let mut left = String::new();
    for _ in 0..MOST_ROUNDS {
        left.clear();
        for pass in ["update", "replicate", "expire", "update", "replicate"] {
            left.push_str(&cluster.try_pass(pass));
        }
        if left.is_empty() && cluster.pending_updates().is_empty() {
            return;
        }
    }
    let pending: Vec<_> = cluster.pending_updates().iter().map(|path| path.display().to_string()).collect();
    history.violation(format!("the passes never came to an end: {left}\npending: {pending:#?}"));
}

/// What the clients of a quiet cluster see of an object.
type Final = BTreeMap<String, Response>;

/// Looks at everything.
pub fn judge(cluster: &Cluster, history: &History, settings: &Settings, sessions: &[Session]) {
    let finals = objects(cluster, history, settings, sessions);
    let listed = listings(history, sessions, &finals);
    stats(history, sessions, &listed);
    replicas_of_listings(cluster, history);
    for policy in 0..settings.policies.len() {
        for wrong in copies::misplaced(cluster, settings.nodes, policy) {
            history.violation(wrong);
        }
    }
    for node in 0..settings.nodes {
        let left = disk::files(&cluster.device(node).join("tmp"));
        if !left.is_empty() {
            println!("note: {} temporary files are left on d{node}", left.len());
        }
    }
}

fn objects(cluster: &Cluster, history: &History, settings: &Settings, sessions: &[Session]) -> Final {
    let mut finals = Final::new();
    for path in history.objects() {
        let answers: Vec<_> = sessions.iter().map(|session| session.get(&path).send()).collect();
        for answer in &answers {
            let verdict = match answer.status {
                200 => history.check_final(&path, Some(&Seen::of(answer))),
                404 => history.check_final(&path, None),
                status => Err(format!("{path} is answered with {status}")),
            };
            if let Err(why) = verdict {
                history.violation(format!("{why}\n{}\n{}", history.tell(&path), on_disk(cluster, settings, &path)));
                break;
            }
        }
        if let Some(answer) = answers.into_iter().find(|answer| answer.status == 200) {
            finals.insert(path, Response { body: Vec::new(), ..answer });
        }
    }
    finals
}

fn on_disk(cluster: &Cluster, settings: &Settings, path: &str) -> String {
    let Some((container, object)) = path.split_once('/') else { return String::new() };
    let found = copies::where_is(cluster, settings.nodes, "AUTH_test", container, object);
    found.iter().map(|line| format!("    {line}\n")).collect()
}

fn all() -> impl Iterator<Item = &'static str> {
    CONTAINERS.into_iter().chain([SEGMENTS])
}

/// Compares what each container lists with what there is; returns the rows.
fn listings(history: &History, sessions: &[Session], finals: &Final) -> BTreeMap<&'static str, Vec<Value>> {
    let mut listed = BTreeMap::new();
    for container in all() {
        let rows = list(&sessions[0], container);
        let named: BTreeSet<String> = rows.iter().map(|row| format!("{container}/{}", text(row, "name"))).collect();
        let there: BTreeSet<String> =
            finals.keys().filter(|path| path.split('/').next() == Some(container)).cloned().collect();
        for path in named.symmetric_difference(&there) {
            let how = if there.contains(path) { "is there and not listed" } else { "is listed and not there" };
            history.violation(format!("{path} {how}\n{}", history.tell(path)));
        }
        for row in &rows {
            let path = format!("{container}/{}", text(row, "name"));
            if let Some(answer) = finals.get(&path)
                && let Err(why) = row_fits(row, answer)
            {
                history.violation(format!("the row of {path} is wrong: {why}: {row}\n{}", history.tell(&path)));
            }
        }
        listed.insert(container, rows);
    }
    listed
}

fn row_fits(row: &Value, answer: &Response) -> Result<(), String> {
    let etag = answer.need("ETag").trim_matches('"');
    let hash = row.get("slo_etag").map_or_else(|| text(row, "hash"), |_| text(row, "slo_etag"));
    let length = answer.need("Content-Length");
    let fits = [
        ("ETag", hash.trim_matches('"') == etag),
        ("bytes", row["bytes"].to_string() == length),
        ("content type", text(row, "content_type") == answer.need("Content-Type")),
    ];
    match fits.into_iter().find(|(_, fits)| !fits) {
        Some((what, _)) => Err(format!("{what} of {:?}", answer.headers)),
        None => Ok(()),
    }
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

fn list(session: &Session, container: &str) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    loop {
        let marker = rows.last().map_or("", |row| text(row, "name")).to_owned();
        let query = format!("format=json&limit={PAGE}&marker={marker}");
        let page = session.get(container).query(&query).send().expect(200).json();
        let Value::Array(page) = page else { return rows };
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

/// The counts of containers and of the account are those of the rows; they are told a little later, so they are asked for
/// until they are, or patience ends.
fn stats(history: &History, sessions: &[Session], listed: &BTreeMap<&'static str, Vec<Value>>) {
    let bytes = |rows: &Vec<Value>| rows.iter().filter_map(|row| row["bytes"].as_u64()).sum::<u64>();
    for (container, rows) in listed {
        let head = sessions[0].head(container).send().expect(204);
        let said = ["X-Container-Object-Count", "X-Container-Bytes-Used"].map(|name| head.need(name).to_owned());
        let counted = [rows.len().to_string(), bytes(rows).to_string()];
        if said != counted {
            history.violation(format!("{container} says {said:?} objects and bytes, and lists {counted:?}"));
        }
    }
    let wanted = [
        listed.len().to_string(),
        listed.values().map(Vec::len).sum::<usize>().to_string(),
        listed.values().map(bytes).sum::<u64>().to_string(),
    ];
    let names = ["X-Account-Container-Count", "X-Account-Object-Count", "X-Account-Bytes-Used"];
    let deadline = std::time::Instant::now() + crate::PATIENCE;
    for session in sessions {
        loop {
            let head = session.head("").send().expect(204);
            let said = names.map(|name| head.need(name).to_owned());
            if said == wanted {
                break;
            }
            if std::time::Instant::now() > deadline {
                history.violation(format!("the account says {said:?} containers, objects, bytes; there are {wanted:?}"));
                break;
            }
        }
    }
}

/// Every replica of a listing has the same rows.
fn replicas_of_listings(cluster: &Cluster, history: &History) {
    for container in all() {
        let replicas: Vec<_> = cluster.rows("AUTH_test", container).into_iter().filter(Value::is_array).collect();
        if replicas.iter().any(|rows| *rows != replicas[0]) {
            let lengths: Vec<_> = replicas.iter().map(|rows| rows.as_array().map_or(0, Vec::len)).collect();
            history.violation(format!("the replicas of the listing of {container} differ: {lengths:?} rows"));
        }
        if LISTINGS_ARE_REPLICATED && replicas.len() != 3 {
            history.violation(format!("{container} has {} replicas", replicas.len()));
        }
    }
}
