//! The S3 face: requests that are signed in S3's way become the same operations as those of the Swift face, on the same
//! objects. A bucket is a container of the account of whoever signs; `account:user` of tempauth is an access key.
//!
//! Here is the spelling only: signatures, headers, XML, codes. What an operation means is in [`crate::ops`].
//!
//! The order of checks is that of Swift's `s3api`, which is that of AWS where tests can tell: the claim and its time, the
//! names in the target, the headers, then the signature itself, and only then what is asked for.

mod acl;
pub mod asked;
mod attributes;
pub mod auth;
mod bucket;
mod checksums;
pub mod code;
mod condition;
pub mod config;
mod copy;
mod cors;
mod delete;
mod encryption;
pub mod fault;
mod guard;
pub mod lifecycle;
mod listing;
mod lock;
mod metadata;
mod multi_delete;
mod multipart;
mod notification;
mod object;
mod ownership;
pub mod payload;
mod policy;
mod post;
mod public_access;
mod rules;
mod service;
mod setting;
mod step;
mod subresource;
mod tagging;
mod translate;
mod versioning;
mod website;
pub mod xml;

use std::sync::Arc;

use apus_base::body::{self, Body};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use percent_encoding::utf8_percent_encode;

use crate::Proxy;
use crate::context::Context;
use crate::ops::Call;
use crate::ops::bulk::single;
use crate::ops::container::ContainerName;
use crate::ops::resource::ObjectName;
use crate::swift::response::{HTML, QUOTED};
use asked::Asked;
use code::Code;
pub use config::Config;
use fault::Fault;
use payload::Payload;
pub use step::{refuse, step};
use xml::{Node, Xml};

/// A request whose sender is known.
pub struct Face<'a> {
    proxy: &'a Proxy,
    /// The request, with the headers that its body has once it is decoded.
    parts: &'a Parts,
    asked: &'a Asked,
    /// The account of the bucket: that of whoever signed, unless the request names another.
    account: String,
    /// `account:user`, which is the ID of owners; empty if nobody signed.
    user: String,
}

type Answered = Result<Response<Body>, Fault>;

