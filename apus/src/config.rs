//! The configuration of a node: one TOML file, in which an unknown key is an error with its line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::link::{BackendTls, IdentityFiles};
use serde::{Deserialize, Serialize};

use crate::error::StartError;
use crate::roles::Role;

/// `apus.toml`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeConfig {
    /// What all nodes of the cluster have in common.
    pub(crate) cluster: ClusterConfig,
    /// Where things are on this node.
    pub(crate) node: Places,
    /// Where each role listens.
    #[serde(default)]
    pub(crate) listen: Listen,
    #[serde(default)]
    pub(crate) proxy: apus_proxy::Config,
    #[serde(default)]
    pub(crate) account: apus_account::Config,
    #[serde(default)]
    pub(crate) container: apus_container::Config,
    #[serde(default)]
    pub(crate) object: apus_object::Config,
    /// Without it, storage servers speak plain HTTP with whoever reaches them.
    pub(crate) backend_tls: Option<IdentityFiles>,
    /// Without it, no object is replicated.
    pub(crate) replication: Option<apus_replicator::replicate::Config>,
    #[serde(default)]
    pub(crate) updater: apus_replicator::update::Config,
    #[serde(default)]
    pub(crate) expirer: apus_replicator::expire::Config,
    #[serde(default)]
    pub(crate) reaper: apus_replicator::reap::Config,
    #[serde(default)]
    pub(crate) auditor: apus_auditor::Config,
    #[serde(default)]
    pub(crate) reconciler: apus_replicator::reconcile::Config,
    #[serde(default)]
    pub(crate) dispersion: crate::dispersion::Config,
}

/// Folders; a relative one is below the configuration's own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Places {
    /// Holds one folder for each device, where its disk is mounted.
    pub(crate) devices: PathBuf,
    /// Holds account.ring.gz, container.ring.gz, object.ring.gz, object-1.ring.gz and so on.
    pub(crate) rings: PathBuf,
    /// Takes account.recon, container.recon and object.recon: what the background passes did last.
    #[serde(default = "recon_cache")]
    pub(crate) recon_cache: PathBuf,
    /// The swift.conf whose MD5 swift-recon compares, if there is one.
    #[serde(default = "swift_conf")]
    pub(crate) swift_conf: PathBuf,
}

fn swift_conf() -> PathBuf {
    "/etc/swift/swift.conf".into()
}

fn recon_cache() -> PathBuf {
    "recon".into()
}

/// `HOST:PORT` for each role that this node runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listen {
    pub(crate) proxy: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) container: Option<String>,
    pub(crate) object: Option<String>,
}

impl Listen {
    pub(crate) fn of(&self, role: Role) -> Option<&str> {
        let address = match role {
            Role::Proxy => &self.proxy,
            Role::Account => &self.account,
            Role::Container => &self.container,
            Role::Object => &self.object,
        };
        address.as_deref()
    }
}

impl NodeConfig {
    pub(crate) fn read(path: &Path) -> Result<Self, StartError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| StartError::Read { path: path.to_owned(), source })?;
        let mut config: Self = toml::from_str(&text).map_err(|e| config_error(path, &e))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        config.node.devices = folder.join(&config.node.devices);
        config.node.rings = folder.join(&config.node.rings);
        if let Some(tls) = &mut config.proxy.tls {
            tls.certificate = folder.join(&tls.certificate);
            tls.key = folder.join(&tls.key);
        }
        config.node.swift_conf = folder.join(&config.node.swift_conf);
        config.node.recon_cache = folder.join(&config.node.recon_cache);
        let (account, container, object) = (&mut config.account, &mut config.container, &mut config.object);
        for rates in [&mut account.backend_ratelimit, &mut container.backend_ratelimit, &mut object.backend_ratelimit] {
            if let Some(path) = &mut rates.backend_ratelimit_conf_path {
                *path = folder.join(&path);
            }
        }
        if let Some(tls) = &mut config.backend_tls {
            tls.files_mut().for_each(|file| *file = folder.join(&file));
        }
        if let Some(replication) = &mut config.replication {
            let files = [&mut replication.certificate, &mut replication.key, &mut replication.ca];
            for file in files.into_iter().chain(&mut replication.crl) {
                *file = folder.join(&file);
            }
        }
        config.check(path)?;
        Ok(config)
    }

    /// What URLs of the public face begin with.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.proxy.tls.is_some() { "https" } else { "http" }
    }

    /// What its types alone do not say.
    pub(crate) fn check(&self, path: &Path) -> Result<(), StartError> {
        self.expirer.check().map_err(|e| config_error(path, &format!("[expirer]: {e}")))?;
        self.auditor.check().map_err(|e| config_error(path, &format!("[auditor]: {e}")))
    }

    /// The checked `[cluster]` table.
    pub(crate) fn cluster(&self, path: &Path) -> Result<Cluster, StartError> {
        let mut cluster = Cluster::try_from(self.cluster.clone()).map_err(|e| config_error(path, &e))?;
        let tls = self.backend_tls.clone().map(BackendTls::load).transpose();
        cluster.backend_tls = tls.map_err(|e| config_error(path, &format!("[backend_tls]: {e}")))?.map(Arc::new);
        Ok(cluster)
    }
}

fn config_error(path: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError::Config { path: path.to_owned(), message: error.to_string().trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_understood_with_every_comment_taken_at_its_word() {
        let text = include_str!("../../docs/apus.toml");
        let uncommented: Vec<_> =
            text.lines().map(|line| line.strip_prefix("# ").filter(|l| is_key(l)).unwrap_or(line)).collect();
        for text in [text.to_owned(), uncommented.join("\n")] {
            let config: NodeConfig = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(Cluster::try_from(config.cluster).unwrap().policies.iter().count(), 2);
        }
    }

    /// `name = value` or `[table]`, not a sentence.
    fn is_key(line: &str) -> bool {
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        line.starts_with('[') || line.split_once(" = ").is_some_and(|(name, _)| is_name(name))
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apus.toml");
        std::fs::write(
            &path,
            "[cluster]\nhash_path_suffix = \"x\"\n[node]\ndevices = \".\"\nrings = \".\"\ndisks = 4\n",
        )
        .unwrap();
        let message = NodeConfig::read(&path).unwrap_err().to_string();
        assert!(message.contains("line 6") && message.contains("disks"), "{message}");
    }
}
