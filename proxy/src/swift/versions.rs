//! Versions as clients of Swift ask for them (`?version-id=`, `?versions`), and what they are told.

use apus_base::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::listing::{self, parameters};
use super::refusal::Refusal;
use super::response::{page, text_html, text_plain};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::delete::Deleted;
use crate::ops::history::HistoryError;
use crate::ops::versions::{DELETE_MARKER, VERSION_ID, Version, VersionError, Versions};

const CURRENT_VERSION_ID: HeaderName = HeaderName::from_static("x-object-current-version-id");

/// The version that a request is about, if it says one.
///
/// # Errors
/// When what it says is none.
pub(super) fn asked(call: Call<'_>) -> Result<Option<Version>, Refusal> {
    if !call.proxy.config.versioned_writes.allow_object_versioning {
        return Ok(None);
    }
    let query = call.parts.uri.query().unwrap_or_default();
    let id = parameters(query).filter(|(name, value)| name == "version-id" && !value.is_empty()).last();
    let parsed = id.map(|(_, id)| String::from_utf8_lossy(&id).parse::<Version>()).transpose();
    Ok(parsed.map_err(|invalid| Error::from(VersionError::from(invalid)))?)
}

/// The listing of versions that a request is about, if it is.
///
/// # Errors
/// When a parameter is not UTF-8 or the limit is past `most`.
pub(super) fn listing(call: Call<'_>, most: u64) -> Result<Option<Versions>, Refusal> {
    let query = call.parts.uri.query();
    let has = |wanted: &str| parameters(query.unwrap_or_default()).any(|(name, _)| name == wanted);
    if !has("versions") || !call.proxy.config.versioned_writes.allow_object_versioning {
        return Ok(None);
    }
    let marker = parameters(query.unwrap_or_default()).filter(|(name, _)| name == "version_marker").last();
    let marker = marker.map(|(_, marker)| String::from_utf8_lossy(&marker).into_owned());
    Ok(Some(Versions { listing: listing::parse(query, most)?, has_marker: has("marker"), marker }))
}

/// The answer to a DELETE.
pub(super) fn deleted(deleted: &Deleted) -> Response<Body> {
    let mut response = page(if deleted.existed { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND });
    tell(response.headers_mut(), VERSION_ID, deleted.version);
    tell(response.headers_mut(), CURRENT_VERSION_ID, deleted.current);
    response
}

/// Says which version an answer is about.
pub(super) fn tell(headers: &mut HeaderMap, name: HeaderName, version: Option<Version>) {
    if let Some(Ok(version)) = version.map(|version| HeaderValue::from_str(&version.to_string())) {
        headers.insert(name, version);
    }
}

/// Why something was not done to a version, or to a container with versions.
pub(super) fn refused(error: &VersionError) -> Response<Body> {
    let text = error.to_string();
    match error {
        VersionError::DeleteMarker(version) => {
            let mut response = page(StatusCode::NOT_FOUND);
            tell(response.headers_mut(), VERSION_ID, Some(*version));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(DELETE_MARKER));
            response
        }
        VersionError::Body => text_plain(StatusCode::BAD_REQUEST, text),
        VersionError::Missing => text_plain(StatusCode::NOT_FOUND, text),
        VersionError::NoArchive => text_plain(StatusCode::INTERNAL_SERVER_ERROR, text),
        VersionError::Enable | VersionError::Delete => text_html(StatusCode::INTERNAL_SERVER_ERROR, text),
        VersionError::NotEmpty => text_html(StatusCode::CONFLICT, text),
        VersionError::NotVersioned
        | VersionError::Invalid(_)
        | VersionError::Post
        | VersionError::Legacy
        | VersionError::Synced
        | VersionError::Deprecated
        | VersionError::Marker
        | VersionError::MarkerOfWhat
        | VersionError::Delimiter => text_html(StatusCode::BAD_REQUEST, text),
    }
}

/// Why a container is not told to keep versions the old way.
pub(super) fn refused_history(error: &HistoryError) -> Response<Body> {
    let text = error.to_string();
    match error {
        HistoryError::BothModes => text_plain(StatusCode::BAD_REQUEST, text),
        HistoryError::Disabled => text_plain(StatusCode::PRECONDITION_FAILED, text),
        HistoryError::Empty | HistoryError::WithSlash => text_html(StatusCode::PRECONDITION_FAILED, text),
    }
}
