//! What the stories about the public API run against: a small cluster of processes with two policies, or, when
//! `APUS_TARGET=HOST:PORT` says so, any Swift that has the users of [`TESTERS`](crate::swift::TESTERS) and the
//! policies `gold` (the default) and `silver`. Run against the real Swift, it is the stories that are tested.

use crate::cluster::Cluster;
use crate::swift::{Session, Swift, TESTER};

/// Something that speaks Swift.
pub struct Target {
    swift: Swift,
    _cluster: Option<Cluster>,
}

impl Target {
    /// Starts a cluster, or takes the one named in the environment.
    #[track_caller]
    pub fn start() -> Self {
        if let Ok(address) = std::env::var("APUS_TARGET") {
            let address = address.parse().expect("APUS_TARGET is HOST:PORT");
            return Self { swift: Swift { address }, _cluster: None };
        }
        let cluster = Cluster::builder().policies(&["gold", "silver"]).start();
        Self { swift: cluster.swift(), _cluster: Some(cluster) }
    }

    /// Where it answers.
    pub fn swift(&self) -> Swift {
        self.swift
    }

    /// The owner of `test`, logged in, and an empty container of that name; in a Swift that lives on, stories before
    /// may have left things in it.
    #[track_caller]
    pub fn with_container(&self, name: &str) -> Session {
        let tester = self.swift.login(TESTER);
        tester.make(name);
        for object in tester.list(name) {
            tester.delete(&format!("{name}/{object}")).send();
        }
        tester.post(name).header("X-Remove-Container-Read", "x").header("X-Remove-Container-Write", "x").send();
        tester
    }
}
