//! Nodes on loopback, each with a disk, a link and a repairer, and copies that are broken on purpose.

use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;

use apus_base::cluster::ClusterConfig;
use apus_base::fs::Reserve;
use apus_base::hex::hex;
use apus_base::link::{Identity, NODE_NAME};
use apus_base::policy::PolicyIndex;
use apus_base::ring::{IdWidth, Ring, Table};
use bytes::Bytes;
use md5::{Digest as _, Md5};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use super::*;
use crate::store::metadata::{CONTENT_LENGTH, ETAG, TIMESTAMP};
use crate::store::quarantine::Finder;
use crate::store::{Found, Location, Metadata, Staged, read, write};

const NODES: usize = 3;

struct World {
    _root: tempfile::TempDir,
    nodes: Vec<One>,
    cluster: Arc<Cluster>,
    stop: CancellationToken,
}

struct One {
    repairer: Repairer,
    shelf: Shelf,
}

impl World {
    /// Every node has a copy of everything; the nodes `up` answer.
    fn new(up: &[usize]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let identity = identity(root.path());
        let config = ClusterConfig { hash_path_suffix: "end".into(), ..ClusterConfig::default() };
        let cluster = Arc::new(Cluster::try_from(config).unwrap());
        let links: Vec<_> =
            (0..NODES).map(|_| Arc::new(Link::bind(([127, 0, 0, 1], 0).into(), &identity).unwrap())).collect();
        let addresses: Vec<_> = links.iter().map(|link| link.address().unwrap()).collect();
        let ring = Arc::new(ring(&addresses));
        let rings = Rings {
            account: Arc::clone(&ring),
            container: Arc::clone(&ring),
            objects: [(PolicyIndex(0), ring)].into(),
        };
        let (rings, stop) = (Arc::new(ArcSwap::from_pointee(rings)), CancellationToken::new());
        let nodes = links.into_iter().enumerate().map(|(i, link)| {
            let devices = root.path().join(i.to_string());
            std::fs::create_dir_all(devices.join(format!("d{i}"))).unwrap();
            let (devices, metrics) = (Arc::new(Devices::new(devices, 2)), Metrics::new("test"));
            let reserve = Reserve::Bytes(0);
            let receiver = Arc::new(Receiver::new(Arc::clone(&devices), Arc::clone(&cluster), reserve, &metrics));
            if up.contains(&i) {
                let (serving, receiver, stop) = (Arc::clone(&link), Arc::clone(&receiver), stop.clone());
                tokio::spawn(async move { serving.serve(receiver, stop).await });
            }
            let shelf = Shelf { device: devices.get(&format!("d{i}")).unwrap(), policy: PolicyIndex(0) };
            let here = Here::new(addresses[i]);
            let (cluster, rings) = (Arc::clone(&cluster), Arc::clone(&rings));
            let node = Node { devices, cluster, rings, link, here, receiver };
            One { repairer: Repairer::new(node, &metrics), shelf }
        });
        let nodes = nodes.collect();
        Self { _root: root, nodes, cluster, stop }
    }

    fn location(&self, node: usize, object: &str) -> Location {
        let hash = self.cluster.hash_path.object("a", "c", object);
        let ring = self.nodes[node].repairer.node.rings.load_full();
        let partition = ring.objects[&PolicyIndex(0)].partition(&hash.0);
        self.nodes[node].shelf.object(partition, hash, format!("/a/c/{object}"))
    }

    fn put(&self, node: usize, object: &str, secs: u64, body: &'static [u8]) {
        let location = self.location(node, object);
        let mut staged = Staged::create(&location, None, Reserve::Bytes(0)).unwrap();
        staged.write(&[Bytes::from_static(body)]).unwrap();
        let mut metadata = Metadata::default();
        metadata.set(TIMESTAMP, Timestamp::from_secs(secs).internal());
        metadata.set(CONTENT_LENGTH, body.len().to_string());
        metadata.set(ETAG, hex(&Md5::digest(body)));
        staged.commit(&location, metadata).unwrap();
    }

