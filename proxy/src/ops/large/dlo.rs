//! Reading dynamic large objects: whatever is listed under a prefix, one after the other.
//!
//! What is known of one is what one page of the listing says. If there are more pages, its length and its ETag are not
//! known, and a range is answered only if the first page has it.

use std::ops::Range;
use std::time::Duration;

use apus_base::body::{self, Body};
use apus_base::conditional::unquoted;
use apus_base::range::{self, Ranges, Spec};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response};
use percent_encoding::percent_decode;
use serde::Deserialize;

use super::answer::{Step, cut, set, unmet};
use super::config::Pace;
use super::error::LargeError;
use super::manifest::md5_hex;
use super::stream::{self, Broken, Part, Piece, Pieces};
use super::{DYNAMIC, IGNORE_RANGE, append};
use crate::error::Error;
use crate::ops::container::{self, ContainerName};
use crate::ops::get::{Read, undivided};
use crate::ops::listing::Listing;
use crate::ops::resource::ObjectName;
use crate::ops::{Call, OwnedCall};

/// The longest page of a listing: 10,000 rows with names and content types at their limits are below it.
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Refuses a header that names no container and prefix.
///
/// # Errors
/// [`LargeError::DynamicManifest`].
pub fn check_manifest_header(request: &HeaderMap) -> Result<(), LargeError> {
    let Some(value) = request.get(DYNAMIC).map(HeaderValue::as_bytes) else {
        return Ok(());
    };
    let mut parts = value.splitn(2, |b| *b == b'/');
    let (container, prefix) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let bad = container.is_empty() || prefix.is_empty() || prefix[0] == b'/' || value.iter().any(|b| b"?&".contains(b));
    if bad { Err(LargeError::DynamicManifest) } else { Ok(()) }
}

/// Reads an object; if it is a dynamic large one, what it stands for, unless the view is of the manifest.
pub(super) async fn read(call: Call<'_>, read: &Read) -> Result<Response<Body>, Error> {
    if read.view.is_of_manifest() {
        return undivided(call, read).await;
    }
    let mut below = read.clone();
    append(&mut below.headers, IGNORE_RANGE, DYNAMIC.as_str());
    let response = undivided(call, &below).await?;
    match Prefix::of(&read.name.account, response.headers()) {
        Some(prefix) => contents(call, read, response.into_parts().0, prefix).await,
        None => Ok(response),
    }
}

/// Where the segments are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    account: String,
    container: String,
    prefix: String,
}

impl Prefix {
    fn of(account: &str, headers: &HeaderMap) -> Option<Self> {
        let value = percent_decode(headers.get(DYNAMIC)?.as_bytes()).decode_utf8().ok()?.into_owned();
        let (container, prefix) = value.split_once('/').filter(|(container, _)| !container.is_empty())?;
        Some(Self { account: account.to_owned(), container: container.to_owned(), prefix: prefix.to_owned() })
    }

    /// One page of their listing.
    async fn page(&self, call: Call<'_>, marker: &str) -> Result<Page, Error> {
        let limit = call.proxy.config.constraints.container_listing_limit;
        let listing = Listing { limit, prefix: self.prefix.clone(), marker: marker.to_owned(), ..Listing::default() };
        let name = ContainerName { account: &self.account, container: &self.container };
        let response = container::read(call, name, Method::GET, &listing, false).await?;
        let unreadable = |error: &dyn std::fmt::Display| {
            tracing::warn!(%error, container = self.container, "a listing cannot be read");
            Error::Unavailable
        };
        let json = body::read_to_end(response.into_body(), MAX_PAGE_BYTES).await.map_err(|error| unreadable(&error))?;
        let rows: Vec<Row> = if json.is_empty() {
            Vec::new()
        } else {
            serde_json::from_slice(&json).map_err(|error| unreadable(&error))?
        };
        Ok(Page { is_last: (rows.len() as u64) < limit, rows })
    }
}

#[derive(Deserialize)]
struct Row {
    name: String,
    bytes: u64,
    hash: String,
}

/// A page of the segments' listing.
struct Page {
    rows: Vec<Row>,
    is_last: bool,
}

impl Page {
    fn length(&self) -> u64 {
        self.rows.iter().fold(0, |sum, row| sum.saturating_add(row.bytes))
    }

    fn etag(&self) -> String {
        let etags: String = self.rows.iter().map(|row| unquoted(&row.hash)).collect();
        md5_hex(etags.as_bytes())
    }
}

/// The range that is answered, of a large object whose first page is known. Only a single one is, and nothing is said of
/// what lies behind the first page.
fn ranges(request: &HeaderMap, page: &Page) -> Ranges {
    let header = request.get(RANGE).and_then(|range| range.to_str().ok());
    let end = match header.and_then(range::parse).as_deref() {
        Some([Spec::FromTo(_, last)]) => last.saturating_add(1),
        Some([_]) => u64::MAX,
        _ => return Ranges::Whole,
    };
    let length = page.length();
    if page.is_last || end < length { range::resolve(header, length) } else { Ranges::Whole }
}

