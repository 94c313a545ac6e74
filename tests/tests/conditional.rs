//! Conditional writes against real processes: of all who compete one wins, also while nodes and proxies die, freeze and come
//! back. What every client was told has to be explained by some order, and what is there in the end by the same.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apus_base::clock;
use apus_base::hash_path::HashPath;
use apus_base::timestamp::{TICKS_PER_SECOND, Timestamp};
use apus_tests::copies::{HASH_SUFFIX, ring, where_is};
use apus_tests::linear::{Ask, Operation, Said, Value, check};
use apus_tests::swift::TESTER;
use apus_tests::{Cluster, Request, Session, Swift, md5_hex, s3, wait_until};
use fastrand::Rng;
use rustix::process::Signal;

/// Clients at once.
const CLIENTS: usize = 6;
/// How long a race under faults lasts.
const LENGTH: Duration = Duration::from_secs(20);

/// What all clients do and hear, by object.
#[derive(Default)]
struct Known {
    operations: Mutex<BTreeMap<String, Vec<Operation>>>,
    /// The last value of an object that somebody was told is there.
    latest: Mutex<BTreeMap<String, u64>>,
    writes: AtomicU64,
}

struct Racers<'a> {
    began: Instant,
    known: &'a Known,
    sessions: Vec<Session>,
    objects: u64,
}

fn body(value: u64) -> String {
    format!("value {value}\n")
}

fn sessions(cluster: &mut Cluster, proxies: usize) -> Vec<Session> {
    (0..proxies).map(|i| Swift { address: cluster.proxy(i).address("proxy") }.login(TESTER)).collect()
}

/// Swift's face knows no `If-Match` of a PUT; that of S3 does.
fn swap(session: &Session, object: &str, old: u64, value: u64) -> Request {
    let request = Request::new(session.address, "PUT", s3::signed("PUT", object, TESTER));
    request.header("If-Match", format!("\"{}\"", md5_hex(body(old).as_bytes()))).body(body(value))
}

impl Racers<'_> {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).expect("a short test")
    }

    /// One operation of one client.
    fn act(&self, rng: &mut Rng) {
        let object = format!("race/o{}", rng.u64(..self.objects));
        let session = &self.sessions[rng.usize(..self.sessions.len())];
        let value = self.known.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let latest = self.known.latest.lock().expect("no panic").get(&object).copied();
        // Mostly a creation; now and then the object goes, so that the next race begins.
        let ask = match (rng.usize(..16), latest) {
            (0..2, _) => Ask::Write(None),
            (2, _) => Ask::Write(Some(value)),
            (3..7, Some(latest)) => Ask::Swap(Some(latest), Some(value)),
            _ => Ask::Swap(None, Some(value)),
        };
        let start = self.now();
        let put = || session.put(&object).body(body(value));
        let answer = match ask {
            Ask::Write(None) => session.delete(&object).try_send(),
            Ask::Swap(Some(old), _) => swap(session, &object, old, value).try_send(),
            Ask::Swap(None, _) => put().header("If-None-Match", "*").try_send(),
            Ask::Write(Some(_)) | Ask::Read => put().try_send(),
        };
        if answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused) {
            // The proxy is down, and was not asked.
            return thread::sleep(Duration::from_millis(20));
        }
        let end = self.now();
        let said = match answer.map_or(0, |answer| answer.status) {
            // A newer one is there already.
            200..=204 => Said::Done,
            // Nothing was there to delete: it was seen so, and a tombstone is as good.
            404 if ask == Ask::Write(None) => Said::Done,
            // `If-Match` where there is nothing is 404.
            404 | 412 => Said::Unmet,
            // Surely nothing.
            409 if matches!(ask, Ask::Swap(..)) => return,
            0 | 409 | 499.. => Said::Perhaps,
            status => panic!("{object} {ask:?}: {status}"),
        };
        // Perhaps, and then at any time: a node may be frozen that was asked.
        let end = if said == Said::Perhaps { u64::MAX } else { end };
        if said == Said::Done && ask != Ask::Write(None) {
            self.known.latest.lock().expect("no panic").insert(object.clone(), value);
        }
        let operation = Operation { start, end, ask, said };
        self.known.operations.lock().expect("no panic").entry(object).or_default().push(operation);
    }
}

