//! `make bench-overload`: how a fresh `apus up` fares when far more is asked of it than it can do.
//!
//! For each kind of request it first finds the best throughput over a few connections, each of which waits for its answer. Then as many
//! times of it as is wanted are offered over a thousand connections, by clients that ask on at once when they are refused and by
//! clients that rest as long as they are told, then the best again: what the ratios compare is the mean of the two. Every answer is checked;
//! all but the right one and 503 with `Retry-After` is a failure.
//!
//! The load generator shares the machine's cores with the server; the table says what each spent.

mod options;
mod report;

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use apus_tests::load::{self, Ask, Body, Objects, Offer, Outcome};
use apus_tests::swift::TESTER;
use apus_tests::{Apus, Session, interrupt, usage};

use options::Options;
use report::{Report, Row};

/// Bytes of an object.
const SIZE: usize = 4 << 10;
/// Objects that are read.
const STORED: u64 = 1000;
/// A stride that is prime to that visits them in no order of theirs.
const STRIDE: u64 = 7919;
/// Of twenty requests of a mixed load; the rest reads.
const PUTS_OF_TWENTY: u64 = 5;
/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long the server may finish what is behind it between two measurements.
const REST: Duration = Duration::from_secs(1);

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Put,
    Get,
    Mixed,
}

/// Clients of one kind of load.
struct Load<'a> {
    kind: Kind,
    objects: &'a Objects,
    server: u32,
    /// Requests so far; new objects are numbered by it, behind those that are read.
    asked: Cell<u64>,
}

/// What one measurement found.
struct Measured {
    outcome: Outcome,
    /// Processor time of the server.
    server: Duration,
    /// The most memory that it had, in bytes.
    most: u64,
    /// And a while after.
    after: u64,
}

fn main() {
    let Some(options) = Options::from_arguments(std::env::args().skip(1)) else {
        return;
    };
    interrupt::watch();
    let mut apus = Apus::builder().devices(3).replicas(3).users(&[TESTER]).arguments(&options.server).start();
    let server = apus.process().id();
    let session = apus.tester();
    let mut report = Report::new(options.markdown.clone());
    report.heading(&options);
    for kind in [Kind::Get, Kind::Put, Kind::Mixed].into_iter().filter(|kind| options.wants(*kind)) {
        measure(kind, &session, server, &options, &mut report);
    }
}

fn measure(kind: Kind, session: &Session, server: u32, options: &Options, report: &mut Report) {
    let container = format!("{kind:?}");
    session.make(&container);
    let objects = Objects::new(session, &container, Body::new(SIZE));
    let mut numbers = 0..STORED;
    load::run(&objects, 16, |_| numbers.next().map(Ask::Put)).expect_clean("objects to read");
    let load = Load { kind, objects: &objects, server, asked: Cell::new(STORED) };
    let before = usage::resident(&[server]);
    let first = load.best(options);
    let rate = options.factor * first.outcome.rate();
    let stubborn = load.offered(options, rate, false);
    let obedient = load.offered(options, rate, true);
    let again = load.best(options);
    let best = (first.outcome.rate() + again.outcome.rate()) / 2.0;
    for (clients, measured, offered) in [
        (format!("best, {} connections", options.best), first, None),
        (format!("{} connections, ask on at once", options.connections), stubborn, Some(rate)),
        (format!("{} connections, rest when told", options.connections), obedient, Some(rate)),
        (format!("best again, {} connections", options.best), again, None),
    ] {
        report.row(&Row { kind, clients: &clients, measured: &measured, offered, best, before });
    }
}

impl Load<'_> {
    /// What a few clients get who wait for their answers.
    fn best(&self, options: &Options) -> Measured {
        self.watched(|| {
            load::run(self.objects, options.best, |since| (since < options.time).then(|| self.next()))
                .expect_clean("the best")
        })
    }

    /// What many get who do not.
    fn offered(&self, options: &Options, rate: f64, obeys: bool) -> Measured {
        let offer = Offer { rate, time: options.time, connections: options.connections, obeys };
        self.watched(|| load::offer(self.objects, &offer, || self.next()))
    }

    fn next(&self) -> Ask {
        let number = self.asked.replace(self.asked.get() + 1);
        let is_put = match self.kind {
            Kind::Put => true,
            Kind::Get => false,
            Kind::Mixed => number % 20 < PUTS_OF_TWENTY,
        };
        if is_put { Ask::Put(number) } else { Ask::Get(number * STRIDE % STORED) }
    }

    /// Looks at the server while something is done to it.
    fn watched(&self, work: impl FnOnce() -> Outcome) -> Measured {
        let (server, over, most) = ([self.server], AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    most.fetch_max(usage::resident(&server), Ordering::Relaxed);
                    thread::sleep(LOOK);
                }
            });
            let before = usage::processor_time(&server);
            let outcome = work();
            let spent = usage::processor_time(&server).saturating_sub(before);
            over.store(true, Ordering::Relaxed);
            thread::sleep(REST);
            let after = usage::resident(&server);
            Measured { outcome, server: spent, most: most.load(Ordering::Relaxed), after }
        })
    }
}
