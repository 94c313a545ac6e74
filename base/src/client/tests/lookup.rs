//! Stories of account and container info.

use super::fake::{Fake, Verb, patient};
use crate::client::memcached::tests::RealServer;
use crate::client::{ClientConfig, Info};

const THREE: [(&str, &str); 2] = [("x-container-object-count", "3"), ("x-backend-storage-policy-index", "0")];

fn three() -> Vec<Verb> {
    vec![Verb::Says(204, THREE.to_vec()); 6]
}

fn objects(info: &Info<crate::client::ContainerInfo>) -> u64 {
    info.found().unwrap().object_count
}

#[tokio::test]
async fn info_is_asked_for_once_until_it_is_forgotten() {
    let fake = Fake::start(three()).await;
    for _ in 0..3 {
        assert_eq!(objects(&fake.client.container_info("a", "c").await.unwrap()), 3);
    }
    // The account and the container.
    assert_eq!(fake.seen().iter().map(|seen| seen.method.as_str()).collect::<Vec<_>>(), ["HEAD", "HEAD"]);
    assert!(
        fake.counts("apus_test_info_cache_total{info=\"container\",result=\"hit\"} 2"),
        "{}",
        fake.metrics.render()
    );

    // After a write it is asked for again.
    fake.set(0, Verb::Says(204, vec![("x-container-object-count", "4")]));
    fake.client.forget_container("a", "c").await;
    assert_eq!(objects(&fake.client.container_info("a", "c").await.unwrap()), 4);
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn what_is_missing_is_remembered_too() {
    let fake = Fake::start(vec![]).await;
    for _ in 0..2 {
        assert_eq!(fake.client.account_info("a").await, Ok(Info::Missing));
    }
    assert_eq!(fake.seen().len(), 6);
}

#[tokio::test]
async fn the_containers_of_a_deleted_account_are_missing() {
    let deleted = vec![("x-account-status", "Deleted"), ("x-backend-timestamp", "0000000001.00000")];
    let fake = Fake::start(vec![Verb::Says(404, deleted); 6]).await;
    assert_eq!(fake.client.account_info("a").await, Ok(Info::Deleted));
    fake.set(0, Verb::Says(204, THREE.to_vec()));
    assert_eq!(fake.client.container_info("a", "c").await, Ok(Info::Missing));
}

#[tokio::test]
async fn nobody_answers() {
    let fake = Fake::start(vec![Verb::Says(503, vec![]); 6]).await;
    fake.client.container_info("a", "c").await.unwrap_err();
}

#[tokio::test]
async fn two_clients_share_memcached() {
    let server = RealServer::start().await;
    let shared = ClientConfig { memcache_servers: vec![server.address.clone()], ..patient() };
    let fake = Fake::with(three(), shared).await;
    let other = fake.another_client();

    // What one has found out the other knows.
    assert_eq!(objects(&fake.client.container_info("a", "c").await.unwrap()), 3);
    assert_eq!(objects(&other.container_info("a", "c").await.unwrap()), 3);
    assert_eq!(fake.seen().len(), 2);

    // What one forgets the other has forgotten.
    fake.set(0, Verb::Says(204, vec![("x-container-object-count", "4")]));
    other.forget_container("a", "c").await;
    assert_eq!(objects(&fake.client.container_info("a", "c").await.unwrap()), 4);

    // Without memcached everything goes on, uncached.
    server.stop().await;
    fake.set(0, Verb::Says(204, vec![("x-container-object-count", "5")]));
    assert_eq!(objects(&fake.client.container_info("a", "c").await.unwrap()), 5);
}
