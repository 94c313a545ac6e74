//! Symlinks as clients of Swift ask for them, and what they are told when there is none.

use apus_base::body::Body;
use http::header::LOCATION;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::listing::parameters;
use super::response::{text_html, text_plain};
use crate::ops::symlink::{InvalidLink, LinkError};

const TARGET_ETAG: HeaderName = HeaderName::from_static("x-symlink-target-etag");
const ON_LINK: &str = "The requested POST was applied to a symlink. POST directly to the target to apply requested \
    metadata.";

/// Whether a request is about a link itself, instead of what it stands for.
pub(super) fn as_link(query: Option<&str>) -> bool {
    parameters(query.unwrap_or_default()).any(|(name, value)| name == "symlink" && value == b"get")
}

/// The answer to a POST that changed a link, whose target has the path.
pub(super) fn redirect(path: &str, etag: Option<&str>) -> Response<Body> {
    let mut response = text_html(StatusCode::TEMPORARY_REDIRECT, ON_LINK);
    for (name, value) in [(LOCATION, Some(path)), (TARGET_ETAG, etag)] {
        if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Why there is no link, or it leads nowhere.
pub(super) fn refused(error: &LinkError) -> Response<Body> {
    let text = error.to_string();
    match error {
        LinkError::Invalid(InvalidLink::NoAccount | InvalidLink::AccountWithSlash) => {
            text_html(StatusCode::PRECONDITION_FAILED, text)
        }
        LinkError::Invalid(InvalidLink::Target) => text_plain(StatusCode::PRECONDITION_FAILED, text),
        LinkError::Invalid(InvalidLink::Itself | InvalidLink::Etag) | LinkError::Body | LinkError::Post => {
            text_plain(StatusCode::BAD_REQUEST, text)
        }
        LinkError::TooMany(_) | LinkError::OtherLink | LinkError::Changed { .. } | LinkError::NoTarget => {
            text_plain(StatusCode::CONFLICT, text)
        }
    }
}
