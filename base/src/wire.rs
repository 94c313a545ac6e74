//! What servers say to each other: Swift's backend paths and headers, and the batch of listing rows that is ours.
//!
//! Backend paths are `/<device>/<partition>/<account>[/<container>[/<object>]]`, each part percent-encoded.

pub mod listings;
pub mod redundancy;
pub mod replication;

use std::fmt::Write as _;

use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::policy::PolicyIndex;
use crate::timestamp::{RowTimestamps, Timestamp};

/// Swift's status of a storage server that is asked more than its rates allow, or than its disk can do: another node is to be
/// asked, and the server is no worse for it.
pub const TOO_MANY_BACKEND_REQUESTS: StatusCode = match StatusCode::from_u16(529) {
    Ok(status) => status,
    Err(_) => StatusCode::SERVICE_UNAVAILABLE,
};

/// Whether a text says yes: the words that Swift's `config_true_value` takes for true.
pub fn is_yes(text: &str) -> bool {
    ["true", "1", "yes", "on", "t", "y"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}

/// Header names between servers, in lower case as `http` wants them.
pub mod header {
    /// The number of the storage policy that a request is about.
    pub const POLICY_INDEX: &str = "x-backend-storage-policy-index";
    /// The version that a request writes, or that an answer has.
    pub const TIMESTAMP: &str = "x-timestamp";
    /// In answers: the newest version here, tombstones included.
    pub const BACKEND_TIMESTAMP: &str = "x-backend-timestamp";
    /// In answers: the version of an object's data, where a later POST changed its metadata. In a refusal with
    /// [`FENCE`]: the version that stands in the way, if it is not a promise.
    pub const BACKEND_DATA_TIMESTAMP: &str = "x-backend-data-timestamp";
    /// In a POST: the container's row of the object stays as it is, because nothing that listings show is changed.
    pub const UNLISTED: &str = "x-backend-unlisted";
    /// The MD5 of a PUT's body, which the proxy has computed: a header, or a trailer behind a body that it hashed while it streamed.
    pub const BODY_ETAG: &str = "x-backend-etag";
    /// Beside it the body's CRC-32 (IEEE, eight hexadecimal digits), which checks the hop to each replica.
    pub const BODY_CRC: &str = "x-backend-crc32";
    /// With a container's listing: its rows are as clients see them, with nothing behind a hash and no name of the cluster's own.
    pub const PLAIN_ROWS: &str = "x-backend-plain-rows";
    /// How long the body of a PUT is that comes in chunks, so that the object server can make room for it.
    pub const OBJECT_CONTENT_LENGTH: &str = "x-backend-obj-content-length";
    /// The boundary that an object server shall use between the parts of a multi-range answer, so that a second replica
    /// can go on where the first one broke off.
    pub const MULTIPART_BOUNDARY: &str = "x-backend-multipart-boundary";
    /// Comma-separated `host:port` of the container servers that an object server has to tell.
    pub const CONTAINER_HOST: &str = "x-container-host";
    /// Their devices, in the same order.
    pub const CONTAINER_DEVICE: &str = "x-container-device";
    /// The container's partition.
    pub const CONTAINER_PARTITION: &str = "x-container-partition";
    /// When an object expires, in seconds since 1970.
    pub const DELETE_AT: &str = "x-delete-at";
    /// In a DELETE: the object is deleted only if this is when it expires. An expirer says so, and clients may.
    pub const IF_DELETE_AT: &str = "x-if-delete-at";
    /// As the container headers, for the container of the queue of expiring objects.
    pub const DELETE_AT_HOST: &str = "x-delete-at-host";
    /// Their devices, in the same order.
    pub const DELETE_AT_DEVICE: &str = "x-delete-at-device";
    /// That container's partition.
    pub const DELETE_AT_PARTITION: &str = "x-delete-at-partition";
    /// That container's name.
    pub const DELETE_AT_CONTAINER: &str = "x-delete-at-container";
    /// Whether an object server shall take an object that no longer expires out of that queue.
    pub const CLEAN_EXPIRING_QUEUE: &str = "x-backend-clean-expiring-object-queue";
    /// As the container headers, for the account servers that a container server has to tell.
    pub const ACCOUNT_HOST: &str = "x-account-host";
    /// Their devices, in the same order.
    pub const ACCOUNT_DEVICE: &str = "x-account-device";
    /// The account's partition.
    pub const ACCOUNT_PARTITION: &str = "x-account-partition";
    /// In answers about an account or a container: the digest of all that its copies must agree on.
    pub const LISTING_STATE: &str = "x-backend-listing-state";
    /// The method by which a pass has the keys of an encrypted object rewritten: `REWRAP` on an object's path, ours alone.
    pub const REWRAP: &str = "REWRAP";
    /// In answers about an object: its metadata are halfway through a `REWRAP`, which another one ends.
    pub const REWRAPPING: &str = "x-backend-rewrapping";
    /// The method by which a proxy asks a replica for its state, on stable storage, and with `X-Timestamp` for the promise that
    /// nothing older gets in: `FENCE` on an object's path. See [`ballot`](crate::ballot).
    pub const FENCE_METHOD: &str = "FENCE";
    /// The method that makes what is held the version of a ballot, or without anything held its tombstone.
    pub const COMMIT_METHOD: &str = "COMMIT";
    /// In a PUT: keep the body ready under this name and show it to nobody. In a `COMMIT`: show it.
    pub const HOLD: &str = "x-backend-hold";
    /// In answers: a promise stands against what is older than this. Whoever was refused may try again with a newer timestamp.
    pub const FENCE: &str = "x-backend-fence";
    /// Takes back the promise that a ballot was given, if it is the last one: `RELEASE` on an object's path.
    pub const RELEASE_METHOD: &str = "RELEASE";
    /// In answers to a `FENCE`: whether the promise was given (`true`, `false`), or in place of an older one (`above`).
    pub const PROMISED: &str = "x-backend-promised";
    /// Whether an account server also lists the containers of an account that was deleted: for the reaper.
    pub const OVERRIDE_DELETED: &str = "x-backend-override-deleted";
    /// Whether an account server takes the row of a container although the account was deleted.
    pub const ACCOUNT_OVERRIDE_DELETED: &str = "x-account-override-deleted";
    /// Whether names that belong to the cluster are listed too.
    pub const ALLOW_RESERVED_NAMES: &str = "x-backend-allow-reserved-names";
    /// The transaction that a request belongs to, for logs.
    pub const TRANS_ID: &str = "x-trans-id";
}

/// All but the characters that RFC 3986 leaves unreserved.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A parsed backend path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendPath {
    /// The device, a folder name.
    pub device: String,
    /// The partition.
    pub partition: u32,
    /// The account.
    pub account: String,
    /// The container, absent in an account's path.
    pub container: Option<String>,
    /// The object, absent in an account's or a container's path.
    pub object: Option<String>,
}

