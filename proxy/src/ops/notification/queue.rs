//! The events that wait for a webhook: rows of a container in a hidden account of the cluster's own, named by their times.
//!
//! ```text
//! .notifications/WEBHOOK/1712345678.12345-5e0c…      {"kind":"ObjectCreated:Put","account":"AUTH_test",…
//! ```
//!
//! Nothing stands behind a row; where an object has its content type, it has the event. An index of those that are not
//! deleted is what is read, so a queue that was long costs nothing when it is empty.

use apus_base::client::NoAnswer;
use apus_base::clock::Clock;
use apus_base::hex::hex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::ObjectRow;

use super::event::Event;
use crate::Proxy;
use crate::error::Error;
use crate::ops::hidden::{self, Hidden};
use crate::ops::listing::Listing;
use crate::ops::rows::Object;

/// The hidden account.
const ACCOUNT: &str = ".notifications";
/// Rows of one page.
pub(super) const PAGE: u64 = 1000;

/// An event that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) name: String,
    /// When its row was written.
    pub(super) written: Timestamp,
    /// `None` if this server cannot read it.
    pub(super) event: Option<Event>,
}

impl Queued {
    fn of(row: Object) -> Option<Self> {
        let written = row.name.split_once('-')?.0.parse().ok()?;
        let read = serde_json::from_str(&row.content_type);
        let event = read.inspect_err(|error| tracing::error!(%error, row.name, "an event cannot be read")).ok();
        Some(Self { name: row.name, written, event })
    }

    fn row(&self) -> ObjectRow {
        let json = self.event.as_ref().and_then(|event| serde_json::to_string(event).ok()).unwrap_or_default();
        hidden::row(self.name.clone(), self.written, &json)
    }
}

/// One webhook's queue.
pub(super) struct Queue<'a>(Hidden<'a>);

impl<'a> Queue<'a> {
    pub(super) fn new(proxy: &'a Proxy, webhook: &'a str) -> Self {
        Self(Hidden { client: &proxy.client, account: ACCOUNT, container: webhook })
    }

    /// About how many wait; none if that is not known.
    pub(super) async fn length(&self) -> u64 {
        let Hidden { client, account, container } = self.0;
        let info = client.container_info(account, container).await;
        info.ok().and_then(|info| info.found().map(|info| info.object_count)).unwrap_or_default()
    }

    /// Adds an event.
    pub(super) async fn add(&self, event: Event, clock: &Clock) -> Result<Queued, NoAnswer> {
        let mut random = [0; 8];
        // Without randomness two names are the same only if two proxies write in the same ten microseconds.
        let _ = getrandom::fill(&mut random);
        let written = clock.next();
        let queued = Queued { name: format!("{}-{}", written.internal(), hex(&random)), written, event: Some(event) };
        self.0.write(vec![queued.row()]).await?;
        Ok(queued)
    }

    /// Takes events away.
    pub(super) async fn remove(&self, done: &[Queued]) -> Result<(), NoAnswer> {
        let removals = done.iter().map(|queued| hidden::removal(queued.name.clone(), queued.written));
        self.0.write(removals.collect()).await
    }

    /// The oldest events after one.
    pub(super) async fn page(&self, marker: &str) -> Result<Vec<Queued>, Error> {
        let rows = self.0.list(&Listing { limit: PAGE, marker: marker.to_owned(), ..Listing::default() }).await?;
        Ok(rows.into_iter().filter_map(Queued::of).collect())
    }

    /// Whether an event still waits.
    pub(super) async fn has(&self, queued: &Queued) -> Result<bool, Error> {
        let rows = self.0.list(&Listing { limit: 1, prefix: queued.name.clone(), ..Listing::default() }).await?;
        Ok(!rows.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_row_is_read_or_left(name in "[0-9.-]{0,20}", content_type in "\\PC{0,20}") {
            let _ = Queued::of(Object { name, content_type, ..Object::default() });
        }
    }
}
