//! Stories of writes without a body.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::sync::Notify;

use super::fake::{Fake, Verb, patient};
use crate::client::{ClientConfig, Target};
use crate::policy::PolicyIndex;
use crate::timestamp::{RowTimestamps, Timestamp};
use crate::wire::{ObjectRow, UpdateBatch};

const CONTAINER: Target<'static> = Target::Container { account: "a", container: "c" };

async fn write(fake: &Fake, method: Method, target: &Target<'_>) -> Result<u16, Vec<u16>> {
    let outcome = fake.client.write(method, target, &HeaderMap::new()).await;
    outcome.map(|outcome| outcome.best.status.as_u16()).map_err(|none| none.statuses)
}

fn sorted(mut nodes: Vec<usize>) -> Vec<usize> {
    nodes.sort_unstable();
    nodes
}

#[tokio::test]
async fn every_replica_gets_it_and_knows_whom_to_tell() {
    let fake = Fake::start(vec![Verb::Says(201, vec![]); 3]).await;
    assert_eq!(write(&fake, Method::PUT, &CONTAINER).await, Ok(201));
    let seen = fake.wait_seen(3).await;
    assert_eq!(sorted(fake.asked()), [0, 1, 2]);
    // Between them they tell all three account servers.
    let told: Vec<_> = seen.iter().map(|seen| seen.headers["x-account-device"].to_str().unwrap()).collect();
    let mut told: Vec<_> = told.iter().flat_map(|devices| devices.split(',')).collect();
    told.sort_unstable();
    assert_eq!(told, ["d0", "d1", "d2"]);
    assert!(seen.iter().all(|seen| seen.headers["x-account-partition"] == "0"));
}

#[tokio::test]
async fn objects_tell_containers_and_a_container_post_tells_nobody() {
    let fake = Fake::start(vec![Verb::Says(202, vec![]); 3]).await;
    assert_eq!(write(&fake, Method::POST, &fake.target()).await, Ok(202));
    for seen in fake.wait_seen(3).await {
        assert!(seen.headers["x-container-host"].to_str().unwrap().starts_with("127.0.0.1:"));
        assert!(seen.headers.contains_key("x-backend-clean-expiring-object-queue"));
    }
    assert_eq!(write(&fake, Method::POST, &CONTAINER).await, Ok(202));
    for seen in &fake.wait_seen(6).await[3..] {
        assert!(!seen.headers.contains_key("x-account-host"));
    }
}

#[tokio::test]
async fn a_handoff_stands_in_for_a_full_disk() {
    let mut verbs = vec![Verb::Says(201, vec![]); 6];
    verbs[1] = Verb::Says(507, vec![]);
    let fake = Fake::start(verbs).await;
    assert_eq!(write(&fake, Method::PUT, &CONTAINER).await, Ok(201));
    let seen = fake.wait_seen(4).await;
    assert_eq!(seen.iter().filter(|seen| seen.node >= 3).count(), 1);
    // The headers of the replica that failed went along.
    let told: std::collections::BTreeSet<_> = seen
        .iter()
        .map(|seen| seen.headers["x-account-device"].clone())
        .map(|v| v.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(told.len(), 3);
}

#[tokio::test]
async fn no_quorum() {
    let fake = Fake::start(vec![Verb::Says(201, vec![]), Verb::Says(404, vec![]), Verb::Says(503, vec![])]).await;
    // The handoffs that are asked in place of the third know nothing.
    assert_eq!(write(&fake, Method::PUT, &CONTAINER).await.map_err(sorted_statuses), Err(vec![201, 404, 503]));
}

fn sorted_statuses(mut statuses: Vec<u16>) -> Vec<u16> {
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn deleting_what_one_replica_lacks_is_deleting() {
    let fake = Fake::start(vec![Verb::Says(204, vec![]), Verb::Says(404, vec![]), Verb::Says(503, vec![])]).await;
    assert_eq!(write(&fake, Method::DELETE, &fake.target()).await, Ok(204));
    let fake = Fake::start(vec![Verb::Says(404, vec![]); 3]).await;
    assert_eq!(write(&fake, Method::DELETE, &fake.target()).await, Ok(404));
}

#[tokio::test]
async fn a_slow_replica_gets_the_write_after_the_answer() {
    let gate = Arc::new(Notify::new());
    let quick = ClientConfig { post_quorum_timeout: Duration::from_millis(1), ..patient() };
    let verbs = vec![Verb::Says(204, vec![]), Verb::Says(204, vec![]), Verb::Waits(Arc::clone(&gate), 204)];
    let fake = Fake::with(verbs, quick).await;
    assert_eq!(write(&fake, Method::DELETE, &fake.target()).await, Ok(204));
    assert_eq!(sorted(fake.asked()), [0, 1]);
    gate.notify_one();
    assert_eq!(fake.wait_seen(3).await.len(), 3);
}

#[tokio::test]
async fn a_post_looks_for_the_object_on_handoffs() {
    let mut verbs = vec![Verb::Says(202, vec![]); 6];
    verbs[1] = Verb::Says(404, vec![]);
    verbs[2] = Verb::Says(404, vec![]);
    let fake = Fake::start(verbs.clone()).await;
    assert_eq!(write(&fake, Method::POST, &fake.target()).await, Ok(202));
    // If they do not have it, it is still not missing: one replica has it.
    verbs.truncate(3);
    let fake = Fake::start(verbs).await;
    assert!(write(&fake, Method::POST, &fake.target()).await.is_err());
    let fake = Fake::start(vec![]).await;
    assert_eq!(write(&fake, Method::POST, &fake.target()).await, Ok(404));
}

fn row(number: usize) -> ObjectRow {
    ObjectRow {
        name: format!("o{number}"),
        timestamps: RowTimestamps::same(Timestamp::from_secs(1)),
        size: 0,
        content_type: "a/b".into(),
        etag: "e".into(),
        deleted: false,
        policy: PolicyIndex(0),
    }
}

#[tokio::test]
async fn rows_go_to_a_quorum_of_a_containers_devices() {
    // One of the three is full; a handoff takes its share.
    let mut verbs = vec![Verb::TakesRows(201); 6];
    verbs[1] = Verb::Says(507, vec![]);
    let fake = Fake::start(verbs).await;
    fake.client.add_rows(".own", "c", vec![row(1), row(2)]).await.unwrap();
    let seen = fake.wait_seen(4).await;
    let taken = seen.iter().filter(|seen| seen.node != 1);
    for seen in taken.clone() {
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("UPDATE", format!("/d{}", seen.node).as_str()));
        let batch: UpdateBatch = serde_json::from_slice(seen.body.as_ref().unwrap()).unwrap();
        assert_eq!(batch.rows.iter().map(|row| row.row.name.as_str()).collect::<Vec<_>>(), ["o1", "o2"]);
        assert!(batch.rows.iter().all(|row| row.account == ".own" && row.container == "c"));
    }
    assert_eq!(taken.count(), 3);
    // Many rows go in several batches.
    fake.client.add_rows(".own", "c", (0..600).map(row).collect()).await.unwrap();
    // A device that takes a batch but none of its rows has taken nothing.
    let fake = Fake::start(vec![Verb::TakesRows(404); 6]).await;
    assert!(fake.client.add_rows(".own", "c", vec![row(1)]).await.is_err());
}
