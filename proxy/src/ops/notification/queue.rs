//! The events that wait for a webhook: rows of a container in a hidden account of the cluster's own, named by their times.
//!
//! ```text
//! .notifications/WEBHOOK/1712345678.12345-5e0c…      {"kind":"ObjectCreated:Put","account":"AUTH_test",…
//! ```
//!
//! Nothing stands behind a row; where an object has its content type, it has the event. An index of those that are not
//! deleted is what is read, so a queue that was long costs nothing when it is empty.

use apus_base::client::{ClusterClient, NoAnswer, Target};
use apus_base::clock::Clock;
use apus_base::hex::hex;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::event::Event;
use crate::Proxy;
use crate::error::Error;
use crate::ops::listing::Listing;
use crate::ops::rows::{Entry, collect};

/// The hidden account.
const ACCOUNT: &str = ".notifications";
/// Rows of one page.
pub(super) const PAGE: u64 = 1000;
/// What an empty object has.
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";
/// A content type has parameters behind a semicolon, some of which listings take away.
const ESCAPED: &AsciiSet = &CONTROLS.add(b';').add(b'%');

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
    fn of(row: Entry) -> Option<Self> {
        let Entry::Object(row) = row else { return None };
        let written = row.name.split_once('-')?.0.parse().ok()?;
        let text = percent_decode_str(&row.content_type).decode_utf8_lossy();
        let read = serde_json::from_str(&text);
        let event = read.inspect_err(|error| tracing::error!(%error, row.name, "an event cannot be read")).ok();
        Some(Self { name: row.name, written, event })
    }

    fn row(&self) -> ObjectRow {
        let json = self.event.as_ref().and_then(|event| serde_json::to_string(event).ok()).unwrap_or_default();
        ObjectRow {
            name: self.name.clone(),
            timestamps: RowTimestamps::same(self.written),
            size: 0,
            content_type: utf8_percent_encode(&json, ESCAPED).to_string(),
            etag: MD5_OF_NOTHING.to_owned(),
            deleted: false,
            policy: PolicyIndex(0),
        }
    }

    /// The row that takes it away.
    fn removal(&self) -> ObjectRow {
        let at = self.written.with_offset(self.written.offset() + 1);
        let (content_type, etag) = Default::default();
        ObjectRow { deleted: true, timestamps: RowTimestamps::same(at), content_type, etag, ..self.row() }
    }
}

/// One webhook's queue.
pub(super) struct Queue<'a> {
    client: &'a ClusterClient,
    webhook: &'a str,
}

impl<'a> Queue<'a> {
    pub(super) fn new(proxy: &'a Proxy, webhook: &'a str) -> Self {
        Self { client: &proxy.client, webhook }
    }

    /// About how many wait; none if that is not known.
    pub(super) async fn length(&self) -> u64 {
        let info = self.client.container_info(ACCOUNT, self.webhook).await;
        info.ok().and_then(|info| info.found().map(|info| info.object_count)).unwrap_or_default()
    }

    /// Adds an event.
    pub(super) async fn add(&self, event: Event, clock: &Clock) -> Result<Queued, NoAnswer> {
        let mut random = [0; 8];
        // Without randomness two names are the same only if two proxies write in the same ten microseconds.
        let _ = getrandom::fill(&mut random);
        let written = clock.next();
        let queued = Queued { name: format!("{}-{}", written.internal(), hex(&random)), written, event: Some(event) };
        self.client.add_rows(ACCOUNT, self.webhook, vec![queued.row()]).await?;
        Ok(queued)
    }

    /// Takes events away.
    pub(super) async fn remove(&self, done: &[Queued]) -> Result<(), NoAnswer> {
        self.client.add_rows(ACCOUNT, self.webhook, done.iter().map(Queued::removal).collect()).await
    }

    /// The oldest events after one.
    pub(super) async fn page(&self, marker: &str) -> Result<Vec<Queued>, Error> {
        self.list(&Listing { limit: PAGE, marker: marker.to_owned(), ..Listing::default() }).await
    }

    /// Whether an event still waits.
    pub(super) async fn has(&self, queued: &Queued) -> Result<bool, Error> {
        let rows = self.list(&Listing { limit: 1, prefix: queued.name.clone(), ..Listing::default() }).await?;
        Ok(!rows.is_empty())
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<Queued>, Error> {
        let target = Target::Container { account: ACCOUNT, container: self.webhook };
        let answer = self.client.read(Method::GET, &target, Some(&listing.query()), &HeaderMap::new(), true).await?;
        match answer.status() {
            // Nothing was ever told.
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            status if !status.is_success() => return Err(Error::Refused(status, String::new())),
            _ => {}
        }
        let most = usize::try_from(listing.limit).unwrap_or(usize::MAX);
        let rows = collect(answer.into_body(), most, Entry::read).await?;
        Ok(rows.into_iter().filter_map(Queued::of).collect())
    }
}
