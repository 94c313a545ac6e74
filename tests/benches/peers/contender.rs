//! A system with what was stored in it for the measurements, and one measurement of it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use apus_tests::load::{self, Ask, Body, Objects, Outcome};
use apus_tests::{Session, usage};

use crate::bin::Bin;
use crate::peer::Peer;
use crate::points::{Point, Work};
use crate::rows::Rows;

/// The most that one measurement stores, in bytes of objects; three times that lands on the disk.
const MOST_BYTES: u64 = 1 << 30;
/// Objects from this size on are removed after they were stored, for the disk's sake.
const LARGE: usize = 64 << 10;
/// A stride that is prime to the counts visits the objects in no order of theirs.
const STRIDE: u64 = 7919;
/// Connections of what is only preparation.
const PREPARING: usize = 16;
/// Quiet is when all systems together use less than a fifth of a core in such a time; it is waited for so long.
const QUIET: Duration = Duration::from_millis(200);
const QUIET_PATIENCE: Duration = Duration::from_secs(10);

/// What is asked in turn of a mixed load; a DELETE removes what a PUT stored a while before.
const MIX: &[u8; 20] = b"GGPGGGPGGGHGGPGGGPGD";
/// How many PUTs a DELETE stays behind.
const BEHIND: u64 = 32;

/// A system under measurement.
pub(crate) struct Contender {
    pub(crate) peer: Box<dyn Peer>,
    /// By their size.
    stored: BTreeMap<usize, (Objects, u64)>,
    listed: Option<Listed>,
    /// Containers made so far.
    made: usize,
    bin: Rc<Bin>,
}

impl Drop for Contender {
    fn drop(&mut self) {
        self.bin.throw(&self.peer.data());
    }
}

/// The container with many rows, asked for in two ways.
struct Listed {
    pages: Objects,
    folders: Objects,
}

/// What one measurement found.
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    /// What the system's processes spent.
    pub(crate) server: Duration,
    /// Bytes of memory that they had at its end.
    pub(crate) resident: u64,
}

impl Contender {
    /// A running system, whose data goes to the bin with it.
    pub(crate) fn new(peer: Box<dyn Peer>, bin: &Rc<Bin>) -> Self {
        Self { peer, stored: BTreeMap::new(), listed: None, made: 0, bin: Rc::clone(bin) }
    }

    /// Stores what a point needs, unless it is there.
    pub(crate) fn prepare(&mut self, point: &Point, rows: &Rows) {
        match point.work {
            Work::Get | Work::Head | Work::Mixed => self.store(point.size),
            Work::Page | Work::Folders if self.listed.is_none() => self.listed = Some(self.list(rows)),
            Work::Put | Work::Delete | Work::Page | Work::Folders => {}
        }
    }

    fn store(&mut self, size: usize) {
        if self.stored.contains_key(&size) {
            return;
        }
        let many = (64 << 20) / size as u64;
        let many = many.clamp(4, 1000);
        let objects = self.fresh(size);
        let mut numbers = 0..many;
        load::run(&objects, PREPARING, |_| numbers.next().map(Ask::Put)).expect_clean("objects to read");
        self.stored.insert(size, (objects, many));
    }

    fn list(&self, rows: &Rows) -> Listed {
        self.peer.fill(rows);
        let session = self.peer.session();
        let unnamed = || Objects::new(session, rows.container(), Body::new(0));
        let with = |objects: Objects, (query, names): (String, Vec<String>)| {
            objects.with_page(session, rows.container(), &query, &names)
        };
        let pages = rows.pages().into_iter().fold(unnamed(), with);
        Listed { pages, folders: with(unnamed(), rows.by_folder()) }
    }

    /// Objects of a container that nobody used before.
    fn fresh(&mut self, size: usize) -> Objects {
        self.made += 1;
        let container = format!("container{}", self.made);
        self.session().make(&container);
        Objects::new(self.session(), &container, Body::new(size))
    }

    fn session(&self) -> &Session {
        self.peer.session()
    }

