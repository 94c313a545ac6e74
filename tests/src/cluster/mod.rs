//! A cluster of separate processes: storage nodes, each `apus serve account container object`, and proxies.
//!
//! Every node has a loopback address of its own, drawn at random, and ports that the kernel picked on it, so that
//! clusters of tests that run at once never meet.

mod builder;
mod node;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::http::{Request, Response};
use crate::mount::Disk;
use crate::net::Network;
use crate::swift::{Session, Swift, TESTER};

pub use builder::ClusterBuilder;
pub use node::Node;

/// The `hash_path_suffix` of every cluster.
pub const SALT: &str = "changeme";

/// Running nodes and proxies in a temporary folder.
pub struct Cluster {
    // Dropped in this order: who uses the disks, the disks, and last the folder that they are mounted in.
    nodes: Vec<Node>,
    proxies: Vec<Node>,
    disks: Vec<Disk>,
    network: Option<Network>,
    folder: TempDir,
}

impl Cluster {
    /// A storage node.
    pub fn node(&mut self, i: usize) -> &mut Node {
        &mut self.nodes[i]
    }

    /// All storage nodes.
    pub fn nodes(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// All storage nodes, and then all proxies.
    pub fn all(&mut self) -> impl Iterator<Item = &mut Node> {
        self.nodes.iter_mut().chain(&mut self.proxies)
    }

    /// A proxy.
    pub fn proxy(&mut self, i: usize) -> &mut Node {
        &mut self.proxies[i]
    }

    /// The folder of a node's one device.
    pub fn device(&self, node: usize) -> PathBuf {
        device_folder(self.folder.path(), node)
    }

    /// The folder of the rings and their builder files.
    pub fn rings(&self) -> PathBuf {
        self.folder.path().join("rings")
    }

    /// The folder of the cluster's CA.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    /// Where the first proxy answers.
    pub fn swift(&self) -> Swift {
        Swift { address: self.proxies[0].address("proxy") }
    }

    /// The owner of `test`, logged in at the first proxy.
    #[track_caller]
    pub fn tester(&self) -> Session {
        self.swift().login(TESTER)
    }

    /// Runs a pass once on every node, and fails the test unless each did all that there was to do.
    #[track_caller]
    pub fn pass(&self, name: &str) {
        for node in &self.nodes {
            let output = node.pass(name, &[]);
            assert!(output.status.success(), "{} on {}: {output:?}", name, node.name);
        }
    }

    /// Runs a pass once on every node, and says what those said that could not do all of it.
    pub fn try_pass(&self, name: &str) -> String {
        let mut left = String::new();
        for node in &self.nodes {
            let output = node.pass(name, &[]);
            if !output.status.success() {
                let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
                left.push_str(&format!("{name} on {}: {}", node.name, said.concat()));
            }
        }
        left
    }

    /// What each node's own container server lists, asked without the proxy: the rows with all their columns.
    #[track_caller]
    pub fn rows(&self, account: &str, container: &str) -> Vec<serde_json::Value> {
        let rows = |answer: Response| if answer.body.is_empty() { serde_json::Value::Null } else { answer.json() };
        self.listings(account, container, "format=json").into_iter().map(rows).collect()
    }

    /// What each node's own container server answers when it is asked for a listing with that query.
    #[track_caller]
    pub fn listings(&self, account: &str, container: &str, query: &str) -> Vec<Response> {
        let ask = |(i, node): (usize, &Node)| {
            let target = format!("/{}/0/{account}/{container}?{query}", device(i));
            Request::new(node.address("container"), "GET", target).send()
        };
        self.nodes.iter().enumerate().map(ask).collect()
    }

    /// The container updates that wait on all nodes.
    pub fn pending_updates(&self) -> Vec<PathBuf> {
        self.nodes.iter().flat_map(|node| crate::disk::pending_updates(&node.devices())).collect()
    }

    /// The nodes that have a file with that end of name.
    pub fn holders(&self, suffix: &str) -> Vec<usize> {
        let holds = |node: &Node| !crate::disk::with_suffix(&node.devices(), suffix).is_empty();
        (0..self.nodes.len()).filter(|&i| holds(&self.nodes[i])).collect()
    }

    /// Takes a device away, as a failed disk does; [`give_back`](Self::give_back) undoes it.
    pub fn take_away(&self, node: usize) {
        let folder = self.device(node);
        match self.disks.get(node) {
            Some(disk) => disk.take_away(),
            None => fs::rename(&folder, folder.with_extension("away")).expect("a device to take away"),
        }
    }

    /// Brings back a device that was taken away.
    pub fn give_back(&self, node: usize) {
        let folder = self.device(node);
        match self.disks.get(node) {
            Some(disk) => disk.give_back(),
            None => fs::rename(folder.with_extension("away"), &folder).expect("a device to give back"),
        }
    }

    /// Puts an empty device in the place of another, under the running server.
    pub fn replace(&mut self, node: usize) {
        let folder = self.device(node);
        if let Some(disk) = self.disks.get_mut(node) {
            return disk.replace();
        }
        self.take_away(node);
        fs::create_dir(&folder).expect("an empty device");
        fs::remove_dir_all(folder.with_extension("away")).expect("the old device goes");
    }

    /// Cuts the power of all storage nodes at once, and starts them again.
    pub fn cut_power(&mut self) {
        self.nodes.iter_mut().for_each(|node| drop(node.kill()));
        self.disks.iter_mut().for_each(Disk::cut_power);
        self.nodes.iter_mut().for_each(|node| node.start(None));
    }

    /// A node's disk, where it has one of its own.
    pub fn disk(&self, node: usize) -> Option<&Disk> {
        self.disks.get(node)
    }

    /// The network between the nodes, where they have one of their own.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }
}

fn device(node: usize) -> String {
    format!("d{node}")
}

fn device_folder(root: &Path, node: usize) -> PathBuf {
    root.join(format!("node{node}")).join("devices").join(device(node))
}

/// A loopback address that hardly any other test has.
pub fn random_loopback() -> Ipv4Addr {
    let [a, b, c, ..] = RandomState::new().build_hasher().finish().to_le_bytes();
    Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254))
}

/// An address on which nobody listens, with a port of the kernel's choice.
pub fn free_address(ip: Ipv4Addr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).expect("a loopback address");
    listener.local_addr().expect("its port")
}
