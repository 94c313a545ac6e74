//! The document of a lifecycle: reading what clients send, strictly, and writing it as it was. Pure.
//!
//! Where AWS's schema is broken the answer is `MalformedXML`, where a value makes no sense `InvalidArgument`, where things do not
//! go together `InvalidRequest`. There is one class of storage, so rules that move objects to another are `NotImplemented`.

mod write;

use std::collections::HashSet;

use apus_base::hex::hex;

use super::rule::{Expiration, Filter, Form, Noncurrent, Rule};
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::tagging::Tags;
use crate::s3::xml::Node;
pub(super) use write::write;

/// The name of the document.
pub(super) const ROOT: &str = "LifecycleConfiguration";
const MAX_RULES: usize = 1000;
const MAX_ID_CHARS: usize = 255;
const MAX_PREFIX_BYTES: usize = 1024;
/// Versions that a rule may keep.
const MAX_NEWER: u32 = 100;
const SECONDS_PER_DAY: u64 = 86_400;

fn malformed() -> Fault {
    Fault::new(Code::MalformedXml)
}

fn invalid(sentence: &'static str) -> Fault {
    Fault::saying(Code::InvalidArgument, sentence)
}

fn refused(sentence: &'static str) -> Fault {
    Fault::saying(Code::InvalidRequest, sentence)
}

/// Reads a document.
///
/// # Errors
/// When it is none that AWS would take, or asks for other classes of storage.
pub(super) fn read(document: &Node) -> Result<Vec<Rule>, Fault> {
    document.only(&["Rule"])?;
    if document.children.is_empty() || document.children.len() > MAX_RULES {
        return Err(malformed());
    }
    let mut rules = document.children.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
    let mut ids = HashSet::new();
    for rule in &rules {
        if !rule.id.is_empty() && !ids.insert(rule.id.clone()) {
            return Err(invalid("Rule ID must be unique. Found same ID for more than one rule"));
        }
    }
    for rule in rules.iter_mut().filter(|rule| rule.id.is_empty()) {
        rule.id = new_id();
    }
    Ok(rules)
}

/// An id for a rule that has none.
fn new_id() -> String {
    let mut random = [0; 16];
    // Without randomness, rules are told apart by their places.
    let _ = getrandom::fill(&mut random);
    hex(&random)
}

fn rule(node: &Node) -> Result<Rule, Fault> {
    if node.children.iter().any(|child| matches!(child.name.as_str(), "Transition" | "NoncurrentVersionTransition")) {
        return Err(Fault::not_implemented("Transitions are not implemented: there is one storage class."));
    }
    let parts = [
        "ID",
        "Status",
        "Prefix",
        "Filter",
        "Expiration",
        "NoncurrentVersionExpiration",
        "AbortIncompleteMultipartUpload",
    ];
    node.only(&parts)?;
    let id = node.child("ID")?.map(|id| id.text.clone()).unwrap_or_default();
    if id.chars().count() > MAX_ID_CHARS {
        return Err(invalid("ID length should not exceed allowed limit of 255"));
    }
    let enabled = match node.required("Status")? {
        "Enabled" => true,
        "Disabled" => false,
        _ => return Err(malformed()),
    };
    let rule = Rule {
        id,
        enabled,
        filter: filter_of(node)?,
        expiration: node.child("Expiration")?.map(expiration).transpose()?,
        noncurrent: node.child("NoncurrentVersionExpiration")?.map(noncurrent).transpose()?,
        abort_after: node.child("AbortIncompleteMultipartUpload")?.map(abort_after).transpose()?,
    };
    check(&rule)?;
    Ok(rule)
}

/// What does not go together.
fn check(rule: &Rule) -> Result<(), Fault> {
    let Filter { tags, larger_than, smaller_than, .. } = &rule.filter;
    let has_sizes = larger_than.is_some() || smaller_than.is_some();
    let is_marker = matches!(rule.expiration, Some(Expiration::Marker(_)));
    match () {
        () if rule.expiration.is_none() && rule.noncurrent.is_none() && rule.abort_after.is_none() => {
            Err(refused("At least one action needs to be specified in a rule"))
        }
        () if rule.abort_after.is_some() && !tags.is_empty() => {
            Err(refused("AbortIncompleteMultipartUpload cannot be specified with Tags."))
        }
        () if rule.abort_after.is_some() && has_sizes => {
            Err(refused("AbortIncompleteMultipartUpload cannot be specified with Object Size."))
        }
        () if is_marker && !tags.is_empty() => Err(refused("ExpiredObjectDeleteMarker cannot be specified with Tags.")),
        () if is_marker && has_sizes => Err(refused("ExpiredObjectDeleteMarker cannot be specified with Object Size.")),
        () => Ok(()),
    }
}

