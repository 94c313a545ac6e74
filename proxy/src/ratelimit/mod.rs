//! How often an account and a container may be written to, and a container be listed, in a second.
//!
//! Who is too fast waits; who would wait too long is refused. What was asked of this process is counted in it, so a cluster
//! of several proxies allows as many times more.

mod pace;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use apus_base::clock;

use crate::Proxy;
use crate::ops::resource::Resource;
use pace::{Pace, Rates};

/// Accounts and containers that are counted at once; of more, those that rested longest start anew.
const MAX_COUNTED: u64 = 100_000;
/// How long somebody waits for being told that they are blacklisted.
const BLACKLIST_WAIT: Duration = Duration::from_secs(1);
/// The account's system metadata that goes before all else: `WHITELIST`, `BLACKLIST`, or writes in a second.
const SYSMETA_KEY: &str = "global-write-ratelimit";

/// The `[proxy.ratelimit]` table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Containers that may be made or deleted in an account, in a second; 0 sets no limit.
    pub account_ratelimit: f64,
    /// Who would have to wait this long or longer, in seconds, is refused.
    pub max_sleep_time_seconds: f64,
    /// Waits longer than this, in seconds, are logged; 0 logs none.
    pub log_sleep_time_seconds: f64,
    /// As many seconds' worth of requests may be made at once after a rest.
    pub rate_buffer_seconds: u32,
    /// Accounts without limits.
    pub account_whitelist: Vec<String>,
    /// Accounts that get no answer but a refusal.
    pub account_blacklist: Vec<String>,
    /// Writes of objects in a second, by the number of objects that the container has: `[[100, 50.0], [1000, 5.0]]`. In
    /// between it is in between; smaller containers have no limit.
    pub container_ratelimits: Vec<(u64, f64)>,
    /// The same for listings of a container.
    pub container_listing_ratelimits: Vec<(u64, f64)>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            account_ratelimit: 0.0,
            max_sleep_time_seconds: 60.0,
            log_sleep_time_seconds: 0.0,
            rate_buffer_seconds: 5,
            account_whitelist: Vec::new(),
            account_blacklist: Vec::new(),
            container_ratelimits: Vec::new(),
            container_listing_ratelimits: Vec::new(),
        }
    }
}

/// Why somebody is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limited {
    /// 497.
    #[error("Your account has been blacklisted")]
    Blacklisted,
    /// 498.
    #[error("Slow down")]
    TooFast,
}

/// A configuration that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rates of ratelimit are numbers of requests in a second, more than 0")]
pub struct InvalidRate;

/// Who asked how often.
pub struct Ratelimit {
    writes: Rates,
    listings: Rates,
    counted: Cache<String, Arc<Mutex<Pace>>>,
}

/// What is counted, and how often it may be, in a second.
type Limit = (String, f64);

impl Ratelimit {
    /// From a configuration.
    ///
    /// # Errors
    /// When a rate is none.
    pub fn new(config: &Config) -> Result<Self, InvalidRate> {
        let is_time = |secs: f64| secs.is_finite() && secs >= 0.0;
        if ![config.account_ratelimit, config.max_sleep_time_seconds].into_iter().all(is_time) {
            return Err(InvalidRate);
        }
        let writes = Rates::new(&config.container_ratelimits).ok_or(InvalidRate)?;
        let listings = Rates::new(&config.container_listing_ratelimits).ok_or(InvalidRate)?;
        Ok(Self { writes, listings, counted: Cache::new(MAX_COUNTED) })
    }

    /// How long to wait before going on; `None` if that is too long.
    fn wait(&self, config: &Config, limit: &Limit) -> Option<Duration> {
        let pace = self.counted.get_with(limit.0.clone(), Arc::default);
        let mut pace = pace.lock().unwrap_or_else(PoisonError::into_inner);
        let buffer = Duration::from_secs(config.rate_buffer_seconds.into());
        let longest = Duration::try_from_secs_f64(config.max_sleep_time_seconds).unwrap_or(Duration::MAX);
        pace.take(clock::now().ticks(), limit.1, buffer, longest)
    }
}

