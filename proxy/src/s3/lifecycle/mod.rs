//! `?lifecycle`: rules by which a bucket's objects, their versions and what is left of uploads go by themselves.
//!
//! The rules are a document of the bucket ([`kept`]); a row in a queue of the cluster's own ([`queue`]) says that it has one;
//! the pass [`Lifecycle`] carries them out, beside every proxy, because everything that is removed goes the way of requests
//! through [`ops`](crate::ops): with its delete marker, its parts and its locks, and with the keys of encryption. What goes when
//! is said by [`rule`] and [`judge`], which are pure, and [`remove`] says what happens to a client's write that comes in between.

mod bucket;
mod config;
mod document;
mod judge;
mod kept;
mod pass;
mod queue;
mod remove;
mod rule;

use apus_base::timestamp::Timestamp;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

use apus_base::body::Body;

use super::code::Code;
use super::fault::Fault;
use super::metadata::set;
use super::multi_delete::has_digest;
use super::payload::Payload;
use super::tagging::Tags;
use super::{Answered, Face, document as xml, empty, parse};
pub use config::{Config, InvalidLifecycle};
use kept::{Kept, LIFECYCLE};
pub use pass::Lifecycle;
use queue::Queue;
use rule::{Facts, Rules};

/// The longest body: a thousand rules, each with a long prefix and some tags.
const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
const EXPIRATION: HeaderName = HeaderName::from_static("x-amz-expiration");
const SMALLEST: HeaderName = HeaderName::from_static("x-amz-transition-default-minimum-object-size");
/// The values that it may have, the first of them where none is given.
const SMALLESTS: [&str; 2] = ["all_storage_classes_128K", "varies_by_storage_class"];

/// The places where the crash tests kill the pass.
pub const CRASH_POINTS: &[&str] = &[pass::PAGE_DONE];

/// `?lifecycle`
pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("LIFECYCLE"));
    }
    match face.parts.method {
        Method::GET => {
            let rules = face.setting::<Kept>(LIFECYCLE).await?.and_then(Kept::rules);
            let none = || Fault::new(Code::NoSuchLifecycleConfiguration).with("BucketName", face.bucket());
            let rules = rules.ok_or_else(none)?;
            Ok(with_smallest(xml(document::write(&rules)), &rules))
        }
        Method::PUT => {
            let rules = read(face, payload).await?;
            // A row without rules does nothing; rules without a row would be forgotten.
            super::bucket::describe(face).await?;
            let queue = Queue { client: &face.proxy.client, clock: &face.proxy.clock };
            let queued = queue.add(&face.account, face.bucket()).await;
            queued.map_err(|error| face.fault(error.into()))?;
            face.set(LIFECYCLE, Some(&Kept::of(rules.clone())?)).await?;
            Ok(with_smallest(empty(StatusCode::OK), &rules))
        }
        Method::DELETE => {
            face.set::<Kept>(LIFECYCLE, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("LIFECYCLE")),
    }
}

async fn read(face: &Face<'_>, payload: Payload) -> Result<Rules, Fault> {
    let headers = &face.parts.headers;
    let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
    if !has_digest(headers) {
        let sentence = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
        return Err(Fault::saying(Code::InvalidRequest, sentence));
    }
    let smallest = headers.get(SMALLEST).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(other) = smallest.as_ref().filter(|smallest| !SMALLESTS.contains(&smallest.as_str())) {
        return Err(Fault::argument(SMALLEST.as_str(), other, "Unknown default minimum object size."));
    }
    Ok(Rules { rules: document::read(&parse(&text, document::ROOT)?)?, smallest })
}

fn with_smallest(mut response: Response<Body>, rules: &Rules) -> Response<Body> {
    let smallest = rules.smallest.as_deref().unwrap_or(SMALLESTS[0]);
    set(response.headers_mut(), SMALLEST, smallest);
    response
}

/// Whether uploads of a bucket are given up that nobody completes.
///
/// # Errors
/// When it is not known.
pub(super) async fn gives_up_uploads(face: &Face<'_>) -> Result<bool, Fault> {
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    Ok(info.found().and_then(|info| kept::of(info)).is_some_and(|rules| rules.is_about_uploads()))
}

/// An object that is the current version of its key.
pub(super) struct Current<'a> {
    pub(super) key: &'a str,
    pub(super) bytes: u64,
    pub(super) tags: &'a Tags,
    pub(super) written: Timestamp,
}

/// Says in an answer when the object goes, if it does, and by which rule. Where it has an expiry of its own, the sooner counts.
pub(super) async fn show(face: &Face<'_>, current: &Current<'_>, headers: &mut HeaderMap) {
    // It is cached, and was asked for a moment ago.
    let Ok(info) = face.proxy.client.container_info(&face.account, face.bucket()).await else { return };
    let Some(rules) = info.found().and_then(|info| kept::of(info)) else { return };
    let facts = Facts { key: current.key, bytes: current.bytes, tags: Some(current.tags) };
    let Some((at, rule)) = rules.expiry(facts, current.written.secs(), face.proxy.config.lifecycle.day) else { return };
    let own = headers.get(EXPIRATION).and_then(expiry_date);
    if own.is_none_or(|own| at < own) {
        headers.remove(EXPIRATION);
        let date = Timestamp::from_secs(at).http_date();
        let id = percent_encoding::utf8_percent_encode(&rule.id, crate::swift::response::QUOTED);
        set(headers, EXPIRATION, &format!("expiry-date=\"{date}\", rule-id=\"{id}\""));
    }
}

/// The moment that such a header says.
fn expiry_date(value: &HeaderValue) -> Option<u64> {
    let date = value.to_str().ok()?.strip_prefix("expiry-date=\"")?.split('"').next()?;
    let moment = httpdate::parse_http_date(date).ok()?;
    moment.duration_since(std::time::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read_as_it_is_written() {
        let value = HeaderValue::from_static("expiry-date=\"Fri, 21 Dec 2012 00:00:00 GMT\", rule-id=\"x\"");
        assert_eq!(expiry_date(&value), Some(1_356_048_000));
        assert_eq!(expiry_date(&HeaderValue::from_static("expiry-date=\"soon")), None);
    }
}
