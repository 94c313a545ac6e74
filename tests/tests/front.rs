//! What stands before HTTP on the public port: TLS with a certificate that changes, HTTP/2, the PROXY protocol, bytes that
//! HTTP libraries refuse; with curl as the client, and sockets where curl is too polite.

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use apus_tests::swift::TESTER;
use apus_tests::{Apus, Certificate, Cluster, Connection, PATIENCE, bytes};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, crypto::ring};

/// A copy that a client keeps of today's certificate.
fn kept(certificate: &Certificate, folder: &TempDir, name: &str) -> PathBuf {
    let copy = folder.path().join(name);
    fs::copy(certificate.file(), &copy).unwrap();
    copy
}

fn up(certificate: &Certificate) -> Apus {
    let arguments = ["--tls-certificate".into(), certificate.file(), "--tls-key".into(), certificate.key()];
    Apus::builder().arguments(&arguments).start()
}

/// What curl says; nothing if it failed.
fn curl(arguments: &[&str]) -> Option<String> {
    let output = Command::new("curl").args(["--silent", "--show-error", "--max-time", "60"]).args(arguments).output();
    let output = output.expect("curl, which the packages of `make test` have");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        eprintln!("curl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success().then_some(said)
}

/// The storage URL and a token, as curl gets them with these options.
#[track_caller]
fn login(url: &str, options: &[&str]) -> (String, String) {
    let auth = format!("{url}/auth/v1.0");
    let user = format!("X-Auth-User: {}:{}", TESTER.account, TESTER.name);
    let key = format!("X-Auth-Key: {}", TESTER.key);
    let head = curl(&[options, &["--include", "-H", &user, "-H", &key, &auth]].concat()).expect("a token");
    let header = |name: &str| {
        let found = head.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        found.unwrap_or_else(|| panic!("no {name} in {head}")).1.trim().to_owned()
    };
    (header("X-Storage-Url"), format!("X-Auth-Token: {}", header("X-Auth-Token")))
}

/// Stores and reads a large object with these options, and says which HTTP was spoken.
#[track_caller]
fn round_trip(url: &str, options: &[&str], scratch: &Path) -> String {
    let (account, token) = login(url, options);
    let (container, object) = (format!("{account}/c"), format!("{account}/c/o"));
    let (sent, got) = (scratch.join("sent"), scratch.join("got"));
    let content = bytes(7, 5_000_000);
    fs::write(&sent, &content).unwrap();
    let ask = |more: &[&str]| curl(&[options, &["-H", &token], more].concat()).expect("an answer");
    let status = ["-o", "/dev/null", "-w", "%{http_code}"];

    assert!(["201", "202"].contains(&&*ask(&[&["-X", "PUT", &container], &status[..]].concat())));
    assert_eq!(ask(&[&["-T", &sent.display().to_string(), &object], &status[..]].concat()), "201");
    // Without a length; HTTP/2 has no chunks to say so.
    let piped = format!("{object}-piped");
    let mut upload = Command::new("curl");
    upload.args(["-s", "-f"]).args(options).args(["-H", &token, "-T", "-", &piped]);
    let upload = upload.stdin(fs::File::open(&sent).unwrap()).output().unwrap();
    assert!(upload.status.success(), "{upload:?}");
    assert_eq!(ask(&["-r", "0-9", &piped]).len(), String::from_utf8_lossy(&content[..10]).len());
    let version = ask(&["-o", &got.display().to_string(), "-w", "%{http_version}", &object]);
    assert!(fs::read(&got).unwrap() == content);

    let head = ask(&["-I", &object]);
    assert!(head.to_ascii_lowercase().contains("content-length: 5000000"), "{head}");
    assert_eq!(ask(&["-o", "/dev/null", "-w", "%{http_code}", &format!("{object}-missing")]), "404");
    assert_eq!(ask(&[&["-X", "DELETE", &object], &status[..]].concat()), "204");
    version
}

#[test]
fn https_speaks_both_protocols() {
    let certificate = Certificate::new();
    let apus = up(&certificate);
    let url = format!("https://{}", apus.swift().address);
    let trusted = certificate.file().display().to_string();
    let (storage_url, _) = login(&url, &["--cacert", &trusted]);
    assert!(storage_url.starts_with(&url), "{storage_url}");
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let scratch = TempDir::new().unwrap();
        assert_eq!(round_trip(&url, &["--cacert", &trusted, option], scratch.path()), version);
    }
    // Old and new TLS, but not ancient; and nothing without it.
    let max = |version| curl(&["--cacert", &trusted, "--tls-max", version, &format!("{url}/info")]).is_some();
    assert!(max("1.3") && max("1.2") && !max("1.1"));
    assert_eq!(curl(&[&format!("http://{}/info", apus.swift().address)]), None);
}

