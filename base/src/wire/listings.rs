//! What two nodes say to each other when they compare and copy accounts and containers.
//!
//! Each stream of a [`link`](crate::link) carries one [`ListingRequest`], inside a
//! [`Request`](super::replication::Request), and is answered with [`ListingAnswer`]s; frames and limits are those of
//! [`replication`](super::replication). The order of an exchange is told where it is led, in the replicator's `listings`.
//! Pure: no socket here.

use serde::{Deserialize, Serialize};

use super::replication::{PartitionDigest, Refusal};
use crate::policy::PolicyIndex;
use crate::timestamp::Timestamp;

/// The most databases in one [`ListingRequest::Offer`]: 32 bytes each.
pub const MAX_OFFERED: usize = 1024;
/// The most rows in one [`SyncPart::Rows`], so that the commit that takes them stays short.
pub const MAX_ROWS: usize = 1000;
/// The most bytes of rows in one [`SyncPart::Rows`], but for the last row.
pub const MAX_ROW_BYTES: usize = 512 * 1024;

/// What a listing lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// Containers of an account.
    Account,
    /// Objects of a container.
    Container,
}

/// Who a device's listings are, and how many row numbers they have given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// Random, made with the device's listings: numbers of another life mean nothing.
    pub id: [u8; 16],
    /// The last row number.
    pub number: u64,
}

/// The listings of one kind on a device of the node that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ListingPlace {
    /// Accounts or containers.
    pub kind: Kind,
    /// The device's name.
    pub device: String,
}

/// What a node asks of another about listings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListingRequest {
    /// Which of these partitions does the device hold otherwise? Answered with [`ListingAnswer::Differing`].
    Compare {
        /// The device that is asked.
        place: ListingPlace,
        /// Who asks, and the number of the last row that the digests count.
        life: Life,
        /// The part power that the partitions are of.
        power: u8,
        /// What the asker holds.
        partitions: Vec<PartitionDigest>,
    },
    /// How does the device hold these databases? Answered with [`ListingAnswer::Held`].
    Offer {
        /// The device that is asked.
        place: ListingPlace,
        /// The databases.
        databases: Vec<Offered>,
    },
    /// What follows belongs to one database. Answered with [`ListingAnswer::Ready`] first, then, after all
    /// [`SyncPart`]s, with [`ListingAnswer::Taken`].
    Sync {
        /// The device that shall take it.
        place: ListingPlace,
        /// Whose row numbers the parts speak of.
        life: [u8; 16],
        /// What the sender's copy knows of itself. Boxed, for it is the largest by far.
        head: Box<ListingHead>,
        /// Live rows from before are left out if the device has the database and not the row: the sender was away for
        /// so long that they may have been deleted, and that forgotten.
        stale: Option<Timestamp>,
    },
    /// Forget what is old in a database, if it is still in that state. Answered with [`ListingAnswer::Reclaimed`].
    Reclaim {
        /// The device.
        place: ListingPlace,
        /// The database, and the state that all its primaries were found in.
        database: Offered,
        /// What was deleted before is old.
        before: Timestamp,
        /// How much of it goes.
        scope: Scope,
    },
    /// Run a pass over the node's own listings now. Answered with [`ListingAnswer::Said`] again and again, and with
    /// [`ListingAnswer::Ran`] at the end.
    Run {
        /// Which listings.
        kind: Kind,
        /// Only these devices; all when there are none.
        devices: Vec<String>,
        /// Only these partitions.
        partitions: Vec<u32>,
    },
    /// The same, but for an audit of the listings.
    Audit {
        /// Which listings.
        kind: Kind,
        /// Only these devices; all when there are none.
        devices: Vec<String>,
        /// Only these partitions.
        partitions: Vec<u32>,
    },
}

impl ListingRequest {
    /// Which listings it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Compare { place, .. }
            | Self::Offer { place, .. }
            | Self::Sync { place, .. }
            | Self::Reclaim { place, .. } => place.kind,
            Self::Run { kind, .. } | Self::Audit { kind, .. } => *kind,
        }
    }
}

/// What is to be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// Old tombstones.
    Rows,
    /// Nothing yet: may the database, which was deleted, go as a whole?
    Ask,
    /// The database.
    Whole,
}

/// A database and the digest of its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The hash of its path.
    pub hash: [u8; 16],
    /// The digest of all that copies must agree on.
    pub state: [u8; 16],
}

