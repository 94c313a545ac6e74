//! The public face over real sockets, with a service that says what it was asked.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Method, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::body;

/// Says what it was asked; but `/endless` streams for ever, `/never` does not answer, and DELETE has nothing to say.
#[derive(Default)]
struct Echo {
    let_go: Arc<Notify>,
    seen: AtomicUsize,
}

/// Tells when the source of a body is let go.
struct Source(Arc<Notify>);

impl Drop for Source {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Service for Echo {
    async fn call(&self, request: Request<Body>, peer: SocketAddr) -> Response<Body> {
        self.seen.fetch_add(1, Ordering::SeqCst);
        let (parts, body) = request.into_parts();
        match parts.uri.path() {
            "/never" => std::future::pending().await,
            "/endless" => return Response::new(endless(Source(Arc::clone(&self.let_go)))),
            "/refuse" => return plain(StatusCode::FORBIDDEN, "no"),
            _ if parts.method == Method::DELETE => {
                return Response::builder().status(204).body(body::empty()).unwrap();
            }
            _ => {}
        }
        let header = |name: &str| parts.headers.get(name).map_or("-", |v| v.to_str().unwrap()).to_owned();
        let secure = if parts.extensions.get::<Secure>().is_some() { "secure" } else { "plain" };
        let framing = format!("length {} coding {}", header("content-length"), header("transfer-encoding"));
        let body = match body::read_to_end(body, 1 << 20).await {
            Ok(body) => String::from_utf8_lossy(&body).into_owned(),
            Err(error) => error.to_string(),
        };
        let (method, uri, peer, host) = (&parts.method, &parts.uri, peer.ip(), header("host"));
        Response::new(body::full(format!("{method} {uri} by {peer} {secure} host {host} {framing} body {body:?}")))
    }
}

fn endless(source: Source) -> Body {
    let frames = futures_util::stream::unfold(source, |source| async {
        Some((Ok(http_body::Frame::data(bytes::Bytes::from_static(&[7; 65536]))), source))
    });
    StreamBody::new(frames).boxed_unsync()
}

struct Running {
    address: SocketAddr,
    service: Arc<Echo>,
    _serving: AbortOnDropHandle<()>,
}

impl Running {
    async fn start(front: Front) -> Self {
        Self::patient(front, Duration::from_secs(30)).await
    }

