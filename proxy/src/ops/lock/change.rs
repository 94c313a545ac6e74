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

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(text: &str) -> Lock {
        text.parse().unwrap()
    }

    #[test]
    fn a_hold_is_set_and_taken_back_beside_any_retention() {
        let hold =
            |text: &str, hold| changed(lock(text), |lock| Lock { hold, ..lock }, false).map(|lock| lock.to_string());
        assert_eq!(hold("COMPLIANCE 9999999999", true).as_deref(), Ok("COMPLIANCE 9999999999 HOLD"));
        assert_eq!(hold("COMPLIANCE 9999999999 HOLD", false).as_deref(), Ok("COMPLIANCE 9999999999"));
        assert_eq!(hold("HOLD", false).as_deref(), Ok("NONE"));
    }

    #[test]
    fn a_retention_that_binds_is_not_shortened_and_a_hold_survives_its_change() {
        let retain = |old: &str, new: &str, bypass| {
            let retention = lock(new).retention;
            changed(lock(old), |lock| Lock { retention, ..lock }, bypass).map(|lock| lock.to_string())
        };
        assert_eq!(retain("GOVERNANCE 9999999999", "NONE", false), Err(LockError::Locked));
        assert_eq!(retain("GOVERNANCE 9999999999 HOLD", "NONE", true).as_deref(), Ok("HOLD"));
        assert_eq!(
            retain("COMPLIANCE 9999999998", "COMPLIANCE 9999999999", false).as_deref(),
            Ok("COMPLIANCE 9999999999")
        );
        assert_eq!(retain("COMPLIANCE 9999999999", "COMPLIANCE 9999999998", true), Err(LockError::Locked));
    }
}
