//! Containers: PUT, POST, DELETE, HEAD, and GET with its listing.

use apus_base::body::{self, Body};
use apus_base::db::ListingId;
use apus_base::db::info::Head;
use apus_base::listing::request::{self, flag, set, status};
use apus_base::listing::{Metadata, Query, Refusal};
use apus_base::policy::PolicyIndex;
use apus_base::wire::header;
use http::{Response, StatusCode};

use super::account::nodes;
use super::{Asked, ContainerServer, info_headers};
use crate::store::{self, Deleted, METADATA, Put, Updates};

/// The policy for a new container when the client asked for none: the proxy's default.
const POLICY_DEFAULT: &str = "x-backend-storage-policy-default";

impl ContainerServer {
    pub(super) async fn put(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let updates = updates(&asked)?;
        let requested = request::policy(&asked.headers, &self.shared.cluster.policies)?;
        let default = request::parsed(&asked.headers, POLICY_DEFAULT)?.map(PolicyIndex);
        let default = default.unwrap_or(self.shared.cluster.policies.default_index());
        let accounts = nodes(&asked.headers)?;
        let (name, id) = (asked.name.clone(), self.id(&asked));
        let database = self.shared.databases.get_writable(&asked.device).await?;
        let put = database.commit(move |tx| store::put(tx, &name, id, updates, requested, default)).await?;
        let (code, info) = match put {
            Put::OtherPolicy(present) => return Ok(with_policy(StatusCode::CONFLICT, present)),
            Put::DeletedLater => return Ok(status(StatusCode::CONFLICT)),
            Put::Created(info) => (StatusCode::CREATED, info),
            Put::Updated(info) => (StatusCode::ACCEPTED, info),
        };
        self.reporter.changed(&asked.device);
        self.update_accounts(&asked, accounts, &info).await?;
        Ok(with_policy(code, info.policy))
    }

    pub(super) async fn post(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let (updates, id) = (updates(&asked)?, self.id(&asked));
        let touch = !flag(&asked.headers, "x-backend-no-timestamp-update");
        let database = self.shared.databases.get_writable(&asked.device).await?;
        if !database.commit(move |tx| store::post(tx, id, updates, touch)).await? {
            return Err(Refusal::NotFound);
        }
        self.reporter.changed(&asked.device);
        Ok(status(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let (at, id) = (asked.timestamp()?, self.id(&asked));
        let accounts = nodes(&asked.headers)?;
        // A deletion makes room in the end, so it is not kept from a full device.
        let database = self.shared.databases.get(&asked.device).await?;
        let (info, existed) = match database.commit(move |tx| store::delete(tx, id, at)).await? {
            Deleted::NotFound => return Err(Refusal::NotFound),
            Deleted::Conflict => return Ok(status(StatusCode::CONFLICT)),
            Deleted::Done(info, existed) => (info, existed),
        };
        self.reporter.changed(&asked.device);
        self.update_accounts(&asked, accounts, &info).await?;
        if existed { Ok(status(StatusCode::NO_CONTENT)) } else { Err(Refusal::NotFound) }
    }

    pub(super) async fn head(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let id = self.id(&asked);
        let database = self.shared.databases.get(&asked.device).await?;
        let head = database.read(move |view| Head::load(view, id)).await?;
        Ok(described(head.as_ref(), StatusCode::NO_CONTENT))
    }

    pub(super) async fn get(&self, asked: Asked) -> Result<Response<Body>, Refusal> {
        let id = self.id(&asked);
        let query = Query::parse(&asked.query, request::shows_reserved(&asked.headers))?;
        let requested = request::policy(&asked.headers, &self.shared.cluster.policies)?;
        let database = self.shared.databases.get(&asked.device).await?;
        let read = database.read::<_, Refusal, _>(move |view| {
            let head = Head::load(view, id)?;
            let live = head.as_ref().filter(|head| !store::is_deleted(&head.info));
            let policy = live.map(|head| requested.unwrap_or(head.info.policy));
            let rows = policy.map(|policy| store::listing(view, id, policy, &query)).transpose()?;
            Ok((head, policy.zip(rows)))
        });
        let (head, listed) = read.await?;
        let mut response = described(head.as_ref(), StatusCode::OK);
        if let Some((policy, listed)) = listed {
            set(response.headers_mut(), "x-backend-record-type", "object");
            set(response.headers_mut(), "x-backend-record-storage-policy-index", policy);
            if listed.is_plain {
                set(response.headers_mut(), header::PLAIN_ROWS, "yes");
            }
            *response.body_mut() = body::full(listed.json);
        }
        Ok(response)
    }

    pub(super) fn id(&self, asked: &Asked) -> ListingId {
        asked.name.id(&self.shared.cluster.hash_path)
    }
}

fn updates(asked: &Asked) -> Result<Updates, Refusal> {
    let timestamp = asked.timestamp()?;
    Ok(Updates { timestamp, metadata: Metadata::from_headers(&asked.headers, &METADATA, timestamp)? })
}

fn with_policy(code: StatusCode, policy: PolicyIndex) -> Response<Body> {
    let mut response = status(code);
    set(response.headers_mut(), header::POLICY_INDEX, policy);
    response
}

/// The answer about a container's state: `code` if it is there, 404 otherwise.
fn described(head: Option<&Head>, code: StatusCode) -> Response<Body> {
    let live = head.filter(|head| !store::is_deleted(&head.info));
    let mut response = status(if live.is_some() { code } else { StatusCode::NOT_FOUND });
    info_headers(response.headers_mut(), head.map(|head| &head.info), live.is_none());
    if let Some(live) = live {
        live.metadata.write_headers(response.headers_mut());
    }
    response
}
