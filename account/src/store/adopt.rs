//! Taking over what another copy of an account knows of itself, be it of Swift's making. Its rows come by [`merge`](super::merge).

use apus_base::db::info::take_metadata;
use apus_base::db::{DbError, Info, ListingId, Transaction};
use apus_base::listing::Metadata;

/// Merges the state of another copy into the account's, or begins with it. Doing it again changes nothing.
///
/// # Errors
/// When the database cannot be read.
pub fn adopt(tx: &mut Transaction<'_>, id: ListingId, theirs: &Info, metadata: Metadata) -> Result<(), DbError> {
    let before = Info::load(tx, id)?;
    let mut info = before.clone().unwrap_or_else(|| Info::copy_of(theirs));
    info.adopt(theirs);
    take_metadata(tx, id, metadata)?;
    if before.as_ref() != Some(&info) {
        info.store(tx, id);
    }
    Ok(())
}
