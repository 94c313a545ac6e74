//! Bucket policies: who may do what, beside the owner and whom the bucket's lists let in.
//!
//! A request is taken apart into what it [does](action), and each of these is judged by the bucket's policy, the owner's
//! rights and the lists of the bucket: what the policy denies is denied, also to the owner (who may change the policy all
//! the same); what it allows is done as if the owner did it. Policies bind this face only. Through the Swift face, an
//! account's admins and those whom the lists of the container let in do what they could do before.
//!
//! Buckets have no names of their own in the whole cluster but are those of an account. Whoever is of another account, or
//! shows no key, names one as `account:bucket`, as with other servers that have tenants: `GET /test:pail/key`.

mod action;
mod condition;
mod document;
mod keys;
mod pattern;

use apus_base::body;
use apus_base::client::ContainerInfo;
use http::header::{CONTENT_TYPE, REFERER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::payload::Payload;
use super::public_access::{self, Block};
use super::setting::Setting;
use super::tagging::Tags;
use super::xml::Xml;
use super::{Answered, Face, document as answer_document, empty, ownership};
use crate::auth::acl::Acl;
use crate::auth::{self, Access, Denied};
use crate::context::{Context, Grant};
use crate::ops::get::{Read, get};
pub(super) use action::{Need, Right, needs};
use document::{Effect, Malformed, Policy, Request};
use keys::Keys;

const POLICY: Setting = Setting("policy");
/// What only an owner does, whatever a policy allows: operations take no lists from anybody else.
const OWNERS_ONLY: [&str; 2] = ["s3:PutBucketAcl", "s3:CreateBucket"];
/// What no policy keeps an owner from, who could not mend it else.
const NEVER_DENIED: [&str; 3] = ["s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"];

/// As it was sent: clients get the same text back.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Text(String);

/// Looks whether all of that may be done. If it is the policy that allows it, gives the request with the right to do it.
///
/// # Errors
/// `AccessDenied`.
pub(super) async fn check(face: &Face<'_>, needs: &[Need]) -> Result<Option<Parts>, Fault> {
    let mut by_policy = false;
    for need in needs {
        by_policy |= judge(face, need).await?;
    }
    Ok(by_policy.then(|| granted(face)))
}

/// The request, with every right in the account: what it does was judged.
fn granted(face: &Face<'_>) -> Parts {
    let mut parts = face.parts.clone();
    if let Some(context) = parts.extensions.get_mut::<Context>() {
        context.grant = Some(Grant::Account(face.account.clone()));
    }
    parts
}

/// Judges one thing. Says whether it is only the policy that allows it.
async fn judge(face: &Face<'_>, need: &Need) -> Result<bool, Fault> {
    let info = face.proxy.client.container_info(&face.account, &need.bucket).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    // What is done to a bucket that is not there says so itself.
    let Some(info) = info.found() else { return Ok(false) };
    let block = Block::of(info);
    let said = match POLICY.of::<Text>(info).map(|text| Policy::parse(&text.0, &need.bucket)) {
        None => None,
        Some(Ok(policy)) => says(face, need, &policy, block).await?,
        // What cannot be read may have denied it.
        Some(Err(_)) => Some(Effect::Deny),
    };
    let right = own_right(face, need, info, block).await?;
    match (said, right) {
        (Some(Effect::Deny), Some(true)) if NEVER_DENIED.contains(&need.action) => Ok(false),
        (Some(Effect::Deny), _) => Err(Fault::new(Code::AccessDenied)),
        (_, Some(_)) => Ok(false),
        (Some(Effect::Allow), None) if !OWNERS_ONLY.contains(&need.action) => Ok(true),
        _ => Err(Fault::new(Code::AccessDenied)),
    }
}

/// What the policy says.
async fn says(face: &Face<'_>, need: &Need, policy: &Policy, block: Block) -> Result<Option<Effect>, Fault> {
    let tags = match &need.key {
        Some(key) if policy.asks_for_tags() => tags(face, &need.bucket, key).await?,
        _ => Tags::default(),
    };
    let (user, resource) = (Some(face.user.as_str()).filter(|user| !user.is_empty()), need.resource());
    let asks = Keys { face, tags };
    let said = policy.says(&Request { user, action: need.action, resource: &resource, asks: &asks });
    let is_of_account = user.and_then(|user| user.split_once(':')).is_some_and(|(name, _)| face.is_account(name));
    let is_restricted = block.restrict_public_buckets && policy.is_public() && !is_of_account;
    Ok(said.filter(|effect| !(is_restricted && *effect == Effect::Allow)))
}

/// The tags of an object; none if it is not there.
async fn tags(face: &Face<'_>, bucket: &str, key: &str) -> Result<Tags, Fault> {
    let parts = granted(face);
    let granted = face.on(&parts);
    let read = Read {
        version: face.version()?,
        ..Read::asked(face.name(bucket, key), Method::HEAD, &HeaderMap::new(), false)
    };
    let request = granted.request(Method::HEAD, HeaderMap::new());
    match get(granted.call(&request), read).await {
        Ok(response) => Ok(Tags::of_object(response.headers())),
        Err(error) if error.is_not_found() => Ok(Tags::default()),
        // A condition that cannot be judged must not pass.
        Err(error) => match face.fault(error) {
            fault if fault.status().is_server_error() => Err(fault),
            _ => Ok(Tags::default()),
        },
    }
}

/// Whether one may do it without a policy, and if so, whether as an owner.
async fn own_right(face: &Face<'_>, need: &Need, info: &ContainerInfo, block: Block) -> Result<Option<bool>, Fault> {
    let method = need.right.method();
    let object = need.key.as_deref().filter(|_| need.right != Right::Own);
    let access = Access { method: &method, account: &face.account, container: Some(&need.bucket), object };
    match auth::authorize(face.proxy, face.parts, access).await {
        Ok(granted) if granted.owner => Ok(Some(true)),
        Ok(_) => Ok(match named(face, need.right, info) {
            // Lists that nobody looks at any more give no rights.
            Named::Alone | Named::WithEverybody if ownership::is_enforced(info) => None,
            Named::WithEverybody if block.ignore_public_acls => None,
            Named::Alone | Named::WithEverybody | Named::Nowhere => Some(false),
        }),
        Err(Denied::Unauthorized | Denied::Forbidden) => Ok(None),
        Err(denied @ Denied::Unavailable(_)) => Err(face.fault(denied.into())),
    }
}

/// Where a list of the bucket names whoever asks.
enum Named {
    /// By their own name or one of their groups'.
    Alone,
    /// Because it lets in whoever comes from anywhere.
    WithEverybody,
    /// Nowhere: it is the whole account that lets them in.
    Nowhere,
}

fn named(face: &Face<'_>, right: Right, info: &ContainerInfo) -> Named {
    let context = face.parts.extensions.get::<Context>();
    let groups = context.and_then(|context| context.identity.as_ref()).map(|identity| identity.groups.as_slice());
    let list = if right == Right::Read { &info.read_acl } else { &info.write_acl };
    let list: Acl = list.as_deref().map(auth::acl::parse).unwrap_or_default();
    if list.names(groups.unwrap_or_default()) {
        Named::Alone
    } else if list.allows_referrer(Some(header(&face.parts.headers, REFERER.as_str()))) {
        Named::WithEverybody
    } else {
        Named::Nowhere
    }
}

/// `?policy`
pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("BUCKETPOLICY"));
    }
    match face.parts.method {
        Method::GET => {
            let mut response = empty(StatusCode::OK);
            *response.body_mut() = body::full(text(face).await?);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            Ok(response)
        }
        Method::PUT => put(face, payload).await,
        Method::DELETE => {
            face.set::<Text>(POLICY, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("BUCKETPOLICY")),
    }
}

