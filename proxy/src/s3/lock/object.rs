//! `?retention` and `?legal-hold`: what keeps a version.

use apus_base::clock;
use apus_base::object_lock::CHANGED;
use http::{HeaderMap, Method, StatusCode};

use super::{Lock, MAX_BODY_BYTES, Mode, Retention, check_bucket, check_digest, check_until, moment};
use crate::ops::lock::change;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::payload::Payload;
use crate::s3::xml::{Node, Xml};
use crate::s3::{Answered, Face, document, empty, metadata, object, parse};

const RETENTION: &str = "Retention";
const LEGAL_HOLD: &str = "LegalHold";

/// `?retention`
pub(in crate::s3) async fn retention(face: &Face<'_>, payload: Payload) -> Answered {
    face.key()?;
    match face.parts.method {
        Method::GET => {
            let described = describe(face).await?;
            let Retention { mode, until } = Lock::of(&described).retention.ok_or_else(none)?;
            let mut xml = Xml::new(RETENTION);
            xml.text("Mode", mode.name()).text("RetainUntilDate", &moment::show(until));
            Ok(document(xml))
        }
        Method::PUT => {
            let text = read(face, payload, RETENTION).await?;
            let retention = read_retention(&text, clock::now().secs())?;
            put(face, |lock| Lock { retention, ..lock }).await
        }
        _ => Err(face.no_method("RETENTION")),
    }
}

/// `?legal-hold`
pub(in crate::s3) async fn legal_hold(face: &Face<'_>, payload: Payload) -> Answered {
    face.key()?;
    match face.parts.method {
        Method::GET => {
            let described = describe(face).await?;
            let status = match Lock::of(&described).hold {
                true => "ON",
                // It has been asked about once.
                false if described.contains_key(CHANGED) => "OFF",
                false => return Err(none()),
            };
            let mut xml = Xml::new(LEGAL_HOLD);
            xml.text("Status", status);
            Ok(document(xml))
        }
        Method::PUT => {
            let hold = read_hold(&read(face, payload, LEGAL_HOLD).await?)?;
            put(face, |lock| Lock { hold, ..lock }).await
        }
        _ => Err(face.no_method("LEGAL_HOLD")),
    }
}

fn none() -> Fault {
    Fault::new(Code::NoSuchObjectLockConfiguration)
}

async fn describe(face: &Face<'_>) -> Result<HeaderMap, Fault> {
    check_bucket(face).await?;
    object::describe(face).await
}

async fn read(face: &Face<'_>, payload: Payload, root: &str) -> Result<Node, Fault> {
    check_digest(&face.parts.headers)?;
    let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
    parse(&text, root)
}

/// A retention; one that is empty takes away what is there.
fn read_retention(document: &Node, now: u64) -> Result<Option<Retention>, Fault> {
    document.only(&["Mode", "RetainUntilDate"])?;
    if document.children.is_empty() {
        return Ok(None);
    }
    let mode = Mode::of_name(document.required("Mode")?.trim()).ok_or(Fault::new(Code::MalformedXml))?;
    let until = document.required("RetainUntilDate")?.trim();
    if moment::parse(until).is_none() {
        return Err(Fault::new(Code::MalformedXml));
    }
    Ok(Some(Retention { mode, until: check_until(until, now)? }))
}

fn read_hold(document: &Node) -> Result<bool, Fault> {
    document.only(&["Status"])?;
    match document.required("Status")?.trim() {
        "ON" => Ok(true),
        "OFF" => Ok(false),
        _ => Err(Fault::new(Code::MalformedXml)),
    }
}

async fn put(face: &Face<'_>, set: impl FnOnce(Lock) -> Lock) -> Answered {
    check_bucket(face).await?;
    let (name, version) = (face.object()?, face.version()?);
    let parts = face.request(Method::POST, HeaderMap::new());
    match change(face.call(&parts), &name, version, set).await {
        Ok(found) => {
            let mut response = empty(StatusCode::OK);
            metadata::show_version(&found, response.headers_mut());
            Ok(response)
        }
        Err(error) => Err(face.object_fault(face.bucket(), face.key()?, version, error).await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn retention_of(text: &str) -> Result<Option<Retention>, Code> {
        let text = format!("<Retention>{text}</Retention>");
        let node = Node::parse(text.as_bytes(), RETENTION).map_err(|_| Code::MalformedXml)?;
        read_retention(&node, 1000).map_err(|fault| fault.code)
    }

    fn hold_of(text: &str) -> Result<bool, Code> {
        let text = format!("<LegalHold>{text}</LegalHold>");
        read_hold(&Node::parse(text.as_bytes(), LEGAL_HOLD).unwrap()).map_err(|fault| fault.code)
    }

    #[test]
    fn retentions() {
        let until = |moment: &str| format!("<Mode>COMPLIANCE</Mode><RetainUntilDate>{moment}</RetainUntilDate>");
        let expected = Retention { mode: Mode::Compliance, until: 1_712_345_678 };
        assert_eq!(retention_of(&until("2024-04-05T19:34:38.000Z")), Ok(Some(expected)));
        assert_eq!(retention_of(""), Ok(None));
        assert_eq!(retention_of(&until("1970-01-01T00:16:40Z")), Err(Code::InvalidArgument));
        let bad_mode = until("2024-04-05T19:34:38Z").replace("COMPLIANCE", "governance");
        for bad in [&until("soon"), &bad_mode, "<Mode>GOVERNANCE</Mode>", "<Other/>"] {
            assert_eq!(retention_of(bad), Err(Code::MalformedXml), "{bad}");
        }
    }

    #[test]
    fn holds() {
        assert_eq!((hold_of("<Status>ON</Status>"), hold_of("<Status>OFF</Status>")), (Ok(true), Ok(false)));
        for bad in ["", "<Status>on</Status>", "<Status/><Status/>", "<Other/>"] {
            assert_eq!(hold_of(bad), Err(Code::MalformedXml), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_document_is_read_or_refused(text in "(<Mode>|</Mode>|<RetainUntilDate>|</RetainUntilDate>|GOVERNANCE|[0-9TZ:-]{1,20}){0,8}") {
            let _ = retention_of(&text);
        }
    }
}
