//! The rows of Swift's databases and of the `.pending` files beside them, as ours.

use apus_account::store::Row as ContainerRow;
use apus_base::pickle::Value;
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::ObjectRow;
use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::database::column;

/// A row that makes no sense, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{column} of {name:?} is {what}")]
pub(crate) struct BadRow {
    pub(crate) name: String,
    column: &'static str,
    what: String,
}

/// A row, and the text by which Swift's hash over all rows knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SwiftRow {
    pub(crate) row: AnyRow,
    pub(crate) version: String,
}

/// A row of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnyRow {
    Container { name: String, row: ContainerRow },
    Object(ObjectRow),
}

impl AnyRow {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Container { name, .. } => name,
            Self::Object(row) => &row.name,
        }
    }
}

/// A row of an account's database.
pub(super) fn container(from: &Row<'_>) -> Result<SwiftRow, BadRow> {
    let name = text(from, "name")?;
    let (put, delete) = (text(from, "put_timestamp")?, text(from, "delete_timestamp")?);
    let (objects, bytes) = (number(from, "object_count", 0)?, number(from, "bytes_used", 0)?);
    let version = format!("{put}-{delete}-{objects}-{bytes}");
    let (put, delete) = (timestamp(from, "put_timestamp")?, timestamp(from, "delete_timestamp")?);
    let row = container_row(put, delete, (objects, bytes), policy(from)?, 0);
    Ok(SwiftRow { row: AnyRow::Container { name, row }, version })
}

/// Swift does not say when a container was counted: at its newest change at the earliest, and `later` ticks after that for
/// the rows that wait in a `.pending` file. All containers are counted anew after the import.
fn container_row(
    put_timestamp: Timestamp,
    delete_timestamp: Timestamp,
    (objects, bytes): (i64, i64),
    policy: PolicyIndex,
    later: u64,
) -> ContainerRow {
    let counted_at = Timestamp::from_ticks(put_timestamp.max(delete_timestamp).ticks().saturating_add(later));
    // Counts below zero, which bugs of old Swifts left, are none.
    let (objects, bytes) = (u64::try_from(objects).unwrap_or(0), u64::try_from(bytes).unwrap_or(0));
    ContainerRow { put_timestamp, delete_timestamp, counted_at, objects, bytes, policy }
}

/// A row of a container's database.
pub(super) fn object(from: &Row<'_>) -> Result<SwiftRow, BadRow> {
    let name = text(from, "name")?;
    let version = text(from, "created_at")?;
    let timestamps: RowTimestamps = version.parse().map_err(|_| bad(&name, "created_at", &version))?;
    let size = u64::try_from(number(from, "size", 0)?).map_err(|_| bad(&name, "size", &"negative"))?;
    let deleted = number(from, "deleted", 0)? != 0;
    let row = ObjectRow {
        timestamps,
        size: if deleted { 0 } else { size },
        content_type: text(from, "content_type")?,
        etag: text(from, "etag")?,
        deleted,
        policy: policy(from)?,
        name,
    };
    Ok(SwiftRow { row: AnyRow::Object(row), version })
}

/// A container's row that waits to be put into its account's database, `place` being where among those that wait.
pub(super) fn pending_container(entry: &Value, place: u64) -> Result<AnyRow, BadRow> {
    let fields = Fields::of(entry)?;
    let (put, delete) = (fields.timestamp(1, "put_timestamp")?, fields.timestamp(2, "delete_timestamp")?);
    let counts = (fields.number(3, "object_count")?, fields.number(4, "bytes_used")?);
    let row = container_row(put, delete, counts, fields.policy(6)?, place.saturating_add(1));
    Ok(AnyRow::Container { name: fields.name.to_owned(), row })
}

/// An object's row that waits to be put into its container's database.
pub(super) fn pending_object(entry: &Value) -> Result<AnyRow, BadRow> {
    let fields = Fields::of(entry)?;
    let created_at = fields.text(1);
    let mut timestamps: RowTimestamps =
        created_at.parse().map_err(|_| bad(fields.name, "created_at", &created_at))?;
    if !fields.text(7).is_empty() {
        timestamps.content_type = fields.timestamp(7, "ctype_timestamp")?;
        timestamps.meta = timestamps.content_type;
    }
    if !fields.text(8).is_empty() {
        timestamps.meta = fields.timestamp(8, "meta_timestamp")?;
    }
    let deleted = fields.number(5, "deleted")? != 0;
    let size = u64::try_from(fields.number(2, "size")?).map_err(|_| bad(fields.name, "size", &"negative"))?;
    Ok(AnyRow::Object(ObjectRow {
        name: fields.name.to_owned(),
        timestamps,
        size: if deleted { 0 } else { size },
        content_type: fields.text(3),
        etag: fields.text(4),
        deleted,
        policy: fields.policy(6)?,
    }))
}

/// A tuple of a `.pending` file: strings and numbers, the latter sometimes as strings; later Swifts write longer ones.
struct Fields<'a> {
    name: &'a str,
    items: &'a [Value],
}

impl<'a> Fields<'a> {
    fn of(entry: &'a Value) -> Result<Self, BadRow> {
        let items = entry.as_items().ok_or_else(|| bad("?", "the record", &"no tuple"))?;
        let name = items.first().and_then(Value::as_str).ok_or_else(|| bad("?", "name", &"missing"))?;
        Ok(Self { name, items })
    }

