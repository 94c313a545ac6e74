//! Swift's account server protocol: `/<device>/<partition>/<account>[/<container>]`, and for the reaper `GET /<device>`.

use std::net::SocketAddr;

use apus_base::body::{self, Body};
use apus_base::clock;
use apus_base::db::info::Head;
use apus_base::db::{DbError, Kind, ListingId};
use apus_base::hash_path::PathHash;
use apus_base::listing::request::{self, overrides_deleted, parsed, required, set, status};
use apus_base::listing::{Metadata, Query, Refusal, Target, describe, redundancy};
use apus_base::policy::{Policies, PolicyIndex};
use apus_base::serve::{Service, plain};
use apus_base::wire::header;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::Shared;
use crate::store::{self, Deleted, METADATA, Merge, Put, Row};

/// The server of one process.
pub struct AccountServer {
    shared: Shared,
}

/// A request for one account, with its path read.
struct Asked {
    device: String,
    account: String,
    headers: HeaderMap,
}

impl AccountServer {
    /// A server over these listings.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        let (head, _) = request.into_parts();
        if head.method == Method::GET && head.uri.path().starts_with("/recon/") {
            return self.about(&head.uri).await;
        }
        if head.method == Method::GET && Target::device_of(&head.uri).is_ok() {
            return self.deleted(&head.uri).await;
        }
        let Target { device, account, container, object } = Target::parse(&head.uri)?;
        if object.is_some() {
            return Err(Refusal::BadRequest("Invalid path: accounts know no objects".into()));
        }
        let asked = Asked { device, account, headers: head.headers };
        match (head.method, container) {
            (Method::PUT, None) => self.put(asked).await,
            (Method::PUT, Some(container)) => self.put_row(asked, container).await,
            (Method::POST, None) => self.post(asked).await,
            (Method::DELETE, None) => self.delete(asked).await,
            (Method::HEAD, None) => self.head(asked).await,
            (Method::GET, None) => self.get(asked, head.uri.query().unwrap_or_default()).await,
            _ => Err(Refusal::Method),
        }
    }

    /// What operators ask of what is stored.
    async fn about(&self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let Shared { databases, cluster, .. } = &self.shared;
        if uri.path().starts_with(describe::PATH) {
            return describe::description(databases, uri, Kind::Account, &cluster.hash_path, store::is_deleted).await;
        }
        redundancy::holdings(databases, uri, Kind::Account, store::is_deleted).await
    }

    async fn put(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let (at, id) = (request::timestamp(&asked.headers)?, self.id(&asked));
        let metadata = Metadata::from_headers(&asked.headers, &METADATA, at)?;
        let database = self.shared.databases.get_writable(&asked.device).await?;
        let put = database.commit(move |tx| store::put(tx, &asked.account, id, at, metadata)).await?;
        Ok(match put {
            Put::Created => status(StatusCode::CREATED),
            Put::Updated => status(StatusCode::ACCEPTED),
            Put::RecentlyDeleted => marked(plain(StatusCode::FORBIDDEN, "Recently deleted"), true),
        })
    }

    async fn put_row(&self, asked: Asked, container: String) -> Result<Response<Body>, Refusal> {
        let (row, id) = (row(&asked.headers)?, self.id(&asked));
        let even_deleted = overrides_deleted(&asked.headers)?;
        let create = asked.account.starts_with('.').then_some(row.counted_at);
        let done = match row.delete_timestamp > row.put_timestamp {
            true => StatusCode::NO_CONTENT,
            false => StatusCode::CREATED,
        };
        let database = self.shared.databases.get_writable(&asked.device).await?;
        let merge = database.commit::<_, DbError, _>(move |tx| {
            store::merge(tx, (&asked.account, id), &container, &row, create, even_deleted)
        });
        match merge.await? {
            Merge::Done => Ok(status(done)),
            Merge::NoAccount => Err(Refusal::NotFound),
        }
    }

    async fn post(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let (at, id) = (request::timestamp(&asked.headers)?, self.id(&asked));
        let metadata = Metadata::from_headers(&asked.headers, &METADATA, at)?;
        let database = self.shared.databases.get_writable(&asked.device).await?;
        Ok(match database.commit(move |tx| store::post(tx, id, metadata)).await? {
            None => status(StatusCode::NO_CONTENT),
            Some(deleted) => marked(status(StatusCode::NOT_FOUND), deleted),
        })
    }

    async fn delete(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let (at, id) = (request::timestamp(&asked.headers)?, self.id(&asked));
        let database = self.shared.databases.get(&asked.device).await?;
        Ok(match database.commit(move |tx| store::delete(tx, id, at)).await? {
            Deleted::Done(deleted) => marked(status(StatusCode::NO_CONTENT), deleted),
            Deleted::NotFound(deleted) => marked(status(StatusCode::NOT_FOUND), deleted),
        })
    }

    async fn head(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let id = self.id(&asked);
        let database = self.shared.databases.get(&asked.device).await?;
        let head = database.read(move |view| Head::load(view, id)).await?;
        Ok(self.described(head.as_ref(), StatusCode::NO_CONTENT))
    }

    async fn get(&self, asked: Asked, query: &str) -> Result<Response<Body>, Refusal> {
        let id = self.id(&asked);
        let query = Query { path: None, ..Query::parse(query, request::shows_reserved(&asked.headers))? };
        let database = self.shared.databases.get(&asked.device).await?;
        let cluster = self.shared.cluster.clone();
        let even_deleted = request::flag(&asked.headers, header::OVERRIDE_DELETED);
        let read = database.read::<_, DbError, _>(move |view| {
            let head = Head::load(view, id)?;
            let live = head.as_ref().is_some_and(|head| even_deleted || !store::is_deleted(&head.info));
            let rows = live.then(|| store::listing(view, id, &cluster.policies, &query)).transpose()?;
            Ok((head, rows))
        });
        let (head, rows) = read.await?;
        let mut response = match even_deleted && rows.is_some() {
            true => status(StatusCode::OK),
            false => self.described(head.as_ref(), StatusCode::OK),
        };
        if let Some(rows) = rows {
            *response.body_mut() = body::full(rows);
        }
        Ok(response)
    }

    /// What waits for the reaper on a device.
    async fn deleted(&self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let device = Target::device_of(uri)?;
        let marker = Query::parse(uri.query().unwrap_or_default(), false)?.marker;
        let after = PathHash::from_hex(&marker);
        if after.is_none() && !marker.is_empty() {
            return Err(Refusal::BadRequest("Invalid marker: it must be a hash".into()));
        }
        let database = self.shared.databases.get(&device).await?;
        let found = database.read::<_, DbError, _>(move |view| store::reapable(view, after.as_ref())).await?;
        let json = serde_json::to_vec(&found).map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let mut response = Response::new(body::full(json));
        response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    fn id(&self, asked: &Asked) -> ListingId {
        store::id(&self.shared.cluster.hash_path, &asked.account)
    }

    /// The answer about an account's state: `code` if it is there, 404 otherwise.
    fn described(&self, head: Option<&Head>, code: StatusCode) -> Response<Body> {
        let live = head.filter(|head| !store::is_deleted(&head.info));
        let mut response = status(if live.is_some() { code } else { StatusCode::NOT_FOUND });
        if let Some(head) = head {
            set(response.headers_mut(), header::LISTING_STATE, PathHash(head.info.state));
        }
        let Some(live) = live else {
            return marked(response, head.is_some_and(|head| store::is_marked_deleted(&head.info)));
        };
        account_headers(response.headers_mut(), live, &self.shared.cluster.policies);
        response
    }
}