async fn text(face: &Face<'_>) -> Result<String, Fault> {
    let text: Option<Text> = face.setting(POLICY).await?;
    text.map(|text| text.0).ok_or_else(|| Fault::new(Code::NoSuchBucketPolicy).with("BucketName", face.bucket()))
}

async fn put(face: &Face<'_>, payload: Payload) -> Answered {
    let too_long = |fault: Fault| match fault.code {
        Code::MalformedXml => Fault::saying(Code::MalformedPolicy, "Policies may not be longer than 20480 bytes"),
        _ => fault,
    };
    let text = face.xml(payload, document::MAX_BYTES).await.map_err(too_long)?.unwrap_or_default();
    let text = String::from_utf8(text.to_vec()).map_err(|_| Malformed("Policies must be UTF-8".into()))?;
    let policy = Policy::parse(&text, face.bucket())?;
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    let block = info.found().map(|info| Block::of(info)).unwrap_or_default();
    if block.block_public_policy && policy.is_public() {
        return Err(public_access::denied("public policies are prevented by the BlockPublicPolicy setting"));
    }
    face.set(POLICY, Some(&Text(text))).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

impl From<Malformed> for Fault {
    fn from(reason: Malformed) -> Self {
        Self::saying(Code::MalformedPolicy, reason.0)
    }
}

/// `?policyStatus`
pub(super) async fn status(face: &Face<'_>) -> Answered {
    if face.parts.method != Method::GET || face.asked.key.is_some() {
        return Err(face.no_method("POLICY_STATUS"));
    }
    let is_public = Policy::parse(&text(face).await?, face.bucket())?.is_public();
    let mut xml = Xml::new("PolicyStatus");
    xml.text("IsPublic", if is_public { "true" } else { "false" });
    Ok(answer_document(xml))
}
