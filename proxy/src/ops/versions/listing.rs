//! Listings with versions: those of a container that has an archive, whose rows are links, and `?versions`, which joins
//! the container's rows with the archive's.
//!
//! Both listings are of one page, so what is held of them is bounded by the longest page there is.

use std::collections::{HashMap, HashSet};

use apus_base::body::{self, Body};
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::PLAIN_ROWS;
use http::{HeaderValue, Method, Response, header};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::name::{self, RESERVED};
use super::{DELETE_MARKER, Version, VersionError};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::container::{self, ContainerName};
use crate::ops::listing::Listing;
use crate::ops::rows::{BadListing, Entry, Object, collect};
use crate::ops::symlink::ROOT;
use crate::swift::response::QUOTED;

/// What a version's id is made of, and so no delimiter can hold.
const IN_IDS: [char; 12] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '.', RESERVED];

/// A part of a listing of versions.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// As of a listing without them.
    pub listing: Listing,
    /// Whether a marker was given, be it an empty one.
    pub has_marker: bool,
    /// Of the object that is the marker, only versions older than this one (newer when reversed).
    pub marker: Option<String>,
}

/// The object and the id of the version that a row's link leads to, where the row is of a link into `archive`. The row is
/// changed to what clients see of such an object: the version's hash and length.
pub(in crate::ops) fn resolve(row: &mut Object, archive: &str) -> Option<String> {
    let path = percent_decode_str(row.symlink_path.as_deref()?).decode_utf8().ok()?.into_owned();
    let target = path.strip_prefix(ROOT)?.strip_prefix('/')?.split_once('/')?.1;
    let version = target.strip_prefix(archive)?.strip_prefix('/')?.to_owned();
    if row.symlink_etag.is_none() || row.symlink_bytes.is_none() {
        return None;
    }
    row.bytes = row.symlink_bytes.take()?;
    let parameters = row.hash.find(';').map(|at| row.hash.split_off(at)).unwrap_or_default();
    row.hash = row.symlink_etag.take()? + &parameters;
    Some(version)
}

/// Shows the row of a link to a version as clients see it.
pub(in crate::ops) fn show(row: &mut Object, account: &str, container: &str) {
    let Some(version) = resolve(row, &name::archive(container)) else {
        return;
    };
    row.version_symlink = Some(true);
    if let Some((object, id)) = name::parse(&version) {
        let path = format!("{ROOT}/{account}/{container}/{object}");
        row.symlink_path = Some(format!("{}?version-id={id}", utf8_percent_encode(&path, QUOTED)));
    }
}

/// Lists the objects of a container with all their versions, newest first.
///
/// # Errors
/// As [`container::read`], and when the markers or the delimiter make no sense.
pub async fn list(
    call: Call<'_>,
    name: ContainerName<'_>,
    versions: &Versions,
    newest: bool,
) -> Result<Response<Body>, Error> {
    let primary = container::describe(call, name, Method::GET, &versions.listing, newest).await?;
    let (mut head, body) = primary.into_parts();
    let query = in_archive(versions)?;
    let most = usize::try_from(versions.listing.limit).unwrap_or(usize::MAX);
    let read = |row: &[u8]| read_row(row, name.account);
    let current = collect(body, most, read).await?;
    let archive = name::archive(name.container);
    let archived = match archived(call, name.account, &archive, &query).await? {
        Some(body) => collect(body, most, read).await?,
        None => Vec::new(),
    };
    let mut page = Page::new(&archive, versions);
    current.into_iter().for_each(|entry| page.add_current(entry));
    page.add_archived(archived);
    let rows = page.finish(most, versions.listing.reverse);
    let json = serde_json::to_vec(&rows).map_err(|_| Error::Unavailable)?;
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(json.len()));
    head.headers.remove(PLAIN_ROWS);
    Ok(Response::from_parts(head, body::full(json)))
}

fn read_row(row: &[u8], account: &str) -> Result<Entry, BadListing> {
    let mut entry = Entry::read(row)?;
    if let Entry::Object(object) = &mut entry {
        object.shape(account);
    }
    Ok(entry)
}

/// The part of the archive's listing that is wanted.
fn in_archive(versions: &Versions) -> Result<Listing, VersionError> {
    let Versions { listing, has_marker, marker } = versions;
    let marker = match (has_marker, marker.as_deref()) {
        (false, None) => String::new(),
        (false, Some(_)) => return Err(VersionError::MarkerOfWhat),
        // Past all versions; a colon comes after all digits.
        (true, None) => format!("{}:", name::prefix(&listing.marker)),
        (true, Some("null")) => name::prefix(&listing.marker),
        (true, Some(id)) => name::version(&listing.marker, id.parse::<Timestamp>().map_err(|_| VersionError::Marker)?),
    };
    if listing.delimiter.contains(IN_IDS) {
        return Err(VersionError::Delimiter);
    }
    let prefix = match listing.prefix.as_str() {
        "" => String::new(),
        prefix => format!("{RESERVED}{prefix}"),
    };
    Ok(Listing { marker, prefix, end_marker: String::new(), path: None, ..listing.clone() })
}

