//! Storing and restoring versions.

use apus_base::body;
use apus_base::object_lock::WRITTEN;
use apus_base::timestamp::Timestamp;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderName, Method};

use super::archive::{Archive, id};
use super::current::{in_archive, keep, mark};
use super::delete::unlink;
use super::{Version, VersionError};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::delete::{look, remove};
use crate::ops::get::{Read, stored};
use crate::ops::headers::{SLO_SIZE, bare_type};
use crate::ops::put::{DELETE_AT, Put, Stored};
use crate::ops::resource::{ObjectName, Resource};
use crate::ops::symlink::{self, Link};

/// What a PUT says of its bytes, and so not of the link to them.
const OF_THE_BYTES: [HeaderName; 10] = [
    ETAG,
    WRITTEN,
    HeaderName::from_static("x-if-delete-at"),
    HeaderName::from_static("x-symlink-target"),
    HeaderName::from_static("x-symlink-target-account"),
    HeaderName::from_static("x-symlink-target-etag"),
    HeaderName::from_static("x-object-manifest"),
    HeaderName::from_static("x-static-large-object"),
    HeaderName::from_static("x-object-sysmeta-slo-etag"),
    SLO_SIZE,
];
/// Stores an object, as a new version where versions are kept.
///
/// # Errors
/// As [`symlink::put`], and when the archive is missing or cannot be written.
pub(in crate::ops) async fn put(call: Call<'_>, mut put: Put) -> Result<Stored, Error> {
    let Some(archive) = Archive::in_use(call, &put.name).await? else {
        return symlink::put(call, put).await;
    };
    let now = put.settle(call)?;
    look(call, &put.name, put.condition.as_ref()).await?;
    keep(call, &archive, &put.name).await?;
    let link = link(&put, now);
    let version = version(put, archive.version(&link.name, id(now)), now);
    let (name, large) = (version.name.clone(), slo_size(&version.headers));
    let stored = symlink::put(call, version).await.map_err(in_archive)?;
    let bytes = large.unwrap_or(stored.length);
    let done = point(call, link, &name, Stored { length: bytes, ..stored }).await;
    if matches!(&done, Err(Error::Unmet { .. } | Error::Contended)) {
        // Somebody else was first; what was stored for nothing goes.
        remove(call, &name, call.write_headers().0).await?;
    }
    done
}

/// The PUT of the version itself. Versions do not expire, and no condition is about them.
fn version(put: Put, name: ObjectName, now: Timestamp) -> Put {
    let mut version = Put { name, written: Some(id(now)), condition: None, ..put };
    version.headers.remove(DELETE_AT);
    version
}

/// The PUT of the link to it, a moment later.
fn link(put: &Put, now: Timestamp) -> Put {
    let link = Put::new(put.name.clone(), put.headers.clone(), Ok(Some(0)), body::empty());
    let condition = put.condition.clone();
    Put { own: true, written: Some(now.just_after()), condition, ..link }
}

/// Makes a stored version the current one.
async fn point(call: Call<'_>, mut put: Put, to: &ObjectName, version: Stored) -> Result<Stored, Error> {
    OF_THE_BYTES.iter().for_each(|name| drop(put.headers.remove(name)));
    if let Some(kind) = &version.kind {
        put.headers.insert(CONTENT_TYPE, bare_type(kind));
    }
    mark(&mut put.headers);
    // A version that is a static link itself is known by what it stands for.
    let fixed = version.link.and_then(|link| Some((link.etag?, link.bytes.unwrap_or_default())));
    let own = (version.etag.clone().unwrap_or_default(), version.length);
    let (etag, bytes) = fixed.unwrap_or(own);
    let stored = symlink::create(call, put, Link::to_reserved(to, etag, bytes)).await?;
    let id = super::name::parse(&to.object).map(|(_, id)| Version::Id(id));
    Ok(Stored { etag: stored.etag.and(version.etag), version: id, ..stored })
}

/// Makes an old version the current one.
///
/// # Errors
/// When the caller may not, the request has a body, or there is no such version.
pub async fn restore(call: Call<'_>, mut put: Put, version: Version) -> Result<Stored, Error> {
    let archive = Archive::of(call, &put.name).await?.ok_or(VersionError::NotVersioned)?;
    let Version::Id(id) = version else {
        return Err(VersionError::Invalid(super::InvalidVersion).into());
    };
    call.authorize(&Method::PUT, &Resource::Object(put.name.clone())).await?;
    if !symlink::is_empty(&mut put).await? {
        return Err(VersionError::Body.into());
    }
    let now = put.settle(call)?;
    let name = archive.version(&put.name, id);
    let version = find(call, &name).await?;
    let done = point(call, link(&put, now), &name, version).await?;
    let still = find(call, &name).await.map(drop);
    if matches!(still, Err(Error::Version(VersionError::Missing))) {
        // It was deleted meanwhile, by somebody who may not have seen the link.
        unlink(call, &put.name, &archive, id).await?;
    }
    still.map(|()| done)
}

/// An old version, as it was stored.
async fn find(call: Call<'_>, version: &ObjectName) -> Result<Stored, Error> {
    let read = Read::asked(version.clone(), Method::HEAD, &HeaderMap::new(), true);
    let found = match stored(call, &read).await {
        Err(error) if error.is_not_found() => {
            let archive = call.proxy.client.container_info(&version.account, &version.container).await?;
            let is_there = archive.found().is_some();
            return Err(if is_there { VersionError::Missing } else { VersionError::NoArchive }.into());
        }
        found => found?,
    };
    let headers = found.headers();
    let etag = headers.get(ETAG).and_then(|etag| etag.to_str().ok()).map(|etag| etag.trim_matches('"').to_owned());
    let length = slo_size(headers).or_else(|| number(headers, &CONTENT_LENGTH)).unwrap_or_default();
    let kind = headers.get(CONTENT_TYPE).cloned();
    Ok(Stored { etag, length, kind, link: Link::of(headers), ..Stored::default() })
}

fn slo_size(headers: &HeaderMap) -> Option<u64> {
    number(headers, &SLO_SIZE)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