/// Waits as long as somebody has to before they may do that.
///
/// # Errors
/// When they may not, or would have to wait too long.
pub async fn pass(proxy: &Proxy, method: &Method, resource: &Resource) -> Result<(), Limited> {
    let (config, account) = (&proxy.config.ratelimit, resource.account());
    // If nobody knows the account, nothing will be stored in it either.
    let info = proxy.client.account_info(account).await.ok();
    let own = info.as_ref().and_then(|info| info.found()?.sysmeta.get(SYSMETA_KEY)).map(String::as_str);
    let is_listed = |list: &[String], word| own == Some(word) || list.iter().any(|listed| listed == account);
    if is_listed(&config.account_whitelist, "WHITELIST") {
        return Ok(());
    }
    if is_listed(&config.account_blacklist, "BLACKLIST") {
        tracing::warn!(account, "refused, because the account is blacklisted");
        tokio::time::sleep(BLACKLIST_WAIT).await;
        return Err(Limited::Blacklisted);
    }
    for limit in limits(proxy, method, resource, own).await {
        let wait = proxy.ratelimit.wait(config, &limit).ok_or_else(|| too_fast(&limit))?;
        if config.log_sleep_time_seconds > 0.0 && wait.as_secs_f64() > config.log_sleep_time_seconds {
            tracing::warn!(limit = limit.0, ?wait, "a request waits for its turn");
        }
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
    Ok(())
}

fn too_fast(limit: &Limit) -> Limited {
    tracing::warn!(limit = limit.0, rate = limit.1, "refused, because it would have to wait too long");
    Limited::TooFast
}

/// The limits on that, in the order in which they are waited for. Copies are not limited by their source.
async fn limits(proxy: &Proxy, method: &Method, resource: &Resource, own: Option<&str>) -> Vec<Limit> {
    let mut limits = Vec::new();
    let (config, state) = (&proxy.config.ratelimit, &proxy.ratelimit);
    let is_write = matches!(method.as_str(), "PUT" | "DELETE" | "POST" | "COPY");
    match resource {
        Resource::Container(account, _) if matches!(*method, Method::PUT | Method::DELETE) => {
            limits.extend(Some((format!("account/{account}"), config.account_ratelimit)).filter(|limit| limit.1 > 0.0));
        }
        Resource::Container(account, container) if *method == Method::GET => {
            let rate = of_container(proxy, &state.listings, account, container).await;
            limits.extend(rate.map(|rate| (format!("listing/{account}/{container}"), rate)));
        }
        Resource::Object(name) if is_write => {
            let rate = of_container(proxy, &state.writes, &name.account, &name.container).await;
            limits.extend(rate.map(|rate| (format!("container/{}/{}", name.account, name.container), rate)));
        }
        _ => {}
    }
    let own = own.and_then(|own| own.parse::<f64>().ok()).filter(|rate| rate.is_finite() && *rate > 0.0);
    limits.extend(own.filter(|_| is_write).map(|rate| (format!("global/{}", resource.account()), rate)));
    limits
}

async fn of_container(proxy: &Proxy, rates: &Rates, account: &str, container: &str) -> Option<f64> {
    if rates.is_empty() {
        return None;
    }
    let info = proxy.client.container_info(account, container).await.ok()?;
    rates.of(info.found().map_or(0, |info| info.object_count))
}

/// What `/info` says of it.
pub fn info(proxy: &Proxy) -> Option<Value> {
    let (config, state) = (&proxy.config.ratelimit, &proxy.ratelimit);
    Some(json!({
        "account_ratelimit": config.account_ratelimit,
        "max_sleep_time_seconds": config.max_sleep_time_seconds,
        "container_ratelimits": state.writes,
        "container_listing_ratelimits": state.listings,
    }))
}
