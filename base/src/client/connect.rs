//! A connection to a storage node: plain, or by mutual TLS where the cluster has it. And one to anybody else, as its URL says.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower_service::Service;

use crate::link::BackendTls;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    whom: Whom,
}

/// To whom, which says how a connection is secured.
#[derive(Clone)]
pub(super) enum Whom {
    /// The cluster's own servers.
    Cluster(Option<Arc<BackendTls>>),
    /// Anybody: by TLS where the URL says `https`, trusting whom the machine trusts.
    Anybody(Arc<OnceLock<TlsConnector>>),
}

impl Whom {
    async fn secure(self, to: Uri, tcp: TcpStream) -> io::Result<Either<TcpStream, TlsStream<TcpStream>>> {
        match self {
            Self::Cluster(None) => Ok(Either::Left(tcp)),
            Self::Cluster(Some(tls)) => tls.connect(tcp).await.map(Either::Right),
            Self::Anybody(_) if to.scheme() != Some(&Scheme::HTTPS) => Ok(Either::Left(tcp)),
            Self::Anybody(tls) => {
                let host = to.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                tls.get_or_init(trusting).connect(name, tcp).await.map(Either::Right)
            }
        }
    }
}

/// TLS that trusts the authorities that are installed on the machine, or those that `SSL_CERT_FILE` names.
fn trusting() -> TlsConnector {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "certificates of authorities cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// A connection.
pub(super) struct Wire(TokioIo<Either<TcpStream, TlsStream<TcpStream>>>);

impl Connector {
    pub(super) fn new(mut tcp: HttpConnector, whom: Whom) -> Self {
        // It knows the port of https too; what is spoken then is said here.
        tcp.enforce_http(false);
        Self { tcp, whom }
    }
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, node: Uri) -> Self::Future {
        let (connecting, whom) = (self.tcp.call(node.clone()), self.whom.clone());
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            Ok(Wire(TokioIo::new(whom.secure(node, tcp).await?)))
        })
    }
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        match self.0.inner() {
            Either::Left(tcp) => tcp.connected(),
            Either::Right(tls) => tls.get_ref().0.connected(),
        }
    }
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
