//! The reaper: empties accounts that were deleted.
//!
//! Each account server's process asks its own devices which deleted accounts still have containers. Of each such account
//! it does the share of containers that its device's place among the replicas stands for, so that all replicas share
//! the work and none does it twice. Of a container all objects are deleted first, then the container; that tells the account
//! servers, whose row goes too. What cannot be deleted now is still listed at the next pass: nothing has to be remembered.
//!
//! When the account can be made again is not decided here: its users get 410 until its mark of deletion is reclaimed.

mod config;

use std::time::Instant;

use apus_base::body;
use apus_base::client::pool::{Pool, Timeouts};
use apus_base::client::rows::Destination;
use apus_base::client::{ClusterClient, ObjectPath, Target};
use apus_base::clock::{self, Clock};
use apus_base::crash;
use apus_base::here::Here;
use apus_base::metrics::Metrics;
use apus_base::pass::{self, Filter, Pass, Progress};
use apus_base::recon::ReconCache;
use apus_base::wire::{DeletedAccount, DeletedAccounts, backend_path, header, update_path};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use md5::{Digest as _, Md5};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use config::Config;

use crate::listing::{self, ListingError, PAGE};
use crate::update::seconds;

/// The longest answer of an account server: a thousand names, each as long as it may be.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// Containers reaped at once; each has the configured number of objects in work.
const CONTAINERS: usize = 4;

/// An object of a deleted account is gone, and its container is not.
pub(crate) const OBJECT_DELETED: &str = "reap.object_deleted";
/// A container of a deleted account is gone.
pub(crate) const CONTAINER_DELETED: &str = "reap.container_deleted";

/// Empties deleted accounts.
pub struct Reaper {
    config: Config,
    /// The account server of this process.
    here: Here,
    client: ClusterClient,
    clock: Clock,
    pool: Pool,
    recon: ReconCache,
    counters: Counters,
}

#[derive(Clone, Default)]
struct Counters {
    objects: Counter,
    containers: Counter,
    failed: Counter,
}

/// A deleted account, and which of its containers are this device's share.
struct Share<'a> {
    account: &'a str,
    at: &'a Destination,
    partition: u32,
    place: usize,
    replicas: usize,
}

