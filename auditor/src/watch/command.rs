//! An operator's program that looks on: it reads lines of JSON on its standard input, and may write some.
//!
//! ```text
//! {"start":{"audit":"ALL"}}
//! {"object":{"device":"sda1","policy":0,"path":"objects/7/abc/0123…abc","name":"/a/c/o","timestamp":"…","length":4,"metadata":{…}}}
//! {"end":{}}
//! ```
//!
//! A line `{"quarantine":{"device":"sda1","path":"objects/7/abc/0123…abc","why":"…"}}` that it writes moves that object to
//! quarantine, if it is there. It is started for each audit and has half a minute to end after its input has. While it does
//! not read, lines wait for it; when too many do, the audit waits a moment, once, and then goes on without showing it what it
//! has no room for. What it writes is distrusted: a line that is too long or makes no sense is logged and left out.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apus_base::clock;
use apus_base::cluster::Cluster;
use apus_base::fs::Devices;
use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_object::store::audit::{self, State};
use apus_object::store::index::{self, Shelf};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{Mode, Seen, Watcher, Wish};

/// Lines that wait for the program, each at most some tens of kilobytes.
const MAX_WAITING: usize = 1024;
/// How long the audit waits for it, once.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may go on after its input has ended.
const ENDING: Duration = Duration::from_secs(30);
/// The longest line that is read from it.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// The watcher.
pub struct CommandWatcher {
    command: Vec<String>,
    devices: Arc<Devices>,
    cluster: Arc<Cluster>,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    lines: mpsc::Sender<String>,
    answers: JoinHandle<()>,
    stuck: Arc<AtomicBool>,
    missed: AtomicU64,
}

/// What the program may want.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Request {
    Quarantine { device: String, path: String, why: String },
}

/// An object's folder as the program names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    policy: PolicyIndex,
    partition: u32,
    hash: PathHash,
}

impl CommandWatcher {
    /// A program and its arguments.
    pub fn new(command: Vec<String>, devices: Arc<Devices>, cluster: Arc<Cluster>) -> Self {
        Self { command, devices, cluster, running: Mutex::default() }
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) -> Option<mpsc::Sender<String>> {
        let (program, arguments) = self.command.split_first()?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(program, %error, "the audit watcher cannot be started; the audit goes on without it");
                return None;
            }
        };
        let (lines, waiting) = mpsc::channel(MAX_WAITING);
        let (input, output) = (child.stdin.take()?, child.stdout.take()?);
        tokio::spawn(write(input, waiting));
        let answers = tokio::spawn(answer(output, Arc::clone(&self.devices), Arc::clone(&self.cluster)));
        let (stuck, missed) = (Arc::default(), AtomicU64::new(0));
        *self.slot() = Some(Running { child, lines: lines.clone(), answers, stuck, missed });
        Some(lines)
    }

    async fn tell(&self, line: String) {
        let found = self.slot().as_ref().map(|running| (running.lines.clone(), Arc::clone(&running.stuck)));
        let Some((lines, stuck)) = found else { return };
        let told = match lines.try_send(line) {
            Err(mpsc::error::TrySendError::Full(line)) if !stuck.load(Ordering::Relaxed) => {
                let told = lines.send_timeout(line, PATIENCE).await.is_ok();
                stuck.store(!told, Ordering::Relaxed);
                told
            }
            told => told.is_ok(),
        };
        if told {
            stuck.store(false, Ordering::Relaxed);
        } else if let Some(running) = self.slot().as_ref() {
            running.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn finish(&self) {
        self.tell(line(&json!({"end": {}}))).await;
        let Some(Running { mut child, lines, answers, missed, .. }) = self.slot().take() else { return };
        drop(lines);
        let program = &self.command[0];
        match tokio::time::timeout(ENDING, child.wait()).await {
            Ok(Ok(status)) if status.success() => _ = answers.await,
            Ok(Ok(status)) => tracing::warn!(program, %status, "the audit watcher failed"),
            Ok(Err(error)) => tracing::warn!(program, %error, "the audit watcher cannot be waited for"),
            Err(_) => tracing::warn!(program, "the audit watcher did not end and is killed"),
        }
        let missed = missed.into_inner();
        if missed > 0 {
            tracing::warn!(program, missed, "the audit watcher was too slow to be shown every object");
        }
    }
}

impl Watcher for CommandWatcher {
    fn start(&self, mode: Mode) -> BoxFuture<'_, ()> {
        async move {
            if let Some(lines) = self.begin() {
                // There is room for the first.
                let _ = lines.try_send(line(&json!({"start": {"audit": mode.name()}})));
            }
        }
        .boxed()
    }

    fn see<'a>(&'a self, _mode: Mode, seen: &'a Seen<'a>) -> BoxFuture<'a, Wish> {
        async move {
            self.tell(line(&json!({ "object": seen }))).await;
            // What it wants comes later, by itself.
            Wish::Nothing
        }
        .boxed()
    }

    fn end(&self, _mode: Mode) -> BoxFuture<'_, ()> {
        self.finish().boxed()
    }
}

