//! Rows for container listings, sent to one device of a container server in one request.

use http::{Method, Request, StatusCode};

use super::nodes::authority;
use super::pool::{NodeError, Pool};
use crate::body::{self, BodyError};
use crate::ring::Device;
use crate::wire::{RowUpdate, UpdateAnswer, UpdateBatch, update_path};

/// Rows in one request: about 300 KB of JSON, a fraction of a second for a container server.
const MAX_BATCH: usize = 1000;
/// Bytes of text in one request's rows. JSON makes them six times as many at worst, which stays below the container
/// servers' limit of 4 MiB.
const MAX_BATCH_BYTES: usize = 512 * 1024;
/// The longest answer read: a batch's statuses are a few KB.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// A device of a container server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    /// `host:port`.
    pub host: String,
    /// The device's name.
    pub device: String,
}

/// Why a device was not told.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    /// Its server gave no answer.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The answer broke off.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The rows or the answer are no JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// The address is none.
    #[error("not an address: {0}")]
    Address(#[from] http::Error),
}

impl Destination {
    /// What the ring says of a device.
    pub fn of(device: &Device) -> Self {
        Self { host: authority(&device.ip, device.port), device: device.device.clone() }
    }

    /// Sends rows, and gives the status of each, in their order; fewer when the server's answer says fewer.
    ///
    /// # Errors
    /// When there is no answer that can be read. The rows may have been taken all the same; they may be sent again.
    pub async fn tell(&self, pool: &Pool, rows: Vec<RowUpdate>) -> Result<Vec<StatusCode>, TellError> {
        let count = rows.len();
        let batch = serde_json::to_vec(&UpdateBatch { rows })?;
        let request = Request::builder()
            .method(Method::from_bytes(b"UPDATE").map_err(http::Error::from)?)
            .uri(format!("http://{}{}", self.host, update_path(&self.device)))
            .header("content-type", "application/json")
            .body(body::full(batch))?;
        let response = pool.send(request).await?;
        let status = response.status();
        let answer = body::read_to_end(response.into_body(), MAX_ANSWER_BYTES).await?;
        if !status.is_success() {
            return Ok(vec![status; count]);
        }
        let answer: UpdateAnswer = serde_json::from_slice(&answer)?;
        Ok(answer.statuses.into_iter().map(|s| StatusCode::from_u16(s).unwrap_or(StatusCode::BAD_GATEWAY)).collect())
    }
}

/// How many of these rows go into one request: one at least.
pub fn batch_length<'a>(rows: impl Iterator<Item = &'a RowUpdate>) -> usize {
    fitting(rows.map(text_bytes))
}

fn text_bytes(update: &RowUpdate) -> usize {
    let row = &update.row;
    [&update.account, &update.container, &row.name, &row.content_type, &row.etag].into_iter().map(String::len).sum()
}

fn fitting(rows: impl Iterator<Item = usize>) -> usize {
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
        assert_eq!(fitting([200; 5000].into_iter()), MAX_BATCH);
        assert_eq!(fitting([9000; 5000].into_iter()), 58);
        assert_eq!(fitting([MAX_BATCH_BYTES + 1, 1].into_iter()), 1);
        assert_eq!(fitting([1, 1].into_iter()), 2);
    }
}