async fn contents(call: Call<'_>, read: &Read, mut head: Parts, prefix: Prefix) -> Result<Response<Body>, Error> {
    let page = prefix.page(call, "").await?;
    let is_head = read.method == Method::HEAD;
    if page.is_last {
        set(&mut head.headers, ETAG, format!("\"{}\"", page.etag()));
    }
    let etag = head.headers.get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
    if let Some(status) = unmet(&read.headers, &head.headers, &etag) {
        head.status = status;
        head.headers.remove(CONTENT_LENGTH);
        head.headers.remove(CONTENT_RANGE);
        return Ok(Response::from_parts(head, body::empty()));
    }
    let ranges = if is_head { Ranges::Whole } else { ranges(&read.headers, &page) };
    let is_open = !page.is_last && ranges == Ranges::Whole;
    let (status, steps) = cut(&mut head.headers, ranges, page.length());
    head.status = status;
    if is_open {
        head.headers.remove(CONTENT_LENGTH);
    }
    let wanted = match steps.first() {
        Some(Step::Range(range)) if !is_head => {
            if is_open {
                0..u64::MAX
            } else {
                range.clone()
            }
        }
        _ => return Ok(Response::from_parts(head, body::empty())),
    };
    let (owned, config) = (call.owned(), &call.proxy.config.dlo);
    let total = (!is_open).then(|| wanted.end - wanted.start);
    let segments = Segments::new(owned.clone(), prefix, page, wanted, config.pace());
    let body = stream::start(owned, segments, total, Duration::from_secs(config.max_get_time)).await?;
    Ok(Response::from_parts(head, body))
}

/// The segments that have the wanted bytes, page by page.
struct Segments {
    call: OwnedCall,
    prefix: Prefix,
    rows: std::vec::IntoIter<Row>,
    is_last: bool,
    /// The last name of the page.
    marker: String,
    /// Where the next segment begins.
    offset: u64,
    wanted: Range<u64>,
    pace: Pace,
}

impl Segments {
    fn new(call: OwnedCall, prefix: Prefix, page: Page, wanted: Range<u64>, pace: Pace) -> Self {
        let mut segments = Self {
            call,
            prefix,
            rows: Vec::new().into_iter(),
            is_last: true,
            marker: String::new(),
            offset: 0,
            wanted,
            pace,
        };
        segments.turn_to(page);
        segments
    }

    fn turn_to(&mut self, page: Page) {
        self.marker = page.rows.last().map(|row| row.name.clone()).unwrap_or_default();
        self.is_last = page.is_last;
        self.rows = page.rows.into_iter();
    }

    /// The next of the page's segments that has wanted bytes.
    fn of_page(&mut self) -> Option<Part> {
        for row in self.rows.by_ref() {
            let (start, end) = (self.offset, self.offset.saturating_add(row.bytes));
            self.offset = end;
            let (from, to) = (self.wanted.start.max(start), self.wanted.end.min(end));
            if from >= to {
                continue;
            }
            let part = from - start..to - start;
            let (account, container) = (self.prefix.account.as_str().into(), self.prefix.container.as_str().into());
            return Some(Part {
                name: ObjectName { account, container, object: row.name.into() },
                range: (part != (0..row.bytes)).then_some(part),
                // What the listing says may be older than the segment; whatever has the right name belongs to it.
                etag: None,
                length: None,
            });
        }
        None
    }
}

impl Pieces for Segments {
    async fn next(&mut self) -> Result<Option<Piece>, Broken> {
        while self.offset < self.wanted.end {
            if let Some(part) = self.of_page() {
                self.pace.wait().await;
                return Ok(Some(Piece::Object(part)));
            }
            if self.is_last {
                break;
            }
            let page = self.prefix.page(self.call.call(), &self.marker).await;
            let failed = |error| Broken::Unavailable(format!("listing /{}: {error}", self.prefix.container));
            let page = page.map_err(failed)?;
            self.turn_to(page);
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifest_headers() {
        let check = |value: &'static str| {
            check_manifest_header(&[(DYNAMIC, HeaderValue::from_static(value))].into_iter().collect()).is_ok()
        };
        for good in ["c/p", "c/p/q", "c/p%3f"] {
            assert!(check(good), "{good}");
        }
        for bad in ["", "c", "c/", "/c/p", "c//p", "c/p?", "c/p&q"] {
            assert!(!check(bad), "{bad}");
        }
        assert!(check_manifest_header(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_range_is_answered_if_one_page_has_it() {
        let page = |is_last| {
            let row = |name: &str, bytes| Row { name: name.into(), bytes, hash: "x".into() };
            Page { rows: vec![row("a", 10), row("b", 5)], is_last }
        };
        let asked = |range: &'static str, is_last| {
            ranges(&[(RANGE, HeaderValue::from_static(range))].into_iter().collect(), &page(is_last))
        };
        for (range, complete, first_page) in [
            ("bytes=2-11", Ranges::One(2..12), Ranges::One(2..12)),
            ("bytes=2-14", Ranges::One(2..15), Ranges::Whole),
            ("bytes=2-", Ranges::One(2..15), Ranges::Whole),
            ("bytes=-2", Ranges::One(13..15), Ranges::Whole),
            ("bytes=15-", Ranges::Unsatisfiable, Ranges::Whole),
            ("bytes=0-1,3-4", Ranges::Whole, Ranges::Whole),
            ("bites=0-1", Ranges::Whole, Ranges::Whole),
        ] {
            assert_eq!((asked(range, true), asked(range, false)), (complete, first_page), "{range}");
        }
    }
}
