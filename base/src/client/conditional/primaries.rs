//! The primaries of an object, asked all at once.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Write;
use crate::ballot::{Commits, Vote, majority};
use crate::client::nodes::Node;
use crate::client::put::{PutError, fence, stamp};
use crate::client::route::{Route, collect, with_policy};
use crate::client::{Answer, ClusterClient, NoAnswer, ObjectPath, Target, updates};
use crate::clock;
use crate::timestamp::Timestamp;
use crate::wire::header::{
    BACKEND_DATA_TIMESTAMP, BACKEND_TIMESTAMP, COMMIT_METHOD, DELETE_AT, FENCE_METHOD, HOLD, PROMISED, RELEASE_METHOD,
    TRANS_ID,
};

/// What a primary says.
pub(super) struct Seen {
    pub(super) node: Node,
    pub(super) vote: Vote,
    /// If there is an object that has not expired.
    pub(super) headers: Option<HeaderMap>,
    /// Whether there is an object, expired or not.
    pub(super) has_data: bool,
}

impl Seen {
    /// When its newest metadata was written.
    pub(super) fn changed(&self) -> Timestamp {
        let stamp = self.headers.as_ref().and_then(|headers| headers.get(BACKEND_TIMESTAMP));
        stamp.and_then(|stamp| stamp.to_str().ok()?.parse().ok()).unwrap_or_default()
    }
}

/// Whether more answers are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// There are too few.
    More,
    /// There are enough; others may come in a moment.
    Moment,
    /// No other could change anything.
    No,
}

/// The primaries of an object.
pub(super) struct Primaries<'a> {
    pub(super) client: &'a ClusterClient,
    pub(super) path: ObjectPath<'a>,
    /// Headers that every request has: the policy, the transaction.
    pub(super) common: HeaderMap,
    pub(super) nodes: Vec<Node>,
    hash: [u8; 16],
}

impl<'a> Primaries<'a> {
    pub(super) fn of(client: &'a ClusterClient, path: ObjectPath<'a>, headers: &HeaderMap) -> Result<Self, PutError> {
        let target = Target::Object(path);
        let route = Route::new(&client.inner, Method::HEAD, &target)?;
        let nodes = route.ring.primaries(route.partition).map(|device| Node::new(device, false)).collect();
        let mut common = with_policy(&HeaderMap::new(), &target);
        if let Some(transaction) = headers.get(TRANS_ID) {
            common.insert(TRANS_ID, transaction.clone());
        }
        let hash = target.hash(&client.inner.cluster.hash_path).0;
        Ok(Self { client, path, common, nodes, hash })
    }

    pub(super) fn replicas(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn majority(&self) -> usize {
        majority(self.nodes.len())
    }

    pub(super) fn turn(&self) -> &Mutex<()> {
        self.client.inner.turns.of(&self.hash)
    }

    pub(super) fn random(&self) -> u64 {
        self.client.inner.random.next()
    }

    /// A new ballot above another.
    pub(super) fn ballot(&self, after: Timestamp) -> Timestamp {
        let nonce = self.random().to_le_bytes();
        let ticks = clock::now().ticks().max(after.ticks() + 1);
        Timestamp::from_ticks(ticks).as_ballot(u16::from_le_bytes([nonce[0], nonce[1]]))
    }

    fn route(&self, method: &str) -> Result<Arc<Route>, PutError> {
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| NoAnswer { statuses: Vec::new() })?;
        Ok(Arc::new(Route::new(&self.client.inner, method, &Target::Object(self.path))?))
    }

    /// Asks for the state, and for the promise of a ballot if there is one. A majority that agrees is enough for a look that
    /// need not find what only a minority has.
    pub(super) async fn ask(&self, ballot: Option<Timestamp>, is_majority_enough: bool) -> Vec<Seen> {
        let Ok(route) = self.route(FENCE_METHOD) else { return Vec::new() };
        let mut headers = self.common.clone();
        ballot.into_iter().for_each(|ballot| stamp(&mut headers, ballot));
        let asked = self.nodes.iter().map(|node| ask_one(Arc::clone(&route), node.clone(), headers.clone())).collect();
        let mut seen: Vec<Seen> = Vec::with_capacity(self.nodes.len());
        let hear = |(node, answer): (Node, Option<Answer>)| {
            let Some(new) = answer.and_then(|answer| see(node, answer)) else { return Wait::More };
            let agree = 1 + seen.iter().filter(|old| old.vote.version == new.vote.version).count();
            seen.push(new);
            match seen.len() >= self.majority() {
                true if is_majority_enough && agree >= self.majority() => Wait::No,
                true => Wait::Moment,
                false => Wait::More,
            }
        };
        self.gather(asked, hear).await;
        seen
    }

