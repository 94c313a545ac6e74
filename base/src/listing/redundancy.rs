//! What the listings of a device are, partition by partition, for whoever compares the copies of a cluster.

use std::collections::BTreeMap;

use http::{Response, StatusCode, Uri};
use md5::{Digest as _, Md5};

use super::Refusal;
use super::walk::{Bounds, Cursor as _};
use crate::body::Body;
use crate::db::info::Head;
use crate::db::{Databases, DbError, Info, Kind, ListingId, View};
use crate::hash_path::PathHash;
use crate::hex::hex;
use crate::ring;
use crate::serve::recon::json_response;
use crate::wire::redundancy::{Holdings, Question};

/// Answers [`Question`] for the accounts or containers of a device; what is deleted does not count.
///
/// # Errors
/// 400 for a question that makes no sense, 507 for a device that is not there.
pub async fn holdings(
    databases: &Databases,
    uri: &Uri,
    kind: Kind,
    is_deleted: fn(&Info) -> bool,
) -> Result<Response<Body>, Refusal> {
    let question = Question::parse(uri.path(), uri.query().unwrap_or_default());
    let question = question.ok_or_else(|| Refusal::BadRequest("Invalid path: expected a device".into()))?;
    let database = databases.get(&question.device).await?;
    let read = database.read::<_, DbError, _>(move |view| digests(view, kind, question.part_power, is_deleted));
    let holdings = Holdings { partitions: read.await?, ..Holdings::default() };
    let value = serde_json::to_value(holdings).map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let mut response = json_response(&value);
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

/// A digest of each partition: of names, metadata and rows, in the order of the hashes.
fn digests(
    view: &View<'_>,
    kind: Kind,
    part_power: u8,
    is_deleted: fn(&Info) -> bool,
) -> Result<BTreeMap<u32, String>, DbError> {
    let id = |hash| ListingId { kind, hash };
    // All keys of infos but for their hash.
    let prefix = id(PathHash([0; 16])).info()[..2].to_vec();
    let mut scan = view.scan(prefix, &Bounds { lower: Vec::new(), upper: None });
    let mut partitions: BTreeMap<u32, Md5> = BTreeMap::new();
    scan.seek(&[]);
    while let Some(hash) = scan.name().and_then(|name| Some(PathHash(name.try_into().ok()?))) {
        scan.next();
        if let Some(head) = Head::load(view, id(hash))?.filter(|head| !is_deleted(&head.info)) {
            let md5 = partitions.entry(ring::partition(&hash.0, part_power)).or_default();
            md5.update(hash.0);
            add(md5, &head);
        }
    }
    scan.finish()?;
    Ok(partitions.into_iter().map(|(partition, md5)| (partition, hex(&md5.finalize()))).collect())
}

/// What copies have to agree on; not what each counts or remembers for itself.
fn add(md5: &mut Md5, Head { info, metadata }: &Head) {
    let (put, deleted) = (info.put_timestamp.internal(), info.delete_timestamp.internal());
    md5.update(format!("{put} {deleted} {}", info.policy));
    md5.update(info.hash);
    for (name, item) in metadata.iter() {
        md5.update(format!("{name} {} {}\n", item.timestamp.internal(), item.value));
    }
}
