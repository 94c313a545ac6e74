use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::*;
use crate::policy::PolicyIndex;
use crate::wire::replication::{Answer, Place, Refusal, Request};

/// A CA and identities that it issues, in a folder.
struct Authority {
    folder: tempfile::TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    /// A node of this CA that trusts the peers of another.
    fn issue_trusting(&self, other: &Self) -> Identity {
        let mut params = CertificateParams::new(vec![NODE_NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let path = |name: &str| self.folder.path().join(name);
        std::fs::write(path("node.pem"), certificate.pem()).unwrap();
        std::fs::write(path("node.key"), key.serialize_pem()).unwrap();
        Identity::read(&path("node.pem"), &path("node.key"), &other.folder.path().join("ca.pem")).unwrap()
    }

    fn issue(&self) -> Identity {
        self.issue_trusting(self)
    }
}

/// Answers every question with the same refusal.
struct Busy;

impl Answerer for Busy {
    async fn answer(self: Arc<Self>, mut stream: Stream) {
        if let Ok(Some(Request::Push { .. })) = stream.receiver.message().await {
            stream.sender.message(&Answer::Refused(Refusal::Busy)).await.unwrap();
            stream.sender.finish();
        }
    }
}

fn push() -> Request {
    Request::Push { place: Place { device: "d1".into(), policy: PolicyIndex(0) } }
}

async fn ask(asking: &Link, answering: &Link) -> Result<Answer, LinkError> {
    asking.open("127.0.0.1", answering.address().unwrap().port()).await?.ask(&push()).await
}

fn serving(identity: &Identity) -> (Arc<Link>, CancellationToken) {
    let link = Arc::new(Link::bind(([127, 0, 0, 1], 0).into(), identity).unwrap());
    let (serving, shutdown) = (Arc::clone(&link), CancellationToken::new());
    let stop = shutdown.clone();
    tokio::spawn(async move { serving.serve(Arc::new(Busy), stop).await });
    (link, shutdown)
}

#[tokio::test]
async fn nodes_of_one_cluster_talk_and_a_new_process_is_found_again() {
    let authority = Authority::new();
    let (answering, stop) = serving(&authority.issue());
    let asking = Link::asking(&authority.issue()).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&asking, &answering).await.unwrap(), Answer::Refused(Refusal::Busy));
    }
    assert_eq!(asking.lock().len(), 1);

    // The node restarts on its port; the connection that was kept is dead.
    let address = answering.address().unwrap();
    stop.cancel();
    answering.endpoint.wait_idle().await;
    drop(answering);
    let again = loop {
        // The socket is let go of by a task of its own.
        match Link::bind(address, &authority.issue()) {
            Ok(link) => break Arc::new(link),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let serving = Arc::clone(&again);
    tokio::spawn(async move { serving.serve(Arc::new(Busy), CancellationToken::new()).await });
    assert_eq!(ask(&asking, &again).await.unwrap(), Answer::Refused(Refusal::Busy));
}

#[tokio::test]
async fn strangers_are_refused_on_both_ends() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (answering, _stop) = serving(&ours.issue());

    // It would trust us, but has no certificate of our CA.
    let stranger = Link::asking(&theirs.issue_trusting(&ours)).unwrap();
    assert!(ask(&stranger, &answering).await.is_err());

    // It answers at a node's address, but its certificate is not of our CA.
    let (impostor, _stop) = serving(&theirs.issue_trusting(&ours));
    let asking = Link::asking(&ours.issue()).unwrap();
    assert!(matches!(ask(&asking, &impostor).await, Err(LinkError::Connect(..))));
}

#[tokio::test]
async fn with_new_certificates_peers_show_theirs_again() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (answering, _stop) = serving(&ours.issue());
    let asking = Link::asking(&ours.issue()).unwrap();
    assert!(ask(&asking, &answering).await.is_ok());
    let kept = asking.lock().values().next().cloned().unwrap();

    // What is kept ends, though nothing is wrong with it; the next question makes another.
    answering.renew(&ours.issue()).unwrap();
    kept.closed().await;
    assert!(ask(&asking, &answering).await.is_ok());

    // The cluster has another CA now, so nobody with a certificate of the old one gets in, nor is asked.
    answering.renew(&theirs.issue()).unwrap();
    let kept = asking.lock().values().next().cloned().unwrap();
    kept.closed().await;
    assert!(ask(&asking, &answering).await.is_err());
    let ours = serving(&ours.issue()).0;
    assert!(matches!(ask(&answering, &ours).await, Err(LinkError::Connect(..))));
}

#[test]
fn files_that_are_no_identity_are_named() {
    let authority = Authority::new();
    authority.issue();
    let path = |name: &str| authority.folder.path().join(name);
    let swapped = Identity::read(&path("node.key"), &path("node.key"), &path("ca.pem")).unwrap();
    assert!(swapped.server().is_err());
    let missing = Identity::read(&path("none.pem"), &path("node.key"), &path("ca.pem")).unwrap_err();
    assert!(missing.to_string().contains("none.pem"), "{missing}");
}

impl Authority {
    /// The files of the node that was issued last.
    fn files(&self) -> IdentityFiles {
        let path = |name: &str| self.folder.path().join(name);
        IdentityFiles { certificate: path("node.pem"), key: path("node.key"), ca: path("ca.pem"), crl: None }
    }

    fn backend_tls(&self) -> BackendTls {
        BackendTls::load(self.files()).unwrap()
    }
}

/// Connects two nodes, and gives what is cancelled when the asking one has to show its certificate anew.
async fn handshake(asking: &BackendTls, answering: &BackendTls) -> std::io::Result<CancellationToken> {
    let (here, there) = tokio::io::duplex(64 * 1024);
    let (connected, accepted) = tokio::join!(asking.connect(here), answering.accept(there));
    connected?;
    accepted.map(|(_, replaced)| replaced)
}

#[tokio::test]
async fn new_certificates_for_backend_requests_are_used_and_broken_ones_are_not() {
    let authority = Authority::new();
    authority.issue();
    let (asking, answering) = (authority.backend_tls(), authority.backend_tls());
    let first = handshake(&asking, &answering).await.unwrap();
    let files = authority.files();
    let (seen, changed) = files.look(None);
    assert!(changed.is_none() && files.look(Some(seen)).1.is_none() && !first.is_cancelled());

    // Another certificate of the same CA: whoever came by the old one comes again.
    authority.issue();
    let (seen, changed) = files.look(Some(seen));
    answering.renew(&changed.unwrap().unwrap()).unwrap();
    assert!(first.is_cancelled());
    let second = handshake(&asking, &answering).await.unwrap();
    std::fs::write(authority.folder.path().join("node.pem"), "nonsense").unwrap();
    let (_, changed) = files.look(Some(seen));
    assert!(changed.unwrap().and_then(|identity| answering.renew(&identity)).is_err());
    assert!(!second.is_cancelled() && handshake(&asking, &answering).await.is_ok());

    // Strangers are refused on both ends.
    let other = Authority::new();
    other.issue();
    let stranger = other.backend_tls();
    assert!(handshake(&stranger, &answering).await.is_err() && handshake(&asking, &stranger).await.is_err());
}

#[tokio::test]
async fn a_server_without_tls_is_told_apart() {
    use tokio::io::AsyncWriteExt as _;
    let authority = Authority::new();
    authority.issue();
    let (here, mut there) = tokio::io::duplex(64 * 1024);
    there.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let error = authority.backend_tls().connect(here).await.unwrap_err().to_string();
    assert!(error.contains("has no [backend_tls]"), "{error}");
}
