//! How many requests a storage server takes in a second for each of its devices, in all and of each method. What is beyond
//! is answered with 529 at once, before it costs the disk anything, and the cluster's client goes to another node.
//!
//! Names and rules are those of Swift's `backend_ratelimit` middleware: a rate of 0 sets no limit, a device that was idle may
//! catch up as much as `requests_per_device_rate_buffer` seconds allow, and a file with the same names, read anew every
//! `config_reload_interval` seconds, overrides the table without a restart. Swift's own `backend-ratelimit.conf` is such a
//! file, since its numbers read alike in TOML. What is no longer in the file falls back to the table; a file that cannot be
//! understood changes nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Method, Uri};
use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use toml::Table;

use crate::metrics::Metrics;
use crate::seconds;

/// Devices and methods that are remembered; names of devices come from requests, so beyond it all begin anew.
const MAX_PACES: usize = 8192;
/// The table of the file.
const SECTION: &str = "backend_ratelimit";

/// A `backend_ratelimit` table of a storage role. Rates are requests in a second for each device; 0 is no limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimitConfig {
    /// A file whose table `[backend_ratelimit]` overrides the rates of this one.
    pub backend_ratelimit_conf_path: Option<PathBuf>,
    /// How often that is read, in seconds; 0 is only at the start.
    #[serde(with = "seconds")]
    pub config_reload_interval: Duration,
    /// After how many idle seconds a device has caught up as much as it may.
    #[serde(with = "seconds")]
    pub requests_per_device_rate_buffer: Duration,
    /// Of all methods together.
    pub requests_per_device_per_second: f64,
    /// Of GET.
    pub get_requests_per_device_per_second: f64,
    /// Of HEAD.
    pub head_requests_per_device_per_second: f64,
    /// Of PUT.
    pub put_requests_per_device_per_second: f64,
    /// Of POST.
    pub post_requests_per_device_per_second: f64,
    /// Of DELETE.
    pub delete_requests_per_device_per_second: f64,
    /// Of UPDATE, each of which may carry many rows.
    pub update_requests_per_device_per_second: f64,
    /// Of REPLICATE, which only Swift's replicators send.
    pub replicate_requests_per_device_per_second: f64,
}

impl Default for RateLimitConfig {
    fn default() -> Self {
        Self {
            backend_ratelimit_conf_path: None,
            config_reload_interval: Duration::from_secs(60),
            requests_per_device_rate_buffer: Duration::from_secs(1),
            requests_per_device_per_second: 0.0,
            get_requests_per_device_per_second: 0.0,
            head_requests_per_device_per_second: 0.0,
            put_requests_per_device_per_second: 0.0,
            post_requests_per_device_per_second: 0.0,
            delete_requests_per_device_per_second: 0.0,
            update_requests_per_device_per_second: 0.0,
            replicate_requests_per_device_per_second: 0.0,
        }
    }
}

