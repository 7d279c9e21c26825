//! Agents and roles.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The roles that a run can set; every one but `automation` calls a model.
pub const ROLES: [&str; 8] = [
    "automation",
    "extractor",
    "formalizer",
    "prover",
    "fixer",
    "mathematical-reviewer",
    "engineering-reviewer",
    "triage",
];

/// How many agents work and how hard they try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Agents {
    /// Agents at work at once.
    #[schemars(range(min = 1, max = 30000))]
    pub maximum: u32,
    /// Failed attempts at one task before a triage agent looks at it.
    #[schemars(range(min = 1))]
    pub attempts_per_task: u32,
    /// Attempts at one task at the same time; at most `attemptsPerTask`.
    #[schemars(range(min = 1))]
    pub racing: u32,
    /// Whether tactics try each goal before an agent spends a token on it.
    pub automation: bool,
    /// Independent extractors of targets per piece of a book that comes without them.
    #[schemars(range(min = 1))]
    pub extractors: u32,
    /// Lines of such a piece; a chapter that has more is read in several.
    #[schemars(range(min = 1))]
    pub chunk_lines: u32,
    /// Lines that a piece shares with the next, so that no statement is cut in two unseen; fewer than `chunkLines`.
    pub chunk_overlap: u32,
    /// Turns that one attempt may take.
    #[schemars(range(min = 1))]
    pub max_turns: u32,
    /// Tokens of all classes, cached ones among them, that one attempt may use.
    #[schemars(range(min = 1))]
    pub max_tokens: u64,
    /// What differs by role: `automation`, `extractor`, `formalizer`, `prover`, `fixer`, `mathematical-reviewer`,
    /// `engineering-reviewer`, `triage`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
}

impl Default for Agents {
    fn default() -> Self {
        Self {
            maximum: 16,
            attempts_per_task: 3,
            racing: 1,
            automation: true,
            extractors: 2,
            chunk_lines: 500,
            chunk_overlap: 50,
            max_turns: 40,
            max_tokens: 400_000,
            roles: BTreeMap::new(),
        }
    }
}

/// What a run sets for one role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Role {
    /// The name of one of `models`; the first of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Turns that one attempt may take; `agents.maxTurns` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_turns: Option<u32>,
    /// Tokens that one attempt may use; `agents.maxTokens` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_tokens: Option<u64>,
    /// A Markdown file that takes the place of the role's own prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<PathBuf>,
}
