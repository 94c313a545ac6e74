//! What every node of a cluster has to agree on: the hash salt and the storage policies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hash_path::HashPath;
use crate::link::BackendTls;
use crate::near::Near;
use crate::policy::{InvalidPolicies, Policies, Policy};

/// The `[cluster]` table of a node's configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterConfig {
    /// `swift_hash_path_prefix` of `swift.conf`.
    #[serde(default)]
    pub hash_path_prefix: String,
    /// `swift_hash_path_suffix` of `swift.conf`. It and the prefix may not both be empty.
    #[serde(default)]
    pub hash_path_suffix: String,
    /// The storage policies; none means the one `Policy-0`.
    #[serde(default)]
    pub policies: Vec<Policy>,
}

impl ClusterConfig {
    /// The same text for the same table, to compare nodes by. It has the salt in it: show nobody more than a digest.
    pub fn canonical(&self) -> String {
        let mut policies: Vec<_> = self.policies.iter().collect();
        policies.sort_by_key(|policy| policy.index);
        format!("{:?} {:?} {policies:?}", self.hash_path_prefix, self.hash_path_suffix)
    }
}

/// Why a `[cluster]` table is refused.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCluster {
    /// Neither half of the salt is set.
    #[error("set hash_path_prefix or hash_path_suffix in [cluster]; without a secret anybody can aim at one partition")]
    NoSalt,
    /// The policies contradict each other.
    #[error(transparent)]
    Policies(#[from] InvalidPolicies),
}

/// A checked [`ClusterConfig`].
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The salt of all hash paths.
    pub hash_path: HashPath,
    /// The storage policies.
    pub policies: Policies,
    /// How servers and proxies know each other; without it whoever reaches a storage port may write there.
    pub backend_tls: Option<Arc<BackendTls>>,
    /// The servers of this process.
    pub near: Near,
}

impl TryFrom<ClusterConfig> for Cluster {
    type Error = InvalidCluster;

    fn try_from(config: ClusterConfig) -> Result<Self, InvalidCluster> {
        if config.hash_path_prefix.is_empty() && config.hash_path_suffix.is_empty() {
            return Err(InvalidCluster::NoSalt);
        }
        let hash_path = HashPath::new(config.hash_path_prefix, config.hash_path_suffix);
        Ok(Self { hash_path, policies: Policies::new(config.policies)?, backend_tls: None, near: Near::default() })
    }
}
