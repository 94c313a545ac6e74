//! Uploads by forms of web pages: `POST /bucket` with `multipart/form-data`, whose policy is signed instead of the request.
//!
//! Fields count that come before the file; what comes behind it is not read. A form without a policy is an anonymous upload,
//! which no bucket allows.

mod policy;

use apus_base::body::{Body, BodyError};
use apus_base::clock;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, ETAG, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt as _;
use percent_encoding::utf8_percent_encode;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Poller, Poll, ready};

use super::asked::{Asked, Query};
use super::auth::{v2, v4};
use super::code::Code;
use super::fault::Fault;
use super::metadata::{self, set};
use super::object::answered;
use super::policy::{self as policy_of_bucket, Need};
use super::xml::Xml;
use super::{Answered, Config, Face, acl, document, empty, encryption, lock, payload};
use crate::Proxy;
use crate::context::Context;
use crate::middleware::formpost::form::{Broken, Form, Part, Reason};
use crate::ops::notification::Made;
use crate::ops::put::{Put, put};
use crate::swift::response::QUOTED;
use policy::Policy;

/// The longest field: a policy with all its conditions.
const MAX_FIELD_BYTES: usize = 20 * 1024;
/// More fields than any form has.
const MAX_FIELDS: usize = 100;
const UNTYPED: HeaderValue = HeaderValue::from_static("binary/octet-stream");

/// The boundary of a request's form, if it is an upload to a bucket.
pub(super) fn boundary(parts: &Parts, config: &Config) -> Option<String> {
    let kind = parts.headers.get(CONTENT_TYPE).filter(|_| parts.method == Method::POST)?.to_str().ok()?;
    let boundary = multer::parse_boundary(kind).ok().filter(|boundary| !boundary.is_empty())?;
    let asked = Asked::of(parts, Query::default(), config).ok()?;
    (asked.bucket.is_some() && asked.key.is_none()).then_some(boundary)
}

/// The fields of a form before its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn add(&mut self, name: &str, value: String) {
        self.0.push((name.to_lowercase(), value));
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Those that are headers of a request which uploads in the ordinary way.
    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.0 {
            if let Ok(name) = HeaderName::try_from(name.as_str()) {
                set(&mut headers, name, value);
            }
        }
        headers
    }
}

/// Answers a form. Tells whose it is to the request's context.
pub(super) async fn answer(proxy: &Proxy, parts: &mut Parts, body: Body, boundary: &str) -> Answered {
    let mut form = Form::new(body, boundary);
    let (fields, file) = read(&mut form).await?;
    let asked = Asked::of(parts, Query::parse(parts.uri.query()), &proxy.config.s3)?;
    let text = fields.get("policy").ok_or(Fault::new(Code::AccessDenied))?;
    let user = {
        let access_key = fields.get("x-amz-credential").and_then(|credential| credential.split('/').next());
        let access_key = access_key.or(fields.get("awsaccesskeyid")).ok_or(Fault::new(Code::AccessDenied))?;
        let unknown = || Fault::new(Code::InvalidAccessKeyId).with("AWSAccessKeyId", access_key);
        proxy.auth.users.get(access_key).ok_or_else(unknown)?
    };
    let value = |name: &str| fields.get(name).unwrap_or_default();
    if fields.get("x-amz-credential").is_some() {
        v4::check_policy(value("x-amz-credential"), value("x-amz-signature"), text, &user.key.0, &proxy.config.s3)?;
    } else {
        v2::check_policy(value("awsaccesskeyid"), value("signature"), text, &user.key.0)?;
    }
    let policy = Policy::parse(text)?;
    let bucket = asked.bucket.clone().unwrap_or_default();
    policy.check(&fields, &bucket, i64::try_from(clock::now().secs()).unwrap_or(i64::MAX))?;
    if let Some(context) = parts.extensions.get_mut::<Context>() {
        context.identity = Some(Arc::clone(&user.identity));
    }
    let account = format!("{}{}", proxy.auth.resellers.first_prefix(), user.account);
    let face = Face { proxy, parts, asked: &asked, account, user: user.identity.user.clone() };
    face.guard().await?;
    store(&face, &fields, file, policy.lengths()).await
}

/// The fields, and the file behind them.
async fn read(form: &mut Form) -> Result<(Fields, Part), Fault> {
    let mut fields = Fields::default();
    while let Some(part) = form.next().await.map_err(malformed)? {
        let name = part.field().name().unwrap_or_default().to_lowercase();
        if name == "file" {
            return Ok((fields, part));
        }
        if fields.0.len() >= MAX_FIELDS {
            return Err(Fault::new(Code::MalformedPostRequest));
        }
        let value = part.text(MAX_FIELD_BYTES + 1).await.map_err(malformed)?;
        if value.len() > MAX_FIELD_BYTES {
            return Err(Fault::new(Code::MalformedPostRequest));
        }
        fields.add(&name, String::from_utf8(value).map_err(|_| Fault::new(Code::MalformedPostRequest))?);
    }
    Err(Fault::saying(Code::InvalidArgument, "POST requires exactly one file upload per request."))
}

