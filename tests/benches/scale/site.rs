//! A cluster of one storage node with one device, and what of it is measured.

use std::cell::Cell;
use std::process::Output;
use std::time::{Duration, Instant};

use apus_tests::load::{self, Ask, Body, Objects, Outcome};
use apus_tests::mount::Size;
use apus_tests::{Cluster, Session, interrupt, usage};

use crate::loader::{CONTAINER, Loader};
use crate::names::{Listed, Page, name};

/// Bytes of an object: with its metadata it fits into an inode of the image.
const BYTES: usize = 64;
/// Inodes for each object: its folder, its file, and its share of a suffix's folder, which there are 2^20 of.
const INODES: u64 = 2;
const SUFFIXES: u64 = 1 << 20;
/// Clients that write or read objects at once.
const CLIENTS: usize = 16;
/// Objects stored in a measurement, and read in one.
const PUTS: u64 = 2000;
const READS: u64 = 20_000;
/// Pages read in a measurement, from so many different ones.
const PAGES: usize = 400;
/// Objects audited in a measurement, or some more.
const AUDITED: u64 = 40_000;
/// Partitions of the object ring.
const PARTITIONS: u64 = 1 << apus_tests::rings::PART_POWER;

/// What a measurement found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figure {
    /// What it is about, in its unit.
    pub(crate) value: f64,
    /// Of 99 of a hundred, where that makes sense.
    pub(crate) p99: Option<f64>,
    /// Microseconds of the servers' processor time for each request.
    pub(crate) processor: Option<f64>,
}

/// A cluster, and how many objects it has.
pub(crate) struct Site {
    cluster: Cluster,
    session: Session,
    body: Body,
    stored: u64,
    random: fastrand::Rng,
}

impl Site {
    /// Starts one with room for so many objects.
    pub(crate) fn start(most: u64) -> Self {
        let builder = Cluster::builder().nodes(1).replicas(1).without_passes();
        let cluster =
            builder.settings("auditor", "disk_share = 1.0").on_disks(Size::Files(most * INODES + SUFFIXES)).start();
        let session = cluster.tester();
        session.make(CONTAINER);
        let mut site =
            Self { cluster, session, body: Body::new(BYTES), stored: 0, random: fastrand::Rng::with_seed(6) };
        site.put(1).expect_clean("PUT");
        site
    }

    /// Loads until there are so many objects, and brings the index up to date; how long each took.
    pub(crate) fn grow(&mut self, count: u64, threads: usize) -> (Duration, Duration) {
        let started = Instant::now();
        let (device, container_server) = (self.cluster.device(0), self.cluster.node(0).address("container"));
        Loader { device, container_server, body: &self.body, threads }.store(self.stored..count);
        self.stored = self.stored.max(count);
        let (loaded, started) = (started.elapsed(), Instant::now());
        self.pass("replicate", &[]);
        let indexed = started.elapsed();
        self.look();
        (loaded, indexed)
    }

    /// Whether what was loaded is there: counted, listed and read through the proxy.
    fn look(&mut self) {
        let told = || {
            let head = self.session.head("").send().expect(204);
            head.header("X-Account-Object-Count") == Some(&*self.stored.to_string())
        };
        apus_tests::wait_until("the account has all objects", told);
        let objects = self.objects();
        let (count, stored) = (Cell::new(0), self.stored);
        let mut random = self.random.fork();
        let sample = load::run(&objects, CLIENTS, |_| {
            (count.replace(count.get() + 1) < 1000).then(|| Ask::Get(random.u64(0..stored)))
        });
        sample.expect_clean("a sample of the objects");
    }

    fn objects(&self) -> Objects {
        Objects::new(&self.session, CONTAINER, Body::new(BYTES)).named(name)
    }

    /// Listings of the objects that there are now.
    pub(crate) fn listed(&self) -> Listed {
        Listed::new(self.stored)
    }

