//! Reading the current version, or another one.

use apus_base::body::Body;
use apus_base::timestamp::Timestamp;
use http::header::{CONTENT_LOCATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use percent_encoding::{percent_decode, utf8_percent_encode};

use super::archive::Archive;
use super::name::{self, RESERVED};
use super::{DELETE_MARKER, VERSION_ID, Version, VersionError};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::get::Read;
use crate::ops::resource::{ObjectName, Resource};
use crate::ops::symlink::{self, ROOT};
use crate::swift::response::QUOTED;

const LINK_TARGET: HeaderName = HeaderName::from_static("x-symlink-target");

/// Reads an object, in the version that is asked for. Where versions are kept, the answer says which one it is.
///
/// # Errors
/// As [`symlink::read`], and when there is no such version.
pub(in crate::ops) async fn read(call: Call<'_>, mut read: Read) -> Result<Response<Body>, Error> {
    let Some(archive) = Archive::of(call, &read.name).await? else {
        return match read.version {
            Some(Version::Id(_)) if call.proxy.config.versioned_writes.allow_object_versioning => {
                Err(VersionError::NotVersioned.into())
            }
            Some(Version::Null) => null(call, read).await,
            _ => symlink::read(call, read).await,
        };
    };
    match read.version.take() {
        None => current(call, read, &archive).await,
        Some(Version::Null) => null(call, read).await,
        Some(Version::Id(id)) => old(call, read, &archive, id).await,
    }
}

async fn current(call: Call<'_>, read: Read, archive: &Archive) -> Result<Response<Body>, Error> {
    let name = read.name.clone();
    let mut response = symlink::read(call, read).await?;
    describe(response.headers_mut(), &name, archive);
    Ok(response)
}

/// The null version, which is what is at the object's name unless that is a link to another version.
async fn null(call: Call<'_>, read: Read) -> Result<Response<Body>, Error> {
    let mut response = symlink::read(call, read).await?;
    if response.status().is_success() {
        let leads_to_archive = |header| decoded(response.headers().get(header)).contains(&name::archive(""));
        if leads_to_archive(CONTENT_LOCATION) || leads_to_archive(LINK_TARGET) {
            return Err(Error::NotFound);
        }
        response.headers_mut().insert(VERSION_ID, HeaderValue::from_static("null"));
    }
    Ok(response)
}

/// A version by its id, which only owners may read: the archive has no ACL.
async fn old(call: Call<'_>, read: Read, archive: &Archive, id: Timestamp) -> Result<Response<Body>, Error> {
    let name = archive.version(&read.name, id);
    call.authorize(&read.method, &Resource::Object(name.clone())).await?;
    let mut response = symlink::read(call, Read { name, ..read }).await?;
    if response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == DELETE_MARKER) {
        return Err(VersionError::DeleteMarker(Version::Id(id)).into());
    }
    if response.status().is_success() {
        insert(response.headers_mut(), VERSION_ID, &Version::Id(id).to_string());
    }
    Ok(response)
}

/// Says which version was read, and hides where it is.
fn describe(headers: &mut HeaderMap, name: &ObjectName, archive: &Archive) {
    headers.insert(VERSION_ID, HeaderValue::from_static("null"));
    let own = format!("{}/{}", name.container, name.object);
    let led_to = decoded(headers.get(CONTENT_LOCATION));
    if let Some(id) = id_in(&led_to, &format!("{ROOT}/{}/{}/", name.account, archive.container)) {
        let shown = utf8_percent_encode(&format!("{ROOT}/{}/{own}", name.account), QUOTED).to_string();
        insert(headers, VERSION_ID, &id.to_string());
        insert(headers, CONTENT_LOCATION, &format!("{shown}?version-id={id}"));
    }
    let target = decoded(headers.get(LINK_TARGET));
    if let Some(id) = id_in(&target, &format!("{}/", archive.container)) {
        insert(headers, VERSION_ID, &id.to_string());
        insert(headers, LINK_TARGET, &format!("{}?version-id={id}", utf8_percent_encode(&own, QUOTED)));
    }
}

fn id_in(path: &str, archive: &str) -> Option<Version> {
    let (_, id) = name::parse(path.strip_prefix(archive).filter(|rest| rest.starts_with(RESERVED))?)?;
    Some(Version::Id(id))
}

fn decoded(header: Option<&HeaderValue>) -> String {
    header.map(|value| percent_decode(value.as_bytes()).decode_utf8_lossy().into_owned()).unwrap_or_default()
}

/// What is percent-encoded fits a header.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
