//! Taking rows in.

use apus_base::db::table::{self, Slot};
use apus_base::db::{DbError, Info, ListingId, Transaction};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::ObjectRow;

use super::{ContainerName, Row, save};

/// What became of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// They are in, or newer ones were already.
    Done,
    /// There is no such container, and it is not one that is made by its rows.
    NoContainer,
}

/// Merges rows into a container. When there is none and `create` says when and with what policy, it is made.
///
/// # Errors
/// When the database cannot be read.
pub fn merge(
    tx: &mut Transaction<'_>,
    name: &ContainerName,
    id: ListingId,
    create: Option<(Timestamp, PolicyIndex)>,
    rows: &[ObjectRow],
) -> Result<Merge, DbError> {
    let (mut info, mut changed) = match (Info::load(tx, id)?, create) {
        (Some(info), _) => (info, false),
        // A row may be an internal writer's, with an offset; the container's own timestamps have none.
        (None, Some((at, policy))) => (Info::new(&name.account, &name.container, policy, at.with_offset(0)), true),
        (None, None) => return Ok(Merge::NoContainer),
    };
    for row in rows {
        let slot = Slot { listing: id, space: row.policy, name: &row.name };
        changed |= table::merge(tx, &mut info, slot, Row::from_wire(row))?;
    }
    if changed {
        save(tx, id, &mut info)?;
    }
    Ok(Merge::Done)
}
