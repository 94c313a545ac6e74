//! What the machine itself can do, measured in the same run: the disk's flushes and bytes, a core's MD5, and a server without a store.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use apus_tests::load::{self, Ask, Body, Objects};
use apus_tests::{interrupt, usage};
use md5::{Digest as _, Md5};
use tempfile::TempDir;

use crate::bare::{self, Bare};
use crate::bin::Bin;

/// Bytes of a file that is created and flushed.
const SMALL: usize = 4 << 10;
/// Bytes written one after the other, and then flushed.
const LARGE: usize = 1 << 30;
/// What is written or hashed at once.
const PIECE: usize = 1 << 20;
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// How long each is measured: short, for what is created has to be removed some day.
const TIME: Duration = Duration::from_secs(2);

/// Measures them all, telling each as a line of text.
pub(crate) fn measure(bin: &Bin, mut tell: impl FnMut(String)) {
    let folder = TempDir::new().expect("a temporary folder");
    let own = folder.path().join("limits");
    fs::create_dir(&own).expect("a folder");
    for threads in CONNECTIONS {
        let rate = creates(&own, threads);
        tell(format!(
            "synced creates (write 4 KiB, fsync, rename, fsync of the folder), {threads} threads: {rate:.0} a second, {:.2} ms each",
            threads as f64 * 1e3 / rate
        ));
    }
    tell(format!("sequential write and fsync of 1 GiB: {:.0} MB/s", sequential(&own)));
    tell(format!("MD5 on one core: {:.0} MB/s", md5()));
    bin.throw(&own);
    for connections in CONNECTIONS {
        tell(bare_server(connections));
    }
}

/// Files that were created and flushed in a second.
fn creates(folder: &Path, threads: usize) -> f64 {
    let started = Instant::now();
    let counts: Vec<u64> = thread::scope(|scope| {
        let clients: Vec<_> = (0..threads)
            .map(|thread| {
                let own = folder.join(format!("{threads}-{thread}"));
                scope.spawn(move || creator(&own, started))
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a thread")).collect()
    });
    counts.iter().sum::<u64>() as f64 / started.elapsed().as_secs_f64()
}

fn creator(folder: &Path, started: Instant) -> u64 {
    fs::create_dir(folder).expect("a folder");
    let (handle, bytes) = (File::open(folder).expect("a folder"), [7; SMALL]);
    let mut count = 0;
    while started.elapsed() < TIME {
        let temporary = folder.join("temporary");
        let mut file = File::create(&temporary).expect("a file");
        file.write_all(&bytes).and_then(|()| file.sync_all()).expect("a flushed file");
        fs::rename(&temporary, folder.join(count.to_string()))
            .and_then(|()| handle.sync_all())
            .expect("a flushed folder");
        count += 1;
    }
    count
}

/// Megabytes a second.
fn sequential(folder: &Path) -> f64 {
    interrupt::check();
    let (path, piece) = (folder.join("large"), vec![7; PIECE]);
    let mut file = File::create(&path).expect("a file");
    let started = Instant::now();
    for _ in 0..LARGE / PIECE {
        file.write_all(&piece).expect("room");
    }
    file.sync_all().expect("a flushed file");
    let took = started.elapsed();
    fs::remove_file(path).expect("a file to remove");
    LARGE as f64 / 1e6 / took.as_secs_f64()
}

/// Megabytes a second.
fn md5() -> f64 {
    let (piece, mut md5, many) = (vec![7; PIECE], Md5::new(), 512);
    let started = Instant::now();
    (0..many).for_each(|_| md5.update(&piece));
    std::hint::black_box(md5.finalize());
    (many * PIECE) as f64 / 1e6 / started.elapsed().as_secs_f64()
}

fn bare_server(connections: usize) -> String {
    let server = Bare::start();
    let objects = Objects::new(&server.session, "c", Body::new(bare::SIZE));
    let roots = [server.daemon.id()];
    let before = usage::processor_time(&roots);
    let get = |since: Duration| (since < TIME).then_some(Ask::Get(0));
    let outcome = load::run(&objects, connections, get).expect_clean("a bare server");
    let spent = usage::processor_time(&roots).saturating_sub(before);
    format!(
        "a bare hyper server that answers 4 KiB from memory, GET over {connections} connections: {:.0} a second, p50 {:.2} ms, p99 {:.2} ms, \
         {:.0} us of its processor time and {:.0} us of the load generator's for each",
        outcome.rate(),
        outcome.percentile(50),
        outcome.percentile(99),
        outcome.each(spent),
        outcome.each(outcome.processor),
    )
}
