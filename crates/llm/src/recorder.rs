//! Writing a run down as a recording.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::journal::Appended;
use crate::{Answer, CallKey, Content, Error, ModelError, Recording, Stop};

/// Writes each answer of a run to a recording as it comes, so that the run can be played back. Clones share the file.
///
/// An answer is on the disk before the agent sees it. A host that is killed between the two asks again; the second answer
/// then replaces the first (`replaces: true`), because it is the one that the agent's journal has.
#[derive(Debug, Clone)]
pub struct Recorder {
    file: Appended,
    recorded: Arc<Mutex<HashSet<CallKey>>>,
}

#[derive(Serialize)]
struct Conversation<'a> {
    role: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "is_one")]
    attempt: u32,
    #[serde(skip_serializing_if = "is_one")]
    from: u32,
    #[serde(skip_serializing_if = "is_false")]
    replaces: bool,
    turns: [Turn; 1],
}

#[derive(Serialize)]
struct Turn {
    #[serde(skip_serializing_if = "Option::is_none")]
    say: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    call: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'static str>,
    usage: Value,
}

#[derive(Serialize)]
struct Reply<'a> {
    human: &'a str,
    reply: &'a str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl Recorder {
    /// Opens `path` for recording. What it holds already stays: a run that goes on goes on recording.
    ///
    /// # Errors
    /// The file has mistakes, or cannot be opened for appending.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let there = path.metadata().is_ok_and(|file| file.len() > 0);
        let recorded = if there { Recording::load(path)?.keys().collect() } else { HashSet::new() };
        Ok(Self { file: Appended::open(path)?, recorded: Arc::new(Mutex::new(recorded)) })
    }

    /// Records the answer to the turn `key`.
    ///
    /// # Errors
    /// [`ModelError::Record`] when it cannot be written.
    pub async fn answer(&self, key: &CallKey, answer: &Answer) -> Result<(), ModelError> {
        let replaces = !self.recorded.lock().insert(key.clone());
        let conversation = Conversation {
            role: &key.role,
            target: &key.target,
            attempt: key.attempt,
            from: key.turn,
            replaces,
            turns: [turn(answer)],
        };
        self.append(key, &[conversation]).await
    }

    /// Records a person's answer to an escalation of `target`.
    ///
    /// # Errors
    /// [`ModelError::Record`] when it cannot be written.
    pub async fn reply(&self, target: &str, reply: &str) -> Result<(), ModelError> {
        let key = CallKey { role: "human".into(), target: target.into(), attempt: 1, turn: 1 };
        self.append(&key, &[Reply { human: target, reply }]).await
    }

    async fn append(&self, key: &CallKey, item: &impl Serialize) -> Result<(), ModelError> {
        let failed = |cause: String| ModelError::Record {
            key: key.clone(),
            file: self.file.path().display().to_string(),
            cause,
        };
        // Only text that stands in blocks as it is may do so; the rest is quoted.
        let mut text = serde_saphyr::to_string(item).map_err(|error| failed(error.to_string()))?;
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.file.append(text).await.map_err(|error| failed(error.to_string()))
    }
}

fn turn(answer: &Answer) -> Turn {
    let words: Vec<&str> = answer
        .content
        .iter()
        .filter_map(|content| if let Content::Text(text) = content { Some(text.as_str()) } else { None })
        .collect();
    let call = answer
        .content
        .iter()
        .filter_map(|content| match content {
            Content::ToolUse { name, arguments, .. } => {
                Some(Value::Object(Map::from_iter([(name.clone(), arguments.clone())])))
            }
            _ => None,
        })
        .collect();
    let usage = answer.usage;
    Turn {
        say: (!words.is_empty()).then(|| words.join("\n\n")),
        call,
        stop: match answer.stop {
            Stop::MaxTokens => Some("max-tokens"),
            Stop::Refusal => Some("refusal"),
            Stop::EndTurn | Stop::ToolUse => None,
        },
        usage: json!({
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cache_read": usage.cache_read_tokens,
            "cache_write": usage.cache_write_tokens,
        }),
    }
}
