//! The end of a storm: is everything there that was acknowledged, is nothing there that was deleted, and does all that the
//! cluster says of itself agree?

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::history::{History, Seen};
use super::load::{CONTAINERS, SEGMENTS};
use super::{LISTINGS_ARE_REPLICATED, REPLICATION, Settings};
use crate::{Cluster, PATIENCE, Response, Session, copies};

/// Rounds of all passes until nothing is left to do: more than enough, so that only a fault needs more.
const MOST_ROUNDS: usize = 10;
/// Names in a page of a listing.
const PAGE: usize = 1000;

/// Lets every pass run on every node until nothing is left to do.
pub fn settle(cluster: &Cluster, history: &History) {
    let mut left = String::new();
    for _ in 0..MOST_ROUNDS {
        left.clear();
        for pass in ["update", "expire", "update"].iter().chain(REPLICATION) {
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
    if LISTINGS_ARE_REPLICATED {
        same_replicas(history, &replicas);
        all().for_each(|container| seen_rows(history, &sessions[0], container, &finals));
        let boxes = containers(history, &sessions[0]);
        stats(history, &sessions[0], &replicas, &finals, boxes);
    }
    for policy in 0..settings.policies.len() {
        for wrong in copies::misplaced(cluster, settings.nodes, policy) {
            history.violation(wrong);
        }
    }
}

/// The rows of the replicas of each container, by name.
type Listings = BTreeMap<&'static str, Vec<Rows>>;
type Rows = BTreeMap<String, Value>;

/// What each container server that has a container says of it.
fn replicas(cluster: &Cluster, container: &str) -> Vec<Rows> {
    let page = |marker: &str| {
        let query = format!("format=json&limit={PAGE}&marker={marker}");
        cluster.rows_of("AUTH_test", container, &query)
    };
    let mut replicas = Vec::new();
    for (node, first) in page("").into_iter().enumerate() {
        let Value::Array(mut rows) = first else { continue };
        let mut all = Rows::new();
        while let Some(last) = rows.last().map(|row| text(row, "name").to_owned()) {
            all.extend(rows.into_iter().map(|row| (text(&row, "name").to_owned(), row)));
            rows = page(&last)[node].as_array().cloned().unwrap_or_default();
        }
        replicas.push(all);
    }
    replicas
}

/// Every object is listed, and nothing else: by every replica, once they tell each other what they missed; till then a
/// replica whose server was killed may have missed a row, but not all of them.
fn listed(history: &History, container: &str, replicas: &[Rows], finals: &Final) {
    let there: BTreeSet<&str> =
        finals.keys().filter_map(|path| path.strip_prefix(container)?.strip_prefix('/')).collect();
    let named: BTreeSet<&str> = replicas.iter().flat_map(|rows| rows.keys().map(String::as_str)).collect();
    for name in named.union(&there) {
        let listing = replicas.iter().filter(|rows| rows.contains_key(*name)).count();
        let wanted = if there.contains(name) { replicas.len() } else { 0 };
        let fits = listing == wanted || (!LISTINGS_ARE_REPLICATED && 0 < listing && listing < replicas.len());
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
        if let Some(other) = replicas.iter().find(|rows| **rows != replicas[0]) {
            let of = |rows: &Rows, name: &str| rows.get(name).map_or("nothing".to_owned(), Value::to_string);
            let names: BTreeSet<_> = other.keys().chain(replicas[0].keys()).collect();
            let differs = names.into_iter().filter(|name| other.get(*name) != replicas[0].get(*name));
            let shown: Vec<_> =
                differs.take(5).map(|name| format!("{} / {}", of(&replicas[0], name), of(other, name))).collect();
            history.violation(format!("the replicas of the listing of {container} differ: {shown:#?}"));
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
    let bytes = |container: &str, rows: &Rows| rows.values().map(|row| stored(session, container, row, finals)).sum();
    let bytes: BTreeMap<&str, u64> =
        listings.iter().filter_map(|(name, replicas)| Some((*name, bytes(name, replicas.first()?)))).collect();
    let listed: BTreeMap<_, _> =
        listings.iter().filter_map(|(name, replicas)| Some((name, replicas.first()?))).collect();
    for (container, rows) in &listed {
        let head = session.head(container).send().expect(204);
        let said = ["X-Container-Object-Count", "X-Container-Bytes-Used"].map(|name| head.need(name).to_owned());
        let counted = [rows.len().to_string(), bytes[*container].to_string()];
        if said != counted {
            history.violation(format!("{container} says {said:?} objects and bytes, and lists {counted:?}"));
        }
    }
    let wanted = [
        (listed.len() + boxes).to_string(),
        listed.values().map(|rows| rows.len()).sum::<usize>().to_string(),
        bytes.values().sum::<u64>().to_string(),
    ];
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
