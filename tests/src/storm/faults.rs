//! Doing what a plan says to a cluster, and making it whole again.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use apus_object::store::attributes;
use fastrand::Rng;
use rustix::fs::XattrFlags;
use rustix::process::Signal;

use super::history::History;
use super::plan::{Act, Injury, Outage, Round, Trouble};
use super::{REPLICATION, Settings};
use crate::cluster::Node;
use crate::net::Network;
use crate::{Cluster, PATIENCE, Request, disk, md5_hex};

/// The attribute with an object's metadata.
const METADATA: &str = "user.swift.metadata";
/// Passes on every node until all is in its place again: more than enough, so that only a fault needs more.
const MOST_PASSES: usize = 30;

/// Who breaks a cluster, and what is broken now.
pub struct Breaker<'a> {
    cluster: &'a mut Cluster,
    history: &'a History,
    settings: &'a Settings,
    frozen: Vec<usize>,
    away: Vec<usize>,
    /// Files that were damaged and not yet looked at.
    damaged: Vec<Damaged>,
    timeline: Vec<String>,
}

struct Damaged {
    node: usize,
    file: PathBuf,
    /// Where its object server has it.
    target: String,
    policy: String,
}

impl<'a> Breaker<'a> {
    /// Nothing is broken yet.
    pub fn new(cluster: &'a mut Cluster, history: &'a History, settings: &'a Settings) -> Self {
        Self { cluster, history, settings, frozen: vec![], away: vec![], damaged: vec![], timeline: vec![] }
    }

    /// What happened, in order.
    pub fn timeline(&self) -> &[String] {
        &self.timeline
    }

    /// Notes something in the timeline.
    pub fn note(&mut self, what: &str) {
        let line = format!("{:8.3} s  {what}", self.history.now().as_secs_f64());
        println!("{line}");
        self.timeline.push(line);
    }

    /// Lives through a round, in its time.
    pub fn round(&mut self, round: &Round) {
        let began = Instant::now();
        let mut rng = Rng::with_seed(round.seed);
        for (at, act) in round.acts() {
            thread::sleep(at.saturating_sub(began.elapsed()));
            self.look_for_the_dead();
            match act {
                Act::Begin(outage) => self.begin(outage),
                Act::End(outage) => self.end(outage),
                Act::Injure(node, injury) => self.injure(node, injury, &mut rng),
            }
        }
    }

    /// A process that ended by itself is a violation.
    fn look_for_the_dead(&mut self) {
        for node in self.cluster.all() {
            if node.is_running() && !node.process().is_alive() {
                let log = node.process().log_tail();
                self.history.violation(format!("{} ended by itself\n{log}", node.name()));
                node.exited();
            }
        }
    }

    fn begin(&mut self, outage: Outage) {
        let node = outage.node;
        match outage.trouble {
            Trouble::Kill => {
                self.tell(node, "is killed");
                if self.server(node).is_running() {
                    self.server(node).kill();
                }
            }
            Trouble::Freeze => {
                self.tell(node, "freezes");
                self.server(node).process().signal(Signal::STOP);
                self.frozen.push(node);
            }
            Trouble::TakeAway => {
                self.note(&format!("the device of node {node} is taken away"));
                self.cluster.take_away(node);
                self.away.push(node);
            }
            Trouble::Cut => self.network(node, "is cut off", |network, _| network.cut(node)),
            Trouble::Silence => {
                self.network(node, "cannot reach the next", |network, next| network.silence(node, next));
            }
            Trouble::Fill => match self.cluster.disk(node) {
                Some(disk) => {
                    disk.fill();
                    self.note(&format!("the disk of node {node} is full"));
                }
                None => self.note(&format!("skipped: node {node} has no disk of its own to fill")),
            },
        }
    }

