//! What the verifier tells of itself: a status document for people, metrics for Prometheus.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use atlas_bus::StatusWriter;
use atlas_proto::{CheckReply, Outcome};
use atlas_telemetry::Metrics;
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use serde::{Deserialize, Serialize};

/// The window over which checks per second are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// The status document of one verifier; or the sum over verifiers ([`Document::add`]). What a document of another version
/// lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    /// Checks answered, certifications among them.
    pub checks: u64,
    /// Certifications answered.
    pub certifications: u64,
    /// Over the last ten seconds.
    pub per_second: f64,
    /// Answered from the cache.
    pub cache_hits: u64,
    /// Answers by outcome, `accepted` and so on.
    pub by_outcome: BTreeMap<String, u64>,
    /// Checks asked and not yet answered.
    pub queue: u64,
    /// Milliseconds spent in Lean, over all threads.
    pub lean_ms: u64,
    /// The toolchain's name.
    pub toolchain: String,
}

impl Document {
    /// Adds another verifier's document. Of one that is not `at_work` any more, only what it counted remains.
    pub fn add(&mut self, other: Self, at_work: bool) {
        self.checks += other.checks;
        self.certifications += other.certifications;
        self.cache_hits += other.cache_hits;
        self.lean_ms += other.lean_ms;
        for (outcome, count) in other.by_outcome {
            *self.by_outcome.entry(outcome).or_default() += count;
        }
        if at_work {
            self.per_second += other.per_second;
            self.queue += other.queue;
        }
        if at_work || self.toolchain.is_empty() {
            self.toolchain = other.toolchain;
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    level: String,
    outcome: String,
}

pub(crate) struct Counters {
    writer: StatusWriter,
    state: Mutex<State>,
    metrics: CheckMetrics,
}

/// The metrics of checks, whichever way they came.
pub(crate) struct CheckMetrics {
    checks: Family<Labels, Counter>,
    cache_hits: Counter,
    /// Checks asked and not yet answered.
    pub(crate) waiting: Gauge,
    seconds: Histogram,
}

impl CheckMetrics {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            checks: metrics.register("checks", "Checks answered, by level and outcome"),
            cache_hits: metrics.register("check_cache_hits", "Checks answered from the cache"),
            waiting: metrics.register("checks_waiting", "Checks asked and not yet answered"),
            seconds: metrics.insert(
                "check_seconds",
                "Time that a check took in Lean",
                Histogram::new(exponential_buckets(0.005, 2.0, 16)),
            ),
        }
    }

    pub(crate) fn answered(&self, certified: bool, reply: &CheckReply) {
        let level = if certified { "certified" } else { "elaborated" };
        let outcome = word(reply.outcome());
        self.checks.get_or_create(&Labels { level: level.to_owned(), outcome: outcome.to_owned() }).inc();
        self.seconds.observe(f64::from(reply.lean_ms) / 1000.0);
        if reply.cached {
            self.cache_hits.inc();
        }
    }
}

struct State {
    document: Document,
    recent: VecDeque<Instant>,
}

impl Counters {
    pub(crate) fn new(writer: StatusWriter, metrics: &Metrics, toolchain: String) -> Self {
        let counters = Self {
            writer,
            state: Mutex::new(State {
                document: Document { toolchain, ..Document::default() },
                recent: VecDeque::new(),
            }),
            metrics: CheckMetrics::new(metrics),
        };
        counters.writer.set(&counters.state.lock().document);
        counters
    }

    /// Counts a check as asked until the guard is dropped.
    pub(crate) fn waiting(&self, _certified: bool) -> Waiting<'_> {
        self.metrics.waiting.inc();
        self.state.lock().document.queue += 1;
        Waiting(self)
    }

    pub(crate) fn answered(&self, certified: bool, reply: &CheckReply) {
        let outcome = word(reply.outcome());
        self.metrics.answered(certified, reply);
        let mut state = self.state.lock();
        state.recent.push_back(Instant::now());
        state.count_rate();
        let document = &mut state.document;
        document.checks += 1;
        document.certifications += u64::from(certified);
        document.lean_ms += u64::from(reply.lean_ms);
        *document.by_outcome.entry(outcome.to_owned()).or_default() += 1;
        if reply.cached {
            document.cache_hits += 1;
        }
        self.writer.set(&*document);
    }
}

impl Counters {
    /// Lets the rate fall while nothing is answered. Ends never.
    pub(crate) async fn follow_rate(&self) {
        let mut ticks = tokio::time::interval(WINDOW / 5);
        loop {
            ticks.tick().await;
            let mut state = self.state.lock();
            state.count_rate();
            self.writer.set(&state.document);
        }
    }
}

impl State {
    fn count_rate(&mut self) {
        let now = Instant::now();
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
        self.document.per_second = self.recent.len() as f64 / WINDOW.as_secs_f64();
    }
}

/// A check that waits for its answer.
pub(crate) struct Waiting<'a>(&'a Counters);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.metrics.waiting.dec();
        let mut state = self.0.state.lock();
        state.document.queue -= 1;
        self.0.writer.set(&state.document);
    }
}

/// An outcome in one word.
pub(crate) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Unspecified => "unspecified",
        Outcome::Accepted => "accepted",
        Outcome::Rejected => "rejected",
        Outcome::TimedOut => "timed-out",
        Outcome::OutOfMemory => "out-of-memory",
        Outcome::Crashed => "crashed",
        Outcome::EnvironmentFault => "environment-fault",
    }
}
