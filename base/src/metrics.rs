//! What a role tells Prometheus: requests by method and status, their time, and what its room adds.
//!
//! There is no global registry: each role makes one `Metrics` and hands it to its server, so that several roles in one
//! process stay apart.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

/// The metrics of one role.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<MethodLabel, Histogram, fn() -> Histogram>,
    in_flight: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

/// From 0.5 ms doubling to 16 s.
fn latency_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

impl Metrics {
    /// The metrics of the role `role`; every name begins with `apus_<role>_`.
    pub fn new(role: &str) -> Self {
        let requests = Family::default();
        let seconds: Family<MethodLabel, Histogram, fn() -> Histogram> = Family::new_with_constructor(latency_buckets);
        let in_flight = Gauge::default();
        let metrics = Self {
            registry: Arc::new(Mutex::new(Registry::with_prefix(format!("apus_{role}")))),
            requests,
            seconds,
            in_flight,
        };
        metrics.register("requests", "Requests answered", metrics.requests.clone());
        metrics.register("request_seconds", "Time to the response's head", metrics.seconds.clone());
        metrics.register("requests_in_flight", "Requests being served now", metrics.in_flight.clone());
        metrics
    }

    /// Adds a metric of the room's own.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// Adds something that is looked at only when somebody asks.
    pub fn register_collector(&self, collector: Box<dyn Collector>) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register_collector(collector);
    }

    /// Counts one answered request.
    pub fn observe(&self, method: &http::Method, status: u16, took: Duration) {
        let method = method_label(method);
        self.requests.get_or_create(&RequestLabels { method, status }).inc();
        self.seconds.get_or_create(&MethodLabel { method }).observe(took.as_secs_f64());
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn enter(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// A request being served.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Methods that clients invent share one label, so that they cannot fill the memory.
fn method_label(method: &http::Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "HEAD", "PUT", "POST", "DELETE", "COPY", "OPTIONS", "UPDATE", "REPLICATE"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
