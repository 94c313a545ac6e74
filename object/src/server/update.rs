//! Telling the container servers: the row of an object after each write.
//!
//! Which servers this request tells is in its headers, as the proxy has shared them out among the replicas. A row that no
//! server has taken in time is kept on the device before the write is acknowledged, so a listing is late but never wrong
//! for good.

use std::future::Future;
use std::sync::Arc;

use apus_base::crash;
use apus_base::fs::QueueError;
use apus_base::wire::{ObjectRow, RowUpdate, header};
use futures_util::future::join_all;
use http::HeaderMap;

use super::Server;
use super::batch::Destination;
use super::refusal::Refusal;
use super::target::{Target, text};
use crate::store::pending::{self, Pending};
use crate::store::{BEFORE_ANSWER, BEFORE_UPDATE};

/// Runs a write to its end even when the connection it came over ends first.
pub(super) async fn to_the_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(write).await.map_err(|_| Refusal::from(QueueError::Panicked))?
}

/// Tells all servers that the request names, or keeps the row for later.
pub(super) async fn tell(
    server: &Arc<Server>,
    target: &Target,
    headers: &HeaderMap,
    row: ObjectRow,
) -> Result<(), Refusal> {
    crash::point(BEFORE_UPDATE);
    let (destinations, partition) = destinations(headers);
    if let (Some(partition), false) = (partition, destinations.is_empty()) {
        let (account, container) = (target.account.clone(), target.container.clone());
        let update = RowUpdate { partition, account, container, row };
        let told = destinations.into_iter().map(|d| server.batches.tell(d, update.clone()));
        let answers = tokio::time::timeout(server.config.container_update_timeout, join_all(told)).await;
        if !answers.is_ok_and(|answers| answers.iter().all(|taken| *taken)) {
            keep(server, target, update).await?;
        }
    }
    crash::point(BEFORE_ANSWER);
    Ok(())
}

async fn keep(server: &Arc<Server>, target: &Target, update: RowUpdate) -> Result<(), Refusal> {
    let location = target.location.clone();
    let queue = location.device.queue().clone();
    let timestamp = update.row.timestamps.meta;
    queue.run(move || pending::write(&location, timestamp, &Pending::new(update))).await??;
    server.counters.async_pendings.inc();
    Ok(())
}

/// The container servers that a request names, and the container's partition.
fn destinations(headers: &HeaderMap) -> (Vec<Destination>, Option<u32>) {
    let list = |name: &str| -> Vec<String> {
        let items = text(headers, name).unwrap_or("").split(',').map(|item| item.trim().to_owned());
        items.filter(|item| !item.is_empty()).collect()
    };
    let (hosts, devices) = (list(header::CONTAINER_HOST), list(header::CONTAINER_DEVICE));
    if hosts.len() != devices.len() {
        tracing::error!(?hosts, ?devices, "no container update: not as many hosts as devices");
        return (Vec::new(), None);
    }
    let pairs = hosts.into_iter().zip(devices).map(|(host, device)| Destination { host, device });
    (pairs.collect(), text(headers, header::CONTAINER_PARTITION).and_then(|p| p.trim().parse().ok()))
}

/// What the proxy wants the listing to show instead of the object's own: an encrypted object's real ETag, say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Overrides {
    etag: Option<String>,
    size: Option<u64>,
    content_type: Option<String>,
}

/// Of a request only.
const BACKEND_OVERRIDE: &str = "x-backend-container-update-override-";
/// Kept with the object, so that a POST repeats it; the stronger one, as in Swift.
const SYSTEM_OVERRIDE: &str = "x-object-sysmeta-container-update-override-";

impl Overrides {
    /// Finds them among headers or metadata, whose names may be in any case.
    pub(super) fn find<'a>(items: impl Iterator<Item = (&'a str, &'a [u8])>) -> Self {
        let (mut weaker, mut stronger) = (Self::default(), Self::default());
        for (name, value) in items {
            let (name, Ok(value)) = (name.to_ascii_lowercase(), std::str::from_utf8(value)) else { continue };
            if let Some(what) = name.strip_prefix(SYSTEM_OVERRIDE) {
                stronger.set(what, value);
            } else if let Some(what) = name.strip_prefix(BACKEND_OVERRIDE) {
                weaker.set(what, value);
            }
        }
        Self {
            etag: stronger.etag.or(weaker.etag),
            size: stronger.size.or(weaker.size),
            content_type: stronger.content_type.or(weaker.content_type),
        }
    }

    fn set(&mut self, what: &str, value: &str) {
        match what {
            "etag" => self.etag = Some(value.to_owned()),
            "size" => self.size = value.trim().parse().ok().or(self.size),
            "content-type" => self.content_type = Some(value.to_owned()),
            _ => {}
        }
    }

    /// The row with them.
    pub(super) fn apply(self, row: ObjectRow) -> ObjectRow {
        ObjectRow {
            etag: self.etag.unwrap_or(row.etag),
            size: self.size.unwrap_or(row.size),
            content_type: self.content_type.unwrap_or(row.content_type),
            ..row
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_metadata_overrides_the_override() {
        let items: [(&str, &[u8]); 4] = [
            ("X-Object-Sysmeta-Container-Update-Override-Etag", b"sys"),
            ("X-Backend-Container-Update-Override-Etag", b"backend"),
            ("x-backend-container-update-override-size", b"12"),
            ("x-backend-container-update-override-size-of-what", b"13"),
        ];
        let expected = Overrides { etag: Some("sys".into()), size: Some(12), content_type: None };
        assert_eq!(Overrides::find(items.into_iter()), expected);
    }
}
