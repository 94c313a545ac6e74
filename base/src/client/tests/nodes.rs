//! Stories of the order in which nodes are asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::fake::{Fake, patient};
use crate::client::nodes::{NearFirst, Node, NodeIter};
use crate::client::{Affinity, ClientConfig, RequestNodeCount, SortingMethod};

fn nodes(fake: &Fake) -> NodeIter {
    let inner = &fake.client.inner;
    NodeIter::new(inner, Arc::clone(&fake.client.rings().account), 0, &fake.target())
}

fn devices(nodes: impl Iterator<Item = Node>) -> Vec<String> {
    nodes.map(|node| node.device).collect()
}

#[tokio::test]
async fn primaries_by_affinity_then_handoffs() {
    let far = ClientConfig { read_affinity: "r1z2=1, r1z1=2".parse().unwrap(), ..patient() };
    let fake = Fake::with(vec![], far).await;
    let all: Vec<_> = nodes(&fake).collect();
    assert_eq!(devices(all[..3].iter().cloned()), ["d2", "d1", "d0"]);
    assert_eq!(devices(all.into_iter()).into_iter().collect::<BTreeSet<_>>().len(), 6);
}

#[tokio::test]
async fn writes_ask_near_devices_first() {
    let near = ClientConfig {
        write_affinity: "r1z2, r1z4".parse().unwrap(),
        write_affinity_node_count: RequestNodeCount::Nodes(3),
        ..patient()
    };
    let fake = Fake::with(vec![], near).await;
    let order = |write| devices(nodes(&fake).near_first(write));
    assert_eq!(order(NearFirst::Put)[..4], ["d2", "d4", "d0", "d1"]);
    assert_eq!(order(NearFirst::Delete)[..4], ["d2", "d0", "d1", "d4"]);
    for write in [NearFirst::Put, NearFirst::Delete] {
        assert_eq!(order(write).into_iter().collect::<BTreeSet<_>>().len(), 6);
    }
    // Without any there is no difference.
    let fake = Fake::with(vec![], patient()).await;
    assert_eq!(devices(nodes(&fake).near_first(NearFirst::Put))[..3], ["d0", "d1", "d2"]);
}

#[tokio::test]
async fn no_more_than_a_request_may_ask() {
    let two = ClientConfig { request_node_count: RequestNodeCount::Nodes(2), ..patient() };
    let fake = Fake::with(vec![], two).await;
    assert_eq!(devices(nodes(&fake)), ["d0", "d1"]);
}

#[tokio::test]
async fn a_limited_node_is_left_out_and_one_that_gets_limited_does_not_count() {
    let two = ClientConfig { request_node_count: RequestNodeCount::Nodes(2), ..patient() };
    let fake = Fake::with(vec![], two).await;
    let all: Vec<_> = nodes(&fake).collect();
    fake.client.inner.limiter.limit(&all[0].name);
    let mut rest = nodes(&fake);
    assert_eq!(rest.next().unwrap().device, "d1");
    // It turns out to be full only when it is asked.
    fake.client.inner.limiter.limit(&all[1].name);
    assert_eq!(rest.next().unwrap().device, "d2");
    let handoff = rest.next().unwrap();
    assert!(handoff.is_handoff);
    assert!(rest.next().is_none());
}

#[tokio::test]
async fn nodes_in_trouble_are_asked_when_too_few_others_are_left() {
    let fake = Fake::with(vec![], patient()).await;
    let all: Vec<_> = nodes(&fake).collect();
    // Two sound ones are a quorum of three.
    all[2..].iter().for_each(|node| fake.client.inner.limiter.limit(&node.name));
    assert_eq!(devices(nodes(&fake)), ["d0", "d1"]);
    fake.client.inner.limiter.limit(&all[0].name);
    assert_eq!(devices(nodes(&fake)), ["d1", "d0"]);
    fake.client.inner.limiter.limit(&all[1].name);
    assert_eq!(devices(nodes(&fake)), ["d0", "d1"]);
}

#[tokio::test]
async fn the_load_is_spread() {
    let shuffled =
        ClientConfig { sorting_method: SortingMethod::Shuffle, read_affinity: Affinity::default(), ..patient() };
    let fake = Fake::with(vec![], shuffled).await;
    let firsts: BTreeSet<_> = (0..200).map(|_| nodes(&fake).next().unwrap().device).collect();
    // That one of three is missing has a probability of 10^-35.
    assert_eq!(firsts.len(), 3);
}

#[tokio::test]
async fn whoever_was_fast_comes_before_whoever_was_slow() {
    let timed = ClientConfig { sorting_method: SortingMethod::Timing, ..patient() };
    let fake = Fake::with(vec![], timed).await;
    let ring = fake.client.rings().account.map_addresses(|device| (format!("10.0.0.{}", device.id), 6200));
    fake.client.inner.timings.set("10.0.0.0", Duration::from_millis(5));
    fake.client.inner.timings.set("10.0.0.1", Duration::from_millis(2));
    // Whoever was not measured comes first, to be measured.
    let nodes = NodeIter::new(&fake.client.inner, Arc::new(ring), 0, &fake.target());
    assert_eq!(devices(nodes.take(3)), ["d2", "d1", "d0"]);
}
