//! Which way to the disk costs least: a pool of threads for each device, or io_uring?
//!
//! The real steps of a PUT (make a file, write, set an attribute, flush, rename, flush the folder) and of a GET (open,
//! read the attribute, read the body) by each engine, in turns (A B C B C A ...) within one run, called from Tokio's
//! multi-threaded runtime as the server does; the table has the medians of all rounds: `cargo bench -p apus-object --bench disk_engines [-- FOLDER]`.
//! Setting attributes is a plain call in all engines: tokio-uring 0.5 has no operation for it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its table")]

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apus_base::fs::DiskQueue;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use xattr::FileExt as _;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Requests at the same time, as from a few busy proxies.
const CONCURRENCY: usize = 32;
/// Threads for the device.
const THREADS: usize = 4;
/// Each engine runs each load this often, in turns.
const ROUNDS: usize = 7;
const ATTRIBUTE: &str = "user.swift.metadata";
/// About what Swift's metadata of a plain object takes.
const ATTRIBUTE_VALUE: [u8; 300] = [b'm'; 300];

/// Puts and gets files named by a number.
trait Engine: Clone + Send + Sync + 'static {
    const NAME: &'static str;
    fn put(&self, path: PathBuf, body: Bytes) -> impl Future<Output = Outcome<()>> + Send;
    fn get(&self, path: PathBuf) -> impl Future<Output = Outcome<usize>> + Send;
}

fn put_blocking(path: &Path, body: &[u8]) -> Outcome<()> {
    let tmp = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create_new(true).open(&tmp)?;
    file.write_all(body)?;
    file.set_xattr(ATTRIBUTE, &ATTRIBUTE_VALUE)?;
    file.sync_all()?;
    fs::rename(&tmp, path)?;
    Ok(File::open(path.parent().ok_or("no folder")?)?.sync_all()?)
}

fn get_blocking(path: &Path) -> Outcome<usize> {
    let mut file = File::open(path)?;
    file.get_xattr(ATTRIBUTE)?.ok_or("no attribute")?;
    let mut body = Vec::with_capacity(usize::try_from(file.metadata()?.len())?);
    Ok(file.read_to_end(&mut body)?)
}

/// The store's own queue.
#[derive(Clone)]
struct Queue(DiskQueue);

impl Engine for Queue {
    const NAME: &'static str = "DiskQueue";

    async fn put(&self, path: PathBuf, body: Bytes) -> Outcome<()> {
        self.0.run(move || put_blocking(&path, &body)).await?
    }

    async fn get(&self, path: PathBuf) -> Outcome<usize> {
        self.0.run(move || get_blocking(&path)).await?
    }
}

/// Tokio's pool of blocking threads behind a semaphore: the simplest queue.
#[derive(Clone)]
struct Blocking(Arc<tokio::sync::Semaphore>);

impl Blocking {
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Outcome<T> + Send + 'static) -> Outcome<T> {
        let place = Arc::clone(&self.0).acquire_owned().await?;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(place);
            result
        });
        done.await?
    }
}

impl Engine for Blocking {
    const NAME: &'static str = "spawn_blocking";

    async fn put(&self, path: PathBuf, body: Bytes) -> Outcome<()> {
        self.run(move || put_blocking(&path, &body)).await
    }

    async fn get(&self, path: PathBuf) -> Outcome<usize> {
        self.run(move || get_blocking(&path)).await
    }
}

/// One thread with a ring, to which requests are sent.
#[derive(Clone)]
struct Uring(mpsc::UnboundedSender<Request>);

enum Request {
    Put(PathBuf, Bytes, oneshot::Sender<Outcome<()>>),
    Get(PathBuf, oneshot::Sender<Outcome<usize>>),
}

impl Uring {
    fn start() -> Self {
        let (sender, mut requests) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            tokio_uring::start(async move {
                while let Some(request) = requests.recv().await {
                    tokio_uring::spawn(async move {
                        match request {
                            Request::Put(path, body, done) => drop(done.send(put_uring(path, body).await)),
                            Request::Get(path, done) => drop(done.send(get_uring(path).await)),
                        }
                    });
                }
            });
        });
        Self(sender)
    }
}

async fn put_uring(path: PathBuf, body: Bytes) -> Outcome<()> {
    let tmp = path.with_extension("tmp");
    let file = tokio_uring::fs::OpenOptions::new().write(true).create_new(true).open(&tmp).await?;
    file.write_all_at(body, 0).await.0?;
    xattr::set(&tmp, ATTRIBUTE, &ATTRIBUTE_VALUE)?;
    file.sync_all().await?;
    file.close().await?;
    tokio_uring::fs::rename(&tmp, &path).await?;
    let folder = tokio_uring::fs::File::open(path.parent().ok_or("no folder")?).await?;
    folder.sync_all().await?;
    Ok(folder.close().await?)
}

async fn get_uring(path: PathBuf) -> Outcome<usize> {
    let file = tokio_uring::fs::File::open(&path).await?;
    xattr::get(&path, ATTRIBUTE)?.ok_or("no attribute")?;
    let length = usize::try_from(fs::metadata(&path)?.len())?;
    let (read, body) = file.read_exact_at(Vec::with_capacity(length), 0).await;
    read?;
    file.close().await?;
    Ok(body.len())
}

