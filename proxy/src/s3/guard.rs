//! What the steps of the pipeline hold requests of Swift to, whose paths they know: names, writes to what is to stay as it is,
//! and how often somebody may ask.

use http::Method;

use super::Face;
use super::code::Code;
use super::fault::Fault;
use crate::error::Error;
use crate::middleware::read_only::is_read_only;
use crate::ops::resource::{ObjectName, Resource};
use crate::ratelimit::pass;

impl Face<'_> {
    /// Lets a request through, perhaps after a while.
    ///
    /// # Errors
    /// When it may not be.
    pub(super) async fn guard(&self) -> Result<(), Fault> {
        let resource = match (&self.asked.bucket, &self.asked.key) {
            (None, _) => Resource::Account(self.account.clone()),
            (Some(bucket), None) => Resource::Container(self.account.clone(), bucket.clone()),
            (Some(bucket), Some(key)) => Resource::Object(self.name(bucket, key.as_str())),
        };
        let path = [Some(self.account.as_str()), self.asked.bucket.as_deref(), self.asked.key.as_deref()];
        let path = path.into_iter().flatten().fold(String::from("/v1"), |path, part| format!("{path}/{part}"));
        if let Some(refusal) = self.proxy.name_check.as_ref().and_then(|check| check.refusal_of(&path)) {
            return Err(Fault::saying(Code::InvalidRequest, refusal));
        }
        let method = &self.parts.method;
        let deletes = *method == Method::DELETE || (*method == Method::POST && self.asked.query.has("delete"));
        let writes = matches!(*method, Method::PUT | Method::POST) && !deletes;
        let guarded = writes || (deletes && !self.proxy.config.read_only.allow_deletes);
        if guarded && is_read_only(self.proxy, &self.account).await {
            return Err(Fault::saying(Code::AccessDenied, "Writes are disabled for this account."));
        }
        self.pace(method, &resource).await
    }

    /// The same for the deletion of one of many objects.
    pub(super) async fn guard_deletion(&self, name: &ObjectName) -> Result<(), Fault> {
        self.pace(&Method::DELETE, &Resource::Object(name.clone())).await
    }

    async fn pace(&self, method: &Method, resource: &Resource) -> Result<(), Fault> {
        pass(self.proxy, method, resource).await.map_err(|limited| self.fault(Error::from(limited)))
    }
}
