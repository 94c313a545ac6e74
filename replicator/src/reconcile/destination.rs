//! The policy of a container, as a majority of its replicas has it.

use std::cmp::Ordering;

use apus_base::client::{ClusterClient, Target};
use apus_base::policy::PolicyIndex;
use apus_base::quorum::quorum_size;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

/// What a replica says for its policy.
#[derive(Clone, Copy, Debug)]
struct Claim {
    policy: PolicyIndex,
    put: Timestamp,
    delete: Timestamp,
    changed: Timestamp,
    /// Whether it is deleted and holds nothing.
    deleted: bool,
}

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
        .map(|answer| (answer.status(), Claim::read(answer.status(), answer.headers())))
        .filter(|(status, _)| status.is_success() || *status == StatusCode::NOT_FOUND)
        .collect();
    if heard.len() < quorum_size(replicas) {
        return None;
    }
    heard.into_iter().filter_map(|(_, claim)| claim).min_by(better).map(|claim| claim.policy)
}

impl Claim {
    fn read(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let time = |name: &str| text(name).and_then(|text| text.parse().ok()).unwrap_or(Timestamp::ZERO);
        let claim = Self {
            policy: PolicyIndex(text(header::POLICY_INDEX)?.parse().ok()?),
            put: time("x-backend-put-timestamp"),
            delete: time("x-backend-delete-timestamp"),
            changed: time("x-backend-status-changed-at"),
            deleted: status == StatusCode::NOT_FOUND,
        };
        // One that was never there has nothing to say.
        (claim.changed > Timestamp::ZERO).then_some(claim)
    }

    fn recreated(&self) -> bool {
        self.put > self.delete && self.delete > Timestamp::ZERO
    }
}

/// Swift's rule, `Less` is the first: one that is there before one that is deleted; of those that were deleted and made again the
/// newer life; otherwise the one that was first.
fn better(one: &Claim, other: &Claim) -> Ordering {
    let last_delete = one.delete.max(other.delete);
    let by_life = match (one.deleted, other.deleted) {
        (true, true) => other.changed.cmp(&one.changed),
        (false, true) => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, false) => match (one.recreated(), other.recreated()) {
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (true, true) if one.put < last_delete => Ordering::Greater,
            (true, true) if other.put < last_delete => Ordering::Less,
            _ => one.changed.cmp(&other.changed),
        },
    };
    // Equal claims of different policies have to end alike everywhere.
    by_life.then(one.policy.cmp(&other.policy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(policy: u32, put: u64, delete: u64, changed: u64) -> Claim {
        let at = Timestamp::from_secs;
        let deleted = delete > put;
        Claim { policy: PolicyIndex(policy), put: at(put), delete: at(delete), changed: at(changed), deleted }
    }

    #[test]
    fn the_policy_of_the_first_or_of_the_newest_life_wins() {
        let cases = [
            // Never deleted: the first.
            (claim(0, 5, 0, 5), claim(1, 6, 0, 6), 0),
            // Deleted on one side only.
            (claim(0, 5, 7, 7), claim(1, 6, 0, 6), 1),
            // Deleted on both: the last.
            (claim(0, 5, 7, 7), claim(1, 6, 8, 8), 1),
            // Made again on one side.
            (claim(0, 5, 0, 5), claim(1, 9, 7, 9), 1),
            // Made again on both sides, one of them before the other's deletion.
            (claim(0, 6, 5, 6), claim(1, 9, 7, 9), 1),
            // Made again on both sides after both deletions: the first.
            (claim(0, 9, 5, 9), claim(1, 8, 7, 8), 1),
            (claim(0, 5, 0, 5), claim(1, 5, 0, 5), 0),
        ];
        for (one, other, wins) in cases {
            for (one, other) in [(one, other), (other, one)] {
                let best = [one, other].into_iter().min_by(better).unwrap();
                assert_eq!(best.policy.0, wins, "{one:?} {other:?}");
            }
        }
    }
}
