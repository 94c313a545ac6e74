//! What became of many operations: the body that ends the answer to a bulk request, or to one with a heartbeat.
//!
//! The form is that of Swift's `get_heartbeat_response_body` (`common/request_helpers.py`). Pure; nothing can fail.

use std::borrow::Cow;
use std::fmt::Write as _;

use http::StatusCode;
use percent_encoding::percent_encode;
use quick_xml::escape::partial_escape;
use serde_json::{Map, Value, json};

use crate::json::to_python;
use crate::middleware::accept::Format;
use crate::swift::response::{QUOTED, status_line};

/// The status that the whole has.
const STATUS: &str = "Response Status";
/// A sentence on what went wrong with the whole, if it did.
const BODY: &str = "Response Body";

/// A report: named values, of which two say how the whole went, and what failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The XML element around it all: `delete`, `extract` or `upload`.
    root: &'static str,
    values: Vec<(&'static str, Value)>,
    errors: Vec<(String, String)>,
}

impl Report {
    /// A report of nothing yet, with the status that it has if all goes well.
    pub fn new(root: &'static str, status: StatusCode) -> Self {
        let values = vec![(STATUS, Value::from(status_line(status))), (BODY, Value::from(""))];
        Self { root, values, errors: Vec::new() }
    }

    /// A report of nothing but what failed.
    pub fn of_failures(root: &'static str) -> Self {
        Self { root, values: Vec::new(), errors: Vec::new() }
    }

    /// Sets a value of its own, as `Number Deleted`.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        match self.values.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value.into(),
            None => self.values.push((name, value.into())),
        }
    }

    /// Sets how the whole went, with a sentence, empty if there is nothing to say.
    pub fn end(&mut self, status: StatusCode, body: impl Into<String>) {
        self.set(STATUS, status_line(status));
        self.set(BODY, body.into());
    }

    /// Adds something that failed; its name is shown percent-encoded.
    pub fn fail(&mut self, name: &[u8], status: StatusCode) {
        self.fail_with(name, status_line(status));
    }

    /// The same with a reason of one's own.
    pub fn fail_with(&mut self, name: &[u8], reason: impl Into<String>) {
        self.errors.push((percent_encode(name, QUOTED).to_string(), reason.into()));
    }

    /// How much failed.
    pub fn failures(&self) -> usize {
        self.errors.len()
    }

    /// The body of the answer.
    pub fn render(self, format: Format) -> String {
        match format {
            Format::Json => self.json(),
            Format::Xml | Format::TextXml => self.xml(),
            Format::Text => self.text(),
        }
    }

    fn json(self) -> String {
        let mut all: Map<String, Value> =
            self.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        all.insert("Errors".into(), json!(self.errors));
        // Values always become JSON.
        to_python(&all).map(|json| String::from_utf8_lossy(&json).into_owned()).unwrap_or_default()
    }

    fn xml(mut self) -> String {
        self.sort();
        let mut xml = format!("<{}>\n", self.root);
        // Writing into a String cannot fail.
        for (name, value) in &self.values {
            let name = name.replace(' ', "_").to_lowercase();
            let _ = writeln!(xml, "<{name}>{}</{name}>", partial_escape(shown(value)));
        }
        xml.push_str("<errors>\n");
        for (name, reason) in &self.errors {
            let (name, reason) = (partial_escape(name.as_str()), partial_escape(reason.as_str()));
            let _ = writeln!(xml, "<object><name>{name}</name><status>{reason}</status></object>");
        }
        let _ = write!(xml, "</errors>\n</{}>\n", self.root);
        xml
    }

    fn text(mut self) -> String {
        self.sort();
        let mut text = String::new();
        for (name, value) in &self.values {
            let _ = writeln!(text, "{name}: {}", shown(value));
        }
        text.push_str("Errors:\n");
        for (name, reason) in &self.errors {
            let _ = writeln!(text, "{name}, {reason}");
        }
        text
    }

    fn sort(&mut self) {
        self.values.sort_by_key(|(name, _)| *name);
    }
}

/// A value as text has it: without the quotes of JSON.
fn shown(value: &Value) -> Cow<'_, str> {
    value.as_str().map_or_else(|| Cow::Owned(value.to_string()), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("delete", StatusCode::OK);
        report.set("Number Deleted", 1);
        report.set("Number Not Found", 0);
        report.set("Number Deleted", 2);
        report.fail("c/ü<&".as_bytes(), StatusCode::UNAUTHORIZED);
        report.fail_with(b"d", "a < b");
        report.end(StatusCode::BAD_REQUEST, "it's <bad>");
        report
    }

    #[test]
    fn text_is_sorted() {
        let expected = "Number Deleted: 2\nNumber Not Found: 0\nResponse Body: it's <bad>\n\
                        Response Status: 400 Bad Request\nErrors:\nc/%C3%BC%3C%26, 401 Unauthorized\nd, a < b\n";
        assert_eq!(report().render(Format::Text), expected);
    }

    #[test]
    fn json_has_pairs_of_errors() {
        let json: Value = serde_json::from_str(&report().render(Format::Json)).unwrap();
        let expected = json!({
            "Number Deleted": 2,
            "Number Not Found": 0,
            "Response Body": "it's <bad>",
            "Response Status": "400 Bad Request",
            "Errors": [["c/%C3%BC%3C%26", "401 Unauthorized"], ["d", "a < b"]],
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn xml_is_escaped() {
        let expected = "<delete>\n<number_deleted>2</number_deleted>\n<number_not_found>0</number_not_found>\n\
                        <response_body>it's &lt;bad&gt;</response_body>\n\
                        <response_status>400 Bad Request</response_status>\n<errors>\n\
                        <object><name>c/%C3%BC%3C%26</name><status>401 Unauthorized</status></object>\n\
                        <object><name>d</name><status>a &lt; b</status></object>\n</errors>\n</delete>\n";
        assert_eq!(report().render(Format::TextXml), expected);
        assert_eq!(report().render(Format::Xml), expected);
    }
}
