//! Listings of accounts: containers are shown with the bytes of their archives.

use std::collections::BTreeMap;

use apus_base::body::Body;
use apus_base::client::Target;
use http::{HeaderValue, Method, Response, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::name::{self, RESERVED};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::listing::Listing;
use crate::ops::rows::{self, BadListing, Written};

/// A container's row, as far as it is looked at.
#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    bytes: u64,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Adds the bytes of archives to the rows of their containers, as the rows go by. An archive whose container is gone is
/// shown in its place, so that somebody finds it.
///
/// # Errors
/// When no server answers.
pub(in crate::ops) async fn with_archives(
    call: Call<'_>,
    account: &str,
    listing: &Listing,
    mut response: Response<Body>,
) -> Result<Response<Body>, Error> {
    let mut archives = archives(call, account, listing).await?;
    if archives.is_empty() {
        return Ok(response);
    }
    let (most, reverse) = (usize::try_from(listing.limit).unwrap_or(usize::MAX), listing.reverse);
    response.headers_mut().remove(header::CONTENT_LENGTH);
    let change = move |row: Option<&[u8]>, to: &mut Written| {
        let row = row.map(|row| (row, serde_json::from_slice::<Row>(row).ok()));
        let upto = row.as_ref().and_then(|(_, row)| row.as_ref()).map(|row| row.name.as_str());
        let is_subdir = row.is_some() && upto.is_none();
        while !is_subdir
            && to.count() < most
            && let Some(orphan) = pop_before(&mut archives, upto, reverse)
        {
            to.row(|out| write(&orphan, out))?;
        }
        match row {
            Some(_) if to.count() >= most => Ok(()),
            Some((text, None)) => to.text(text),
            Some((text, Some(row))) => match archives.remove(&row.name) {
                Some(archive) => to.row(|out| write(&Row { bytes: row.bytes + archive.bytes, ..row }, out)),
                None => to.text(text),
            },
            None => Ok(()),
        }
    };
    Ok(response.map(|body| rows::map(body, change)))
}

fn write(row: &Row, out: &mut Vec<u8>) -> Result<(), BadListing> {
    serde_json::to_writer(out, row).map_err(|_| BadListing::Row)
}

/// Takes the next archive whose container would have been listed before `upto`, had there been one.
fn pop_before(archives: &mut BTreeMap<String, Row>, upto: Option<&str>, reverse: bool) -> Option<Row> {
    let next = if reverse { archives.last_entry() } else { archives.first_entry() }?;
    let is_before =
        upto.is_none_or(|upto| if reverse { next.key().as_str() > upto } else { next.key().as_str() < upto });
    is_before.then(|| next.remove())
}

/// The archives of the same part of the account, by their containers' names. An archive holds nothing that is current, so
/// none of its objects are counted.
async fn archives(call: Call<'_>, account: &str, listing: &Listing) -> Result<BTreeMap<String, Row>, Error> {
    let hidden = |name: &str| if name.is_empty() { String::new() } else { name::archive(name) };
    let prefix = if listing.prefix.is_empty() { format!("{RESERVED}versions") } else { hidden(&listing.prefix) };
    let (marker, end_marker) = (hidden(&listing.marker), hidden(&listing.end_marker));
    let part = Listing { prefix, marker, end_marker, ..listing.clone() };
    let mut headers = call.backend_headers();
    headers.insert("x-backend-allow-reserved-names", HeaderValue::from_static("true"));
    let (target, query) = (Target::Account { account }, part.query());
    let response = call.proxy.client.read(Method::GET, &target, Some(&query), &headers, false).await?;
    if !response.status().is_success() {
        return Ok(BTreeMap::new());
    }
    let most = usize::try_from(listing.limit).unwrap_or(usize::MAX);
    let found = rows::collect(response.into_body(), most, |row| Ok(serde_json::from_slice::<Row>(row).ok())).await?;
    Ok(found.into_iter().flatten().filter_map(of_container).collect())
}

fn of_container(mut row: Row) -> Option<(String, Row)> {
    row.name = name::archived(&row.name)?.to_owned();
    row.rest.insert("count".into(), Value::from(0));
    Some((row.name.clone(), row))
}