fn malformed(broken: Broken) -> Fault {
    match broken {
        Broken::Body(error) => payload::broken(error),
        Broken::TooLarge => Fault::new(Code::EntityTooLarge),
        Broken::Start | Broken::Form(_) => Fault::new(Code::MalformedPostRequest),
    }
}

async fn store(face: &Face<'_>, fields: &Fields, file: Part, (least, most): (u64, u64)) -> Answered {
    let key = fields.get("key").filter(|key| !key.is_empty()).ok_or(Fault::new(Code::UserKeyMustBeSpecified))?;
    let key = key.replace("${filename}", file.field().file_name().unwrap_or_default());
    if key.contains('\0') {
        return Err(Fault::argument("key", "", Code::InvalidArgument.message()));
    }
    acl::check_canned(fields.get("acl"))?;
    let given = fields.headers();
    let mut headers = metadata::stored(&given)?;
    headers.entry(CONTENT_TYPE).or_insert(UNTYPED);
    let sealing = encryption::of_form(face, &given).await?;
    let reason = Reason::default();
    let body = AtLeast { inner: file.into_file(most, reason.clone()), left: least }.boxed_unsync();
    let name = face.name(face.bucket(), key.as_str());
    headers.extend(lock::asked(face, &given).await?);
    let mut needs = vec![Need::put(face.bucket(), &key)];
    needs.extend(Need::of_lock(face.bucket(), &key, &given));
    let granted = policy_of_bucket::check(face, &needs).await?;
    let face = &face.on(granted.as_ref().unwrap_or(face.parts));
    let request = face.request(Method::PUT, headers.clone());
    let seal = sealing.seal.clone();
    let new = Put { seal, made: Made::Post, ..Put::new(name, headers, Ok(None), body) };
    let stored = put(face.call(&request), new).await;
    let stored = stored.map_err(|error| match reason.take() {
        Some(broken) => malformed(broken),
        None => face.bucket_fault(error),
    })?;
    let etag = stored.etag.clone().unwrap_or_default();
    let mut response = shown(face, fields, &key, &etag);
    sealing.show(response.headers_mut());
    response.headers_mut().extend(answered(&stored).headers().iter().filter(|(name, _)| **name == ETAG).map(owned));
    Ok(response)
}

fn owned((name, value): (&HeaderName, &HeaderValue)) -> (HeaderName, HeaderValue) {
    (name.clone(), value.clone())
}

/// The answer that the form asks for.
fn shown(face: &Face<'_>, fields: &Fields, key: &str, etag: &str) -> Response<Body> {
    let place = format!("{}/{}", face.bucket(), utf8_percent_encode(key, QUOTED));
    let redirect =
        fields.get("success_action_redirect").or(fields.get("redirect")).filter(|url| url.starts_with("http"));
    if let Some(url) = redirect {
        let mark = if url.contains('?') { '&' } else { '?' };
        let quoted = |text: &str| utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
        let (bucket, key, etag) = (quoted(face.bucket()), quoted(key), quoted(&format!("\"{etag}\"")));
        let mut response = empty(StatusCode::SEE_OTHER);
        set(response.headers_mut(), LOCATION, &format!("{url}{mark}bucket={bucket}&key={key}&etag={etag}"));
        return response;
    }
    match fields.get("success_action_status") {
        Some("200") => empty(StatusCode::OK),
        Some("201") => {
            let mut xml = Xml::bare("PostResponse");
            xml.text("Location", &format!("/{place}")).text("Bucket", face.bucket()).text("Key", key);
            xml.text("ETag", &format!("\"{etag}\""));
            let mut response = document(xml);
            *response.status_mut() = StatusCode::CREATED;
            response
        }
        _ => empty(StatusCode::NO_CONTENT),
    }
}

/// A file that has to have at least so many bytes.
struct AtLeast {
    inner: Body,
    left: u64,
}

impl http_body::Body for AtLeast {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.left = self.left.saturating_sub(length);
            }
            None if self.left > 0 => {
                return Poll::Ready(Some(Err(payload::failed(Fault::new(Code::EntityTooSmall)))));
            }
            Some(Err(_)) | None => {}
        }
        Poll::Ready(frame)
    }
}