impl Face<'_> {
    fn config(&self) -> &Config {
        &self.proxy.config.s3
    }

    /// The bucket.
    fn bucket(&self) -> &str {
        self.asked.bucket.as_deref().unwrap_or_default()
    }

    /// The key.
    ///
    /// # Errors
    /// When there is none.
    fn key(&self) -> Result<&str, Fault> {
        self.asked.key.as_deref().ok_or(Fault::saying(Code::InvalidRequest, "A key must be specified"))
    }

    fn container(&self) -> ContainerName<'_> {
        ContainerName { account: &self.account, container: self.bucket() }
    }

    /// An object of a container of the account.
    fn name(&self, container: &str, object: impl Into<Arc<str>>) -> ObjectName {
        ObjectName { account: self.account.as_str().into(), container: container.into(), object: object.into() }
    }

    /// The object that the request is about.
    fn object(&self) -> Result<ObjectName, Fault> {
        Ok(self.name(self.bucket(), self.key()?))
    }

    /// The same, for a request that says otherwise who asks.
    fn on<'b>(&'b self, parts: &'b Parts) -> Face<'b> {
        let (account, user) = (self.account.clone(), self.user.clone());
        Face { proxy: self.proxy, parts, asked: self.asked, account, user }
    }

    /// Whether the bucket's account has that name, which stands without a reseller's prefix.
    fn is_account(&self, name: &str) -> bool {
        self.account.strip_prefix(self.proxy.auth.resellers.first_prefix()) == Some(name)
    }

    /// The request that an operation is done for: of this one's headers, only these.
    fn request(&self, method: Method, headers: HeaderMap) -> Parts {
        let mut parts = single(self.parts, method);
        let granted = self.parts.extensions.get::<Context>().and_then(|context| context.grant.clone());
        if let Some(context) = parts.extensions.get_mut::<Context>() {
            // What a policy allows was judged for the whole request.
            context.grant = granted;
        }
        parts.headers.extend(headers);
        parts
    }

    /// An operation's call.
    fn call<'b>(&'b self, parts: &'b Parts) -> Call<'b> {
        Call { proxy: self.proxy, parts }
    }

    /// Reads a document out of the body; `None` if it is empty.
    async fn xml(&self, payload: Payload, most: usize) -> Result<Option<bytes::Bytes>, Fault> {
        if matches!(payload.length, Ok(Some(length)) if length > most as u64) {
            payload::drain(payload).await;
            return Err(Fault::new(Code::MalformedXml));
        }
        let text = payload::read(payload.body, most).await?;
        if let Some(md5) = metadata::content_md5(&self.parts.headers)? {
            check_md5(&text, &md5, auth::header(&self.parts.headers, "content-md5"))?;
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// Does what is asked, if whoever asks may.
    async fn dispatch(&self, payload: Payload) -> Answered {
        self.guard().await?;
        let mut needs = policy::needs(&self.parts.method, self.asked, &self.parts.headers);
        needs.extend(copy::need(self)?);
        let granted = policy::check(self, &needs).await?;
        let granted = lock::with_bypass(self, self.asked.key.as_deref(), granted).await?;
        ownership::check_lists(self).await?;
        match &granted {
            Some(parts) => self.on(parts).route(payload).await,
            None => self.route(payload).await,
        }
    }

    async fn route(&self, payload: Payload) -> Answered {
        let query = &self.asked.query;
        if let Some(unsupported) = subresource::UNSUPPORTED.iter().find(|name| query.has(name)) {
            tracing::debug!(unsupported, "a request is for what is not implemented");
            return Err(Fault::new(Code::NotImplemented));
        }
        if self.asked.bucket.is_none() {
            return service::answer(self).await;
        }
        let method = self.parts.method.clone();
        let kinds: [(&str, Kind); 22] = [
            ("acl", Kind::Acl),
            ("delete", Kind::MultiDelete),
            ("location", Kind::Location),
            ("logging", Kind::Logging),
            ("partNumber", if method == Method::PUT { Kind::Part } else { Kind::Object }),
            ("uploadId", Kind::Upload),
            ("uploads", Kind::Uploads),
            ("versioning", Kind::Versioning),
            ("tagging", Kind::Tagging),
            ("object-lock", Kind::ObjectLock),
            ("retention", Kind::Retention),
            ("legal-hold", Kind::LegalHold),
            ("attributes", Kind::Attributes),
            ("lifecycle", Kind::Lifecycle),
            ("cors", Kind::Cors),
            ("encryption", Kind::Encryption),
            ("policy", Kind::Policy),
            ("policyStatus", Kind::PolicyStatus),
            ("publicAccessBlock", Kind::PublicAccessBlock),
            ("ownershipControls", Kind::OwnershipControls),
            ("website", Kind::Website),
            ("notification", Kind::Notification),
        ];
        let asked = kinds.into_iter().find(|(name, _)| query.has(name)).map(|(_, kind)| kind);
        let kind = asked.unwrap_or(if self.asked.key.is_some() { Kind::Object } else { Kind::Bucket });
        match kind {
            Kind::Acl => acl::answer(self, payload).await,
            Kind::MultiDelete => multi_delete::answer(self, payload).await,
            Kind::Lifecycle => lifecycle::answer(self, payload).await,
            Kind::Location | Kind::Logging => subresource::answer(self, kind).await,
            Kind::ObjectLock => lock::bucket(self, payload).await,
            Kind::Retention => lock::retention(self, payload).await,
            Kind::LegalHold => lock::legal_hold(self, payload).await,
            Kind::Attributes => attributes::answer(self).await,
            Kind::Tagging => tagging::answer(self, payload).await,
            Kind::Cors => cors::answer(self, payload).await,
            Kind::Encryption => encryption::answer(self, payload).await,
            Kind::Policy => policy::answer(self, payload).await,
            Kind::PolicyStatus => policy::status(self).await,
            Kind::PublicAccessBlock => public_access::answer(self, payload).await,
            Kind::OwnershipControls => ownership::answer(self, payload).await,
            Kind::Website => website::answer(self, payload).await,
            Kind::Notification => notification::answer(self, payload).await,
            Kind::Part => multipart::part::answer(self, payload).await,
            Kind::Upload => multipart::upload(self, payload).await,
            Kind::Uploads => multipart::uploads(self).await,
            Kind::Versioning => versioning::answer(self, payload).await,
            Kind::Object => object::answer(self, payload).await,
            Kind::Bucket => bucket::answer(self, payload).await,
        }
    }

    /// The refusal of a method.
    fn no_method(&self, resource: &str) -> Fault {
        let fault = Fault::new(Code::MethodNotAllowed).with("Method", self.parts.method.as_str());
        fault.with("ResourceType", resource)
    }
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Acl,
    MultiDelete,
    Location,
    Logging,
    Part,
    Upload,
    Uploads,
    Versioning,
    Tagging,
    ObjectLock,
    Retention,
    LegalHold,
    Attributes,
    Lifecycle,
    Cors,
    Encryption,
    Policy,
    PolicyStatus,
    PublicAccessBlock,
    OwnershipControls,
    Website,
    Notification,
    Object,
    Bucket,
}

fn check_md5(text: &[u8], md5: &[u8], shown: &str) -> Result<(), Fault> {
    use md5::{Digest as _, Md5};
    let is_right = Md5::digest(text)[..] == *md5;
    if is_right { Ok(()) } else { Err(Fault::new(Code::BadDigest).with("ExpectedDigest", shown.trim())) }
}

/// Reads a document.
///
/// # Errors
/// `MalformedXml`.
fn parse(text: &[u8], root: &str) -> Result<Node, Fault> {
    Ok(Node::parse(text, root)?)
}

impl From<xml::BadXml> for Fault {
    fn from(_: xml::BadXml) -> Self {
        Self::new(Code::MalformedXml)
    }
}

/// An answer without a body. Swift says a type of these too, and its tests look for it.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HTML);
    response
}

/// An answer in XML.
fn document(xml: Xml) -> Response<Body> {
    let mut response = Response::new(body::full(xml.end()));
    response.headers_mut().insert(CONTENT_TYPE, xml::TYPE);
    response
}

/// A name as listings show it to who asks for escapes.
fn quoted(name: &str, is_escaped: bool) -> String {
    if is_escaped { utf8_percent_encode(name, QUOTED).to_string() } else { name.to_owned() }
}