#[test]
fn http2_is_spoken_with_prior_knowledge_too() {
    let apus = Apus::up();
    let scratch = TempDir::new().unwrap();
    let url = format!("http://{}", apus.swift().address);
    assert_eq!(round_trip(&url, &["--http2-prior-knowledge"], scratch.path()), "2");
    // An upgrade is not understood, and the request is answered all the same.
    assert_eq!(round_trip(&url, &["--http2"], scratch.path()), "1.1");
}

#[test]
fn a_new_certificate_is_in_use_without_a_restart() {
    let (certificate, folder) = (Certificate::new(), TempDir::new().unwrap());
    let mut apus = up(&certificate);
    let info = format!("https://{}/info", apus.swift().address);
    let asks = |trusted: &Path| curl(&["--cacert", &trusted.display().to_string(), &info]).is_some();
    let old = kept(&certificate, &folder, "old");
    assert!(asks(&old));

    // A broken file changes nothing but the log.
    fs::write(certificate.key(), "no key").unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !apus.process().log_tail().contains("the old one stays") {
        assert!(Instant::now() < deadline && asks(&old));
    }
    assert!(asks(&old));

    // A good one does.
    certificate.renew();
    let new = kept(&certificate, &folder, "new");
    let deadline = Instant::now() + PATIENCE;
    while !asks(&new) {
        assert!(Instant::now() < deadline, "the new certificate is not in use");
    }
    assert!(!asks(&old));
}

