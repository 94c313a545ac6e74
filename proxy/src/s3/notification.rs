//! `?notification`: what a bucket tells, and whom, as AWS's document says it. What is done about it is in
//! [`ops::notification`](crate::ops::notification).
//!
//! Queues and topics are webhooks here, which the operator names: `arn:aws:sqs:REGION::NAME` and `arn:aws:sns:REGION::NAME`, and
//! MinIO's `arn:minio:sqs:REGION:NAME:webhook` for who comes from there. As on AWS, a bucket begins to tell somebody only if a
//! test reaches them.

use std::collections::BTreeSet;

use apus_base::hex::hex;
use http::{HeaderMap, Method, StatusCode};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::payload::Payload;
use super::xml::{Node, Xml};
use super::{Answered, Face, bucket, document, empty, parse};
use crate::ops::notification::{NOTIFICATION, Rule, Rules, Standing, judge, test};

const ROOT: &str = "NotificationConfiguration";
/// The longest body: a hundred rules, each with the longest names.
const MAX_BODY_BYTES: usize = 512 * 1024;
/// AWS's.
const MAX_RULES: usize = 100;
const MAX_ID_CHARS: usize = 255;
const MAX_VALUE_BYTES: usize = 1024;
const SKIP_TEST: &str = "x-amz-skip-destination-validation";

/// The two kinds of rules: whether it is for a topic, the element, that of its webhook, and the service in the webhook's name.
const KINDS: [(bool, &str, &str, &str); 2] =
    [(false, "QueueConfiguration", "Queue", "sqs"), (true, "TopicConfiguration", "Topic", "sns")];

/// `?notification`
pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("NOTIFICATION"));
    }
    match face.parts.method {
        Method::GET => {
            let rules: Option<Rules> = face.setting(NOTIFICATION).await?;
            Ok(document(write(&rules.unwrap_or_default())))
        }
        Method::PUT => {
            let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
            let rules = read(&parse(&text, ROOT)?)?;
            bucket::describe(face).await?;
            check_webhooks(face, &rules).await?;
            face.set(NOTIFICATION, Some(&rules).filter(|rules| !rules.0.is_empty())).await?;
            Ok(empty(StatusCode::OK))
        }
        _ => Err(face.no_method("NOTIFICATION")),
    }
}

/// Whether the webhooks are there, and hear a test.
async fn check_webhooks(face: &Face<'_>, rules: &Rules) -> Result<(), Fault> {
    let refuse = |rule: &Rule, reason: &str| {
        let sentence = format!("Unable to validate the following destination configurations: {reason}");
        Err(Fault::argument(&rule.arn, reason, sentence))
    };
    let is_tested = !header(&face.parts.headers, SKIP_TEST).eq_ignore_ascii_case("true");
    let parts = face.request(Method::POST, HeaderMap::new());
    let mut seen = BTreeSet::new();
    for rule in rules.0.iter().filter(|rule| seen.insert(rule.webhook.as_str())) {
        if !face.proxy.notifications.has(&rule.webhook) {
            return refuse(
                rule,
                "there is no such webhook in this server's configuration ([proxy.notifications.webhooks])",
            );
        }
        if !is_tested {
            continue;
        }
        if let Err(reason) = test(face.call(&parts), &rule.webhook, face.bucket()).await {
            tracing::warn!(webhook = rule.webhook, reason, "a webhook did not take a test");
            return refuse(rule, "the webhook did not take a test event");
        }
    }
    Ok(())
}

fn write(rules: &Rules) -> Xml {
    let mut xml = Xml::new(ROOT);
    for rule in &rules.0 {
        let (_, element, webhook, _) = KINDS[usize::from(rule.is_topic)];
        xml.open(element).text("Id", &rule.id).text(webhook, &rule.arn);
        for event in &rule.events {
            xml.text("Event", event);
        }
        if rule.prefix.is_some() || rule.suffix.is_some() {
            xml.open("Filter").open("S3Key");
            for (name, value) in [("Prefix", &rule.prefix), ("Suffix", &rule.suffix)] {
                if let Some(value) = value {
                    xml.open("FilterRule").text("Name", name).text("Value", value).close();
                }
            }
            xml.close().close();
        }
        xml.close();
    }
    xml
}

