//! Deleting objects.

use apus_base::client::{Demand, Target};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::IF_DELETE_AT;
use http::{HeaderMap, HeaderName, Method};

use super::condition::Condition;
use super::resource::{ObjectName, Resource};
use super::versions::Version;
use super::{Call, history, lock, notification, refused};
use crate::error::Error;

/// What became of a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Whether there was something to delete.
    pub existed: bool,
    /// Where versions are kept: the one that was deleted, or the delete marker.
    pub version: Option<Version>,
    /// The current version after one was deleted.
    pub current: Option<Version>,
    /// When the current version went, if it was that one, and nothing has taken its place.
    pub unlinked: Option<Timestamp>,
}

/// Deletes an object; where versions are kept, it goes out of sight.
///
/// # Errors
/// When the caller may not, there is no such object, it is locked, there is a newer version (409), or too few servers can do it.
pub async fn delete(call: Call<'_>, name: &ObjectName) -> Result<(), Error> {
    let deleted = delete_version(call, name, None).await?;
    if deleted.existed { Ok(()) } else { Err(Error::NotFound) }
}

/// Deletes an object as [`delete`] does, or one of its versions for good. That there was nothing to delete is no error.
///
/// # Errors
/// As [`delete`].
pub async fn delete_version(call: Call<'_>, name: &ObjectName, version: Option<Version>) -> Result<Deleted, Error> {
    call.authorize(&Method::DELETE, &Resource::Object(name.clone())).await?;
    lock::check_parts(call, name).await?;
    let deleted = history::delete(call, name, version, None).await?;
    notification::removed(call, name, version, &deleted).await?;
    Ok(deleted)
}

/// Deletes an object as [`delete_version`] does, if what is there meets a condition. Of a version that is named, and where versions
/// are kept the old way, the condition is only looked at before.
///
/// # Errors
/// As [`delete`], `Unmet`, and `Contended`.
pub async fn delete_if(
    call: Call<'_>,
    name: &ObjectName,
    version: Option<Version>,
    condition: &Condition,
) -> Result<Deleted, Error> {
    call.authorize(&Method::DELETE, &Resource::Object(name.clone())).await?;
    lock::check_parts(call, name).await?;
    let deleted = history::delete(call, name, version, Some(condition)).await?;
    notification::removed(call, name, version, &deleted).await?;
    Ok(deleted)
}

/// Removes what is at a name, under the client's condition.
///
/// # Errors
/// As [`remove`], but that there was nothing is no error.
pub(super) async fn remove_current(
    call: Call<'_>,
    name: &ObjectName,
    condition: Option<&Condition>,
) -> Result<Deleted, Error> {
    let removed = match condition {
        Some(condition) => remove_if(call, name, condition).await,
        None => {
            let (mut headers, now) = call.write_headers();
            let expiry = call.parts.headers.get(IF_DELETE_AT);
            headers.extend(expiry.map(|at| (HeaderName::from_static(IF_DELETE_AT), at.clone())));
            remove_now(call, name, headers).await.map(|()| now)
        }
    };
    match removed {
        Ok(at) => Ok(Deleted { existed: true, unlinked: Some(at), ..Deleted::default() }),
        Err(Error::NotFound) => Ok(Deleted::default()),
        Err(error) => Err(error),
    }
}

/// Removes what is at a name. Where a conditional write stands in the way, it is done before or after that, once.
///
/// # Errors
/// As [`remove`], and `Contended`.
pub(super) async fn remove_now(call: Call<'_>, name: &ObjectName, headers: HeaderMap) -> Result<(), Error> {
    let container = call.container_of(name).await?;
    let path = name.target(container.policy);
    let answer = call.proxy.client.delete_object(path, headers, call.may_be_later()).await?;
    if answer.status.is_success() { Ok(()) } else { Err(refused(&answer)) }
}

/// Removes what is at a name, if it meets a condition, and says when that was.
///
/// # Errors
/// As [`remove`], `Unmet`, and `Contended`.
pub(super) async fn remove_if(call: Call<'_>, name: &ObjectName, condition: &Condition) -> Result<Timestamp, Error> {
    let container = call.container_of(name).await?;
    let is_met = |stored: Option<&HeaderMap>| condition.is_met(call, name, stored);
    let demand = Demand { is_met: &is_met, creates_only: condition.creates_only() };
    let path = name.target(container.policy);
    Ok(call.proxy.client.delete_object_if(path, &call.backend_headers(), demand).await?)
}

/// Says no, if it is certain that what is at a name does not meet a condition: for the steps before the write that decides.
///
/// # Errors
/// `Unmet`, or too few servers answer.
pub(super) async fn look(call: Call<'_>, name: &ObjectName, condition: Option<&Condition>) -> Result<(), Error> {
    let Some(condition) = condition else { return Ok(()) };
    let container = call.container_of(name).await?;
    let is_met = |stored: Option<&HeaderMap>| condition.is_met(call, name, stored);
    let demand = Demand { is_met: &is_met, creates_only: condition.creates_only() };
    let path = name.target(container.policy);
    Ok(call.proxy.client.look_at_object(path, &call.backend_headers(), demand).await?)
}

/// Removes what is at a name. Servers that do not have it keep a tombstone all the same, against older versions elsewhere.
///
/// # Errors
/// As [`delete`], but anybody may.
pub(super) async fn remove(call: Call<'_>, name: &ObjectName, headers: HeaderMap) -> Result<(), Error> {
    let container = call.container_of(name).await?;
    call.write(Method::DELETE, &Target::Object(name.target(container.policy)), &headers).await.map(drop)
}
