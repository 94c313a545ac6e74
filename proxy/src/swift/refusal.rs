//! Every no of the Swift face: which status and which text a client gets for what went wrong.

use apus_base::body::{self, Body, BodyError};
use http::header::{ALLOW, CONTENT_LOCATION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use super::listing::BadListing;
use super::manifest::BadManifest;
use super::path::BadPath;
use super::response::{page, text_html, text_plain, unauthorized};
use super::{links, slo, versions};
use crate::auth::Denied;
use crate::constraints::{BadLength, Invalid};
use crate::error::Error;
use crate::middleware::ratelimit;
use crate::ops::crypto::Undecryptable;
use crate::ops::quota::Quota;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The operation failed.
    #[error(transparent)]
    Operation(#[from] Error),
    /// The path names nothing.
    #[error(transparent)]
    Path(#[from] BadPath),
    /// The query of a listing is wrong.
    #[error(transparent)]
    Listing(#[from] BadListing),
    /// The `Host` is one that the operator denies.
    #[error("Invalid host header")]
    Host,
    /// What is there does not know the method; the text is for `Allow`.
    #[error("allowed are {0}")]
    Method(&'static str),
    /// The query has no meaning here, and most likely was meant for something that is not there.
    #[error("the query has no meaning here")]
    Query,
    /// A copy's headers name no source or destination; the text is the client's.
    #[error("{0}")]
    CopyHeader(&'static str),
    /// A copy with bytes of its own.
    #[error("Copy requests require a zero byte body")]
    CopyBody,
    /// The manifest of a large object is wrong.
    #[error(transparent)]
    Manifest(#[from] BadManifest),
    /// Segments of a large object cannot be used: a report, and its type.
    #[error("segments cannot be used")]
    Report(HeaderValue, String),
    /// A header that only the cluster sets.
    #[error(
        "X-Static-Large-Object is a reserved header. To create a static large object add query param \
         multipart-manifest=put."
    )]
    StaticLargeObject,
    /// The page of a status says it all.
    #[error("{0}")]
    Page(StatusCode),
}

impl Refusal {
    /// The status of the answer.
    pub(super) fn status(self) -> StatusCode {
        self.into_response(None).status()
    }

    /// The answer; `account` is the one in the request's path.
    pub(super) fn into_response(self, account: Option<&str>) -> Response<Body> {
        let text = self.to_string();
        match self {
            Self::Operation(error) => operation(&error, account),
            Self::Path(BadPath::Unknown) => page(StatusCode::NOT_FOUND),
            Self::Path(BadPath::Version) | Self::Query => page(StatusCode::BAD_REQUEST),
            Self::Path(BadPath::Utf8 | BadPath::Url) => text_html(StatusCode::PRECONDITION_FAILED, text),
            Self::Page(status) => page(status),
            Self::Report(kind, report) => with_report(kind, report),
            Self::Manifest(BadManifest::Entries(_)) => text_plain(StatusCode::BAD_REQUEST, text),
            Self::Manifest(_) | Self::StaticLargeObject => text_html(StatusCode::BAD_REQUEST, text),
            Self::Listing(BadListing::Utf8(_)) | Self::CopyBody => text_plain(StatusCode::BAD_REQUEST, text),
            Self::Listing(BadListing::Limit(_)) => text_html(StatusCode::PRECONDITION_FAILED, text),
            Self::CopyHeader(_) => text_html(StatusCode::PRECONDITION_FAILED, text),
            Self::Host => text_html(StatusCode::FORBIDDEN, text),
            Self::Method(allowed) => with_allow(page(StatusCode::METHOD_NOT_ALLOWED), allowed),
        }
    }
}

/// Adds the methods that are allowed.
pub(super) fn with_allow(mut response: Response<Body>, allowed: &'static str) -> Response<Body> {
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

fn with_report(kind: HeaderValue, report: String) -> Response<Body> {
    let mut response = Response::new(body::full(report));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The answer to an operation that failed; `account` is the one in the request's path.
pub(super) fn operation(error: &Error, account: Option<&str>) -> Response<Body> {
    let text = error.to_string();
    match error {
        Error::Denied(Denied::Unauthorized) => unauthorized(account),
        Error::Denied(Denied::Forbidden) => page(StatusCode::FORBIDDEN),
        Error::Denied(Denied::Unavailable(_)) | Error::Unavailable => page(StatusCode::SERVICE_UNAVAILABLE),
        Error::Invalid(Invalid::ContentTypeReserved) => text_html(StatusCode::BAD_REQUEST, text),
        Error::Invalid(Invalid::NameTooLong(level, ..)) if *level != crate::constraints::Level::Object => {
            text_html(StatusCode::BAD_REQUEST, text)
        }
        Error::Invalid(_) | Error::UnknownPolicy(_) | Error::IfNoneMatch => text_plain(StatusCode::BAD_REQUEST, text),
        Error::Acl(_) | Error::DeprecatedPolicy(_) => text_html(StatusCode::BAD_REQUEST, text),
        Error::AccountAcl(..) => text_plain(StatusCode::BAD_REQUEST, text),
        Error::Length(BadLength::Missing) => text_plain(StatusCode::LENGTH_REQUIRED, text),
        Error::Length(BadLength::Unsupported) => text_plain(StatusCode::NOT_IMPLEMENTED, text),
        Error::Length(_) => text_plain(StatusCode::BAD_REQUEST, text),
        Error::NotFound => page(StatusCode::NOT_FOUND),
        Error::Unmet { .. } => page(StatusCode::PRECONDITION_FAILED),
        Error::Contended => page(StatusCode::CONFLICT),
        Error::Gone => gone(),
        Error::TooManyContainers(_) => text_html(StatusCode::FORBIDDEN, text),
        Error::Quota(Quota::Exceeded | Quota::PolicyExceeded) => text_html(StatusCode::PAYLOAD_TOO_LARGE, text),
        Error::Quota(Quota::InvalidBytes | Quota::InvalidCount) => text_html(StatusCode::BAD_REQUEST, text),
        Error::Quota(Quota::Invalid) => page(StatusCode::BAD_REQUEST),
        Error::Quota(Quota::Forbidden) => page(StatusCode::FORBIDDEN),
        Error::Limited(limited) => text_html(ratelimit::status(*limited), text),
        Error::TooLarge => text_plain(StatusCode::PAYLOAD_TOO_LARGE, text),
        Error::SourceTooLarge => page(StatusCode::PAYLOAD_TOO_LARGE),
        Error::Body(reason) => page(body_status(reason)),
        Error::Undecryptable(Undecryptable::Keys) => text_html(StatusCode::INTERNAL_SERVER_ERROR, text),
        Error::Undecryptable(_) => text_plain(StatusCode::INTERNAL_SERVER_ERROR, text),
        Error::Locked(_) => text_plain(StatusCode::FORBIDDEN, text),
        Error::Large(error) => slo::answer(error),
        Error::Link(error) => links::refused(error),
        Error::Behind { path, error } => behind(path, error, account),
        Error::Version(error) => versions::refused(error),
        Error::Lock(error) => text_plain(error.status(), text),
        Error::History(error) => versions::refused_history(error),
        Error::Refused(status, text) if text.is_empty() => page(*status),
        Error::Refused(status, text) => text_html(*status, text.clone()),
    }
}

fn behind(path: &str, error: &Error, account: Option<&str>) -> Response<Body> {
    let mut response = operation(error, account);
    // It is percent-encoded.
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(CONTENT_LOCATION, path);
    }
    response
}

fn gone() -> Response<Body> {
    let mut response = page(StatusCode::GONE);
    response.headers_mut().insert("x-account-status", HeaderValue::from_static("Deleted"));
    response
}

/// 499 is Swift's own: the client went away. It is read in logs only.
pub(crate) fn body_status(reason: &BodyError) -> StatusCode {
    match reason {
        BodyError::Stalled(_) => StatusCode::REQUEST_TIMEOUT,
        BodyError::Disconnected(_) => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        BodyError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
        BodyError::Source(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
