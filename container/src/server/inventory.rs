//! What a device has: its containers, page by page, for passes that have to come by all of them. No listing of an account
//! is asked, so none is forgotten that an account does not know of yet.

use apus_base::body::{self, Body};
use apus_base::db::{DbError, Info, Kind, ListingId, View};
use apus_base::hash_path::PathHash;
use apus_base::listing::walk::{Bounds, Cursor as _};
use apus_base::listing::{Refusal, Target};
use apus_base::wire::{Inventory, InventoryItem};
use http::{HeaderValue, Response, Uri};

use super::ContainerServer;
use crate::store;

/// Containers of one page, deleted ones included: some 300 KiB at most.
const PAGE: usize = 500;

impl ContainerServer {
    pub(super) async fn inventory(&self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let device = Target::device_of(uri)?;
        let marker = uri.query().unwrap_or_default().split('&').find_map(|p| p.strip_prefix("marker="));
        let bad = || Refusal::BadRequest("Invalid marker".into());
        let marker = marker.filter(|text| !text.is_empty()).map(|text| hash(text).ok_or_else(bad)).transpose()?;
        let database = self.shared.databases.get(&device).await?;
        let inventory = database.read::<_, DbError, _>(move |view| page(view, marker)).await?;
        let json = serde_json::to_vec(&inventory).map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let mut response = Response::new(body::full(json));
        response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}

fn page(view: &View<'_>, marker: Option<PathHash>) -> Result<Inventory, DbError> {
    let id = |hash| ListingId { kind: Kind::Container, hash };
    // All keys of infos but for their hash.
    let prefix = id(PathHash([0; 16])).info()[..2].to_vec();
    let after = marker.map_or(Vec::new(), |PathHash(hash)| [&hash[..], &[0]].concat());
    let mut scan = view.scan(prefix, &Bounds { lower: after.clone(), upper: None });
    scan.seek(&after);
    let (mut inventory, mut last) = (Inventory::default(), None);
    for _ in 0..PAGE {
        let Some(hash) = scan.name().and_then(|name| Some(PathHash(name.try_into().ok()?))) else {
            scan.finish()?;
            return Ok(Inventory { next: None, ..inventory });
        };
        scan.next();
        last = Some(hash);
        if let Some(info) = Info::load(view, id(hash))?.filter(|info| !store::is_deleted(info)) {
            let Info { account, container, policy, .. } = info;
            inventory.containers.push(InventoryItem { account, container, policy });
        }
    }
    scan.finish()?;
    inventory.next = last.map(|hash| hash.hex());
    Ok(inventory)
}

/// A hash in 32 hexadecimal digits.
pub(super) fn hash(text: &str) -> Option<PathHash> {
    let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok().filter(|_| digits)?;
    Some(PathHash(number.to_be_bytes()))
}
