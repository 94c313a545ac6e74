//! The policy of a container, as a majority of its replicas has it.

use apus_base::client::{ClusterClient, Target};
use apus_base::policy::{Claim, PolicyIndex};
use apus_base::quorum::quorum_size;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// The policy whose objects a container lists; `None` while too few replicas answer, or none of them has ever had it.
///
/// All of them are asked, since they may still differ: what wins is decided as the replicas themselves will when they meet.
pub(super) async fn policy(client: &ClusterClient, account: &str, container: &str) -> Option<PolicyIndex> {
    let target = Target::Container { account, container };
    let replicas = client.replica_count(&target);
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static(header::ALLOW_RESERVED_NAMES), HeaderValue::from_static("true"));
    let asked = (0..replicas).map(|replica| client.ask_replica(replica, Method::HEAD, &target, None, &headers));
    let answers = join_all(asked).await.into_iter().flatten();
    let heard: Vec<(StatusCode, Option<Claim>)> = answers
        .map(|answer| (answer.status(), claim(answer.status(), answer.headers())))
        .filter(|(status, _)| status.is_success() || *status == StatusCode::NOT_FOUND)
        .collect();
    if heard.len() < quorum_size(replicas) {
        return None;
    }
    heard.into_iter().filter_map(|(_, claim)| claim).min_by(Claim::better).map(|claim| claim.policy)
}

/// What a replica says for its policy.
fn claim(status: StatusCode, headers: &HeaderMap) -> Option<Claim> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let time = |name: &str| text(name).and_then(|text| text.parse().ok()).unwrap_or(Timestamp::ZERO);
    let claim = Claim {
        policy: PolicyIndex(text(header::POLICY_INDEX)?.parse().ok()?),
        put: time("x-backend-put-timestamp"),
        delete: time("x-backend-delete-timestamp"),
        changed: time("x-backend-status-changed-at"),
        deleted: status == StatusCode::NOT_FOUND,
    };
    // One that was never there has nothing to say.
    (claim.changed > Timestamp::ZERO).then_some(claim)
}
