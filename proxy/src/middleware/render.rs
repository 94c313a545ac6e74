//! Writes a listing's rows as text, JSON or XML, in Swift's forms.

use std::sync::LazyLock;

use memchr::memmem::Finder;
use quick_xml::escape::partial_escape;
use serde::Deserialize;

use super::accept::Format;
use crate::ops::rows::BadListing;

/// How rows that hold the byte of reserved names say it.
const RESERVED_ESCAPE: &[u8] = b"\\u0000";
static ESCAPE_FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(RESERVED_ESCAPE));
const XML_DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// What is listed, by its name.
#[derive(Clone, Debug)]
pub(super) enum Listed {
    /// An account, whose rows are containers.
    Account(String),
    /// A container, whose rows are objects.
    Container(String),
}

/// Writes one listing.
pub(super) struct Renderer {
    listed: Listed,
    format: Format,
    rows: u64,
}

/// A row of either kind of listing.
#[derive(Deserialize)]
struct Row {
    subdir: Option<String>,
    name: Option<String>,
    hash: Option<String>,
    bytes: Option<i64>,
    count: Option<i64>,
    content_type: Option<String>,
    last_modified: Option<String>,
    storage_policy: Option<String>,
}

impl Row {
    fn is_reserved(&self) -> bool {
        [&self.name, &self.subdir].into_iter().flatten().any(|name| name.contains('\0'))
    }
}

impl Renderer {
    pub(super) fn new(listed: Listed, format: Format) -> Self {
        Self { listed, format, rows: 0 }
    }

    /// Whether rows that need nothing done to them are in this form as they come.
    pub(super) fn goes_on_as_it_comes(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes one row, unless its name is one that the cluster keeps for itself.
    pub(super) fn row(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), BadListing> {
        let suspicious = may_be_reserved(text);
        // JSON goes on as it came, so it is read only when it has to be.
        let read = || serde_json::from_slice::<Row>(text).map_err(|_| BadListing::Row);
        let row = if self.format == Format::Json && !suspicious { None } else { Some(read()?) };
        if row.as_ref().is_some_and(Row::is_reserved) {
            tracing::warn!(listed = ?self.listed, "a listing had a reserved name");
            return Ok(());
        }
        self.begin(out);
        self.rows += 1;
        match (self.format, row) {
            (Format::Json, _) | (_, None) => {
                out.extend_from_slice(if self.rows == 1 { b"" } else { b", " });
                out.extend_from_slice(text);
            }
            (Format::Text, Some(row)) => {
                out.extend_from_slice(row.name.or(row.subdir).unwrap_or_default().as_bytes());
                out.push(b'\n');
            }
            (Format::Xml | Format::TextXml, Some(row)) => out.extend_from_slice(self.xml(&row).as_bytes()),
        }
        Ok(())
    }

    /// Writes what stands before the first row.
    fn begin(&self, out: &mut Vec<u8>) {
        if self.rows > 0 {
            return;
        }
        match (self.format, &self.listed) {
            (Format::Text, _) => {}
            (Format::Json, _) => out.push(b'['),
            (Format::Xml | Format::TextXml, Listed::Account(name)) => {
                out.extend_from_slice(format!("{XML_DECLARATION}<account name=\"{}\">\n", attribute(name)).as_bytes());
            }
            (Format::Xml | Format::TextXml, Listed::Container(name)) => {
                out.extend_from_slice(format!("{XML_DECLARATION}<container name=\"{}\">", attribute(name)).as_bytes());
            }
        }
    }

    /// Writes what stands after the last row.
    pub(super) fn end(&self, out: &mut Vec<u8>) {
        let end = match (self.format, &self.listed) {
            (Format::Text, _) => return,
            (Format::Json, _) => "]",
            (Format::Xml | Format::TextXml, Listed::Account(_)) => "</account>",
            (Format::Xml | Format::TextXml, Listed::Container(name)) if self.rows == 0 => {
                let empty = format!("{XML_DECLARATION}<container name=\"{}\" />", attribute(name));
                return out.extend_from_slice(empty.as_bytes());
            }
            (Format::Xml | Format::TextXml, Listed::Container(_)) => "</container>",
        };
        self.begin(out);
        out.extend_from_slice(end.as_bytes());
    }

    fn xml(&self, row: &Row) -> String {
        match (&self.listed, &row.subdir) {
            (Listed::Account(_), Some(subdir)) => format!("<subdir name=\"{}\" />\n", attribute(subdir)),
            (Listed::Container(_), Some(subdir)) => {
                format!("<subdir name=\"{}\">{}</subdir>", attribute(subdir), element("name", Some(subdir)))
            }
            (Listed::Account(_), None) => {
                let policy = row.storage_policy.as_ref().map(|policy| element("storage_policy", Some(policy)));
                [
                    "<container>".to_owned(),
                    element("name", row.name.as_ref()),
                    element("count", row.count.map(|n| n.to_string()).as_ref()),
                    element("bytes", row.bytes.map(|n| n.to_string()).as_ref()),
                    element("last_modified", row.last_modified.as_ref()),
                    policy.unwrap_or_default(),
                    "</container>\n".to_owned(),
                ]
                .concat()
            }
            (Listed::Container(_), None) => [
                "<object>".to_owned(),
                element("name", row.name.as_ref()),
                element("hash", row.hash.as_ref()),
                element("bytes", row.bytes.map(|n| n.to_string()).as_ref()),
                element("content_type", row.content_type.as_ref()),
                element("last_modified", row.last_modified.as_ref()),
                "</object>".to_owned(),
            ]
            .concat(),
        }
    }
}

/// Whether a row's text can hold the byte of reserved names.
fn may_be_reserved(text: &[u8]) -> bool {
    ESCAPE_FINDER.find(text).is_some()
}

/// An element with a text. Characters that XML has no way to say stand as they are, as Swift has them; a carriage
/// return is said by its number, because parsers would make another character of it.
fn element(name: &str, text: Option<&String>) -> String {
    match text.filter(|text| !text.is_empty()) {
        Some(text) => format!("<{name}>{}</{name}>", partial_escape(text.as_str()).replace('\r', "&#13;")),
        None => format!("<{name} />"),
    }
}

/// The value of an attribute, in which parsers would also make spaces of line ends and tabs.
fn attribute(value: &str) -> String {
    let escaped = partial_escape(value).replace('"', "&quot;");
    escaped.replace('\r', "&#13;").replace('\n', "&#10;").replace('\t', "&#09;")
}

#[cfg(test)]
mod tests;