/// What a copy of a database knows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingHead {
    /// The account.
    pub account: String,
    /// The container; empty for an account.
    pub container: String,
    /// When it was first created.
    pub created_at: Timestamp,
    /// The newest PUT.
    pub put_timestamp: Timestamp,
    /// The newest DELETE.
    pub delete_timestamp: Timestamp,
    /// When it last came to be, or ceased.
    pub status_changed_at: Timestamp,
    /// Whether a DELETE was accepted.
    pub status_deleted: bool,
    /// The storage policy of a container.
    pub policy: PolicyIndex,
    /// Whether it has no live row in its own policy.
    pub empty: bool,
    /// Its metadata, tombstones included.
    pub metadata: Vec<MetadataItem>,
}

/// One item of metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetadataItem {
    /// The header's name, in lower case.
    pub name: String,
    /// When it was set.
    pub timestamp: Timestamp,
    /// Its value; empty when it was deleted.
    pub value: String,
}

/// What follows a [`ListingRequest::Sync`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncPart {
    /// Rows.
    Rows {
        /// At most [`MAX_ROWS`].
        rows: Vec<ListingRow>,
        /// All rows up to this number were sent, if that is so.
        through: Option<u64>,
    },
    /// That was all.
    Done {
        /// All rows up to this number were sent.
        through: u64,
        /// Whether everything was, so that the copy is whole now if it was not.
        whole: bool,
    },
}

/// A row or its tombstone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListingRow {
    /// The policy of a container's row; 0 in an account.
    pub space: PolicyIndex,
    /// Its name.
    pub name: String,
    /// Its fields, as they are stored.
    pub fields: Vec<u8>,
}

/// What a node answers about listings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListingAnswer {
    /// Those of the compared partitions that are not the same.
    Differing(Vec<u32>),
    /// One for each offered database, in order.
    Held(Vec<Held>),
    /// The head is taken in; now the rows.
    Ready {
        /// All of the sender's rows up to this number are here already.
        point: u64,
        /// The copy's live rows.
        rows: u64,
        /// The XOR over its rows.
        hash: [u8; 16],
        /// Whether it is being filled.
        filling: bool,
        /// What both copies know of themselves together.
        head: Box<ListingHead>,
    },
    /// The rows are on stable storage.
    Taken(Taken),
    /// Whether it was still in that state, and what was old is gone.
    Reclaimed(bool),
    /// A line about the pass.
    Said(String),
    /// The pass has ended.
    Ran {
        /// What it could not do.
        failures: u64,
    },
    /// Nothing of it was done.
    Refused(Refusal),
}

/// How a device holds a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Held {
    /// In the same state.
    Same,
    /// Otherwise.
    Differs,
    /// Not at all.
    Unknown,
}

/// A copy after it took what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The digest of its state.
    pub state: [u8; 16],
    /// The XOR over its rows.
    pub hash: [u8; 16],
    /// Whose row numbers it has.
    pub life: [u8; 16],
    /// The number of its last row.
    pub last_row: u64,
    /// Rows that were left out because the sender was away for too long.
    pub left_out: u64,
}

#[cfg(test)]
mod tests {
    use super::super::replication::{decode, encode};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn row() -> impl Strategy<Value = ListingRow> {
        let row = (0u32..3, "\\PC{0,20}", vec(any::<u8>(), 0..30));
        row.prop_map(|(space, name, fields)| ListingRow { space: PolicyIndex(space), name, fields })
    }

    fn head() -> impl Strategy<Value = ListingHead> {
        let fields = ("\\PC{0,9}", "\\PC{0,9}", [0u64..1 << 40, 0u64..1 << 40, 0u64..9, 0u64..9], any::<bool>());
        fields.prop_map(|(account, container, times, flag)| {
            let [created_at, put_timestamp, delete_timestamp, status_changed_at] = times.map(Timestamp::from_ticks);
            let item = MetadataItem { name: account.clone(), timestamp: created_at, value: container.clone() };
            ListingHead {
                account,
                container,
                created_at,
                put_timestamp: put_timestamp.with_offset(3),
                delete_timestamp,
                status_changed_at,
                status_deleted: flag,
                policy: PolicyIndex(1),
                empty: !flag,
                metadata: vec![item],
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_said_is_understood(head in head(), rows in vec(row(), 0..9), through in any::<Option<u64>>()) {
            let place = ListingPlace { kind: Kind::Account, device: "d".into() };
            let sync = ListingRequest::Sync { place, life: [7; 16], head: Box::new(head), stale: None };
            prop_assert_eq!(decode::<ListingRequest>(&encode(&sync).unwrap()[4..]).unwrap(), sync);
            let part = SyncPart::Rows { rows, through };
            prop_assert_eq!(decode::<SyncPart>(&encode(&part).unwrap()[4..]).unwrap(), part);
        }

        #[test]
        fn any_bytes_are_understood_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let _ = (decode::<ListingRequest>(&bytes), decode::<SyncPart>(&bytes), decode::<ListingAnswer>(&bytes));
        }
    }
}
