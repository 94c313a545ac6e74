//! Which accounts of a device wait for the reaper.

use apus_base::db::{DbError, Info, View, key};
use apus_base::hash_path::PathHash;
use apus_base::listing::walk::{Bounds, Cursor as _};
use apus_base::wire::{DeletedAccount, DeletedAccounts};

use super::is_marked_deleted;

/// Accounts looked at in one request, deleted or not: some milliseconds of a disk's time.
const MAX_SEEN: usize = 10_000;
/// Accounts told in one answer.
const MAX_TOLD: usize = 1_000;

/// The deleted accounts that still have containers, after the one with that hash.
///
/// # Errors
/// When the database cannot be read.
pub fn reapable(view: &View<'_>, after: Option<&PathHash>) -> Result<DeletedAccounts, DbError> {
    let mut found = DeletedAccounts::default();
    // The key right after an account's is its hash and one byte more.
    let lower = after.map(|hash| [&hash.0[..], &[0]].concat()).unwrap_or_default();
    let mut scan = view.scan(key::ACCOUNTS.to_vec(), &Bounds { lower: lower.clone(), upper: None });
    scan.seek(&lower);
    let mut seen = 0;
    while let Some(hash) = scan.name().and_then(|name| Some(PathHash(name.try_into().ok()?))) {
        match Info::decode(scan.value()) {
            Ok(info) => found.accounts.extend(waiting(info)),
            Err(error) => tracing::error!(%error, hash = hash.hex(), "an account cannot be read"),
        }
        seen += 1;
        scan.next();
        if seen == MAX_SEEN || found.accounts.len() == MAX_TOLD {
            found.marker = scan.name().is_some().then(|| hash.hex());
            break;
        }
    }
    scan.finish()?;
    Ok(found)
}

fn waiting(info: Info) -> Option<DeletedAccount> {
    let containers = info.total().rows;
    let waits = is_marked_deleted(&info) && containers > 0 && !info.filling;
    waits.then_some(DeletedAccount { account: info.account, deleted_at: info.delete_timestamp, containers })
}
