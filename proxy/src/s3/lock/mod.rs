//! Object lock in S3's words: headers of uploads and of answers, `?object-lock`, `?retention` and `?legal-hold`. What it means,
//! and what is promised, is said in [`crate::ops::lock`].

mod config;
mod moment;
mod object;

use apus_base::clock;
use apus_base::object_lock::WRITTEN;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Face;
use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::metadata::set;
use super::multi_delete::has_digest;
use super::policy::{self, Need};
use crate::ops::lock::{KEPT, Lock, LockError, Mode, Retention, Rule, bypassing};
use crate::ops::versions;

pub(super) use config::answer as bucket;
pub(super) use object::{legal_hold, retention};

pub(super) const MODE: &str = "x-amz-object-lock-mode";
pub(super) const UNTIL: &str = "x-amz-object-lock-retain-until-date";
pub(super) const HOLD: &str = "x-amz-object-lock-legal-hold";
const ENABLED: &str = "x-amz-bucket-object-lock-enabled";
const BYPASS: &str = "x-amz-bypass-governance-retention";

/// The longest body: a few short elements.
const MAX_BODY_BYTES: usize = 10_240;

/// What an upload asks for, as it is kept.
///
/// # Errors
/// When it makes no sense, or the bucket has no object lock.
pub(super) async fn asked(face: &Face<'_>, request: &HeaderMap) -> Result<HeaderMap, Fault> {
    let Some(lock) = read(request, clock::now().secs())? else { return Ok(HeaderMap::new()) };
    check_bucket(face).await?;
    Ok(HeaderMap::from_iter([(WRITTEN, lock.kept())]))
}

/// The same for an upload whose body comes with it, and has to be known by a digest.
///
/// # Errors
/// As [`asked`], and when there is no digest.
pub(super) async fn asked_with_body(face: &Face<'_>) -> Result<HeaderMap, Fault> {
    let request = &face.parts.headers;
    let asked = asked(face, request).await?;
    if !asked.is_empty() {
        check_digest(request)?;
    }
    Ok(asked)
}

/// # Errors
/// When nothing says by what the body can be checked: AWS demands it of whatever locks.
fn check_digest(request: &HeaderMap) -> Result<(), Fault> {
    let sentence =
        "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters";
    if has_digest(request) { Ok(()) } else { Err(Fault::saying(Code::InvalidRequest, sentence)) }
}

fn read(request: &HeaderMap, now: u64) -> Result<Option<Lock>, Fault> {
    let sent = |name: &str| request.contains_key(name).then(|| header(request, name).trim());
    let retention = match (sent(MODE), sent(UNTIL)) {
        (None, None) => None,
        (Some(mode), Some(until)) => Some(Retention {
            mode: Mode::of_name(mode).ok_or_else(|| Fault::argument(MODE, mode, "Unknown wormMode directive."))?,
            until: check_until(until, now)?,
        }),
        _ => {
            let sentence = format!("{UNTIL} and {MODE} must both be supplied");
            return Err(Fault::argument(MODE, sent(MODE).unwrap_or_default(), sentence));
        }
    };
    let hold = match sent(HOLD) {
        None => None,
        Some("ON") => Some(true),
        Some("OFF") => Some(false),
        Some(other) => return Err(Fault::argument(HOLD, other, "Legal Hold must be either of 'ON' or 'OFF'")),
    };
    let is_asked = retention.is_some() || hold.is_some();
    Ok(is_asked.then_some(Lock { retention, hold: hold.unwrap_or_default() }))
}

fn check_until(text: &str, now: u64) -> Result<u64, Fault> {
    let sentence = "The retain until date must be provided in ISO 8601 format";
    let until = moment::parse(text).ok_or_else(|| Fault::argument(UNTIL, text, sentence))?;
    if until > now {
        Ok(until)
    } else {
        Err(Fault::argument(UNTIL, text, "The retain until date must be in the future!"))
    }
}

/// Shows in an answer what keeps the object.
pub(super) fn show(answer: &HeaderMap, headers: &mut HeaderMap) {
    let lock = Lock::of(answer);
    if let Some(Retention { mode, until }) = lock.retention {
        headers.insert(MODE, HeaderValue::from_static(mode.name()));
        set(headers, HeaderName::from_static(UNTIL), &moment::show(until));
    }
    if lock.hold {
        headers.insert(HOLD, HeaderValue::from_static("ON"));
    }
}

