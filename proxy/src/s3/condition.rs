//! Conditions on writes: `If-None-Match: *` and `If-Match` of a PUT, a copy or the completion of an upload, `If-Match` of a DELETE.
//!
//! They are decided together with the write ([`apus_base::ballot`]): of any number of clients that create the same key, or that
//! replace the same version of it, one succeeds at most. The others hear 412; who cannot be told yet, since others write at the
//! same time, hears 409 and may try again. The ETags are those that clients of S3 know, also of uploads in parts.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

use super::code::Code;
use super::fault::Fault;
use crate::error::Error;
use crate::ops::condition::Condition;
use crate::ops::large::S3_ETAG;

/// Conditions that AWS has in its directory buckets only. To ignore one would delete what the client wants to keep.
const OTHERS: [&str; 2] = ["x-amz-if-match-size", "x-amz-if-match-last-modified-time"];

/// What a PUT, or the completion of an upload, demands.
///
/// # Errors
/// When it is a condition that S3 has for reads only.
pub(super) fn of_put(headers: &HeaderMap) -> Result<Option<Condition>, Fault> {
    let is_any = |name| headers.get(name).map(|value| value == "*");
    let is_for_writes = is_any(IF_NONE_MATCH) != Some(false)
        && is_any(IF_MATCH) != Some(true)
        && ![IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].iter().any(|name| headers.contains_key(name))
        && !(headers.contains_key(IF_MATCH) && headers.contains_key(IF_NONE_MATCH));
    if is_for_writes {
        Ok(of(headers))
    } else {
        Err(Fault::not_implemented("Conditional object PUTs are not supported."))
    }
}

/// What a DELETE demands: `If-Match` with an ETag, or `*` for anything.
///
/// # Errors
/// When it is another condition.
pub(super) fn of_delete(headers: &HeaderMap) -> Result<Option<Condition>, Fault> {
    let other = [IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE].iter().any(|name| headers.contains_key(name))
        || OTHERS.iter().any(|name| headers.contains_key(*name));
    if other { Err(Fault::not_implemented("A DELETE has no condition but If-Match.")) } else { Ok(of(headers)) }
}

/// That an object has this ETag, as a list of keys to delete says it.
pub(super) fn etag(etag: &str) -> Result<Option<Condition>, Fault> {
    let value = etag.parse().map_err(|_| Fault::new(Code::MalformedXml))?;
    Ok(of(&HeaderMap::from_iter([(IF_MATCH, value)])))
}

fn of(headers: &HeaderMap) -> Option<Condition> {
    Condition::of(headers).map(|condition| condition.with_etag_in(S3_ETAG))
}

/// What the client hears whose write of `key` was refused for its condition; another error comes back.
pub(super) fn refused(error: Error, condition: Option<&Condition>, key: &str) -> Result<Fault, Error> {
    match error.behind() {
        Error::Unmet { exists: false } if condition.is_some_and(|condition| !condition.creates_only()) => {
            Ok(Fault::no_such_key(key))
        }
        Error::Unmet { .. } => {
            let creates = condition.is_some_and(Condition::creates_only);
            Ok(unmet(if creates { "If-None-Match" } else { "If-Match" }))
        }
        Error::Contended => Ok(Fault::new(Code::ConditionalRequestConflict)),
        _ => Err(error),
    }
}

/// The answer to a condition that is not met.
pub(super) fn unmet(condition: &str) -> Fault {
    Fault::new(Code::PreconditionFailed).with("Condition", condition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_put_creates_or_replaces_what_is_known() {
        let put = |pairs: &[(&'static str, &'static str)]| of_put(&headers(pairs)).map_err(|fault| fault.code);
        assert_eq!(put(&[]), Ok(None));
        assert!(put(&[("if-none-match", "*")]).unwrap().unwrap().creates_only());
        assert!(!put(&[("if-match", "\"abc-2\"")]).unwrap().unwrap().creates_only());
        for other in [("if-none-match", "abc"), ("if-match", "*"), ("if-modified-since", "x")] {
            assert_eq!(put(&[other]), Err(Code::NotImplemented), "{other:?}");
        }
        assert_eq!(put(&[("if-none-match", "*"), ("if-match", "abc")]), Err(Code::NotImplemented));
    }

    #[test]
    fn a_delete_never_ignores_a_condition() {
        let delete = |pairs: &[(&'static str, &'static str)]| of_delete(&headers(pairs)).map_err(|fault| fault.code);
        assert_eq!(delete(&[]), Ok(None));
        assert!(delete(&[("if-match", "*")]).unwrap().is_some());
        assert_eq!(delete(&[("x-amz-if-match-size", "3")]), Err(Code::NotImplemented));
        assert_eq!(delete(&[("if-none-match", "*")]), Err(Code::NotImplemented));
    }

    #[test]
    fn refusals_are_those_of_aws() {
        let (creates, matches) = (Some(Condition::absent()), etag("abc").unwrap());
        let code =
            |error, condition: &Option<Condition>| refused(error, condition.as_ref(), "k").map(|fault| fault.code);
        assert_eq!(code(Error::Unmet { exists: true }, &creates).unwrap(), Code::PreconditionFailed);
        assert_eq!(code(Error::Unmet { exists: true }, &matches).unwrap(), Code::PreconditionFailed);
        assert_eq!(code(Error::Unmet { exists: false }, &matches).unwrap(), Code::NoSuchKey);
        assert_eq!(code(Error::Contended, &creates).unwrap(), Code::ConditionalRequestConflict);
        assert!(code(Error::Unavailable, &creates).is_err());
    }
}
