//! `apus import`: a node that Swift has left becomes one of Apus.
//!
//! ```text
//! accounts/…/<hash>.db[.pending]  containers/…  read row by row into listings/; they stay where they are
//! objects[-N]/…                                 looked at, and served where they are
//! async_pending[-N]/…                           for the updater, which reads Swift's
//! tmp/ quarantined/ hashes.pkl …                left alone
//! ```
//!
//! [`swift_conf`] holds Swift's configuration against ours, [`find`] finds databases, [`database`], [`rows`] and
//! [`pending`] read them, [`load`] stores them, [`objects`] looks at objects. What is not imported is said by name, with the
//! reason, and makes the exit status 1; the rest is imported all the same. Everything may be done again. Until a device has
//! been gone over once to the end, it has a mark with which no server starts: half a listing would be taken for a whole one.

mod database;
#[expect(dead_code, reason = "`apus inspect` is what shows it")]
pub(crate) mod describe;
mod find;
mod load;
mod objects;
mod pending;
mod rows;
mod swift_conf;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use apus_base::client::Rings;
use apus_base::cluster::Cluster;
use apus_base::db::{Databases, Kind};
use apus_base::fs::Devices;
use apus_base::hash_path::PathHash;
use apus_base::pass::{self, Filter, Pass, Progress};
use clap::Args;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::bar::Shown;
use crate::cli;
use crate::config::NodeConfig;
use crate::data::write_synced;
use crate::error::StartError;
use crate::pass::stop_at_signal;
use crate::rings::{self, Addresses};
use crate::roles::Role;
use crate::serve;
use find::Found;
use load::{Loaded, Loader, Refused};
use swift_conf::SwiftConf;

/// On a device that was not yet gone over to the end.
const UNFINISHED: &str = ".import-unfinished";
/// Databases of one device that are read at once, so that their commits share flushes.
const CONCURRENCY: usize = 8;
/// So many names are tried before anything is written: if none of them hashes to its folder, the salt is wrong.
const SAMPLE: usize = 8;
/// Of one partition, what is wrong with objects is told so often by name.
const MAX_TOLD: usize = 5;

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    /// The node's configuration, in which `[node] devices` is the folder that Swift's servers call `devices`.
    #[arg(long, value_name = "FILE", required_unless_present = "print_config")]
    config: Option<PathBuf>,
    /// Where swift.conf and Swift's rings are; ours have to agree with them. Without them only the data is looked at.
    #[arg(long, default_value = "/etc/swift", value_name = "DIR")]
    swift_dir: PathBuf,
    /// Only this device; may be given several times.
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// Read and check everything, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not look at the objects: it takes a listing of every folder.
    #[arg(long)]
    skip_objects: bool,
    /// Only say what an apus.toml needs for this node, from the files in --swift-dir.
    #[arg(long)]
    print_config: bool,
}

/// Why nothing is imported at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImportError {
    #[error("{0}")]
    SwiftConf(String),
    #[error("there is no swift.conf in {}; say with --swift-dir where it is", .0.display())]
    NoSwiftConf(PathBuf),
    #[error("the configuration is not that of this Swift node; `apus import --print-config` says what it needs:\n  {}", .0.join("\n  "))]
    Differs(Vec<String>),
    #[error("something serves {0}: stop all of Swift's servers and daemons, and Apus's, on this node first")]
    Running(SocketAddr),
    #[error(
        "no name on device {0} hashes to its folder: hash_path_prefix and hash_path_suffix of [cluster] are not those that \
         this data was written with"
    )]
    Salt(String),
    #[error("the {1} on device {0} are in other partitions than the ring says: it is not the ring of this data")]
    Partitions(String, &'static str),
    #[error("cannot use {}: {source}", .path.display())]
    Device { path: PathBuf, source: io::Error },
    #[error("there is no device {0} below [node] devices")]
    NoDevice(String),
    #[error("there is nothing of Swift's on any device below {}", .0.display())]
    Nothing(PathBuf),
}

/// Says whether a device was begun to be imported and is not finished.
pub(crate) fn is_unfinished(device: &Path) -> bool {
    device.join(UNFINISHED).exists()
}

