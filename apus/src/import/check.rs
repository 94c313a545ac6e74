//! What is checked before anything is written: that nobody writes, and that names are where they hash to.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use apus_base::client::Rings;
use apus_base::cluster::Cluster;
use apus_base::db::Kind;

use super::database::SwiftDb;
use super::find::{self, Found};
use super::{ImportError, load, objects};
use crate::config::NodeConfig;
use crate::roles::Role;

/// So many names of each kind are tried: if none of them hashes to its folder, the salt is wrong.
const SAMPLE: usize = 8;

/// What was seen of one name.
struct Seen {
    /// Whether it hashes to its folder, if it can be read.
    is_named: Option<bool>,
    /// Whether its folder is in the partition that the ring says.
    is_placed: bool,
}

/// That nobody listens where the servers do: what they write meanwhile would be missed.
pub(super) fn stopped(config: &NodeConfig) -> Result<(), ImportError> {
    let addresses = [Role::Account, Role::Container, Role::Object].map(|role| config.listen.of(role));
    for address in addresses.into_iter().flatten().filter_map(|address| address.parse::<SocketAddr>().ok()) {
        if TcpListener::bind(address).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            return Err(ImportError::Running(address));
        }
    }
    Ok(())
}

/// Tries some names of a device against their folders and partitions. Blocking.
pub(super) fn names(device: &str, path: &Path, cluster: &Cluster, rings: &Rings) -> Result<(), ImportError> {
    let failed = |source| ImportError::Device { path: path.to_owned(), source };
    let kinds = [
        ("accounts", databases(path, Kind::Account, cluster, rings).map_err(failed)?),
        ("containers", databases(path, Kind::Container, cluster, rings).map_err(failed)?),
        ("objects", some_objects(path, cluster, rings).map_err(failed)?),
    ];
    let mut named = kinds.iter().flat_map(|(_, seen)| seen).filter_map(|seen| seen.is_named).peekable();
    if named.peek().is_some() && !named.any(|is_named| is_named) {
        return Err(ImportError::Salt(device.to_owned()));
    }
    let strays = kinds.iter().find(|(_, seen)| !seen.is_empty() && seen.iter().all(|seen| !seen.is_placed));
    strays.map_or(Ok(()), |(what, _)| Err(ImportError::Partitions(device.to_owned(), what)))
}

fn databases(device: &Path, kind: Kind, cluster: &Cluster, rings: &Rings) -> io::Result<Vec<Seen>> {
    let ring = if kind == Kind::Account { &rings.account } else { &rings.container };
    let mut sample: Vec<(u32, Found)> = Vec::new();
    for (number, partition) in find::partitions(&device.join(find::folder(kind)))? {
        sample.extend(find::databases(&partition, kind)?.into_iter().map(|found| (number, found)));
        if sample.len() >= SAMPLE {
            break;
        }
    }
    let seen = |(partition, found): (u32, Found)| Seen {
        is_named: is_named(&found, cluster),
        is_placed: ring.partition(&found.hash.0) == partition,
    };
    Ok(sample.into_iter().map(seen).collect())
}

fn is_named(found: &Found, cluster: &Cluster) -> Option<bool> {
    let path = found.folder.join(found.files.last()?);
    let head = SwiftDb::open(&path, found.kind, false).ok()?.head().ok()?;
    Some(load::hash(cluster, &head.info) == found.hash)
}

fn some_objects(device: &Path, cluster: &Cluster, rings: &Rings) -> io::Result<Vec<Seen>> {
    let sample = objects::sample(device, SAMPLE)?;
    let seen = sample.into_iter().map(|(policy, partition, hash, path)| Seen {
        is_named: objects::name_hash(&path, cluster).ok().map(|named| named == hash),
        is_placed: rings.objects.get(&policy).is_none_or(|ring| ring.partition(&hash.0) == partition),
    });
    Ok(seen.collect())
}
