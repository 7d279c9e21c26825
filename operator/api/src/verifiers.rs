//! The Lean verifiers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Quantity};

/// The Lean verifiers of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Verifiers {
    /// Processes, each with its own warm Lean.
    #[schemars(range(min = 1))]
    pub replicas: u32,
    /// Checks at once in each; as many as it has processors when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
    /// The longest that one check may take.
    pub deadline: Duration,
    /// The most memory that one check may use.
    pub memory: Quantity,
    /// The most memory that a verifier keeps for results and module data.
    pub cache: Quantity,
}

impl Default for Verifiers {
    fn default() -> Self {
        Self {
            replicas: 1,
            concurrency: None,
            deadline: Duration::from_secs(120),
            memory: Quantity::gibibytes(2),
            cache: Quantity::gibibytes(1),
        }
    }
}