fn filter_of(rule: &Node) -> Result<Filter, Fault> {
    match (rule.child("Filter")?, rule.child("Prefix")?) {
        (Some(_), Some(_)) => {
            Err(refused("Base level prefix cannot be used in Lifecycle V2, prefixes are only supported in the Filter."))
        }
        (None, None) => Err(malformed()),
        (None, Some(prefix)) => {
            Ok(Filter { form: Form::Old, prefix: Some(checked_prefix(prefix)?), ..Filter::default() })
        }
        (Some(node), None) => {
            let one = ["And", "Prefix", "Tag", "ObjectSizeGreaterThan", "ObjectSizeLessThan"];
            node.only(&one)?;
            match (node.children.len(), node.child("And")?) {
                (0 | 1, None) => filter(node, Form::Plain),
                (1, Some(and)) if !and.children.is_empty() => {
                    and.only(&one[1..])?;
                    filter(and, Form::And)
                }
                _ => Err(malformed()),
            }
        }
    }
}

fn filter(node: &Node, form: Form) -> Result<Filter, Fault> {
    let bytes = |name: &str| node.child(name).map_err(Fault::from)?.map(|child| number::<u64>(&child.text)).transpose();
    let filter = Filter {
        form,
        prefix: node.child("Prefix")?.map(checked_prefix).transpose()?,
        tags: node.all("Tag").map(tag).collect::<Result<_, _>>()?,
        larger_than: bytes("ObjectSizeGreaterThan")?,
        smaller_than: bytes("ObjectSizeLessThan")?,
    };
    let mut keys = HashSet::new();
    if !filter.tags.iter().all(|(key, _)| keys.insert(key)) {
        return Err(refused("Duplicate Tag Keys are not allowed."));
    }
    match (filter.larger_than, filter.smaller_than) {
        (Some(larger), Some(smaller)) if larger >= smaller => {
            Err(refused("'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'."))
        }
        _ => Ok(filter),
    }
}

fn tag(node: &Node) -> Result<(String, String), Fault> {
    node.only(&["Key", "Value"])?;
    let tag = (node.required("Key")?.to_owned(), node.required("Value")?.to_owned());
    Tags::checked(vec![tag.clone()], 1)?;
    Ok(tag)
}

fn checked_prefix(node: &Node) -> Result<String, Fault> {
    if node.text.len() > MAX_PREFIX_BYTES {
        return Err(refused("The maximum size of a prefix is 1024."));
    }
    Ok(node.text.clone())
}

fn expiration(node: &Node) -> Result<Expiration, Fault> {
    node.only(&["Days", "Date", "ExpiredObjectDeleteMarker"])?;
    let [only] = node.children.as_slice() else { return Err(malformed()) };
    match only.name.as_str() {
        "Days" => days(&only.text, "'Days' for Expiration action must be a positive integer").map(Expiration::Days),
        "Date" => date(&only.text).map(Expiration::Date),
        _ => only.text.trim().parse().map(Expiration::Marker).map_err(|_| malformed()),
    }
}

fn noncurrent(node: &Node) -> Result<Noncurrent, Fault> {
    node.only(&["NoncurrentDays", "NewerNoncurrentVersions"])?;
    let sentence = "'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer";
    let days = days(node.required("NoncurrentDays")?, sentence)?;
    let newer = node.child("NewerNoncurrentVersions")?.map(|newer| number::<i64>(&newer.text)).transpose()?;
    let newer = newer.map(|newer| u32::try_from(newer).ok().filter(|newer| (1..=MAX_NEWER).contains(newer)));
    let sentence = "'NewerNoncurrentVersions' for NoncurrentVersionExpiration action must be between 1 and 100";
    match newer {
        Some(None) => Err(invalid(sentence)),
        newer => Ok(Noncurrent { days, newer: newer.flatten() }),
    }
}

fn abort_after(node: &Node) -> Result<u32, Fault> {
    node.only(&["DaysAfterInitiation"])?;
    let sentence = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer";
    days(node.required("DaysAfterInitiation")?, sentence)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Fault> {
    text.trim().parse().map_err(|_| malformed())
}

fn days(text: &str, sentence: &'static str) -> Result<u32, Fault> {
    let days: i32 = number(text)?;
    u32::try_from(days).ok().filter(|days| *days > 0).ok_or_else(|| invalid(sentence))
}

/// A midnight. AWS takes a day alone, too.
fn date(text: &str) -> Result<u64, Fault> {
    use time::format_description::well_known::Iso8601;
    let text = text.trim();
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let moment = time::OffsetDateTime::parse(&whole, &Iso8601::DEFAULT).map_err(|_| malformed())?;
    let secs = u64::try_from(moment.unix_timestamp()).map_err(|_| malformed())?;
    if secs % SECONDS_PER_DAY != 0 || moment.nanosecond() != 0 {
        return Err(invalid("'Date' must be at midnight GMT"));
    }
    Ok(secs)
}

#[cfg(test)]
mod tests;
