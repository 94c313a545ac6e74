//! Deletions that are left to the expirer: rows in its queue ([`apus_base::expiring`]) which say by their content type that
//! the object shall go whatever its own expiry is.

use apus_base::expiring;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;

use crate::error::Error;
use crate::ops::Call;
use crate::ops::resource::ObjectName;

const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

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
    let container = expiring::container(now.secs(), &salt.object(&name.account, &name.container, &name.object));
    let row = |object: &String| row(now, &format!("{}/{}/{object}", name.account, segments.container));
    let rows = segments.objects.iter().map(row).collect();
    Ok(call.proxy.client.add_rows(expiring::ACCOUNT, &container, rows).await?)
}

fn row(at: Timestamp, path: &str) -> ObjectRow {
    ObjectRow {
        name: format!("{}-{path}", at.normal()),
        timestamps: RowTimestamps::same(at),
        size: 0,
        content_type: expiring::ASYNC_DELETED.to_owned(),
        etag: MD5_OF_NOTHING.to_owned(),
        deleted: false,
        policy: PolicyIndex(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_as_swifts() {
        let at: Timestamp = "1712345678.12345".parse().unwrap();
        assert_eq!(row(at, "AUTH_a/c/o/p").name, "1712345678.12345-AUTH_a/c/o/p");
    }
}
