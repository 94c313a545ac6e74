//! The limits on what clients may send, and the checks that hold requests to them. Pure: no clock, no I/O.
//!
//! The numbers and their names are Swift's (`common/constraints.py`), published as they are in `/info`; the texts of
//! [`Invalid`] are what clients of Swift know and what its functional tests compare.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};

use apus_base::timestamp::Timestamp;
pub use apus_base::wire::is_yes;

/// The largest `X-Delete-At`: what ten digits can say.
const LAST_DELETE_AT_SECS: i128 = 9_999_999_999;

/// The limits of a cluster, the `[proxy.constraints]` table. Lengths are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constraints {
    /// The largest object; larger ones are made of segments.
    pub max_file_size: u64,
    /// The longest name of a metadata item, without its `X-Object-Meta-`.
    pub max_meta_name_length: usize,
    /// The longest value of a metadata item.
    pub max_meta_value_length: usize,
    /// The most metadata items of one resource.
    pub max_meta_count: usize,
    /// The most bytes of all metadata names and values of one resource.
    pub max_meta_overall_size: usize,
    /// The longest value of any header.
    pub max_header_size: usize,
    /// The longest request line.
    pub max_request_line: usize,
    /// The longest name of an object.
    pub max_object_name_length: usize,
    /// The most rows of one container listing.
    pub container_listing_limit: u64,
    /// The most rows of one account listing.
    pub account_listing_limit: u64,
    /// The longest name of an account.
    pub max_account_name_length: usize,
    /// The longest name of a container.
    pub max_container_name_length: usize,
    /// What paths may begin with.
    pub valid_api_versions: Vec<String>,
    /// Headers a request may have beyond its metadata and the usual ones.
    pub extra_header_count: usize,
    /// Accounts whose names begin so belong to the cluster itself.
    pub auto_create_account_prefix: String,
}

impl Default for Constraints {
    fn default() -> Self {
        Self {
            max_file_size: 5 * 1024 * 1024 * 1024 + 2,
            max_meta_name_length: 128,
            max_meta_value_length: 256,
            max_meta_count: 90,
            max_meta_overall_size: 4096,
            max_header_size: 8192,
            max_request_line: 8192,
            max_object_name_length: 1024,
            container_listing_limit: 10_000,
            account_listing_limit: 10_000,
            max_account_name_length: 256,
            max_container_name_length: 256,
            valid_api_versions: vec!["v1".into(), "v1.0".into()],
            extra_header_count: 0,
            auto_create_account_prefix: ".".into(),
        }
    }
}

/// What a header or a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// An account.
    Account,
    /// A container.
    Container,
    /// An object.
    Object,
}

impl Level {
    /// The prefix of its metadata's headers, in lower case.
    pub fn meta_prefix(self) -> &'static str {
        match self {
            Self::Account => "x-account-meta-",
            Self::Container => "x-container-meta-",
            Self::Object => "x-object-meta-",
        }
    }

    /// The prefix of the headers by which middleware keeps its own state.
    pub fn sysmeta_prefix(self) -> &'static str {
        match self {
            Self::Account => "x-account-sysmeta-",
            Self::Container => "x-container-sysmeta-",
            Self::Object => "x-object-sysmeta-",
        }
    }
}

/// Why a request is refused with 400; the text is what the client reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Any header longer than `max_header_size`.
    #[error("Header value too long: {0}")]
    HeaderTooLong(String),
    /// `X-Object-Meta-` without a name.
    #[error("Metadata name cannot be empty")]
    MetaNameEmpty,
    /// Metadata of an account or container that is not UTF-8.
    #[error("Metadata must be valid UTF-8")]
    MetaUtf8,
    /// A name longer than `max_meta_name_length`.
    #[error("Metadata name too long: {0}")]
    MetaNameTooLong(String),
    /// A value longer than `max_meta_value_length`.
    #[error("Metadata value longer than {0}: {1}")]
    MetaValueTooLong(usize, String),
    /// More items than `max_meta_count`.
    #[error("Too many metadata items; max {0}")]
    MetaCount(usize),
    /// More bytes than `max_meta_overall_size`.
    #[error("Total metadata too large; max {0}")]
    MetaSize(usize),
    /// A name of a resource longer than its limit.
    #[error("{0:?} name length of {1} longer than {2}")]
    NameTooLong(Level, usize, usize),
    /// A content type that is not UTF-8.
    #[error("Invalid Content-Type")]
    ContentType,
    /// A content type with a parameter that Swift keeps for itself.
    #[error("Invalid Content-Type, swift_* is not a valid parameter name.")]
    ContentTypeReserved,
    /// An `X-Delete-After` that is not a number.
    #[error("Non-integer X-Delete-After")]
    DeleteAfter,
    /// An `X-Delete-After` that ends before it begins.
    #[error("X-Delete-After in past")]
    DeleteAfterPast,
    /// An `X-Delete-At` that is not a number.
    #[error("Non-integer X-Delete-At")]
    DeleteAt,
    /// An `X-Delete-At` that has passed.
    #[error("X-Delete-At in past")]
    DeleteAtPast,
}

impl Constraints {
    /// Holds the metadata in `headers`, and the length of every header, to the limits.
    ///
    /// # Errors
    /// The first limit that is broken.
    pub fn check_metadata(&self, headers: &HeaderMap, level: Level) -> Result<(), Invalid> {
        let (mut count, mut size) = (0, 0);
        for (name, value) in headers {
            if value.len() > self.max_header_size {
                let shown = title_case(name.as_str()).chars().take(self.max_meta_name_length).collect();
                return Err(Invalid::HeaderTooLong(shown));
            }
            let Some(item) = name.as_str().strip_prefix(level.meta_prefix()) else {
                continue;
            };
            self.check_item(item, value, level)?;
            count += 1;
            size += item.len() + value.len();
            if count > self.max_meta_count {
                return Err(Invalid::MetaCount(self.max_meta_count));
            }
            if size > self.max_meta_overall_size {
                return Err(Invalid::MetaSize(self.max_meta_overall_size));
            }
        }
        Ok(())
    }

