use super::*;
use crate::Config;
use apus_base::body::{empty, read_to_end};
use apus_base::client::{ClusterClient, Rings};
use apus_base::cluster::{Cluster, ClusterConfig};
use apus_base::metrics::Metrics;
use apus_base::ring::{Device, IdWidth, Ring, Table};
use http::StatusCode;
use std::sync::Arc;

/// A proxy of a cluster whose only node is never asked.
fn proxy() -> Proxy {
    let device = Device {
        id: 0,
        region: 1,
        zone: 1,
        ip: "127.0.0.1".into(),
        port: 1,
        replication_ip: "127.0.0.1".into(),
        replication_port: 1,
        device: "d1".into(),
        weight: 1.0,
        meta: String::new(),
    };
    let table = Table::new(1, IdWidth::TwoBytes, [0, 0].into_iter()).unwrap();
    let ring = Arc::new(Ring::new(vec![Some(device)], table).unwrap());
    let rings = Rings { account: Arc::clone(&ring), container: ring, objects: Default::default() };
    let cluster = ClusterConfig { hash_path_suffix: "salt".into(), ..ClusterConfig::default() };
    let cluster = Arc::new(Cluster::try_from(cluster).unwrap());
    let config = Config { token_secret: crate::auth::user::Secret("0123456789abcdef".into()), ..Config::default() };
    let client = ClusterClient::new(config.client.clone(), cluster, rings, &Metrics::new("proxy"));
    Proxy::new(config, client, Arc::default()).unwrap()
}

/// A step with a mistake in it.
fn panicking<'a>(_proxy: &'a Proxy, _request: Request<Body>, _next: Next<'a>) -> Answer<'a> {
    Box::pin(async { panic!("a mistake of ours") })
}

#[tokio::test]
async fn a_panic_becomes_an_answer() {
    let proxy = proxy();
    let mut request = Request::new(empty());
    request.extensions_mut().insert(Context {
        trans_id: "tx1".into(),
        peer: ([127, 0, 0, 1], 1).into(),
        identity: None,
        grant: None,
    });
    let next = Next { proxy: &proxy, rest: &[catch_errors::step, panicking] };
    let response = next.run(request).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        (&response.headers()["x-trans-id"], &response.headers()["x-openstack-request-id"]),
        (&"tx1".parse().unwrap(), &"tx1".parse().unwrap())
    );
    assert_eq!(read_to_end(response.into_body(), 100).await.unwrap(), "An error occurred");
}
