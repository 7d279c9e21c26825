//! What is asked of a model and what it answers.

use std::fmt;
use std::sync::Arc;

use atlas_domain::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which turn of which conversation a call is: how recordings find the answer and how a call is told in logs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CallKey {
    /// The role, e.g. `prover`.
    pub role: String,
    /// The target's label, e.g. `even-add`; extractors': `chunk-1`.
    pub target: String,
    /// This role's attempt at this target, from 1.
    pub attempt: u32,
    /// The model's turn in the attempt, from 1.
    pub turn: u32,
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "turn {} for {} \"{}\" attempt {}", self.turn, self.role, self.target, self.attempt)
    }
}

/// Who speaks. Results of tools are the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speaker {
    /// The agent runner.
    User,
    /// The model.
    Assistant,
}

/// A piece of a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// Words.
    Text(String),
    /// The model wants a tool.
    ToolUse {
        /// The provider's id of this use; its result must carry the same.
        id: String,
        /// The tool's name as the model gave it; it need not be one of the call's tools.
        name: String,
        /// The arguments. An object when the model kept to the format; what was not JSON is a string with what came.
        arguments: Value,
    },
    /// What a tool said.
    ToolResult {
        /// The id of the use that this answers.
        id: String,
        /// The result.
        text: String,
        /// Whether the tool failed.
        is_error: bool,
    },
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who says it.
    pub speaker: Speaker,
    /// What, in order.
    pub content: Vec<Content>,
}

impl Message {
    /// A user's message of one text.
    pub fn user(text: impl Into<String>) -> Self {
        Self { speaker: Speaker::User, content: vec![Content::Text(text.into())] }
    }

    /// The model's message, as an [`Answer`] holds it.
    pub fn assistant(content: Vec<Content>) -> Self {
        Self { speaker: Speaker::Assistant, content }
    }
}

/// A tool that the model may use.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Its name.
    pub name: String,
    /// When and how to use it, for the model.
    pub description: String,
    /// JSON schema of the arguments: an object.
    pub schema: Value,
    /// Of all of it as text: every call is measured, which is no reason to write schemas out each time.
    bytes: usize,
}

/// One question to a model. Thousands of agents wait for answers at once, so what is the same for many, or is kept elsewhere too,
/// is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Which turn this is.
    pub key: CallKey,
    /// The model's name in the AtlasRun.
    pub model: String,
    /// The system prompt.
    pub system: Arc<str>,
    /// The conversation so far; the last message is the user's.
    pub messages: Vec<Arc<Message>>,
    /// The tools that the model may use.
    pub tools: Vec<Arc<ToolSpec>>,
    /// The longest answer, in tokens; 0: as long as the model's options allow.
    pub max_output_tokens: u32,
}

impl Call {
    /// Size of all text of the call, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.prefix_bytes(self.messages.len())
    }

    /// The same with the first `messages` messages only.
    pub(crate) fn prefix_bytes(&self, messages: usize) -> u64 {
        let tools: usize = self.tools.iter().map(|tool| tool.bytes).sum();
        let messages: usize = self.messages.iter().take(messages).map(|message| message.bytes()).sum();
        (self.system.len() + tools + messages) as u64
    }
}

impl ToolSpec {
    /// The tool `name`.
    pub fn new(name: impl Into<String>, description: impl Into<String>, schema: Value) -> Self {
        let (name, description) = (name.into(), description.into());
        let bytes = name.len() + description.len() + schema.to_string().len();
        Self { name, description, schema, bytes }
    }
}

impl Message {
    pub(crate) fn bytes(&self) -> usize {
        self.content.iter().map(Content::bytes).sum()
    }
}

impl Content {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::ToolResult { text, .. } => text.len(),
            Self::ToolUse { name, arguments, .. } => name.len() + arguments.to_string().len(),
        }
    }
}

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stop {
    /// It said all it wanted.
    EndTurn,
    /// It waits for tools.
    ToolUse,
    /// The answer reached its longest; the last tool use in it may be torn.
    MaxTokens,
    /// It, or the provider's filter, declined.
    Refusal,
}

impl Stop {
    /// Whether the answer should hold something.
    pub(crate) const fn is_whole(self) -> bool {
        matches!(self, Self::EndTurn | Self::ToolUse)
    }

    /// The value of `gen_ai.response.finish_reasons`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndTurn => "stop",
            Self::ToolUse => "tool_call",
            Self::MaxTokens => "length",
            Self::Refusal => "content_filter",
        }
    }
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Words and tool uses, in order; empty only when `stop` is a refusal or the longest answer.
    pub content: Vec<Content>,
    /// Tokens and cost of the call that gave this answer.
    pub usage: Usage,
    /// Why the model stopped.
    pub stop: Stop,
    /// The provider's name of the model that answered.
    pub model: String,
}
