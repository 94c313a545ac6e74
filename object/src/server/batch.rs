//! Rows for the container servers, many in one request.
//!
//! Each destination, a device of a container server, has at most one request in flight. Rows that come meanwhile gather and
//! go with the next one, so the busier a container server is the fewer and larger are its requests, and its commits.
//! Rows whose writer no longer waits are left out: those have been kept on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use apus_base::body;
use apus_base::client::pool::Pool;
use apus_base::wire::{RowUpdate, UpdateAnswer, UpdateBatch, update_path};
use http::{Method, Request, StatusCode};
use tokio::sync::oneshot;

/// Rows in one request: about 300 KB of JSON, a fraction of a second for a container server.
const MAX_BATCH: usize = 1000;
/// Bytes of text in one request's rows. JSON makes them six times as many at worst, which stays below the container
/// servers' limit of 4 MiB.
const MAX_BATCH_BYTES: usize = 512 * 1024;
/// Rows that may wait for one destination; further ones are kept on disk at once.
const MAX_WAITING: usize = 10_000;
/// The longest answer read: a batch's statuses are a few KB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A device of a container server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    /// `host:port`.
    pub(super) host: String,
    /// The device's name.
    pub(super) device: String,
}

struct Row {
    update: RowUpdate,
    taken: oneshot::Sender<bool>,
}

/// The rows that wait, by destination. A destination is there as long as a task sends to it.
pub(super) struct Batches {
    pool: Pool,
    waiting: Mutex<HashMap<Destination, Vec<Row>>>,
}

impl Batches {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool, waiting: Mutex::default() }
    }

    /// Sends a row with the next batch, and says whether the server took it. Dropping this future gives up on the row.
    pub(super) async fn tell(self: &Arc<Self>, destination: Destination, update: RowUpdate) -> bool {
        let (taken, answer) = oneshot::channel();
        if self.enqueue(&destination, Row { update, taken }) {
            tokio::spawn(Arc::clone(self).send_all(destination));
        }
        answer.await.unwrap_or(false)
    }

    /// Whether nobody sends to that destination yet. A row too many is dropped, which its writer notices.
    fn enqueue(&self, destination: &Destination, row: Row) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = waiting.get_mut(destination) {
            if rows.len() < MAX_WAITING {
                rows.push(row);
            }
            return false;
        }
        waiting.insert(destination.clone(), vec![row]);
        true
    }

    async fn send_all(self: Arc<Self>, destination: Destination) {
        while let Some(rows) = self.next(&destination) {
            let (updates, waiters): (Vec<_>, Vec<_>) = rows.into_iter().map(|r| (r.update, r.taken)).unzip();
            let statuses = self.send(&destination, updates).await;
            for (waiter, status) in waiters.into_iter().zip(statuses) {
                // 404: no such container, so there is no listing to keep right.
                let _ = waiter.send(status.is_success() || status == StatusCode::NOT_FOUND);
            }
        }
    }

    fn next(&self, destination: &Destination) -> Option<Vec<Row>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = waiting.get_mut(destination)?;
        rows.retain(|row| !row.taken.is_closed());
        if rows.is_empty() {
            waiting.remove(destination);
            return None;
        }
        let count = batch_length(rows.iter().map(|row| text_bytes(&row.update)));
        Some(rows.drain(..count).collect())
    }

    /// The status of each row, in their order; fewer when the server's answer says fewer.
    async fn send(&self, destination: &Destination, rows: Vec<RowUpdate>) -> Vec<StatusCode> {
        let count = rows.len();
        match self.exchange(destination, rows, count).await {
            Ok(statuses) => statuses,
            Err(error) => {
                tracing::warn!(?destination, rows = count, %error, "container updates are kept for later");
                Vec::new()
            }
        }
    }

    async fn exchange(
        &self,
        destination: &Destination,
        rows: Vec<RowUpdate>,
        count: usize,
    ) -> Result<Vec<StatusCode>, Box<dyn std::error::Error + Send + Sync>> {
        let batch = serde_json::to_vec(&UpdateBatch { rows })?;
        let request = Request::builder()
            .method(Method::from_bytes(b"UPDATE")?)
            .uri(format!("http://{}{}", destination.host, update_path(&destination.device)))
            .header("content-type", "application/json")
            .body(body::full(batch))?;
        let response = self.pool.send(request).await?;
        let status = response.status();
        let answer = body::read_to_end(response.into_body(), MAX_ANSWER_BYTES).await?;
        if !status.is_success() {
            return Ok(vec![status; count]);
        }
        let answer: UpdateAnswer = serde_json::from_slice(&answer)?;
        Ok(answer.statuses.into_iter().map(|s| StatusCode::from_u16(s).unwrap_or(StatusCode::BAD_GATEWAY)).collect())
    }
}

fn text_bytes(update: &RowUpdate) -> usize {
    let row = &update.row;
    [&update.account, &update.container, &row.name, &row.content_type, &row.etag].into_iter().map(String::len).sum()
}

/// How many rows of these lengths go into one request: one at least.
fn batch_length(rows: impl Iterator<Item = usize>) -> usize {
    let mut bytes = 0;
    let fitting = rows.take(MAX_BATCH).take_while(|row| {
        bytes += row;
        bytes <= MAX_BATCH_BYTES
    });
    fitting.count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_limited_in_rows_and_bytes() {
        assert_eq!(batch_length([200; 5000].into_iter()), MAX_BATCH);
        assert_eq!(batch_length([9000; 5000].into_iter()), 58);
        assert_eq!(batch_length([MAX_BATCH_BYTES + 1, 1].into_iter()), 1);
        assert_eq!(batch_length([1, 1].into_iter()), 2);
    }
}
