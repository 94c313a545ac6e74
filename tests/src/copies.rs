//! The copies of objects on the devices of a cluster, and whether they are where the ring says, all of them and the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use apus_base::hash_path::HashPath;
use apus_base::ring::Ring;
use apus_object::store::attributes;

use crate::{Cluster, disk, md5_hex};

/// The hash path's suffix of every test cluster.
pub const HASH_SUFFIX: &str = "changeme";

/// The files of the objects of the first policy on a node's device, by `partition/suffix/hash/name`, with their metadata and
/// the MD5 of the body.
pub fn copies(cluster: &Cluster, node: usize) -> BTreeMap<String, String> {
    copies_in(&cluster.device(node).join(folder(0)))
}

fn copies_in(objects: &Path) -> BTreeMap<String, String> {
    let relative = |path: &Path| path.strip_prefix(objects).expect("below").to_str().expect("plain names").to_owned();
    let is_copy = |path: &PathBuf| path.strip_prefix(objects).expect("below").components().count() == 4;
    // What a pass tidies away meanwhile does not count.
    let named = |path: PathBuf| describe(&path).map(|described| (relative(&path), described));
    disk::files(objects).into_iter().filter(is_copy).filter_map(named).collect()
}

fn describe(path: &Path) -> Option<String> {
    let (file, body) = (fs::File::open(path).ok()?, fs::read(path).ok()?);
    let md5 = md5_hex(&body);
    let Ok(described) = attributes::read(&file) else {
        return Some(format!("{md5} unreadable metadata"));
    };
    let wrong = described.metadata.text("ETag").is_some_and(|etag| etag != md5);
    Some(format!("{md5}{} {:?}", if wrong { " IS NOT THE ETAG" } else { "" }, described.metadata))
}

/// The object ring of the first policy.
pub fn ring(cluster: &Cluster) -> Ring {
    policy_ring(cluster, 0)
}

fn policy_ring(cluster: &Cluster, policy: usize) -> Ring {
    let file = cluster.rings().join(match policy {
        0 => "object.ring.gz".to_owned(),
        n => format!("object-{n}.ring.gz"),
    });
    Ring::from_bytes(&fs::read(file).expect("a ring's file")).expect("a ring")
}

fn folder(policy: usize) -> String {
    if policy == 0 { "objects".to_owned() } else { format!("objects-{policy}") }
}

/// Every copy of the first policy is on all of its primaries and nowhere else, and the same everywhere.
#[track_caller]
pub fn assert_in_place(cluster: &Cluster, nodes: usize) {
    let wrong = misplaced(cluster, nodes, 0);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not where it belongs, differs between its places, or is not what its own metadata says.
pub fn misplaced(cluster: &Cluster, nodes: usize, policy: usize) -> Vec<String> {
    let ring = policy_ring(cluster, policy);
    let held: Vec<_> = (0..nodes).map(|node| copies_in(&cluster.device(node).join(folder(policy)))).collect();
    let all: BTreeSet<&String> = held.iter().flat_map(BTreeMap::keys).collect();
    let mut wrong = Vec::new();
    for name in all {
        let partition = name.split('/').next().and_then(|p| p.parse().ok()).expect("a partition");
        let primaries: BTreeSet<String> = ring.primaries(partition).map(|device| device.device.clone()).collect();
        let holders: BTreeSet<String> =
            (0..nodes).filter(|&node| held[node].contains_key(name)).map(|node| format!("d{node}")).collect();
        if holders != primaries {
            wrong.push(format!("{name} is not where it belongs: on {holders:?} instead of {primaries:?}"));
        }
        let contents: BTreeSet<_> = held.iter().filter_map(|copies| copies.get(name)).collect();
        if contents.len() > 1 || contents.iter().any(|content| content.contains(" IS NOT THE ETAG")) {
            wrong.push(format!("the copies of {name} differ or are damaged: {contents:?}"));
        }
    }
    wrong
}

/// All that the devices hold of one object, quarantined or not: which file is on which device.
pub fn where_is(cluster: &Cluster, nodes: usize, account: &str, container: &str, object: &str) -> Vec<String> {
    let hash = HashPath::new("", HASH_SUFFIX).object(account, container, object).hex();
    let mut found = Vec::new();
    for node in 0..nodes {
        for file in disk::files(&cluster.device(node)).into_iter().filter(|p| p.to_string_lossy().contains(&hash)) {
            let shown = file.strip_prefix(cluster.device(node)).expect("below").display().to_string();
            found.push(format!("d{node}: {shown} {}", describe(&file).unwrap_or_default()));
        }
    }
    found
}