/// The archive's listing; `None` if there is no archive.
async fn archived(call: Call<'_>, account: &str, archive: &str, part: &Listing) -> Result<Option<Body>, Error> {
    if call.proxy.client.container_info(account, archive).await?.found().is_none() {
        return Ok(None);
    }
    let name = ContainerName { account, container: archive };
    match container::stored(call, name, Method::GET, part, false).await {
        Ok(response) => Ok(Some(response.into_body())),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is collected of one page.
struct Page<'a> {
    archive: &'a str,
    /// The object whose older versions only are listed, so that none of them is its latest.
    goes_on_in: Option<&'a str>,
    rows: Vec<Entry>,
    subdirs: HashSet<String>,
    /// The rows of links, by the version that they lead to.
    links: HashMap<String, Object>,
    /// Objects of which the latest version is known.
    latest: HashSet<String>,
}

impl<'a> Page<'a> {
    fn new(archive: &'a str, versions: &'a Versions) -> Self {
        let goes_on = versions.marker.as_deref().is_some_and(|id| id != "null") && !versions.listing.reverse;
        let goes_on_in = goes_on.then_some(versions.listing.marker.as_str());
        let (rows, subdirs, links, latest) = Default::default();
        Self { archive, goes_on_in, rows, subdirs, links, latest }
    }

    fn add_current(&mut self, entry: Entry) {
        match entry {
            Entry::Subdir { subdir } => drop(self.subdirs.insert(subdir)),
            Entry::Object(mut object) => {
                self.latest.insert(object.name.clone());
                match resolve(&mut object, self.archive) {
                    Some(version) => drop(self.links.insert(version, *object)),
                    None => self.rows.push(marked(object, Version::Null, true)),
                }
            }
        }
    }

    fn add_archived(&mut self, entries: Vec<Entry>) {
        let newest_markers = newest_markers(&entries);
        for (entry, may_be_latest) in entries.into_iter().zip(newest_markers) {
            match entry {
                Entry::Subdir { subdir } => {
                    let shown = subdir.trim_start_matches(RESERVED).split(RESERVED).next().unwrap_or_default();
                    self.subdirs.insert(shown.to_owned());
                }
                Entry::Object(object) => self.add_version(object, may_be_latest),
            }
        }
        // Links whose versions are not listed: the archive's row is late, or lost.
        for (version, mut object) in std::mem::take(&mut self.links) {
            if let Some((name, id)) = name::parse(&version) {
                (object.symlink_path, object.slo_etag) = (None, None);
                name.clone_into(&mut object.name);
                self.rows.push(marked(Box::new(object), Version::Id(id), true));
            }
        }
    }

    fn add_version(&mut self, mut object: Box<Object>, newest_marker: bool) {
        let Some((name, id)) = name::parse(&object.name).map(|(name, id)| (name.to_owned(), id)) else {
            return;
        };
        let is_linked = self.links.remove(&object.name).is_some();
        let is_gone = newest_marker && !self.latest.contains(&name) && self.goes_on_in != Some(name.as_str());
        object.name = name;
        self.rows.push(marked(object, Version::Id(id), is_linked || is_gone));
    }

    fn finish(self, most: usize, reverse: bool) -> Vec<Entry> {
        let mut rows = self.rows;
        rows.extend(self.subdirs.into_iter().map(|subdir| Entry::Subdir { subdir }));
        // Rows of one name stay in their order: the null version, then the others as the archive lists them.
        rows.sort_by(|a, b| if reverse { b.name().cmp(a.name()) } else { a.name().cmp(b.name()) });
        rows.truncate(most);
        rows
    }
}

/// For each row, whether it is the newest delete marker of its object on this page.
fn newest_markers(entries: &[Entry]) -> Vec<bool> {
    let mut newest: HashMap<&str, (Timestamp, usize)> = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        if let Entry::Object(object) = entry
            && object.content_type == DELETE_MARKER
            && let Some((name, id)) = name::parse(&object.name)
        {
            let known = newest.entry(name).or_insert((id, at));
            *known = (*known).max((id, at));
        }
    }
    let mut is_newest = vec![false; entries.len()];
    newest.values().for_each(|(_, at)| is_newest[*at] = true);
    is_newest
}

fn marked(mut object: Box<Object>, version: Version, is_latest: bool) -> Entry {
    object.version_id = Some(version.to_string());
    object.is_latest = Some(is_latest);
    Entry::Object(object)
}
