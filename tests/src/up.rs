//! The one-process cluster that a newcomer starts: `apus up`.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{Exit, Process};
use crate::swift::{Session, Swift, TESTER, TESTERS, User};
use crate::tools;

/// How to start `apus up`.
#[derive(Clone, Debug)]
pub struct UpBuilder {
    devices: usize,
    replicas: usize,
    users: Vec<User>,
    more: Vec<OsString>,
}

/// A running `apus up` with a folder of its own; both go away with it.
pub struct Apus {
    builder: UpBuilder,
    // Dropped in this order: who writes there, then the folder.
    process: Option<Process>,
    folder: TempDir,
    address: SocketAddr,
}

impl UpBuilder {
    /// How many devices.
    #[must_use]
    pub fn devices(mut self, devices: usize) -> Self {
        self.devices = devices;
        self
    }

    /// How many copies of everything.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }

    /// Who may log in; nobody named means that the first start makes an admin with a random key.
    #[must_use]
    pub fn users(mut self, users: &[User]) -> Self {
        self.users = users.to_vec();
        self
    }

    /// More of the command line.
    #[must_use]
    pub fn arguments(mut self, more: &[impl AsRef<OsStr>]) -> Self {
        self.more.extend(more.iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Starts it and waits until it serves.
    #[track_caller]
    pub fn start(self) -> Apus {
        self.start_armed(None)
    }

    /// As [`start`](Self::start), with a crash point armed.
    #[track_caller]
    pub fn start_armed(self, crash_at: Option<&str>) -> Apus {
        let folder = TempDir::new().expect("a temporary folder");
        let mut apus = Apus { builder: self, folder, process: None, address: ([127, 0, 0, 1], 0).into() };
        apus.start(crash_at);
        apus
    }

    fn command(&self, data: &Path, crash_at: Option<&str>) -> Command {
        let mut command = up(data);
        command.args(crash_at.iter().flat_map(|point| ["--crash-at", point]));
        command.args(["--devices", &self.devices.to_string(), "--replicas", &self.replicas.to_string()]);
        for user in &self.users {
            command.args(["--user", &format!("{}:{}:{}:{}", user.account, user.name, user.key, user.groups.join(","))]);
        }
        command.args(&self.more);
        command
    }
}

/// `apus up` on a data folder and a port of the kernel's choice.
pub fn up(data: &Path) -> Command {
    let mut command = Command::new(tools::binary());
    command.args(["up", "--listen", "127.0.0.1:0", "--data"]).arg(data);
    command
}

/// The address of a `ready http://HOST:PORT` line, or of one with `https`.
pub fn ready(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("ready http")?.trim_start_matches('s').strip_prefix("://")?.split(' ').next()?.parse().ok()
}

impl Apus {
    /// The defaults of `make up`, with the administrator of the account `test`.
    pub fn builder() -> UpBuilder {
        let users = TESTERS.iter().filter(|user| !user.groups.is_empty()).copied().collect();
        UpBuilder { devices: 4, replicas: 3, users, more: Vec::new() }
    }

    /// Starts it with the defaults.
    #[track_caller]
    pub fn up() -> Self {
        Self::builder().start()
    }

    /// Starts it again on the same data.
    #[track_caller]
    pub fn start(&mut self, crash_at: Option<&str>) {
        let command = self.builder.command(&self.data(), crash_at);
        let mut process = Process::start("apus up", command, &self.folder.path().join("apus.log"));
        self.address = process.wait_for("ready", ready);
        self.process = Some(process);
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of a device, numbered from 1.
    pub fn device(&self, number: usize) -> PathBuf {
        self.data().join(format!("d{number}"))
    }

    /// The running process.
    #[track_caller]
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("a running apus")
    }

    /// Where it answers.
    pub fn swift(&self) -> Swift {
        Swift { address: self.address }
    }

    /// The owner of `test`, logged in.
    #[track_caller]
    pub fn tester(&self) -> Session {
        self.swift().login(TESTER)
    }

    /// Stops it as an operator does.
    #[track_caller]
    pub fn stop(&mut self) -> Exit {
        self.process.take().expect("a running apus").terminate()
    }

    /// Stops it as a power cut does.
    #[track_caller]
    pub fn kill(&mut self) -> Exit {
        self.process.take().expect("a running apus").kill()
    }

    /// Waits for it to end by itself.
    #[track_caller]
    pub fn exited(&mut self) -> Exit {
        self.process.take().expect("a running apus").exited()
    }
}
