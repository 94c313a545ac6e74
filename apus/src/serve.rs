//! Running roles: bind what they listen on, read the rings, serve until a signal, and leave in order.
//!
//! On SIGTERM, Ctrl-C, or SIGHUP (with which Swift's tools ask for a graceful stop) the public face stops first and
//! finishes its requests, while the storage servers still answer it; then they stop. A second signal ends the process at once.
//! SIGUSR1, Swift's seamless reload, changes nothing: rings and certificates are read again by themselves.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::path::Path;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli;
use crate::config::NodeConfig;
use crate::error::StartError;
use crate::node::Node;
use crate::rings::Addresses;
use crate::roles::Role;

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
            let address = config
                .listen
                .of(role)
                .ok_or_else(|| StartError::NoAddress { path: path.to_owned(), role: role.name() })?;
            bound.push(bind(role, address).await?);
        }
        let scheme = |role| if role == Role::Proxy { config.scheme() } else { "http" };
        let ready = bound.iter().map(|b| format!("ready {}://{} {}", scheme(b.role), b.address, b.role.name()));
        let ready: Vec<_> = ready.collect();
        let node = Node::new(config, cluster, Addresses::default())?;
        serve(node, bound, || ready.iter().for_each(|line| cli::say(line))).await
    })
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, StartError> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(StartError::Runtime)
}

/// Serves until a signal or until a server ends by itself; then stops in order: the public face, the storage, the
/// databases. It announces itself when everything serves: objects do when what a crash left in the journals is where it belongs.
pub(crate) async fn serve(node: Node, bound: Vec<Bound>, announce: impl FnOnce()) -> Result<(), StartError> {
    let mut stop = Stop::new().map_err(StartError::Runtime)?;
    node.check_devices(&bound)?;
    let (face, storage) = (CancellationToken::new(), CancellationToken::new());
    let (mut faces, mut servers) = (JoinSet::new(), JoinSet::new());
    let has_objects = bound.iter().any(|bound| bound.role == Role::Object);
    for bound in bound {
        match bound.role {
            Role::Proxy => _ = faces.spawn(node.proxy(bound.listener, face.clone())?),
            Role::Account => _ = servers.spawn(node.account(bound, storage.clone())?),
            Role::Container => _ = servers.spawn(node.container(bound, storage.clone())?),
            Role::Object => _ = servers.spawn(node.object(bound, storage.clone())?),
        }
    }
    let announced = async {
        if has_objects {
            node.open_journals().await;
        }
        announce();
        pending::<Infallible>().await
    };
    let ended = tokio::select! {
        () = stop.asked() => Ok(()),
        never = announced => match never {},
        never = node.watch_rings() => match never {},
        never = node.watch_certificates() => match never {},
        Some(_) = faces.join_next() => Err(StartError::Ended),
        Some(_) = servers.join_next() => Err(StartError::Ended),
    };
    exit_at_next_signal(stop);
    face.cancel();
    while faces.join_next().await.is_some() {}
    storage.cancel();
    while servers.join_next().await.is_some() {}
    node.close().await;
    ended
}

/// The signals that end the process, and the one that does not.
struct Stop {
    terminate: Signal,
    hangup: Signal,
    reload: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, hangup: signal(SignalKind::hangup())?, reload: signal(SignalKind::user_defined1())? })
    }

    /// Waits until somebody wants the process to end.
    async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.hangup.recv() => return,
                _ = tokio::signal::ctrl_c() => return,
                _ = self.reload.recv() => tracing::info!("SIGUSR1: rings and certificates are read again by themselves"),
            }
        }
    }
}

/// Whoever signals twice does not want to wait.
fn exit_at_next_signal(mut stop: Stop) {
    tokio::spawn(async move {
        stop.asked().await;
        std::process::exit(130);
    });
}