    /// Measures one point once.
    pub(crate) fn measure(&mut self, point: &Point, time: Duration) -> Measured {
        match point.work {
            Work::Put => self.put(point, time),
            Work::Delete => self.delete(point, time),
            Work::Mixed => self.mixed(point, time),
            Work::Get => self.read(point, time, Ask::Get),
            Work::Head => self.read(point, time, Ask::Head),
            Work::Page => self.page(point, time),
            Work::Folders => self.folders(point, time),
        }
    }

    fn put(&mut self, point: &Point, time: Duration) -> Measured {
        let objects = self.fresh(point.size);
        let (measured, asked) = self.put_for(&objects, point.connections, time);
        if point.size >= LARGE {
            // Of those that failed, some are there.
            let mut numbers = 0..asked;
            load::run(&objects, PREPARING, |_| numbers.next().map(Ask::Delete));
        }
        measured
    }

    /// Also says how many were asked for.
    fn put_for(&self, objects: &Objects, connections: usize, time: Duration) -> (Measured, u64) {
        let most = MOST_BYTES / objects.size() as u64;
        let mut asked = 0;
        let measured = self.run(objects, connections, |since| {
            let wanted = since < time && asked < most;
            asked += u64::from(wanted);
            wanted.then(|| Ask::Put(asked - 1))
        });
        (measured, asked)
    }

    /// As many as can be stored in the same time, all of them.
    fn delete(&mut self, point: &Point, time: Duration) -> Measured {
        let objects = self.fresh(point.size);
        let (stored, asked) = self.put_for(&objects, point.connections, time);
        stored.outcome.expect_clean("objects to delete");
        let mut numbers = 0..asked;
        self.run(&objects, point.connections, |_| numbers.next().map(Ask::Delete))
    }

    fn read(&self, point: &Point, time: Duration, ask: impl Fn(u64) -> Ask) -> Measured {
        let (objects, many) = &self.stored[&point.size];
        let mut number = 0;
        self.run(objects, point.connections, |since| {
            number += STRIDE;
            (since < time).then(|| ask(number % many))
        })
    }

    fn mixed(&mut self, point: &Point, time: Duration) -> Measured {
        self.made += 1;
        // Behind those that are read, and behind those of the round before.
        let base = self.made as u64 * 10_000_000;
        let (objects, many) = &self.stored[&point.size];
        let (mut step, mut put, mut deleted) = (0, 0, 0);
        self.run(objects, point.connections, |since| {
            step += 1;
            let some = step * STRIDE % many;
            let ask = match MIX[step as usize % MIX.len()] {
                b'P' => {
                    put += 1;
                    Ask::Put(base + put)
                }
                b'D' if deleted + BEHIND < put => {
                    deleted += 1;
                    Ask::Delete(base + deleted)
                }
                b'G' => Ask::Get(some),
                _ => Ask::Head(some),
            };
            (since < time).then_some(ask)
        })
    }

    fn page(&self, point: &Point, time: Duration) -> Measured {
        let Listed { pages, .. } = self.listed.as_ref().expect("rows to list");
        let mut page = 0;
        self.run(pages, point.connections, |since| {
            page += 1;
            (since < time).then(|| Ask::Page(page % pages.pages()))
        })
    }

    fn folders(&self, point: &Point, time: Duration) -> Measured {
        let Listed { folders, .. } = self.listed.as_ref().expect("rows to list");
        self.run(folders, point.connections, |since| (since < time).then_some(Ask::Page(0)))
    }

    fn run(&self, objects: &Objects, connections: usize, next: impl FnMut(Duration) -> Option<Ask>) -> Measured {
        let roots = self.peer.roots();
        let before = usage::processor_time(&roots);
        let outcome = load::run(objects, connections, next);
        let server = usage::processor_time(&roots).saturating_sub(before);
        Measured { outcome, server, resident: usage::resident(&roots) }
    }
}

/// Has the disk finish what is behind it, and waits until no system is still busy with it.
pub(crate) fn settle(contenders: &[Contender]) {
    rustix::fs::sync();
    let roots: Vec<_> = contenders.iter().flat_map(|contender| contender.peer.roots()).collect();
    let started = Instant::now();
    while started.elapsed() < QUIET_PATIENCE {
        let before = usage::processor_time(&roots);
        std::thread::sleep(QUIET);
        if usage::processor_time(&roots).saturating_sub(before) < QUIET / 5 {
            return;
        }
    }
}