impl Service for AccountServer {
    async fn call(&self, request: Request<Body>, _peer: SocketAddr) -> Response<Body> {
        self.answer(request).await.unwrap_or_else(Refusal::into_response)
    }
}

/// The row that a container server's headers tell.
fn row(headers: &HeaderMap) -> Result<Row, Refusal> {
    Ok(Row {
        put_timestamp: required(headers, "x-put-timestamp")?,
        delete_timestamp: required(headers, "x-delete-timestamp")?,
        // A peer that does not say when it counted counted just now.
        counted_at: parsed(headers, header::TIMESTAMP)?.unwrap_or_else(clock::now),
        objects: required(headers, "x-object-count")?,
        bytes: required(headers, "x-bytes-used")?,
        policy: parsed(headers, header::POLICY_INDEX)?.map(PolicyIndex).unwrap_or_default(),
    })
}

fn account_headers(headers: &mut HeaderMap, head: &Head, policies: &Policies) {
    let (info, total) = (&head.info, head.info.total());
    head.metadata.write_headers(headers);
    set(headers, "x-account-container-count", total.rows);
    set(headers, "x-account-object-count", total.objects);
    set(headers, "x-account-bytes-used", total.bytes);
    set(headers, header::TIMESTAMP, info.created_at.normal());
    set(headers, "x-put-timestamp", info.put_timestamp.normal());
    for (index, stats) in &info.stats {
        let Some(policy) = policies.get(*index) else {
            continue;
        };
        let counts = [("container-count", stats.rows), ("object-count", stats.objects), ("bytes-used", stats.bytes)];
        for (what, count) in counts {
            let name = format!("x-account-storage-policy-{}-{what}", policy.name.to_ascii_lowercase());
            // A policy's name is letters, digits and '-', so it is a header's name too.
            if let Ok(name) = HeaderName::try_from(name) {
                headers.insert(name, HeaderValue::from(count));
            }
        }
    }
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
}

/// Says that the account is deleted and waits to be reaped.
fn marked(mut response: Response<Body>, deleted: bool) -> Response<Body> {
    if deleted {
        set(response.headers_mut(), "x-account-status", "Deleted");
    }
    response
}

#[cfg(test)]
mod tests;