#[test]
fn a_certificate_that_cannot_be_used_is_said_before_anything_is_made() {
    let (certificate, folder) = (Certificate::new(), TempDir::new().unwrap());
    let data = folder.path().join("data");
    fs::write(certificate.key(), "no key").unwrap();
    let refused = |more: &[PathBuf]| {
        let output = apus_tests::up::up(&data).args(more).output().unwrap();
        assert!(!output.status.success() && !data.exists());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused(&["--tls-certificate".into(), certificate.file(), "--tls-key".into(), certificate.key()]);
    assert!(said.contains("tls.key holds no usable private key"), "{said}");
    assert!(refused(&["--tls-certificate".into(), certificate.file()]).contains("--tls-key"));
}

#[test]
fn the_access_log_names_whom_the_balancer_announces() {
    let mut apus = Apus::builder().arguments(&["--log", "warn,apus::access=info"]).start();
    apus.stop();
    let config = apus.data().join("apus.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("[proxy]\n", "[proxy]\nrequire_proxy_protocol = true\n")).unwrap();
    apus.start(None);

    // Version 1 and version 2, and several requests behind one header.
    let address = apus.swift().address;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x09\x0a\0\0\x01\xc0\0\x01\xbb";
    for header in [&b"PROXY TCP4 203.0.113.7 10.0.0.1 51234 80\r\n"[..], v2] {
        let mut wire = Connection::open(address);
        wire.write(header);
        for _ in 0..2 {
            wire.write(b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n");
            wire.response().expect(200);
        }
    }
    assert!(curl(&["--haproxy-protocol", &format!("http://{address}/info")]).is_some());

    // Whoever comes past the balancer is turned away.
    let mut wire = Connection::open(address);
    wire.write(b"GET /info HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(wire.response().expect(400).text(), "Invalid PROXY line");
    wire.read_to_close();

    let log = apus.stop().log;
    let entries = |ip: &str| log.matches(&format!("\"remote_addr\":\"{ip}\"")).count();
    assert_eq!((entries("203.0.113.7"), entries("198.51.100.9")), (2, 2), "{log}");
}

#[test]
fn raw_bytes_in_a_request_line_are_answered_as_swift_does() {
    let apus = Apus::up();
    let tester = apus.tester();
    tester.make("raw");
    let mut wire = Connection::open(tester.address);
    let mut ask = |method: &str, name: &[u8], body: &str| {
        let mut request = format!("{method} {}/raw/", tester.account).into_bytes();
        request.extend(name);
        let (token, length) = (&tester.token, body.len());
        request.extend(format!(" HTTP/1.1\r\nX-Auth-Token: {token}\r\nContent-Length: {length}\r\n\r\n{body}").bytes());
        wire.write(&request);
        wire.response()
    };
    // No text: the sentence of Swift, a transaction id, and the connection goes on.
    for name in [&b"\xff"[..], b"a\0b", b"\xc3("] {
        let refused = ask("PUT", name, "GET /<\u{e9} HTTP/1.1\r\n\r\n").expect(412);
        assert_eq!(refused.text(), "Invalid UTF8 or contains NULL");
        assert!(refused.need("X-Trans-Id").starts_with("tx"));
    }
    // Text that is not encoded is a name like any other, to its last byte.
    for name in ["caf\u{e9}", "a#b", "<a>", "\"{`}\"", "a\tb"] {
        ask("PUT", name.as_bytes(), name).expect(201);
        assert_eq!(tester.get(&format!("raw/{name}")).send().expect(200).text(), name);
        assert_eq!(ask("GET", name.as_bytes(), "").expect(200).text(), name);
    }
    assert_eq!(tester.list("raw"), ["\"{`}\"", "<a>", "a\tb", "a#b", "caf\u{e9}"]);
    // Nothing to say is said as Swift says it.
    assert_eq!(ask("DELETE", b"<a>", "").expect(204).need("Content-Length"), "0");
}

/// A TLS connection whose bytes a story chooses.
fn tls(address: SocketAddr, trusted: &Path) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(connection, socket)
}

#[test]
fn slow_clients_are_cut_off_behind_tls_too() {
    let certificate = Certificate::new();
    let settings = format!("client_timeout = 1\n{}", certificate.settings());
    let mut cluster = Cluster::builder().settings("proxy", &settings).start();
    let address = cluster.proxy(0).address("proxy");
    let (url, trusted) = (format!("https://localhost:{}", address.port()), certificate.file().display().to_string());
    let way = format!("localhost:{}:{}", address.port(), address.ip());
    let options = ["--cacert", &trusted, "--resolve", &way];
    let ask = |more: &[&str]| curl(&[&options, more].concat());
    let (account, token) = login(&url, &options);

    // In the handshake, before it, in a head, after the handshake, in a body; many at once.
    let mut mute: Vec<_> = (0..20).map(|_| TcpStream::connect(address).unwrap()).collect();
    for (i, socket) in mute.iter_mut().enumerate() {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(&b"\x16\x03\x01\x02\x00\x01"[..i % 7]).unwrap();
    }
    let said = [
        String::new(),
        "GET /info HT".into(),
        "GET /info HTTP/1.1\r\nHost: a\r\nX-Slow".into(),
        format!(
            "PUT {}/c/o HTTP/1.1\r\n{token}\r\nContent-Length: 9\r\n\r\nshort",
            account.split(&url).last().unwrap()
        ),
    ];
    let container = format!("{account}/c");
    ask(&["-X", "PUT", "-H", &token, &container]).expect("a container");
    let mut slow: Vec<_> = said.iter().map(|_| tls(address, &certificate.file())).collect();
    for (io, said) in slow.iter_mut().zip(&said) {
        io.write_all(said.as_bytes()).unwrap();
        io.flush().unwrap();
    }
    let answers: Vec<_> = slow.iter_mut().map(|io| read_to_close(io)).collect();
    assert!(answers[..3].iter().all(|answer| !answer.contains(" 200 ")), "{answers:?}");
    assert!(answers[3].starts_with("HTTP/1.1 408 "), "{answers:?}");
    for socket in &mut mute {
        read_to_close(socket);
    }

    // Others were served all the time, and are.
    assert!(ask(&[&format!("{url}/info")]).is_some());
    assert_eq!(ask(&["-H", &token, &container]).as_deref(), Some(""));
}

/// Reads until the other end closes, politely or not; a failed test if it does not.
#[track_caller]
fn read_to_close(io: &mut impl std::io::Read) -> String {
    let (mut read, begun) = (Vec::new(), Instant::now());
    let _ = io.read_to_end(&mut read);
    assert!(begun.elapsed() < PATIENCE, "the other end neither sent nor closed");
    String::from_utf8_lossy(&read).into_owned()
}