fn read(document: &Node) -> Result<Rules, Fault> {
    let elsewhere = ["CloudFunctionConfiguration", "LambdaFunctionConfiguration", "EventBridgeConfiguration"];
    if document.children.iter().any(|child| elsewhere.contains(&child.name.as_str())) {
        return Err(Fault::not_implemented("Only webhooks are told: write QueueConfiguration or TopicConfiguration."));
    }
    document.only(&["QueueConfiguration", "TopicConfiguration"])?;
    let rules = Rules(document.children.iter().map(rule).collect::<Result<_, _>>()?);
    if rules.0.len() > MAX_RULES {
        return Err(invalid(format!("More than {MAX_RULES} notification configurations.")));
    }
    let ids: BTreeSet<&str> = rules.0.iter().map(|rule| rule.id.as_str()).collect();
    if ids.len() < rules.0.len() {
        return Err(invalid("Same ID used for multiple configurations. IDs must be unique."));
    }
    match rules.overlapping() {
        Some(_) => {
            Err(invalid("Configurations overlap. Configurations on the same bucket cannot share a common event type."))
        }
        None => Ok(rules),
    }
}

fn rule(node: &Node) -> Result<Rule, Fault> {
    let kind = KINDS.iter().find(|(_, element, ..)| *element == node.name).ok_or(Fault::new(Code::MalformedXml))?;
    let &(is_topic, _, webhook, service) = kind;
    node.only(&["Id", webhook, "Event", "Filter"])?;
    let id = node.child("Id")?.map(|id| id.text.clone()).filter(|id| !id.is_empty()).unwrap_or_else(new_id);
    if id.chars().count() > MAX_ID_CHARS {
        return Err(invalid("ID length should not exceed allowed limit of 255"));
    }
    let arn = node.required(webhook)?.trim().to_owned();
    let webhook = webhook_of(&arn, service).ok_or_else(|| {
        Fault::argument(webhook, &arn, "The ARN could not be parsed: a webhook is arn:aws:sqs:REGION::NAME")
    })?;
    let events: Vec<String> = node.all("Event").map(|event| event.text.trim().to_owned()).collect();
    if events.is_empty() {
        return Err(Fault::new(Code::MalformedXml));
    }
    for event in &events {
        match judge(event) {
            Standing::Known => {}
            Standing::Never => return Err(Fault::not_implemented(format!("{event} does not happen here."))),
            Standing::Unknown => {
                return Err(Fault::argument("Event", event, "A specified event is not supported for notifications."));
            }
        }
    }
    let [prefix, suffix] = filter(node)?;
    Ok(Rule { id, is_topic, webhook: webhook.to_owned(), arn, events, prefix, suffix })
}

/// What keys begin and end with.
fn filter(rule: &Node) -> Result<[Option<String>; 2], Fault> {
    let mut found = [None, None];
    let Some(filter) = rule.child("Filter")? else { return Ok(found) };
    filter.only(&["S3Key"])?;
    let Some(key) = filter.child("S3Key")? else { return Ok(found) };
    key.only(&["FilterRule"])?;
    for rule in &key.children {
        rule.only(&["Name", "Value"])?;
        let (name, value) = (rule.required("Name")?, rule.required("Value")?);
        let place = match name.to_ascii_lowercase().as_str() {
            "prefix" => 0,
            "suffix" => 1,
            _ => {
                return Err(Fault::argument(
                    "FilterRule.Name",
                    name,
                    "filter rule name must be either prefix or suffix",
                ));
            }
        };
        if value.len() > MAX_VALUE_BYTES {
            return Err(invalid("filter rule value cannot be longer than 1024 bytes"));
        }
        if found[place].replace(value.to_owned()).is_some() {
            return Err(invalid("Cannot specify more than one prefix or suffix rule in a filter."));
        }
    }
    Ok(found)
}

/// The webhook that a resource name means.
fn webhook_of<'a>(arn: &'a str, service: &str) -> Option<&'a str> {
    let fields: Vec<&str> = arn.split(':').collect();
    let name = match fields[..] {
        ["arn", "minio", "sqs", _, name, "webhook"] if service == "sqs" => name,
        ["arn", "aws", named, _, _, name] if named == service => name,
        _ => return None,
    };
    Some(name).filter(|name| !name.is_empty())
}

