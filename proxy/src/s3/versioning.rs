//! `?versioning`: whether a bucket keeps versions.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::code::Code;
use super::fault::Fault;
use super::payload::Payload;
use super::xml::Xml;
use super::{Answered, Face, bucket, document, empty, parse};
use crate::constraints::is_yes;
use crate::ops::container;
use crate::ops::versions::ENABLED;

/// The longest body.
const MAX_BODY_BYTES: usize = 10_240;

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    match face.parts.method {
        Method::GET => show(face).await,
        Method::PUT => put(face, payload).await,
        _ => Err(face.no_method("VERSIONING")),
    }
}

async fn show(face: &Face<'_>) -> Answered {
    let headers = bucket::describe(face).await?;
    let mut xml = Xml::new("VersioningConfiguration");
    if let Some(enabled) = headers.get(ENABLED).and_then(|enabled| enabled.to_str().ok()) {
        xml.text("Status", if is_yes(enabled) { "Enabled" } else { "Suspended" });
    }
    Ok(document(xml))
}

async fn put(face: &Face<'_>, payload: Payload) -> Answered {
    let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
    if !face.proxy.config.versioned_writes.allow_object_versioning {
        return Err(Fault::new(Code::NotImplemented));
    }
    let document = parse(&text, "VersioningConfiguration")?;
    document.only(&["Status", "MfaDelete"])?;
    let enabled = match document.required("Status")?.trim() {
        "Enabled" => "true",
        "Suspended" => "false",
        _ => return Err(Fault::new(Code::MalformedXml)),
    };
    let headers = HeaderMap::from_iter([(ENABLED, HeaderValue::from_static(enabled))]);
    let parts = face.request(Method::POST, headers.clone());
    let done = container::update(face.call(&parts), face.container(), &headers).await;
    done.map_err(|error| face.bucket_fault(error))?;
    Ok(empty(StatusCode::OK))
}
