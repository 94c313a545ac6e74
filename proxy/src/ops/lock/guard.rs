//! What is asked before something is written, removed or changed.

use std::sync::Arc;

use apus_base::client::ContainerInfo;
use apus_base::clock;
use apus_base::object_lock::{CHANGED, Lock, WRITTEN};
use http::{HeaderMap, HeaderName, Method};

use super::{KEPT, LockError, OfUpload, Rule, has_bypass};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::container::ContainerName;
use crate::ops::duplicate::newest;
use crate::ops::get::{Read, get};
use crate::ops::history;
use crate::ops::large::{SEGMENTS, UPLOAD_ID};
use crate::ops::put::{DELETE_AT, Put};
use crate::ops::resource::ObjectName;
use crate::ops::versions::{self, Version};

const DELETE_AFTER: HeaderName = HeaderName::from_static("x-delete-after");
const VERSIONS_LOCATION: HeaderName = HeaderName::from_static("x-container-sysmeta-versions-location");
const SYNC_TO: HeaderName = HeaderName::from_static("x-container-sync-to");

/// Gives what is written the lock that it has from the beginning: the one that it asks for, with its container's
/// default for what it does not.
///
/// # Errors
/// When its container has no object lock, or it is a part of an upload and comes from somebody else.
pub(in crate::ops) async fn at_write(call: Call<'_>, put: &mut Put, container: &ContainerInfo) -> Result<(), Error> {
    check_parts(call, &put.name).await?;
    let is_asked = put.headers.get(&WRITTEN).is_some_and(|asked| !asked.is_empty());
    let Some(rule) = Rule::of(container) else {
        // What an upload asks for is meant for what comes of it.
        let is_of_upload = call.parts.extensions.get::<OfUpload>().is_some();
        return if is_asked && !is_of_upload { Err(LockError::NotEnabled.into()) } else { Ok(()) };
    };
    put.headers.remove(&CHANGED);
    let mut lock = if is_asked { Lock::of(&put.headers) } else { Lock::default() };
    lock.retention = lock.retention.or_else(|| rule.retention(clock::now()));
    if lock == Lock::default() {
        put.headers.remove(&WRITTEN);
    } else {
        put.headers.insert(WRITTEN, lock.kept());
    }
    Ok(())
}

/// Looks whether what is at a name may be removed; `is_link` tells what stands for it, but is not it. Where nothing is known to be
/// locked, whoever answers is enough.
///
/// # Errors
/// `Locked`, or too few servers answer.
pub(in crate::ops) async fn check(
    call: Call<'_>,
    name: &ObjectName,
    is_protected: bool,
    is_link: impl Fn(&HeaderMap) -> bool,
) -> Result<(), Error> {
    let found = match settled(call, name).await {
        Err(Error::Unavailable) if !is_protected => newest(call, name).await?.map(|found| found.headers().clone()),
        found => found?,
    };
    let Some(found) = found.filter(|found| !is_link(found)) else { return Ok(()) };
    if Lock::of(&found).is_open(clock::now(), has_bypass(call.parts)) { Ok(()) } else { Err(LockError::Locked.into()) }
}

/// What a majority of the primaries has at a name, or anybody, if they have nothing.
pub(super) async fn settled(call: Call<'_>, name: &ObjectName) -> Result<Option<HeaderMap>, Error> {
    let container = match call.container_of(name).await {
        Err(Error::NotFound) => return Ok(None),
        container => container?,
    };
    let settled = call.proxy.client.settled_object(name.target(container.policy), &call.backend_headers()).await?;
    if settled.is_some() {
        return Ok(settled);
    }
    Ok(newest(call, name).await?.map(|found| found.headers().clone()))
}

/// Whether what is in the container of a name may be locked.
pub(in crate::ops) async fn is_protected(call: Call<'_>, name: &ObjectName) -> Result<bool, Error> {
    Ok(rule_of(call, &name.account, &name.container).await?.is_some())
}

async fn rule_of(call: Call<'_>, account: &str, container: &str) -> Result<Option<Rule>, Error> {
    let info = call.proxy.client.container_info(account, container).await?;
    Ok(info.found().and_then(|info: &Arc<ContainerInfo>| Rule::of(info)))
}

