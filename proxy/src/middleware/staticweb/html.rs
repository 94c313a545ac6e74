//! Listings as pages, in the form that owners' style sheets know. Pure.

use percent_encoding::{AsciiSet, utf8_percent_encode};
use quick_xml::escape::escape;
use serde::Deserialize;

use super::site::Site;
use crate::middleware::tempurl::SignedPrefix;
use crate::swift::response::QUOTED;

/// The names of links: with a dot, `..` would lead elsewhere.
const LINK: &AsciiSet = &QUOTED.add(b'.');
/// A style sheet of another site.
const URL: &AsciiSet = &QUOTED.remove(b':');

const LISTING_STYLE: &str = "  <style type=\"text/css\">\n   h1 {font-size: 1em; font-weight: bold;}\n   \
     th {text-align: left; padding: 0px 1em 0px 1em;}\n   td {padding: 0px 1em 0px 1em;}\n   \
     a {text-decoration: none;}\n  </style>\n";
const DISABLED_STYLE: &str = "  <style type=\"text/css\">\n   h1 {font-size: 1em; font-weight: bold;}\n   \
     p {font-size: 2}\n  </style>\n";

/// A row of a container's listing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Row {
    Folder { subdir: String },
    Object { name: String, bytes: u64, content_type: String, last_modified: String },
}

impl Row {
    fn name(&self) -> &str {
        match self {
            Self::Folder { subdir: name } | Self::Object { name, .. } => name,
        }
    }

    /// Whether it is one that the cluster keeps for itself.
    pub(super) fn is_reserved(&self) -> bool {
        self.name().contains('\0')
    }
}

/// The page of a folder.
pub(super) struct Page {
    pub(super) label: String,
    /// The folder's name in the container, with a slash at its end; empty for the container itself.
    pub(super) folder: String,
    pub(super) rows: Vec<Row>,
    /// With what signature the page was asked for.
    pub(super) signed: Option<SignedPrefix>,
}

impl Page {
    /// The text, piece by piece, folders first.
    pub(super) fn pieces(self, site: &Site) -> impl Iterator<Item = String> + Send + use<> {
        let label = text(&self.label);
        let mut head = format!("<!DOCTYPE html>\n<html>\n <head>\n  <title>Listing of {label}</title>\n");
        head += &style(site, &self.folder, LISTING_STYLE);
        head += &format!(
            " </head>\n <body>\n  <h1 id=\"title\">Listing of {label}</h1>\n  <table id=\"listing\">\n   \
             <tr id=\"heading\">\n    <th class=\"colname\">Name</th>\n    <th class=\"colsize\">Size</th>\n    \
             <th class=\"coldate\">Date</th>\n   </tr>\n"
        );
        let query = self.signed.as_ref().map_or_else(String::new, |s| format!("?{}", s.parameters.join("&amp;")));
        // A signature that begins here does not reach further up.
        if self.folder.len() > self.signed.as_ref().map_or(0, |signed| signed.prefix.len()) {
            head += &format!(
                "   <tr id=\"parent\" class=\"item\">\n    <td class=\"colname\"><a href=\"../{query}\">../</a></td>\n    \
                 <td class=\"colsize\">&nbsp;</td>\n    <td class=\"coldate\">&nbsp;</td>\n   </tr>\n"
            );
        }
        let (folders, objects): (Vec<Row>, Vec<Row>) =
            self.rows.into_iter().partition(|row| matches!(row, Row::Folder { .. }));
        let start = self.folder.len();
        let rows = folders.into_iter().chain(objects).map(move |row| line(&row, start, &query));
        std::iter::once(head).chain(rows).chain(std::iter::once("  </table>\n </body>\n</html>\n".to_owned()))
    }
}

/// A row's line, its name without the folder's, which is `start` bytes long.
fn line(row: &Row, start: usize, query: &str) -> String {
    let name = row.name().get(start..).unwrap_or_default();
    let (kind, size, date) = match row {
        Row::Folder { .. } => ("subdir".to_owned(), "&nbsp;".to_owned(), "&nbsp;".to_owned()),
        Row::Object { bytes, content_type, last_modified, .. } => {
            let kinds: Vec<String> =
                content_type.split('/').map(|kind| format!("type-{}", text(&kind.to_lowercase()))).collect();
            let date = last_modified.split('.').next().unwrap_or_default().replace('T', " ");
            (kinds.join(" "), size(*bytes), text(&date))
        }
    };
    format!(
        "   <tr class=\"item {kind}\">\n    <td class=\"colname\"><a href=\"./{}{query}\">{}</a></td>\n    \
         <td class=\"colsize\">{size}</td>\n    <td class=\"coldate\">{date}</td>\n   </tr>\n",
        utf8_percent_encode(name, LINK),
        text(name),
    )
}

/// What stands where a listing would be, if the owner wanted one.
pub(super) fn disabled(site: &Site, label: &str, folder: &str) -> String {
    let mut page = format!("<!DOCTYPE html>\n<html>\n<head>\n<title>Listing of {}</title>\n", text(label));
    page += &style(site, folder, DISABLED_STYLE);
    page += "</head>\n<body>  <h1>Web Listing Disabled</h1>   <p>The owner of this web site has disabled web listing.   \
             <p>If you are the owner of this web site, you can enable   web listing by setting \
             X-Container-Meta-Web-Listings.</p>";
    if !site.index.is_empty() {
        page += &format!(
            "<h1>Index File Not Found</h1> <p>The owner of this web site has set  <b>X-Container-Meta-Web-Index: {}</b>.  \
             However, this file is not found.</p>",
            text(&site.index)
        );
    }
    page + " </body>\n</html>\n"
}

fn style(site: &Site, folder: &str, default: &str) -> String {
    let css = &site.css;
    if css.is_empty() {
        return default.to_owned();
    }
    let link = if ["/", "http://", "https://"].iter().any(|start| css.starts_with(start)) {
        utf8_percent_encode(css, URL).to_string()
    } else {
        format!("{}{}", "../".repeat(folder.matches('/').count()), utf8_percent_encode(css, QUOTED))
    };
    format!("  <link rel=\"stylesheet\" type=\"text/css\" href=\"{link}\" />\n")
}

/// Text between tags or quotes.
fn text(text: &str) -> String {
    escape(text).replace("&apos;", "&#x27;")
}

/// `1048576` is `1Mi`.
fn size(bytes: u64) -> String {
    let mut units = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].into_iter();
    let (mut size, mut unit) = (bytes, units.next());
    while size >= 1024
        && let Some(next) = units.next()
    {
        // To the nearest, and of two as near to the even one.
        let (whole, rest) = (size / 1024, size % 1024);
        size = whole + u64::from(rest > 512 || (rest == 512 && whole % 2 == 1));
        unit = Some(next);
    }
    format!("{size}{}", unit.unwrap_or_default())
}

#[cfg(test)]
mod tests;
