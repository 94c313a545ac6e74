//! One process of a cluster: how it is started, ended and asked to run a pass.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::random_loopback;
use crate::net::Network;
use crate::process::{Exit, Process};
use crate::tools;
use crate::up::ready;

/// The roles of a storage node.
pub(super) const STORAGE: &[&str] = &["account", "container", "object"];

/// One process of a cluster, and what is needed to start it again.
pub struct Node {
    pub(super) name: String,
    pub(super) roles: &'static [&'static str],
    addresses: Vec<SocketAddr>,
    pub(super) folder: PathBuf,
    /// What its commands begin with.
    pub(super) prefix: Vec<String>,
    process: Option<Process>,
}

impl Node {
    pub(super) fn new(root: &Path, name: &str, roles: &'static [&'static str]) -> Self {
        let folder = root.join(name);
        fs::create_dir_all(folder.join("devices")).expect("a node's folder");
        let ip = random_loopback();
        // All are held until all are known, or the kernel might give the same port twice.
        let held: Vec<_> = roles.iter().map(|_| TcpListener::bind((ip, 0)).expect("a loopback address")).collect();
        let addresses = held.iter().map(|listener| listener.local_addr().expect("its port")).collect();
        Self { name: name.to_owned(), roles, addresses, folder, prefix: Vec::new(), process: None }
    }

    /// A storage node in a namespace of its own, where no port is taken.
    pub(super) fn new_in(network: &Network, number: usize, root: &Path, name: &str) -> Self {
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

    pub(super) fn spawn(&mut self, crash_at: Option<&str>) {
        self.spawn_roles(self.roles, crash_at);
    }

    fn spawn_roles(&mut self, roles: &[&str], crash_at: Option<&str>) {
        let mut command = self.command();
        command.arg("serve").args(roles).arg("--config").arg(self.config());
        command.args(crash_at.iter().flat_map(|point| ["--crash-at", point]));
        self.process = Some(Process::start(&self.name, command, &self.folder.join("log")));
    }

    pub(super) fn wait_until_ready(&mut self) {
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
