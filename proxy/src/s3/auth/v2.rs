//! Signatures of version 2: HMAC-SHA1 over the method, a few headers and the path, in a header (`AWS key:signature`) or in
//! the query. AWS retired them; old clients and Swift's own tests still speak them.

use apus_base::timestamp::Timestamp;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use http::request::Parts;
use sha1::Sha1;

use super::{date, header, joined, mismatch};
use crate::s3::asked::{Asked, Query};
use crate::s3::code::Code;
use crate::s3::config::Config;
use crate::s3::fault::Fault;

/// The parameters of a query that are signed, sorted.
const SIGNED_PARAMETERS: [&str; 27] = [
    "acl",
    "cors",
    "delete",
    "lifecycle",
    "location",
    "logging",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "publicAccessBlock",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];
/// Where seconds since 1970 end for version 2.
const LAST_EXPIRY: f64 = 2_147_483_648.0;

/// What a request says of its sender.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The access key.
    pub access_key: String,
    /// Whether all of this is in the query.
    pub in_query: bool,
    signature: String,
}

impl Claim {
    pub(super) fn of(parts: &Parts, query: &Query, config: &Config, now: Timestamp) -> Result<Self, Fault> {
        if query.has("AWSAccessKeyId") {
            check_expiry(query, now)?;
            let value = |name| query.get(name).filter(|value| !value.is_empty());
            let claim = value("AWSAccessKeyId").zip(value("Signature"));
            let (access_key, signature) = claim.ok_or(Fault::new(Code::AccessDenied))?;
            return Ok(Self { access_key, in_query: true, signature });
        }
        let signed = match header(&parts.headers, "x-amz-date") {
            "" => header(&parts.headers, DATE.as_str()),
            amz_date => amz_date,
        };
        date::check_skew(date::any(signed).ok_or_else(date::missing)?, now, config)?;
        let claim = header(&parts.headers, AUTHORIZATION.as_str()).strip_prefix("AWS ");
        let (access_key, signature) =
            claim.and_then(|claim| claim.rsplit_once(':')).ok_or(Fault::new(Code::AccessDenied))?;
        Ok(Self { access_key: access_key.into(), in_query: false, signature: signature.into() })
    }

    pub(super) fn check(&self, parts: &Parts, asked: &Asked, secret: &str) -> Result<(), Fault> {
        let text = self.string_to_sign(parts, asked);
        let matches = is_signature_of(&self.signature, &text, secret);
        if matches { Ok(()) } else { Err(mismatch(&self.access_key, &self.signature, &text)) }
    }

    fn string_to_sign(&self, parts: &Parts, asked: &Asked) -> String {
        let headers = &parts.headers;
        let mut names: Vec<&str> = headers.keys().map(http::HeaderName::as_str).collect();
        names.retain(|name| name.starts_with("x-amz-"));
        names.sort_unstable();
        let when = match self.in_query {
            true => asked.query.get("Expires").unwrap_or_default(),
            false if names.contains(&"x-amz-date") => String::new(),
            false => header(headers, DATE.as_str()).to_owned(),
        };
        let first = |name: &str| header(headers, name).trim_matches(|c| c <= ' ').to_owned();
        let mut lines = vec![parts.method.to_string(), first("content-md5"), first(CONTENT_TYPE.as_str()), when];
        lines.extend(names.iter().map(|name| format!("{name}:{}", joined(headers, name))));
        lines.push(resource(parts, asked));
        lines.join("\n")
    }
}

/// Checks the signature of a form's policy.
///
/// # Errors
/// When it is another's.
pub(in crate::s3) fn check_policy(access_key: &str, signature: &str, policy: &str, secret: &str) -> Result<(), Fault> {
    if is_signature_of(signature, policy, secret) { Ok(()) } else { Err(mismatch(access_key, signature, policy)) }
}

fn is_signature_of(signature: &str, text: &str, secret: &str) -> bool {
    let mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).map(|mac| mac.chain_update(text.as_bytes()));
    let given = BASE64_STANDARD.decode(signature);
    mac.ok().zip(given.ok()).is_some_and(|(mac, given)| mac.verify_slice(&given).is_ok())
}

