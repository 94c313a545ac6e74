//! Buckets as websites: `?website` keeps how, and hosts below `website_domain` show them.
//!
//! A site is at `BUCKET.ACCOUNT.` and the domain: buckets have no name space of their own over accounts here. Whoever asks is nobody,
//! whatever the request is signed with, so the bucket's policy or list has to let everybody read. What is wrong is
//! said in a page, or in the site's own document for errors, as AWS's website endpoints do.

mod rules;

use apus_base::body::{self, Body};
use apus_base::client::ContainerInfo;
use apus_base::serve::Secure;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HOST, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LOCATION, RANGE,
};
use http::request::Parts;
use http::{HeaderName, Method, Response, StatusCode};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::asked::{Asked, Query, below};
use super::auth::header;
use super::code::Code;
use super::config::Config;
use super::fault::Fault;
use super::metadata::{REDIRECT, set};
use super::payload::Payload;
use super::setting::Setting;
use super::xml::Xml;
use super::{Answered, Face, document, empty, parse};
use crate::Proxy;
use crate::swift::response::{HTML, QUOTED};
use quick_xml::escape::escape;
use rules::{Here, ROOT, Redirect, Website};

const WEBSITE: Setting = Setting("website");
/// The longest body: AWS's.
const MAX_BODY_BYTES: usize = 128 * 1024;
/// What is asked of the object that was named, and not of what is shown in its place.
const CONDITIONS: [HeaderName; 5] = [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, RANGE];

/// `?website`
pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("WEBSITE"));
    }
    match face.parts.method {
        Method::GET => {
            let website: Option<Website> = face.setting(WEBSITE).await?;
            let mut xml = Xml::new(ROOT);
            website.ok_or_else(|| no_website(face.bucket()))?.write(&mut xml);
            Ok(document(xml))
        }
        Method::PUT => {
            let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
            face.set(WEBSITE, Some(&Website::read(&parse(&text, ROOT)?)?)).await?;
            Ok(empty(StatusCode::OK))
        }
        Method::DELETE => {
            face.set::<Website>(WEBSITE, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("WEBSITE")),
    }
}

fn no_website(bucket: &str) -> Fault {
    Fault::new(Code::NoSuchWebsiteConfiguration).with("BucketName", bucket)
}

/// The site that a request's host names.
pub(super) struct Site {
    bucket: String,
    account: String,
    host: String,
}

impl Site {
    /// `None` if it is no site's.
    pub(super) fn of(parts: &Parts, config: &Config) -> Option<Self> {
        let host = parts.headers.get(HOST)?.to_str().ok()?;
        let (bucket, account) = below(host, &config.website_domain)?.rsplit_once('.')?;
        let is_named = !bucket.is_empty() && !account.is_empty();
        is_named.then(|| Self { bucket: bucket.to_owned(), account: account.to_owned(), host: host.to_owned() })
    }

    async fn website(&self, proxy: &Proxy) -> Result<Website, Fault> {
        let account = format!("{}{}", proxy.auth.resellers.first_prefix(), self.account);
        let info = proxy.client.container_info(&account, &self.bucket).await;
        let info = info.map_err(|_| Fault::new(Code::ServiceUnavailable))?;
        let info: &ContainerInfo = info.found().ok_or_else(|| Fault::no_such_bucket(&self.bucket))?;
        WEBSITE.of(info).ok_or_else(|| no_website(&self.bucket))
    }

    /// An object, for everybody.
    async fn fetch(&self, proxy: &Proxy, parts: &Parts, key: String) -> Answered {
        let asked = Asked {
            account: Some(self.account.clone()),
            bucket: Some(self.bucket.clone()),
            path: format!("/{key}"),
            key: Some(key),
            in_host: None,
            query: Query::default(),
        };
        let account = format!("{}{}", proxy.auth.resellers.first_prefix(), self.account);
        let face = Face { proxy, parts, asked: &asked, account, user: String::new() };
        face.dispatch(Payload { body: body::empty(), length: Ok(Some(0)), checksum: None }).await
    }
}

/// Shows a site.
pub(super) async fn serve(proxy: &Proxy, parts: &mut Parts, site: &Site, request_id: &str) -> Response<Body> {
    parts.headers.remove(AUTHORIZATION);
    match show(proxy, parts, site).await {
        Ok(response) => response,
        Err(fault) => page(&fault, request_id),
    }
}

