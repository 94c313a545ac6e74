//! PUT, POST and DELETE without a body: to all replicas at once, answered by their quorum.

use std::convert::identity;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Method, StatusCode};
use tokio::sync::mpsc;

use super::nodes::{NearFirst, Node, NodeIter};
use super::route::{Route, collect, with_policy};
use super::{Answer, ClusterClient, NoAnswer, Target, updates};
use crate::quorum::{Tally, quorum_size};
use crate::wire::header::BACKEND_TIMESTAMP;
use crate::wire::{ObjectRow, RowUpdate, UpdateAnswer, UpdateBatch};

/// A DELETE on a replica that has no such object leaves a tombstone there: as good as deleted.
const DELETE_OVERRIDES: [(u16, u16); 1] = [(404, 204)];

/// What became of a write.
#[derive(Clone, Debug)]
pub struct WriteOutcome {
    /// What the quorum says. It need not be a success: a 404 or a 409 of a quorum is an answer too.
    pub best: Answer,
    /// What each node said that answered in time.
    pub answers: Vec<Answer>,
    /// How many were asked, one after the other where one failed.
    pub asked: usize,
}

impl ClusterClient {
    /// Sends the request to all replicas; a handoff stands in for each that cannot be reached or has failed.
    ///
    /// `headers` go to the nodes as they are, `X-Timestamp` included. The answer is given when a quorum is there and the
    /// others had a moment (`post_quorum_timeout`) to follow; they are not cut off, a slow replica still gets the write.
    /// For a DELETE of an object, 404 counts as 204 if there is no quorum otherwise.
    ///
    /// # Errors
    /// When no quorum agrees.
    pub async fn write(
        &self,
        method: Method,
        target: &Target<'_>,
        headers: &HeaderMap,
    ) -> Result<WriteOutcome, NoAnswer> {
        let rings = self.rings();
        let route = Arc::new(Route::new(&self.inner, method.clone(), target)?);
        let deletes_object = method == Method::DELETE && target.is_object();
        let replicas = route.replicas() + if deletes_object { route.near_handoffs() } else { 0 };
        let headers = with_policy(headers, target);
        let tells = method != Method::POST || target.is_object();
        let each = match tells {
            true => updates::for_each_replica(&headers, replicas, target, &rings, &self.inner.cluster.hash_path),
            false => vec![headers; replicas],
        };
        let overrides: &[_] = if deletes_object { &DELETE_OVERRIDES } else { &[] };
        let nodes = route.nodes(target);
        let nodes = if deletes_object { nodes.near_first(NearFirst::Delete) } else { nodes };
        let round = Round::new(route, nodes);
        if method == Method::POST && target.is_object() {
            return round.post_object(each).await;
        }
        let mut tally = Tally::new(replicas).with_overrides(overrides);
        let answers = round.send(each, &mut tally, identity).await;
        choose(&tally, answers)
    }
}

/// Rows in one request: with the longest names and every character escaped they are below the limit of the container
/// servers, 4 MiB.
const MAX_ROWS: usize = 250;

impl ClusterClient {
    /// Adds rows to a container's listing that no object stands behind, such as those of the cluster's own queues. A
    /// container of the cluster's own accounts comes into being with its first row.
    ///
    /// # Errors
    /// When no quorum of the container's replicas has them. Some of the rows may be there all the same; they may be sent
    /// again.
    pub async fn add_rows(&self, account: &str, container: &str, rows: Vec<ObjectRow>) -> Result<(), NoAnswer> {
        let target = Target::Container { account, container };
        let method = Method::from_bytes(b"UPDATE").map_err(|_| NoAnswer { statuses: Vec::new() })?;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let route = Route::new(&self.inner, method.clone(), &target)?;
            let update = |row| {
                let (account, container) = (account.to_owned(), container.to_owned());
                RowUpdate { partition: route.partition, account, container, row }
            };
            let batch = UpdateBatch { rows: rows.by_ref().take(MAX_ROWS).map(update).collect() };
            self.add_batch(route, &target, &batch).await?;
        }
        Ok(())
    }

    async fn add_batch(&self, route: Route, target: &Target<'_>, batch: &UpdateBatch) -> Result<(), NoAnswer> {
        let json = serde_json::to_vec(batch).map_err(|_| NoAnswer { statuses: Vec::new() })?;
        let route = Arc::new(route.with_rows(json.into()));
        let replicas = route.replicas();
        let nodes = route.nodes(target);
        let round = Round::new(route, nodes);
        let answers = round.send(vec![HeaderMap::new(); replicas], &mut Tally::new(replicas), identity).await;
        let has_all = |answer: &&Answer| {
            let said = serde_json::from_slice::<UpdateAnswer>(&answer.body).unwrap_or_default();
            let taken = said.statuses.iter().filter(|status| (200..300).contains(*status)).count();
            answer.status.is_success() && taken == batch.rows.len()
        };
        if answers.iter().filter(has_all).count() >= quorum_size(replicas) {
            return Ok(());
        }
        Err(NoAnswer { statuses: answers.iter().map(|answer| answer.status.as_u16()).collect() })
    }
}

