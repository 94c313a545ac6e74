//! What a container is, apart from how it is asked: its life, its rows, its listings.
//!
//! Writers are plain functions over a [`Transaction`], which the device's committer runs one
//! after another, so none of them meets a half-done other; readers are functions over a [`View`](apus_base::db::View).

mod content_type;
mod life;
mod listing;
pub mod misplaced;
mod replica;
mod row;
mod rows;

pub use life::{Deleted, METADATA, Put, Updates, delete, post, put};
pub use listing::{Listed, listing};
pub use replica::Containers;
pub use row::Row;
pub use rows::{Merge, merge};

use apus_base::db::info::Reported;
use apus_base::db::{DbError, Info, Kind, ListingId, Transaction};
use apus_base::hash_path::HashPath;

/// A container's name, and where it is in a device's database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ContainerName {
    /// The account.
    pub account: String,
    /// The container.
    pub container: String,
}

impl ContainerName {
    /// Its database.
    pub fn id(&self, salt: &HashPath) -> ListingId {
        ListingId { kind: Kind::Container, hash: salt.container(&self.account, &self.container) }
    }
}

/// Whether a container counts as deleted: the newest DELETE is newer than the newest PUT, and no object keeps it alive.
pub fn is_deleted(info: &Info) -> bool {
    info.of_policy(info.policy).rows == 0 && info.delete_timestamp > info.put_timestamp
}

/// Whether no policy has an object.
fn is_empty(info: &Info) -> bool {
    info.stats.values().all(|stats| stats.rows == 0)
}

/// What account servers should know.
pub fn to_report(info: &Info) -> Reported {
    let stats = info.of_policy(info.policy);
    Reported {
        put_timestamp: info.put_timestamp,
        delete_timestamp: info.delete_timestamp,
        objects: stats.rows,
        bytes: stats.bytes,
    }
}

/// Writes a container's state, and remembers it as one to report if account servers know otherwise, and as one to
/// reconcile if it has objects of another policy than its own.
fn save(tx: &mut Transaction<'_>, id: ListingId, info: &mut Info) -> Result<(), DbError> {
    info.store(tx, id)?;
    // What is not here whole yet has nothing to tell.
    if to_report(info) != info.reported && !info.filling {
        tx.put(id.dirty(), Vec::new());
    }
    misplaced::note(tx, id, info);
    Ok(())
}

/// Notes what a majority of account servers confirmed. If the container has changed meanwhile it stays to be reported.
///
/// # Errors
/// When the database cannot be read.
pub fn reported(tx: &mut Transaction<'_>, id: ListingId, confirmed: Reported) -> Result<(), DbError> {
    if let Some(mut info) = Info::load(tx, id)? {
        info.reported = confirmed;
        info.store(tx, id)?;
        if to_report(&info) != confirmed {
            return Ok(());
        }
    }
    tx.delete(id.dirty());
    Ok(())
}

#[cfg(test)]
mod tests;