impl Engine for Uring {
    const NAME: &'static str = "tokio-uring";

    async fn put(&self, path: PathBuf, body: Bytes) -> Outcome<()> {
        let (done, answer) = oneshot::channel();
        self.0.send(Request::Put(path, body, done)).map_err(|_| "the ring has ended")?;
        answer.await?
    }

    async fn get(&self, path: PathBuf) -> Outcome<usize> {
        let (done, answer) = oneshot::channel();
        self.0.send(Request::Get(path, done)).map_err(|_| "the ring has ended")?;
        answer.await?
    }
}

#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    is_put: bool,
    bytes: usize,
    operations: usize,
}

const LOADS: [Load; 4] = [
    Load { name: "PUT 4 KiB", is_put: true, bytes: 4 << 10, operations: 800 },
    Load { name: "PUT 1 MiB", is_put: true, bytes: 1 << 20, operations: 100 },
    Load { name: "GET 4 KiB", is_put: false, bytes: 4 << 10, operations: 20_000 },
    Load { name: "GET 1 MiB", is_put: false, bytes: 1 << 20, operations: 1000 },
];

/// Files that the GETs go round.
const FILES: usize = 64;

struct Measured {
    wall: Duration,
    cpu: Duration,
}

fn path(folder: &Path, load: Load, n: usize) -> PathBuf {
    folder.join(format!("{}", n % FILES)).join(format!("{}-{n}.data", load.bytes))
}

async fn run<E: Engine>(engine: &E, folder: &Path, load: Load) -> Outcome<Measured> {
    let body = Bytes::from(vec![7; load.bytes]);
    let (started, cpu) = (Instant::now(), cpu_time()?);
    let workers = (0..CONCURRENCY).map(|first| {
        let (engine, body, folder) = (engine.clone(), body.clone(), folder.to_owned());
        tokio::spawn(async move {
            for n in (first..load.operations).step_by(CONCURRENCY) {
                if load.is_put {
                    engine.put(path(&folder, load, n), body.clone()).await?;
                } else if engine.get(path(&folder, load, n % FILES)).await? != load.bytes {
                    return Err("a short read".into());
                }
            }
            Outcome::Ok(())
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await??;
    }
    Ok(Measured { wall: started.elapsed(), cpu: cpu_time()? - cpu })
}

/// User and system time of this process and all its threads, the kernel's workers of its rings included.
fn cpu_time() -> Outcome<Duration> {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit_once(')').ok_or("stat")?.1.split_ascii_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// One turn: operations in a second, and microseconds of CPU time for each.
async fn measure<E: Engine>(engine: &E, root: &Path, load: Load) -> Outcome<(f64, f64)> {
    let folder = tempfile::tempdir_in(root)?;
    for n in 0..FILES {
        fs::create_dir(folder.path().join(n.to_string()))?;
        if !load.is_put {
            put_blocking(&path(folder.path(), load, n), &vec![7; load.bytes])?;
        }
    }
    let Measured { wall, cpu } = run(engine, folder.path(), load).await?;
    let operations = f64::from(u32::try_from(load.operations)?);
    Ok((operations / wall.as_secs_f64(), cpu.as_secs_f64() * 1e6 / operations))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print(load: Load, engine: &str, rounds: Vec<(f64, f64)>) {
    let (per_second, cpu): (Vec<_>, Vec<_>) = rounds.into_iter().unzip();
    let (slowest, fastest) =
        (per_second.iter().copied().fold(f64::MAX, f64::min), per_second.iter().copied().fold(0.0, f64::max));
    let (middle, cpu) = (median(per_second), median(cpu));
    println!("{:10} {engine:15} {middle:>10.0} {slowest:>10.0} {fastest:>10.0} {cpu:>12.0}", load.name);
}

fn main() -> Outcome<()> {
    let folder = std::env::args().skip(1).find(|a| !a.starts_with('-')).map_or_else(std::env::temp_dir, PathBuf::from);
    println!("{CONCURRENCY} at a time, {THREADS} threads, in {}", folder.display());
    println!("{:10} {:15} {:>10} {:>10} {:>10} {:>12}", "load", "engine", "ops/s", "slowest", "fastest", "CPU µs/op");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let queue = Queue(DiskQueue::new(THREADS));
        let blocking = Blocking(Arc::new(tokio::sync::Semaphore::new(THREADS)));
        let uring = Uring::start();
        for load in LOADS {
            let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
            // Another one begins each round, so that none always follows the same one.
            for turn in (0..3 * ROUNDS).map(|n| (n + n / 3) % 3) {
                rounds[turn].push(match turn {
                    0 => measure(&queue, &folder, load).await?,
                    1 => measure(&blocking, &folder, load).await?,
                    _ => measure(&uring, &folder, load).await?,
                });
            }
            for (name, rounds) in [Queue::NAME, Blocking::NAME, Uring::NAME].into_iter().zip(rounds) {
                print(load, name, rounds);
            }
        }
        Ok(())
    })
}
