//! Stores objects by the million: writes the files that their PUTs would have left, without the flushes between, and tells the container
//! server their rows, as object servers do.
//!
//! What a PUT leaves is told by one: [`Loader::learn`] reads its metadata, and every other object gets the same with its own name,
//! timestamp and ETag. The index of the device is removed, so that the next pass of replication makes it anew from what it finds.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use apus_base::hash_path::{HashPath, PathHash};
use apus_base::policy::PolicyIndex;
use apus_base::ring;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate, UpdateAnswer, UpdateBatch};
use apus_object::store::metadata::{CONTENT_LENGTH, CONTENT_TYPE, CRC, ETAG, NAME, TIMESTAMP};
use apus_object::store::{Metadata, attributes};
use apus_tests::load::Body;
use apus_tests::{Request, cluster, disk, interrupt, rings};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::names::name;

/// The account of the tester, and its container.
pub(crate) const ACCOUNT: &str = "AUTH_test";
pub(crate) const CONTAINER: &str = "many";
/// Objects whose files are written in the order of their folders, so that a folder is not looked for once for each.
const WAVE: u64 = 500_000;
/// Rows of a request; object servers under load send a thousand.
const ROWS: usize = 5000;
/// How much the threads that write stand back behind what else the machine does.
const NICENESS: i32 = 5;

/// Stores in one device and one container.
pub(crate) struct Loader<'a> {
    pub(crate) device: PathBuf,
    pub(crate) container_server: SocketAddr,
    pub(crate) body: &'a Body,
    pub(crate) threads: usize,
}

/// An object and where it belongs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    partition: u32,
    suffix: u16,
    hash: PathHash,
    number: u64,
}