    fn check_item(&self, item: &str, value: &HeaderValue, level: Level) -> Result<(), Invalid> {
        let shown = || format!("{}{}", level.meta_prefix(), title_case(item));
        if item.is_empty() {
            Err(Invalid::MetaNameEmpty)
        } else if level != Level::Object && std::str::from_utf8(value.as_bytes()).is_err() {
            Err(Invalid::MetaUtf8)
        } else if item.len() > self.max_meta_name_length {
            Err(Invalid::MetaNameTooLong(shown()))
        } else if value.len() > self.max_meta_value_length {
            Err(Invalid::MetaValueTooLong(self.max_meta_value_length, shown()))
        } else {
            Ok(())
        }
    }

    /// Holds the name of a resource in `account` to its limit; the cluster's own accounts may have twice as much.
    ///
    /// # Errors
    /// `NameTooLong`.
    pub fn check_name(&self, level: Level, account: &str, name: &str) -> Result<(), Invalid> {
        let own = account.starts_with(&self.auto_create_account_prefix);
        let limit = match level {
            Level::Account => self.max_account_name_length * if own { 2 } else { 1 },
            Level::Container => self.max_container_name_length * if own { 2 } else { 1 },
            Level::Object => self.max_object_name_length,
        };
        if name.len() > limit { Err(Invalid::NameTooLong(level, name.len(), limit)) } else { Ok(()) }
    }
}

/// Refuses content types that are not text, or that hold one of Swift's own `swift_*` parameters.
///
/// # Errors
/// `ContentType` or `ContentTypeReserved`.
pub fn check_content_type(value: &HeaderValue) -> Result<(), Invalid> {
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| Invalid::ContentType)?;
    let reserved = |parameter: &str| parameter.trim_start().starts_with("swift_");
    if text.split(';').skip(1).any(reserved) { Err(Invalid::ContentTypeReserved) } else { Ok(()) }
}

/// When an object shall expire, in seconds since 1970, from `X-Delete-After` or else `X-Delete-At`.
///
/// # Errors
/// When the header is no integer, or the time is not after `now`.
pub fn delete_at(headers: &HeaderMap, now: Timestamp) -> Result<Option<u64>, Invalid> {
    let secs = |value: i128| u64::try_from(value.clamp(0, LAST_DELETE_AT_SECS)).unwrap_or(0);
    if let Some(after) = headers.get("x-delete-after") {
        let after = integer(after).ok_or(Invalid::DeleteAfter)?;
        let at = secs(i128::from(now.secs()).saturating_add(after));
        return if Timestamp::from_secs(at) <= now { Err(Invalid::DeleteAfterPast) } else { Ok(Some(at)) };
    }
    let Some(at) = headers.get("x-delete-at") else {
        return Ok(None);
    };
    let at = secs(integer(at).ok_or(Invalid::DeleteAt)?);
    if Timestamp::from_secs(at) <= now { Err(Invalid::DeleteAtPast) } else { Ok(Some(at)) }
}

/// An integer as Python reads one; absurdly long ones become the largest or smallest.
fn integer(value: &HeaderValue) -> Option<i128> {
    let text = value.to_str().ok()?.trim();
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse::<i128>().unwrap_or(i128::MAX);
    Some(if negative { -size } else { size })
}

/// Whether a header says yes.
pub fn is_true(headers: &HeaderMap, name: &str) -> bool {
    headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(is_yes)
}

/// The length of a request's body, `None` when it is chunked.
///
/// # Errors
/// The text of a 400 or 501 answer for an encoding that we do not read.
pub fn message_length(headers: &HeaderMap) -> Result<Option<u64>, BadLength> {
    let encoding = headers.get(header::TRANSFER_ENCODING).map(|v| v.as_bytes().to_ascii_lowercase());
    match encoding.as_deref() {
        Some(b"chunked") => Ok(None),
        Some(several) if several.contains(&b',') => Err(BadLength::Unsupported),
        Some(_) => Err(BadLength::Encoding),
        None => match headers.get(header::CONTENT_LENGTH) {
            None => Err(BadLength::Missing),
            Some(v) => v.to_str().ok().and_then(|v| v.parse().ok()).map(Some).ok_or(BadLength::Length),
        },
    }
}

/// Why a body's length is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLength {
    /// 411.
    #[error("Missing Content-Length header.")]
    Missing,
    /// 400.
    #[error("Invalid Content-Length header value")]
    Length,
    /// 400.
    #[error("Invalid Transfer-Encoding header value")]
    Encoding,
    /// 501.
    #[error("Unsupported Transfer-Coding header value specified in Transfer-Encoding header")]
    Unsupported,
}

/// `x-object-meta-a1b` as `X-Object-Meta-A1B`, the way Swift shows names.
pub fn title_case(name: &str) -> String {
    let mut after_letter = false;
    name.chars()
        .map(|c| {
            let shown = if after_letter { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
            after_letter = c.is_ascii_alphabetic();
            shown
        })
        .collect()
}

/// Whether `name` begins with `prefix` and goes on.
pub fn is_item_of(name: &HeaderName, prefix: &str) -> bool {
    name.as_str().len() > prefix.len() && name.as_str().starts_with(prefix)
}

#[cfg(test)]
mod tests;
