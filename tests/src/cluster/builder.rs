//! What a cluster looks like before it runs: its rings, its certificates and the configuration of each node.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use toml::{Table, Value};

use super::node::STORAGE;
use super::{Cluster, Node, SALT, device, device_folder};
use crate::mount::{Disk, Size};
use crate::net::Network;
use crate::rings::{self, Place};
use crate::swift::TESTERS;
use crate::tools;

/// What a cluster looks like.
#[derive(Clone, Debug)]
pub struct ClusterBuilder {
    nodes: usize,
    proxies: usize,
    replicas: usize,
    in_ring: usize,
    policies: Vec<String>,
    settings: Vec<(String, Table)>,
    environment: Vec<String>,
    backend_tls: bool,
    namespaces: bool,
    disks: Option<Size>,
}

impl Cluster {
    /// Three storage nodes with a copy of everything each, one proxy, one policy, Swift's test users.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder {
            nodes: 3,
            proxies: 1,
            replicas: 3,
            in_ring: usize::MAX,
            policies: vec!["gold".into()],
            settings: Vec::new(),
            environment: Vec::new(),
            backend_tls: false,
            namespaces: false,
            disks: None,
        }
    }
}

impl ClusterBuilder {
    /// How many storage nodes, of one device each.
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// How many proxies.
    #[must_use]
    pub fn proxies(mut self, proxies: usize) -> Self {
        self.proxies = proxies;
        self
    }

    /// How many copies of everything.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// How many of the storage nodes have their devices in the object rings from the beginning; without it, all.
    #[must_use]
    pub fn in_ring(mut self, nodes: usize) -> Self {
        self.in_ring = nodes;
        self
    }

    /// The names of the storage policies; the first is the default.
    #[must_use]
    pub fn policies(mut self, names: &[&str]) -> Self {
        self.policies = names.iter().map(|&n| n.to_owned()).collect();
        self
    }

    /// More settings of a role or a pass, as TOML.
    #[must_use]
    pub fn settings(mut self, role: &str, settings: &str) -> Self {
        self.settings.push((role.to_owned(), settings.parse().expect("TOML")));
        self
    }

    /// A variable of all processes' environment.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl AsRef<Path>) -> Self {
        self.environment.push(format!("{name}={}", value.as_ref().display()));
        self
    }

    /// With mutual TLS between all servers and proxies.
    #[must_use]
    pub fn backend_tls(mut self) -> Self {
        self.backend_tls = true;
        self
    }

    /// Puts each storage node in a network namespace of its own, so that links can be cut; needs root.
    #[must_use]
    pub fn in_namespaces(mut self) -> Self {
        self.namespaces = true;
        self
    }

    /// Makes each device a filesystem of its own; needs root.
    #[must_use]
    pub fn on_disks(mut self, size: Size) -> Self {
        self.disks = Some(size);
        self
    }

    /// Without passes in the background: a story runs them itself, with [`Node::pass`].
    #[must_use]
    pub fn without_passes(self) -> Self {
        ["updater", "expirer", "reaper", "auditor", "reconciler"]
            .iter()
            .fold(self, |builder, pass| builder.settings(pass, "interval = 0"))
            .settings("proxy", "lifecycle = { interval = 0 }")
    }

    /// Builds the rings, starts all processes and waits until they serve.
    #[track_caller]
    pub fn start(self) -> Cluster {
        let folder = TempDir::new().expect("a temporary folder");
        let network = self.namespaces.then(|| Network::new(self.nodes).expect("namespaces"));
        let (mut nodes, mut disks) = (Vec::new(), Vec::new());
        for i in 0..self.nodes {
            let (name, device) = (format!("node{i}"), device_folder(folder.path(), i));
            nodes.push(match &network {
                Some(network) => Node::new_in(network, i, folder.path(), &name),
                None => Node::new(folder.path(), &name, STORAGE),
            });
            fs::create_dir_all(&device).expect("a device's folder");
            disks.extend(self.disks.map(|size| Disk::new(&device, size).expect("a disk")));
        }
        let proxies: Vec<_> =
            (0..self.proxies).map(|i| Node::new(folder.path(), &format!("proxy{i}"), &["proxy"])).collect();
        self.build_rings(&folder.path().join("rings"), &nodes);
        ca(folder.path(), &["create"], &[]);
        for node in nodes.iter().chain(&proxies) {
            ca(folder.path(), &["issue"], &[&node.name]);
        }
        for node in nodes.iter().chain(&proxies) {
            fs::write(node.config(), self.config(folder.path(), node).to_string()).expect("a configuration");
        }
        let mut cluster = Cluster { folder, nodes, proxies, disks, network };
        for node in cluster.nodes.iter_mut().chain(&mut cluster.proxies) {
            node.prefix.extend(self.in_environment());
            node.spawn(None);
        }
        for node in cluster.nodes.iter_mut().chain(&mut cluster.proxies) {
            node.wait_until_ready();
        }
        cluster
    }

    /// What runs a command with the variables.
    fn in_environment(&self) -> Vec<String> {
        let env = Some("env".to_owned()).filter(|_| !self.environment.is_empty());
        env.into_iter().chain(self.environment.iter().cloned()).collect()
    }

    fn build_rings(&self, folder: &Path, nodes: &[Node]) {
        fs::create_dir_all(folder).expect("a folder for the rings");
        let places = |role: &str| -> Vec<Place> {
            let place = |(i, node): (usize, &Node)| Place { zone: i, address: node.address(role), device: device(i) };
            nodes.iter().enumerate().map(place).collect()
        };
        rings::build(folder, "account", self.replicas, &places("account"));
        rings::build(folder, "container", self.replicas, &places("container"));
        for index in 0..self.policies.len() {
            let name = if index == 0 { "object".to_owned() } else { format!("object-{index}") };
            let places = places("object").into_iter().take(self.in_ring).collect::<Vec<_>>();
            rings::build(folder, &name, self.replicas, &places);
        }
    }

    fn config(&self, root: &Path, node: &Node) -> Table {
        let mut config = Table::new();
        let mut cluster = table([("hash_path_suffix", SALT)]);
        cluster.insert("policies".into(), self.policies.iter().enumerate().map(policy).collect::<Vec<_>>().into());
        config.insert("cluster".into(), cluster.into());
        let devices = node.folder.join("devices").display().to_string();
        let rings = root.join("rings").display().to_string();
        config.insert("node".into(), table([("devices", &*devices), ("rings", &*rings)]).into());
        let mut listen = Table::new();
        for role in node.roles {
            listen.insert((*role).to_owned(), node.address(role).to_string().into());
            let mut settings = match *role {
                "proxy" => proxy_settings(),
                "object" => object_settings(),
                _ => Table::new(),
            };
            for (_, more) in self.settings.iter().filter(|(name, _)| name == role) {
                merge(&mut settings, more);
            }
            config.insert((*role).to_owned(), settings.into());
        }
        config.insert("listen".into(), listen.into());
        // A node without an object server has nothing to replicate.
        if node.roles.contains(&"object") {
            config.insert("replication".into(), self.replication(root, node).into());
        }
        if self.backend_tls {
            let mut tls = identity(root, node);
            tls.insert("crl".into(), root.join("ca/crl.pem").display().to_string().into());
            config.insert("backend_tls".into(), tls.into());
        }
        let known = ["proxy", "account", "container", "object", "replication"];
        for (section, more) in self.settings.iter().filter(|(name, _)| !known.contains(&&**name)) {
            let section = config.entry(section.clone()).or_insert_with(|| Table::new().into());
            section.as_table_mut().expect("a table").extend(more.clone());
        }
        config
    }

    /// Replication only when a story runs it.
    fn replication(&self, root: &Path, node: &Node) -> Table {
        let mut settings = identity(root, node);
        settings.insert("interval".into(), 0.into());
        for (_, more) in self.settings.iter().filter(|(name, _)| name == "replication") {
            settings.extend(more.clone());
        }
        settings
    }
}

