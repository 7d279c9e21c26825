//! The models that roles can name.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::KeySource;

/// A model that roles can name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// The name that roles use.
    pub name: String,
    /// Who answers.
    pub provider: Provider,
    /// The provider's name of the model, e.g. `claude-sonnet-4-5`; not needed for `recorded`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Where the API is, up to and without `/messages` or `/chat/completions`; the provider's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Where the key is. `anthropic` needs one, `openai` does unless `baseUrl` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeySource>,
    /// For `recorded`: the file or folder to play back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<PathBuf>,
    /// For `recorded`: a file that gets one JSON line per call that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_log: Option<PathBuf>,
    /// Tokens that fit into one call, input and output together; conversations are compacted before they outgrow it.
    #[serde(default = "default_context_window")]
    #[schemars(range(min = 1000))]
    pub context_window: u64,
    /// The longest answer, in tokens.
    #[serde(default = "default_max_output_tokens")]
    #[schemars(range(min = 1))]
    pub max_output_tokens: u32,
    /// What it costs; nothing when absent.
    #[serde(default)]
    pub price: Price,
    /// How fast it may be called.
    #[serde(default)]
    pub limits: Limits,
}

fn default_context_window() -> u64 {
    200_000
}

fn default_max_output_tokens() -> u32 {
    8192
}

/// Who answers a model's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Anthropic's Messages API, or a server that speaks it.
    Anthropic,
    /// OpenAI's chat completions API, or a server that speaks it: vLLM, Ollama, llama.cpp and many more.
    Openai,
    /// A recording (docs/recording.md).
    Recorded,
}

impl Provider {
    /// The name as the AtlasRun has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Openai => "openai",
            Self::Recorded => "recorded",
        }
    }
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// US dollars per million tokens, by class of token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Price {
    /// Fresh input.
    #[schemars(range(min = 0.0))]
    pub input: f64,
    /// Output.
    #[schemars(range(min = 0.0))]
    pub output: f64,
    /// Input read from the provider's prompt cache; as fresh input when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cache_read: Option<f64>,
    /// Input written to it; as fresh input when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub cache_write: Option<f64>,
}

impl From<Price> for atlas_domain::Price {
    fn from(price: Price) -> Self {
        Self {
            input: price.input,
            output: price.output,
            cache_read: price.cache_read.unwrap_or(price.input),
            cache_write: price.cache_write.unwrap_or(price.input),
        }
    }
}

/// How fast a model may be called. Calls beyond a limit wait; they do not fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Calls a minute; no limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, fresh input, cache writes and output together (what providers count); no limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens_per_minute: Option<u64>,
    /// How often a call is tried again after a fault that may pass: 429, 500, 502, 503, 504, 529, a cut stream, no connection.
    pub retries: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_minute: None, tokens_per_minute: None, retries: 6 }
    }
}
