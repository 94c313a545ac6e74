//! Requests that stand for many operations, and how they are answered: with 200 at once, whitespace while the work goes
//! on, so that nobody takes the silence for a failure, and at the end a report of what became of it.

pub mod delete;
mod extract;
pub mod heartbeat;
pub mod report;

use apus_base::body::Body;
use http::header::ACCEPT;
use http::{HeaderMap, Method, Response, StatusCode};
use serde_json::{Value, json};

use super::listing::parameters;
use super::refusal::Refusal;
use super::response::text_html;
use crate::Proxy;
use crate::error::Error;
use crate::middleware::accept::{self, Format};
use crate::ops::Call;
use crate::ops::bulk::expand::Compression;
use crate::ops::resource::Resource;

/// Why a bulk request ended before all was done: the status and the sentence of its report.
#[derive(Debug)]
pub struct Ended {
    status: StatusCode,
    text: String,
}

impl Ended {
    /// With a sentence for the client.
    pub fn with(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::with(Refusal::from(error).status(), "")
    }
}

/// What a bulk request asks for.
pub enum Bulk {
    /// To delete the names in its body.
    Delete,
    /// To store the files of the archive in its body; `None` for an archive that nobody can read.
    Extract(Option<Compression>),
}

impl Bulk {
    /// Reads a method and a query; `None` if it is no bulk request.
    pub fn asked(method: &Method, query: Option<&str>) -> Option<Self> {
        let query = query?;
        let find = |wanted: &str| parameters(query).find(|(name, _)| name == wanted).map(|(_, value)| value);
        match *method {
            Method::PUT => find("extract-archive").map(|format| Self::Extract(archive_format(&format))),
            Method::POST | Method::DELETE => find("bulk-delete").map(|_| Self::Delete),
            _ => None,
        }
    }

    /// Does it.
    pub(super) async fn answer(self, call: Call<'_>, resource: &Resource, body: Body) -> Response<Body> {
        match self {
            Self::Delete => delete::answer(call, resource.account(), body).await,
            Self::Extract(Some(compression)) => extract::answer(call, resource, compression, body).await,
            Self::Extract(None) => text_html(StatusCode::BAD_REQUEST, "Unsupported archive format"),
        }
    }
}

fn archive_format(format: &[u8]) -> Option<Compression> {
    let format = String::from_utf8_lossy(format).to_lowercase();
    match format.trim_matches('.') {
        "tar" => Some(Compression::None),
        "tar.gz" => Some(Compression::Gzip),
        "tar.bz2" => Some(Compression::Bzip2),
        _ => None,
    }
}

/// In which format the client wants its report; `None` if in none that there is.
pub fn accepted(headers: &HeaderMap) -> Option<Format> {
    let accept = headers.get(ACCEPT).map(|accept| String::from_utf8_lossy(accept.as_bytes()));
    accept::best(accept.as_deref().unwrap_or_default()).ok()
}

/// What `/info` says of archives.
pub fn upload_info(proxy: &Proxy) -> Option<Value> {
    let config = &proxy.config.bulk;
    Some(json!({
        "max_containers_per_extraction": config.max_containers_per_extraction,
        "max_failed_extractions": config.max_failed_extractions,
    }))
}

/// What `/info` says of deletes.
pub fn delete_info(proxy: &Proxy) -> Option<Value> {
    let config = &proxy.config.bulk;
    Some(json!({
        "max_deletes_per_request": config.max_deletes_per_request,
        "max_failed_deletes": config.max_failed_deletes,
    }))
}
