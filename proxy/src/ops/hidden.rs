//! Containers of the cluster's own hidden accounts, whose rows are all there is: nothing stands behind them, and where an object
//! has its content type a row says what it is for.

use apus_base::client::{ClusterClient, NoAnswer, Target};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::listing::Listing;
use super::rows::{Entry, Object, collect};
use crate::error::Error;

/// A content type has parameters behind a semicolon, some of which listings take away.
const ESCAPED: &AsciiSet = &CONTROLS.add(b';').add(b'%');
/// What an empty object has.
const MD5_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// A hidden container.
pub(crate) struct Hidden<'a> {
    pub(crate) client: &'a ClusterClient,
    /// The account, whose name begins with a dot: it comes into being with the first row.
    pub(crate) account: &'a str,
    pub(crate) container: &'a str,
}

/// A row that says something.
pub(crate) fn row(name: String, at: Timestamp, says: &str) -> ObjectRow {
    ObjectRow {
        name,
        timestamps: RowTimestamps::same(at),
        size: 0,
        content_type: utf8_percent_encode(says, ESCAPED).to_string(),
        etag: MD5_OF_NOTHING.to_owned(),
        deleted: false,
        policy: PolicyIndex(0),
    }
}

/// What takes a row away that was written at a time, and none that is written later.
pub(crate) fn removal(name: String, written: Timestamp) -> ObjectRow {
    let at = written.just_after();
    ObjectRow { deleted: true, etag: String::new(), ..row(name, at, "") }
}

impl Hidden<'_> {
    /// Writes rows.
    ///
    /// # Errors
    /// When too few servers have all of them.
    pub(crate) async fn write(&self, rows: Vec<ObjectRow>) -> Result<(), NoAnswer> {
        self.client.add_rows(self.account, self.container, rows).await
    }

    /// The rows of a part of the listing, as the newest of the replicas that answer has it, and what they say as their content type.
    /// None if there never were any.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) async fn list(&self, listing: &Listing) -> Result<Vec<Object>, Error> {
        let target = Target::Container { account: self.account, container: self.container };
        let answer = self.client.read(Method::GET, &target, Some(&listing.query()), &HeaderMap::new(), true).await?;
        match answer.status() {
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            status if !status.is_success() => return Err(Error::Refused(status, String::new())),
            _ => {}
        }
        let most = usize::try_from(listing.limit).unwrap_or(usize::MAX);
        let rows = collect(answer.into_body(), most, Entry::read).await?;
        Ok(rows.into_iter().filter_map(said).collect())
    }
}

fn said(entry: Entry) -> Option<Object> {
    let Entry::Object(mut object) = entry else { return None };
    object.content_type = percent_decode_str(&object.content_type).decode_utf8_lossy().into_owned();
    Some(*object)
}

/// A row as a listing shows it.
#[cfg(test)]
pub(crate) fn listed(row: ObjectRow) -> Object {
    let (name, content_type) = (row.name, row.content_type);
    let last_modified = row.timestamps.meta.isoformat();
    said(Entry::Object(Box::new(Object { name, content_type, last_modified, ..Object::default() }))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_a_row_says_comes_back_and_is_no_parameter(says in "\\PC{0,20}|[;%=a]{0,9}|x;swift_bytes=9") {
            let row = row("r".into(), Timestamp::from_secs(1), &says);
            prop_assert!(!row.content_type.contains(';'));
            prop_assert_eq!(listed(row).content_type, says);
        }
    }
}
