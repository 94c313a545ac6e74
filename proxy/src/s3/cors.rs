//! `?cors`: what scripts of other sites may do with a bucket, by AWS's rules.
//!
//! A browser asks with OPTIONS before it sends what is not harmless, without a signature in a header: the bucket is known
//! by the key in a signed URL, or because it is named `account:bucket`. Other answers get the headers on their way out,
//! refusals too.

use apus_base::body::Body;
use apus_base::client::ContainerInfo;
use http::header::{ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::asked::{Asked, Query};
use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::metadata::set;
use super::payload::Payload;
use super::setting::Setting;
use super::xml::{Node, Xml};
use super::{Answered, Face, document, empty, parse};
use crate::Proxy;
use crate::context::Context;

const CORS: Setting = Setting("cors");
const ROOT: &str = "CORSConfiguration";
/// The longest body: AWS's.
const MAX_BODY_BYTES: usize = 64 * 1024;
const MAX_RULES: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "HEAD", "POST", "DELETE"];
const VARY: &str = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method";

/// What some sites may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    id: Option<String>,
    /// With at most one `*` each.
    origins: Vec<String>,
    methods: Vec<String>,
    /// Headers that they may send, with at most one `*` each.
    headers: Vec<String>,
    /// Headers that they see.
    exposed: Vec<String>,
    /// For so many seconds, a browser need not ask again.
    max_age: Option<u32>,
}

impl Rule {
    fn read(node: &Node) -> Result<Self, Fault> {
        node.only(&["ID", "AllowedOrigin", "AllowedMethod", "AllowedHeader", "ExposeHeader", "MaxAgeSeconds"])?;
        let all = |name: &str| node.all(name).map(|child| child.text.trim().to_owned()).collect::<Vec<_>>();
        let malformed = || Fault::new(Code::MalformedXml);
        let max_age = node.child("MaxAgeSeconds")?.map(|child| child.text.trim().parse().map_err(|_| malformed()));
        let rule = Self {
            id: node.child("ID")?.map(|id| id.text.clone()),
            origins: all("AllowedOrigin"),
            methods: all("AllowedMethod"),
            headers: all("AllowedHeader"),
            exposed: all("ExposeHeader"),
            max_age: max_age.transpose()?,
        };
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<(), Fault> {
        let refuse = |sentence: String| Err(Fault::saying(Code::InvalidRequest, sentence));
        if self.origins.is_empty() || self.methods.is_empty() || self.id.as_ref().is_some_and(|id| id.len() > 255) {
            return Err(Fault::new(Code::MalformedXml));
        }
        if let Some(method) = self.methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
            return refuse(format!("Found unsupported HTTP method in CORS config. Unsupported method is {method}"));
        }
        for (name, patterns) in [("AllowedOrigin", &self.origins), ("AllowedHeader", &self.headers)] {
            if let Some(pattern) = patterns.iter().find(|pattern| pattern.matches('*').count() > 1) {
                return refuse(format!("{name} \"{pattern}\" can not have more than one wildcard."));
            }
        }
        let is_name = |name: &String| HeaderName::try_from(name.as_str()).is_ok();
        match self.exposed.iter().find(|name| !is_name(name)) {
            Some(name) => refuse(format!("ExposeHeader \"{name}\" contains a character that no header has.")),
            None => Ok(()),
        }
    }

    fn write(&self, xml: &mut Xml) {
        xml.open("CORSRule");
        if let Some(id) = &self.id {
            xml.text("ID", id);
        }
        let lists: [(&'static str, &[String]); 4] = [
            ("AllowedMethod", &self.methods),
            ("AllowedOrigin", &self.origins),
            ("AllowedHeader", &self.headers),
            ("ExposeHeader", &self.exposed),
        ];
        for (name, list) in lists {
            for item in list {
                xml.text(name, item);
            }
        }
        if let Some(max_age) = self.max_age {
            xml.text("MaxAgeSeconds", &max_age.to_string());
        }
        xml.close();
    }

    /// Whether it is for that.
    fn allows(&self, origin: &str, method: &str, headers: &[String]) -> bool {
        let header_fits = |header: &String| self.headers.iter().any(|item| fits(&item.to_ascii_lowercase(), header));
        self.origins.iter().any(|item| fits(item, origin))
            && self.methods.iter().any(|item| item == method)
            && headers.iter().all(header_fits)
    }

    /// What an answer to that origin says.
    fn answer(&self, origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| set(&mut headers, HeaderName::from_static(name), value);
        if self.origins.iter().any(|item| item == "*") {
            add("access-control-allow-origin", "*");
        } else {
            add("access-control-allow-origin", origin);
            add("access-control-allow-credentials", "true");
        }
        add("access-control-allow-methods", &self.methods.join(", "));
        if !self.exposed.is_empty() {
            add("access-control-expose-headers", &self.exposed.join(", "));
        }
        if let Some(max_age) = self.max_age {
            add("access-control-max-age", &max_age.to_string());
        }
        add("vary", VARY);
        headers
    }
}

/// Whether a text is a pattern with at most one `*`.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((before, behind)) => {
            text.len() >= before.len() + behind.len() && text.starts_with(before) && text.ends_with(behind)
        }
        None => pattern == text,
    }
}

