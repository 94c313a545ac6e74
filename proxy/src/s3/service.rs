//! `GET /`: all buckets.

use http::{HeaderMap, Method};

use super::asked::is_bucket_name;
use super::fault::Fault;
use super::xml::Xml;
use super::{Answered, Face, document, metadata};
use crate::ops::account;
use crate::ops::listing::Listing;
use crate::ops::rows::{Entry, collect};
use apus_base::timestamp::Timestamp;

/// Buckets that are asked for at once; who has more gets them in further turns.
const PAGE: u64 = 10_000;

pub(super) async fn answer(face: &Face<'_>) -> Answered {
    if face.parts.method != Method::GET {
        return Err(face.no_method("SERVICE"));
    }
    let mut xml = Xml::new("ListAllMyBucketsResult");
    owner(&mut xml, "Owner", &face.user);
    xml.open("Buckets");
    let mut marker = String::new();
    loop {
        let page = buckets(face, marker.clone()).await?;
        let dns_compliant = face.config().dns_compliant_bucket_names;
        for (name, modified) in page.iter().filter(|(name, _)| is_bucket_name(name, dns_compliant)) {
            let created = Timestamp::from_isoformat(modified).unwrap_or_default();
            xml.open("Bucket").text("Name", name).text("CreationDate", &metadata::xml_time(created)).close();
        }
        match page.last() {
            Some((last, _)) if page.len() as u64 == PAGE => marker.clone_from(last),
            _ => return Ok(document(xml)),
        }
    }
}

async fn buckets(face: &Face<'_>, marker: String) -> Result<Vec<(String, String)>, Fault> {
    let parts = face.request(Method::GET, HeaderMap::new());
    let listing = Listing { limit: PAGE, marker, ..Listing::default() };
    let listed = account::read(face.call(&parts), &face.account, Method::GET, &listing, false).await;
    let listed = listed.map_err(|error| face.fault(error))?;
    let most = usize::try_from(PAGE).unwrap_or(usize::MAX);
    let rows = collect(listed.into_body(), most, Entry::read).await.map_err(|error| face.fault(error))?;
    let bucket = |row| match row {
        Entry::Object(row) => Some((row.name, row.last_modified)),
        Entry::Subdir { .. } => None,
    };
    Ok(rows.into_iter().filter_map(bucket).collect())
}

/// An owner or an initiator.
pub(super) fn owner(xml: &mut Xml, element: &'static str, user: &str) {
    xml.open(element).text("ID", user).text("DisplayName", user).close();
}