    fn flip_a_bit(&self, node: usize, object: &str) {
        let folder = self.location(node, object).folder();
        let data = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        let file = std::fs::File::options().write(true).open(data).unwrap();
        file.write_all_at(b"?", 0).unwrap();
    }

    /// Somebody finds it damaged; the node repairs what it hears of.
    async fn find_damaged(&self, node: usize, object: &str) -> (u64, u64) {
        let location = self.location(node, object);
        let found = async {
            let damaged = FileSet::choose(&index::file_names(&location.folder()).unwrap()).last();
            quarantine::quarantine(&location, damaged, Finder::Audit, &"for this test").unwrap()
        };
        let (_, repaired, failed) = self.nodes[node].repairer.beside(found).await;
        (repaired, failed)
    }

    /// Waits until something was moved to quarantine there.
    async fn hear(&self, node: usize) {
        self.nodes[node].repairer.heard.lock().await.recv().await.unwrap();
    }

    fn read(&self, node: usize, object: &str) -> Option<(Timestamp, Vec<u8>)> {
        match read::open(&self.location(node, object), Timestamp::from_secs(9), false, Finder::Request).unwrap() {
            Found::Object(object) => {
                let mut body = vec![0; usize::try_from(object.length).unwrap()];
                object.file.read_exact_at(&mut body, 0).unwrap();
                Some((object.timestamp(), body))
            }
            _ => None,
        }
    }

