//! The situations of Swift's own probe tests (`test/probe` in its sources), each on separate processes, broken on purpose, and
//! healed by passes that are run once. Which story covers which of them:
//!
//! | Swift's probe | here |
//! |---|---|
//! | `test_object_handoff` `test_main` | [`handoff`]; `replication`: a node that was down gets all it missed |
//! | `test_stale_reads`, `test_missing_primaries` | [`handoff`] |
//! | `test_mixed_primaries_with_old_datafile` | [`handoff`]: a deletion that one primary missed |
//! | `test_object_failures` | [`failures`] |
//! | `test_object_metadata_replication` | [`metadata`], a story for each |
//! | `test_object_conditional_requests` | [`conditional`], with all four bodies |
//! | `test_object_async_update` | [`updates`]; `passes::update`; overrides of rows: `object/src/server/tests` |
//! | `test_object_expirer` | [`expirer`]; `passes::expire`: shares, no pending updates, changed expiry, segments of large objects; `api::expiry`: open expired |
//! | `test_empty_device_handoff` | [`handoff`]; `replication`: an emptied device is filled again |
//! | `test_object_versioning`, `test_mpu` | [`versioning`]; multipart uploads belong to S3 |
//! | `test_reserved_name` | [`names`] |
//! | `test_signals` | [`signals`]; `faults`: requests in flight end before the process does |
//! | `test_account_reaper` | `passes::reap` |
//! | `test_replication_servers_working` | `replication`, whose port is its own and speaks QUIC only |
//! | `test_object_partpower_increase`, `test_reconstructor_*`, `test_sharder`, `test_container_sync`, the EC halves of others | not built yet |
//! | `test_account_failures`, `test_container_failures`, `test_db_replicator`, `test_orphan_container`, `test_account_get_fake_responses_match` | the stories of listings |
//! | `test_container_merge_policy_index` | the stories of the reconciler |
//! | `test_dark_data` | the stories of the auditor |

mod conditional;
mod expirer;
mod failures;
mod handoff;
mod metadata;
mod names;
mod signals;
mod updates;
mod versioning;

use apus_base::hash_path::HashPath;
use apus_tests::copies::{self, assert_in_place};
use apus_tests::{Cluster, ClusterBuilder, Request, Response, Session};

/// Four nodes, of which three should have an object: two of these, and the third with the one that is a handoff. As in Swift's
/// probes, each half can be without its object servers for a while.
struct Halves {
    cluster: Cluster,
    tester: Session,
    /// Two primaries.
    first: [usize; 2],
    /// The third, and the handoff.
    second: [usize; 2],
    partition: u32,
}

impl Halves {
    /// A cluster with the container `c`, and the halves of `c/o`.
    fn start() -> Self {
        Self::build(Cluster::builder())
    }

    fn build(builder: ClusterBuilder) -> Self {
        // Servers that were down for one step are wanted at the next.
        let forgiving = "client = { error_suppression_limit = 1000 }";
        let cluster = builder.nodes(4).without_passes().settings("proxy", forgiving).start();
        let ring = copies::ring(&cluster);
        let partition = ring.partition(&HashPath::new("", copies::HASH_SUFFIX).object("AUTH_test", "c", "o").0);
        let primaries: Vec<usize> = ring.primaries(partition).map(|d| d.device[1..].parse().expect("dN")).collect();
        let handoff = (0..4).find(|node| !primaries.contains(node)).expect("a fourth node");
        let tester = cluster.tester();
        tester.make("c");
        Self { cluster, tester, first: [primaries[0], primaries[1]], second: [primaries[2], handoff], partition }
    }

    /// Does something while the two primaries of the first half have no object servers.
    fn without_first<T>(&mut self, act: impl FnOnce(&Session) -> T) -> T {
        self.without(self.first, act)
    }

    /// Does something while the other half has none.
    fn without_second<T>(&mut self, act: impl FnOnce(&Session) -> T) -> T {
        self.without(self.second, act)
    }

    fn without<T>(&mut self, nodes: [usize; 2], act: impl FnOnce(&Session) -> T) -> T {
        for node in nodes {
            self.cluster.node(node).kill();
            self.cluster.node(node).start_only(&["account", "container"], None);
        }
        let done = act(&self.tester);
        for node in nodes {
            self.cluster.node(node).kill();
            self.cluster.node(node).start(None);
        }
        done
    }

    /// What a node's own object server has of `c/o`.
    fn direct(&mut self, node: usize) -> Response {
        let target = format!("/d{node}/{}/AUTH_test/c/o", self.partition);
        Request::new(self.cluster.node(node).address("object"), "GET", target).send()
    }

    /// Everything comes to where it belongs, and no update waits.
    #[track_caller]
    fn heal(&mut self) {
        self.cluster.pass("replicate");
        self.cluster.pass("update");
        self.cluster.pass("replicate-listings");
        assert_in_place(&self.cluster, 4);
        assert!(self.cluster.pending_updates().is_empty());
    }

    /// How many replicas of the container list `c/o`.
    fn listing(&self) -> usize {
        let lists = |rows: &serde_json::Value| rows.as_array().is_some_and(|rows| !rows.is_empty());
        self.cluster.rows("AUTH_test", "c").iter().filter(|rows| lists(rows)).count()
    }

    /// What the container lists of `c/o`.
    #[track_caller]
    fn row(&self) -> serde_json::Value {
        let rows = self.tester.get("c").query("format=json").send().expect(200).json();
        rows.as_array().expect("rows").iter().find(|row| row["name"] == "o").cloned().unwrap_or_default()
    }
}