/// Clients race until `meanwhile` is over.
fn race(racers: &Racers<'_>, seed: u64, meanwhile: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (stop, mut rng) = (&stop, Rng::with_seed(seed ^ (client as u64 + 1) << 32));
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    racers.act(&mut rng);
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// What is there at last, once everything is mended, has to fit too.
fn judge(racers: &Racers<'_>, seed: u64) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (object, operations) in &mut *racers.known.operations.lock().expect("no panic") {
        let start = racers.now();
        let answer = racers.sessions[0].get(object).header("X-Newest", "true").send();
        let seen: Value = match answer.status {
            200 => Some(answer.text().trim().trim_start_matches("value ").parse().expect("a value")),
            status => {
                assert_eq!(status, 404, "{object}");
                None
            }
        };
        operations.push(Operation { start, end: racers.now(), ask: Ask::Read, said: Said::Sees(seen) });
        for operation in &*operations {
            let ask = match operation.ask {
                Ask::Swap(None, _) => "create",
                Ask::Swap(..) => "swap",
                Ask::Write(_) => "blind",
                Ask::Read => "read",
            };
            *counts.entry(format!("{ask} {:?}", operation.said).replace(char::is_numeric, "")).or_default() += 1;
        }
        if let Err(why) = check(operations) {
            panic!("seed {seed}, {object}: {why}");
        }
    }
    println!("seed {seed}: {counts:?}");
    for what in ["create Done", "swap Done"] {
        assert!(counts.get(what).is_some_and(|done| *done > 0), "nobody ever won: {counts:?}");
    }
}

