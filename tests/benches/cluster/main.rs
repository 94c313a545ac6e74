//! `make bench`: a fresh `apus up`, one kind of request at a time over kept connections, every answer checked, and for each a
//! row of a table, with the processor time that the server spent on it.
//!
//! The load generator runs on the same machine and takes its share of it, which the last column tells.

mod options;
mod report;

use std::cell::Cell;
use std::time::Duration;

use apus_tests::load::{self, Ask, Body, Objects, Outcome};
use apus_tests::swift::TESTER;
use apus_tests::{Apus, Session, usage};

use options::Options;

/// The most that one row may leave on the disks, in bytes of objects.
const MOST_BYTES: u64 = 2 << 30;
/// Names of one page of LIST.
const PAGE: u64 = 1000;
/// A stride that is prime to nearly every count visits the objects in no order of theirs.
const STRIDE: u64 = 7919;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Put,
    Head,
    Get,
    List,
    Delete,
}

fn main() {
    let Some(options) = Options::from_arguments(std::env::args().skip(1)) else {
        return;
    };
    let mut apus = Apus::builder().devices(options.devices).replicas(options.replicas).users(&[TESTER]).start();
    let server = apus.process().id();
    let session = apus.tester();
    println!(
        "{} devices, {} replicas, on {}; {} s for each row\n",
        options.devices,
        options.replicas,
        apus.data().display(),
        options.time.as_secs_f64(),
    );
    report::heading();
    for &size in &options.sizes {
        for &connections in &options.connections {
            measure(&session, server, size, connections, options.time);
        }
    }
}

/// All kinds, on a container of its own.
fn measure(session: &Session, server: u32, size: usize, connections: usize, time: Duration) {
    let container = format!("size{size}-connections{connections}");
    session.make(&container);
    let mut objects = Objects::new(session, &container, Body::new(size));
    let mut stored = 0;
    for kind in [Kind::Put, Kind::Head, Kind::Get, Kind::List, Kind::Delete] {
        if kind == Kind::List {
            let names: Vec<_> = (0..stored.min(PAGE)).map(|number| format!("{number:08}")).collect();
            objects = objects.with_page(session, &container, &format!("limit={PAGE}"), &names);
        }
        let before = usage::processor_time(&[server]);
        let outcome = run(&objects, kind, connections, stored, time);
        let spent = usage::processor_time(&[server]).saturating_sub(before);
        report::row(kind, size, connections, &outcome, spent);
        if kind == Kind::Put {
            stored = outcome.count() as u64;
        }
        outcome.expect_clean("answers");
    }
}

/// Sends requests of one kind until the time is up or there are no more objects for it. Every object is deleted, however long it takes.
fn run(objects: &Objects, kind: Kind, connections: usize, stored: u64, time: Duration) -> Outcome {
    let count = Cell::new(0);
    load::run(objects, connections, |since| {
        let number = count.replace(count.get() + 1);
        let some = number * STRIDE % stored.max(1);
        let in_time = since < time;
        match kind {
            Kind::Put => (in_time && number * objects.size() as u64 <= MOST_BYTES).then_some(Ask::Put(number)),
            Kind::Head => in_time.then_some(Ask::Head(some)),
            Kind::Get => in_time.then_some(Ask::Get(some)),
            Kind::List => in_time.then_some(Ask::Page(0)),
            Kind::Delete => (number < stored).then_some(Ask::Delete(number)),
        }
    })
}
