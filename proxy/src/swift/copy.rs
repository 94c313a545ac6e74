//! COPY with a `Destination`, and PUT with an `X-Copy-From`: two spellings of one operation.

use apus_base::body::Body;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use percent_encoding::{percent_decode, utf8_percent_encode};

use super::object::{answered, asked, stored};
use super::path::parse_object;
use super::refusal::Refusal;
use super::response::QUOTED;
use super::slo::refused;
use crate::ops::Call;
use crate::ops::copy::{Copied, copy};
use crate::ops::resource::ObjectName;

const NO_DESTINATION: &str = "Destination header required";
const BAD_DESTINATION: &str = "Destination header must be of the form <container name>/<object name>";
const BAD_SOURCE: &str = "X-Copy-From header must be of the form <container name>/<object name>";

/// `COPY source`, with a `Destination` and perhaps a `Destination-Account`.
pub(super) async fn to(call: Call<'_>, source: &ObjectName) -> Result<Response<Body>, Refusal> {
    let headers = &call.parts.headers;
    let value = headers.get("destination").filter(|value| !value.is_empty());
    let value = value.ok_or(Refusal::CopyHeader(NO_DESTINATION))?;
    let account = account(headers, "destination-account")?.map_or_else(|| source.account.clone(), Into::into);
    let (container, object) = parse_object(value.as_bytes()).ok_or(Refusal::CopyHeader(BAD_DESTINATION))?;
    run(call, source, ObjectName { account, container: container.into(), object: object.into() }).await
}

/// `PUT destination`, with an `X-Copy-From` and perhaps an `X-Copy-From-Account`.
pub(super) async fn from(call: Call<'_>, destination: &ObjectName) -> Result<Response<Body>, Refusal> {
    let headers = &call.parts.headers;
    if headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0") {
        return Err(Refusal::CopyBody);
    }
    let named = headers.get("x-copy-from-account").is_some_and(|value| !value.is_empty());
    let account = if named { account(headers, "x-copy-from-account")? } else { None };
    let account = account.map_or_else(|| destination.account.clone(), Into::into);
    let value = headers.get("x-copy-from").map_or(&b""[..], HeaderValue::as_bytes);
    let (container, object) = parse_object(value).ok_or(Refusal::CopyHeader(BAD_SOURCE))?;
    run(call, &ObjectName { account, container: container.into(), object: object.into() }, destination.clone()).await
}

fn account(headers: &HeaderMap, name: &str) -> Result<Option<String>, Refusal> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let decoded = percent_decode(value.as_bytes()).decode_utf8();
    let account = decoded.ok().filter(|account| !account.contains('\0')).ok_or(super::path::BadPath::Utf8)?;
    if account.is_empty() {
        return Err(Refusal::CopyHeader("Account name cannot be empty"));
    }
    if account.contains('/') {
        return Err(Refusal::CopyHeader("Account name cannot contain slashes"));
    }
    Ok(Some(account.into_owned()))
}

async fn run(call: Call<'_>, source: &ObjectName, destination: ObjectName) -> Result<Response<Body>, Refusal> {
    let read = asked(call, source, Method::GET, true)?;
    match copy(call, read, destination).await.map_err(|error| refused(call, error))? {
        Copied::Unmet(response) => Ok(answered(response)),
        Copied::Stored { stored: copy, source_modified, source_version, metadata } => {
            let mut response = stored(&copy);
            let headers = response.headers_mut();
            headers.extend(metadata);
            insert_quoted(headers, "x-copied-from-account", &source.account);
            insert_quoted(headers, "x-copied-from", &format!("{}/{}", source.container, source.object));
            if let Some(modified) = source_modified {
                headers.insert(HeaderName::from_static("x-copied-from-last-modified"), modified);
            }
            if let Some(version) = source_version {
                headers.insert(HeaderName::from_static("x-copied-from-version-id"), version);
            }
            Ok(response)
        }
    }
}

/// Percent-encoded, any name fits a header.
fn insert_quoted(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(&utf8_percent_encode(value, QUOTED).to_string()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}