/// `apus import`.
pub(crate) fn run(arguments: &ImportArguments) -> Result<ExitCode, StartError> {
    let swift = SwiftConf::read(&arguments.swift_dir).map_err(ImportError::SwiftConf)?;
    let Some(path) = arguments.config.as_ref().filter(|_| !arguments.print_config) else {
        let swift = swift.ok_or_else(|| ImportError::NoSwiftConf(arguments.swift_dir.clone()))?;
        cli::say(swift.to_toml().map_err(ImportError::SwiftConf)?.trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    let config = NodeConfig::read(path)?;
    let cluster = config.cluster(path)?;
    let rings = rings::read_all(&config.node.rings, &cluster.policies, &Addresses::default())?;
    match swift.map(|swift| swift.differences(&config.cluster, &cluster, &config.node.rings)) {
        Some(found) if !found.is_empty() => return Err(ImportError::Differs(found).into()),
        Some(_) => {}
        None => cli::say("import: there is no swift.conf to compare with; see --swift-dir"),
    }
    if !arguments.dry_run {
        check_stopped(&config)?;
    }
    serve::runtime()?.block_on(async {
        let import = Import::new(arguments, &config, cluster)?;
        import.check_names(&rings)?;
        import.go().await
    })
}

/// That nobody listens where the servers do: what they write meanwhile would be missed.
fn check_stopped(config: &NodeConfig) -> Result<(), ImportError> {
    let addresses = [Role::Account, Role::Container, Role::Object].map(|role| config.listen.of(role));
    for address in addresses.into_iter().flatten().filter_map(|address| address.parse::<SocketAddr>().ok()) {
        if TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            return Err(ImportError::Running(address));
        }
    }
    Ok(())
}

struct Import {
    devices: Vec<(String, PathBuf)>,
    loader: Loader,
    skip_objects: bool,
}

impl Import {
    fn new(arguments: &ImportArguments, config: &NodeConfig, cluster: Cluster) -> Result<Self, StartError> {
        let devices = Arc::new(Devices::new(&config.node.devices, config.object.disk_threads));
        let names = devices.names();
        if let Some(unknown) = arguments.devices.iter().find(|name| !names.contains(name)) {
            return Err(ImportError::NoDevice(unknown.clone()).into());
        }
        let wanted = |name: &String| arguments.devices.is_empty() || arguments.devices.contains(name);
        let path = |name: String| (name.clone(), devices.root().join(name));
        let found: Vec<_> = names.into_iter().filter(wanted).map(path).filter(|(_, path)| is_swifts(path)).collect();
        if found.is_empty() {
            return Err(ImportError::Nothing(config.node.devices.clone()).into());
        }
        let databases = Arc::new(Databases::new(devices, config.object.fallocate_reserve));
        let databases = (!arguments.dry_run).then_some(databases);
        let loader = Loader { cluster: Arc::new(cluster), databases, runtime: Handle::current() };
        Ok(Self { devices: found, loader, skip_objects: arguments.skip_objects })
    }

    /// Tries some names of each device against their folders and partitions, before anything is written.
    fn check_names(&self, rings: &Rings) -> Result<(), ImportError> {
        for (device, path) in &self.devices {
            let unreadable = |source| ImportError::Device { path: path.clone(), source };
            let (mut fit, mut all) = (0, 0);
            let databases = [(Kind::Account, &rings.account, "accounts"), (Kind::Container, &rings.container, "containers")];
            for (kind, ring, what) in databases {
                let sample = sample(path, kind).map_err(unreadable)?;
                all += sample.len();
                fit += sample.iter().filter(|(_, found)| self.named(found) == Some(found.hash)).count();
                let stray = sample.iter().filter(|(at, found)| ring.partition(&found.hash.0) != *at).count();
                if stray > 0 && stray == sample.len() {
                    return Err(ImportError::Partitions(device.clone(), what));
                }
            }
            let objects = objects::sample(path, SAMPLE).map_err(unreadable)?;
            let is_named = |path: &Path, hash| objects::name_hash(path, &self.loader.cluster).is_ok_and(|named| named == hash);
            all += objects.len();
            fit += objects.iter().filter(|(_, _, hash, path)| is_named(path, *hash)).count();
            if all > 0 && fit == 0 {
                return Err(ImportError::Salt(device.clone()));
            }
            let is_stray = |(policy, at, hash, _): &&(_, u32, PathHash, _)| {
                rings.objects.get(policy).is_some_and(|ring| ring.partition(&hash.0) != *at)
            };
            if !objects.is_empty() && objects.iter().all(|object| is_stray(&object)) {
                return Err(ImportError::Partitions(device.clone(), "objects"));
            }
        }
        Ok(())
    }

    fn named(&self, found: &Found) -> Option<PathHash> {
        let path = found.files.last().map(|file| found.folder.join(file))?;
        let described = describe_name(&path, found.kind)?;
        Some(load::hash(&self.loader.cluster, &described))
    }

    async fn go(&self) -> Result<ExitCode, StartError> {
        let stop = stop_at_signal()?;
        self.mark()?;
        let mut shown = Shown::new(Self::NAME);
        let report = pass::once(self, &Filter::default(), &stop, |report| shown.update(report)).await;
        shown.end(&report);
        let is_whole = !stop.is_cancelled();
        if let Some(databases) = &self.loader.databases {
            databases.close().await;
            if is_whole {
                self.unmark()?;
            }
        }
        Ok(if is_whole && report.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn mark(&self) -> Result<(), StartError> {
        for (_, path) in self.devices.iter().filter(|_| self.loader.databases.is_some()) {
            let marked = write_synced(&path.join(UNFINISHED), b"", 0o600);
            marked.map_err(|source| ImportError::Device { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// The devices are ready to be served. Swift kept no index of their objects, so an older one of ours is not true.
    fn unmark(&self) -> Result<(), StartError> {
        for (_, path) in &self.devices {
            let failed = |source| ImportError::Device { path: path.clone(), source };
            for shelf in objects::shelves(path).map_err(failed)?.into_values() {
                remove(&shelf.join(".index")).map_err(failed)?;
            }
            remove(&path.join(UNFINISHED)).map_err(failed)?;
        }
        Ok(())
    }

    async fn databases(&self, device: &str, kind: Kind, path: &Path, progress: &Progress, stop: &CancellationToken) {
        let folder = path.join(find::folder(kind));
        for (_, partition) in partitions(&folder).await.unwrap_or_else(|error| unreadable(progress, &folder, &error)) {
            let found = blocking(move || find::databases(&partition, kind)).await;
            let mut loading = JoinSet::new();
            for found in found.unwrap_or_else(|error| unreadable(progress, &folder, &error)) {
                if stop.is_cancelled() {
                    return;
                }
                if loading.len() >= CONCURRENCY
                    && let Some(loaded) = loading.join_next().await
                {
                    tell(device, loaded, progress, stop);
                }
                let (loader, device) = (self.loader.clone(), device.to_owned());
                loading.spawn_blocking(move || (loader.load(&device, &found), found));
            }
            while let Some(loaded) = loading.join_next().await {
                tell(device, loaded, progress, stop);
            }
            progress.step();
        }
    }

    async fn objects(&self, path: &Path, progress: &Progress, stop: &CancellationToken) {
        let device = path.to_owned();
        let shelves = blocking(move || objects::shelves(&device)).await;
        for (policy, shelf) in shelves.unwrap_or_else(|error| unreadable(progress, path, &error)) {
            if self.loader.cluster.policies.get(policy).is_none() {
                progress.fail();
                cli::say(&format!("not imported: {}: its policy is not in [[cluster.policies]]", shelf.display()));
            }
            let mut fragments = 0;
            for (_, partition) in partitions(&shelf).await.unwrap_or_else(|error| unreadable(progress, &shelf, &error)) {
                if stop.is_cancelled() {
                    return;
                }
                let cluster = Arc::clone(&self.loader.cluster);
                let seen = blocking(move || objects::look(&partition, &cluster)).await;
                let seen = seen.unwrap_or_else(|error| unreadable(progress, &shelf, &error));
                progress.add("objects", seen.objects);
                progress.add("other files", seen.others);
                fragments += seen.fragments;
                seen.wrong.iter().take(MAX_TOLD).for_each(|wrong| cli::say(&format!("object: {wrong}")));
                seen.wrong.iter().for_each(|_| progress.fail());
                progress.step();
            }
            if fragments > 0 {
                progress.fail();
                let what = "pieces of erasure-coded objects, which Apus does not serve yet";
                cli::say(&format!("not imported: {}: {fragments} {what}", shelf.display()));
            }
        }
    }
}

impl Pass for Import {
    const NAME: &'static str = "import";

    async fn once(&self, _: &Filter, progress: &Progress, stop: &CancellationToken) {
        for (_, path) in &self.devices {
            progress.expect(steps(path.clone(), !self.skip_objects).await);
        }
        let all = self.devices.iter().map(|(device, path)| async move {
            self.databases(device, Kind::Account, path, progress, stop).await;
            self.databases(device, Kind::Container, path, progress, stop).await;
            if !self.skip_objects {
                self.objects(path, progress, stop).await;
            }
        });
        futures_util::future::join_all(all).await;
    }
}

/// Counts what became of a database, and says what the operator should know of.
fn tell(
    device: &str,
    loaded: Result<(Result<Loaded, (String, Refused)>, Found), JoinError>,
    progress: &Progress,
    stop: &CancellationToken,
) {
    let Ok((loaded, found)) = loaded else { return progress.fail() };
    match loaded {
        Ok(loaded) => {
            progress.count(find::folder(found.kind));
            progress.add("rows", loaded.rows);
            progress.add("tombstones", loaded.tombstones);
            progress.add("waiting rows", loaded.pending);
            let place = found.folder.display();
            loaded.notes.iter().for_each(|note| cli::say(&format!("note: {place}: {note}")));
        }
        Err((name, refused)) => {
            progress.fail();
            cli::say(&format!("not imported: {name} on {device}: {refused}"));
            if matches!(refused, Refused::Listings(_)) {
                stop.cancel();
            }
        }
    }
}

/// Whether a folder has anything of Swift's.
fn is_swifts(device: &Path) -> bool {
    let has = |kind| device.join(find::folder(kind)).is_dir();
    has(Kind::Account) || has(Kind::Container) || objects::shelves(device).is_ok_and(|shelves| !shelves.is_empty())
}

/// What a database calls itself, if it can be read.
fn describe_name(path: &Path, kind: Kind) -> Option<apus_base::db::Info> {
    Some(database::SwiftDb::open(path, kind, false).ok()?.head().ok()?.info)
}

fn sample(device: &Path, kind: Kind) -> io::Result<Vec<(u32, Found)>> {
    let mut sample = Vec::new();
    for (number, partition) in find::partitions(&device.join(find::folder(kind)))? {
        sample.extend(find::databases(&partition, kind)?.into_iter().map(|found| (number, found)));
        if sample.len() >= SAMPLE {
            break;
        }
    }
    Ok(sample)
}

/// What cannot be listed here cannot be listed later either, where it is said.
async fn steps(device: PathBuf, with_objects: bool) -> u64 {
    let mut steps = 0;
    for kind in [Kind::Account, Kind::Container] {
        steps += partitions(&device.join(find::folder(kind))).await.unwrap_or_default().len() as u64;
    }
    let shelves = blocking(move || objects::shelves(&device)).await.unwrap_or_default();
    for shelf in shelves.into_values().filter(|_| with_objects) {
        steps += partitions(&shelf).await.unwrap_or_default().len() as u64;
    }
    steps
}

async fn partitions(folder: &Path) -> io::Result<Vec<(u32, PathBuf)>> {
    let folder = folder.to_owned();
    blocking(move || find::partitions(&folder)).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn unreadable<T: Default>(progress: &Progress, path: &Path, error: &io::Error) -> T {
    progress.fail();
    cli::say(&format!("not imported: something below {} cannot be listed: {error}", path.display()));
    T::default()
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
