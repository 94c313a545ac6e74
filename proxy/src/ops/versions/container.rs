//! Containers that keep versions: switching it on and off, what they say of it, and how they end.

use std::sync::Arc;

use apus_base::body::Body;
use apus_base::client::{ContainerInfo, Target};
use apus_base::policy::PolicyIndex;
use apus_base::wire::header::POLICY_INDEX;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use percent_encoding::utf8_percent_encode;

use super::archive::{Archive, decoded};
use super::{ENABLED, VersionError, name};
use crate::constraints::is_true;
use crate::error::Error;
use crate::ops::Call;
use crate::ops::container::ContainerName;
use crate::ops::history;
use crate::swift::response::QUOTED;

const KEPT_ENABLED: HeaderName = HeaderName::from_static("x-container-sysmeta-versions-enabled");
const KEPT_ARCHIVE: HeaderName = HeaderName::from_static("x-container-sysmeta-versions-container");
const OBJECT_COUNT: HeaderName = HeaderName::from_static("x-container-object-count");
const BYTES_USED: HeaderName = HeaderName::from_static("x-container-bytes-used");

/// What a request changes of a container's versioning.
#[derive(Default)]
pub(in crate::ops) struct Switch {
    /// The archive that was made for it.
    made: Option<String>,
}

impl Switch {
    /// Does what has to be done before the container itself changes, whose new metadata goes to `headers`. `policy`, a
    /// header, is the policy of a container that is not there yet; without it, none is made.
    ///
    /// # Errors
    /// When the container cannot keep versions, or its archive cannot be made.
    pub(in crate::ops) async fn prepare(
        call: Call<'_>,
        name: ContainerName<'_>,
        headers: &mut HeaderMap,
        policy: Option<(HeaderName, PolicyIndex)>,
    ) -> Result<Self, Error> {
        let request = &call.parts.headers;
        if !request.contains_key(ENABLED) || !call.proxy.config.versioned_writes.allow_object_versioning {
            return Ok(Self::default());
        }
        let info = call.proxy.client.container_info(name.account, name.container).await?.found().cloned();
        allowed(info.as_ref())?;
        let on = is_true(request, ENABLED.as_str());
        headers.insert(KEPT_ENABLED, HeaderValue::from_static(if on { "True" } else { "False" }));
        let policy = info.map(|info| (HeaderName::from_static(POLICY_INDEX), info.policy)).or(policy);
        match policy.filter(|_| on) {
            Some((header, policy)) => make(call, name, headers, (header, policy)).await,
            None => Ok(Self::default()),
        }
    }

    /// Takes back what was done, when the container itself could not be changed.
    pub(in crate::ops) async fn undo(self, call: Call<'_>, name: ContainerName<'_>) {
        if let Some(archive) = self.made {
            let target = Target::Container { account: name.account, container: &archive };
            // If this fails an empty archive is left, which the next attempt takes.
            let _ = call.write(Method::DELETE, &target, &call.write_headers().0).await;
            call.proxy.client.forget_container(name.account, &archive).await;
        }
    }
}

fn allowed(info: Option<&Arc<ContainerInfo>>) -> Result<(), VersionError> {
    if info.is_some_and(|info| history::is_kept(info)) {
        return Err(VersionError::Legacy);
    }
    if info.is_some_and(|info| info.sync_to.is_some()) { Err(VersionError::Synced) } else { Ok(()) }
}

/// Makes the archive, in the container's policy.
async fn make(
    call: Call<'_>,
    name: ContainerName<'_>,
    headers: &mut HeaderMap,
    (header, policy): (HeaderName, PolicyIndex),
) -> Result<Switch, Error> {
    if call.proxy.client.cluster().policies.get(policy).is_some_and(|policy| policy.deprecated) {
        return Err(VersionError::Deprecated.into());
    }
    let archive = name::archive(name.container);
    let (mut own, _) = call.write_headers();
    own.insert(header, HeaderValue::from(policy.0));
    let target = Target::Container { account: name.account, container: &archive };
    let done = call.write(Method::PUT, &target, &own).await;
    call.proxy.client.forget_container(name.account, &archive).await;
    let made = match done {
        Ok(answer) => answer.status == StatusCode::CREATED,
        // It is there, in another policy.
        Err(Error::Refused(StatusCode::CONFLICT, _)) => false,
        Err(error) => {
            tracing::warn!(account = name.account, container = name.container, %error, "cannot make an archive");
            return Err(VersionError::Enable.into());
        }
    };
    let kept = utf8_percent_encode(&archive, QUOTED).to_string();
    headers.insert(KEPT_ARCHIVE, HeaderValue::from_str(&kept).map_err(|_| VersionError::Enable)?);
    Ok(Switch { made: made.then_some(archive) })
}

