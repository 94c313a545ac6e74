//! Why a command did not start: one sentence each, saying what is wrong and what to do.

use std::io;
use std::path::PathBuf;

/// Why `apus` stopped before it served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("the log filter is not understood: {0}")]
    LogFilter(String),
    #[error("the runtime cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error("cannot listen on {address}: {}; choose another address with --listen or in [listen]", reason(.source))]
    Listen { address: String, source: io::Error },
    #[error("{0:?} is not an address; expected HOST:PORT, as in 127.0.0.1:8080")]
    Address(String),
    #[error("cannot use the folder {}: {}; {}", .path.display(), reason(.source), advice(.source))]
    Folder { path: PathBuf, source: io::Error },
    #[error("another apus serves the folder {}; stop it first, or choose another with --data", .path.display())]
    InUse { path: PathBuf },
    #[error("cannot read {}: {}", .path.display(), reason(.source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{}: {message}", .path.display())]
    Config { path: PathBuf, message: String },
    #[error("the ring {} cannot be used: {message}", .path.display())]
    Ring { path: PathBuf, message: String },
    #[error("{} already holds a cluster of {found} {what}; leave out --{what}, or change its rings with `apus ring`", .path.display())]
    OtherShape { path: PathBuf, what: &'static str, found: u64 },
    #[error(
        "{replicas} replicas need as many devices, and there are {devices}; ask for fewer replicas or more devices"
    )]
    TooFewDevices { replicas: u16, devices: u16 },
    #[error("--user: {0}")]
    User(#[from] apus_proxy::auth::user::InvalidUser),
    #[error("--tls-certificate: {0}")]
    Tls(#[from] apus_base::serve::TlsError),
    #[error("[listen] in {} names no address for the role {role}", .path.display())]
    NoAddress { path: PathBuf, role: &'static str },
    #[error("{0}")]
    Device(#[from] apus_object::StartError),
    #[error("the [proxy] table: {0}")]
    Proxy(#[from] apus_proxy::InvalidConfig),
    #[error(transparent)]
    Link(#[from] apus_base::link::LinkError),
    #[error("{} has no [replication]: make certificates with `apus ca` and name them there", .path.display())]
    NoReplication { path: PathBuf },
    #[error("the listings are open in this node's servers, which did not run the pass: {0}")]
    Ask(#[from] apus_base::listing::ask::AskError),
    #[error("{} holds no ring of such a policy; name an object ring, or a folder with object.ring.gz, object-1.ring.gz ...", .path.display())]
    NoOldRing { path: PathBuf },
    #[error("{} is no certificate", .path.display())]
    NoCertificate { path: PathBuf },
    #[error("cannot make {}: {message}", .path.display())]
    Certificate { path: PathBuf, message: String },
    #[error("the [proxy.encryption] table: {0}")]
    Encryption(#[from] apus_base::crypto::InvalidEncryption),
    #[error("{} has no root secret in [proxy.encryption], so there is nothing to re-key", .path.display())]
    NotEncrypted { path: PathBuf },
    #[error(transparent)]
    Import(#[from] crate::import::ImportError),
    #[error("the import of {} was not finished; run `apus import` again before it is served", .path.display())]
    Unimported { path: PathBuf },
    #[error("{0}")]
    Pass(#[from] apus_replicator::rekey::BadState),
    #[error(
        "{failed} objects stay under other root secrets and {unreachable} requests got no answer; keep all secrets, see the log, and run the pass again"
    )]
    Unproven { failed: u64, unreachable: u64 },
    #[error("{0}")]
    Inspect(#[from] crate::inspect::InspectError),
    #[error("{0}")]
    Dispersion(#[from] crate::dispersion::DispersionError),
    #[error("there is no storage policy {0:?} in [cluster]")]
    NoPolicy(String),
    #[error("a server ended unexpectedly; the log has the reason")]
    Ended,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program uses this port".into(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::StorageFull => "the disk is full".into(),
        io::ErrorKind::ReadOnlyFilesystem => "the filesystem is read-only".into(),
        io::ErrorKind::NotFound => "there is no such file or folder".into(),
        _ => error.to_string(),
    }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull => "make room on it, or choose another place with --data",
        _ => "choose one that you may write to with --data",
    }
}
