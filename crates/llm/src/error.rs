//! Why a model did not answer, and what to do about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::CallKey;

/// Why a model did not answer. The message says what was asked of which model, what happened, and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelError {
    /// The provider does not accept the key (401, 403).
    #[error(
        "model `{model}`: the provider refused the key from {source_of_key}: {cause}; check that the key is valid, not expired and may use this model"
    )]
    Auth {
        /// The model's name in the AtlasRun.
        model: String,
        /// Where the key came from, e.g. `environment variable ANTHROPIC_API_KEY`; never the key.
        source_of_key: String,
        /// The provider's words.
        cause: String,
    },
    /// The provider has no such model, or there is no API at the base URL (404).
    #[error(
        "model `{model}`: the provider knows no model `{provider_model}` at {url}: {cause}; correct `model` or `baseUrl` in the AtlasRun"
    )]
    NotFound {
        /// The model's name in the AtlasRun.
        model: String,
        /// The provider's name of it.
        provider_model: String,
        /// The base URL that was asked.
        url: String,
        /// The provider's words.
        cause: String,
    },
    /// The call names a model that the run does not have.
    #[error("no model `{model}` in this run; it has: {known}")]
    UnknownModel {
        /// The name that was asked for.
        model: String,
        /// The names that there are.
        known: String,
    },
    /// Too many calls or tokens (429), still after all retries.
    #[error(
        "model `{model}`: the provider limits the rate: {cause}; set `limits.requestsPerMinute` and `limits.tokensPerMinute` to what your account allows, or lower `agents.maximum`"
    )]
    RateLimited {
        /// The model's name in the AtlasRun.
        model: String,
        /// What the provider asked to wait.
        retry_after: Option<Duration>,
        /// The provider's words.
        cause: String,
    },
    /// The provider is overloaded or broken (5xx, 529), still after all retries.
    #[error(
        "model `{model}`: the provider fails with status {status}: {cause}; see its status page; the attempt can be made again"
    )]
    Overloaded {
        /// The model's name in the AtlasRun.
        model: String,
        /// HTTP status; 529 for an overload told inside a stream.
        status: u16,
        /// What the provider asked to wait.
        retry_after: Option<Duration>,
        /// The provider's words.
        cause: String,
    },
    /// The account has no credit left (402, or what the provider says in words).
    #[error(
        "model `{model}`: the account has no credit: {cause}; top it up, then run the same command again: it goes on where it was"
    )]
    Unpaid {
        /// The model's name in the AtlasRun.
        model: String,
        /// The provider's words.
        cause: String,
    },
    /// The provider says that the call itself is wrong (400, 413, 422 and the like): the same call would fail again.
    #[error("model `{model}`: the provider refused the call with status {status}: {cause}")]
    BadRequest {
        /// The model's name in the AtlasRun.
        model: String,
        /// HTTP status.
        status: u16,
        /// The provider's words.
        cause: String,
    },
    /// The stream ended before the answer did, still after all retries.
    #[error("model `{model}`: the answer was cut after {received} bytes: {cause}")]
    Cut {
        /// The model's name in the AtlasRun.
        model: String,
        /// Bytes of answer text that had come.
        received: u64,
        /// How it ended.
        cause: String,
    },
    /// What came is not an answer (not JSON, nothing in it), still after all retries.
    #[error(
        "model `{model}`: the provider sent what is no answer: {cause}; check that `baseUrl` is an API of the provider's kind"
    )]
    Nonsense {
        /// The model's name in the AtlasRun.
        model: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The recording has no such turn.
    #[error("recording has no {key}; add it to {file}")]
    MissingTurn {
        /// Which turn.
        key: CallKey,
        /// Where to add it: the file that holds the conversation, else the recording.
        file: String,
    },
    /// No connection, a connection lost before an answer began, or a time-out.
    #[error("model `{model}`: cannot reach {url}: {cause}; check the network, a proxy and `baseUrl`")]
    Transport {
        /// The model's name in the AtlasRun.
        model: String,
        /// The base URL.
        url: String,
        /// What the network said.
        cause: String,
    },
    /// The answer came but could not be appended to the file of `--record`.
    #[error(
        "the answer to {key} could not be recorded in {file}: {cause}; free the disk or run without `--record`"
    )]
    Record {
        /// Which turn.
        key: CallKey,
        /// The recording.
        file: String,
        /// What the file system said.
        cause: String,
    },
}

impl ModelError {
    /// Whether the same call may succeed later. [`crate::Models::call`] has already tried again as often as the model's
    /// `limits.retries` says.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::RateLimited { .. }
                | Self::Overloaded { .. }
                | Self::Cut { .. }
                | Self::Nonsense { .. }
                | Self::Transport { .. }
        )
    }

    /// How long the provider asked to wait.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Overloaded { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// A short name for metrics and the span attribute `error.type`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Auth { .. } => "auth",
            Self::NotFound { .. } => "not_found",
            Self::UnknownModel { .. } => "unknown_model",
            Self::RateLimited { .. } => "rate_limited",
            Self::Overloaded { .. } => "overloaded",
            Self::Unpaid { .. } => "unpaid",
            Self::BadRequest { .. } => "bad_request",
            Self::Cut { .. } => "cut",
            Self::Nonsense { .. } => "nonsense",
            Self::MissingTurn { .. } => "missing_turn",
            Self::Transport { .. } => "transport",
            Self::Record { .. } => "record",
        }
    }
}

/// Why the run's models cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two models with one name.
    #[error("two models are named `{0}`; give each its own name")]
    DuplicateModel(String),
    /// A key that cannot be read.
    #[error("model `{model}`: {cause}; set it, or change `key` in the AtlasRun")]
    Key {
        /// The model's name in the AtlasRun.
        model: String,
        /// Why, without the key.
        cause: String,
    },
    /// A `recorded` model without a recording.
    #[error("model `{0}` is `recorded` but names no `recording`")]
    NoRecording(String),
    /// Mistakes in a recording.
    #[error("the recording has mistakes:\n{0}")]
    Recording(#[from] atlas_api::Problems),
    /// A file that cannot be opened for appending.
    #[error("cannot append to {path}: {cause}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// No HTTP client.
    #[error(
        "cannot set up HTTP with TLS: {0}; is a bundle of root certificates installed (package ca-certificates)?"
    )]
    Client(String),
}
