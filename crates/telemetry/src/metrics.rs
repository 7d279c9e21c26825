//! The Prometheus registry of a process.

use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::{Metric, Registry};

/// All metrics of a process, named `atlas_…`. Cheap to clone.
///
/// ```
/// use prometheus_client::metrics::counter::Counter;
/// let metrics = atlas_telemetry::Metrics::default();
/// let checks: Counter = metrics.register("checks", "Checks answered");
/// checks.inc();
/// assert!(metrics.render().contains("atlas_checks_total 1"));
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<RwLock<Registry>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { registry: Arc::new(RwLock::new(Registry::with_prefix("atlas"))) }
    }
}

impl Metrics {
    /// Adds a metric and returns it. `name` goes without prefix, unit and `_total`; `help` without
    /// full stop. Labels (prometheus-client's `Family`) must have few values: never ids.
    pub fn register<M: Metric + Clone + Default>(&self, name: &str, help: &str) -> M {
        self.insert(name, help, M::default())
    }

    /// As [`Metrics::register`], for metrics without a default: histograms.
    pub fn insert<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.registry.write().register(name, help, metric.clone());
        metric
    }

    /// The registry in OpenMetrics text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry.read());
        text
    }
}
