//! `GET /recon/redundancy/<device>`: what a device holds, for whoever compares the copies of a cluster.

use std::path::Path;

use apus_base::body::Body;
use apus_base::hash_path::PathHash;
use apus_base::hex::hex;
use apus_base::ring;
use apus_base::serve::recon::json_response;
use apus_base::wire::redundancy::{Holdings, Question};
use http::{Response, Uri};

use super::Server;
use super::refusal::Refusal;
use crate::store::StoreError;
use crate::store::index::{self, Shelf};
use crate::store::pending::kept;

/// Quarantined objects that are looked for among the good ones; with more, those beyond count as not repaired.
const MAX_LOOKED_FOR: usize = 10_000;

pub(super) async fn holdings(server: &Server, uri: &Uri) -> Result<Response<Body>, Refusal> {
    let question = Question::parse(uri.path(), uri.query().unwrap_or_default());
    let question = question.ok_or_else(|| Refusal::bad_request("Invalid path: expected a device"))?;
    let device = server.devices.get(&question.device).map_err(StoreError::from)?;
    let shelf = Shelf { device, policy: question.policy };
    let table = index::refresh(&shelf).await?;
    let partitions = table.0.into_iter().map(|(partition, entry)| (partition, hex(&entry.digest))).collect();
    let queue = shelf.device.queue().clone();
    let looked = queue.run(move || besides(&shelf, question.part_power)).await?;
    let holdings = Holdings { partitions, ..looked.map_err(StoreError::while_doing("look at a device"))? };
    let value = serde_json::to_value(holdings).map_err(|error| Refusal::bad_request(error.to_string()))?;
    Ok(json_response(&value))
}

/// What is neither a good copy nor nothing. Blocking.
fn besides(shelf: &Shelf, part_power: u8) -> std::io::Result<Holdings> {
    let waiting = kept::waiting(shelf.device.path(), shelf.policy)?;
    let folder = Path::new("quarantined").join(shelf.relative());
    let names = index::file_names(&shelf.device.path().join(folder))?;
    let hashes: Vec<_> = names.iter().filter_map(|name| PathHash::from_hex(name.get(..32)?)).collect();
    let repaired = hashes.iter().take(MAX_LOOKED_FOR).filter(|hash| is_here(shelf, part_power, hash)).count();
    Ok(Holdings {
        pending: waiting.updates,
        oldest_pending: waiting.oldest.map(|oldest| oldest.secs()),
        quarantined: hashes.len() as u64,
        unrepaired: (hashes.len() - repaired) as u64,
        ..Holdings::default()
    })
}

/// Whether the device has an object of that hash, or knows that it is deleted.
fn is_here(shelf: &Shelf, part_power: u8, hash: &PathHash) -> bool {
    let folder = shelf.object(ring::partition(&hash.0, part_power), *hash, "").folder();
    index::file_names(&folder).is_ok_and(|names| !index::counting(&names).is_empty())
}
