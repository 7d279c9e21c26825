//! What has been said between the runner and a model, and how it is shortened when it outgrows the model's window.

use std::sync::Arc;

use atlas_llm::{Content, Message, Speaker};
use serde_json::{Value, json};

/// Texts shorter than this stay whole when a conversation is shortened, in bytes.
const KEEP_SHORT: usize = 300;
/// Bytes of text that are taken for one token. English has four; Lean's symbols make it fewer, and a
/// window must not be overrun.
const BYTES_PER_TOKEN: u64 = 3;

/// A conversation. Messages are shared: a copy is cheap.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Conversation {
    messages: Vec<Arc<Message>>,
    bytes: u64,
}

impl Conversation {
    /// The messages, oldest first; the first one is the task.
    pub fn messages(&self) -> &[Arc<Message>] {
        &self.messages
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.bytes += size(&message);
        self.messages.push(Arc::new(message));
    }

    /// A cautious estimate of its tokens.
    pub fn tokens(&self) -> u64 {
        self.bytes / BYTES_PER_TOKEN
    }

    /// Elides long tool results and long arguments in all but the first and the last `keep` messages. With `drop`, leaves
    /// these out altogether and says which tools they had used.
    pub fn compact(&mut self, keep: usize, drop: bool) {
        let Some(until) = self.tail(keep) else { return };
        if drop {
            let used = tools_used(&self.messages[1..until]);
            let note = format!(
                "[{} earlier messages are left out to make room; tools used in them: {used}. Your draft is as you left it: look at it with the tools.]",
                until - 1
            );
            let mut first = (*self.messages[0]).clone();
            first.content.push(Content::Text(note));
            let tail = self.messages.split_off(until);
            self.messages = vec![Arc::new(first)];
            self.messages.extend(tail);
        } else {
            for at in 1..until {
                let shorter = elided(&self.messages[at], &self.messages[at - 1]);
                self.messages[at] = Arc::new(shorter);
            }
        }
        self.bytes = self.messages.iter().map(|message| size(message)).sum();
    }

    /// Where the kept tail begins: at an answer of the model, so that no tool result loses its call. `None`: nothing lies before it.
    fn tail(&self, keep: usize) -> Option<usize> {
        let from = self.messages.len().saturating_sub(keep).max(1);
        let tail = (from..self.messages.len()).find(|&at| self.messages[at].speaker == Speaker::Assistant)?;
        (tail > 1).then_some(tail)
    }
}

fn size(message: &Message) -> u64 {
    let content = |content: &Content| match content {
        Content::Text(text) | Content::ToolResult { text, .. } => text.len(),
        Content::ToolUse { name, arguments, .. } => name.len() + arguments.to_string().len(),
    };
    message.content.iter().map(content).sum::<usize>() as u64
}

fn tools_used(messages: &[Arc<Message>]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for content in messages.iter().flat_map(|message| &message.content) {
        if let Content::ToolUse { name, .. } = content {
            match counts.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += 1,
                None => counts.push((name, 1)),
            }
        }
    }
    let words: Vec<String> = counts.into_iter().map(|(name, count)| format!("{name} ×{count}")).collect();
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

fn elided(message: &Message, before: &Message) -> Message {
    let tool = |id: &str| {
        let named = |content: &Content| match content {
            Content::ToolUse { id: of, name, .. } if of == id => Some(name.clone()),
            _ => None,
        };
        before.content.iter().find_map(named).unwrap_or_default()
    };
    let shorten = |content: &Content| match content {
        Content::ToolResult { id, text, is_error } if text.len() > KEEP_SHORT => {
            let name = tool(id);
            let first = text.lines().next().unwrap_or_default();
            let first: String = first.chars().take(120).collect();
            let text = format!("[{name}: {} bytes elided; it began: {first}]", text.len());
            Content::ToolResult { id: id.clone(), text, is_error: *is_error }
        }
        Content::ToolUse { id, name, arguments } => {
            Content::ToolUse { id: id.clone(), name: name.clone(), arguments: short_arguments(arguments) }
        }
        other => other.clone(),
    };
    Message { speaker: message.speaker, content: message.content.iter().map(shorten).collect() }
}

fn short_arguments(arguments: &Value) -> Value {
    let Value::Object(fields) = arguments else { return json!({}) };
    let short = |value: &Value| match value {
        Value::String(text) if text.len() > KEEP_SHORT => json!(format!("[{} bytes elided]", text.len())),
        other => other.clone(),
    };
    Value::Object(fields.iter().map(|(name, value)| (name.clone(), short(value))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn conversation(turns: usize, bytes: usize) -> Conversation {
        let mut conversation = Conversation::default();
        conversation.push(Message::user("the task"));
        for turn in 0..turns {
            let id = turn.to_string();
            let arguments = json!({"content": "y".repeat(bytes)});
            conversation.push(Message::assistant(vec![Content::ToolUse {
                id: id.clone(),
                name: "check".into(),
                arguments,
            }]));
            let result = Content::ToolResult { id, text: "x".repeat(bytes), is_error: false };
            conversation.push(Message { speaker: Speaker::User, content: vec![result] });
        }
        conversation
    }

    proptest! {
        #[test]
        fn what_is_compacted_is_still_a_conversation(turns in 0_usize..12, keep in 0_usize..10, drop: bool) {
            let mut compacted = conversation(turns, 2000);
            let before = compacted.clone();
            compacted.compact(keep, drop);
            prop_assert!(compacted.tokens() <= before.tokens() + 100);
            // Speakers alternate, from the user on; every result follows its call.
            for (at, pair) in compacted.messages.windows(2).enumerate() {
                prop_assert_eq!(pair[0].speaker == Speaker::User, at % 2 == 0);
                prop_assert_ne!(pair[0].speaker, pair[1].speaker);
                for content in &pair[1].content {
                    if let Content::ToolResult { id, .. } = content {
                        let called = pair[0].content.iter().any(|c| matches!(c, Content::ToolUse { id: of, .. } if of == id));
                        prop_assert!(called);
                    }
                }
            }
            // The task and the last turn stay whole.
            let Content::Text(task) = &compacted.messages[0].content[0] else { panic!() };
            prop_assert_eq!(task, "the task");
            if keep >= 2 {
                prop_assert_eq!(compacted.messages.last(), before.messages.last());
            }
        }
    }

    #[test]
    fn long_results_give_way_first_and_say_what_they_were() {
        let mut compacted = conversation(5, 3000);
        compacted.compact(4, false);
        let Content::ToolResult { text, .. } = &compacted.messages[2].content[0] else { panic!() };
        assert!(text.starts_with("[check: 3000 bytes elided; it began: xxx"), "{text}");
        compacted.compact(4, true);
        let Content::Text(note) = &compacted.messages[0].content[1] else { panic!() };
        assert!(note.contains("6 earlier messages") && note.contains("check ×3"), "{note}");
    }
}
