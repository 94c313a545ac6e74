//! FENCE, a held PUT, and COMMIT: the three requests of a conditional write.

use apus_base::clock;
use apus_base::timestamp::Timestamp;

use super::{Answer, Node};

/// A ballot of now, and later ones.
fn ballot(later: u64) -> Timestamp {
    Timestamp::from_ticks(clock::now().ticks() + later).as_ballot(7)
}

impl Node {
    async fn fence(&self, ballot: Option<Timestamp>) -> Answer {
        let ballot = ballot.map(Timestamp::internal);
        let headers: Vec<_> = ballot.iter().map(|ballot| ("x-timestamp", ballot.as_str())).collect();
        self.send("FENCE", &headers, "").await
    }

    async fn hold(&self, token: &str, body: &'static [u8]) -> Answer {
        self.put("1.00000", body, &[("x-backend-hold", token), ("x-object-meta-a", "b")]).await
    }

    async fn commit(&self, token: Option<&str>, ballot: Timestamp) -> Answer {
        let ballot = ballot.internal();
        let token = token.map(|token| ("x-backend-hold", token));
        let headers: Vec<_> = token.into_iter().chain([("x-timestamp", ballot.as_str())]).collect();
        self.send("COMMIT", &headers, "").await
    }
}

#[tokio::test]
async fn what_is_held_is_seen_by_nobody_before_its_commit() {
    let node = Node::default().await;
    let ballot = ballot(0);
    assert_eq!(node.hold("t", b"held").await.status, 201);
    assert_eq!(node.get(&[]).await.status, 404);
    let promise = node.fence(Some(ballot)).await;
    assert_eq!((promise.status, promise.header("x-backend-promised")), (404, "true"));
    assert_eq!(promise.header("x-backend-fence"), ballot.internal());

    assert_eq!(node.commit(Some("t"), ballot).await.status, 201);
    let read = node.get(&[]).await;
    assert_eq!((&read.body[..], read.header("x-object-meta-a")), (&b"held"[..], "b"));
    assert_eq!(read.header("x-backend-data-timestamp"), ballot.internal());
    // The version is as good as the fence, which is gone; and nothing is held any more.
    assert!(!node.files().iter().any(|file| file.starts_with("fences")));
    let later = Timestamp::from_ticks(ballot.ticks() + 1).as_ballot(7);
    assert_eq!(node.commit(Some("t"), later).await.status, 404);
    assert_eq!(node.commit(Some("t"), ballot).await.status, 201, "who asks twice is told twice");
}

#[tokio::test]
async fn who_is_fenced_out_is_told_and_may_come_again() {
    let node = Node::default().await;
    let (low, high) = (ballot(0), ballot(500));
    node.hold("t", b"held").await;
    assert_eq!(node.fence(Some(high)).await.header("x-backend-promised"), "true");
    let lower = node.fence(Some(low)).await;
    assert_eq!((lower.header("x-backend-promised"), lower.header("x-backend-fence")), ("false", &*high.internal()));
    let refused = node.commit(Some("t"), low).await;
    assert_eq!((refused.status, refused.header("x-backend-fence")), (409, &*high.internal()));
    // A PUT and a DELETE of a client who comes too late.
    let (late, later) = (Timestamp::from_ticks(low.ticks() + 1), Timestamp::from_ticks(high.ticks() + 1));
    for refused in [
        node.put(&late.internal(), b"plain", &[]).await,
        node.send("DELETE", &[("x-timestamp", &late.internal())], "").await,
    ] {
        assert_eq!((refused.status, refused.header("x-backend-fence")), (409, &*high.internal()));
    }
    // What was refused is still held.
    assert_eq!(node.commit(Some("t"), high).await.status, 201);
    assert_eq!(node.put(&late.internal(), b"plain", &[]).await.header("x-backend-fence"), high.internal());
    assert_eq!(node.put(&later.internal(), b"plain", &[]).await.status, 201);
    // And newer than that there is nothing to promise.
    assert_eq!(node.fence(Some(high)).await.header("x-backend-promised"), "false");
}

#[tokio::test]
async fn a_tombstone_is_committed_like_a_version() {
    let node = Node::default().await;
    node.put("1.00000", b"old", &[]).await;
    let (first, second) = (ballot(0), ballot(500));
    let seen = node.fence(Some(first)).await;
    assert_eq!((seen.status, seen.header("x-backend-data-timestamp")), (200, "0000000001.00000"));
    assert_eq!(node.commit(None, first).await.status, 201);
    let gone = node.fence(None).await;
    assert_eq!((gone.status, gone.header("x-backend-timestamp")), (404, &*first.internal()));
    assert_eq!(gone.header("x-backend-promised"), "false");
    node.fence(Some(second)).await;
    assert_eq!(node.commit(None, Timestamp::from_ticks(first.ticks() + 1).as_ballot(1)).await.status, 409);
}

#[tokio::test]
async fn ballots_of_another_time_and_nonsense_are_refused() {
    let node = Node::default().await;
    node.hold("t", b"held").await;
    let old = Timestamp::from_secs(1).as_ballot(1);
    assert_eq!((node.fence(Some(old)).await.status, node.commit(Some("t"), old).await.status), (503, 503));
    assert_eq!(node.hold("t", b"again").await.status, 503, "the token is taken");
    assert_eq!(node.hold(&"t".repeat(65), b"x").await.status, 400);
    assert_eq!(node.commit(Some("other"), ballot(0)).await.status, 404);
    assert_eq!(node.send("COMMIT", &[("x-backend-hold", "t")], "").await.status, 400);
    assert_eq!(node.get(&[]).await.status, 404);
}

#[tokio::test]
async fn a_copy_in_quarantine_does_not_vote() {
    let node = Node::default().await;
    node.put("1.00000", b"good", &[]).await;
    let data = node.files().into_iter().find(|file| file.ends_with(".data")).unwrap();
    std::fs::write(node.device().join(&data), b"longer than it was").unwrap();
    assert_eq!(node.fence(None).await.status, 503);
    assert_eq!(node.fence(Some(ballot(0))).await.status, 503, "not repaired yet");
}
