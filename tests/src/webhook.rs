//! A webhook that stories look into: it takes what is posted to it, or refuses it, as a story wants.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::Certificate;

/// A listener that lives as long as the story's process.
pub struct Webhook {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
}

struct Shared {
    status: AtomicU16,
    taken: Mutex<Vec<Taken>>,
}

/// What was posted and taken.
#[derive(Clone, Debug)]
pub struct Taken {
    /// `Authorization`.
    pub authorization: Option<String>,
    /// The body.
    pub body: Value,
}

impl Taken {
    /// The event's name and the key, as it is written in records; of a test, its name and nothing.
    pub fn event(&self) -> (String, String) {
        let record = &self.body["Records"][0];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match record {
            Value::Null => (text(&self.body["Event"]), String::new()),
            record => (text(&record["eventName"]), text(&record["s3"]["object"]["key"])),
        }
    }

    /// A field of the event's object: `size`, `eTag`, `versionId`.
    pub fn object(&self, field: &str) -> &Value {
        &self.body["Records"][0]["s3"]["object"][field]
    }
}

impl Webhook {
    /// One that takes everything.
    pub fn start() -> Self {
        Self::with(None)
    }

    /// The same, by TLS.
    pub fn start_tls(certificate: &Certificate) -> Self {
        let chain = CertificateDer::from_pem_file(certificate.file()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(certificate.key()).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![chain], key);
        Self::with(Some(Arc::new(config.expect("a certificate with its key"))))
    }

    fn with(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback address");
        let address = listener.local_addr().expect("its port");
        let shared = Arc::new(Shared { status: AtomicU16::new(204), taken: Mutex::default() });
        let scheme = if tls.is_some() { "https" } else { "http" };
        let at = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, at) = (tls.clone(), Arc::clone(&at));
                thread::spawn(move || match tls {
                    None => at.serve(stream),
                    Some(tls) => at.serve(secured(tls, stream)),
                });
            }
        });
        Self { address, scheme, shared }
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}/events", self.scheme, self.address.port())
    }

    /// What it answers from now on; it takes what it answers 2xx.
    pub fn answer(&self, status: u16) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// What it has taken.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().expect("no panic").clone()
    }

    /// The events that it has taken and their keys, as they came.
    pub fn events(&self) -> Vec<(String, String)> {
        self.taken().iter().map(Taken::event).collect()
    }
}

fn secured(tls: Arc<ServerConfig>, stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
    StreamOwned::new(ServerConnection::new(tls).expect("a connection"), stream)
}

impl Shared {
    /// Answers requests until the other side has no more.
    fn serve(&self, stream: impl Read + Write) {
        let mut stream = BufReader::new(stream);
        while let Some((authorization, body)) = request(&mut stream) {
            let status = self.status.load(Ordering::SeqCst);
            if status < 300 {
                let body = serde_json::from_slice(&body).expect("JSON");
                self.taken.lock().expect("no panic").push(Taken { authorization, body });
            }
            let answer = format!("HTTP/1.1 {status} Said\r\nContent-Length: 0\r\n\r\n");
            if stream.get_mut().write_all(answer.as_bytes()).and_then(|()| stream.get_mut().flush()).is_err() {
                return;
            }
        }
    }
}

/// The next request, if one comes.
fn request(stream: &mut BufReader<impl Read>) -> Option<(Option<String>, Vec<u8>)> {
    let (mut length, mut authorization, mut line) = (0, None, String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok()?,
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => authorization = Some(value.to_owned()),
            None if line.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((authorization, body))
}
