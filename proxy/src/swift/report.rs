//! The reports of operations on many objects: what was done and what failed, as text, JSON or XML.

use std::fmt::Write as _;

use percent_encoding::utf8_percent_encode;
use quick_xml::escape::partial_escape;
use serde::Serialize;
use serde::ser::SerializeMap as _;
use serde_json::Value;

use super::response::QUOTED;
use crate::json::to_python;
use crate::middleware::accept::Format;

/// What was done, in the order of JSON's keys, and what failed.
#[derive(Debug, Default)]
pub(super) struct Report {
    fields: Vec<(&'static str, Value)>,
    errors: Vec<(String, String)>,
}

impl Report {
    /// Adds a field.
    pub(super) fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Adds an object that failed, and why.
    pub(super) fn failed(&mut self, path: &str, why: impl Into<String>) {
        self.errors.push((utf8_percent_encode(path, QUOTED).to_string(), why.into()));
    }

    /// The report's text; `root` is the name of XML's outermost element.
    pub(super) fn render(&self, format: Format, root: &str) -> Vec<u8> {
        match format {
            // Its keys are texts.
            Format::Json => to_python(self).unwrap_or_default(),
            Format::Xml | Format::TextXml => self.xml(root).into_bytes(),
            Format::Text => self.text().into_bytes(),
        }
    }

    fn sorted(&self) -> impl Iterator<Item = (&'static str, String)> {
        let mut fields: Vec<_> = self.fields.iter().map(|(name, value)| (*name, shown(value))).collect();
        fields.sort_unstable();
        fields.into_iter()
    }

    // Writing into a String cannot fail.
    fn text(&self) -> String {
        let mut text: String = self.sorted().map(|(name, value)| format!("{name}: {value}\n")).collect();
        text.push_str("Errors:\n");
        for (path, why) in &self.errors {
            let _ = writeln!(text, "{path}, {why}");
        }
        text
    }

    fn xml(&self, root: &str) -> String {
        let mut xml = format!("<{root}>\n");
        for (name, value) in self.sorted() {
            let name = name.replace(' ', "_").to_lowercase();
            let _ = writeln!(xml, "<{name}>{}</{name}>", partial_escape(value.as_str()));
        }
        xml.push_str("<errors>\n");
        for (path, why) in &self.errors {
            let (path, why) = (partial_escape(path.as_str()), partial_escape(why.as_str()));
            let _ = writeln!(xml, "<object><name>{path}</name><status>{why}</status></object>");
        }
        let _ = write!(xml, "</errors>\n</{root}>\n");
        xml
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 1))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("Errors", &self.errors)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_swifts() {
        let mut report = Report::default().field("Response Status", "400 Bad Request").field("Number Deleted", 2);
        report.failed("/c/é<", "409 Conflict");
        let text = |format| String::from_utf8(report.render(format, "delete")).unwrap();
        let json = r#"{"Response Status": "400 Bad Request", "Number Deleted": 2, "Errors": [["/c/%C3%A9%3C", "409 Conflict"]]}"#;
        assert_eq!(text(Format::Json), json);
        let plain = "Number Deleted: 2\nResponse Status: 400 Bad Request\nErrors:\n/c/%C3%A9%3C, 409 Conflict\n";
        assert_eq!(text(Format::Text), plain);
        let xml = "<delete>\n<number_deleted>2</number_deleted>\n<response_status>400 Bad Request</response_status>\n\
                   <errors>\n<object><name>/c/%C3%A9%3C</name><status>409 Conflict</status></object>\n</errors>\n</delete>\n";
        assert_eq!(text(Format::Xml), xml);
    }
}
