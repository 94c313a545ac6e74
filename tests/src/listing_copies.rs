//! The copies of an account or a container on all nodes, seen without the proxy, and whether they are where they belong.

use std::collections::BTreeMap;
use std::fs;

use apus_base::db::{Kind, ListingId};
use apus_base::hash_path::HashPath;
use apus_base::ring::Ring;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::copies::HASH_SUFFIX;
use crate::http::{Request, Response};
use crate::wait_until;

/// What a node's own server says of an account or a container.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// The digest of all that its copies must agree on: rows and tombstones, timestamps, policy, metadata.
    pub state: String,
    /// 200, or 404 when it is deleted.
    pub status: u16,
    /// What its headers say, but for the date.
    pub headers: BTreeMap<String, String>,
    /// What it lists; nothing when it is deleted.
    pub listing: Value,
}

impl Copy {
    fn read(answer: &Response) -> Option<Self> {
        let state = answer.header("X-Backend-Listing-State")?.to_owned();
        let headers = answer.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("date"));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
        let listing = if answer.status == 200 { answer.json() } else { Value::Null };
        Some(Self { state, status: answer.status, headers: headers.collect(), listing })
    }

    /// The names that it lists.
    pub fn names(&self) -> Vec<String> {
        let rows = self.listing.as_array().into_iter().flatten();
        rows.map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
    }
}

/// The server of a path: of accounts, or of containers.
fn role(path: &str) -> &'static str {
    if path.contains('/') { "container" } else { "account" }
}

/// The name of an account or a container in the databases.
pub(crate) fn id(path: &str) -> ListingId {
    let salt = HashPath::new("", HASH_SUFFIX);
    let decoded = percent_decode(path);
    match decoded.split_once('/') {
        Some((account, container)) => ListingId { kind: Kind::Container, hash: salt.container(account, container) },
        None => ListingId { kind: Kind::Account, hash: salt.account(&decoded) },
    }
}

impl Cluster {
    /// Asks a node's own account or container server, about `account` or `account/container`, percent-encoded.
    #[track_caller]
    pub fn ask(&mut self, node: usize, method: &str, path: &str) -> Request {
        let target = format!("/d{node}/0/{path}");
        Request::new(self.node(node).address(role(path)), method, target)
            .header("X-Backend-Allow-Reserved-Names", "true")
    }

    /// A node's copy, if it has one.
    #[track_caller]
    pub fn copy(&mut self, node: usize, path: &str) -> Option<Copy> {
        Copy::read(&self.ask(node, "GET", path).send())
    }

    /// The nodes whose devices are the primaries, and in the order of the ring the others.
    pub fn places(&self, path: &str) -> (Vec<usize>, Vec<usize>) {
        let ListingId { hash, .. } = id(path);
        let ring = fs::read(self.rings().join(format!("{}.ring.gz", role(path)))).expect("a ring");
        let ring = Ring::from_bytes(&ring).expect("a ring");
        let partition = ring.partition(&hash.0);
        let node = |device: &apus_base::ring::Device| device.device[1..].parse().expect("a node's number");
        (ring.primaries(partition).map(node).collect(), ring.handoffs(partition).map(node).collect())
    }

    /// Waits until every primary of an account has heard from its containers that they have so many objects. Which of the
    /// containers' servers has told it last may change once more, and with it the copies' state.
    pub fn wait_until_counted(&mut self, account: &str, objects: usize) {
        let (primaries, _) = self.places(account);
        let objects = objects.to_string();
        let mut count = |node| self.copy(node, account)?.headers.remove("x-account-object-count");
        wait_until("the account counts its objects", || {
            primaries.iter().all(|node| count(*node).as_ref() == Some(&objects))
        });
    }

    /// Every primary has a copy, all are the same, and nobody else has one; gives it.
    #[track_caller]
    pub fn assert_in_place(&mut self, path: &str) -> Copy {
        let (primaries, others) = self.places(path);
        let copies: Vec<_> = primaries.iter().map(|node| self.copy(*node, path)).collect();
        let Some(first) = copies[0].clone() else { panic!("node {} has no copy of {path}: {copies:#?}", primaries[0]) };
        assert!(copies.iter().all(|copy| copy.as_ref() == Some(&first)), "the copies of {path} differ: {copies:#?}");
        for node in others {
            assert_eq!(self.copy(node, path), None, "node {node} has a copy of {path}");
        }
        first
    }
}

fn percent_decode(path: &str) -> String {
    path.replace("%00", "\0")
}
