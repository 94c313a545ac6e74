//! Copying objects inside the cluster. The bytes stream from the source's servers to the destination's.

use apus_base::body::{Body, BodyError};
use apus_base::client::Footers;
use apus_base::object_lock::{CHANGED, WRITTEN};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::Call;
use super::condition::Condition;
use super::crypto::{LOCK, Seal};
use super::get::{Read, get};
use super::headers::{is_object_meta, is_object_sysmeta, pick, stored};
use super::large::{DYNAMIC, S3_CHECKSUM, View, is_static, make_plain, put::put_copied};
use super::notification::Made;
use super::put::{DELETE_AT, Put, Stored, put};
use super::resource::ObjectName;
use super::symlink::Link;
use super::versions::VERSION_ID;
use crate::constraints::is_true;
use crate::error::Error;

/// What begins the names of what a layer wants the listing to show instead of the object's own.
const LISTED: &str = "x-object-sysmeta-container-update-override-";

/// What a copy is made under, beside what is asked of every one.
#[derive(Default)]
pub struct Terms {
    /// What must be at its destination.
    pub condition: Option<Condition>,
    /// What its bytes go through on their way.
    pub through: Option<Box<dyn FnOnce(Body) -> Body + Send>>,
    /// How it is encrypted.
    pub seal: Seal,
    /// What is kept with it and known when all of them have gone by.
    pub behind: Option<Footers>,
}

/// What became of a copy.
pub enum Copied {
    /// It was stored.
    Stored {
        /// The copy.
        stored: Box<Stored>,
        /// When the source was last changed, as it says itself.
        source_modified: Option<HeaderValue>,
        /// Which version of the source was copied, where versions are kept.
        source_version: Option<HeaderValue>,
        /// The metadata that the copy got.
        metadata: HeaderMap,
    },
    /// The source does not meet the conditions of the request (304, 412), or has no such range (416).
    Unmet(Response<Body>),
}

/// Copies an object. `source` says what is read, under the conditions and for the ranges of the request; the request's
/// other headers replace what the source has. With `X-Fresh-Metadata: true` nothing of the source's metadata is taken.
/// Where the manifest of a large object is read, the copy is one too.
///
/// # Errors
/// When the caller may not read the source or write the destination, the source is longer than an object may be, or as
/// [`get`] and [`put`].
pub async fn copy(call: Call<'_>, source: Read, destination: ObjectName) -> Result<Copied, Error> {
    copy_if(call, source, destination, Terms::default()).await
}

/// Copies an object on terms.
///
/// # Errors
/// As [`copy`], `Unmet`, and `Contended`.
pub async fn copy_if(call: Call<'_>, mut source: Read, destination: ObjectName, terms: Terms) -> Result<Copied, Error> {
    let Terms { condition, through, seal, behind } = terms;
    let as_manifest = matches!(source.view, View::Manifest | View::RawManifest);
    if as_manifest {
        source.view = View::RawManifest;
    }
    let name = source.name.clone();
    let from = get(call, source).await?;
    if !from.status().is_success() {
        return Ok(Copied::Unmet(from));
    }
    let length = length_of(&from).filter(|length| *length <= call.proxy.config.constraints.max_file_size);
    let length = length.ok_or(Error::SourceTooLarge)?;
    let whole = from.status() == StatusCode::OK;
    let headers = destination_headers(from.headers(), &call.parts.headers, whole, as_manifest);
    let metadata = pick(&headers, |name| is_object_meta(name) || *name == DELETE_AT);
    let source_modified = from.headers().get(LAST_MODIFIED).cloned();
    let source_version = from.headers().get(VERSION_ID).cloned();
    let is_slo_manifest = as_manifest && is_static(from.headers());
    let body = match through {
        Some(through) => through(from.into_body()),
        None => from.into_body(),
    };
    let made = Made::Copy;
    let copy = Put { condition, seal, behind, made, ..Put::new(destination, headers, Ok(Some(length)), body) };
    let stored = if is_slo_manifest { put_copied(call, copy).await } else { put(call, copy).await };
    match stored {
        Ok(stored) => Ok(Copied::Stored { stored: Box::new(stored), source_modified, source_version, metadata }),
        // It is not the client whose body broke off.
        Err(Error::Body(reason)) => Err(unreadable(&name, &reason)),
        Err(error) => Err(error),
    }
}

pub(super) fn unreadable(source: &ObjectName, reason: &BodyError) -> Error {
    tracing::warn!(%reason, container = &*source.container, object = &*source.object, "the source of a copy broke off");
    Error::Unavailable
}

fn length_of(response: &Response<Body>) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The headers of the PUT that a copy is: the source's, then the request's over them.
fn destination_headers(source: &HeaderMap, request: &HeaderMap, whole: bool, as_manifest: bool) -> HeaderMap {
    let mut headers = if is_true(request, "x-fresh-metadata") {
        pick(source, is_object_sysmeta)
    } else {
        let mut kept = stored(source);
        kept.extend(pick(source, |name| *name == DELETE_AT || Link::is_of_request(name)));
        kept
    };
    make_plain(&mut headers);
    // A copy is locked when it asks to be, or where its container says so.
    headers.remove(WRITTEN);
    headers.remove(CHANGED);
    headers.remove(LOCK);
    if !whole {
        headers.remove(S3_CHECKSUM);
    }
    let kept = request.iter().filter(|(name, _)| **name != CONTENT_LENGTH);
    for (name, value) in kept {
        headers.insert(name.clone(), value.clone());
    }
    if request.get(CONTENT_TYPE).is_none_or(HeaderValue::is_empty)
        && let Some(kind) = source.get(CONTENT_TYPE)
    {
        headers.insert(CONTENT_TYPE, kind.clone());
    }
    let manifest = source.get(DYNAMIC);
    if let Some(manifest) = manifest.filter(|_| as_manifest) {
        headers.insert(DYNAMIC, manifest.clone());
    }
    // The copy is checked against the source's MD5, where that is the MD5 of what is copied.
    if whole
        && (manifest.is_none() || as_manifest)
        && !is_static(source)
        && !source.contains_key(LOCK)
        && let Some(etag) = source.get(ETAG)
    {
        headers.insert(ETAG, etag.clone());
    } else {
        // What the listing shows of the source is not true of this copy.
        let listed: Vec<_> = headers.keys().filter(|name| name.as_str().starts_with(LISTED)).cloned().collect();
        for name in listed {
            headers.remove(name);
        }
    }
    headers
}

#[cfg(test)]
mod tests;
