//! What an account is, apart from how it is asked: its life, its containers' rows, its listings.

mod life;
mod listing;
mod reapable;
mod replica;
mod row;

pub use life::{Deleted, METADATA, Merge, Put, delete, merge, post, put};
pub use listing::listing;
pub use reapable::reapable;
pub use replica::Accounts;
pub use row::Row;

use apus_base::db::{Info, Kind, ListingId};
use apus_base::hash_path::HashPath;

/// Where an account's database is.
pub fn id(salt: &HashPath, account: &str) -> ListingId {
    ListingId { kind: Kind::Account, hash: salt.account(account) }
}

/// Whether an account counts as deleted: a DELETE was accepted, or a newer one outdates the PUT of an empty account.
pub fn is_deleted(info: &Info) -> bool {
    info.status_deleted || (info.total().rows == 0 && info.delete_timestamp > info.put_timestamp)
}

/// Whether a DELETE marked it, so that it cannot be made again until it is reaped.
pub fn is_marked_deleted(info: &Info) -> bool {
    info.status_deleted || info.delete_timestamp > info.put_timestamp
}

#[cfg(test)]
mod tests;
