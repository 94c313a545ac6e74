//! Writing the document.

use apus_base::timestamp::Timestamp;

use super::ROOT;
use crate::s3::lifecycle::rule::{Expiration, Filter, Form, Rule, Rules};
use crate::s3::xml::Xml;

/// Writes a document.
pub(in crate::s3::lifecycle) fn write(rules: &Rules) -> Xml {
    let mut xml = Xml::new(ROOT);
    for rule in &rules.rules {
        write_rule(&mut xml, rule);
    }
    xml
}

fn write_rule(xml: &mut Xml, rule: &Rule) {
    xml.open("Rule").text("ID", &rule.id);
    write_filter(xml, &rule.filter);
    xml.text("Status", if rule.enabled { "Enabled" } else { "Disabled" });
    if let Some(expiration) = rule.expiration {
        xml.open("Expiration");
        match expiration {
            Expiration::Days(days) => xml.text("Days", &days.to_string()),
            Expiration::Date(date) => xml.text("Date", &midnight(date)),
            Expiration::Marker(goes) => xml.text("ExpiredObjectDeleteMarker", &goes.to_string()),
        };
        xml.close();
    }
    if let Some(noncurrent) = rule.noncurrent {
        xml.open("NoncurrentVersionExpiration").text("NoncurrentDays", &noncurrent.days.to_string());
        if let Some(newer) = noncurrent.newer {
            xml.text("NewerNoncurrentVersions", &newer.to_string());
        }
        xml.close();
    }
    if let Some(days) = rule.abort_after {
        xml.open("AbortIncompleteMultipartUpload").text("DaysAfterInitiation", &days.to_string()).close();
    }
    xml.close();
}

fn write_filter(xml: &mut Xml, filter: &Filter) {
    match filter.form {
        Form::Old => {
            xml.text("Prefix", filter.prefix.as_deref().unwrap_or_default());
            return;
        }
        Form::Plain => xml.open("Filter"),
        Form::And => xml.open("Filter").open("And"),
    };
    if let Some(prefix) = &filter.prefix {
        xml.text("Prefix", prefix);
    }
    for (key, value) in &filter.tags {
        xml.open("Tag").text("Key", key).text("Value", value).close();
    }
    for (name, bytes) in [("ObjectSizeGreaterThan", filter.larger_than), ("ObjectSizeLessThan", filter.smaller_than)] {
        if let Some(bytes) = bytes {
            xml.text(name, &bytes.to_string());
        }
    }
    if filter.form == Form::And {
        xml.close();
    }
    xml.close();
}

fn midnight(secs: u64) -> String {
    let mut text = Timestamp::from_secs(secs).isoformat();
    text.truncate("2026-01-02T03:04:05".len());
    text + ".000Z"
}
