//! A user of the cluster: a token, and requests to the proxy with it.

use std::time::Duration;

use apus_base::body;
use apus_base::client::pool::{Pool, Timeouts};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// How long the proxy has to answer.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(5), response: Duration::from_secs(60) };
/// Before the first repetition of a request; each further one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Rows of one page of a listing, the most that Swift gives.
const PAGE: usize = 10_000;
/// The longest page.
const MAX_PAGE_BYTES: usize = 64 * 1024 * 1024;

/// Who asks for a token, and where.
pub(super) struct Credentials {
    pub(super) url: String,
    pub(super) user: String,
    pub(super) key: String,
}

pub(super) struct User {
    pool: Pool,
    storage_url: String,
    token: HeaderValue,
    retries: u32,
}

/// Why the cluster does not do as the user asks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("say who asks: auth_url, auth_user and auth_key in [dispersion], or --auth, --user and --key")]
    Nobody,
    #[error("{0:?} is not a URL that begins with http://")]
    Url(String),
    #[error("{0} did not give {1:?} a token: {2}")]
    Refused(String, String, StatusCode),
    #[error("{0} gives no answer: {1}")]
    Unreachable(String, String),
    #[error("{method} {path} was answered with {status}")]
    Failed { method: Method, path: String, status: StatusCode },
    #[error("a listing of {0} is not understood")]
    Listing(String),
}

#[derive(Deserialize)]
struct Row {
    name: String,
}

impl User {
    pub(super) async fn log_in(credentials: Credentials, retries: u32) -> Result<Self, UserError> {
        let Credentials { url, user, key } = credentials;
        if url.is_empty() || user.is_empty() || key.is_empty() {
            return Err(UserError::Nobody);
        }
        let pool = Pool::outside(TIMEOUTS);
        let wrong = || UserError::Url(url.clone());
        let mut request = Request::get(&url).body(body::empty()).map_err(|_| wrong())?;
        if request.uri().scheme_str() != Some("http") || request.uri().host().is_none() {
            return Err(wrong());
        }
        for (name, value) in [("x-auth-user", &user), ("x-auth-key", &key)] {
            let value = HeaderValue::from_str(value).map_err(|_| UserError::Nobody)?;
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
        let answer =
            pool.send(request).await.map_err(|error| UserError::Unreachable(url.clone(), error.to_string()))?;
        let refused = || UserError::Refused(url.clone(), user.clone(), answer.status());
        let header = |name| answer.headers().get(name).cloned().filter(|_| answer.status().is_success());
        let token = header("x-auth-token").ok_or_else(refused)?;
        let storage_url =
            header("x-storage-url").and_then(|url| Some(url.to_str().ok()?.to_owned())).ok_or_else(refused)?;
        if !storage_url.starts_with("http://") {
            return Err(UserError::Url(storage_url));
        }
        Ok(Self { pool, storage_url, token, retries })
    }

    /// The name of the account.
    pub(super) fn account(&self) -> String {
        self.storage_url.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// PUT, again and again as far as it is allowed; says how often it was repeated.
    pub(super) async fn put(&self, path: &str, headers: &HeaderMap, body: &str) -> Result<u32, UserError> {
        let send = || self.send(Method::PUT, path, headers, body.to_owned());
        Ok(self.tried(send).await?.1)
    }

    /// All names of a listing that begin with `prefix`; none when there is no such thing.
    pub(super) async fn list(&self, path: &str, prefix: &str) -> Result<Vec<String>, UserError> {
        let mut names: Vec<String> = Vec::new();
        let headers = HeaderMap::new();
        loop {
            let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let marker = names.last().map(|name| quoted(name)).unwrap_or_default();
            let query = format!("{path}?format=json&limit={PAGE}&prefix={}&marker={marker}", quoted(prefix));
            let send = || self.send(Method::GET, &query, &headers, String::new());
            let answer = match self.tried(send).await {
                Err(UserError::Failed { status: StatusCode::NOT_FOUND, .. }) => return Ok(names),
                answer => answer?.0,
            };
            let wrong = || UserError::Listing(path.to_owned());
            let page: Bytes = body::read_to_end(answer.into_body(), MAX_PAGE_BYTES).await.map_err(|_| wrong())?;
            let rows: Vec<Row> =
                if page.is_empty() { Vec::new() } else { serde_json::from_slice(&page).map_err(|_| wrong())? };
            if rows.is_empty() {
                return Ok(names);
            }
            names.extend(rows.into_iter().map(|row| row.name));
        }
    }

    async fn tried<F>(&self, send: impl Fn() -> F) -> Result<(Response<body::Body>, u32), UserError>
    where
        F: Future<Output = Result<Response<body::Body>, UserError>>,
    {
        let mut wait = FIRST_WAIT;
        for retries in 0..self.retries {
            match send().await {
                Ok(answer) => return Ok((answer, retries)),
                // It will say the same again.
                Err(error @ UserError::Failed { status, .. }) if status.is_client_error() => return Err(error),
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait *= 2;
        }
        Ok((send().await?, self.retries))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &HeaderMap,
        body: String,
    ) -> Result<Response<body::Body>, UserError> {
        let url = format!("{}/{path}", self.storage_url);
        let request = Request::builder().method(method.clone()).uri(&url).body(body::full(body));
        let mut request = request.map_err(|_| UserError::Url(url.clone()))?;
        *request.headers_mut() = headers.clone();
        request.headers_mut().insert("x-auth-token", self.token.clone());
        let answer = self.pool.send(request).await.map_err(|error| UserError::Unreachable(url, error.to_string()))?;
        let status = answer.status();
        let path = path.split('?').next().unwrap_or_default().to_owned();
        if status.is_success() { Ok(answer) } else { Err(UserError::Failed { method, path, status }) }
    }
}