impl Loader<'_> {
    /// Stores the objects of these numbers; object 0 was stored by a PUT, and says what a stored object looks like.
    pub(crate) fn store(&self, numbers: std::ops::Range<u64>) {
        let learnt = self.learn();
        let base = learnt.timestamp(TIMESTAMP).expect("a timestamp");
        let at = |number: u64| Timestamp::from_ticks(base.ticks() - number);
        assert_eq!(self.metadata(0, at(0), learnt.text(CONTENT_TYPE).expect("a type")), learnt, "other metadata");
        for start in (numbers.start.max(1)..numbers.end).step_by(usize::try_from(WAVE).expect("a number")) {
            let wave = start..numbers.end.min(start + WAVE);
            thread::scope(|scope| {
                scope.spawn(|| self.rows(wave.clone(), at));
                self.files(wave.clone(), at);
            });
            eprint!("\r\x1b[K{} objects", wave.end);
        }
        eprintln!();
        let _ = fs::remove_file(self.device.join("objects/.index"));
        let synced = File::open(&self.device).and_then(|folder| Ok(rustix::fs::syncfs(folder)?));
        synced.expect("a device that can be flushed");
    }

    /// The metadata of object 0, whose row tells the rest.
    fn learn(&self) -> Metadata {
        let placed = placed(0);
        let folder = self.device.join("objects").join(placed.partition.to_string()).join(placed.hash.suffix());
        let file = disk::files(&folder.join(placed.hash.hex())).pop().expect("object 0");
        attributes::read(&File::open(file).expect("object 0")).expect("its metadata").metadata
    }

    fn metadata(&self, number: u64, at: Timestamp, content_type: &str) -> Metadata {
        let etag = self.etag(number);
        let mut bytes = Vec::new();
        self.body.fill(&mut bytes, number, 0, self.body.len());
        let mut metadata = Metadata::default();
        metadata.set(NAME, format!("/{ACCOUNT}/{CONTAINER}/{}", name(number)));
        metadata.set(TIMESTAMP, at.internal());
        metadata.set(CONTENT_TYPE, content_type);
        metadata.set(CONTENT_LENGTH, bytes.len().to_string());
        metadata.set(CRC, format!("{:08x}-{etag}", crc32fast::hash(&bytes)));
        metadata.set(ETAG, etag);
        metadata
    }

    fn etag(&self, number: u64) -> String {
        self.body.etag(number).map(char::from).iter().collect()
    }

    fn files(&self, wave: std::ops::Range<u64>, at: impl Fn(u64) -> Timestamp + Copy + Send) {
        let mut placed: Vec<_> = wave.map(placed).collect();
        placed.sort_unstable();
        let share = placed.len().div_ceil(self.threads);
        thread::scope(|scope| {
            for share in placed.chunks(share) {
                scope.spawn(move || {
                    let _ = rustix::process::nice(NICENESS);
                    share.chunk_by(|a, b| (a.partition, a.suffix) == (b.partition, b.suffix)).for_each(|suffix| {
                        interrupt::check();
                        self.suffix(suffix, at);
                    });
                });
            }
        });
    }

    /// The objects of one suffix.
    fn suffix(&self, objects: &[Placed], at: impl Fn(u64) -> Timestamp) {
        let first = objects[0];
        let folder = self.device.join("objects").join(first.partition.to_string()).join(first.hash.suffix());
        fs::create_dir_all(&folder).expect("a folder");
        let folder: OwnedFd = File::open(&folder).expect("a folder").into();
        for object in objects {
            let (hash, at) = (object.hash.hex(), at(object.number));
            match rustix::fs::mkdirat(&folder, &hash, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => panic!("{hash}: {error}"),
            }
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
            let file = format!("{hash}/{}.data", at.internal());
            let file = rustix::fs::openat(&folder, &file, flags, Mode::from_raw_mode(0o644)).expect("a file");
            self.fill(File::from(file), object.number, at);
        }
    }

    fn fill(&self, mut file: File, number: u64, at: Timestamp) {
        let mut bytes = Vec::new();
        self.body.fill(&mut bytes, number, 0, self.body.len());
        file.write_all(&bytes).expect("a body");
        let metadata = self.metadata(number, at, "application/octet-stream");
        attributes::write(&file, &metadata, bytes.len() as u64).expect("metadata");
    }

    /// Two requests at once: one is made ready while the other is answered.
    fn rows(&self, wave: std::ops::Range<u64>, at: impl Fn(u64) -> Timestamp + Send) {
        let told = AtomicU64::new(0);
        thread::scope(|scope| {
            let (send, receive) = sync_channel::<Vec<u8>>(1);
            scope.spawn(|| {
                for batch in receive {
                    let asked = Request::new(self.container_server, "UPDATE", "/d0").body(batch).send().expect(200);
                    let answer: UpdateAnswer = serde_json::from_slice(&asked.body).expect("statuses");
                    assert!(answer.statuses.iter().all(|status| *status == 201), "a row was refused");
                    told.fetch_add(answer.statuses.len() as u64, Ordering::Relaxed);
                }
            });
            let numbers: Vec<_> = wave.clone().collect();
            for some in numbers.chunks(ROWS) {
                interrupt::check();
                let rows = some.iter().map(|number| self.row(*number, at(*number))).collect();
                send.send(serde_json::to_vec(&UpdateBatch { rows }).expect("rows")).expect("who sends");
            }
            drop(send);
        });
        assert_eq!(told.into_inner(), wave.end - wave.start);
    }

    fn row(&self, number: u64, at: Timestamp) -> RowUpdate {
        let row = ObjectRow {
            name: name(number),
            timestamps: RowTimestamps::same(at),
            size: self.body.len() as u64,
            content_type: "application/octet-stream".into(),
            etag: self.etag(number),
            deleted: false,
            policy: PolicyIndex(0),
        };
        RowUpdate { partition: 0, account: ACCOUNT.into(), container: CONTAINER.into(), row }
    }
}

fn placed(number: u64) -> Placed {
    let hash = HashPath::new("", cluster::SALT).object(ACCOUNT, CONTAINER, &name(number));
    let suffix = apus_object::store::index::suffix_number(&hash);
    Placed { partition: ring::partition(&hash.0, rings::PART_POWER), suffix, hash, number }
}