fn read(document: &Node) -> Result<Vec<Rule>, Fault> {
    document.only(&["CORSRule"])?;
    if document.children.is_empty() || document.children.len() > MAX_RULES {
        return Err(Fault::new(Code::MalformedXml));
    }
    document.children.iter().map(Rule::read).collect()
}

/// `?cors`
pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("CORS"));
    }
    match face.parts.method {
        Method::GET => {
            let rules: Option<Vec<Rule>> = face.setting(CORS).await?;
            let none = || Fault::new(Code::NoSuchCorsConfiguration).with("BucketName", face.bucket());
            let mut xml = Xml::new(ROOT);
            rules.ok_or_else(none)?.iter().for_each(|rule| rule.write(&mut xml));
            Ok(document(xml))
        }
        Method::PUT => {
            let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
            face.set(CORS, Some(&read(&parse(&text, ROOT)?)?)).await?;
            Ok(empty(StatusCode::OK))
        }
        Method::DELETE => {
            face.set::<Vec<Rule>>(CORS, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("CORS")),
    }
}

/// Whether a request is a browser's question.
pub(super) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.headers.contains_key(ORIGIN)
}

/// Answers a browser's question.
pub(super) async fn preflight(proxy: &Proxy, parts: &Parts) -> Answered {
    let refuse = |sentence: &'static str| Fault::saying(Code::AccessForbidden, sentence);
    let (origin, method) =
        (header(&parts.headers, ORIGIN.as_str()), header(&parts.headers, ACCESS_CONTROL_REQUEST_METHOD.as_str()));
    if !METHODS.contains(&method) {
        let shown = if method.is_empty() { "null" } else { method };
        return Err(Fault::saying(Code::BadRequest, format!("Invalid Access-Control-Request-Method: {shown}")));
    }
    let rules = rules(proxy, parts).await;
    let rules = rules.ok_or_else(|| refuse("CORSResponse: CORS is not enabled for this bucket."))?;
    let wanted = header(&parts.headers, ACCESS_CONTROL_REQUEST_HEADERS.as_str()).to_ascii_lowercase();
    let wanted: Vec<String> =
        wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let rule = rules.iter().find(|rule| rule.allows(origin, method, &wanted));
    let rule = rule.ok_or_else(|| {
        refuse(
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request \
             method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted by the \
             resource's CORS spec.",
        )
    })?;
    let mut response = empty(StatusCode::OK);
    response.headers_mut().extend(rule.answer(origin));
    if !wanted.is_empty() {
        set(response.headers_mut(), HeaderName::from_static("access-control-allow-headers"), &wanted.join(", "));
    }
    Ok(response)
}

/// Adds to an answer what a browser needs to show it to a script that may see it.
pub(super) async fn dress(proxy: &Proxy, parts: &Parts, response: &mut Response<Body>) {
    let origin = header(&parts.headers, ORIGIN.as_str());
    if origin.is_empty() || parts.method == Method::OPTIONS {
        return;
    }
    let rules = rules(proxy, parts).await.unwrap_or_default();
    if let Some(rule) = rules.iter().find(|rule| rule.allows(origin, parts.method.as_str(), &[])) {
        response.headers_mut().extend(rule.answer(origin));
    }
}

