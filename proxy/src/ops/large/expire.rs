//! The queue of the expirer: deletions that are left to it.
//!
//! It is a hidden account whose containers are named after days and whose rows after when and what to delete, exactly as
//! Swift's expirer reads them. A row without a time of expiry says by its content type that the object shall go whatever
//! its own expiry is.

use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;

use crate::error::Error;
use crate::ops::Call;
use crate::ops::resource::ObjectName;

const ACCOUNT: &str = ".expiring_objects";
const CONTENT_TYPE: &str = "application/async-deleted";
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";
/// A container of the queue is for one day.
const SECONDS_PER_CONTAINER: u64 = 86_400;
/// Each day has so many, so that no container gets all of a day's rows.
const CONTAINERS_PER_DAY: u128 = 100;

/// Objects of one container that shall be deleted.
pub(super) struct Segments {
    /// The container.
    pub(super) container: String,
    /// The objects.
    pub(super) objects: Vec<String>,
}

/// Leaves the deletion of a large object's segments to the expirer, as of now.
pub(super) async fn enqueue(call: Call<'_>, name: &ObjectName, segments: &Segments) -> Result<(), Error> {
    let now = call.proxy.clock.next();
    let salt = &call.proxy.cluster.hash_path;
    let container = container(now, &salt.object(&name.account, &name.container, &name.object));
    let row = |object: &String| row(now, &format!("{}/{}/{object}", name.account, segments.container));
    let rows = segments.objects.iter().map(row).collect();
    Ok(call.proxy.client.add_rows(ACCOUNT, &container, rows).await?)
}

/// The container for what is deleted then; `hash` is that of the object's name.
fn container(at: Timestamp, hash: &PathHash) -> String {
    // A remainder of a hundred is a small number.
    let offset = u64::try_from(u128::from_be_bytes(hash.0) % CONTAINERS_PER_DAY).unwrap_or(0);
    let day = at.secs() / SECONDS_PER_CONTAINER * SECONDS_PER_CONTAINER;
    format!("{:010}", day.saturating_sub(offset))
}

fn row(at: Timestamp, path: &str) -> ObjectRow {
    ObjectRow {
        name: format!("{}-{path}", at.normal()),
        timestamps: RowTimestamps::same(at),
        size: 0,
        content_type: CONTENT_TYPE.to_owned(),
        etag: MD5_OF_NOTHING.to_owned(),
        deleted: false,
        policy: PolicyIndex(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_swifts() {
        let at: Timestamp = "1712345678.12345".parse().unwrap();
        // 0x…0163 is 355, which leaves 55; the day began at 1712275200.
        let mut hash = [0; 16];
        hash[14..].copy_from_slice(&355_u16.to_be_bytes());
        assert_eq!(container(at, &PathHash(hash)), "1712275145");
        assert_eq!(row(at, "AUTH_a/c/o/p").name, "1712345678.12345-AUTH_a/c/o/p");
    }
}
