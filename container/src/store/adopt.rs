//! Taking over what another copy of a container knows of itself, be it of Swift's making. Its rows come by [`merge`](super::merge).

use apus_base::db::info::take_metadata;
use apus_base::db::{DbError, Info, ListingId, Transaction};
use apus_base::listing::Metadata;

use super::save;

/// Merges the state of another copy into the container's, or begins with it; the policy of a container that is here
/// stays. Doing it again changes nothing.
///
/// # Errors
/// When the database cannot be read.
pub fn adopt(tx: &mut Transaction<'_>, id: ListingId, theirs: &Info, metadata: Metadata) -> Result<(), DbError> {
    let before = Info::load(tx, id)?;
    let mut info = before.clone().unwrap_or_else(|| Info::copy_of(theirs));
    info.adopt(theirs);
    take_metadata(tx, id, metadata)?;
    if before.as_ref() != Some(&info) {
        save(tx, id, &mut info);
    }
    Ok(())
}
