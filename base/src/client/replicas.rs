//! One replica at a time: for passes that compare or mend what each device has.

use http::{HeaderMap, Method, Response, Uri};

use super::nodes::{Node, authority};
use super::route::{Route, with_policy};
use super::{ClusterClient, Target, updates};
use crate::body::{self, Body};
use crate::ring::Device;
use crate::wire::update_path;

impl ClusterClient {
    /// How many replicas a thing has: the primaries of its partition. 0 when its policy has no ring here.
    pub fn replica_count(&self, target: &Target<'_>) -> usize {
        Route::new(&self.inner, Method::HEAD, target).map_or(0, |route| route.replicas())
    }

    /// The devices of a thing's primaries, in the order in which [`ClusterClient::ask_replica`] counts them.
    pub fn replica_devices(&self, target: &Target<'_>) -> Vec<Device> {
        Route::new(&self.inner, Method::HEAD, target)
            .map_or(Vec::new(), |route| route.ring.primaries(route.partition).cloned().collect())
    }

    /// Asks one primary, and nobody in its place; `None` if it gives no answer. With what it has to tell the listing's
    /// servers if it changes anything.
    pub async fn ask_replica(
        &self,
        replica: usize,
        method: Method,
        target: &Target<'_>,
        query: Option<&str>,
        headers: &HeaderMap,
    ) -> Option<Response<Body>> {
        let route = Route::new(&self.inner, method, target).ok()?.with_query(query);
        let device = route.ring.primaries(route.partition).nth(replica)?;
        let headers = with_policy(headers, target);
        let (rings, salt) = (self.rings(), &self.inner.cluster.hash_path);
        let each = updates::for_each_replica(&headers, route.replicas(), target, &rings, salt);
        let headers = each.into_iter().nth(replica)?;
        route.ask(&Node::new(device, false), headers, self.inner.config.node_timeout).await
    }

    /// Asks a device of a container server what it has: `GET /<device>`. `None` if it gives no answer.
    pub async fn ask_device(&self, device: &Device, query: &str) -> Option<Response<Body>> {
        self.to_device(Method::GET, device, query).await
    }

    /// Tells a device of a container server that something of it is done: `DELETE /<device>`. `None` if it gives no answer.
    pub async fn tell_device(&self, device: &Device, query: &str) -> Option<Response<Body>> {
        self.to_device(Method::DELETE, device, query).await
    }

    async fn to_device(&self, method: Method, device: &Device, query: &str) -> Option<Response<Body>> {
        let uri = format!("http://{}{}?{query}", authority(&device.ip, device.port), update_path(&device.device));
        let mut request = http::Request::new(body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse::<Uri>().ok()?;
        let answered = self.inner.pool.send(request).await;
        answered.inspect_err(|error| tracing::warn!(device = device.device, %error, "a device gives no answer")).ok()
    }
}