/// The rules of the bucket that a request is about.
async fn rules(proxy: &Proxy, parts: &Parts) -> Option<Vec<Rule>> {
    let asked = Asked::of(parts, Query::parse(parts.uri.query()), &proxy.config.s3).ok()?;
    let account = asked.account.clone().or_else(|| account(proxy, parts, &asked.query))?;
    let account = format!("{}{account}", proxy.auth.resellers.first_prefix());
    // A bucket that is missing or cannot be asked for allows nobody.
    let info = proxy.client.container_info(&account, asked.bucket.as_deref()?).await.ok()?;
    info.found().and_then(|info: &std::sync::Arc<ContainerInfo>| CORS.of(info))
}

/// The account of whoever is known to ask, or whose key is named in a signed URL. No right comes of it.
fn account(proxy: &Proxy, parts: &Parts, query: &Query) -> Option<String> {
    let identity = parts.extensions.get::<Context>().and_then(|context| context.identity.as_ref());
    let known = identity.and_then(|identity| identity.user.split_once(':')).map(|(account, _)| account.to_owned());
    known.or_else(|| {
        let credential = query.get("X-Amz-Credential").or_else(|| query.get("AWSAccessKeyId"))?;
        let key = credential.split('/').next().unwrap_or_default();
        proxy.auth.users.get(key).map(|user| user.account.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules_of(text: &str) -> Result<Vec<Rule>, Code> {
        let text = format!("<{ROOT}>{text}</{ROOT}>");
        read(&Node::parse(text.as_bytes(), ROOT).unwrap()).map_err(|fault| fault.code)
    }

    #[test]
    fn rules_come_back_as_they_were_set() {
        let text = "<CORSRule><ID>a</ID><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>\
            <AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedHeader>x-amz-*</AllowedHeader>\
            <ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>30</MaxAgeSeconds></CORSRule>";
        let rules = rules_of(text).unwrap();
        let mut xml = Xml::bare(ROOT);
        rules.iter().for_each(|rule| rule.write(&mut xml));
        assert!(xml.end().ends_with(&format!("<{ROOT}>{text}</{ROOT}>")));
        let rule = &rules[0];
        assert!(rule.allows("https://a.example.com", "PUT", &["x-amz-date".into()]));
        for (origin, method, header) in [
            ("https://example.com", "PUT", "x-amz-date"),
            ("https://a.example.com", "DELETE", "x-amz-date"),
            ("https://a.example.com", "PUT", "range"),
        ] {
            assert!(!rule.allows(origin, method, &[header.into()]), "{origin} {method} {header}");
        }
        let headers = rule.answer("https://a.example.com");
        assert_eq!(headers["access-control-allow-origin"], "https://a.example.com");
        assert_eq!(headers["access-control-max-age"], "30");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let rule = |inside: &str| rules_of(&format!("<CORSRule>{inside}</CORSRule>"));
        let (origin, method) = ("<AllowedOrigin>*</AllowedOrigin>", "<AllowedMethod>GET</AllowedMethod>");
        assert!(rule(&format!("{origin}{method}")).is_ok());
        assert_eq!(
            (rules_of(""), rule(origin), rule(method)),
            (Err(Code::MalformedXml), Err(Code::MalformedXml), Err(Code::MalformedXml))
        );
        assert_eq!(rule(&format!("{origin}<AllowedMethod>OPTIONS</AllowedMethod>")), Err(Code::InvalidRequest));
        assert_eq!(rule(&format!("{method}<AllowedOrigin>*.*</AllowedOrigin>")), Err(Code::InvalidRequest));
        assert_eq!(rule(&format!("{origin}{method}<ExposeHeader>a b</ExposeHeader>")), Err(Code::InvalidRequest));
        assert_eq!(rule(&format!("{origin}{method}<MaxAgeSeconds>-1</MaxAgeSeconds>")), Err(Code::MalformedXml));
    }

    proptest! {
        #[test]
        fn a_wildcard_is_any_text(before in "[ab]{0,3}", middle in "[ab]{0,3}", behind in "[ab]{0,3}", text in "[ab]{0,6}") {
            let pattern = format!("{before}*{behind}");
            let whole = format!("{before}{middle}{behind}");
            prop_assert!(fits(&pattern, &whole));
            let oracle = regex::Regex::new(&format!("^{before}.*{behind}$")).unwrap();
            prop_assert_eq!(fits(&pattern, &text), oracle.is_match(&text));
        }
    }
}
