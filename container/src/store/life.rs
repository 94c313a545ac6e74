//! How containers come, change and go.

use apus_base::db::info::{clear_metadata, merge_metadata};
use apus_base::db::{DbError, Info, ListingId, Transaction};
use apus_base::listing::metadata::Names;
use apus_base::listing::{Metadata, Refusal};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;

use super::{ContainerName, is_deleted, is_empty, save};

/// The headers that a container keeps.
pub const METADATA: Names = Names {
    user: "x-container-meta-",
    system: "x-container-sysmeta-",
    others: &["x-container-read", "x-container-write", "x-container-sync-key", "x-container-sync-to"],
};

/// What a PUT or POST sets.
#[derive(Clone, Debug)]
pub struct Updates {
    /// When it was made.
    pub timestamp: Timestamp,
    /// Its metadata.
    pub metadata: Metadata,
}

/// What became of a PUT.
#[derive(Clone, Debug)]
pub enum Put {
    /// The container is new, or was deleted before.
    Created(Info),
    /// It was there.
    Updated(Info),
    /// It is there with another policy.
    OtherPolicy(PolicyIndex),
    /// It was deleted later than this PUT was made.
    DeletedLater,
}

/// What became of a DELETE.
#[derive(Clone, Debug)]
pub enum Deleted {
    /// It is deleted now; whether it was there to clients.
    Done(Box<Info>, bool),
    /// It holds objects, or a newer PUT made it.
    Conflict,
    /// It never was here.
    NotFound,
}

/// Creates a container, or updates it. `requested` is the policy that the client asked for, `default` the one otherwise.
///
/// # Errors
/// When its metadata is past the limits, or the database cannot be read.
pub fn put(
    tx: &mut Transaction<'_>,
    name: &ContainerName,
    id: ListingId,
    updates: Updates,
    requested: Option<PolicyIndex>,
    default: PolicyIndex,
) -> Result<Put, Refusal> {
    let at = updates.timestamp;
    let policy = requested.unwrap_or(default);
    let Some(mut info) = Info::load(tx, id)? else {
        let mut info = Info::new(&name.account, &name.container, policy, at);
        write(tx, id, &mut info, updates.metadata)?;
        return Ok(Put::Created(info));
    };
    let revived = is_deleted(&info);
    match requested {
        _ if revived => set_policy(&mut info, policy, at),
        Some(requested) if requested != info.policy => return Ok(Put::OtherPolicy(info.policy)),
        _ => {}
    }
    info.put(at);
    if is_deleted(&info) {
        return Ok(Put::DeletedLater);
    }
    if revived {
        info.status_changed_at = info.status_changed_at.max(at);
    }
    write(tx, id, &mut info, updates.metadata)?;
    Ok(if revived { Put::Created(info) } else { Put::Updated(info) })
}

fn set_policy(info: &mut Info, policy: PolicyIndex, at: Timestamp) {
    if info.policy != policy {
        info.policy = policy;
        info.status_changed_at = info.status_changed_at.max(at);
        info.stats.entry(policy).or_default();
    }
}

fn write(tx: &mut Transaction<'_>, id: ListingId, info: &mut Info, metadata: Metadata) -> Result<(), Refusal> {
    merge_metadata(tx, info, id, &METADATA, metadata)?;
    Ok(save(tx, id, info)?)
}

/// Updates a container's metadata; `touch` makes it count as a PUT too. Says whether the container is there.
///
/// # Errors
/// When its metadata is past the limits, or the database cannot be read.
pub fn post(tx: &mut Transaction<'_>, id: ListingId, updates: Updates, touch: bool) -> Result<bool, Refusal> {
    let Some(mut info) = Info::load(tx, id)?.filter(|info| !is_deleted(info)) else {
        return Ok(false);
    };
    if touch {
        info.put(updates.timestamp);
    }
    write(tx, id, &mut info, updates.metadata)?;
    Ok(true)
}

/// Deletes an empty container. A DELETE that comes too late is remembered all the same, for it outdates what is older.
///
/// # Errors
/// When the database cannot be read.
pub fn delete(tx: &mut Transaction<'_>, id: ListingId, at: Timestamp) -> Result<Deleted, DbError> {
    let Some(mut info) = Info::load(tx, id)?.filter(|info| !info.filling) else {
        return Ok(Deleted::NotFound);
    };
    if !is_empty(&info) {
        return Ok(Deleted::Conflict);
    }
    let existed = !is_deleted(&info);
    info.delete(at);
    clear_metadata(tx, &mut info, id, at)?;
    save(tx, id, &mut info)?;
    Ok(if is_deleted(&info) { Deleted::Done(Box::new(info), existed) } else { Deleted::Conflict })
}
