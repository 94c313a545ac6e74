//! A connection to a storage node: plain, or by mutual TLS where the cluster has it.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tower_service::Service;

use crate::link::BackendTls;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector,
    tls: Option<Arc<BackendTls>>,
}

/// A connection.
pub(super) struct Wire(TokioIo<Either<TcpStream, TlsStream<TcpStream>>>);

impl Connector {
    pub(super) fn new(tcp: HttpConnector, tls: Option<Arc<BackendTls>>) -> Self {
        Self { tcp, tls }
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
        let (connecting, tls) = (self.tcp.call(node), self.tls.clone());
        Box::pin(async move {
            let tcp = connecting.await?.into_inner();
            let io = match tls {
                None => Either::Left(tcp),
                Some(tls) => Either::Right(tls.connect(tcp).await?),
            };
            Ok(Wire(TokioIo::new(io)))
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