fn seed() -> u64 {
    let seed = std::env::var("RACE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    println!("RACE_SEED={seed}");
    seed
}

#[test]
fn of_many_creators_one_wins() {
    let mut cluster = Cluster::builder().proxies(2).start();
    let sessions = sessions(&mut cluster, 2);
    sessions[0].make("race");
    for (object, down) in [("all", None), ("two", Some(1))] {
        // Also while one replica of three is down.
        down.into_iter().for_each(|node| drop(cluster.node(node).kill()));
        let winners = AtomicU64::new(0);
        thread::scope(|scope| {
            for client in 0..12usize {
                let (session, winners) = (&sessions[client % 2], &winners);
                scope.spawn(move || {
                    let path = format!("race/{object}");
                    let answer = session.put(&path).header("If-None-Match", "*").body(client.to_string()).send();
                    assert!([201, 412].contains(&answer.status), "{answer:?}");
                    if answer.status == 201 {
                        assert_eq!(answer.need("ETag").trim_matches('"'), md5_hex(client.to_string().as_bytes()));
                        assert_eq!(winners.fetch_add(1, Ordering::Relaxed), 0, "two have won");
                    }
                });
            }
        });
        assert_eq!(winners.load(Ordering::Relaxed), 1);
        wait_until("the winner is listed", || sessions[0].list("race").contains(&object.to_owned()));
    }
}

#[test]
fn too_few_replicas_write_nothing() {
    let mut cluster = Cluster::builder().start();
    let session = cluster.tester();
    session.make("race");
    session.store("race/known", "makes sure that the container is known");
    cluster.node(0).kill();
    cluster.node(1).kill();
    session.put("race/o").header("If-None-Match", "*").body("x").send().expect(503);
    cluster.node(0).start(None);
    cluster.node(1).start(None);
    session.get("race/o").header("X-Newest", "true").send().expect(404);
    session.put("race/o").header("If-None-Match", "*").body("y").send().expect(201);
    session.put("race/o").header("If-None-Match", "*").body("z").send().expect(412);
    assert_eq!(session.get("race/o").send().text(), "y");
}

/// What a proxy asks one primary, as a ballot.
fn ask(cluster: &mut Cluster, node: usize, method: &str, object: &str, ballot: Timestamp) -> Request {
    let hash = HashPath::new("", HASH_SUFFIX).object("AUTH_test", "race", object);
    let path = format!("/d{node}/{}/AUTH_test/race/{object}", ring(cluster).partition(&hash.0));
    let request = Request::new(cluster.node(node).address("object"), method, path);
    request.header("X-Timestamp", ballot.internal())
}

/// What a proxy leaves that dies after the first of its commits: one primary has the version.
fn half_written(cluster: &mut Cluster, node: usize, object: &str, body: &str, ballot: Timestamp) {
    let held = ask(cluster, node, "PUT", object, ballot).header("X-Backend-Hold", "dead");
    held.header("Content-Type", "a/b").header("X-Object-Meta-Who", "dead").body(body).send().expect(201);
    ask(cluster, node, "COMMIT", object, ballot).header("X-Backend-Hold", "dead").send().expect(201);
}

/// A ballot of a proxy whose clock is so much ahead.
fn ahead(seconds: u64) -> Timestamp {
    Timestamp::from_ticks(clock::now().ticks() + seconds * TICKS_PER_SECOND).as_ballot(1)
}

fn holders(cluster: &Cluster, object: &str) -> usize {
    where_is(cluster, 3, "AUTH_test", "race", object).iter().filter(|found| found.contains(".data ")).count()
}

#[test]
fn half_a_write_is_finished_by_who_needs_to_know_or_never_happens() {
    let mut cluster = Cluster::builder().start();
    let session = cluster.tester();
    session.make("race");
    session.store("race/known", "makes sure that the container is known");

    // Who stumbles over it makes sure that it stays before saying that it is there.
    half_written(&mut cluster, 0, "half", "first", ahead(0));
    assert_eq!(holders(&cluster, "half"), 1);
    session.put("race/half").header("If-None-Match", "*").body("second").send().expect(412);
    assert!(holders(&cluster, "half") >= 2);
    cluster.node(0).kill();
    let seen = session.get("race/half").header("X-Newest", "true").send().expect(200);
    assert_eq!((seen.text().as_str(), seen.need("X-Object-Meta-Who")), ("first", "dead"));
    session.put("race/half").header("If-None-Match", "*").body("third").send().expect(412);
    cluster.node(0).start(None);

    // Who cannot see it goes on without it, and then it never was.
    half_written(&mut cluster, 0, "unseen", "first", ahead(0));
    cluster.node(0).kill();
    session.put("race/unseen").header("If-None-Match", "*").body("second").send().expect(201);
    cluster.node(0).start(None);
    session.put("race/unseen").header("If-None-Match", "*").body("third").send().expect(412);
    cluster.pass("replicate");
    for _ in 0..6 {
        assert_eq!(session.get("race/unseen").send().text(), "second");
    }
}

#[test]
fn a_deletion_that_meets_a_ballot_halfway_happens_once() {
    let mut cluster = Cluster::builder().start();
    let session = cluster.tester();
    session.make("race");
    session.store("race/promised", "mine");

    // Two have promised, and one takes the tombstone: the deletion is finished above the promise.
    let promise = ahead(100);
    (1..3).for_each(|node| drop(ask(&mut cluster, node, "FENCE", "promised", promise).send().expect(200)));
    session.delete("race/promised").send().expect(204);
    for node in 0..3 {
        let seen = ask(&mut cluster, node, "HEAD", "promised", promise).send().expect(404);
        assert!(seen.need("X-Backend-Timestamp").parse::<Timestamp>().is_ok_and(|newest| newest > promise), "{seen:?}");
    }
    session.put("race/promised").header("If-None-Match", "*").body("yours").send().expect(201);
    assert_eq!(session.get("race/promised").header("X-Newest", "true").send().text(), "yours");

    // What was written before by a clock that is ahead is deleted all the same.
    (0..3).for_each(|node| half_written(&mut cluster, node, "ahead", "first", ahead(100)));
    session.delete("race/ahead").send().expect(204);
    session.get("race/ahead").header("X-Newest", "true").send().expect(404);

    // If one takes the tombstone that others refuse for what they have, nobody knows: the other one's write stays.
    (1..3).for_each(|node| half_written(&mut cluster, node, "unclear", "first", ahead(100)));
    session.delete("race/unclear").send().expect(503);
    assert_eq!(session.get("race/unclear").header("X-Newest", "true").send().text(), "first");
}

#[test]
fn a_version_goes_though_its_link_was_promised_to_a_conditional_write() {
    let mut cluster = Cluster::builder().start();
    let session = cluster.tester();
    session.put("race").header("X-Versions-Enabled", "true").send().expect(201);
    for promised in [0..3, 1..3, 2..3] {
        let object = format!("of-{}", promised.len());
        let path = format!("race/{object}");
        let [old, current] = ["old", "current"]
            .map(|body| session.put(&path).body(body).send().expect(201).need("X-Object-Version-Id").to_owned());
        for node in promised {
            ask(&mut cluster, node, "FENCE", &object, ahead(0)).send().expect(200);
        }
        session.delete(&path).query(&format!("version-id={current}")).send().expect(204);
        session.get(&path).send().expect(404);
        session.get(&path).query(&format!("version-id={current}")).send().expect(404);
        session.put(&path).query(&format!("version-id={old}")).send().expect(201);
        assert_eq!(session.get(&path).header("X-Newest", "true").send().text(), "old");
    }
}

#[test]
fn a_race_under_faults_is_explained_by_some_order() {
    let seed = seed();
    let mut cluster = Cluster::builder()
        .nodes(3)
        .proxies(2)
        .settings("proxy", "client = { node_timeout = 2, error_suppression_interval = 1, post_quorum_timeout = 0.5 }")
        .settings("object", "container_update_timeout = 1")
        .start();
    let sessions = sessions(&mut cluster, 2);
    sessions[0].make("race");
    let known = Known::default();
    let racers = Racers { began: Instant::now(), known: &known, sessions, objects: 12 };
    let mut rng = Rng::with_seed(seed);
    race(&racers, seed, || {
        while racers.began.elapsed() < LENGTH {
            // One of the storage nodes or proxies dies or freezes for a moment.
            let victim = rng.usize(..5);
            let pause = Duration::from_millis(rng.u64(100..1500));
            let node = if victim < 3 { cluster.node(victim) } else { cluster.proxy(victim - 3) };
            if rng.bool() {
                node.kill();
                thread::sleep(pause);
                node.start(None);
            } else {
                node.process().signal(Signal::STOP);
                thread::sleep(pause);
                node.process().signal(Signal::CONT);
            }
            thread::sleep(Duration::from_millis(rng.u64(..400)));
        }
    });
    // Everybody has what there is; what nobody promised may still be on its way.
    thread::sleep(Duration::from_secs(3));
    // A promise that was given up still keeps out what is older than it, for an hour.
    println!("replication: {}", cluster.try_pass("replicate"));
    judge(&racers, seed);
}