/// Why something of an account is still there.
#[derive(Debug, thiserror::Error)]
enum Remains {
    #[error(transparent)]
    Listing(#[from] ListingError),
    #[error("the account server does not answer: {0}")]
    Server(#[from] apus_base::client::pool::NodeError),
    #[error("the account server's answer broke off: {0}")]
    Body(#[from] body::BodyError),
    #[error("the account server's answer is not understood: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the account server answered {0}")]
    Status(StatusCode),
    #[error("not an address: {0}")]
    Address(#[from] http::Error),
}

impl Reaper {
    /// A reaper beside the account server that is `here`, which tells its counts to `metrics`.
    pub fn new(config: Config, here: Here, client: ClusterClient, recon: ReconCache, metrics: &Metrics) -> Self {
        let counters = Counters::default();
        metrics.register("objects_reaped", "Objects of deleted accounts that were deleted", counters.objects.clone());
        let containers = "Containers of deleted accounts that were deleted";
        metrics.register("containers_reaped", containers, counters.containers.clone());
        let failed = "Things of deleted accounts that could not be deleted";
        metrics.register("reaping_failed", failed, counters.failed.clone());
        let timeouts = Timeouts { connect: client.config().conn_timeout, response: client.config().node_timeout };
        let pool = Pool::new(timeouts, client.cluster());
        Self { config, here, client, clock: Clock::default(), pool, recon, counters }
    }

    /// Runs for ever.
    pub async fn run(&self, stop: &CancellationToken) {
        if !self.config.interval.is_zero() {
            pass::forever(self, self.config.interval, None, stop).await;
        }
    }

    async fn device(&self, at: &Destination, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let mut marker = Some(String::new());
        while let Some(after) = marker.take()
            && !stop.is_cancelled()
        {
            let found: Result<DeletedAccounts, Remains> =
                self.ask(at, &format!("{}?marker={after}", update_path(&at.device))).await;
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(device = at.device, %error, "the deleted accounts of a device are not known");
                    progress.fail();
                    return;
                }
            };
            for account in &found.accounts {
                self.account(account, at, filter, progress, stop).await;
            }
            marker = found.marker;
        }
    }

    /// Asks this node's account server.
    async fn ask<T: serde::de::DeserializeOwned>(&self, at: &Destination, path: &str) -> Result<T, Remains> {
        let request = Request::get(format!("http://{}{path}", at.host))
            .header(header::OVERRIDE_DELETED, "true")
            .header(header::ALLOW_RESERVED_NAMES, "true")
            .body(body::empty())?;
        let answer = self.pool.send(request).await?;
        let status = answer.status();
        let json = body::read_to_end(answer.into_body(), MAX_ANSWER_BYTES).await?;
        if status.is_success() { Ok(serde_json::from_slice(&json)?) } else { Err(Remains::Status(status)) }
    }

    async fn account(
        &self,
        deleted: &DeletedAccount,
        at: &Destination,
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) {
        let age = clock::now().secs().saturating_sub(deleted.deleted_at.secs());
        if age < self.config.delay_reaping.as_secs() {
            return;
        }
        let Some(share) = self.share(&deleted.account, at).filter(|share| filter.partition(share.partition)) else {
            return;
        };
        tracing::info!(account = deleted.account, containers = deleted.containers, "a deleted account is being reaped");
        let before = progress.report().failures();
        if let Err(error) = self.reap(&share, filter, progress, stop).await {
            tracing::warn!(account = deleted.account, %error, "a deleted account is not reaped to its end");
            progress.fail();
        }
        let remains = progress.report().failures() > before;
        if remains && age >= (self.config.reap_warn_after + self.config.delay_reaping).as_secs() {
            let since = deleted.deleted_at.isoformat();
            tracing::warn!("Account {} has not been reaped since {since}", deleted.account);
        }
    }

    /// Which containers of an account a device has to do; none if the account does not belong there.
    fn share<'a>(&self, account: &'a str, at: &'a Destination) -> Option<Share<'a>> {
        let rings = self.client.rings();
        let partition = rings.account.partition(&self.client.cluster().hash_path.account(account).0);
        let primaries: Vec<_> = rings.account.primaries(partition).map(Destination::of).collect();
        let place = primaries.iter().position(|primary| primary == at)?;
        Some(Share { account, at, partition, place, replicas: primaries.len() })
    }

    async fn reap(
        &self,
        share: &Share<'_>,
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<(), Remains> {
        let path = backend_path(&share.at.device, share.partition, &[share.account]);
        let mut marker = String::new();
        while !stop.is_cancelled() {
            let query = listing::query(&marker, PAGE);
            let rows: Vec<listing::Entry> = self.ask(share.at, &format!("{path}?{query}")).await?;
            let Some(last) = rows.last() else { break };
            marker.clone_from(&last.name);
            let mine = rows.into_iter().map(|row| row.name).filter(|name| share.has(name));
            let reaping = mine.map(|container| self.container(share.account, container, filter, progress, stop));
            futures_util::stream::iter(reaping).buffer_unordered(CONTAINERS).collect::<()>().await;
        }
        Ok(())
    }

    async fn container(
        &self,
        account: &str,
        container: String,
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) {
        progress.expect(1);
        let emptied = self.objects(account, &container, filter, progress, stop).await;
        let gone = match emptied {
            Ok(true) => self.delete_container(account, &container).await,
            Ok(false) => false,
            Err(error) => {
                tracing::warn!(account, container, %error, "a container of a deleted account cannot be listed");
                false
            }
        };
        match gone {
            true => {
                crash::point(CONTAINER_DELETED);
                self.counters.containers.inc();
                progress.count("containers");
            }
            false if stop.is_cancelled() => {}
            false => self.failed(progress),
        }
        progress.step();
    }

    /// Deletes the objects of a container, and says whether all are gone as far as one replica knows.
    async fn objects(
        &self,
        account: &str,
        container: &str,
        filter: &Filter,
        progress: &Progress,
        stop: &CancellationToken,
    ) -> Result<bool, ListingError> {
        let (mut marker, mut all_gone) = (String::new(), true);
        while !stop.is_cancelled() {
            let target = Target::Container { account, container };
            let Some(page) = listing::page(&self.client, &target, &marker).await? else { return Ok(true) };
            let Some(last) = page.rows.last() else { break };
            if !filter.policy(page.policy) {
                return Ok(false);
            }
            marker.clone_from(&last.name);
            let policy = page.policy;
            let rows = page.rows.into_iter().take_while(|_| !stop.is_cancelled());
            let deleting = rows.map(|row| async move {
                let deleted = self.delete_object(ObjectPath { policy, account, container, object: &row.name }).await;
                match deleted {
                    true => {
                        self.counters.objects.inc();
                        progress.count("objects");
                    }
                    false => self.failed(progress),
                }
                deleted
            });
            let deleting = futures_util::stream::iter(deleting).buffer_unordered(self.config.concurrency.max(1));
            all_gone = deleting.fold(all_gone, |all, deleted| async move { all & deleted }).await;
        }
        Ok(all_gone && !stop.is_cancelled())
    }

    async fn delete_object(&self, path: ObjectPath<'_>) -> bool {
        let deleted = self.client.write(Method::DELETE, &Target::Object(path), &self.headers()).await;
        crash::point(OBJECT_DELETED);
        match deleted.map(|outcome| outcome.best.status) {
            Ok(status) if status.is_success() || status == StatusCode::NOT_FOUND => true,
            Ok(status) => {
                tracing::warn!(?path, %status, "an object of a deleted account is not deleted");
                false
            }
            Err(error) => {
                tracing::warn!(?path, %error, "an object of a deleted account is not deleted");
                false
            }
        }
    }

    /// Deletes an empty container and tells the account's servers, although the account is deleted.
    async fn delete_container(&self, account: &str, container: &str) -> bool {
        let mut headers = self.headers();
        headers.insert(header::ACCOUNT_OVERRIDE_DELETED, HeaderValue::from_static("yes"));
        let deleted = self.client.write(Method::DELETE, &Target::Container { account, container }, &headers).await;
        self.client.forget_container(account, container).await;
        match deleted.map(|outcome| outcome.best.status) {
            Ok(status) if status.is_success() || status == StatusCode::NOT_FOUND => true,
            Ok(status) => {
                tracing::warn!(account, container, %status, "a container of a deleted account is not deleted");
                false
            }
            Err(error) => {
                tracing::warn!(account, container, %error, "a container of a deleted account is not deleted");
                false
            }
        }
    }

    fn headers(&self) -> HeaderMap {
        let now = HeaderValue::try_from(self.clock.next().internal());
        now.into_iter().map(|now| (HeaderName::from_static(header::TIMESTAMP), now)).collect()
    }

    fn failed(&self, progress: &Progress) {
        progress.fail();
        self.counters.failed.inc();
    }
}

impl Share<'_> {
    /// As in Swift: the MD5 of the container's name, as a number.
    fn has(&self, container: &str) -> bool {
        let number = u128::from_be_bytes(Md5::digest(container).into());
        number % (self.replicas as u128) == self.place as u128
    }
}

impl Pass for Reaper {
    const NAME: &'static str = "reap";

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let started = Instant::now();
        let rings = self.client.rings();
        let own = rings.account.devices().iter().flatten().filter(|device| self.here.has(device));
        let devices = own.map(Destination::of);
        for device in devices.filter(|device| filter.device(&device.device)) {
            self.device(&device, filter, progress, stop).await;
        }
        if filter.is_everything() && !stop.is_cancelled() {
            let counts = progress.report().counts;
            let count = |what: &str| counts.get(what).copied().unwrap_or_default();
            let entries = [
                ("account_reaper_pass", json!(started.elapsed().as_secs_f64())),
                ("account_reaper_last", json!(seconds(clock::now()))),
                ("containers_reaped_last_pass", json!(count("containers"))),
                ("objects_reaped_last_pass", json!(count("objects"))),
            ];
            self.recon.merge("account", entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        }
    }
}