    /// A generator of its own, so that both sites ask for the same.
    pub(crate) fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.random.clone().u64(..))
    }

    /// Milliseconds of pages, one after the other.
    pub(crate) fn pages(&mut self, pages: &[Page]) -> Figure {
        let objects = Objects::new(&self.session, CONTAINER, Body::new(BYTES));
        let objects = pages
            .iter()
            .fold(objects, |objects, (query, names)| objects.with_page(&self.session, CONTAINER, query, names));
        let count = Cell::new(0);
        let next = |_| {
            let page = count.replace(count.get() + 1);
            (page < PAGES).then(|| Ask::Page(page % objects.pages()))
        };
        let (outcome, processor) = self.run(&objects, 1, next);
        Figure { value: outcome.percentile(50), p99: Some(outcome.percentile(99)), processor: Some(processor) }
    }

    /// Objects stored a second.
    pub(crate) fn puts(&mut self) -> Figure {
        let spent = self.spent();
        let outcome = self.put(PUTS).expect_clean("PUT");
        let spent = self.spent() - spent;
        rate(&outcome, outcome.each(spent))
    }

    fn put(&mut self, many: u64) -> Outcome {
        let objects = self.objects();
        let (next, end) = (Cell::new(self.stored), self.stored + many);
        self.stored = end;
        load::run(&objects, CLIENTS, |_| {
            let number = next.replace(next.get() + 1);
            (number < end).then_some(Ask::Put(number))
        })
    }

    /// Objects asked for a second, at random among the first so many.
    pub(crate) fn reads(&mut self, among: u64, ask: fn(u64) -> Ask) -> Figure {
        let (objects, count, mut random) = (self.objects(), Cell::new(0), self.random.fork());
        let among = among.min(self.stored);
        let next = |_| (count.replace(count.get() + 1) < READS).then(|| ask(random.u64(0..among)));
        let (outcome, processor) = self.run(&objects, CLIENTS, next);
        rate(&outcome, processor)
    }

    fn run(&mut self, objects: &Objects, clients: usize, next: impl FnMut(Duration) -> Option<Ask>) -> (Outcome, f64) {
        let before = self.spent();
        let outcome = load::run(objects, clients, next).expect_clean("answers");
        let spent = self.spent() - before;
        let processor = outcome.each(spent);
        (outcome, processor)
    }

    fn spent(&mut self) -> Duration {
        let ids: Vec<_> = self.cluster.all().map(|node| node.process().id()).collect();
        usage::processor_time(&ids)
    }

    /// Resident memory of the storage node, in MiB.
    pub(crate) fn memory(&mut self) -> f64 {
        usage::resident(&[self.cluster.node(0).process().id()]) as f64 / f64::from(1 << 20)
    }

    /// Seconds of processor time of a pass: its own process and the servers; and by the clock.
    pub(crate) fn pass(&mut self, name: &str, arguments: &[&str]) -> (f64, f64, String) {
        interrupt::check();
        // The servers are children of this process, and so is the pass, which is waited for.
        let (own, started) = ([std::process::id()], Instant::now());
        let before = usage::processor_time(&own);
        let Output { status, stdout, stderr } = self.cluster.node(0).pass(name, arguments);
        let spent = usage::processor_time(&own) - before;
        let said = String::from_utf8_lossy(&stdout).into_owned();
        assert!(status.success(), "{name}: {said}{}", String::from_utf8_lossy(&stderr));
        (spent.as_secs_f64(), started.elapsed().as_secs_f64(), said)
    }

    /// Objects audited a second.
    pub(crate) fn audit(&mut self) -> Figure {
        let few = (AUDITED * PARTITIONS).div_ceil(self.stored).clamp(1, PARTITIONS);
        let first = self.random.u64(0..PARTITIONS);
        let numbers: Vec<_> = (0..few).map(|n| ((first + n) % PARTITIONS).to_string()).collect();
        let partitions = numbers.iter().flat_map(|number| ["--partition", number]);
        let arguments: Vec<_> = ["--policy", "0"].into_iter().chain(partitions).collect();
        let (spent, took, said) = self.pass("audit", &arguments);
        let objects = said.lines().rev().find_map(audited).unwrap_or_else(|| panic!("no objects in {said:?}"));
        let expected = self.stored * few / PARTITIONS;
        assert!(objects.abs_diff(expected) <= expected / 5, "{objects} audited of about {expected}");
        let value = objects as f64 / took;
        Figure { value, p99: None, processor: Some(spent * 1e6 / objects as f64) }
    }

    /// Starts all servers anew, so that they remember nothing.
    pub(crate) fn renew(&mut self) {
        for node in self.cluster.all() {
            node.stop();
            node.start(None);
        }
    }

    /// Milliseconds from the start of the storage node to the first object and the first page, after a stop or a kill.
    pub(crate) fn restart(&mut self, kill: bool) -> (f64, f64, f64) {
        // So that there is something in the log.
        self.put(100).expect_clean("PUT");
        let started = Instant::now();
        let node = self.cluster.node(0);
        let _ = if kill { node.kill() } else { node.stop() };
        let stopped = millis(started);
        let started = Instant::now();
        node.start(None);
        self.session.get(&format!("{CONTAINER}/{}", name(self.stored / 2))).send().expect(200);
        let read = millis(started);
        self.session.get(CONTAINER).query("limit=1000").send().expect(200);
        (stopped, read, millis(started))
    }
}

fn rate(outcome: &Outcome, processor: f64) -> Figure {
    Figure { value: outcome.rate(), p99: Some(outcome.percentile(99)), processor: Some(processor) }
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The number behind `objects` in the last line of a pass.
fn audited(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once(" objects ")?;
    rest.split([',', ' ']).next()?.parse().ok()
}

impl Figure {
    /// Of several rounds.
    pub(crate) fn mean(rounds: &[Self]) -> Self {
        let mean = |of: &dyn Fn(&Self) -> Option<f64>| {
            let all: Option<Vec<f64>> = rounds.iter().map(of).collect();
            all.filter(|all| !all.is_empty()).map(|all| all.iter().sum::<f64>() / all.len() as f64)
        };
        Self {
            value: mean(&|figure| Some(figure.value)).unwrap_or_default(),
            p99: mean(&|figure| figure.p99),
            processor: mean(&|figure| figure.processor),
        }
    }
}
