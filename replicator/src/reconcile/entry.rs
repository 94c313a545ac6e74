//! The queue of misplaced objects, as Swift keeps it: rows in containers of a hidden account. Pure.
//!
//! A container is named after the hour in which the object was written, in seconds since 1970. A row is named
//! `<policy>:/<account>/<container>/<object>` after the policy that the object was written under; its content type says what was
//! done to the object, and its ETag when, which its own time need not say: an operator may put a row in once more.

use apus_base::client::ObjectPath;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;

/// The hidden account.
pub const ACCOUNT: &str = ".misplaced_objects";
/// How long one container of the queue is for, in seconds.
const SECONDS_PER_CONTAINER: u64 = 3600;
/// Content types of the queue's rows.
const PUT: &str = "application/x-put";
const DELETE: &str = "application/x-delete";

/// What was done to an object under another policy than its container's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The policy that it was done under.
    pub policy: PolicyIndex,
    /// The account.
    pub account: String,
    /// The container.
    pub container: String,
    /// The object.
    pub object: String,
    /// When it was done.
    pub at: Timestamp,
    /// Whether the object was deleted.
    pub deleted: bool,
}

impl Entry {
    /// Reads a row of the queue; `None` for what is none.
    pub fn parse(name: &str, content_type: &str, etag: &str) -> Option<Self> {
        let (policy, path) = name.split_once(":/")?;
        let mut names = path.splitn(3, '/').filter(|part| !part.is_empty()).map(str::to_owned);
        let (account, container, object) = (names.next()?, names.next()?, names.next()?);
        let at = etag.parse::<RowTimestamps>().ok()?.data;
        let policy = policy.parse().ok().map(PolicyIndex)?;
        let deleted = match content_type {
            PUT => false,
            DELETE => true,
            _ => return None,
        };
        Some(Self { policy, account, container, object, at, deleted })
    }

    /// The container of the queue that it belongs to.
    pub fn queue(&self) -> String {
        queue(self.at)
    }

    /// The row that stands for it.
    pub fn row(&self) -> ObjectRow {
        ObjectRow {
            name: self.name(),
            timestamps: RowTimestamps::same(self.at),
            size: 0,
            content_type: if self.deleted { DELETE } else { PUT }.into(),
            etag: self.at.internal(),
            deleted: false,
            policy: PolicyIndex::default(),
        }
    }

    /// The row that takes it out again. It is later than the tombstone that stays under the wrong policy, so that whoever puts
    /// that in does nothing.
    pub fn done(&self, put_in_at: Timestamp) -> ObjectRow {
        let at = later(self.at.max(put_in_at), 2);
        let (content_type, etag) = (String::new(), String::new());
        let (name, policy) = (self.name(), PolicyIndex::default());
        ObjectRow { name, timestamps: RowTimestamps::same(at), size: 0, content_type, etag, deleted: true, policy }
    }

    /// When its tombstone is written under the wrong policy.
    pub fn cleaned_at(&self) -> Timestamp {
        later(self.at, 1)
    }

    /// The object under a policy.
    pub fn path(&self, policy: PolicyIndex) -> ObjectPath<'_> {
        ObjectPath { policy, account: &self.account, container: &self.container, object: &self.object }
    }

    fn name(&self) -> String {
        format!("{}:/{}/{}/{}", self.policy.0, self.account, self.container, self.object)
    }
}

/// The container of the queue for what was done then.
pub fn queue(at: Timestamp) -> String {
    (at.secs() / SECONDS_PER_CONTAINER * SECONDS_PER_CONTAINER).to_string()
}

/// When an object that was written or deleted then is written or deleted under its container's policy: at the same time for all that
/// clients see, later than itself and before everything that a client writes later.
pub fn moved_at(at: Timestamp) -> Timestamp {
    later(at, 3)
}

fn later(at: Timestamp, offset: u64) -> Timestamp {
    at.with_offset(at.offset().saturating_add(offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_is_read_as_it_was_written(
            policy in 0u32..9, object in "[^/]\\PC{0,20}", secs in 0u64..9_999_999_999, offset in 0u64..9, deleted: bool,
        ) {
            let at = Timestamp::from_secs(secs).with_offset(offset);
            let (account, container) = ("AUTH_a".into(), "c".into());
            let entry = Entry { policy: PolicyIndex(policy), account, container, object, at, deleted };
            let row = entry.row();
            prop_assert_eq!(Entry::parse(&row.name, &row.content_type, &row.etag).unwrap(), entry);
        }

        #[test]
        fn anything_is_read_or_refused(name in "\\PC{0,30}|[0-9]:/[a/]{0,9}", kind in "application/x-(put|delete|post)", etag in "\\PC{0,20}") {
            let _ = Entry::parse(&name, &kind, &etag);
        }
    }

    #[test]
    fn the_names_and_times_are_swifts() {
        // From a container-reconciler of Swift: "0:/AUTH_a/c/o/x" of 1700000123.
        let entry = Entry::parse("0:/AUTH_a/c/o/x", PUT, "1700000123.00000").unwrap();
        assert_eq!((entry.queue().as_str(), entry.object.as_str()), ("1699999200", "o/x"));
        assert_eq!(entry.cleaned_at().internal(), "1700000123.00000_0000000000000001");
        assert_eq!(moved_at(entry.at).internal(), "1700000123.00000_0000000000000003");
        assert_eq!(entry.done(entry.at).timestamps.data.internal(), "1700000123.00000_0000000000000002");
        assert_eq!(entry.done(Timestamp::from_secs(1_800_000_000)).timestamps.data.secs(), 1_800_000_000);
        // The time of the data counts, not that of a later POST.
        let posted = Entry::parse("1:/a/c/o", DELETE, "1700000123.00000+5+6").unwrap();
        assert_eq!((posted.at.secs(), posted.deleted, posted.policy.0), (1_700_000_123, true, 1));
        for bad in ["0:a/c/o", "x:/a/c/o", "0:/a/c", "0:/a//o", "/a/c/o"] {
            assert_eq!(Entry::parse(bad, PUT, "1700000123.00000"), None, "{bad}");
        }
    }
}
