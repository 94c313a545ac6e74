//! The end of a storm: is everything there that was acknowledged, is nothing there that was deleted, and does all that the
//! cluster says of itself agree?

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::history::{History, Seen};
use super::load::{CONTAINERS, SEGMENTS};
use super::{REPLICATION, Settings};
use crate::{Cluster, PATIENCE, Response, Session, copies};

/// Rounds of all passes until nothing is left to do: more than enough, so that only a fault needs more.
const MOST_ROUNDS: usize = 10;
/// Names in a page of a listing.
const PAGE: usize = 1000;
/// What a container server counts.
const COUNTS: [&str; 2] = ["X-Container-Object-Count", "X-Container-Bytes-Used"];

/// Lets every pass run on every node until nothing is left to do.
pub fn settle(cluster: &Cluster, history: &History) {
    let mut left = String::new();
    for _ in 0..MOST_ROUNDS {
        left.clear();
        for pass in ["update", "expire", "update"].iter().chain(&REPLICATION) {
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
    let replicas: Listings = all().map(|container| (container, replicas(cluster, container))).collect();
    for (container, rows) in &replicas {
        listed(history, container, rows, &finals);
    }
    same_replicas(history, &replicas);
    all().for_each(|container| seen_rows(history, &sessions[0], container, &finals));
    let boxes = containers(history, &sessions[0]);
    stats(history, &sessions[0], &replicas, &finals, boxes);
    for policy in 0..settings.policies.len() {
        for wrong in copies::misplaced(cluster, settings.nodes, policy) {
            history.violation(wrong);
        }
    }
}

/// The replicas of each container, by name.
type Listings = BTreeMap<&'static str, Vec<Replica>>;
type Rows = BTreeMap<String, Value>;

/// What one container server says of a container that it has.
struct Replica {
    node: usize,
    rows: Rows,
    /// How many objects and bytes there are, as it counts them.
    counts: [String; 2],
}

/// Asks all container servers.
fn replicas(cluster: &Cluster, container: &str) -> Vec<Replica> {
    let page = |marker: &str| {
        let query = format!("format=json&limit={PAGE}&marker={marker}");
        cluster.listings("AUTH_test", container, &query)
    };
    let rows_of = |answer: &Response| answer.json().as_array().cloned().unwrap_or_default();
    let mut replicas = Vec::new();
    for (node, first) in page("").into_iter().enumerate().filter(|(_, first)| first.status == 200) {
        let counts = COUNTS.map(|name| first.need(name).to_owned());
        let mut rows = Rows::new();
        let mut more = rows_of(&first);
        while let Some(last) = more.last().map(|row| text(row, "name").to_owned()) {
            rows.extend(more.into_iter().map(|row| (text(&row, "name").to_owned(), row)));
            more = page(&last).get(node).filter(|next| next.status == 200).map(rows_of).unwrap_or_default();
        }
        replicas.push(Replica { node, rows, counts });
    }
    replicas
}

/// Every object is listed, and nothing else, by every replica.
fn listed(history: &History, container: &str, replicas: &[Replica], finals: &Final) {
    let there: BTreeSet<&str> =
        finals.keys().filter_map(|path| path.strip_prefix(container)?.strip_prefix('/')).collect();
    let named: BTreeSet<&str> = replicas.iter().flat_map(|replica| replica.rows.keys().map(String::as_str)).collect();
    for name in named.union(&there) {
        let listing = replicas.iter().filter(|replica| replica.rows.contains_key(*name)).count();
        let wanted = if there.contains(name) { replicas.len() } else { 0 };
        let fits = listing == wanted;
        let path = format!("{container}/{name}");
        if !fits && !history.is_certain(&path) {
            println!("note: the last write of {path} was not acknowledged, and {listing} replicas list the object");
        } else if !fits {
            let how = if wanted > 0 { "there" } else { "not there" };
            history.violation(format!(
                "{path} is {how}, and {listing} of {} replicas list it\n{}",
                replicas.len(),
                history.tell(&path)
            ));
        }
    }
}

fn same_replicas(history: &History, listings: &Listings) {
    for (container, replicas) in listings {
        if replicas.len() != 3 {
            history.violation(format!("{container} has {} replicas", replicas.len()));
        }
        let Some((first, others)) = replicas.split_first() else { continue };
        for other in others.iter().filter(|other| other.rows != first.rows) {
            let of = |rows: &Rows, name: &str| rows.get(name).map_or("nothing".to_owned(), Value::to_string);
            let names: BTreeSet<_> = other.rows.keys().chain(first.rows.keys()).collect();
            let differs = names.into_iter().filter(|name| other.rows.get(*name) != first.rows.get(*name));
            let shown = differs.take(5).map(|name| format!("{} / {}", of(&first.rows, name), of(&other.rows, name)));
            let shown: Vec<_> = shown.collect();
            history
                .violation(format!("nodes {} and {} list {container} differently: {shown:#?}", first.node, other.node));
        }
    }
}

fn objects(cluster: &Cluster, history: &History, settings: &Settings, sessions: &[Session]) -> Final {
    let mut finals = Final::new();
    for path in history.objects() {
        let answers: Vec<_> = sessions.iter().map(|session| answer(session, &path)).collect();
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

/// Asks until there is an answer: proxies leave nodes alone for a while that failed them in the storm.
fn answer(session: &Session, path: &str) -> Response {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = session.get(path).try_send().unwrap_or_default();
        if matches!(answer.status, 200 | 404) || Instant::now() > deadline {
            return answer;
        }
        thread::sleep(Duration::from_millis(100));
    }
}

/// The containers that come and go are there or not as the account lists them; returns how many are.
fn containers(history: &History, session: &Session) -> usize {
    let listed: BTreeSet<String> = list(session, "").iter().map(|row| text(row, "name").to_owned()).collect();
    let boxes = history.containers();
    for name in &boxes {
        let is_there = session.head(name).send().status == 204;
        if let Err(why) = history.check_container(name, is_there) {
            history.violation(format!("{why}\n{}", history.tell(name)));
        }
        if listed.contains(name) != is_there {
            history.violation(format!(
                "there: {is_there}; the account lists something else of {name}\n{}",
                history.tell(name)
            ));
        }
    }
    boxes.iter().filter(|name| listed.contains(*name)).count()
}

fn on_disk(cluster: &Cluster, settings: &Settings, path: &str) -> String {
    let Some((container, object)) = path.split_once('/') else { return String::new() };
    let found = copies::where_is(cluster, settings.nodes, "AUTH_test", container, object);
    found.iter().map(|line| format!("    {line}\n")).collect()
}

fn all() -> impl Iterator<Item = &'static str> {
    CONTAINERS.into_iter().chain([SEGMENTS])
}

/// What a client sees in a listing is what it sees of the objects.
fn seen_rows(history: &History, session: &Session, container: &str, finals: &Final) {
    for row in list(session, container) {
        let path = format!("{container}/{}", text(&row, "name"));
        if let Some(answer) = finals.get(&path)
            && history.is_certain(&path)
            && let Err(why) = row_fits(&row, answer)
        {
            history.violation(format!("the row of {path} is wrong: {why}: {row}\n{}", history.tell(&path)));
        }
    }
}

fn row_fits(row: &Value, answer: &Response) -> Result<(), String> {
    let etag = answer.need("ETag").trim_matches('"');
    let hash = row.get("slo_etag").map_or_else(|| text(row, "hash"), |_| text(row, "slo_etag"));
    let length = answer.need("Content-Length");
    let fits = [
        ("ETag", hash.trim_matches('"') == etag),
        ("bytes", row["bytes"].as_u64() == length.parse().ok()),
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

/// The bytes that a row counts for: a large object's manifest, not what it stands for, which the listing shows.
fn stored(session: &Session, container: &str, row: &Value, finals: &Final) -> u64 {
    let path = format!("{container}/{}", text(row, "name"));
    if finals.get(&path).is_none_or(|answer| answer.header("X-Static-Large-Object").is_none()) {
        return row["bytes"].as_u64().unwrap_or(0);
    }
    let manifest = session.head(&path).query("multipart-manifest=get").send().expect(200);
    manifest.need("Content-Length").parse().expect("a length")
}

/// The counts of containers and of the account are those of the rows. Accounts are told a little later, so this one is
/// asked for them until they are right, or patience ends.
fn stats(history: &History, session: &Session, listings: &Listings, finals: &Final, boxes: usize) {
    let (mut all_rows, mut all_bytes) = (0, 0);
    for (container, replicas) in listings {
        let Some(rows) = replicas.first().map(|replica| &replica.rows) else { continue };
        let bytes: u64 = rows.values().map(|row| stored(session, container, row, finals)).sum();
        let counted = [rows.len().to_string(), bytes.to_string()];
        for Replica { node, counts, .. } in replicas.iter().filter(|replica| replica.counts != counted) {
            history.violation(format!(
                "node {node} says {counts:?} objects and bytes in {container}, and lists {counted:?}"
            ));
        }
        (all_rows, all_bytes) = (all_rows + rows.len(), all_bytes + bytes);
    }
    let listed = listings.values().filter(|replicas| !replicas.is_empty()).count();
    let wanted = [(listed + boxes).to_string(), all_rows.to_string(), all_bytes.to_string()];
    let names = ["X-Account-Container-Count", "X-Account-Object-Count", "X-Account-Bytes-Used"];
    let said = || session.head("").send().expect(204);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = names.map(|name| said().need(name).to_owned());
        if said == wanted {
            return;
        }
        if Instant::now() > deadline {
            let what = "containers, objects, bytes";
            return history.violation(format!("the account says {said:?} {what}; there are {wanted:?}"));
        }
        thread::sleep(Duration::from_millis(100));
    }
}