    /// Does something to the links of a node, and to the next one's.
    fn network(&mut self, node: usize, what: &str, act: impl FnOnce(&Network, usize)) {
        match self.cluster.network() {
            Some(network) => {
                act(network, (node + 1) % self.settings.nodes);
                self.note(&format!("node {node} {what}"));
            }
            None => self.note(&format!("skipped: node {node} {what}: there are no network namespaces")),
        }
    }

    fn end(&mut self, outage: Outage) {
        let node = outage.node;
        match outage.trouble {
            Trouble::Kill => self.start(node),
            Trouble::Freeze => self.thaw(node),
            Trouble::TakeAway => self.give_back(node),
            Trouble::Cut | Trouble::Silence if self.cluster.network().is_none() => {}
            Trouble::Cut => self.network(node, "is linked again", |network, _| network.heal(node)),
            Trouble::Silence => self.network(node, "reaches the next", |network, next| network.unsilence(node, next)),
            Trouble::Fill => {
                if let Some(disk) = self.cluster.disk(node) {
                    disk.drain();
                    self.note(&format!("the disk of node {node} has room again"));
                }
            }
        }
    }

    fn tell(&mut self, server: usize, what: &str) {
        let name = self.server(server).name().to_owned();
        self.note(&format!("{name} {what}"));
    }

    /// A storage node, or a proxy behind them.
    fn server(&mut self, number: usize) -> &mut Node {
        self.cluster.all().nth(number).expect("a server")
    }

    fn start(&mut self, node: usize) {
        if !self.server(node).is_running() {
            self.server(node).start(None);
            self.tell(node, "is started again");
        }
    }

    fn thaw(&mut self, node: usize) {
        if let Some(place) = self.frozen.iter().position(|frozen| *frozen == node) {
            self.frozen.swap_remove(place);
            self.server(node).process().signal(Signal::CONT);
            self.tell(node, "thaws");
        }
    }

    fn give_back(&mut self, node: usize) {
        if let Some(place) = self.away.iter().position(|away| *away == node) {
            self.away.swap_remove(place);
            self.cluster.give_back(node);
            self.note(&format!("the device of node {node} is back"));
        }
    }

    fn injure(&mut self, node: usize, injury: Injury, rng: &mut Rng) {
        match injury {
            Injury::Flip(many) => self.damage(node, many, rng, flip),
            Injury::Truncate(many) => self.damage(node, many, rng, truncate),
            Injury::Scramble(many) => self.damage(node, many, rng, scramble),
            Injury::Empty => self.empty(node),
            Injury::Replace => self.replace(node),
        }
    }

    fn damage(&mut self, node: usize, many: usize, rng: &mut Rng, harm: fn(&Path, &mut Rng) -> Option<()>) {
        let devices = self.cluster.node(node).devices();
        let mut files = disk::with_suffix(&devices, ".data");
        files.extend(disk::with_suffix(&devices, ".meta"));
        rng.shuffle(&mut files);
        let mut harmed = 0;
        for file in files.into_iter().take(many) {
            if let Some(damaged) = self.identify(node, &file)
                && harm(&file, rng).is_some()
            {
                harmed += 1;
                self.damaged.push(damaged);
            }
        }
        self.note(&format!("{harmed} files of node {node} are damaged"));
    }

    /// What is needed to read just this copy.
    fn identify(&self, node: usize, file: &Path) -> Option<Damaged> {
        let name = attributes::read(&File::open(file).ok()?).ok()?.metadata.text("name")?.to_owned();
        let relative = file.strip_prefix(self.cluster.device(node)).ok()?;
        let mut parts = relative.iter().filter_map(|part| part.to_str());
        let policy = parts.next()?.strip_prefix("objects")?.trim_start_matches('-').to_owned();
        let target = format!("/d{node}/{}{name}", parts.next()?);
        let policy = if policy.is_empty() { "0".to_owned() } else { policy };
        Some(Damaged { node, file: file.to_owned(), target, policy })
    }