fn resource(parts: &Parts, asked: &Asked) -> String {
    let bucket = asked.in_host.as_deref().map(|bucket| format!("/{bucket}")).unwrap_or_default();
    let shown = |name: &str| {
        let value = asked.query.get(name)?;
        Some(if value.is_empty() { name.to_owned() } else { format!("{name}={value}") })
    };
    let signed: Vec<String> = SIGNED_PARAMETERS.iter().filter_map(|name| shown(name)).collect();
    let query = if signed.is_empty() { String::new() } else { format!("?{}", signed.join("&")) };
    format!("{bucket}{}{query}", parts.uri.path())
}

fn check_expiry(query: &Query, now: Timestamp) -> Result<(), Fault> {
    let text = query.get("Expires").unwrap_or_default();
    let expiry: f64 = text.trim().parse().map_err(|_| Fault::new(Code::AccessDenied))?;
    // Seconds since 1970 fit a float's 53 bits.
    let now = f64::from(u32::try_from(now.secs()).unwrap_or(u32::MAX));
    if expiry.is_nan() || now > expiry {
        return Err(Fault::saying(Code::AccessDenied, "Request has expired"));
    }
    if expiry >= LAST_EXPIRY {
        let sentence = format!("Invalid date (should be seconds since epoch): {text}");
        return Err(Fault::saying(Code::AccessDenied, sentence));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    /// The examples of AWS's documentation of version 2.
    fn string_to_sign(method: &str, host: &str, target: &str, headers: &[(&str, &str)]) -> String {
        let mut request = Request::builder().method(method).uri(target).header("host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let config = Config { storage_domain: vec!["s3.amazonaws.com".into()], ..Config::default() };
        let asked = Asked::of(&parts, Query::parse(parts.uri.query()), &config).unwrap();
        Claim { access_key: String::new(), in_query: false, signature: String::new() }.string_to_sign(&parts, &asked)
    }

    #[test]
    fn what_is_signed_is_as_documented() {
        let host = "johnsmith.s3.amazonaws.com";
        let date = ("date", "Tue, 27 Mar 2007 21:15:45 +0000");
        let text = string_to_sign("PUT", host, "/photos/puppy.jpg", &[("content-type", "image/jpeg"), date]);
        assert_eq!(text, format!("PUT\n\nimage/jpeg\n{}\n/johnsmith/photos/puppy.jpg", date.1));
        let text = string_to_sign("GET", host, "/?acl&prefix=photos", &[date]);
        assert_eq!(text, format!("GET\n\n\n{}\n/johnsmith/?acl", date.1));
        let many =
            [("x-amz-date", "d"), ("x-amz-meta-b", " 1 "), ("x-amz-meta-b", "2"), ("x-amz-acl", "private"), date];
        let text = string_to_sign("DELETE", "h", "/buck/k%20e?versionId=3&uploadId=", &many);
        assert_eq!(
            text,
            "DELETE\n\n\n\nx-amz-acl:private\nx-amz-date:d\nx-amz-meta-b:1,2\n/buck/k%20e?uploadId&versionId=3"
        );
    }

    #[test]
    fn the_documented_signature_is_right() {
        let claim = Claim {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            in_query: false,
            signature: "bWq2s1WEIj+Ydj0vQ697zp+IXMU=".into(),
        };
        let request = Request::builder().uri("/photos/puppy.jpg").header("host", "johnsmith.s3.amazonaws.com");
        let request = request.header("date", "Tue, 27 Mar 2007 19:36:42 +0000");
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let config = Config { storage_domain: vec!["s3.amazonaws.com".into()], ..Config::default() };
        let asked = Asked::of(&parts, Query::default(), &config).unwrap();
        assert!(claim.check(&parts, &asked, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").is_ok());
        let fault = claim.check(&parts, &asked, "another").unwrap_err();
        assert_eq!(fault.code, Code::SignatureDoesNotMatch);
    }
}