fn line(value: &serde_json::Value) -> String {
    format!("{value}\n")
}

async fn write(mut input: ChildStdin, mut lines: mpsc::Receiver<String>) {
    while let Some(line) = lines.recv().await {
        // A program that has ended needs no more.
        if input.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Does what the program wants, until its output ends.
async fn answer(output: ChildStdout, devices: Arc<Devices>, cluster: Arc<Cluster>) {
    let mut output = BufReader::new(output);
    while let Some(line) = next_line(&mut output).await {
        match parse(&line) {
            Some((device, named, why)) => put_away(&devices, &cluster, &device, named, why).await,
            None => {
                tracing::warn!(line = %String::from_utf8_lossy(&line), "the audit watcher said what makes no sense");
            }
        }
    }
}

/// The next line without its end; a line that is too long comes in pieces, which make no sense.
async fn next_line(output: &mut (impl AsyncBufRead + Unpin)) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let read = output.take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await;
    read.ok().filter(|read| *read > 0)?;
    line.pop_if(|last| *last == b'\n');
    Some(line)
}

fn parse(line: &[u8]) -> Option<(String, Named, String)> {
    let Request::Quarantine { device, path, why } = serde_json::from_slice(line).ok()?;
    let is_name = !device.is_empty() && !device.starts_with('.') && !device.contains(['/', '\0']);
    Some((device, named(&path)?, why)).filter(|_| is_name)
}

/// `objects[-N]/<partition>/<suffix>/<hash>`, just as it was shown.
fn named(path: &str) -> Option<Named> {
    let mut parts = path.split('/');
    let (objects, partition, _suffix, hash) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let number = objects.strip_prefix("objects")?;
    let policy = PolicyIndex(if number.is_empty() { 0 } else { number.strip_prefix('-')?.parse().ok()? });
    let named = Named { policy, partition: partition.parse().ok()?, hash: index::parse_hash(hash)? };
    (named.path() == path).then_some(named)
}

impl Named {
    fn path(&self) -> String {
        let hash = &self.hash;
        format!("{}/{}/{}/{}", self.policy.suffixed("objects"), self.partition, hash.suffix(), hash.hex())
    }
}

async fn put_away(devices: &Devices, cluster: &Arc<Cluster>, device: &str, named: Named, why: String) {
    let Some(device) = devices.get(device).ok().filter(|_| cluster.policies.get(named.policy).is_some()) else {
        return tracing::warn!(device, "the audit watcher named a device or a policy that is not here");
    };
    let (shelf, cluster) = (Shelf { device, policy: named.policy }, Arc::clone(cluster));
    let queue = shelf.device.queue().clone();
    let done = queue.run(move || {
        let looked = audit::look(&shelf, named.partition, named.hash, &cluster.hash_path, clock::now())?;
        if let State::Version(body) = looked.state { body.put_away(&why) } else { Ok(()) }
    });
    match done.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "what the audit watcher wants cannot be done"),
        Err(error) => tracing::error!(%error, "what the audit watcher wants cannot be done"),
    }
}

#[cfg(test)]
mod tests;
