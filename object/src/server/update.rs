//! Telling the container servers: the row of an object after each write.
//!
//! Which servers this request tells is in its headers, as the proxy has shared them out among the replicas. A row that no
//! server has taken in time is kept on the device before the write is acknowledged, so a listing is late but never wrong
//! for good.

use std::future::Future;
use std::sync::Arc;

use apus_base::client::rows::Destination;
use apus_base::crash;
use apus_base::fs::QueueError;
use apus_base::timestamp::Timestamp;
use apus_base::wire::{ObjectRow, RowUpdate, header};
use futures_util::future::{join_all, try_join3};
use http::HeaderMap;

use super::Server;
use super::expiry::Expiry;
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

/// Tells all servers that the request names, of the object's container and of the queue of expiring objects, or keeps
/// the rows for later.
pub(super) async fn tell(
    server: &Arc<Server>,
    target: &Target,
    headers: &HeaderMap,
    row: ObjectRow,
    expiry: Expiry,
) -> Result<(), Refusal> {
    crash::point(BEFORE_UPDATE);
    let now = newest(&row);
    let is_listed = !headers.contains_key(header::UNLISTED);
    let containers = Named::of(headers, &CONTAINER).filter(|named| is_listed && !named.destinations.is_empty());
    let (account, container) = (target.account.clone(), target.container.clone());
    let row = containers.is_some().then_some(RowUpdate { partition: 0, account, container, row });
    let (addition, removal) = (expiry.addition(target, headers, now), expiry.removal(target, headers, now));
    let removed = async {
        match removal {
            Some(removal) => keep(server, target, removal).await,
            None => Ok(()),
        }
    };
    let (told, queued) =
        (told(server, target, containers, row), told(server, target, Named::of(headers, &QUEUE), addition));
    try_join3(told, queued, removed).await?;
    crash::point(BEFORE_ANSWER);
    Ok(())
}

/// Tells one row to whom the request names for it, or keeps it.
async fn told(
    server: &Arc<Server>,
    target: &Target,
    named: Option<Named>,
    row: Option<RowUpdate>,
) -> Result<(), Refusal> {
    let Some(row) = row else { return Ok(()) };
    let Some(Named { destinations, partition }) = named else { return keep(server, target, row).await };
    let update = RowUpdate { partition, ..row };
    let told = destinations.into_iter().map(|d| server.batches.tell(d, update.clone()));
    let answers = tokio::time::timeout(server.config.container_update_timeout, join_all(told)).await;
    if answers.is_ok_and(|answers| answers.iter().all(|taken| *taken)) {
        return Ok(());
    }
    keep(server, target, update).await
}

async fn keep(server: &Arc<Server>, target: &Target, update: RowUpdate) -> Result<(), Refusal> {
    let location = target.location.clone();
    let queue = location.device.queue().clone();
    let hash = server.cluster.hash_path.object(&update.account, &update.container, &update.row.name);
    let timestamp = newest(&update.row);
    let kept = move || pending::write(&location.device, location.policy, &hash, timestamp, &Pending::new(update));
    queue.go_on(kept).await??;
    server.counters.async_pendings.inc();
    Ok(())
}

/// The version that a row tells of.
fn newest(row: &ObjectRow) -> Timestamp {
    row.timestamps.data.max(row.timestamps.meta)
}

/// The headers that name container servers: their partition, hosts and devices.
struct Names(&'static str, &'static str, &'static str);

const CONTAINER: Names = Names(header::CONTAINER_PARTITION, header::CONTAINER_HOST, header::CONTAINER_DEVICE);
const QUEUE: Names = Names(header::DELETE_AT_PARTITION, header::DELETE_AT_HOST, header::DELETE_AT_DEVICE);

/// The container servers that a request names, and the container's partition.
struct Named {
    destinations: Vec<Destination>,
    partition: u32,
}

impl Named {
    fn of(headers: &HeaderMap, Names(partition, hosts, devices): &Names) -> Option<Self> {
        let list = |name: &str| -> Vec<String> {
            let items = text(headers, name).unwrap_or("").split(',').map(|item| item.trim().to_owned());
            items.filter(|item| !item.is_empty()).collect()
        };
        let partition = text(headers, partition).and_then(|p| p.trim().parse().ok())?;
        let (hosts, devices) = (list(hosts), list(devices));
        if hosts.len() != devices.len() {
            tracing::error!(?hosts, ?devices, "no container update: not as many hosts as devices");
            return None;
        }
        let pairs = hosts.into_iter().zip(devices).map(|(host, device)| Destination { host, device });
        Some(Self { destinations: pairs.collect(), partition })
    }
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
