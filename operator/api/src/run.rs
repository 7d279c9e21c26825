//! The document and its specification.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Agents, Book, Budget, Library, Model, Verifiers};

/// The `apiVersion` of the documents that this crate reads.
pub const API_VERSION: &str = "atlasrun.dev/v1alpha1";
/// Their `kind`.
pub const KIND: &str = "AtlasRun";

/// One run: books that become a checked Lean library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AtlasRun {
    /// Always `atlasrun.dev/v1alpha1`.
    pub api_version: String,
    /// Always `AtlasRun`.
    pub kind: String,
    /// The run's name and labels.
    pub metadata: Metadata,
    /// What to do and with what.
    pub spec: AtlasRunSpec,
}

/// The part of Kubernetes' object metadata that a person writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Metadata {
    /// The run's name, unique on one NATS system: lower-case letters, digits and `-`, at most 63 characters.
    pub name: String,
    /// Kubernetes namespace; on one machine it has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels, kept as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations, kept as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What to do and with what. Paths are relative to the AtlasRun's file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AtlasRunSpec {
    /// The books, in reading order; at least one.
    pub books: Vec<Book>,
    /// The Lean library that the run writes.
    pub library: Library,
    /// How many agents work, how hard they try and what each role may spend.
    #[serde(default)]
    pub agents: Agents,
    /// The models that roles can name. The first one serves every role that names none.
    pub models: Vec<Model>,
    /// Where the run stops, softly: calls that are paid for are finished.
    #[serde(default)]
    pub budget: Budget,
    /// The Lean verifiers.
    #[serde(default)]
    pub verifiers: Verifiers,
    /// Training of provers on the run's verdicts.
    #[serde(default)]
    pub training: Training,
    /// Stop starting work and release what the run holds; set it back to go on where the run was.
    #[serde(default)]
    pub suspend: bool,
}

/// Training of provers on the run's verdicts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Training {
    /// Whether attempts, verdicts and feedback go to a trainer. This version has no trainer: it must be `false`.
    #[serde(default)]
    pub enabled: bool,
}

impl AtlasRunSpec {
    /// The name of the model that `role` uses: its own, else the first of `models`. `None` for a run without models.
    pub fn model_of(&self, role: &str) -> Option<&str> {
        self.agents
            .roles
            .get(role)
            .and_then(|r| r.model.as_deref())
            .or_else(|| self.models.first().map(|m| m.name.as_str()))
    }

    /// The names of the models that some role uses.
    pub fn used_models(&self) -> BTreeSet<&str> {
        crate::ROLES
            .iter()
            .filter(|role| **role != "automation")
            .filter_map(|role| self.model_of(role))
            .collect()
    }

    /// Turns that one attempt of `role` may take.
    pub fn max_turns_of(&self, role: &str) -> u32 {
        self.agents.roles.get(role).and_then(|r| r.max_turns).unwrap_or(self.agents.max_turns)
    }

    /// Tokens, of all classes, that one attempt of `role` may use.
    pub fn max_tokens_of(&self, role: &str) -> u64 {
        self.agents.roles.get(role).and_then(|r| r.max_tokens).unwrap_or(self.agents.max_tokens)
    }
}