/// What a bucket is made with.
///
/// # Errors
/// When that is neither true nor false, or the bucket is there: it would get what nobody takes away again.
pub(super) async fn made_with(face: &Face<'_>) -> Result<HeaderMap, Fault> {
    let headers = &face.parts.headers;
    match header(headers, ENABLED) {
        "" => return Ok(HeaderMap::new()),
        text if text.eq_ignore_ascii_case("false") => return Ok(HeaderMap::new()),
        text if text.eq_ignore_ascii_case("true") => {}
        text => return Err(Fault::argument(ENABLED, text, Code::InvalidArgument.message())),
    }
    if !face.proxy.config.versioned_writes.allow_object_versioning {
        return Err(Fault::new(Code::NotImplemented));
    }
    match super::bucket::describe(face).await {
        Ok(_) => Err(Fault::new(Code::BucketAlreadyOwnedByYou).with("BucketName", face.bucket())),
        Err(fault) if fault.code != Code::NoSuchBucket => Err(fault),
        Err(_) => Ok(HeaderMap::from_iter([
            (versions::ENABLED, HeaderValue::from_static("true")),
            (KEPT, Rule::default().kept()),
        ])),
    }
}

/// Whether the bucket has object lock.
///
/// # Errors
/// When it is not there.
pub(super) async fn is_enabled(face: &Face<'_>) -> Result<bool, Fault> {
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    let info = info.found().ok_or_else(|| Fault::no_such_bucket(face.bucket()))?;
    Ok(Rule::of(info).is_some())
}

/// # Errors
/// When the bucket is not there, or has no object lock.
async fn check_bucket(face: &Face<'_>) -> Result<(), Fault> {
    if is_enabled(face).await? { Ok(()) } else { Err(face.fault(LockError::NotEnabled.into())) }
}

/// The request, or what a policy made of it, with the right to remove what governance retains, if it asks for that and whoever
/// asks has it. Without it, it does what it can.
///
/// # Errors
/// When it cannot be judged.
pub(super) async fn with_bypass(
    face: &Face<'_>,
    key: Option<&str>,
    granted: Option<Parts>,
) -> Result<Option<Parts>, Fault> {
    let asks = header(&face.parts.headers, BYPASS).eq_ignore_ascii_case("true");
    let Some(key) = key.filter(|_| asks) else { return Ok(granted) };
    match policy::check(face, &[Need::bypass(face.bucket(), key)]).await {
        Ok(_) => Ok(Some(bypassing(granted.unwrap_or_else(|| face.parts.clone())))),
        Err(fault) if fault.code == Code::AccessDenied => Ok(granted),
        Err(fault) => Err(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn uploads_ask_for_locks() {
        let read = |pairs: &[(&'static str, &str)]| read(&request(pairs), 1000).map_err(|fault| fault.code);
        let until = (UNTIL, "1970-01-01T00:16:41Z");
        let retention = Some(Retention { mode: Mode::Compliance, until: 1001 });
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(MODE, "COMPLIANCE"), until]), Ok(Some(Lock { retention, hold: false })));
        assert_eq!(read(&[(MODE, "COMPLIANCE"), until, (HOLD, "ON")]), Ok(Some(Lock { retention, hold: true })));
        assert_eq!(read(&[(HOLD, "OFF")]), Ok(Some(Lock::default())));
        for bad in [
            &[(MODE, "COMPLIANCE")][..],
            &[until],
            &[(MODE, "compliance"), until],
            &[(MODE, "COMPLIANCE"), (UNTIL, "1970-01-01T00:16:40Z")],
            &[(MODE, "COMPLIANCE"), (UNTIL, "tomorrow")],
            &[(HOLD, "on")],
        ] {
            assert_eq!(read(bad), Err(Code::InvalidArgument), "{bad:?}");
        }
    }

    #[test]
    fn answers_show_them() {
        let shown = |kept: &'static str| {
            let mut headers = HeaderMap::new();
            show(&HeaderMap::from_iter([(WRITTEN, HeaderValue::from_static(kept))]), &mut headers);
            headers
        };
        assert_eq!(shown("HOLD"), request(&[(HOLD, "ON")]));
        let expected = request(&[(MODE, "GOVERNANCE"), (UNTIL, "2024-04-05T19:34:38Z")]);
        assert_eq!(shown("GOVERNANCE 1712345678"), expected);
        assert_eq!(shown("NONE"), HeaderMap::new());
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused(mode in "GOVERNANCE|[ -~]{0,12}", until in "[0-9TZ:.+-]{0,25}|[ -~]{0,20}", hold in "ON|[ -~]{0,4}") {
            let _ = read(&request(&[(MODE, &mode), (UNTIL, &until), (HOLD, &hold)]), 1000);
        }
    }
}
