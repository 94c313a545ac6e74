//! Reading a node's rings, and noticing when a file is replaced.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use apus_base::client::Rings;
use apus_base::policy::{Policies, PolicyIndex};
use apus_base::ring::Ring;

use crate::error::StartError;
use crate::roles::Role;

/// Where this process's own servers really listen, when that is not what the rings say: `apus up` takes fresh ports.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses(HashMap<&'static str, SocketAddr>);

impl Addresses {
    pub(crate) fn set(&mut self, role: Role, address: SocketAddr) {
        self.0.insert(role.name(), address);
    }

    /// Where a role listens, if that is not what the rings say.
    pub(crate) fn get(&self, role: Role) -> Option<SocketAddr> {
        self.0.get(role.name()).copied()
    }

    /// Writes them where `apus pass` looks for them.
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let lines: String = self.0.iter().map(|(role, address)| format!("{role} {address}\n")).collect();
        std::fs::write(path, lines)
    }

    /// What [`Addresses::write`] wrote; none if there is no such file.
    pub(crate) fn read(path: &Path) -> Result<Self, StartError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(|source| StartError::Read { path: path.to_owned(), source })?,
        };
        let mut addresses = Self::default();
        for (role, address) in text.lines().filter_map(|line| line.split_once(' ')) {
            if let (Some(role), Ok(address)) = (Role::ALL.into_iter().find(|r| r.name() == role), address.parse()) {
                addresses.set(role, address);
            }
        }
        Ok(addresses)
    }

    fn adapt(&self, role: Role, ring: Ring) -> Ring {
        match self.0.get(role.name()) {
            Some(address) => ring.map_addresses(|_| (address.ip().to_string(), address.port())),
            None => ring,
        }
    }
}

/// Reads `account.ring.gz`, `container.ring.gz` and each policy's `object[-N].ring.gz`.
pub(crate) fn read_all(folder: &Path, policies: &Policies, addresses: &Addresses) -> Result<Rings, StartError> {
    let one = |name: &str, role| read(&file(folder, name)).map(|ring| Arc::new(addresses.adapt(role, ring)));
    let objects: Result<BTreeMap<_, _>, _> = policies
        .iter()
        .map(|policy| one(&policy.index.suffixed("object"), Role::Object).map(|ring| (policy.index, ring)))
        .collect();
    Ok(Rings {
        account: one("account", Role::Account)?,
        container: one("container", Role::Container)?,
        objects: objects?,
    })
}

/// Reads object rings of another time: of each of these policies from a folder, as far as they are there, or of the first from a file.
pub(crate) fn read_old(
    path: &Path,
    policies: &[PolicyIndex],
    addresses: &Addresses,
) -> Result<BTreeMap<PolicyIndex, Arc<Ring>>, StartError> {
    let files: Vec<(PolicyIndex, PathBuf)> = if path.is_dir() {
        let named = policies.iter().map(|policy| (*policy, file(path, &policy.suffixed("object"))));
        named.filter(|(_, file)| file.exists()).collect()
    } else {
        policies.first().map(|policy| (*policy, path.to_owned())).into_iter().collect()
    };
    if files.is_empty() {
        return Err(StartError::NoOldRing { path: path.to_owned() });
    }
    let read = |(policy, file): (PolicyIndex, PathBuf)| {
        read(&file).map(|ring| (policy, Arc::new(addresses.adapt(Role::Object, ring))))
    };
    files.into_iter().map(read).collect()
}

fn file(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.ring.gz"))
}

/// Reads one ring file.
pub(crate) fn read(path: &Path) -> Result<Ring, StartError> {
    let bytes = std::fs::read(path).map_err(|source| StartError::Read { path: path.to_owned(), source })?;
    Ring::from_bytes(&bytes).map_err(|e| StartError::Ring { path: path.to_owned(), message: e.to_string() })
}

/// When the ring files of a folder were last changed, to compare.
pub(crate) fn changed(folder: &Path, policies: &Policies) -> Vec<Option<SystemTime>> {
    let modified = |path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    files(folder, policies).into_iter().map(modified).collect()
}

/// The paths of all ring files of a folder.
pub(crate) fn files(folder: &Path, policies: &Policies) -> Vec<PathBuf> {
    let objects = policies.iter().map(|policy| policy.index.suffixed("object"));
    let names = ["account".to_owned(), "container".to_owned()].into_iter().chain(objects);
    names.map(|name| file(folder, &name)).collect()
}
