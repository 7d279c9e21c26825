//! A turn: the model's answer, the calls in it, their results, the next question.

use std::sync::Arc;

use atlas_domain::Usage;
use atlas_llm::{Content, Message, Speaker};
use atlas_proto::report::Result as Outcome;
use atlas_proto::{AnswerStop, ModelAnswered, ToolsAnswered, answer_block};
use serde_json::Value;

use super::ending::list;
use super::{Agent, Phase};
use crate::command::{Call, Settlement, call_id};
use crate::tool::Request;
use crate::verdict;

/// Turns left at which the model is told so.
const WARN_AT: [u32; 2] = [3, 1];

impl Agent {
    pub(super) fn answered(&mut self, answer: &ModelAnswered) {
        let usage = Usage::from(answer.usage.unwrap_or_default());
        self.usage += usage;
        self.unsettled = Some(Settlement { call: call_id(&self.id.id, answer.turn), usage });
        self.model.clone_from(&answer.model);
        let mut content = Vec::with_capacity(answer.blocks.len());
        let mut calls = Vec::new();
        for block in answer.blocks.iter().filter_map(|block| block.block.as_ref()) {
            match block {
                answer_block::Block::Text(text) if text.trim().is_empty() => {}
                answer_block::Block::Text(text) => content.push(Content::Text(text.clone())),
                answer_block::Block::Call(call) => {
                    let (id, name) = (call.id.clone(), call.name.clone());
                    let arguments = serde_json::from_str(&call.arguments)
                        .unwrap_or_else(|_| Value::from(call.arguments.as_str()));
                    let request = Request::parse(&name, &arguments, &self.setup.tools);
                    // The conversation goes back to a provider: arguments must be an object there.
                    let sent = if arguments.is_object() {
                        arguments.clone()
                    } else {
                        Value::Object(serde_json::Map::new())
                    };
                    content.push(Content::ToolUse { id: id.clone(), name: name.clone(), arguments: sent });
                    calls.push(Call { id, tool: name, arguments, request });
                }
            }
        }
        if content.is_empty() {
            content.push(Content::Text("(no words)".to_owned()));
        }
        self.conversation.push(Message::assistant(content));
        match calls.iter().find_map(|call| call.request.as_ref().err()) {
            Some(why) if calls.iter().all(|call| call.request.is_err()) => self.nonsense.push(why.clone()),
            _ if calls.is_empty() => self.nonsense.push(no_call(answer.stop(), &self.setup.ends_with)),
            _ => self.nonsense.clear(),
        }
        self.calls = Arc::new(calls);
        self.results.clear();
        self.phase = Phase::Working { next: 0 };
        self.advance();
    }

    /// Carries out what needs no I/O, up to the first call that does, an ending, or the end of the turn.
    pub(super) fn advance(&mut self) {
        let calls = Arc::clone(&self.calls);
        while let Phase::Working { next } = &mut self.phase {
            let Some(call) = calls.get(*next) else { break };
            let result = match &call.request {
                Err(why) => Err(why.clone()),
                Ok(request) if request.needs_io() || self.draft.needs(request).is_some() => return,
                Ok(Request::ReadBook(read)) => Ok(excerpt(&self.task.excerpt, read.from, read.to)),
                Ok(request) => match verdict::outcome(request, &self.task) {
                    Some(Ok(outcome)) => {
                        self.outcome = Some(outcome);
                        return;
                    }
                    Some(Err(why)) => Err(why),
                    None => self.draft.edit(request),
                },
            };
            *next += 1;
            let is_error = result.is_err();
            let text = result.unwrap_or_else(|why| why);
            self.results.push(Content::ToolResult { id: call.id.clone(), text, is_error });
        }
        if !calls.is_empty() {
            self.next_turn(None);
        }
    }

    pub(super) fn next_turn(&mut self, nudge: Option<&str>) {
        let mut content = std::mem::take(&mut self.results);
        content.extend(nudge.map(|text| Content::Text(text.to_owned())));
        let left = self.setup.max_turns.saturating_sub(self.turn);
        if WARN_AT.contains(&left) {
            let turns = if left == 1 { "turn is" } else { "turns are" };
            content.push(Content::Text(format!(
                "[{left} {turns} left. End with {}.]",
                list(&self.setup.ends_with)
            )));
        }
        self.conversation.push(Message { speaker: Speaker::User, content });
        self.calls = Arc::default();
        self.turn += 1;
        self.phase = Phase::Asking;
    }

    pub(super) fn worked(&mut self, answered: &ToolsAnswered) {
        self.unsettled = None;
        answered.loaded.iter().for_each(|file| self.draft.load(file));
        let calls = Arc::clone(&self.calls);
        for result in &answered.results {
            self.checks += result.checks;
            self.rejected += result.rejected;
            let Phase::Working { next } = &mut self.phase else { return };
            let Some(call) = calls.get(*next) else { return };
            if let (Ok(Request::Submit(submit)), true) = (&call.request, result.accepted) {
                self.outcome = Some(Outcome::Submission(self.submission(&submit.summary)));
                return;
            }
            *next += 1;
            let (text, is_error) = (result.text.clone(), result.is_error);
            self.results.push(Content::ToolResult { id: call.id.clone(), text, is_error });
        }
        self.advance();
    }

    /// The calls from `next` on that can run at once: they need I/O and change nothing. `submit` runs alone.
    pub(super) fn batch(&self, next: usize) -> Vec<Call> {
        let io = |call: &Call| matches!(&call.request, Ok(request) if request.needs_io());
        let submit = |call: &Call| matches!(call.request, Ok(Request::Submit(_)));
        let mut batch: Vec<Call> = Vec::new();
        for call in self.calls[next..].iter().take_while(|call| io(call)) {
            if submit(call) && !batch.is_empty() {
                break;
            }
            batch.push(call.clone());
            if submit(call) {
                break;
            }
        }
        batch
    }
}

fn no_call(stop: AnswerStop, ends_with: &[String]) -> String {
    let why = match stop {
        AnswerStop::MaxTokens => {
            "Your answer was cut off at the output limit before it called a tool. Be shorter."
        }
        AnswerStop::Refusal => "Your answer was a refusal and called no tool.",
        _ => "Your answer called no tool, so nothing happened.",
    };
    format!("{why} Words alone decide nothing here: call a tool, and end with {}.", list(ends_with))
}

/// The lines `from` to `to` of an excerpt whose lines begin with their numbers.
fn excerpt(excerpt: &str, from: Option<u32>, to: Option<u32>) -> String {
    let number = |line: &str| -> Option<u32> {
        let digits: String = line.trim_start().chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(u32::MAX));
    let shown: Vec<&str> =
        excerpt.lines().filter(|line| number(line).is_none_or(|n| (from..=to).contains(&n))).collect();
    if shown.is_empty() {
        "There are no such lines in your part of the book.".to_owned()
    } else {
        shown.join("\n")
    }
}