    async fn patient(front: Front, patience: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Arc::new(Echo::default());
        let (limits, shutdown) = (Limits { patience, ..Limits::default() }, CancellationToken::new());
        let serving = serve_public(listener, Arc::clone(&service), Metrics::new("test"), limits, front, shutdown);
        Self { address, service, _serving: AbortOnDropHandle::new(tokio::spawn(serving)) }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Everything that is answered to these bytes until the server closes.
    async fn answers(&self, sent: &[u8]) -> String {
        told(self.connect().await, sent).await.unwrap()
    }

    async fn http2(&self) -> hyper::client::conn::http2::SendRequest<Empty<bytes::Bytes>> {
        spoken(self.connect().await).await
    }
}

async fn told(mut io: impl AsyncRead + AsyncWrite + Unpin, sent: &[u8]) -> io::Result<String> {
    io.write_all(sent).await?;
    let mut answers = Vec::new();
    io.read_to_end(&mut answers).await?;
    Ok(String::from_utf8(answers).unwrap())
}

async fn spoken(
    io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> hyper::client::conn::http2::SendRequest<Empty<bytes::Bytes>> {
    let builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(path: &str) -> Request<Empty<bytes::Bytes>> {
    Request::builder().uri(format!("http://host.example{path}")).body(Empty::new()).unwrap()
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn with_http2() -> Front {
    Front { http2: true, ..Front::default() }
}

/// A certificate for `localhost`, and a client that trusts it and asks for these protocols.
fn certificate(http2: bool, protocols: &[&str]) -> (tempfile::TempDir, Front, TlsConnector) {
    let folder = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.certificate, cert.pem()).unwrap();
    std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let front = Front { tls: Some(Arc::new(Tls::load(files, http2).unwrap())), http2, ..Front::default() };
    (folder, front, TlsConnector::from(Arc::new(config)))
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn raw_targets_reach_the_service_whatever_came_before() {
    let running = Running::start(Front::default()).await;
    let answers = running
        .answers(
            b"PUT /a#b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
              GET /\xff<> HTTP/1.1\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(
        answers.contains("PUT /a%23b by 127.0.0.1 plain host - length - coding chunked body \"hello\""),
        "{answers}"
    );
    assert!(answers.contains("GET /%FF%3C%3E by"), "{answers}");
}

#[tokio::test]
async fn a_204_says_its_length_to_clients_only() {
    let asked = b"DELETE /a HTTP/1.1\r\nConnection: close\r\n\r\n";
    let running = Running::start(Front::default()).await;
    assert!(running.answers(asked).await.contains("\r\nContent-Length: 0\r\n"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (limits, shutdown) = (Limits::default(), CancellationToken::new());
    let serving = serve(listener, Arc::new(Echo::default()), Metrics::new("test"), limits, shutdown);
    let _serving = AbortOnDropHandle::new(tokio::spawn(serving));
    let answer = told(TcpStream::connect(address).await.unwrap(), asked).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n") && !answer.contains("Content-Length"), "{answer}");
}

#[tokio::test]
async fn the_balancer_says_who_asks() {
    let running = Running::start(Front { require_proxy_protocol: true, ..Front::default() }).await;
    let get = "GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    let announced = |port: u16| format!("PROXY TCP4 203.0.113.7 10.0.0.1 51234 {port}\r\n{get}");
    assert!(running.answers(announced(80).as_bytes()).await.contains("by 203.0.113.7 plain"));
    assert!(running.answers(announced(443).as_bytes()).await.contains("by 203.0.113.7 secure"));
    assert!(running.answers(format!("PROXY UNKNOWN\r\n{get}").as_bytes()).await.contains("by 127.0.0.1 plain"));
    let refused = running.answers(get.as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.ends_with("\r\n\r\nInvalid PROXY line"), "{refused}");
    assert_eq!(running.service.seen.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn tls_carries_both_protocols_behind_the_balancers_header() {
    let (_folder, mut front, tls) = certificate(true, &["h2", "http/1.1"]);
    front.require_proxy_protocol = true;
    let running = Running::start(front).await;
    let shaken = async || {
        let mut socket = running.connect().await;
        socket.write_all(b"PROXY TCP6 2001:db8::7 ::1 51234 8443\r\n").await.unwrap();
        tls.connect(localhost(), socket).await.unwrap()
    };
    let io = shaken().await;
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let response = spoken(io).await.send_request(get("/a?b")).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    let said = text(response).await;
    assert!(said.starts_with("GET /a?b by 2001:db8::7 secure host host.example length - coding -"), "{said}");
    let said = told(shaken().await, b"GET /\xff HTTP/1.1\r\nConnection: close\r\n\r\n").await.unwrap();
    assert!(said.contains("GET /%FF by 2001:db8::7 secure"), "{said}");
}

#[tokio::test]
async fn tls_without_http2_does_not_offer_it() {
    let (_folder, front, tls) = certificate(false, &["h2", "http/1.1"]);
    let running = Running::start(front).await;
    let io = tls.connect(localhost(), running.connect().await).await.unwrap();
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Plain HTTP is no TLS.
    let plain = told(running.connect().await, b"GET / HTTP/1.1\r\n\r\n").await.unwrap_or_default();
    assert!(!plain.contains("HTTP/"), "{plain:?}");
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_told_in_words_of_http1() {
    let running = Running::start(with_http2()).await;
    let mut http2 = running.http2().await;
    let mut ask = async |method: Method, path: &str| {
        let mut request = get(path);
        *request.method_mut() = method;
        http2.send_request(request).await.unwrap()
    };
    let put = text(ask(Method::PUT, "/o").await).await;
    assert_eq!(put, "PUT /o by 127.0.0.1 plain host host.example length 0 coding - body \"\"");
    let head = ask(Method::HEAD, "/o").await;
    assert_ne!(head.headers()["content-length"], "0");
    assert_eq!(text(head).await, "");
    let deleted = ask(Method::DELETE, "/o").await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    // Without it, the preface is no request.
    let plain = Running::start(Front::default()).await;
    assert!(!plain.answers(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.contains("200 OK"));
}

#[tokio::test]
async fn whoever_is_silent_is_cut_off_in_every_layer() {
    let patience = Duration::from_millis(200);
    let (_folder, tls, connector) = certificate(true, &["h2"]);
    let proxied = Front { require_proxy_protocol: true, ..with_http2() };
    for (front, said) in [
        (with_http2(), &b""[..]),
        (with_http2(), b"GET / HTTP/1.1\r\nHost"),
        (with_http2(), b"PRI * HTTP/2.0\r\n"),
        (with_http2(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        (proxied.clone(), b"PROXY TCP4 203"),
        (proxied, b"PROXY UNKNOWN\r\n"),
        (tls.clone(), b""),
        (tls.clone(), b"\x16\x03\x01\x02\x00"),
    ] {
        let running = Running::patient(front, patience).await;
        let mut socket = running.connect().await;
        socket.write_all(said).await.unwrap();
        // It ends; nothing here waits longer than the test's own patience.
        let _ = socket.read_to_end(&mut Vec::new()).await;
        assert_eq!(running.service.seen.load(Ordering::SeqCst), 0, "{said:?}");
    }
    // After the handshake.
    let running = Running::patient(tls, patience).await;
    let mut io = connector.connect(localhost(), running.connect().await).await.unwrap();
    let _ = io.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_body_that_http2_stalls_is_408s_cause_and_one_that_it_does_not_take_is_let_go() {
    let running = Running::patient(with_http2(), Duration::from_millis(200)).await;
    // The client gives no window for more than the beginning, as it reads nothing.
    let response = running.http2().await.send_request(get("/endless")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    running.service.let_go.notified().await;
    drop(response);
    // A body that begins and does not go on.
    let io = TokioIo::new(running.connect().await);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let stalled = StreamBody::new(futures_util::stream::pending::<io::Result<http_body::Frame<bytes::Bytes>>>());
    let request = Request::builder().method("PUT").uri("http://host.example/o").body(stalled).unwrap();
    let said = text(sender.send_request(request).await.unwrap()).await;
    assert!(said.contains("coding chunked body \"nothing arrived for"), "{said}");
}

#[tokio::test]
async fn whoever_gives_up_requests_again_and_again_is_cut_off() {
    let running = Running::start(with_http2()).await;
    let mut http2 = running.http2().await;
    // Each is seen by the service, and reset when its future is dropped.
    for asked in 1.. {
        let Ok(()) = http2.ready().await else { break };
        let request = http2.send_request(get("/never"));
        let mut request = std::pin::pin!(request);
        loop {
            let polled = tokio::time::timeout(Duration::from_millis(1), request.as_mut()).await;
            if polled.is_ok() || running.service.seen.load(Ordering::SeqCst) >= asked {
                break;
            }
        }
        assert!(asked < 1000, "the connection is still open");
    }
    // Others are served.
    assert!(running.http2().await.send_request(get("/")).await.is_ok());
}

#[tokio::test]
async fn who_sends_everything_before_reading_is_told_the_refusal() {
    let running = Running::start(Front::default()).await;
    // Far more than the buffers between the two hold.
    let length = 32 << 20;
    for coding in [format!("Content-Length: {length}"), "Transfer-Encoding: chunked".to_owned()] {
        let mut client = running.connect().await;
        client.write_all(format!("PUT /refuse HTTP/1.1\r\nHost: h\r\n{coding}\r\n\r\n").as_bytes()).await.unwrap();
        for _ in 0..length / 65_536 {
            // As a chunk, or as bytes.
            let chunk = if coding.starts_with('T') {
                [b"10000\r\n", &[7; 65_536][..], b"\r\n"].concat()
            } else {
                vec![7; 65_536]
            };
            client.write_all(&chunk).await.unwrap();
        }
        let mut answer = String::new();
        // The server has closed already, or reads on until we do.
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("\r\nConnection: close\r\n"), "{answer}");
    }

    // A body that was read costs no connection.
    let both = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answers = running.answers(both).await;
    assert!(answers.contains("PUT /a") && answers.contains("GET /b"), "{answers}");
}
