//! What the headers of a request may say, whatever it is about. Pure.

use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, Method};

use super::auth::{Claim, header};
use super::code::Code;
use super::fault::Fault;
use super::{condition, metadata, payload, tagging};

/// Looks at them in the order in which S3 does.
///
/// # Errors
/// When one makes no sense, or asks for what is not there.
pub(super) fn check(claim: &Claim, parts: &Parts) -> Result<(), Fault> {
    let headers = &parts.headers;
    check_length(headers)?;
    if parts.method == Method::PUT {
        condition::of_put(headers)?;
    }
    check_copy(headers)?;
    let class = header(headers, "x-amz-storage-class");
    if !class.is_empty() && class != "STANDARD" {
        return Err(Fault::new(Code::InvalidStorageClass));
    }
    if headers.contains_key("x-amz-mfa") {
        return Err(Fault::not_implemented("MFA Delete is not supported."));
    }
    payload::check_sha256(claim, headers)?;
    metadata::content_md5(headers)?;
    tagging::check(headers)?;
    Ok(())
}

fn check_length(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return Ok(()) };
    let text = String::from_utf8_lossy(length.as_bytes());
    let is_length = text.trim().parse::<u64>().is_ok();
    if is_length { Ok(()) } else { Err(Fault::argument("Content-Length", &text, Code::InvalidArgument.message())) }
}

fn check_copy(headers: &HeaderMap) -> Result<(), Fault> {
    if let Some(source) = headers.get("x-amz-copy-source") {
        let text = String::from_utf8_lossy(source.as_bytes());
        if super::copy::Source::parse(&text).is_none() {
            let sentence = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey";
            return Err(Fault::argument("x-amz-copy-source", &text, sentence));
        }
    }
    let directive = header(headers, "x-amz-metadata-directive");
    if headers.contains_key("x-amz-metadata-directive") && !matches!(directive, "COPY" | "REPLACE") {
        return Err(Fault::argument("x-amz-metadata-directive", directive, "Unknown metadata directive."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    #[test]
    fn copies_name_an_object() {
        let copy = |source: &'static str, directive: &'static str| {
            let headers = [("x-amz-copy-source", source), ("x-amz-metadata-directive", directive)];
            let headers = headers.into_iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap())).collect();
            check_copy(&headers).map_err(|fault| fault.details[0].1.clone())
        };
        assert_eq!(copy("/b/k", "COPY"), Ok(()));
        assert_eq!(copy("b", "COPY").unwrap_err(), "x-amz-copy-source");
        assert_eq!(copy("b/k", "MOVE").unwrap_err(), "x-amz-metadata-directive");
    }
}
