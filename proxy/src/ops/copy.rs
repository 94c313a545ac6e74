//! Copying objects inside the cluster. The bytes stream from the source's servers to the destination's.

use apus_base::body::{Body, BodyError};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::Call;
use super::get::{Read, get};
use super::headers::{is_object_meta, is_object_sysmeta, pick, stored};
use super::large::{DYNAMIC, View, is_static, make_plain, put::put_copied};
use super::put::{DELETE_AT, Put, Stored, put};
use super::resource::ObjectName;
use crate::constraints::is_true;
use crate::error::Error;

/// What became of a copy.
pub enum Copied {
    /// It was stored.
    Stored {
        /// The copy.
        stored: Stored,
        /// When the source was last changed, as it says itself.
        source_modified: Option<HeaderValue>,
        /// The metadata that the copy got.
        metadata: HeaderMap,
    },
    /// The source does not meet the conditions of the request (304, 412), or has no such range (416).
    Unmet(Response<Body>),
}

/// Copies an object. Conditions and ranges of the request are the source's; its other headers replace what the source
/// has. With `X-Fresh-Metadata: true` nothing of the source's metadata is taken. `view` says whether a large object is
/// copied as what it stands for or as the manifest that it is, which then is one at its destination too.
///
/// # Errors
/// When the caller may not read the source or write the destination, the source is longer than an object may be, or as
/// [`get`] and [`put`].
pub async fn copy(call: Call<'_>, source: &ObjectName, destination: ObjectName, view: View) -> Result<Copied, Error> {
    let as_manifest = matches!(view, View::Manifest | View::RawManifest);
    let view = if as_manifest { View::RawManifest } else { view };
    let read = Read { view, ..Read::asked(source.clone(), Method::GET, &call.parts.headers, true) };
    let from = get(call, read).await?;
    if !from.status().is_success() {
        return Ok(Copied::Unmet(from));
    }
    let length = length_of(&from).filter(|length| *length <= call.proxy.config.constraints.max_file_size);
    let length = length.ok_or(Error::SourceTooLarge)?;
    let whole = from.status() == StatusCode::OK;
    let headers = destination_headers(from.headers(), &call.parts.headers, whole, as_manifest);
    let metadata = pick(&headers, |name| is_object_meta(name) || *name == DELETE_AT);
    let source_modified = from.headers().get(LAST_MODIFIED).cloned();
    let is_slo_manifest = as_manifest && is_static(from.headers());
    let copy = Put { name: destination, headers, length: Ok(Some(length)), body: from.into_body() };
    let stored = if is_slo_manifest { put_copied(call, copy).await } else { put(call, copy).await };
    match stored {
        Ok(stored) => Ok(Copied::Stored { stored, source_modified, metadata }),
        // It is not the client whose body broke off.
        Err(Error::Body(reason)) => Err(unreadable(source, &reason)),
        Err(error) => Err(error),
    }
}

fn unreadable(source: &ObjectName, reason: &BodyError) -> Error {
    tracing::warn!(%reason, container = source.container, object = source.object, "the source of a copy broke off");
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
        kept.extend(pick(source, |name| *name == DELETE_AT));
        kept
    };
    make_plain(&mut headers);
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
        && let Some(etag) = source.get(ETAG)
    {
        headers.insert(ETAG, etag.clone());
    }
    headers
}

#[cfg(test)]
mod tests;