    /// Tells those who hold it, and for a tombstone all, to commit.
    pub(super) async fn commit(&self, ballot: Timestamp, write: &Write) -> Result<Commits, PutError> {
        let route = self.route(COMMIT_METHOD)?;
        let mut headers = self.common.clone();
        stamp(&mut headers, ballot);
        if let Write::Held { token, delete_at, .. } = write {
            headers.insert(HOLD, token.clone());
            headers.extend(delete_at.clone().map(|at| (HeaderName::from_static(DELETE_AT), at)));
        }
        let holds = |i: usize| if let Write::Held { holders, .. } = write { holders[i] } else { true };
        let nodes: Vec<_> = (0..self.nodes.len()).filter(|i| holds(*i)).map(|i| self.nodes[i].clone()).collect();
        let (rings, salt) = (self.client.rings(), &self.client.inner.cluster.hash_path);
        let told = updates::for_each_replica(&headers, nodes.len(), &Target::Object(self.path), &rings, salt);
        let mut commits = Commits { taken: 0, unknown: nodes.len() };
        let asked =
            nodes.into_iter().zip(told).map(|(node, headers)| ask_one(Arc::clone(&route), node, headers)).collect();
        let hear = |(_, answer): (Node, Option<Answer>)| {
            let status = answer.map_or(StatusCode::SERVICE_UNAVAILABLE, |answer| answer.status);
            commits.taken += usize::from(status.is_success());
            commits.unknown -= usize::from(!status.is_server_error());
            if commits.taken >= self.majority() { Wait::Moment } else { Wait::More }
        };
        self.gather(asked, hear).await;
        Ok(commits)
    }

    /// Takes back the promises that a ballot was given which will not be committed. Nobody waits for that.
    pub(super) fn release(&self, ballot: Timestamp, seen: &[Seen]) {
        let Ok(route) = self.route(RELEASE_METHOD) else { return };
        let mut headers = self.common.clone();
        stamp(&mut headers, ballot);
        for seen in seen.iter().filter(|seen| seen.vote.may_release()) {
            drop(tokio::spawn(ask_one(Arc::clone(&route), seen.node.clone(), headers.clone())));
        }
    }

    /// Hears answers until all have come, or for a moment after there are enough.
    pub(super) async fn gather<T>(
        &self,
        mut asked: FuturesUnordered<impl Future<Output = T>>,
        mut hear: impl FnMut(T) -> Wait,
    ) {
        let moment = self.client.inner.config.post_quorum_timeout;
        let mut deadline = None;
        loop {
            let answered = match deadline {
                None => asked.next().await,
                Some(deadline) => tokio::time::timeout_at(deadline, asked.next()).await.ok().flatten(),
            };
            let Some(answer) = answered else { return };
            match hear(answer) {
                Wait::More => {}
                Wait::Moment => drop(deadline.get_or_insert_with(|| Instant::now() + moment)),
                Wait::No => return,
            }
        }
    }
}

/// A task of its own, so that nobody who leaves keeps it from the node.
async fn ask_one(asking: Arc<Route>, node: Node, headers: HeaderMap) -> (Node, Option<Answer>) {
    let to = node.clone();
    let asked = tokio::spawn(async move {
        let response = asking.ask(&to, headers, asking.inner.config.node_timeout).await?;
        asking.check(&to, response.status());
        Some(collect(response).await)
    });
    (node, asked.await.ok().flatten())
}

/// What an answer to FENCE says; nothing if it is none.
fn see(node: Node, answer: Answer) -> Option<Seen> {
    let Answer { status, headers, .. } = answer;
    let has_data = match status {
        StatusCode::OK => true,
        StatusCode::NOT_FOUND => false,
        _ => return None,
    };
    let stamped = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    let newest: Timestamp = stamped(BACKEND_TIMESTAMP).unwrap_or_default();
    let promise = headers.get(PROMISED).map_or(&b"false"[..], |promise| promise.as_bytes());
    let (promised, above_another) = (promise != b"false", promise == b"above");
    let fence = fence(&headers)?;
    let version = stamped(BACKEND_DATA_TIMESTAMP).unwrap_or(newest);
    let vote = Vote { version, newest: newest.max(fence), promised, above_another };
    let headers = Some(headers).filter(|headers| has_data && !is_expired(headers));
    Some(Seen { node, vote, headers, has_data })
}

fn is_expired(headers: &HeaderMap) -> bool {
    let at = headers.get(DELETE_AT).and_then(|at| at.to_str().ok()?.trim().parse().ok());
    at.is_some_and(|at| Timestamp::from_secs(at) <= clock::now())
}