    fn reasons(&self, node: usize) -> Vec<Reason> {
        quarantine::quarantined(&self.nodes[node].shelf).unwrap().map(|found| found.reason.unwrap()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn identity(folder: &std::path::Path) -> Identity {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let mut params = CertificateParams::new(vec![NODE_NAME.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let files = ["ca.pem", "node.pem", "node.key"].map(|name| folder.join(name));
    let texts = [issuer.pem(), params.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem()];
    files.iter().zip(texts).for_each(|(file, text)| std::fs::write(file, text).unwrap());
    Identity::read(&files[1], &files[2], &files[0]).unwrap()
}

fn ring(addresses: &[SocketAddr]) -> Ring {
    let device = |(i, address): (usize, &SocketAddr)| {
        Some(Device {
            device: format!("d{i}"),
            id: u32::try_from(i).unwrap(),
            ip: "127.0.0.1".into(),
            meta: String::new(),
            port: address.port(),
            region: 1,
            replication_ip: "127.0.0.1".into(),
            replication_port: address.port(),
            weight: 1.0,
            zone: u32::try_from(i).unwrap(),
        })
    };
    // One partition, on all of them.
    let table = Table::new(0, IdWidth::TwoBytes, (0..addresses.len()).map(|i| u32::try_from(i).unwrap())).unwrap();
    Ring::new(addresses.iter().enumerate().map(device).collect(), table).unwrap()
}

#[tokio::test]
async fn a_good_copy_is_fetched_and_the_record_says_from_where() {
    let world = World::new(&[1, 2]);
    (0..NODES).for_each(|node| world.put(node, "o", 1, b"body"));
    assert_eq!(world.find_damaged(0, "o").await, (1, 0));
    assert_eq!(world.read(0, "o"), Some((Timestamp::from_secs(1), b"body".to_vec())));
    let repaired = world.reasons(0).remove(0).repaired.unwrap();
    assert!(repaired.from.contains("/d"), "{}", repaired.from);
    // There is nothing left to do.
    world.nodes[0].repairer.retry_all().await;
    assert_eq!(world.nodes[0].repairer.repaired.get(), 1);
}

#[tokio::test]
async fn a_copy_that_is_damaged_too_is_not_taken_but_put_away() {
    let world = World::new(&[0, 1, 2]);
    (0..NODES).for_each(|node| world.put(node, "o", 1, b"body"));
    world.flip_a_bit(1, "o");
    assert_eq!(world.find_damaged(0, "o").await, (1, 0));
    assert_eq!(world.read(0, "o").unwrap().1, b"body");
    // Whichever was asked first: the damaged copy was given to nobody, and is not served where it is noticed.
    let asked = world.reasons(1);
    assert!(asked.len() <= 1 && asked.iter().all(|reason| reason.by == Finder::Replication), "{asked:?}");

    // Both good ones gone, it is asked for certain; then its own node repairs it.
    world.nodes[1].repairer.beside(async {}).await;
    assert_eq!(world.find_damaged(2, "o").await, (1, 0));
    world.nodes[1].repairer.beside(async {}).await;
    assert!((0..NODES).all(|node| world.reasons(node).len() < 2));
}

#[tokio::test]
async fn without_a_good_copy_it_stays_and_is_tried_again() {
    let world = World::new(&[1, 2]);
    (0..NODES).for_each(|node| world.put(node, "o", 1, b"body"));
    world.flip_a_bit(1, "o");
    world.flip_a_bit(2, "o");
    assert_eq!(world.find_damaged(0, "o").await, (0, 1));
    assert_eq!(world.read(0, "o"), None);
    assert!(world.reasons(0)[0].wants_repair());
    // What was asked for is put away, too.
    for node in [1, 2] {
        world.hear(node).await;
        assert_eq!(world.reasons(node)[0].by, Finder::Replication);
    }

    // An operator brings a copy back to one of them.
    world.put(2, "o", 1, b"body");
    world.nodes[0].repairer.retry_all().await;
    assert_eq!(world.read(0, "o").unwrap().1, b"body");
    assert!(!world.reasons(0)[0].wants_repair());
}

#[tokio::test]
async fn a_node_that_is_away_is_waited_for_and_an_older_copy_is_not_enough() {
    let world = World::new(&[1]);
    world.put(0, "o", 2, b"new");
    world.put(1, "o", 1, b"old");
    world.put(2, "o", 2, b"new");
    assert_eq!(world.find_damaged(0, "o").await, (0, 1));
    // The older copy may be served meanwhile; the newer one is still looked for.
    assert_eq!(world.read(0, "o").unwrap().1, b"old");
    assert!(world.reasons(0)[0].wants_repair());
}

#[tokio::test]
async fn a_newer_version_or_a_deletion_ends_the_matter() {
    let world = World::new(&[1, 2]);
    for object in ["written", "deleted"] {
        (0..NODES).for_each(|node| world.put(node, object, 1, b"body"));
    }
    // It comes before the repair begins, here; and another is deleted elsewhere.
    let location = world.location(0, "written");
    quarantine::quarantine(&location, Timestamp::from_secs(1), Finder::Request, &"").unwrap();
    world.put(0, "written", 2, b"newer");
    write::write_tombstone(&world.location(1, "deleted"), Timestamp::from_secs(2)).unwrap();
    write::write_tombstone(&world.location(2, "deleted"), Timestamp::from_secs(2)).unwrap();
    assert_eq!(world.find_damaged(0, "deleted").await, (2, 0));
    assert_eq!((world.read(0, "written").unwrap().1, world.read(0, "deleted")), (b"newer".to_vec(), None));
    assert!(world.reasons(0).iter().all(|reason| !reason.wants_repair()));
}

#[tokio::test]
async fn what_was_in_the_wrong_place_is_looked_for_in_its_own() {
    let world = World::new(&[1, 2]);
    (0..NODES).for_each(|node| world.put(node, "o", 1, b"body"));
    // Its folder was renamed to another hash.
    let (own, wrong) = (world.location(0, "o"), Location { hash: PathHash([7; 16]), ..world.location(0, "o") });
    std::fs::create_dir_all(wrong.folder().parent().unwrap()).unwrap();
    std::fs::rename(own.folder(), wrong.folder()).unwrap();
    let finding =
        async { quarantine::quarantine(&wrong, Timestamp::from_secs(1), Finder::Audit, &"wrong place").unwrap() };
    let (_, repaired, failed) = world.nodes[0].repairer.beside(finding).await;
    assert_eq!((repaired, failed), (1, 0));
    assert_eq!(world.read(0, "o").unwrap().1, b"body");
    assert!(!wrong.folder().exists());
}
