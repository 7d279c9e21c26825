//! What Prometheus sees of a planner. Ids stay out of labels.

use std::sync::atomic::AtomicU64;

use atlas_domain::TargetState;
use atlas_telemetry::Metrics;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::role::Role;
use crate::status::Status;

type Labels = Vec<(&'static str, String)>;

/// Gauges over the newest status.
pub(crate) struct PlannerMetrics {
    targets: Family<Labels, Gauge>,
    agents: Family<Labels, Gauge>,
    escalations: Gauge,
    landings: Gauge<u64, AtomicU64>,
}

impl PlannerMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            targets: metrics.register("planner_targets", "Targets of the run by state"),
            agents: metrics.register("planner_agents", "Attempts at work by role"),
            escalations: metrics.register("planner_escalations", "Questions that wait for a person"),
            landings: metrics.register("planner_landings", "Submissions of agents that have landed"),
        }
    }

    pub fn set(&self, status: &Status) {
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for state in TargetState::ALL {
            let count = status.counts.get(state.as_str()).copied().unwrap_or(0);
            self.targets.get_or_create(&vec![("state", state.to_string())]).set(gauge(count));
        }
        for role in Role::ALL {
            let count = status.agents.get(role.as_str()).copied().unwrap_or(0);
            self.agents.get_or_create(&vec![("role", role.to_string())]).set(gauge(count));
        }
        self.escalations.set(gauge(status.escalations.len() as u64));
        self.landings.set(status.landings);
    }
}
