//! Backend requests about listings: whom they are for, when they were made, and how they are refused.

use http::{HeaderMap, HeaderName, Response, StatusCode, Uri};

use super::metadata::InvalidMetadata;
use crate::body::{self, Body, BodyError};
use crate::db::DbError;
use crate::policy::{Policies, PolicyIndex};
use crate::serve::plain;
use crate::timestamp::Timestamp;
use crate::wire::{BackendPath, InvalidPath, header, is_yes};

/// Names that begin so belong to the proxy; clients cannot make them.
const RESERVED: char = '\0';
/// The one account whose objects are other objects' full names, and so may hold anything.
const MISPLACED_OBJECTS: &str = ".misplaced_objects";

/// Why a request about a listing is not done.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The peer's request makes no sense: 400.
    #[error("{0}")]
    BadRequest(String),
    /// A name that is not UTF-8, or too large a limit: 412.
    #[error("{0}")]
    Precondition(String),
    /// No such method on such a path: 405.
    #[error("the method is not allowed here")]
    Method,
    /// What it is about is not there: 404.
    #[error("not found")]
    NotFound,
    /// Too many of its kind are being worked on: 503.
    #[error("the server has too much to do")]
    Busy,
    /// The body did not arrive: 408, 413 or 499.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The device or its database failed: 507, or 503 when it has too much to do.
    #[error(transparent)]
    Storage(#[from] DbError),
}

impl Refusal {
    /// The status that it is told with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Precondition(_) => StatusCode::PRECONDITION_FAILED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Body(BodyError::Stalled(_)) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::TooLong(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Storage(error) => error.status(),
        }
    }

    /// The answer; what went wrong on this side is logged here.
    pub fn into_response(self) -> Response<Body> {
        if let Self::Storage(error) = &self {
            tracing::error!(%error, "a listing could not be read or written");
        }
        plain(self.status(), self.to_string())
    }
}

impl From<InvalidMetadata> for Refusal {
    fn from(invalid: InvalidMetadata) -> Self {
        Self::BadRequest(invalid.to_string())
    }
}

/// What a request is about: a checked [`BackendPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The device's name.
    pub device: String,
    /// The account.
    pub account: String,
    /// The container.
    pub container: Option<String>,
    /// The object.
    pub object: Option<String>,
}

impl Target {
    /// Reads the path of a request.
    ///
    /// # Errors
    /// 400 or 412 for a path that names nothing, and for names that mix the clients' with the proxy's.
    pub fn parse(uri: &Uri) -> Result<Self, Refusal> {
        let path = BackendPath::parse(uri.path()).map_err(|invalid| match invalid {
            InvalidPath::Utf8 => Refusal::Precondition("Invalid UTF8 or contains NULL".into()),
            _ => Refusal::BadRequest(invalid.to_string()),
        })?;
        let BackendPath { device, account, container, object, .. } = path;
        let target = Self { device, account, container, object };
        target.check_names()?;
        Ok(target)
    }

    /// Reads a path that is only a device's name.
    ///
    /// # Errors
    /// 400 for one that is not.
    pub fn device_of(uri: &Uri) -> Result<String, Refusal> {
        // The same rules as for longer paths.
        let path = BackendPath::parse(&format!("{}/0/-", uri.path().trim_end_matches('/')));
        let only_device =
            path.ok().filter(|path| path.partition == 0 && path.account == "-" && path.container.is_none());
        only_device.map(|path| path.device).ok_or_else(|| Refusal::BadRequest("Invalid path: expected /device".into()))
    }

    /// Checks names that came another way, as [`Target::parse`] does.
    ///
    /// # Errors
    /// 400 for names that mix the clients' with the proxy's.
    pub fn check_names(&self) -> Result<(), Refusal> {
        reserved_at_start(&self.account, "account")?;
        let Some(container) = &self.container else {
            return Ok(());
        };
        reserved_at_start(container, "container")?;
        if [&self.account, container].iter().any(|name| name.contains('/')) {
            return Err(Refusal::BadRequest("Invalid path: an account or container holds a slash".into()));
        }
        match &self.object {
            Some(object) if !self.account.starts_with('.') && self.account != MISPLACED_OBJECTS => {
                check_object(container, object)
            }
            _ => Ok(()),
        }
    }
}

fn check_object(container: &str, object: &str) -> Result<(), Refusal> {
    reserved_at_start(object, "object")?;
    let text = match (container.starts_with(RESERVED), object.starts_with(RESERVED)) {
        (true, false) => "Invalid user-namespace object in reserved-namespace container",
        (false, true) => "Invalid reserved-namespace object in user-namespace container",
        _ => return Ok(()),
    };
    Err(Refusal::BadRequest(text.into()))
}

