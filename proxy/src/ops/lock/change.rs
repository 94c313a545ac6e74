//! Changing the lock of a version that is there.

use apus_base::clock;
use apus_base::object_lock::{CHANGED, Lock};
use http::HeaderMap;

use super::guard::{is_protected, settled};
use super::{LockError, has_bypass};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::annotate::annotate;
use crate::ops::put::DELETE_AT;
use crate::ops::resource::ObjectName;
use crate::ops::versions::{self, Version};

/// Changes the lock of an object, or of one of its versions. Gives the headers that it had.
///
/// # Errors
/// `NotEnabled` without object lock; `Locked` when it would be shortened and may not; `Overtaken`; or as [`annotate`].
pub async fn change(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    change: impl FnOnce(Lock) -> Lock,
) -> Result<HeaderMap, Error> {
    if !is_protected(call, name).await? {
        return Err(LockError::NotEnabled.into());
    }
    let mut set = Lock::default();
    let found = annotate(call, name, version, |found, headers| {
        set = changed(Lock::of(found), change, has_bypass(call.parts))?;
        headers.insert(CHANGED, set.kept());
        // What is locked stays.
        headers.remove(DELETE_AT);
        Ok(())
    });
    let found = found.await?;
    let place = versions::place(call, name, &found).await?;
    let now = settled(call, &place).await?.ok_or(Error::NotFound)?;
    if Lock::of(&now) == set { Ok(found) } else { Err(LockError::Overtaken.into()) }
}

fn changed(old: Lock, change: impl FnOnce(Lock) -> Lock, bypass: bool) -> Result<Lock, LockError> {
    let new = change(old);
    let may = old.retention == new.retention || old.may_become(new.retention, clock::now(), bypass);
    if may { Ok(new) } else { Err(LockError::Locked) }
}
