//! The queue of objects that expire, as far as an object server keeps it: a row when an object gets a time to expire, and
//! the row's removal when it loses it.
//!
//! Which container servers get a new row is in the request's headers; those are told like the object's own container. A
//! removal can wait, so it always goes to the updater. What the rows look like is in [`apus_base::expiring`].

use apus_base::expiring::{self, Task};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate, header};
use http::HeaderMap;

use super::target::{Target, is_true, text};

/// The ETag of what is empty.
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// What a write changes about when an object expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expiry {
    /// When it was to expire before, in seconds since 1970.
    pub(super) before: Option<u64>,
    /// When it is now.
    pub(super) after: Option<Due>,
}

/// When an object expires, and what the queue tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// In seconds since 1970.
    pub(super) at: u64,
    /// The bytes that will be free then.
    pub(super) size: u64,
    /// The version of its data.
    pub(super) data: Timestamp,
}

/// The `X-Delete-At` of a request; 0 is none, as in Swift.
pub(super) fn delete_at(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::DELETE_AT)?.trim().parse().ok().filter(|at| *at > 0)
}

impl Expiry {
    /// The row to add to the queue, if this server is one of those that add it.
    pub(super) fn addition(&self, target: &Target, headers: &HeaderMap, now: Timestamp) -> Option<RowUpdate> {
        let due = self.after.filter(|_| headers.contains_key(header::DELETE_AT_HOST) && is_own(headers))?;
        let told = text(headers, header::DELETE_AT_CONTAINER).map(str::trim).filter(|container| !container.is_empty());
        let container = told.map_or_else(|| container(target, due.at), str::to_owned);
        let row = ObjectRow {
            timestamps: RowTimestamps { data: now, content_type: due.data, meta: due.data },
            content_type: format!("{};swift_expirer_bytes={}", expiring::CONTENT_TYPE, due.size),
            etag: MD5_OF_NOTHING.to_owned(),
            deleted: false,
            ..removed(target, due.at, now)
        };
        Some(update(container, row))
    }

    /// The row to take out of the queue, if this server is one of those that do.
    pub(super) fn removal(&self, target: &Target, headers: &HeaderMap, now: Timestamp) -> Option<RowUpdate> {
        let before = self.before.filter(|at| *at > 0 && Some(*at) != self.after.map(|due| due.at))?;
        let wanted =
            !headers.contains_key(header::CLEAN_EXPIRING_QUEUE) || is_true(headers, header::CLEAN_EXPIRING_QUEUE);
        (wanted && is_own(headers)).then(|| update(container(target, before), removed(target, before, now)))
    }
}

/// Whether it is a client's write: what replication brings is in the queue already.
fn is_own(headers: &HeaderMap) -> bool {
    !is_true(headers, "x-backend-replication")
}

fn container(target: &Target, at: u64) -> String {
    expiring::container(at, &target.location.hash)
}

fn removed(target: &Target, at: u64, now: Timestamp) -> ObjectRow {
    ObjectRow {
        name: Task::name(at, &target.account, &target.container, &target.object),
        timestamps: RowTimestamps::same(now),
        size: 0,
        content_type: String::new(),
        etag: String::new(),
        deleted: true,
        // The queue is of policy 0, whatever its objects are of.
        policy: PolicyIndex(0),
    }
}

/// The partition is filled in by whoever knows the ring.
fn update(container: String, row: ObjectRow) -> RowUpdate {
    RowUpdate { partition: 0, account: expiring::ACCOUNT.to_owned(), container, row }
}
