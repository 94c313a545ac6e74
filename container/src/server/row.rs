//! Rows: one at a time by PUT and DELETE on an object's path, or many as `UPDATE /<device>`.

use std::collections::HashMap;

use apus_base::body::{self, Body};
use apus_base::db::{DbError, ListingId, Transaction};
use apus_base::listing::request::{self, flag, parsed, required, status, text};
use apus_base::listing::{Refusal, Target};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::{RowTimestamps, Timestamp};
use apus_base::wire::{ObjectRow, RowUpdate, UpdateAnswer, UpdateBatch};
use http::{HeaderValue, Request, Response, StatusCode};

use super::{Asked, ContainerServer};
use crate::store::{self, ContainerName, Merge};

/// The longest body of a batch: a thousand rows with the longest names and content types.
pub(super) const MAX_BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The most rows of a batch, so that its commit stays short.
const MAX_BATCH_ROWS: usize = 10_000;

/// The rows of a batch for one container, and their places in it.
struct Group {
    name: ContainerName,
    id: ListingId,
    create: Option<(Timestamp, PolicyIndex)>,
    rows: Vec<ObjectRow>,
    places: Vec<usize>,
}

impl ContainerServer {
    pub(super) async fn put_row(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let row = self.row(&asked, false)?;
        self.merge_row(asked, row, StatusCode::CREATED).await
    }

    pub(super) async fn delete_row(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let row = self.row(&asked, true)?;
        self.merge_row(asked, row, StatusCode::NO_CONTENT).await
    }

    async fn merge_row(&self, asked: Asked, row: ObjectRow, done: StatusCode) -> Result<Response<Body>, Refusal> {
        let id = self.id(&asked);
        let create = makes_container(&asked).then_some((row.timestamps.data, row.policy));
        let database = match row.deleted {
            true => self.shared.databases.get(&asked.device).await?,
            false => self.shared.databases.get_writable(&asked.device).await?,
        };
        let name = asked.name;
        let merge = move |tx: &mut Transaction<'_>| store::merge(tx, &name, id, create, std::slice::from_ref(&row));
        match database.commit::<_, DbError, _>(merge).await? {
            Merge::NoContainer => Err(Refusal::NotFound),
            Merge::Done => {
                self.reporter.changed(&asked.device);
                Ok(status(done))
            }
        }
    }

    fn row(&self, asked: &Asked, deleted: bool) -> Result<ObjectRow, Refusal> {
        let headers = &asked.headers;
        let word = |name| {
            let missing = || Refusal::BadRequest(format!("Missing {name} header"));
            text(headers, name)?.map(str::to_owned).ok_or_else(missing)
        };
        let data = asked.timestamp()?;
        let content_type = parsed(headers, "x-content-type-timestamp")?.unwrap_or(data);
        let meta = parsed(headers, "x-meta-timestamp")?.unwrap_or(content_type);
        let policy = request::policy(headers, &self.shared.cluster.policies)?.unwrap_or_default();
        let name = asked.object.clone().unwrap_or_default();
        if deleted {
            return Ok(tombstone(name, data, policy));
        }
        Ok(ObjectRow {
            name,
            timestamps: RowTimestamps { data, content_type, meta },
            size: required(headers, "x-size")?,
            content_type: word("x-content-type")?,
            etag: word("x-etag")?,
            deleted,
            policy,
        })
    }

    pub(super) async fn update(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let device = Target::device_of(request.uri())?;
        let _place = self.batches.try_acquire().map_err(|_| Refusal::Busy)?;
        let body = body::read_to_end(request.into_body(), MAX_BATCH_BYTES).await?;
        let batch: UpdateBatch =
            serde_json::from_slice(&body).map_err(|error| Refusal::BadRequest(error.to_string()))?;
        if batch.rows.len() > MAX_BATCH_ROWS {
            return Err(Refusal::BadRequest(format!("A batch may have {MAX_BATCH_ROWS} rows")));
        }
        let (groups, statuses) = self.group(batch.rows);
        let database = self.shared.databases.get_writable(&device).await?;
        let statuses = database.commit::<_, DbError, _>(move |tx| merge_groups(tx, &groups, statuses)).await?;
        self.reporter.changed(&device);
        answer(&UpdateAnswer { statuses })
    }

    /// Sorts a batch's rows by container. Rows that name nothing get their status, 400, at once.
    fn group(&self, rows: Vec<RowUpdate>) -> (Vec<Group>, Vec<u16>) {
        let mut statuses = vec![StatusCode::BAD_REQUEST.as_u16(); rows.len()];
        let mut groups: HashMap<ContainerName, Group> = HashMap::new();
        for (place, update) in rows.into_iter().enumerate() {
            if !self.is_sound(&update) {
                continue;
            }
            let done = if update.row.deleted { StatusCode::NO_CONTENT } else { StatusCode::CREATED };
            statuses[place] = done.as_u16();
            let name = ContainerName { account: update.account, container: update.container };
            let group = groups.entry(name).or_insert_with_key(|name| Group {
                id: name.id(&self.shared.cluster.hash_path),
                create: own_account(&name.account).then_some((update.row.timestamps.data, update.row.policy)),
                name: name.clone(),
                rows: Vec::new(),
                places: Vec::new(),
            });
            group.rows.push(update.row);
            group.places.push(place);
        }
        (groups.into_values().collect(), statuses)
    }

    fn is_sound(&self, update: &RowUpdate) -> bool {
        let RowUpdate { account, container, row, .. } = update;
        let target = Target {
            device: String::new(),
            account: account.clone(),
            container: Some(container.clone()),
            object: Some(row.name.clone()),
        };
        let named = [account, container, &row.name].iter().all(|name| !name.is_empty());
        named && target.check_names().is_ok() && self.shared.cluster.policies.get(row.policy).is_some()
    }
}

fn merge_groups(tx: &mut Transaction<'_>, groups: &[Group], mut statuses: Vec<u16>) -> Result<Vec<u16>, DbError> {
    for Group { name, id, create, rows, places } in groups {
        if store::merge(tx, name, *id, *create, rows)? == Merge::NoContainer {
            places.iter().for_each(|place| statuses[*place] = StatusCode::NOT_FOUND.as_u16());
        }
    }
    Ok(statuses)
}

fn answer(answer: &UpdateAnswer) -> Result<Response<Body>, Refusal> {
    let json = serde_json::to_vec(answer).map_err(|error| Refusal::BadRequest(error.to_string()))?;
    let mut response = Response::new(body::full(json));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn tombstone(name: String, at: Timestamp, policy: PolicyIndex) -> ObjectRow {
    let (content_type, etag) = (String::new(), String::new());
    ObjectRow { name, timestamps: RowTimestamps::same(at), size: 0, content_type, etag, deleted: true, policy }
}

/// Whether a row makes its container: the request says so, or its account is one of the cluster's own.
fn makes_container(asked: &Asked) -> bool {
    let said = asked.headers.contains_key("x-backend-auto-create");
    if said { flag(&asked.headers, "x-backend-auto-create") } else { own_account(&asked.name.account) }
}

/// Accounts of the cluster's own begin with a dot. Shards are made by the sharder alone.
fn own_account(account: &str) -> bool {
    account.starts_with('.') && !account.starts_with(".shards_")
}
