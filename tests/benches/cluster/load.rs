//! Clients that send one kind of request as fast as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use apus_tests::{Connection, Request, Response, Session, bytes};

/// The most that one row may leave on the disks, in bytes of objects.
const MOST_BYTES: usize = 2 << 30;
/// Names of one page of LIST.
const PAGE: usize = 1000;

/// A kind of request, in the order in which they are measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Put,
    Head,
    Get,
    List,
    Delete,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Put, Self::Head, Self::Get, Self::List, Self::Delete];
}

/// What the clients share.
pub(crate) struct Load {
    session: Session,
    container: String,
    body: Vec<u8>,
    connections: usize,
    time: Duration,
    /// How many objects there are.
    stored: AtomicUsize,
}

/// What came of one kind.
pub(crate) struct Outcome {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// How long each request took, in order.
    pub(crate) latencies: Vec<Duration>,
}

impl Load {
    pub(crate) fn new(session: Session, container: String, size: usize, connections: usize, time: Duration) -> Self {
        let body = bytes(size as u64, size);
        Self { session, container, body, connections, time, stored: AtomicUsize::new(0) }
    }

    /// Sends requests of one kind over all connections until the time is up or there are no more objects for it.
    pub(crate) fn run(self: &Arc<Self>, kind: Kind) -> Outcome {
        let next = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let clients: Vec<_> = (0..self.connections)
            .map(|_| {
                let (load, next) = (Arc::clone(self), Arc::clone(&next));
                thread::spawn(move || load.client(kind, &next))
            })
            .collect();
        let mut latencies: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("a client")).collect();
        let took = started.elapsed();
        latencies.sort();
        if kind == Kind::Put {
            self.stored.store(latencies.len(), Ordering::SeqCst);
        }
        Outcome { took, latencies }
    }

    fn client(&self, kind: Kind, next: &AtomicUsize) -> Vec<Duration> {
        let mut connection = Connection::open(self.session.address);
        let started = Instant::now();
        let mut latencies = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::SeqCst);
            if self.is_over(kind, number, started) {
                return latencies;
            }
            let request = self.request(kind, number);
            let sent = Instant::now();
            let answer = request.send_on(&mut connection).expect("an answer");
            latencies.push(sent.elapsed());
            self.check(kind, answer);
        }
    }

    /// Every object is deleted, however long it takes; all else ends with the time.
    fn is_over(&self, kind: Kind, number: usize, started: Instant) -> bool {
        match kind {
            Kind::Put => started.elapsed() > self.time || number * self.body.len().max(1) > MOST_BYTES,
            Kind::Delete => number >= self.stored.load(Ordering::SeqCst),
            Kind::Head | Kind::Get | Kind::List => started.elapsed() > self.time,
        }
    }

    fn request(&self, kind: Kind, number: usize) -> Request {
        // A stride that is prime to nearly every count visits the objects in no order of theirs.
        let stored = self.stored.load(Ordering::SeqCst).max(1);
        let object = |number: usize| format!("{}/{number:08}", self.container);
        match kind {
            Kind::Put => self.session.put(&object(number)).body(&self.body),
            Kind::Head => self.session.head(&object(number * 7919 % stored)),
            Kind::Get => self.session.get(&object(number * 7919 % stored)),
            Kind::List => self.session.get(&self.container).query(&format!("format=json&limit={PAGE}")),
            Kind::Delete => self.session.delete(&object(number)),
        }
    }

    fn check(&self, kind: Kind, answer: Response) {
        let stored = self.stored.load(Ordering::SeqCst);
        match kind {
            Kind::Put => drop(answer.expect(201)),
            Kind::Head => assert_eq!(answer.expect(200).need("Content-Length"), self.body.len().to_string()),
            Kind::Get => assert!(answer.expect(200).body == self.body, "an object came back different"),
            Kind::List => {
                let names = answer.expect(200).text().matches("\"name\"").count();
                assert_eq!(names, stored.min(PAGE), "a listing is not complete");
            }
            Kind::Delete => drop(answer.expect(204)),
        }
    }
}