    fn text(&self, place: usize) -> String {
        let Some(value) = self.items.get(place) else { return String::new() };
        let number = || value.as_int().map(|number| number.to_string());
        value.as_str().map(str::to_owned).or_else(number).unwrap_or_default()
    }

    fn number(&self, place: usize, column: &'static str) -> Result<i64, BadRow> {
        let text = self.text(place);
        if text.is_empty() { Ok(0) } else { text.parse().map_err(|_| bad(self.name, column, &text)) }
    }

    fn timestamp(&self, place: usize, column: &'static str) -> Result<Timestamp, BadRow> {
        let text = self.text(place);
        if text.is_empty() { Ok(Timestamp::ZERO) } else { text.parse().map_err(|_| bad(self.name, column, &text)) }
    }

    fn policy(&self, place: usize) -> Result<PolicyIndex, BadRow> {
        let number = self.number(place, "storage_policy_index")?;
        u32::try_from(number).map(PolicyIndex).map_err(|_| bad(self.name, "storage_policy_index", &number))
    }
}

/// A column as text: empty for NULL, or when the table has no such column.
pub(super) fn text(row: &Row<'_>, name: &'static str) -> Result<String, BadRow> {
    match column(row, name) {
        ValueRef::Null => Ok(String::new()),
        ValueRef::Integer(number) => Ok(number.to_string()),
        ValueRef::Real(number) => Ok(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| of(row, name, &"not UTF-8"))?;
            Ok(text.to_owned())
        }
    }
}

/// A column as a number; `none` for NULL, or when the table has no such column.
pub(super) fn number(row: &Row<'_>, name: &'static str, none: i64) -> Result<i64, BadRow> {
    match column(row, name) {
        ValueRef::Null => Ok(none),
        ValueRef::Integer(number) => Ok(number),
        _ => {
            let text = text(row, name)?;
            if text.is_empty() { Ok(none) } else { text.parse().map_err(|_| of(row, name, &text)) }
        }
    }
}

/// A column as a timestamp; zero for NULL, or when the table has no such column.
pub(super) fn timestamp(row: &Row<'_>, name: &'static str) -> Result<Timestamp, BadRow> {
    let text = text(row, name)?;
    if text.is_empty() { Ok(Timestamp::ZERO) } else { text.parse().map_err(|_| of(row, name, &text)) }
}

/// The storage policy; 0 in tables from before there were any.
pub(super) fn policy(row: &Row<'_>) -> Result<PolicyIndex, BadRow> {
    let number = number(row, "storage_policy_index", 0)?;
    u32::try_from(number).map(PolicyIndex).map_err(|_| of(row, "storage_policy_index", &number))
}

fn of(row: &Row<'_>, column: &'static str, what: &dyn std::fmt::Display) -> BadRow {
    let name = match self::column(row, "name") {
        ValueRef::Text(name) => String::from_utf8_lossy(name).into_owned(),
        _ => String::new(),
    };
    bad(&name, column, what)
}

fn bad(name: &str, column: &'static str, what: &dyn std::fmt::Display) -> BadRow {
    BadRow { name: name.to_owned(), column, what: what.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apus_base::db::table::Row as _;
    use proptest::prelude::*;

    fn tuple(items: &[&str]) -> Value {
        Value::Tuple(items.iter().map(|item| Value::Str((*item).to_owned())).collect())
    }

    #[test]
    fn a_waiting_post_has_its_own_timestamps() {
        let post = ["o", "1712345678.00000", "5", "text/plain", "e", "0", "1", "1712345679.00000", "1712345680.00000"];
        let AnyRow::Object(row) = pending_object(&tuple(&post)).unwrap() else { panic!("an object's row") };
        assert_eq!(row.timestamps.to_string(), "1712345678.00000+186a0+186a0");
        assert_eq!((row.size, row.deleted, row.policy), (5, false, PolicyIndex(1)));
        let AnyRow::Object(row) = pending_object(&tuple(&post[..6])).unwrap() else { panic!("an object's row") };
        assert_eq!((row.timestamps.to_string(), row.policy), ("1712345678.00000".into(), PolicyIndex(0)));
    }

    #[test]
    fn of_two_rows_that_wait_the_later_one_counts() {
        let entry = |count: &str| tuple(&["c", "1712345678.00000", "0", count, "10", "0", "0"]);
        let row = |count, place| match pending_container(&entry(count), place).unwrap() {
            AnyRow::Container { row, .. } => row,
            AnyRow::Object(_) => panic!("a container's row"),
        };
        let mut merged = row("9", 0);
        merged.merge(&row("3", 1));
        assert_eq!(merged.objects, 3);
    }

    proptest! {
        #[test]
        fn any_tuple_is_read_or_refused(items in proptest::collection::vec("[0-9.+-]{0,8}|\\PC{0,6}", 0..10), as_list: bool) {
            let items: Vec<_> = items.into_iter().map(Value::Str).collect();
            let value = if as_list { Value::List(items) } else { Value::Tuple(items) };
            let _ = pending_container(&value, 0);
            let _ = pending_object(&value);
        }
    }
}
