//! Where a run stops.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Duration;

/// Where a run stops, softly: calls that are paid for are finished, no further one is made. What is absent has no limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// US dollars, by the prices of `models`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub usd: Option<f64>,
    /// Tokens of all classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
    /// Time since the run began, e.g. `2h` or `1d12h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Duration>,
}
