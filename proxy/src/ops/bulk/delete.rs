//! Deleting many objects and containers, a few at once.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;

use crate::error::Error;
use crate::ops::container::{self, ContainerName};
use crate::ops::resource::Resource;
use crate::ops::{Call, delete};
use crate::ratelimit::pass;

/// The wait before the first retry; each further one waits so many times longer, as Swift does.
const RETRY_INTERVAL_SECS: f64 = 1.5;
/// However it is configured, one request has no more deletes at once.
const MAX_CONCURRENCY: usize = 1000;

/// Deletes these, in no order, and tells of each to `done`, which may stop it: what has begun then is still ended and told
/// of.
pub async fn delete_all<T: Send>(
    call: Call<'_>,
    doomed: impl Iterator<Item = (T, Resource)>,
    mut done: impl FnMut(T, Result<(), Error>) -> ControlFlow<()>,
) {
    let config = &call.proxy.config.bulk;
    let concurrency = config.delete_concurrency.clamp(1, MAX_CONCURRENCY);
    let mut running = FuturesUnordered::new();
    let mut waiting = doomed.fuse();
    let mut flow = ControlFlow::Continue(());
    loop {
        while flow.is_continue()
            && running.len() < concurrency
            && let Some((what, resource)) = waiting.next()
        {
            running.push(async move { (what, patiently(call, &resource).await) });
        }
        let Some((what, result)) = running.next().await else { return };
        if done(what, result).is_break() {
            flow = ControlFlow::Break(());
        }
    }
}

/// Deletes one, and tries again after a conflict, if so configured.
async fn patiently(call: Call<'_>, resource: &Resource) -> Result<(), Error> {
    let most = call.proxy.config.bulk.delete_container_retry_count;
    for retry in 1..=most {
        match one(call, resource).await {
            Err(Error::Refused(StatusCode::CONFLICT, _)) => {
                let wait = RETRY_INTERVAL_SECS.powi(i32::try_from(retry).unwrap_or(i32::MAX)).min(60.0);
                tokio::time::sleep(Duration::from_secs_f64(wait)).await;
            }
            done => return done,
        }
    }
    one(call, resource).await
}

async fn one(call: Call<'_>, resource: &Resource) -> Result<(), Error> {
    pass(call.proxy, &call.parts.method, resource).await?;
    match resource {
        Resource::Object(name) => delete::delete(call, name).await,
        Resource::Container(account, container) => container::delete(call, ContainerName { account, container }).await,
        // Nobody deletes an account by a name in a list.
        Resource::Account(_) => Err(Error::Refused(StatusCode::METHOD_NOT_ALLOWED, String::new())),
    }
}
