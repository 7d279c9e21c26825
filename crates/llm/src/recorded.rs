//! The provider `recorded`: plays a recording back.

use std::collections::HashMap;
use std::sync::Arc;

use atlas_domain::Usage;
use parking_lot::Mutex;

use crate::{Answer, Call, CallKey, FaultKind, ModelError, Recording, Speaker, fault};

/// Bytes of text that count as one token where nobody says how many there are.
pub(crate) const BYTES_PER_TOKEN: u64 = 4;

#[derive(Debug)]
pub(crate) struct Recorded {
    name: String,
    recording: Arc<Recording>,
    /// How many of the faults before a turn have been shown. A new process shows them again, as a provider might.
    shown: Mutex<HashMap<CallKey, u32>>,
}

impl Recorded {
    pub(crate) fn new(name: &str, recording: Arc<Recording>) -> Self {
        Self { name: name.to_owned(), recording, shown: Mutex::default() }
    }

    pub(crate) fn recording(&self) -> &Arc<Recording> {
        &self.recording
    }

    pub(crate) fn ask(&self, call: &Call) -> Result<Answer, ModelError> {
        self.fail(&call.key)?;
        let turn = self.recording.turn(&call.key).ok_or_else(|| ModelError::MissingTurn {
            key: call.key.clone(),
            file: self.recording.file_for(&call.key).display().to_string(),
        })?;
        let mut usage =
            turn.usage.unwrap_or_else(|| modelled(call, turn.content.iter().map(|c| c.bytes() as u64).sum()));
        usage.model_calls = 1;
        Ok(Answer { content: turn.content.clone(), usage, stop: turn.stop, model: "recorded".to_owned() })
    }

    /// Shows the next fault before the turn `key`, if there is one left.
    fn fail(&self, key: &CallKey) -> Result<(), ModelError> {
        let faults = self.recording.faults(key);
        if faults.is_empty() {
            return Ok(());
        }
        let mut shown = self.shown.lock();
        let count = shown.entry(key.clone()).or_default();
        let mut left = *count;
        for fault in faults {
            if left >= fault.times {
                left -= fault.times;
                continue;
            }
            *count += 1;
            let words = "as the recording says".to_owned();
            return Err(match fault.kind {
                FaultKind::Status(status) => fault::of_status(
                    &self.name,
                    "recorded",
                    "the recording",
                    "the recording",
                    status,
                    fault.retry_after,
                    words,
                ),
                FaultKind::Cut => ModelError::Cut { model: self.name.clone(), received: 0, cause: words },
                FaultKind::Empty => ModelError::Nonsense {
                    model: self.name.clone(),
                    cause: "neither words nor a tool use".into(),
                },
            });
        }
        Ok(())
    }
}

/// What a call would use with a provider that caches prompts: what an earlier turn has sent is read from the cache, the
/// rest of the input is written to it. A token is [`BYTES_PER_TOKEN`] bytes.
pub(crate) fn modelled(call: &Call, output_bytes: u64) -> Usage {
    let input = call.bytes().div_ceil(BYTES_PER_TOKEN);
    let read = match call.messages.iter().rposition(|message| message.speaker == Speaker::Assistant) {
        Some(last_answer) => call.prefix_bytes(last_answer) / BYTES_PER_TOKEN,
        None => 0,
    };
    Usage {
        output_tokens: output_bytes.div_ceil(BYTES_PER_TOKEN).max(1),
        cache_read_tokens: read,
        cache_write_tokens: input - read,
        ..Usage::default()
    }
}
