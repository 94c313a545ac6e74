//! Reading objects.

use apus_base::body::Body;
use apus_base::client::Target;
use http::header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE};
use http::{HeaderName, Method, Response, StatusCode};

use super::Call;
use super::headers::pick;
use super::resource::{ObjectName, Resource};
use crate::error::Error;

/// By which a request chooses whether and which part of an object it gets; the object servers judge them.
const CONDITIONS: [HeaderName; 5] = [RANGE, IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE];

/// Reads an object (GET) or its metadata (HEAD), under the conditions and for the ranges in the request's headers.
///
/// A container that is not known does not stop a read: where its object is, there is an answer. `newest` asks all
/// replicas for the newest version. Of the refusals, 304, 412 and 416 come as responses, because they say something about
/// the object.
///
/// # Errors
/// When the caller may not, there is no such object, or no server answers.
pub async fn get(call: Call<'_>, name: &ObjectName, method: Method, newest: bool) -> Result<Response<Body>, Error> {
    call.authorize(&method, &Resource::Object(name.clone())).await?;
    let client = &call.proxy.client;
    let info = client.container_info(&name.account, &name.container).await?;
    let policy = info.found().map_or_else(|| client.cluster().policies.default_index(), |info| info.policy);
    let mut headers = call.backend_headers();
    headers.extend(pick(&call.parts.headers, |header| CONDITIONS.contains(header)));
    let response = client.read(method, &Target::Object(name.target(policy)), None, &headers, newest).await?;
    match response.status() {
        StatusCode::NOT_MODIFIED | StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => Ok(response),
        StatusCode::NOT_FOUND => Err(Error::NotFound),
        status if status.is_success() => Ok(response),
        status => Err(Error::Refused(status, String::new())),
    }
}
