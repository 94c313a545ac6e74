//! What can be done to accounts, containers and objects: the meaning behind every face.
//!
//! A face parses a request into one of these calls and shapes the outcome for its clients; who may do it, which rules
//! its headers must keep and which storage servers are asked is decided here. Headers are in Swift's vocabulary, which
//! is also that of the storage servers: `x-object-meta-*`, `content-type`, `x-delete-at` and so on.

pub mod account;
pub mod annotate;
pub mod bulk;
pub mod condition;
pub mod container;
pub mod copy;
pub mod crypto;
pub mod delete;
mod duplicate;
pub mod get;
pub mod headers;
pub(crate) mod hidden;
pub mod history;
pub mod large;
pub mod listing;
pub mod lock;
pub mod notification;
pub mod post;
pub mod put;
pub mod quota;
pub mod resource;
pub(crate) mod rows;
pub mod setting;
pub mod symlink;
pub mod versions;

use std::sync::Arc;

use apus_base::client::{Answer, ContainerInfo, NoAnswer, ObjectPath, Target};
use apus_base::policy::PolicyIndex;
use apus_base::timestamp::Timestamp;
use apus_base::wire::header::{TIMESTAMP, TRANS_ID};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::Proxy;
use crate::auth::{self, Access, Granted};
use crate::constraints::is_true;
use crate::context::{Context, Grant};
use crate::error::Error;
use resource::{ObjectName, Resource};

/// By which object servers show what expired.
const OPEN_EXPIRED: HeaderName = HeaderName::from_static("x-backend-open-expired");

/// On whose behalf an operation is done.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Where.
    pub proxy: &'a Proxy,
    /// The request that it is done for; its extensions say who asks.
    pub parts: &'a Parts,
}

/// A call that keeps what it needs, for what goes on after its request was answered: the segments of a large object are
/// asked for while its body is sent.
#[derive(Clone)]
pub struct OwnedCall {
    proxy: Proxy,
    parts: Arc<Parts>,
}

impl OwnedCall {
    /// The call.
    pub fn call(&self) -> Call<'_> {
        Call { proxy: &self.proxy, parts: &self.parts }
    }
}

impl Call<'_> {
    /// The same call, for longer.
    pub fn owned(&self) -> OwnedCall {
        OwnedCall { proxy: self.proxy.clone(), parts: Arc::new(self.parts.clone()) }
    }

    /// Asks whether the caller may do this to that.
    async fn authorize(&self, method: &Method, resource: &Resource) -> Result<Granted, Error> {
        let object = match resource {
            Resource::Object(name) => Some(&*name.object),
            Resource::Account(_) | Resource::Container(..) => None,
        };
        let access = Access { method, account: resource.account(), container: resource.container(), object };
        Ok(auth::authorize(self.proxy, self.parts, access).await?)
    }

    /// Whether it is for one of those who may do everything in every account.
    fn is_reseller_admin(&self) -> bool {
        let context = self.parts.extensions.get::<Context>().filter(|context| context.grant.is_none());
        context.and_then(|context| context.identity.as_ref()).is_some_and(|identity| identity.reseller_admin)
    }

    /// The headers that every backend request has.
    fn backend_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let trans_id = self.parts.extensions.get::<Context>().map(|context| HeaderValue::from_str(&context.trans_id));
        if let Some(Ok(trans_id)) = trans_id {
            headers.insert(TRANS_ID, trans_id);
        }
        headers
    }

    /// Asks the object servers for an object that expired, where the client does and may.
    fn open_expired(&self, headers: &mut HeaderMap) {
        if self.proxy.config.allow_open_expired && is_true(&self.parts.headers, "x-open-expired") {
            headers.insert(OPEN_EXPIRED, HeaderValue::from_static("true"));
        }
    }

    /// The version of what is written: a new one, but what another cluster writes into its copy keeps its own.
    fn version(&self) -> Timestamp {
        let grant = self.parts.extensions.get::<Context>().and_then(|context| context.grant.as_ref());
        match grant {
            Some(Grant::Sync { written: Some(written), .. }) => *written,
            _ => self.proxy.clock.next(),
        }
    }

    /// Whether what is written may get a newer version than it was given.
    fn may_be_later(&self) -> bool {
        let grant = self.parts.extensions.get::<Context>().and_then(|context| context.grant.as_ref());
        !matches!(grant, Some(Grant::Sync { written: Some(_), .. }))
    }

    /// The headers of a write, with its version.
    fn write_headers(&self) -> (HeaderMap, Timestamp) {
        let (mut headers, now) = (self.backend_headers(), self.version());
        headers.insert(TIMESTAMP, timestamp_value(now));
        (headers, now)
    }

    /// The container of an object that shall be changed.
    async fn container_of(&self, name: &ObjectName) -> Result<Arc<ContainerInfo>, Error> {
        let info = self.proxy.client.container_info(&name.account, &name.container).await?;
        info.found().cloned().ok_or(Error::NotFound)
    }

    /// Sends a write without a body and takes its answer for an error when it is none of a success.
    async fn write(&self, method: Method, target: &Target<'_>, headers: &HeaderMap) -> Result<Answer, Error> {
        let outcome = self.proxy.client.write(method, target, headers).await?;
        if outcome.best.status.is_success() { Ok(outcome.best) } else { Err(refused(&outcome.best)) }
    }
}

impl ObjectName {
    /// The target of backend requests about it.
    fn target(&self, policy: PolicyIndex) -> ObjectPath<'_> {
        ObjectPath { policy, account: &self.account, container: &self.container, object: &self.object }
    }
}

impl From<NoAnswer> for Error {
    fn from(reason: NoAnswer) -> Self {
        tracing::warn!(%reason, "a request could not be done");
        Self::Unavailable
    }
}

/// What storage servers said no with. Only the sentence of a 400 is for the client: it says which limit is broken.
fn refused(answer: &Answer) -> Error {
    match answer.status {
        StatusCode::NOT_FOUND => Error::NotFound,
        StatusCode::BAD_REQUEST => Error::Refused(answer.status, String::from_utf8_lossy(&answer.body).into_owned()),
        status => Error::Refused(status, String::new()),
    }
}

/// A timestamp is digits, so it always fits a header.
fn timestamp_value(timestamp: Timestamp) -> HeaderValue {
    HeaderValue::from_str(&timestamp.internal()).unwrap_or(HeaderValue::from_static("0"))
}
