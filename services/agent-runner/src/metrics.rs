//! Prometheus metrics of the agents. Labels are roles and outcomes, never ids.

use std::sync::atomic::AtomicU64;

use atlas_proto::report::Result as Outcome;
use atlas_telemetry::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::machine::{Agent, Doing};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    role: String,
    outcome: &'static str,
}

/// Counters of the agents that this process hosts.
#[derive(Debug, Clone)]
pub struct AgentMetrics {
    turns: Family<RoleLabel, Counter<u64, AtomicU64>>,
    checks: Family<RoleLabel, Counter<u64, AtomicU64>>,
    tokens: Family<RoleLabel, Counter<u64, AtomicU64>>,
    ended: Family<EndLabels, Counter<u64, AtomicU64>>,
}

impl AgentMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            turns: metrics.register("agent_turns", "Model turns of agents, by role"),
            checks: metrics.register("agent_checks", "Questions of agents to Lean, by role"),
            tokens: metrics.register("agent_tokens", "Tokens of all classes that agents have used, by role"),
            ended: metrics.register("agent_attempts_ended", "Attempts that ended, by role and outcome"),
        }
    }

    /// An agent has changed and added so many turns, checks and tokens.
    pub fn observe(&self, agent: &Agent, [turns, checks, tokens]: [u64; 3]) {
        let role = RoleLabel { role: agent.task().role.clone() };
        for (family, added) in [(&self.turns, turns), (&self.checks, checks), (&self.tokens, tokens)] {
            if added > 0 {
                family.get_or_create(&role).inc_by(added);
            }
        }
        if agent.doing() == Doing::Finished {
            let outcome = match agent.outcome() {
                Some(Outcome::Submission(_)) => "submitted",
                Some(Outcome::Review(_)) => "reviewed",
                Some(Outcome::Triage(_)) => "triaged",
                Some(Outcome::Extraction(_)) => "extracted",
                Some(Outcome::GaveUp(_)) => "gave_up",
                Some(Outcome::OutOfBudget(_)) => "out_of_budget",
                Some(Outcome::Failed(_)) | None => "failed",
            };
            self.ended.get_or_create(&EndLabels { role: role.role, outcome }).inc();
        }
    }
}