fn new_id() -> String {
    let mut random = [0; 16];
    // Without randomness, two rules without names are refused for having the same one.
    let _ = getrandom::fill(&mut random);
    hex(&random)
}

fn invalid(sentence: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::saying(Code::InvalidArgument, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_text(inside: &str) -> Result<Rules, Code> {
        let text = format!("<{ROOT}>{inside}</{ROOT}>");
        read(&Node::parse(text.as_bytes(), ROOT).unwrap()).map_err(|fault| fault.code)
    }

    fn queue(inside: &str) -> String {
        format!("<QueueConfiguration><Queue>arn:aws:sqs:us-east-1::hook</Queue>{inside}</QueueConfiguration>")
    }

    fn key(name: &str, value: &str) -> String {
        format!("<FilterRule><Name>{name}</Name><Value>{value}</Value></FilterRule>")
    }

    const CREATED: &str = "<Event>s3:ObjectCreated:*</Event>";

    #[test]
    fn rules_are_read_as_they_are_written() {
        let filter = format!("<Filter><S3Key>{}{}</S3Key></Filter>", key("Prefix", "a/"), key("suffix", ".jpg"));
        let rules = read_text(&queue(&format!("<Id>one</Id>{CREATED}{filter}"))).unwrap();
        let [rule] = &rules.0[..] else { panic!("one rule") };
        assert_eq!((rule.id.as_str(), rule.webhook.as_str(), rule.is_topic), ("one", "hook", false));
        assert_eq!((rule.prefix.as_deref(), rule.suffix.as_deref()), (Some("a/"), Some(".jpg")));
        let again = read(&Node::parse(write(&rules).end().as_bytes(), ROOT).unwrap()).unwrap();
        assert_eq!(again, rules);
        let topic =
            "<TopicConfiguration><Topic>arn:aws:sns:::t</Topic><Event>s3:ObjectRemoved:*</Event></TopicConfiguration>";
        let rules = read_text(&format!("{topic}{}", queue(CREATED))).unwrap();
        assert!(rules.0[0].is_topic && rules.0[0].id != rules.0[1].id);
        assert_eq!(read_text(""), Ok(Rules::default()));
    }

    #[test]
    fn nonsense_is_refused() {
        for (inside, code) in [
            (queue(""), Code::MalformedXml),
            (queue("<Event>s3:ObjectCreated:Bad</Event>"), Code::InvalidArgument),
            (queue("<Event>s3:Replication:*</Event>"), Code::NotImplemented),
            (queue(CREATED) + &queue("<Event>s3:ObjectCreated:Put</Event>"), Code::InvalidArgument),
            (queue(&format!("{CREATED}<Filter><S3Key>{}</S3Key></Filter>", key("x", "y"))), Code::InvalidArgument),
            (
                queue(&format!("{CREATED}<Filter><S3Key>{0}{0}</S3Key></Filter>", key("prefix", "y"))),
                Code::InvalidArgument,
            ),
            (queue(&format!("{CREATED}<Other/>")), Code::MalformedXml),
            ("<EventBridgeConfiguration/>".into(), Code::NotImplemented),
            ("<Other/>".into(), Code::MalformedXml),
        ] {
            assert_eq!(read_text(&inside), Err(code), "{inside}");
        }
    }

    #[test]
    fn webhooks_have_names_as_queues_have() {
        assert_eq!(webhook_of("arn:aws:sqs:us-east-1::hook", "sqs"), Some("hook"));
        assert_eq!(webhook_of("arn:minio:sqs::primary:webhook", "sqs"), Some("primary"));
        assert_eq!(webhook_of("arn:aws:sns:eu::123:t", "sns"), None);
        for (arn, service) in [("arn:aws:sqs:r::h", "sns"), ("arn:aws:sqs:r::", "sqs"), ("hook", "sqs"), ("", "sqs")] {
            assert_eq!(webhook_of(arn, service), None, "{arn}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_read_or_refused(arn in "[arn:awsqminio]{0,30}|\\PC{0,30}") {
            let _ = webhook_of(&arn, "sqs");
        }
    }
}
