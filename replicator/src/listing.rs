//! Reading listings page by page, as the cluster's own passes need them.

use apus_base::body::{self, BodyError};
use apus_base::client::{ClusterClient, NoAnswer, Target};
use apus_base::clock;
use apus_base::policy::PolicyIndex;
use apus_base::wire::header;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// Rows of one page: some hundred kilobytes.
pub(crate) const PAGE: usize = 1000;
/// The longest page: every name and content type as long as it may be, and escaped.
const MAX_PAGE_BYTES: usize = 32 * 1024 * 1024;

/// One row of a listing; what else is in it nobody here needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) content_type: String,
    #[serde(default)]
    pub(crate) hash: String,
    #[serde(default)]
    pub(crate) last_modified: String,
}

/// Some rows.
#[derive(Debug)]
pub(crate) struct Page {
    /// The policy of a container's objects.
    pub(crate) policy: PolicyIndex,
    pub(crate) rows: Vec<Entry>,
}

/// Why a listing cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListingError {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("a server answered {0}")]
    Refused(StatusCode),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the listing is not understood: {0}")]
    Json(#[from] serde_json::Error),
}

/// The rows after `marker`; none when there is no such account or container.
pub(crate) async fn page(
    client: &ClusterClient,
    target: &Target<'_>,
    marker: &str,
) -> Result<Option<Page>, ListingError> {
    let mut headers = HeaderMap::new();
    headers.insert(header::ALLOW_RESERVED_NAMES, HeaderValue::from_static("true"));
    let answer = client.read(Method::GET, target, Some(&query(marker, PAGE)), &headers, false).await?;
    match answer.status() {
        StatusCode::NOT_FOUND => return Ok(None),
        status if !status.is_success() => return Err(ListingError::Refused(status)),
        _ => {}
    }
    let policy = answer.headers().get(header::POLICY_INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
    let rows = rows(&body::read_to_end(answer.into_body(), MAX_PAGE_BYTES).await?)?;
    Ok(Some(Page { policy: PolicyIndex(policy.unwrap_or_default()), rows }))
}

/// Removes an empty container of the cluster's own.
pub(crate) async fn remove_empty(client: &ClusterClient, account: &str, container: &str) {
    let mut headers = HeaderMap::new();
    // A timestamp is digits and a point.
    headers.extend(
        HeaderValue::try_from(clock::now().internal()).map(|now| (HeaderName::from_static(header::TIMESTAMP), now)),
    );
    match client.write(Method::DELETE, &Target::Container { account, container }, &headers).await {
        // Somebody was quicker, or a row has come meanwhile.
        Ok(outcome) => {
            tracing::debug!(account, container, status = %outcome.best.status, "an empty container of a queue");
        }
        Err(error) => tracing::warn!(account, container, %error, "an empty container of a queue is not removed"),
    }
}

/// Reads a page's bytes. An empty listing may have none.
pub(crate) fn rows(json: &[u8]) -> Result<Vec<Entry>, serde_json::Error> {
    if json.is_empty() { Ok(Vec::new()) } else { serde_json::from_slice(json) }
}

/// The query of a page.
pub(crate) fn query(marker: &str, limit: usize) -> String {
    format!("format=json&limit={limit}&marker={}", utf8_percent_encode(marker, NON_ALPHANUMERIC))
}
