//! A system that is measured, and the first of them: Apus.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use apus_tests::load::{self, Ask, Body, Objects};
use apus_tests::swift::TESTER;
use apus_tests::{Apus, Process, Session, wait_until};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::rows::Rows;

/// A cluster of three devices and three replicas, with a client that is logged in. Dropping it ends and removes it.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;

    /// What has been flushed when a write is answered.
    fn durability(&self) -> &'static str;

    /// How it was set up.
    fn setup(&self) -> &'static str;

    fn session(&self) -> &Session;

    /// Its processes; their children count with them.
    fn roots(&self) -> Vec<u32>;

    /// Where its devices are.
    fn data(&self) -> PathBuf;

    /// Makes the container that is listed, and says how: by PUT of empty objects, unless there is a quicker way.
    fn fill(&self, rows: &Rows) -> &'static str {
        self.session().make(rows.container());
        for folder in rows.folders() {
            let objects = Objects::new(self.session(), &format!("{}/{folder}", rows.container()), Body::new(0));
            let mut numbers = 0..rows.in_each();
            load::run(&objects, 32, |_| numbers.next().map(Ask::Put)).expect_clean("rows");
        }
        let head = || self.session().head(rows.container()).send();
        let all = rows.count().to_string();
        wait_until("all rows are listed", || head().header("X-Container-Object-Count") == Some(&all));
        "by PUT of empty objects"
    }
}

/// `apus up`.
pub(crate) struct ApusPeer {
    session: Session,
    id: u32,
    apus: Apus,
}

impl ApusPeer {
    pub(crate) fn start() -> Self {
        let mut apus = Apus::builder().devices(3).replicas(3).users(&[TESTER]).start();
        Self { session: apus.tester(), id: apus.process().id(), apus }
    }
}

impl Peer for ApusPeer {
    fn name(&self) -> &'static str {
        "Apus"
    }

    fn durability(&self) -> &'static str {
        "data, metadata and folder of an object (up to 64 KiB: its record in the device's journal) are flushed, and the row in the journal of the listings, \
         each on two of three replicas at least, before the answer"
    }

    fn setup(&self) -> &'static str {
        "`apus up`: one process with all roles and its passes at their default intervals; only warnings are logged"
    }

    fn session(&self) -> &Session {
        &self.session
    }

    fn roots(&self) -> Vec<u32> {
        vec![self.id]
    }

    fn data(&self) -> PathBuf {
        self.apus.data()
    }
}

/// A server of another system, in a process group of its own, which ends with it.
pub(crate) struct Daemon {
    process: Process,
}

impl Daemon {
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Self {
        command.process_group(0);
        Self { process: Process::start(name, command, log) }
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its leader has not been waited for, so that the group's id is still its own.
        let group = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
}
