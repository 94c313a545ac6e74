//! A bare hyper server that answers from memory: what this machine, its loopback and the load generator can do at best.
//!
//! It is this program again, as a process of its own, so that its processor time is told apart from the load generator's.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Command;

use apus_tests::Session;
use apus_tests::load::Body;
use apus_tests::up::ready;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::peer::Daemon;

/// The argument with which this program is the server.
pub(crate) const ARGUMENT: &str = "--bare-server";
/// Bytes of its answers, which are those of the object of number 0.
pub(crate) const SIZE: usize = 4 << 10;

/// A running server.
pub(crate) struct Bare {
    pub(crate) session: Session,
    pub(crate) daemon: Daemon,
    _folder: TempDir,
}

impl Bare {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(ARGUMENT);
        let mut daemon = Daemon::start("the bare server", command, &folder.path().join("log"));
        let address = daemon.process().wait_for("ready", ready);
        let session = Session { address, account: "/v1/memory".to_owned(), token: "none".to_owned() };
        Self { session, daemon, _folder: folder }
    }
}

/// Serves until it is killed.
pub(crate) fn serve() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("ready http://{}", listener.local_addr()?);
        let mut object = Vec::new();
        Body::new(SIZE).fill(&mut object, 0, 0, SIZE);
        let object = Bytes::from(object);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let object = object.clone();
            tokio::spawn(async move {
                let answer = service_fn(|_| {
                    let object = object.clone();
                    async { Ok::<_, Infallible>(Response::new(Full::new(object))) }
                });
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await
            });
        }
    })
}
