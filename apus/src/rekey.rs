//! `apus pass rekey`: not of this node but of the whole cluster, as the configuration of any node describes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use apus_base::client::ClusterClient;
use apus_base::crypto::Keymaster;
use apus_base::metrics::Metrics;
use apus_replicator::rekey::{Counts, Outcome, Rekey};

use crate::cli;
use crate::config::NodeConfig;
use crate::error::StartError;
use crate::rings::{self, Addresses};

/// Runs until it is proven, or `once`.
pub(crate) async fn run(path: &Path, once: bool, state: Option<PathBuf>) -> Result<(), StartError> {
    let config = NodeConfig::read(path)?;
    let cluster = config.cluster(path)?;
    let keymaster = Keymaster::new(&config.proxy.encryption)?;
    if keymaster.is_empty() {
        return Err(StartError::NotEncrypted { path: path.to_owned() });
    }
    // Beside the configuration of an `apus up` are the addresses that it listens on just now.
    let addresses = Addresses::read(&path.with_file_name(crate::data::ADDRESSES))?;
    let rings = rings::read_all(&config.node.rings, &cluster.policies, &addresses)?;
    let state = state.unwrap_or_else(|| path.with_file_name("rekey.state"));
    let active = keymaster.active_id().map_or_else(|| "without an id".to_owned(), |id| format!("{id:?}"));
    let client = ClusterClient::new(config.proxy.client.clone(), Arc::new(cluster), rings, &Metrics::new("rekey"));
    let outcome = Rekey::new(client, keymaster, state).run(once, progress).await?;
    match outcome {
        Outcome::Proven(_) => {
            cli::say(&format!(
                "nothing is left under another root secret than the one {active}; the others can be removed"
            ));
            Ok(())
        }
        Outcome::Unproven(Counts { failed, unreachable, .. }) => Err(StartError::Unproven { failed, unreachable }),
    }
}

fn progress(round: u32, counts: &Counts) {
    let Counts { containers, objects, rewrapped, failed, unreachable } = counts;
    cli::say(&format!(
        "round {round}: {containers} containers, {objects} objects, {rewrapped} replicas rewrapped, {failed} failed, {unreachable} without an answer"
    ));
}
