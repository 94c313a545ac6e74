//! Rows for the container servers, many in one request.
//!
//! Each destination, a device of a container server, has at most one request in flight. Rows that come meanwhile gather and
//! go with the next one, so the busier a container server is the fewer and larger are its requests, and its commits.
//! Rows whose writer no longer waits are left out: those have been kept on disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use apus_base::client::pool::Pool;
use apus_base::client::rows::{Destination, batch_length};
use apus_base::wire::RowUpdate;
use http::StatusCode;
use tokio::sync::oneshot;

/// Rows that may wait for one destination; further ones are kept on disk at once.
const MAX_WAITING: usize = 10_000;

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
                // Also 404 is no success: the container may be on handoffs still, and is brought here later.
                let _ = waiter.send(status.is_success());
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
        let count = batch_length(rows.iter().map(|row| &row.update));
        Some(rows.drain(..count).collect())
    }

    /// The status of each row, in their order; fewer when the server's answer says fewer.
    async fn send(&self, destination: &Destination, rows: Vec<RowUpdate>) -> Vec<StatusCode> {
        let count = rows.len();
        match destination.tell(&self.pool, rows).await {
            Ok(statuses) => statuses,
            Err(error) => {
                tracing::warn!(?destination, rows = count, %error, "container updates are kept for later");
                Vec::new()
            }
        }
    }
}
