//! A cluster of separate processes: storage nodes, each `apus serve account container object`, and proxies.
//!
//! Every node has a loopback address of its own, drawn at random, and ports that the kernel picked on it, so that
//! clusters of tests that run at once never meet.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use toml::{Table, Value};

use crate::http::{Request, Response};
use crate::mount::Disk;
use crate::net::Network;
use crate::process::{Exit, Process};
use crate::rings::{self, Place};
use crate::swift::{Session, Swift, TESTER, TESTERS};
use crate::tools;
use crate::up::ready;

/// The roles of a storage node.
const STORAGE: &[&str] = &["account", "container", "object"];

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
    disk_bytes: Option<u64>,
}

/// Running nodes and proxies in a temporary folder.
pub struct Cluster {
    // Dropped in this order: who uses the disks, the disks, and last the folder that they are mounted in.
    nodes: Vec<Node>,
    proxies: Vec<Node>,
    disks: Vec<Disk>,
    network: Option<Network>,
    folder: TempDir,
}

/// One process of a cluster, and what is needed to start it again.
pub struct Node {
    name: String,
    roles: &'static [&'static str],
    addresses: Vec<SocketAddr>,
    folder: PathBuf,
    /// What its commands begin with.
    prefix: Vec<String>,
    process: Option<Process>,
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

    /// Makes each device a filesystem of that many bytes; needs root.
    #[must_use]
    pub fn on_disks(mut self, bytes: u64) -> Self {
        self.disk_bytes = Some(bytes);
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
            disks.extend(self.disk_bytes.map(|bytes| Disk::new(&device, bytes).expect("a disk")));
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
        let mut cluster = table([("hash_path_suffix", "changeme")]);
        cluster.insert("policies".into(), self.policies.iter().enumerate().map(policy).collect::<Vec<_>>().into());
        config.insert("cluster".into(), cluster.into());
        let devices = node.folder.join("devices").display().to_string();
        let rings = root.join("rings").display().to_string();
        config.insert("node".into(), table([("devices", &*devices), ("rings", &*rings)]).into());
        let mut listen = Table::new();
        for role in node.roles {
            listen.insert((*role).to_owned(), node.address(role).to_string().into());
            let mut settings = if *role == "proxy" { proxy_settings() } else { Table::new() };
            for (_, more) in self.settings.iter().filter(|(name, _)| name == role) {
                settings.extend(more.clone());
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

fn proxy_settings() -> Table {
    let user = |user: &crate::swift::User| -> Value {
        let mut settings = table([("account", user.account), ("user", user.name), ("key", user.key)]);
        settings.insert("groups".into(), user.groups.to_vec().into());
        settings.into()
    };
    let mut settings = table([("token_secret", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")]);
    settings.insert("users".into(), TESTERS.iter().map(user).collect::<Vec<_>>().into());
    settings.insert("allow_account_management".into(), true.into());
    settings
}

fn device(node: usize) -> String {
    format!("d{node}")
}

fn device_folder(root: &Path, node: usize) -> PathBuf {
    root.join(format!("node{node}")).join("devices").join(device(node))
}

impl Node {
    fn new(root: &Path, name: &str, roles: &'static [&'static str]) -> Self {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("devices")).expect("a node's folder");
        let ip = random_loopback();
        // All are held until all are known, or the kernel might give the same port twice.
        let held: Vec<_> = roles.iter().map(|_| TcpListener::bind((ip, 0)).expect("a loopback address")).collect();
        let addresses = held.iter().map(|listener| listener.local_addr().expect("its port")).collect();
        Self { name: name.to_owned(), roles, addresses, folder, prefix: Vec::new(), process: None }
    }

    /// A storage node in a namespace of its own, where no port is taken.
    fn new_in(network: &Network, number: usize, root: &Path, name: &str) -> Self {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("devices")).expect("a node's folder");
        let addresses = (6200..).zip(STORAGE).map(|(port, _)| (network.of(number), port).into()).collect();
        let prefix = network.prefix(number);
        Self { name: name.to_owned(), roles: STORAGE, addresses, folder, prefix, process: None }
    }

    /// Our binary, where this node is.
    fn command(&self) -> Command {
        let Some((first, rest)) = self.prefix.split_first() else { return Command::new(tools::binary()) };
        let mut command = Command::new(first);
        command.args(rest).arg(tools::binary());
        command
    }

    /// Where a role of this node listens.
    #[track_caller]
    pub fn address(&self, role: &str) -> SocketAddr {
        let place = self.roles.iter().position(|r| *r == role);
        self.addresses[place.unwrap_or_else(|| panic!("{} is no {role} server", self.name))]
    }

    /// The folder that holds its device's folder.
    pub fn devices(&self) -> PathBuf {
        self.folder.join("devices")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("apus.toml")
    }

    /// Its name: `node0`, `proxy1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it was started and not ended since.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// The running process.
    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    /// Starts it, with a crash point armed or none, and waits until it serves.
    #[track_caller]
    pub fn start(&mut self, crash_at: Option<&str>) {
        self.spawn(crash_at);
        self.wait_until_ready();
    }

    /// Starts only some of its roles: the machine whose other servers are down.
    #[track_caller]
    pub fn start_only(&mut self, roles: &[&str], crash_at: Option<&str>) {
        self.spawn_roles(roles, crash_at);
        for _ in roles {
            self.process().wait_for("ready", ready);
        }
    }

    /// Runs a pass of this node once, beside its servers; returns what it said, whether or not it did all of its work.
    #[track_caller]
    pub fn pass(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(["pass", name, "--once", "--config"]).arg(self.config()).args(arguments);
        command.output().unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"))
    }

    /// The same with a crash point armed; says whether the pass came there and died.
    pub fn pass_until(&self, name: &str, crash_at: &str) -> bool {
        use std::os::unix::process::ExitStatusExt as _;
        self.pass(name, &["--crash-at", crash_at]).status.signal().is_some()
    }

    fn spawn(&mut self, crash_at: Option<&str>) {
        self.spawn_roles(self.roles, crash_at);
    }

    fn spawn_roles(&mut self, roles: &[&str], crash_at: Option<&str>) {
        let mut command = self.command();
        command.arg("serve").args(roles).arg("--config").arg(self.config());
        command.args(crash_at.iter().flat_map(|point| ["--crash-at", point]));
        self.process = Some(Process::start(&self.name, command, &self.folder.join("log")));
    }

    fn wait_until_ready(&mut self) {
        for _ in self.roles {
            self.process().wait_for("ready", ready);
        }
    }

    /// Ends it as a power cut does.
    #[track_caller]
    pub fn kill(&mut self) -> Exit {
        self.process.take().expect("a running node").kill()
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub fn stop(&mut self) -> Exit {
        self.process.take().expect("a running node").terminate()
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn exited(&mut self) -> Exit {
        self.process.take().expect("a running node").exited()
    }
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
            disk_bytes: None,
        }
    }

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

    /// A node's disk, where it has one of its own.
    pub fn disk(&self, node: usize) -> Option<&Disk> {
        self.disks.get(node)
    }

    /// The network between the nodes, where they have one of their own.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }
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
