//! Running roles: bind what they listen on, read the rings, serve until a signal, and leave in order.
//!
//! On SIGTERM or Ctrl-C the public face stops first and finishes its requests, while the storage servers still answer
//! it; then they stop. A second signal ends the process at once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apus_base::client::Rings;
use apus_base::cluster::Cluster;
use apus_base::db::Databases;
use apus_base::fs::Devices;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::error::StartError;
use crate::node::NodeConfig;
use crate::rings;
use crate::roles::Role;

/// How often the ring files are looked at.
const RING_CHECK: Duration = Duration::from_secs(15);

/// A role and the socket that it listens on.
pub(crate) struct Bound {
    pub(crate) role: Role,
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Listens on an address, `HOST:PORT`.
pub(crate) async fn bind(role: Role, address: &str) -> Result<Bound, StartError> {
    if !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
        return Err(StartError::Address(address.to_owned()));
    }
    let failed = |source| StartError::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { role, listener, address })
}

/// `apus serve`.
pub(crate) fn run(roles: &[Role], path: &Path) -> Result<(), StartError> {
    let config = NodeConfig::read(path)?;
    let cluster = config.cluster(path)?;
    runtime()?.block_on(async {
        let mut bound = Vec::new();
        for role in Role::ALL.into_iter().filter(|role| roles.contains(role)) {
            let address =
                config.listen.of(role).ok_or(StartError::NoAddress { path: path.to_owned(), role: role.name() })?;
            bound.push(bind(role, address).await?);
        }
        let ready: Vec<_> =
            bound.iter().map(|b| format!("ready http://{} {}", b.address, b.role.name())).collect();
        let node = Node::new(config, cluster, rings::Addresses::default())?;
        node.serve(bound, || ready.iter().for_each(|line| cli::say(line))).await
    })
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::Runtime)
}

/// What the roles of one process share.
pub(crate) struct Node {
    config: NodeConfig,
    cluster: Arc<Cluster>,
    rings: Arc<Rings>,
    addresses: rings::Addresses,
    devices: Arc<Devices>,
    databases: Arc<Databases>,
}