fn reserved_at_start(name: &str, kind: &str) -> Result<(), Refusal> {
    if name.contains(RESERVED) && !name.starts_with(RESERVED) {
        return Err(Refusal::BadRequest(format!("Invalid reserved-namespace {kind}")));
    }
    Ok(())
}

/// A header's text, if it is there.
///
/// # Errors
/// 400 when it is not UTF-8.
pub fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes());
    text.map(Some).map_err(|_| Refusal::BadRequest(format!("{name} is not valid UTF-8")))
}

/// A header's value as a number, a timestamp and the like, if it is there.
///
/// # Errors
/// 400 when it is none.
pub fn parsed<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Result<Option<T>, Refusal> {
    let refuse = |text: &str| Refusal::BadRequest(format!("Invalid {name} header {text:?}"));
    text(headers, name)?.map(|text| text.trim().parse().map_err(|_| refuse(text))).transpose()
}

/// As [`parsed`], of a header that has to be there.
///
/// # Errors
/// 400 when it is missing or no such value.
pub fn required<T: std::str::FromStr>(headers: &HeaderMap, name: &str) -> Result<T, Refusal> {
    parsed(headers, name)?.ok_or_else(|| Refusal::BadRequest(format!("Missing {name} header")))
}

/// The request's version.
///
/// # Errors
/// 400 when it is missing or no timestamp.
pub fn timestamp(headers: &HeaderMap) -> Result<Timestamp, Refusal> {
    required(headers, header::TIMESTAMP)
}

/// Whether a header says yes.
pub fn flag(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(is_yes)
}

/// Whether names of the proxy's own are shown.
pub fn shows_reserved(headers: &HeaderMap) -> bool {
    flag(headers, "x-backend-allow-reserved-names")
}

/// The storage policy that a request names.
///
/// # Errors
/// 400 when there is no such policy.
pub fn policy(headers: &HeaderMap, policies: &Policies) -> Result<Option<PolicyIndex>, Refusal> {
    let Some(text) = text(headers, header::POLICY_INDEX)? else {
        return Ok(None);
    };
    let known = text.parse().ok().map(PolicyIndex).filter(|index| policies.get(*index).is_some());
    known.map(Some).ok_or_else(|| Refusal::BadRequest(format!("Invalid X-Backend-Storage-Policy-Index {text:?}")))
}

/// Whether a request is to be done even for an account that is deleted.
///
/// # Errors
/// 400 when the header is not UTF-8.
pub fn overrides_deleted(headers: &HeaderMap) -> Result<bool, Refusal> {
    Ok(text(headers, "x-account-override-deleted")?.is_some_and(|text| text.eq_ignore_ascii_case("yes")))
}

/// An answer without a body.
pub fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response
}

/// Sets a header to something that is ASCII when written out.
pub fn set(headers: &mut HeaderMap, name: &'static str, value: impl std::fmt::Display) {
    if let Ok(value) = value.to_string().parse() {
        headers.insert(HeaderName::from_static(name), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(path: &str) -> Option<u16> {
        Target::parse(&path.parse().unwrap()).err().map(|refusal| refusal.status().as_u16())
    }

    #[test]
    fn names_of_the_proxys_own() {
        for good in
            ["/d/1/%00a", "/d/1/a/%00c/%00o", "/d/1/a/c/o", "/d/1/.a/c/%00o", "/d/1/.misplaced_objects/c/0:%2Fa"]
        {
            assert_eq!(status(good), None, "{good}");
        }
        for bad in ["/d/1/a%00", "/d/1/a/c%00", "/d/1/a/c/o%00", "/d/1/a/c/%00o", "/d/1/a/%00c/o", "/d/1/a%2Fb/c", "/d"]
        {
            assert_eq!(status(bad), Some(400), "{bad}");
        }
        assert_eq!(status("/d/1/a/%ff"), Some(412));

        let device = |path: &str| Target::device_of(&path.parse().unwrap()).ok();
        assert_eq!(device("/sda1"), Some("sda1".into()));
        assert!(["/", "/..", "/d/0/-", "/d/0", "/%2e"].iter().all(|path| device(path).is_none()));
    }

    #[test]
    fn headers_are_read_or_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(timestamp(&headers).unwrap_err().status(), 400);
        set(&mut headers, header::TIMESTAMP, "soon");
        assert_eq!(timestamp(&headers).unwrap_err().status(), 400);
        set(&mut headers, header::TIMESTAMP, Timestamp::from_secs(7));
        assert_eq!(timestamp(&headers).unwrap(), Timestamp::from_secs(7));

        let policies = Policies::default();
        assert_eq!(policy(&headers, &policies).unwrap(), None);
        for bad in ["x", "-1", "9"] {
            set(&mut headers, header::POLICY_INDEX, bad);
            assert_eq!(policy(&headers, &policies).unwrap_err().status(), 400);
        }
    }
}
