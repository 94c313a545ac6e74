//! Accounts and containers become the same on all of their primaries, and are nowhere else: what a node missed, what a
//! handoff holds, what a lost disk held, and nothing that was deleted. Each story breaks something, runs passes once, and
//! looks at every node's own copy.

mod catching_up;
mod deletion;
mod failures;
mod passes;

use std::fs;
use std::time::Instant;

use apus_base::clock;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate, UpdateBatch};
use apus_tests::{Cluster, ClusterBuilder, PATIENCE};

const PASS: &str = "replicate-listings";
/// The container of most stories.
const C: &str = "AUTH_test/c";

/// A cluster in which only the stories run passes.
fn quiet() -> ClusterBuilder {
    Cluster::builder().without_passes()
}

/// Runs a whole pass on a node that finds all peers, and returns what it said.
#[track_caller]
fn pass(cluster: &mut Cluster, node: usize) -> String {
    let output = cluster.node(node).pass(PASS, &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[track_caller]
fn pass_everywhere(cluster: &mut Cluster) {
    for node in 0..cluster.nodes().len() {
        pass(cluster, node);
    }
}

/// The same until the reporters have told accounts everything and all copies are the same.
#[track_caller]
fn pass_until(cluster: &mut Cluster, wish: &str, mut holds: impl FnMut(&mut Cluster) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds(cluster) {
        let said: Vec<_> = (0..cluster.nodes().len()).map(|node| pass(cluster, node)).collect();
        assert!(Instant::now() < deadline, "{wish} never came to be: {}", said.concat());
    }
}

/// Rows told to one node's container server alone, so many seconds after midnight; a size of 0 deletes.
#[track_caller]
fn tell(cluster: &mut Cluster, node: usize, names: impl IntoIterator<Item = String>, later: u64, size: u64) {
    let at = Timestamp::from_secs(clock::now().secs() / 86_400 * 86_400 + later);
    let row = |name: String| ObjectRow {
        name,
        timestamps: RowTimestamps::same(at),
        size,
        content_type: if size > 0 { "text/plain".into() } else { String::new() },
        etag: if size > 0 { format!("etag{size}") } else { String::new() },
        deleted: size == 0,
        policy: PolicyIndex(0),
    };
    let (account, container) = C.split_once('/').expect("a container");
    let (account, container) = (account.to_owned(), container.to_owned());
    let update =
        |name| RowUpdate { partition: 0, account: account.clone(), container: container.clone(), row: row(name) };
    let batch = UpdateBatch { rows: names.into_iter().map(update).collect() };
    let address = cluster.node(node).address("container");
    let request = apus_tests::Request::new(address, "UPDATE", format!("/d{node}"));
    request.body(serde_json::to_vec(&batch).expect("JSON")).send().expect(200);
}

fn names(prefix: &str, many: usize) -> impl Iterator<Item = String> {
    let prefix = prefix.to_owned();
    (0..many).map(move |i| format!("{prefix}{i:05}"))
}

/// Empties the listings of a node's device while the node is down.
fn empty(cluster: &mut Cluster, node: usize) {
    cluster.node(node).kill();
    fs::remove_dir_all(cluster.device(node).join("listings")).expect("listings");
    cluster.node(node).start(None);
}
