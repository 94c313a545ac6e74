//! `/v1/account/container`.

use apus_base::body::Body;
use apus_base::policy::PolicyIndex;
use apus_base::wire::header::POLICY_INDEX;
use http::{HeaderValue, Method, Response, StatusCode};

use super::object::shown;
use super::refusal::Refusal;
use super::response::page;
use super::{listing, versions};
use crate::constraints::is_true;
use crate::ops::Call;
use crate::ops::container::{self, ContainerName};
use crate::ops::versions::list;

pub(super) const ALLOWED: &str = "DELETE, GET, HEAD, OPTIONS, POST, PUT";
/// By which clients choose and see a container's policy, by its name.
const POLICY: &str = "x-storage-policy";

pub(super) async fn answer(call: Call<'_>, account: &str, container: &str) -> Result<Response<Body>, Refusal> {
    let name = ContainerName { account, container };
    match call.parts.method.clone() {
        method @ (Method::GET | Method::HEAD) => read(call, name, method).await,
        Method::PUT => Ok(page(create(call, name).await?)),
        Method::POST => {
            container::update(call, name, &call.parts.headers).await?;
            Ok(page(StatusCode::NO_CONTENT))
        }
        Method::DELETE => {
            container::delete(call, name).await?;
            Ok(page(StatusCode::NO_CONTENT))
        }
        _ => Err(Refusal::Method(ALLOWED)),
    }
}

async fn create(call: Call<'_>, name: ContainerName<'_>) -> Result<StatusCode, Refusal> {
    let policy = call.parts.headers.get(POLICY).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let policy = policy.as_deref().filter(|name| !name.is_empty());
    Ok(container::create(call, name, &call.parts.headers, policy).await?)
}

async fn read(call: Call<'_>, name: ContainerName<'_>, method: Method) -> Result<Response<Body>, Refusal> {
    let most = call.proxy.config.constraints.container_listing_limit;
    let newest = is_true(&call.parts.headers, "x-newest");
    let mut response = match versions::listing(call, most)?.filter(|_| method == Method::GET) {
        Some(versions) => list(call, name, &versions, newest).await?,
        None => {
            let listing = listing::parse(call.parts.uri.query(), most)?;
            container::read(call, name, method, &listing, newest).await?
        }
    };
    name_policy(call, &mut response);
    Ok(shown(response))
}

fn name_policy(call: Call<'_>, response: &mut Response<Body>) {
    let index = response.headers().get(POLICY_INDEX).and_then(|index| index.to_str().ok()?.parse().ok());
    let policy = index.and_then(|index| call.proxy.client.cluster().policies.get(PolicyIndex(index)));
    if let Some(Ok(name)) = policy.map(|policy| HeaderValue::from_str(&policy.name)) {
        response.headers_mut().insert(POLICY, name);
    }
}