async fn show(proxy: &Proxy, parts: &Parts, site: &Site) -> Answered {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Fault::new(Code::MethodNotAllowed).with("Method", parts.method.as_str()));
    }
    let key = percent_decode_str(parts.uri.path().trim_start_matches('/')).decode_utf8();
    let key = key.map_err(|_| Fault::new(Code::InvalidUri).with("Uri", parts.uri.path()))?.into_owned();
    let website = site.website(proxy).await?;
    let here = Here { host: &site.host, is_secure: parts.extensions.get::<Secure>().is_some() };
    if let Some(redirect) = website.redirect(&key, None, &here) {
        return Ok(send(&redirect));
    }
    let Website::Here { index, error, .. } = &website else { return Err(Fault::new(Code::InternalError)) };
    let is_folder = key.is_empty() || key.ends_with('/');
    let wanted = if is_folder { format!("{key}{index}") } else { key.clone() };
    let fault = match site.fetch(proxy, parts, wanted).await {
        Ok(response) => return Ok(redirected(response)),
        Err(fault) => fault,
    };
    if fault.status() == StatusCode::NOT_FOUND && !is_folder {
        let folder = site.fetch(proxy, &bare(parts, Method::HEAD), format!("{key}/{index}")).await;
        if folder.is_ok() {
            let location = format!("/{}/", utf8_percent_encode(&key, QUOTED));
            return Ok(send(&Redirect { status: StatusCode::FOUND, location }));
        }
    }
    if let Some(redirect) = website.redirect(&key, Some(fault.status()), &here) {
        return Ok(send(&redirect));
    }
    let own = error.clone().filter(|_| fault.status().is_client_error());
    let own = match own {
        Some(key) => site.fetch(proxy, &bare(parts, parts.method.clone()), key).await.ok(),
        None => None,
    };
    let mut response = own.ok_or_else(|| fault.clone())?;
    *response.status_mut() = fault.status();
    Ok(response)
}

/// The same request without conditions.
fn bare(parts: &Parts, method: Method) -> Parts {
    let mut bare = parts.clone();
    bare.method = method;
    CONDITIONS.iter().for_each(|name| drop(bare.headers.remove(name)));
    bare
}

fn send(redirect: &Redirect) -> Response<Body> {
    let mut response = empty(redirect.status);
    set(response.headers_mut(), LOCATION, &redirect.location);
    response
}

/// An object may say that it is elsewhere.
fn redirected(response: Response<Body>) -> Response<Body> {
    let location = header(response.headers(), REDIRECT).to_owned();
    if location.is_empty() || !response.status().is_success() {
        return response;
    }
    send(&Redirect { status: StatusCode::MOVED_PERMANENTLY, location })
}

/// What is wrong, for people.
fn page(fault: &Fault, request_id: &str) -> Response<Body> {
    let status = fault.status();
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default());
    let known =
        [("Code", fault.code.name()), ("Message", &fault.message)].map(|(name, value)| (name, value.to_owned()));
    let rows = known.into_iter().chain(fault.details.iter().cloned()).chain([("RequestId", request_id.to_owned())]);
    let rows: String = rows.map(|(name, value)| format!("<li>{name}: {}</li>\n", escape(&value))).collect();
    let text = format!(
        "<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n{rows}</ul>\n</body>\n</html>\n"
    );
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HTML);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(host: &str) -> Option<(String, String)> {
        let config = Config { website_domain: vec!["web.example.com".into()], ..Config::default() };
        let (parts, ()) = http::Request::builder().header(HOST, host).body(()).unwrap().into_parts();
        Site::of(&parts, &config).map(|site| (site.bucket, site.account))
    }

    #[test]
    fn a_host_names_a_bucket_and_its_account() {
        let pail = |bucket: &str| Some((bucket.to_owned(), "test".to_owned()));
        assert_eq!(site("pail.test.web.example.com"), pail("pail"));
        assert_eq!(site("my.pail.test.web.example.com:8080"), pail("my.pail"));
        for other in ["web.example.com", "test.web.example.com", ".test.web.example.com", "pail.test.example.com", ""] {
            assert_eq!(site(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_page_says_what_is_wrong_and_runs_no_script() {
        let response = page(&Fault::no_such_key("<script>"), "tx1");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let text = body::read_to_end(response.into_body(), 4096).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("<li>Key: &lt;script&gt;</li>") && text.contains("<h1>404 Not Found</h1>"), "{text}");
    }
}
