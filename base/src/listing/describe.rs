//! All that a server knows of one account or container: `GET /recon/listing/<device>/<partition>/<account>[/<container>]`, for
//! `apus inspect`. Answered for deleted ones, too, as long as their database is there.

use http::{Response, Uri};
use serde_json::{Map, Value, json};

use super::Refusal;
use super::metadata::Metadata;
use crate::body::Body;
use crate::db::info::Head;
use crate::db::{Databases, Info, Kind, ListingId};
use crate::hash_path::HashPath;
use crate::hex::hex;
use crate::serve::recon::json_response;
use crate::wire::BackendPath;

/// What the path begins with; a backend path follows.
pub const PATH: &str = "/recon/listing";

/// Answers the question.
///
/// # Errors
/// 400 for a path that names no such thing, 404 when it never was here, 507 for a device that is not there.
pub async fn description(
    databases: &Databases,
    uri: &Uri,
    kind: Kind,
    salt: &HashPath,
    is_deleted: fn(&Info) -> bool,
) -> Result<Response<Body>, Refusal> {
    let path = uri.path().strip_prefix(PATH).and_then(|path| BackendPath::parse(path).ok());
    let path = path.filter(|path| path.container.is_some() == (kind == Kind::Container) && path.object.is_none());
    let path = path.ok_or_else(|| Refusal::BadRequest("Invalid path: expected an account or a container".into()))?;
    let hash = match &path.container {
        Some(container) => salt.container(&path.account, container),
        None => salt.account(&path.account),
    };
    let database = databases.get(&path.device).await?;
    let head = database.read::<_, Refusal, _>(move |view| Ok(Head::load(view, ListingId { kind, hash })?)).await?;
    let head = head.ok_or(Refusal::NotFound)?;
    Ok(json_response(&value(&head, is_deleted(&head.info))))
}

/// The description, for who has the database itself.
pub fn value(head: &Head, deleted: bool) -> Value {
    let info = &head.info;
    let policies = info.stats.iter().map(|(policy, stats)| {
        (policy.to_string(), json!({"rows": stats.rows, "objects": stats.objects, "bytes": stats.bytes}))
    });
    json!({
        "account": info.account,
        "container": info.container,
        "deleted": deleted,
        "created_at": info.created_at.internal(),
        "put_timestamp": info.put_timestamp.internal(),
        "delete_timestamp": info.delete_timestamp.internal(),
        "status_changed_at": info.status_changed_at.internal(),
        "policy": info.policy.0,
        "policies": policies.collect::<Map<_, _>>(),
        "reported": {
            "put_timestamp": info.reported.put_timestamp.internal(),
            "delete_timestamp": info.reported.delete_timestamp.internal(),
            "objects": info.reported.objects,
            "bytes": info.reported.bytes,
        },
        "hash": hex(&info.hash),
        "state": hex(&info.state),
        "filling": info.filling,
        "last_row": info.last_row,
        "metadata": metadata(&head.metadata),
    })
}

fn metadata(metadata: &Metadata) -> Value {
    let items = metadata.iter().map(|(name, item)| (name.to_owned(), json!([item.value, item.timestamp.internal()])));
    items.collect::<Map<_, _>>().into()
}