/// Looks whether a large object may be removed, before its segments are.
///
/// # Errors
/// As [`check`], and when it cannot be read.
pub(in crate::ops) async fn check_large(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
) -> Result<(), Error> {
    let is_protected = is_protected(call, name).await?;
    if version.is_none() && !is_protected {
        return Ok(());
    }
    let place = match describe(call, name, version).await {
        Ok(found) => versions::place(call, name, &found).await?,
        // Who removes it says so.
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    check(call, &place, is_protected, |_| false).await
}

async fn describe(call: Call<'_>, name: &ObjectName, version: Option<Version>) -> Result<HeaderMap, Error> {
    let read = Read { version, newest: true, ..Read::asked(name.clone(), Method::HEAD, &HeaderMap::new(), false) };
    get(call, read).await.map(|response| response.headers().clone())
}

/// Looks whether a part of an upload is changed by somebody else.
///
/// # Errors
/// `Parts`.
pub(in crate::ops) async fn check_parts(call: Call<'_>, name: &ObjectName) -> Result<(), Error> {
    let Some(bucket) = name.container.strip_suffix(SEGMENTS) else { return Ok(()) };
    if call.parts.extensions.get::<OfUpload>().is_some() || rule_of(call, &name.account, bucket).await?.is_none() {
        return Ok(());
    }
    Err(LockError::Parts.into())
}

/// Looks whether the segments of a large object, of which these are in `container`, may be left to the expirer: where parts
/// of uploads are protected, only those of the object's own upload may.
///
/// # Errors
/// `Parts`, and when the large object cannot be read.
pub(in crate::ops) async fn check_queued(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    container: &str,
    objects: &[String],
) -> Result<(), Error> {
    let Some(bucket) = container.strip_suffix(SEGMENTS) else { return Ok(()) };
    if rule_of(call, &name.account, bucket).await?.is_none() {
        return Ok(());
    }
    let found = describe(call, name, version).await?;
    let upload = found.get(&UPLOAD_ID).and_then(|id| id.to_str().ok()).filter(|_| *name.container == *bucket);
    let own = upload.map(|id| format!("{}/{id}/", name.object));
    let is_own = own.is_some_and(|own| objects.iter().all(|object| object.starts_with(&own)));
    if is_own { Ok(()) } else { Err(LockError::Parts.into()) }
}

/// What a POST of an object has to bring again.
///
/// # Errors
/// When what is locked would expire, or it is a part of an upload.
pub(in crate::ops) async fn kept(call: Call<'_>, name: &ObjectName, request: &HeaderMap) -> Result<HeaderMap, Error> {
    check_parts(call, name).await?;
    let mut kept = HeaderMap::new();
    if !is_protected(call, name).await? {
        return Ok(kept);
    }
    let found = match describe(call, name, None).await {
        // Who changes it says so.
        Err(error) if error.is_not_found() => return Ok(kept),
        found => found?,
    };
    let expires = [DELETE_AT, DELETE_AFTER].iter().any(|name| request.contains_key(name));
    let is_version = matches!(versions::version_of(&found), Some(Version::Id(_)));
    if expires && !is_version && !Lock::of(&found).is_open(clock::now(), false) {
        return Err(LockError::Locked.into());
    }
    kept.extend(found.get(&CHANGED).map(|lock| (CHANGED, lock.clone())));
    Ok(kept)
}

/// Looks whether a container with object lock may be changed so.
///
/// # Errors
/// `Versioning`; or `Unfit`, when it shall have object lock and cannot.
pub(in crate::ops) async fn check_container(
    call: Call<'_>,
    name: ContainerName<'_>,
    changes: &HeaderMap,
) -> Result<(), Error> {
    let sets = |name: &HeaderName| changes.get(name).is_some_and(|value| !value.is_empty());
    let suspends = call.parts.headers.contains_key(versions::ENABLED)
        && !crate::constraints::is_true(&call.parts.headers, versions::ENABLED.as_str());
    if !(suspends || sets(&VERSIONS_LOCATION) || sets(&SYNC_TO) || sets(&KEPT)) {
        return Ok(());
    }
    let info = call.proxy.client.container_info(name.account, name.container).await?;
    let is_unfit = |info: &Arc<ContainerInfo>| history::is_kept(info) || info.sync_to.is_some();
    if sets(&KEPT) {
        return if info.found().is_some_and(is_unfit) { Err(LockError::Unfit.into()) } else { Ok(()) };
    }
    let has_lock = info.found().is_some_and(|info| Rule::of(info).is_some());
    if has_lock { Err(LockError::Versioning.into()) } else { Ok(()) }
}