    fn empty(&mut self, node: usize) {
        let device = self.cluster.device(node);
        for folder in fs::read_dir(&device).into_iter().flatten().flatten() {
            if folder.file_name().to_string_lossy().starts_with("objects") {
                // Somebody may write there meanwhile.
                while fs::remove_dir_all(folder.path()).is_err_and(|e| e.kind() != std::io::ErrorKind::NotFound) {}
            }
        }
        self.note(&format!("all objects of node {node} are removed"));
    }

    fn replace(&mut self, node: usize) {
        self.cluster.replace(node);
        self.note(&format!("the device of node {node} is replaced by an empty one"));
    }

    /// Ends all outages, and lets the passes make good what was injured; false when they cannot.
    pub fn mend(&mut self) {
        let nodes = self.settings.nodes;
        (0..nodes).for_each(|node| self.give_back(node));
        let servers = nodes + self.settings.proxies;
        (0..servers).for_each(|node| self.thaw(node));
        self.look_for_the_dead();
        (0..servers).for_each(|node| self.start(node));
        for damaged in std::mem::take(&mut self.damaged) {
            self.look_at(&damaged);
        }
        let mut tries = 0;
        while let Err(left) = self.replicate() {
            tries += 1;
            if tries == MOST_PASSES {
                return self.history.violation(format!("replication never found an end with all nodes up: {left}"));
            }
        }
        self.note(&format!("all nodes are up and have replicated, after {tries} vain tries"));
    }

    /// One pass of each kind on every node; what could not be done.
    fn replicate(&mut self) -> Result<(), String> {
        let left: String = REPLICATION.iter().map(|pass| self.cluster.try_pass(pass)).collect();
        if left.is_empty() { Ok(()) } else { Err(left) }
    }

    /// Reads a damaged copy as the auditor would: it must be put away, or have been replaced.
    fn look_at(&mut self, damaged: &Damaged) {
        let address = self.cluster.node(damaged.node).address("object");
        let request = || {
            let request = Request::new(address, "GET", &*damaged.target);
            request.header("X-Backend-Storage-Policy-Index", &damaged.policy).header("X-Backend-Open-Expired", "true")
        };
        let deadline = Instant::now() + PATIENCE;
        while still_damaged(&damaged.file) {
            let _ = request().try_send();
            if Instant::now() > deadline {
                return self.history.violation(format!("{} was read and stays damaged", damaged.file.display()));
            }
        }
    }
}

fn still_damaged(path: &Path) -> bool {
    let (Ok(body), Ok(file)) = (fs::read(path), File::open(path)) else { return false };
    match attributes::read(&file) {
        Ok(found) => found.metadata.text("ETag").is_some_and(|etag| etag != md5_hex(&body)),
        Err(_) => path.exists(),
    }
}

/// One bit of the body, and the times stay: so do those of rotten ones.
fn flip(path: &Path, rng: &mut Rng) -> Option<()> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    let found = file.metadata().ok().filter(|found| found.len() > 0)?;
    let place = rng.u64(..found.len());
    let mut byte = [0];
    file.read_exact_at(&mut byte, place).ok()?;
    file.write_all_at(&[byte[0] ^ (1 << rng.u32(..8))], place).ok()?;
    let times = FileTimes::new().set_accessed(found.accessed().ok()?).set_modified(found.modified().ok()?);
    file.set_times(times).ok()
}

/// One bit of what its attribute says.
fn scramble(path: &Path, rng: &mut Rng) -> Option<()> {
    let mut value = vec![0; 64 << 10];
    let length = rustix::fs::getxattr(path, METADATA, &mut value[..]).ok()?;
    value.truncate(length);
    let place = rng.usize(..length.max(1));
    *value.get_mut(place)? ^= 1 << rng.u32(..8);
    rustix::fs::setxattr(path, METADATA, &value, XattrFlags::REPLACE).ok()
}

fn truncate(path: &Path, rng: &mut Rng) -> Option<()> {
    let file = File::options().write(true).open(path).ok()?;
    let length = file.metadata().ok()?.len();
    if length == 0 { None } else { file.set_len(rng.u64(..length)).ok() }
}