impl RateLimitConfig {
    /// The rates that can be refused by, with the method that each is for; none is for all together.
    fn rates(&self) -> [(Option<&'static str>, f64); 8] {
        [
            (None, self.requests_per_device_per_second),
            (Some("GET"), self.get_requests_per_device_per_second),
            (Some("HEAD"), self.head_requests_per_device_per_second),
            (Some("PUT"), self.put_requests_per_device_per_second),
            (Some("POST"), self.post_requests_per_device_per_second),
            (Some("DELETE"), self.delete_requests_per_device_per_second),
            (Some("UPDATE"), self.update_requests_per_device_per_second),
            (Some("REPLICATE"), self.replicate_requests_per_device_per_second),
        ]
    }

    /// What the file at that path makes of it.
    fn overridden(&self, text: &str) -> Result<Self, String> {
        let mut all = Table::try_from(self).map_err(|error| error.to_string())?;
        let file: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let section = file.get(SECTION).and_then(|section| section.as_table());
        all.extend(section.ok_or("it has no [backend_ratelimit]")?.clone());
        all.try_into().map_err(|error: toml::de::Error| error.to_string()).and_then(Self::checked)
    }

    fn checked(self) -> Result<Self, String> {
        match self.rates().iter().find(|(_, rate)| !rate.is_finite() || *rate < 0.0) {
            Some((_, rate)) => Err(format!("{rate} is no rate")),
            None => Ok(self),
        }
    }
}

/// The limits of one server.
#[derive(Debug)]
pub struct RateLimits {
    table: RateLimitConfig,
    current: ArcSwap<RateLimitConfig>,
    paces: Mutex<Paces>,
    limited: Counter,
}

/// When each device may be asked again, for each method and for all.
#[derive(Debug, Default)]
struct Paces(HashMap<(Option<&'static str>, String), Pace>);

/// When the next request is due, if they came evenly.
#[derive(Clone, Copy, Debug)]
struct Pace(Instant);

impl RateLimits {
    /// The limits of a server whose metrics these are.
    pub fn new(config: RateLimitConfig, metrics: &Metrics) -> Self {
        let limited = Counter::default();
        metrics.register("requests_limited", "Requests answered with 529", limited.clone());
        let limits =
            Self { current: ArcSwap::from_pointee(config.clone()), table: config, paces: Mutex::default(), limited };
        if let Some(path) = &limits.table.backend_ratelimit_conf_path {
            limits.read(path);
        }
        limits
    }

    /// Whether a request may be served now.
    pub(super) fn allows(&self, method: &Method, uri: &Uri) -> bool {
        let config = self.current.load();
        let rates = config.rates();
        if rates.iter().all(|(_, rate)| *rate == 0.0) {
            return true;
        }
        let Some((kind, rate)) = rates.into_iter().find(|(kind, _)| *kind == Some(method.as_str())) else {
            return true;
        };
        let Some(device) = device(method, uri) else { return true };
        let (now, buffer) = (Instant::now(), config.requests_per_device_rate_buffer);
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        // All requests count together, also those that their method's own limit refuses.
        let allowed = [(None, config.requests_per_device_per_second), (kind, rate)]
            .into_iter()
            .all(|(kind, rate)| paces.allows((kind, device.to_owned()), rate, buffer, now));
        if !allowed {
            self.limited.inc();
        }
        allowed
    }

    /// Reads the file again and again, for as long as it is awaited.
    pub(super) async fn watch(self: Arc<Self>) -> Infallible {
        let (path, interval) = (self.table.backend_ratelimit_conf_path.clone(), self.table.config_reload_interval);
        let Some(path) = path.filter(|_| !interval.is_zero()) else { return std::future::pending().await };
        loop {
            tokio::time::sleep(interval).await;
            let (this, path) = (Arc::clone(&self), path.clone());
            // It cannot be cancelled halfway, and a panic in it was logged.
            let _ = tokio::task::spawn_blocking(move || this.read(&path)).await;
        }
    }

    fn read(&self, path: &Path) {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        match text.and_then(|text| self.table.overridden(&text)) {
            Ok(config) if config == **self.current.load() => {}
            Ok(config) => {
                tracing::info!(path = %path.display(), ?config, "the backend rate limits have changed");
                self.current.store(Arc::new(config));
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), error, "the backend rate limits stay as they were");
            }
        }
    }
}

impl Paces {
    fn allows(&mut self, key: (Option<&'static str>, String), rate: f64, buffer: Duration, now: Instant) -> bool {
        if rate == 0.0 {
            return true;
        }
        if self.0.len() >= MAX_PACES && !self.0.contains_key(&key) {
            self.0.clear();
        }
        // Who was never here was idle.
        let earliest = now.checked_sub(buffer).unwrap_or(now);
        let due = self.0.entry(key).or_insert(Pace(earliest));
        due.0 = due.0.max(earliest);
        let allowed = due.0 <= now;
        if allowed {
            due.0 +=
                Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX / 2).min(Duration::from_secs(86_400));
        }
        allowed
    }
}

/// The device that a request is for, if it is one of clients' making and no question about the server.
fn device<'a>(method: &Method, uri: &'a Uri) -> Option<&'a str> {
    let mut parts = uri.path().strip_prefix('/')?.splitn(3, '/');
    let (device, partition) = (parts.next()?, parts.next());
    let is_batch = method.as_str() == "UPDATE";
    (is_batch || partition.is_some_and(|partition| partition.parse::<u32>().is_ok())).then_some(device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits(toml: &str) -> RateLimits {
        RateLimits::new(toml::from_str(toml).unwrap(), &Metrics::new("test"))
    }

    fn count(limits: &RateLimits, method: &Method, path: &'static str, tries: usize) -> usize {
        let uri = Uri::from_static(path);
        (0..tries).filter(|_| limits.allows(method, &uri)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn each_method_and_all_of_them_have_their_rate() {
        let limits = limits("requests_per_device_per_second = 10\nput_requests_per_device_per_second = 4");
        // An idle device catches up a second.
        assert_eq!(count(&limits, &Method::PUT, "/d1/0/a/c/o", 50), 5);
        assert_eq!(count(&limits, &Method::GET, "/d2/0/a/c/o", 50), 11);
        // Refused PUTs count with the others.
        assert_eq!(count(&limits, &Method::GET, "/d1/0/a/c/o", 50), 0);
        tokio::time::advance(Duration::from_millis(500)).await;
        assert_eq!(count(&limits, &Method::PUT, "/d1/0/a/c/o", 50), 2);
        // What is no request for data is no matter of these.
        assert_eq!(count(&limits, &Method::GET, "/metrics", 50), 50);
        assert_eq!(count(&limits, &Method::OPTIONS, "/d1/0/a/c/o", 50), 50);
    }

    #[test]
    fn a_file_overrides_and_gives_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backend-ratelimit.conf");
        let table = format!("put_requests_per_device_per_second = 4\nbackend_ratelimit_conf_path = {path:?}");
        let limits = limits(&table);
        let put = || limits.current.load().put_requests_per_device_per_second;
        let mut rates = vec![put()];
        for file in [
            "# Swift's own\n[backend_ratelimit]\nput_requests_per_device_per_second = 7\n",
            "[backend_ratelimit]\nput_requests_per_device_per_second = many\n",
            "[backend_ratelimit]\nput_requests_per_device_per_second = -1\n",
            "[backend_ratelimit]\nunknown = 1\n",
            "[backend_ratelimit]\n",
        ] {
            std::fs::write(&path, file).unwrap();
            limits.read(&path);
            rates.push(put());
        }
        assert_eq!(rates, [4.0, 7.0, 7.0, 7.0, 7.0, 4.0]);
    }

    proptest! {
        #[test]
        fn any_file_is_read_or_refused(text in "\\PC{0,30}|\\[backend_ratelimit\\]\\n[a-z_]{0,12} = [0-9.e+-]{0,6}") {
            let _ = RateLimitConfig::default().overridden(&text);
        }

        /// Never more than the rate and the buffer allow, and never less.
        #[test]
        fn no_more_than_the_rate(steps in proptest::collection::vec(0u64..400, 1..60), rate in 1u32..50) {
            let (mut paces, start) = (Paces::default(), Instant::now());
            let (mut now, mut allowed) = (start, 0u32);
            for step in steps {
                now += Duration::from_millis(step);
                let buffer = Duration::from_secs(1);
                while paces.allows((None, "d".into()), f64::from(rate), buffer, now) {
                    allowed += 1;
                }
            }
            let most = (now - start + Duration::from_secs(1)).as_secs_f64() * f64::from(rate) + 1.0;
            prop_assert!(f64::from(allowed) <= most + 1e-6, "{allowed} of {most}");
        }
    }
}