/// One write on its way to the replicas.
pub(super) struct Round {
    route: Arc<Route>,
    nodes: Arc<Mutex<NodeIter>>,
}

impl Round {
    pub(super) fn new(route: Arc<Route>, nodes: NodeIter) -> Self {
        Self { route, nodes: Arc::new(Mutex::new(nodes)) }
    }

    /// How many nodes have been asked.
    pub(super) fn asked(&self) -> usize {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).given()
    }

    /// Sends one request for each set of headers, to nodes that were not asked before, and tallies the answers as `read`
    /// takes them.
    pub(super) async fn send(
        &self,
        each: Vec<HeaderMap>,
        tally: &mut Tally<'_>,
        read: impl Fn(Answer) -> Answer,
    ) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(each.len());
        let (tell, mut told) = mpsc::channel(each.len().max(1));
        for headers in each {
            let (route, nodes, tell) = (Arc::clone(&self.route), Arc::clone(&self.nodes), tell.clone());
            // A task of its own, so that neither a quick quorum nor a client that leaves keeps the write from a slow replica.
            tokio::spawn(async move {
                let answered = replica(&route, &nodes, &headers).await;
                let _ = tell.send(answered).await;
            });
        }
        drop(tell);
        while !tally.is_decided()
            && let Some(answered) = told.recv().await
        {
            hear(answered, &read, &mut answers, tally);
        }
        let rest = async {
            while let Some(answered) = told.recv().await {
                hear(answered, &read, &mut answers, tally);
            }
        };
        let _ = tokio::time::timeout(self.route.inner.config.post_quorum_timeout, rest).await;
        answers
    }

    /// A POST that only some primaries have the object for looks for it on as many handoffs.
    async fn post_object(&self, each: Vec<HeaderMap>) -> Result<WriteOutcome, NoAnswer> {
        let replicas = each.len();
        let mut tally = Tally::new(replicas);
        let mut answers = self.send(each.clone(), &mut tally, identity).await;
        let count = |status: StatusCode| answers.iter().filter(|answer| answer.status == status).count();
        let (found, missing) = (count(StatusCode::ACCEPTED), count(StatusCode::NOT_FOUND));
        if found == 0 || found >= quorum_size(replicas) {
            return choose(&tally, answers);
        }
        // Their headers are those of the replicas that could not use them.
        let spare: Vec<_> = each.into_iter().rev().take(missing).collect();
        let mut more = Tally::with_quorum(replicas + spare.len(), quorum_size(replicas));
        answers.iter().for_each(|answer| more.push(answer.status.as_u16()));
        let mut others = Tally::new(spare.len());
        answers.extend(
            self.send(spare, &mut others, identity).await.into_iter().inspect(|a| more.push(a.status.as_u16())),
        );
        match choose(&more, answers)? {
            // Somebody has it, so that it is missing cannot be the answer.
            outcome if outcome.best.status == StatusCode::NOT_FOUND => Err(NoAnswer { statuses: more.into_statuses() }),
            outcome => Ok(outcome),
        }
    }
}

/// Asks one node after the other until one answers without a server error.
async fn replica(route: &Route, nodes: &Mutex<NodeIter>, headers: &HeaderMap) -> Option<(Node, Answer)> {
    loop {
        let node = nodes.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        let Some(response) = route.ask(&node, headers.clone(), route.inner.config.node_timeout).await else { continue };
        if route.check(&node, response.status()) {
            return Some((node, collect(response).await));
        }
    }
}

fn hear(
    answered: Option<(Node, Answer)>,
    read: impl Fn(Answer) -> Answer,
    answers: &mut Vec<Answer>,
    tally: &mut Tally<'_>,
) {
    let Some((node, answer)) = answered else { return };
    let answer = read(answer);
    // A handoff that never heard of the thing knows nothing about it.
    let knows =
        !node.is_handoff || answer.status != StatusCode::NOT_FOUND || answer.headers.contains_key(BACKEND_TIMESTAMP);
    if knows {
        tally.push(answer.status.as_u16());
        answers.push(answer);
    }
}

fn choose(tally: &Tally<'_>, answers: Vec<Answer>) -> Result<WriteOutcome, NoAnswer> {
    match tally.best().and_then(|best| answers.get(best).cloned()) {
        Some(best) => Ok(WriteOutcome { best, answers, asked: tally.nodes() }),
        None => {
            let statuses = tally.clone().into_statuses();
            tracing::error!(?statuses, "no quorum for a write");
            Err(NoAnswer { statuses })
        }
    }
}