/// Where a node's certificate is.
fn identity(root: &Path, node: &Node) -> Table {
    let file = |name: &str| root.join("ca").join(name).display().to_string();
    let (certificate, key) = (file(&format!("{}.pem", node.name)), file(&format!("{}.key", node.name)));
    table([("certificate", &*certificate), ("key", &*key), ("ca", &*file("ca.pem"))])
}

/// `apus ca VERB DIR ...`, as an operator would.
fn ca(root: &Path, verb: &[&str], names: &[&str]) {
    tools::run(Command::new(tools::binary()).arg("ca").args(verb).arg(root.join("ca")).args(names));
}

fn table<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Table {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
}

fn policy((index, name): (usize, &String)) -> Value {
    let mut policy = table([("name", &**name)]);
    policy.insert("index".into(), i64::try_from(index).expect("few policies").into());
    policy.insert("default".into(), (index == 0).into());
    policy.into()
}

/// Adds settings; those within a table are added to the table.
fn merge(settings: &mut Table, more: &Table) {
    for (name, value) in more {
        match (settings.get_mut(name), value) {
            (Some(Value::Table(there)), Value::Table(more)) => there.extend(more.clone()),
            _ => _ = settings.insert(name.clone(), value.clone()),
        }
    }
}

/// Rows are waited for also where a disk is slow, so that a story finds what it stored in the listing.
fn object_settings() -> Table {
    ["container_update_timeout", "node_timeout"].map(|name| (name.to_owned(), 8.into())).into_iter().collect()
}

fn proxy_settings() -> Table {
    let user = |user: &crate::swift::User| -> Value {
        let mut settings = table([("account", user.account), ("user", user.name), ("key", user.key)]);
        settings.insert("groups".into(), user.groups.to_vec().into());
        settings.into()
    };
    let mut settings = table([("token_secret", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")]);
    settings.insert("users".into(), TESTERS.iter().map(user).collect::<Vec<_>>().into());
    settings.insert("allow_account_management".into(), true.into());
    // A replica that is slow on a busy machine is waited for, so that a story finds what it counts.
    let client = Table::from_iter([("post_quorum_timeout".to_owned(), 10.into())]);
    settings.insert("client".into(), client.into());
    settings
}
