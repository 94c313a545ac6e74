//! Account and container info: cached HEADs.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::{AccountInfo, ClusterClient, ContainerInfo, Info, NoAnswer, Target};
use crate::body::Body;

impl ClusterClient {
    /// What the cluster knows about an account, from the cache or by a HEAD.
    ///
    /// # Errors
    /// When it is not cached and the account servers do not answer.
    pub async fn account_info(&self, account: &str) -> Result<Info<AccountInfo>, NoAnswer> {
        let load = async || {
            let response = self.head(&Target::Account { account }).await?;
            let policies = &self.inner.cluster.policies;
            found(&response, |headers| AccountInfo::from_headers(headers, policies))
        };
        self.inner.accounts.get(account.to_owned(), load).await
    }

    /// What the cluster knows about a container, from the cache or by a HEAD. A container of a deleted account is missing.
    ///
    /// # Errors
    /// When it is not cached and the container servers do not answer.
    pub async fn container_info(&self, account: &str, container: &str) -> Result<Info<ContainerInfo>, NoAnswer> {
        // Account servers that do not answer are no reason to refuse what the container servers know.
        if matches!(self.account_info(account).await, Ok(Info::Deleted)) {
            return Ok(Info::Missing);
        }
        let load = async || {
            let response = self.head(&Target::Container { account, container }).await?;
            found(&response, ContainerInfo::from_headers)
        };
        self.inner.containers.get(container_key(account, container), load).await
    }

    /// Forgets an account's info; to be called after each write to the account itself.
    pub async fn forget_account(&self, account: &str) {
        self.inner.accounts.forget(account).await;
    }

    /// Forgets a container's info; to be called after each write to the container itself (not to its objects).
    pub async fn forget_container(&self, account: &str, container: &str) {
        self.inner.containers.forget(&container_key(account, container)).await;
    }

    async fn head(&self, target: &Target<'_>) -> Result<Response<Body>, NoAnswer> {
        let mut headers = HeaderMap::new();
        // The names that faces hide from clients have info too.
        headers.insert("x-backend-allow-reserved-names", HeaderValue::from_static("true"));
        self.read(Method::HEAD, target, None, &headers, false).await
    }
}

/// An account's name holds no slash, so this is unambiguous.
fn container_key(account: &str, container: &str) -> String {
    [account, "/", container].concat()
}

fn found<T>(response: &Response<Body>, read: impl FnOnce(&HeaderMap) -> T) -> Result<Info<T>, NoAnswer> {
    let says_deleted = |status: &HeaderValue| status.as_bytes().eq_ignore_ascii_case(b"deleted");
    match response.status() {
        status if status.is_success() => Ok(Info::Found(read(response.headers()).into())),
        StatusCode::GONE => Ok(Info::Deleted),
        StatusCode::NOT_FOUND if response.headers().get("x-account-status").is_some_and(says_deleted) => {
            Ok(Info::Deleted)
        }
        StatusCode::NOT_FOUND => Ok(Info::Missing),
        status => Err(NoAnswer { statuses: vec![status.as_u16()] }),
    }
}
