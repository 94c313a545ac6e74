//! `/crossdomain.xml`: where scripts of Flash and its like may come from, for clusters that still have such clients.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::body::{self, Body};

use crate::Proxy;
use crate::pipeline::{Answer, Next};

/// The table `[proxy.crossdomain]`; without it there is no such page.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The elements of the policy, as XML.
    pub cross_domain_policy: String,
}

impl Default for Config {
    fn default() -> Self {
        Self { cross_domain_policy: "<allow-access-from domain=\"*\" secure=\"false\" />".into() }
    }
}

/// What `/info` says.
pub(super) fn info(proxy: &Proxy) -> Option<Value> {
    proxy.config.crossdomain.as_ref().map(|_| json!({}))
}

/// The step.
pub fn step<'a>(proxy: &'a Proxy, request: Request<Body>, next: Next<'a>) -> Answer<'a> {
    match &proxy.config.crossdomain {
        Some(config) if request.uri().path() == "/crossdomain.xml" && request.method() == Method::GET => {
            Box::pin(std::future::ready(document(&config.cross_domain_policy)))
        }
        _ => next.run(request),
    }
}

fn document(policy: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\"?>\n\
         <!DOCTYPE cross-domain-policy SYSTEM \"http://www.adobe.com/xml/dtds/cross-domain-policy.dtd\" >\n\
         <cross-domain-policy>\n{policy}\n</cross-domain-policy>"
    );
    let mut response = Response::new(body::full(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    response
}