/// Why a backend path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Too few parts, or an empty one.
    #[error("Invalid path: expected /device/partition/account[/container[/object]]")]
    Shape,
    /// A part that is not UTF-8.
    #[error("Invalid UTF8")]
    Utf8,
    /// A device that is not a plain folder name.
    #[error("Invalid device: it must be a folder's name")]
    Device,
    /// A partition that is not a number.
    #[error("Invalid partition: it must be a number")]
    Partition,
}

impl BackendPath {
    /// Reads the path of a request's URI. The object may hold slashes; the other parts end at one.
    ///
    /// # Errors
    /// When a part is missing, empty, not UTF-8, or a device that would leave the devices' folder.
    pub fn parse(path: &str) -> Result<Self, InvalidPath> {
        let mut parts = path.strip_prefix('/').ok_or(InvalidPath::Shape)?.splitn(5, '/');
        let mut next = || parts.next().filter(|p| !p.is_empty()).map(decode).transpose();
        let device = next()?.ok_or(InvalidPath::Shape)?;
        if device.starts_with('.') || device.contains(['/', '\0']) {
            return Err(InvalidPath::Device);
        }
        let partition = next()?.ok_or(InvalidPath::Shape)?;
        let account = next()?.ok_or(InvalidPath::Shape)?;
        let (container, object) = (next()?, next()?);
        if !partition.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidPath::Partition);
        }
        let partition = partition.parse().map_err(|_| InvalidPath::Partition)?;
        if container.is_none() && object.is_some() {
            return Err(InvalidPath::Shape);
        }
        Ok(Self { device, partition, account, container, object })
    }
}

fn decode(part: &str) -> Result<String, InvalidPath> {
    percent_decode_str(part).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| InvalidPath::Utf8)
}

/// Writes a backend path, percent-encoded, from its device, partition and names.
pub fn backend_path(device: &str, partition: u32, names: &[&str]) -> String {
    let mut path = format!("/{}/{partition}", utf8_percent_encode(device, PART));
    for name in names {
        path.push('/');
        // Writing into a String cannot fail. Slashes inside an object's name stay as they are.
        let pieces = name.split('/').map(|piece| utf8_percent_encode(piece, PART));
        for (i, piece) in pieces.enumerate() {
            let _ = if i == 0 { write!(path, "{piece}") } else { write!(path, "/{piece}") };
        }
    }
    path
}

/// The path of an [`UpdateBatch`] for a device, percent-encoded.
pub fn update_path(device: &str) -> String {
    format!("/{}", utf8_percent_encode(device, PART))
}

