//! `?object-lock`: how long what is written into a bucket is retained.

use http::{HeaderMap, Method, StatusCode};

use super::{KEPT, MAX_BODY_BYTES, Mode, Rule, check_digest};
use crate::constraints::is_yes;
use crate::ops::container;
use crate::ops::lock::Period;
use crate::ops::versions::ENABLED;
use crate::s3::auth::header;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::payload::Payload;
use crate::s3::xml::{Node, Xml};
use crate::s3::{Answered, Face, bucket, document, empty, parse};

const ROOT: &str = "ObjectLockConfiguration";

pub(in crate::s3) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    match face.parts.method {
        _ if face.asked.key.is_some() => Err(face.no_method("OBJECT_LOCK")),
        Method::GET => {
            let described = bucket::describe(face).await?;
            let none = || Fault::new(Code::ObjectLockConfigurationNotFound).with("BucketName", face.bucket());
            Ok(document(shown(&rule(&described).ok_or_else(none)?)))
        }
        Method::PUT => put(face, payload).await,
        _ => Err(face.no_method("OBJECT_LOCK")),
    }
}

/// The rule of a bucket that is described so.
fn rule(described: &HeaderMap) -> Option<Rule> {
    let kept = header(described, KEPT.as_str());
    (!kept.is_empty()).then(|| kept.parse().unwrap_or_default())
}

async fn put(face: &Face<'_>, payload: Payload) -> Answered {
    check_digest(&face.parts.headers)?;
    let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
    let rule = read(&parse(&text, ROOT)?)?;
    let described = bucket::describe(face).await?;
    if !is_yes(header(&described, ENABLED.as_str())) {
        let sentence = "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration";
        return Err(Fault::saying(Code::InvalidBucketState, sentence));
    }
    let headers = HeaderMap::from_iter([(KEPT, rule.kept())]);
    let parts = face.request(Method::POST, headers.clone());
    let done = container::update(face.call(&parts), face.container(), &headers).await;
    done.map_err(|error| face.bucket_fault(error))?;
    Ok(empty(StatusCode::OK))
}

fn read(document: &Node) -> Result<Rule, Fault> {
    document.only(&["ObjectLockEnabled", "Rule"])?;
    if document.required("ObjectLockEnabled")?.trim() != "Enabled" {
        return Err(Fault::new(Code::MalformedXml));
    }
    let default = document.child("Rule")?.map(|rule| {
        rule.only(&["DefaultRetention"])?;
        retention(rule.child("DefaultRetention")?.ok_or(Fault::new(Code::MalformedXml))?)
    });
    Ok(Rule { default: default.transpose()? })
}

fn retention(node: &Node) -> Result<(Mode, Period), Fault> {
    node.only(&["Mode", "Days", "Years"])?;
    let malformed = || Fault::new(Code::MalformedXml);
    let mode = Mode::of_name(node.required("Mode")?.trim()).ok_or_else(malformed)?;
    // What is negative is as wrong as nothing.
    let count = |node: &Node| node.text.trim().parse::<i64>().map(|count| u64::try_from(count).unwrap_or(0));
    let period = match (node.child("Days")?, node.child("Years")?) {
        (Some(days), None) => Period::Days(count(days).map_err(|_| malformed())?),
        (None, Some(years)) => Period::Years(count(years).map_err(|_| malformed())?),
        _ => return Err(malformed()),
    };
    let checked = period.check();
    Ok((mode, checked.map_err(|reason| Fault::saying(Code::InvalidRetentionPeriod, reason.to_string()))?))
}

fn shown(rule: &Rule) -> Xml {
    let mut xml = Xml::new(ROOT);
    xml.text("ObjectLockEnabled", "Enabled");
    if let Some((mode, period)) = rule.default {
        xml.open("Rule").open("DefaultRetention").text("Mode", mode.name());
        match period {
            Period::Days(days) => xml.text("Days", &days.to_string()),
            Period::Years(years) => xml.text("Years", &years.to_string()),
        };
        xml.close().close();
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule_of(text: &str) -> Result<Rule, Code> {
        let text = format!("<ObjectLockConfiguration>{text}</ObjectLockConfiguration>");
        let node = Node::parse(text.as_bytes(), ROOT).map_err(|_| Code::MalformedXml)?;
        read(&node).map_err(|fault| fault.code)
    }

    fn with_default(inside: &str) -> Result<Rule, Code> {
        let rule = format!("<Rule><DefaultRetention>{inside}</DefaultRetention></Rule>");
        rule_of(&format!("<ObjectLockEnabled>Enabled</ObjectLockEnabled>{rule}"))
    }

    #[test]
    fn documents() {
        assert_eq!(rule_of("<ObjectLockEnabled>Enabled</ObjectLockEnabled>"), Ok(Rule::default()));
        let days = with_default("<Mode>GOVERNANCE</Mode><Days>1</Days>").unwrap();
        assert_eq!(days.default, Some((Mode::Governance, Period::Days(1))));
        for (inside, code) in [
            ("<Mode>GOVERNANCE</Mode>", Code::MalformedXml),
            ("<Days>1</Days>", Code::MalformedXml),
            ("<Mode>governance</Mode><Days>1</Days>", Code::MalformedXml),
            ("<Mode>GOVERNANCE</Mode><Days>1</Days><Years>1</Years>", Code::MalformedXml),
            ("<Mode>GOVERNANCE</Mode><Days>x</Days>", Code::MalformedXml),
            ("<Mode>GOVERNANCE</Mode><Days>0</Days>", Code::InvalidRetentionPeriod),
            ("<Mode>COMPLIANCE</Mode><Years>-1</Years>", Code::InvalidRetentionPeriod),
            ("<Mode>COMPLIANCE</Mode><Years>101</Years>", Code::InvalidRetentionPeriod),
        ] {
            assert_eq!(with_default(inside), Err(code), "{inside}");
        }
        for bad in [
            "",
            "<ObjectLockEnabled>Disabled</ObjectLockEnabled>",
            "<ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule/>",
        ] {
            assert_eq!(rule_of(bad), Err(Code::MalformedXml), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(compliance: bool, years in 1..=100u64, days in 1..=36_500u64, in_days: bool) {
            let mode = if compliance { Mode::Compliance } else { Mode::Governance };
            let rule = Rule { default: Some((mode, if in_days { Period::Days(days) } else { Period::Years(years) })) };
            prop_assert_eq!(read(&Node::parse(shown(&rule).end().as_bytes(), ROOT).unwrap()), Ok(rule));
        }

        #[test]
        fn any_document_is_read_or_refused(
            text in "(<(ObjectLockEnabled|Rule|DefaultRetention|Mode|Days|Years)>|</(ObjectLockEnabled|Rule|DefaultRetention|Mode|Days|Years)>|Enabled|GOVERNANCE|[0-9-]{1,22}){0,12}",
        ) {
            let _ = rule_of(&text);
        }
    }
}
