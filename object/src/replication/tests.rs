use std::path::PathBuf;

use apus_base::cluster::ClusterConfig;
use apus_base::hex::hex;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use bytes::Bytes;
use md5::{Digest as _, Md5};

use super::push::Arrived;
use super::*;
use crate::store::Metadata;
use crate::store::metadata::{CONTENT_LENGTH, ETAG, NAME, TIMESTAMP};
use apus_base::wire::replication::{FileHead, Outcome};

struct Node {
    _root: tempfile::TempDir,
    receiver: Receiver,
    shelf: Shelf,
}

impl Node {
    fn with_reserve(reserve: Reserve) -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("d1")).unwrap();
        let config = ClusterConfig { hash_path_suffix: "end".into(), ..ClusterConfig::default() };
        let devices = Arc::new(Devices::new(root.path(), 2));
        let cluster = Arc::new(Cluster::try_from(config).unwrap());
        let receiver = Receiver::new(devices, cluster, reserve, &Metrics::new("test"));
        let shelf = receiver.shelf(&place("d1", 0)).unwrap();
        Self { _root: root, receiver, shelf }
    }

    fn new() -> Self {
        Self::with_reserve(Reserve::Bytes(0))
    }

    fn hash(&self, object: &str) -> PathHash {
        self.receiver.cluster.hash_path.object("a", "c", object)
    }

    /// A version of `/a/c/<object>` as it is pushed; the partition is the hash's first byte.
    fn head(&self, object: &str, secs: u64, body: &[u8]) -> FileHead {
        let at = Timestamp::from_secs(secs);
        let mut metadata = Metadata::default();
        metadata.set(NAME, format!("/a/c/{object}"));
        metadata.set(TIMESTAMP, at.internal());
        metadata.set(CONTENT_LENGTH, body.len().to_string());
        metadata.set(ETAG, hex(&Md5::digest(body)));
        let hash = self.hash(object).0;
        let (name, metadata, length) = (format!("{}.data", at.internal()), metadata.to_pickle(), body.len() as u64);
        FileHead { partition: hash[0].into(), hash, name, metadata, length }
    }

    async fn push(&self, files: Vec<(FileHead, &'static [u8])>) -> Vec<Outcome> {
        let arrived = |(head, body)| match self.receiver.expected(&self.shelf, &head) {
            Ok(expected) => Arrived::Small(expected, vec![Bytes::from_static(body)]),
            Err(outcome) => Arrived::Refused(outcome),
        };
        self.receiver.keep(&self.shelf, files.into_iter().map(arrived).collect()).await
    }

    fn files(&self, object: &str) -> Vec<String> {
        let hash = self.hash(object);
        let folder: PathBuf = self.shelf.object(hash.0[0].into(), hash, "").folder();
        let mut names = index::file_names(&folder).unwrap();
        names.sort();
        names
    }

    async fn wants(&self, object: &str, files: &[&str]) -> Result<Answer, Refusal> {
        let offered = Offered { hash: self.hash(object).0, files: files.iter().map(|&file| file.to_owned()).collect() };
        self.receiver.offer(&place("d1", 0), self.hash(object).0[0].into(), vec![offered]).await
    }
}

fn place(device: &str, policy: u32) -> Place {
    Place { device: device.into(), policy: PolicyIndex(policy) }
}

#[tokio::test]
async fn a_batch_is_kept_and_may_come_again_in_any_order() {
    let node = Node::new();
    let all = || ["a", "b", "c", "d"].map(|o| (node.head(o, 2, b"body"), &b"body"[..])).to_vec();
    assert_eq!(node.push(all()).await, [Outcome::Stored; 4]);
    assert_eq!(node.push(all()).await, [Outcome::Stored; 4]);
    // An older version of one is confirmed and not written; a newer one replaces it.
    assert_eq!(node.push(vec![(node.head("a", 1, b"old"), b"old")]).await, [Outcome::Stored]);
    assert_eq!(node.files("a"), ["0000000002.00000.data"]);
    assert_eq!(node.push(vec![(node.head("a", 3, b"new"), b"new")]).await, [Outcome::Stored]);
    assert_eq!(node.files("a"), ["0000000003.00000.data"]);
}

#[tokio::test]
async fn what_is_not_what_it_says_is_refused_alone() {
    let node = Node::new();
    let good = node.head("good", 1, b"body");
    let elsewhere = FileHead { partition: good.partition ^ 1, ..good.clone() };
    let other = FileHead { hash: node.hash("other").0, partition: node.hash("other").0[0].into(), ..good.clone() };
    let later = FileHead { name: "0000000002.00000.data".into(), ..good.clone() };
    let shorter = FileHead { length: 3, ..good.clone() };
    let nonsense = FileHead { metadata: b"cos\nsystem\n(S'x'\ntR.".to_vec(), ..good.clone() };
    let stranger = FileHead { name: "../../escape.data".into(), ..good.clone() };
    let cases = [elsewhere, other, later, shorter, nonsense, stranger];
    let (misplaced, damaged) = (Outcome::Misplaced, Outcome::Damaged);
    for (head, expected) in cases.into_iter().zip([misplaced, misplaced, damaged, damaged, damaged, misplaced]) {
        assert_eq!(node.push(vec![(head.clone(), b"body")]).await, [expected], "{head:?}");
    }
    // A flipped bit on the way from the other disk: the files beside it are kept.
    let flipped = (node.head("flipped", 1, b"body"), &b"bodz"[..]);
    let batch = vec![(good, &b"body"[..]), flipped, (node.head("third", 1, b""), b"")];
    assert_eq!(node.push(batch).await, [Outcome::Stored, Outcome::Damaged, Outcome::Stored]);
    assert_eq!((node.files("flipped"), node.files("third").len()), (vec![], 1));
}

#[tokio::test]
async fn a_full_device_says_so_and_keeps_nothing() {
    let node = Node::with_reserve(Reserve::Bytes(u64::MAX));
    assert_eq!(node.push(vec![(node.head("o", 1, b"body"), b"body")]).await, [Outcome::Full]);
    assert!(node.files("o").is_empty());
}

#[tokio::test]
async fn only_what_is_news_is_wanted() {
    let node = Node::new();
    let want = |files, empty| Ok(Answer::Wants(vec![Want { files, empty }]));
    let (one, two) = ("0000000001.00000.data", "0000000002.00000.ts");
    assert_eq!(node.wants("o", &[one]).await, want(1, true));
    node.push(vec![(node.head("o", 1, b"body"), b"body")]).await;
    assert_eq!(node.wants("o", &[one]).await, want(0, false));
    assert_eq!(node.wants("o", &[two]).await, want(1, false));
    // Metadata without the data that it belongs to is wanted too, whichever comes first.
    assert_eq!(node.wants("o", &["0000000003.00000.meta"]).await, want(1, false));
    assert_eq!(node.wants("o", &["0000000001.00000.meta"]).await, want(0, false));
}

#[tokio::test]
async fn nonsense_is_refused() {
    let node = Node::new();
    assert_eq!(node.wants("o", &["hashes.pkl"]).await, Err(Refusal::Malformed));
    assert_eq!(node.wants("o", &["0000000001.00000.data"; 5]).await, Err(Refusal::Malformed));
    let refused = |device, policy| node.receiver.shelf(&place(device, policy)).unwrap_err();
    assert_eq!((refused("d2", 0), refused("d1", 7)), (Refusal::NoDevice, Refusal::NoPolicy));
    for device in ["..", "", "a/b", ".hidden", "a\0b"] {
        assert_eq!(refused(device, 0), Refusal::Malformed, "{device:?}");
    }
}