/// A change of one row in a container's listing, as object servers report it.
///
/// Many travel together: `UPDATE /<device>` on a container server with an [`UpdateBatch`] as JSON, answered with an
/// [`UpdateAnswer`]. Rows merge idempotently and in any order, so a batch may be sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowUpdate {
    /// The container's partition.
    pub partition: u32,
    /// The account's name.
    pub account: String,
    /// The container's name.
    pub container: String,
    /// The row.
    #[serde(flatten)]
    pub row: ObjectRow,
}

/// One row of a container's listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRow {
    /// The object's name.
    pub name: String,
    /// Its versions, in Swift's `created_at` spelling.
    #[serde(with = "as_text")]
    pub timestamps: RowTimestamps,
    /// Its length in bytes; 0 for a deletion.
    pub size: u64,
    /// Its content type; empty for a deletion.
    pub content_type: String,
    /// Its ETag; empty for a deletion.
    pub etag: String,
    /// Whether the object is gone.
    pub deleted: bool,
    /// The policy whose ring its data follows.
    pub policy: PolicyIndex,
}

/// Rows for one device of a container server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateBatch {
    /// In any order.
    pub rows: Vec<RowUpdate>,
}

/// Some of the containers that a device of a container server has, live ones only: the answer to `GET /<device>`, as JSON.
/// `?marker=` goes on where another answer ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// In no order that means anything.
    pub containers: Vec<InventoryItem>,
    /// The marker of what follows; `None` at the end.
    pub next: Option<String>,
}

/// One container that a device has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryItem {
    /// Its account.
    pub account: String,
    /// Its name.
    pub container: String,
    /// The policy of its objects.
    pub policy: PolicyIndex,
}

/// A container of a device with rows under other policies than its own, for the reconciler: the answer to
/// `GET /<device>?misplaced=<hash>`, as JSON, `null` when there is none. It is about the container after that hash, or with
/// `&after=` about that very one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MisplacedRows {
    /// The hash of the container's path.
    pub hash: String,
    /// What tells the state in which its rows are shown, to be given back with `DELETE /<device>?misplaced=<hash>&state=`.
    pub state: String,
    /// Its account.
    pub account: String,
    /// Its name.
    pub container: String,
    /// Some of the rows.
    pub rows: Vec<ObjectRow>,
    /// What to give as `after` to see more.
    pub next: Option<String>,
}

/// What became of each row of a batch, in its order: an HTTP status, 201 or 204 when it is on stable storage,
/// 404 when there is no such container (it is not created), 507 when the device is gone or full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateAnswer {
    /// One for each row.
    pub statuses: Vec<u16>,
}

/// Accounts on one device that were deleted and still have containers, for the reaper: `GET /<device>` on an account server,
/// `?marker=` to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletedAccounts {
    /// In the order of their hashes.
    pub accounts: Vec<DeletedAccount>,
    /// What to give as `marker` to see more; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
}

/// One of [`DeletedAccounts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeletedAccount {
    /// Its name.
    pub account: String,
    /// When it was deleted.
    #[serde(with = "as_text")]
    pub deleted_at: Timestamp,
    /// How many containers it still has.
    pub containers: u64,
}

/// Serde by way of `Display` and `FromStr`.
mod as_text {
    use std::borrow::Cow;
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error>
    where
        T::Err: Display,
    {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn devices_cannot_leave_their_folder() {
        for path in ["/../1/a", "/./1/a", "/%2e%2e/1/a", "/d%2f1/1/a", "/%00/1/a"] {
            assert_eq!(BackendPath::parse(path), Err(InvalidPath::Device), "{path}");
        }
        assert_eq!(BackendPath::parse("/d/+1/a"), Err(InvalidPath::Partition));
        assert_eq!(BackendPath::parse("/d/1"), Err(InvalidPath::Shape));
        assert_eq!(BackendPath::parse("/d/1/a//o"), Err(InvalidPath::Shape));
        assert_eq!(BackendPath::parse("/d/1/%ff"), Err(InvalidPath::Utf8));
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "\\PC{0,40}|/[a%0-9/.]{0,30}") {
            let _ = BackendPath::parse(&path);
        }

        #[test]
        fn names_come_back(account in "[^/]{1,9}", container in "[^/]{1,9}", object in "[^/]\\PC{0,20}", partition: u32) {
            let path = backend_path("sda1", partition, &[&account, &container, &object]);
            let parsed = BackendPath::parse(&path).unwrap();
            prop_assert_eq!(parsed.account, account);
            prop_assert_eq!(parsed.container.unwrap(), container);
            prop_assert_eq!(parsed.object.unwrap(), object);
            prop_assert_eq!(parsed.partition, partition);
        }
    }
}
