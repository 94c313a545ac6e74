//! Reading and storing what a bucket is told about itself.

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Face;
use super::code::Code;
use super::fault::Fault;
use crate::ops::container;
pub(super) use crate::ops::setting::Setting;
use crate::ops::setting::TooLong;

impl Face<'_> {
    /// A document of the bucket, for whoever may see the bucket.
    ///
    /// # Errors
    /// When there is no such bucket.
    pub(super) async fn setting<T: DeserializeOwned>(&self, setting: Setting) -> Result<Option<T>, Fault> {
        super::bucket::describe(self).await?;
        let info = self.proxy.client.container_info(&self.account, self.bucket()).await;
        let info = info.map_err(|error| self.fault(error.into()))?;
        Ok(info.found().and_then(|info| setting.of(info)))
    }

    /// Stores a document of the bucket, or takes it away.
    ///
    /// # Errors
    /// When whoever signed may not change the bucket, there is none, or the document is too long.
    pub(super) async fn set<T: Serialize>(&self, setting: Setting, document: Option<&T>) -> Result<(), Fault> {
        let headers = setting.headers(document)?;
        let parts = self.request(Method::POST, headers.clone());
        let done = container::update(self.call(&parts), self.container(), &headers).await;
        done.map_err(|error| self.bucket_fault(error))
    }
}

impl From<TooLong> for Fault {
    fn from(_: TooLong) -> Self {
        Self::saying(Code::InvalidRequest, "The document is too long")
    }
}
