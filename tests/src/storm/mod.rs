//! Faults on purpose, from a seed: a cluster of processes under a mixed load, while nodes are killed and frozen, devices
//! go and come back, empty or as they were, and files are damaged; and a [`History`] that knows every write.
//!
//! The same seed gives the same plan of faults ([`plan`]) and the same operations of each client ([`load`]). How these meet
//! is up to the machine, so a seed that found something may need a few runs to find it again; what was found is told
//! with the object's whole history and all of its files on all disks.

pub mod faults;
pub mod history;
pub mod load;
pub mod plan;
pub mod verdict;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::mount::{Disk, Size};
use crate::net::Network;
use crate::swift::{Swift, TESTER};
use crate::{Cluster, Session};
use faults::Breaker;
use history::History;
use load::{CONTAINERS, Client, MAX_LIFE_SECONDS, SEGMENTS};
use plan::Round;

/// The passes that bring copies to where they belong.
const REPLICATION: [&str; 2] = ["replicate", "replicate-listings"];

/// A disk that is to be filled: room for what a long storm leaves on it.
const DISK_BYTES: u64 = 1 << 30;

/// What a storm is like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is made of.
    pub seed: u64,
    /// How long clients work, and how long things break.
    pub length: Duration,
    /// The time of one round of faults, before all is mended.
    pub round: Duration,
    /// Storage nodes.
    pub nodes: usize,
    /// Proxies.
    pub proxies: usize,
    /// Clients.
    pub clients: usize,
    /// Storage policies.
    pub policies: Vec<&'static str>,
    /// Whether the nodes have links that can be cut.
    pub has_network: bool,
    /// The bytes of a node's disk, where each is a filesystem that can be filled.
    pub disk_bytes: Option<u64>,
}

impl Settings {
    /// A storm of that seed and length on five nodes.
    pub fn new(seed: u64, length: Duration) -> Self {
        let round = Duration::from_secs(6);
        let policies = vec!["gold", "silver"];
        Self { seed, length, round, nodes: 5, proxies: 2, clients: 8, policies, has_network: false, disk_bytes: None }
    }

    /// With links that can be cut and disks that can be filled, as far as this machine permits; says what it does not.
    #[must_use]
    pub fn with_all_that_is_permitted(mut self) -> Self {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        self.has_network = permitted("cut links", Network::new(1));
        self.disk_bytes =
            permitted("fill disks", Disk::new(folder.path(), Size::Bytes(DISK_BYTES))).then_some(DISK_BYTES);
        self
    }

    fn start(&self) -> Cluster {
        let mut builder = Cluster::builder();
        if self.has_network {
            builder = builder.in_namespaces();
        }
        if let Some(bytes) = self.disk_bytes {
            builder = builder.on_disks(Size::Bytes(bytes));
        }
        builder
            .nodes(self.nodes)
            .proxies(self.proxies)
            .policies(&self.policies)
            .settings(
                "proxy",
                "client = { node_timeout = 3, error_suppression_interval = 3, post_quorum_timeout = 0.5 }",
            )
            .settings("object", "container_update_timeout = 1\nnode_timeout = 3")
            .settings("container", "report_interval_seconds = 1")
            .settings("updater", "interval = 2")
            .settings("expirer", "interval = 3")
            .settings("reaper", "interval = 10")
            .settings("replication", "interval = 3")
            .start()
    }
}

fn permitted<T>(what: &str, made: Result<T, String>) -> bool {
    made.map_err(|why| println!("skipped: this machine does not let us {what}: {why}")).is_ok()
}

/// Runs a storm, prints what happened, and fails the test if anything was impossible.
#[track_caller]
pub fn run(settings: &Settings) {
    println!("storm of seed {}: {settings:?}", settings.seed);
    let mut cluster = settings.start();
    let sessions: Vec<Session> =
        (0..settings.proxies).map(|i| Swift { address: cluster.proxy(i).address("proxy") }.login(TESTER)).collect();
    prepare(&sessions[0]);
    let history = History::new();
    let mut breaker = Breaker::new(&mut cluster, &history, settings);
    under_load(settings, &sessions, &history, || faults(&mut breaker, settings, &history));
    breaker.note("the clients have gone");
    thread::sleep(Duration::from_secs(MAX_LIFE_SECONDS));
    breaker.mend();
    verdict::settle(&cluster, &history);
    verdict::judge(&cluster, &history, settings, &sessions);
    history.counts().iter().for_each(|line| println!("{line}"));
    let violations = history.violations();
    println!("storm of seed {}: {} objects, {} violations", settings.seed, history.objects().len(), violations.len());
    assert!(
        violations.is_empty(),
        "seed {}: {} violations:\n{}",
        settings.seed,
        violations.len(),
        violations.join("\n")
    );
}

fn prepare(session: &Session) {
    for container in CONTAINERS.iter().chain([&SEGMENTS]) {
        let policy = if *container == "c3" { "silver" } else { "gold" };
        let answer = session.put(container).header("X-Storage-Policy", policy).send();
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

fn under_load(settings: &Settings, sessions: &[Session], history: &History, meanwhile: impl FnOnce()) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..settings.clients {
            let client = Client::new(number, settings.seed, sessions.to_vec(), history);
            let stop = &stop;
            scope.spawn(move || client.work(stop));
        }
        // Whatever happens, the clients end, and with them the scope.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(meanwhile));
        stop.store(true, Ordering::Relaxed);
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn faults(breaker: &mut Breaker, settings: &Settings, history: &History) {
    for number in 0.. {
        if history.now() >= settings.length {
            return;
        }
        let round = Round::new(settings.seed, number, (settings.nodes, settings.proxies), settings.round);
        breaker.note(&format!("round {number}"));
        breaker.round(&round);
        breaker.mend();
    }
}