/// Says in the answer about a container whether it keeps versions, and counts their bytes.
pub(in crate::ops) async fn show(
    call: Call<'_>,
    name: ContainerName<'_>,
    response: &mut Response<Body>,
) -> Result<(), Error> {
    let headers = response.headers_mut();
    if !call.proxy.config.versioned_writes.allow_object_versioning {
        return Ok(());
    }
    if let Some(enabled) = headers.get(KEPT_ENABLED).cloned() {
        headers.insert(ENABLED, enabled);
    }
    let Some(archive) = headers.get(KEPT_ARCHIVE).and_then(|kept| decoded(kept.to_str().ok()?)) else {
        return Ok(());
    };
    let archived = head(call, name.account, &archive).await?;
    let bytes = number(headers, &BYTES_USED) + archived.map_or(0, |archived| number(&archived, &BYTES_USED));
    headers.insert(BYTES_USED, HeaderValue::from(bytes));
    Ok(())
}

/// How many bytes the versions of a container's objects have.
///
/// # Errors
/// When no server answers.
pub(in crate::ops) async fn archived_bytes(call: Call<'_>, account: &str, info: &ContainerInfo) -> Result<u64, Error> {
    match Archive::said_by(info) {
        Some(archive) => {
            Ok(head(call, account, &archive.container).await?.map_or(0, |found| number(&found, &BYTES_USED)))
        }
        None => Ok(0),
    }
}

/// Deletes the archive of a container that shall be deleted, if both are empty.
///
/// # Errors
/// When one is not (409), or the archive cannot be deleted.
pub(in crate::ops) async fn empty_archive(call: Call<'_>, name: ContainerName<'_>) -> Result<(), Error> {
    let Some(archive) = check_archive(call, name).await? else { return Ok(()) };
    if head(call, name.account, name.container).await?.is_some_and(|headers| number(&headers, &OBJECT_COUNT) > 0) {
        return Err(Error::Refused(StatusCode::CONFLICT, String::new()));
    }
    let target = Target::Container { account: name.account, container: &archive };
    let done = call.write(Method::DELETE, &target, &call.write_headers().0).await;
    call.proxy.client.forget_container(name.account, &archive).await;
    match done {
        Ok(_) | Err(Error::NotFound) => Ok(()),
        Err(_) => Err(VersionError::Delete.into()),
    }
}

/// Looks whether the archive of a container is empty, and gives its name, if there is one.
///
/// # Errors
/// When it is not (409), or does not answer.
pub(in crate::ops) async fn check_archive(call: Call<'_>, name: ContainerName<'_>) -> Result<Option<String>, Error> {
    if !call.proxy.config.versioned_writes.allow_object_versioning {
        return Ok(None);
    }
    let info = call.proxy.client.container_info(name.account, name.container).await?;
    let Some(Archive { container: archive, .. }) = info.found().and_then(|info| Archive::said_by(info)) else {
        return Ok(None);
    };
    match head(call, name.account, &archive).await.map_err(|_| VersionError::Delete)? {
        Some(headers) if number(&headers, &OBJECT_COUNT) > 0 => Err(VersionError::NotEmpty.into()),
        found => Ok(found.map(|_| archive)),
    }
}

/// What a container says of itself just now; `None` if there is none.
async fn head(call: Call<'_>, account: &str, container: &str) -> Result<Option<HeaderMap>, Error> {
    let target = Target::Container { account, container };
    let response = call.proxy.client.read(Method::HEAD, &target, None, &call.backend_headers(), false).await?;
    match response.status() {
        StatusCode::NOT_FOUND => Ok(None),
        status if status.is_success() => Ok(Some(response.into_parts().0.headers)),
        status => Err(Error::Refused(status, String::new())),
    }
}

fn number(headers: &HeaderMap, name: &HeaderName) -> u64 {
    headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or_default()
}
