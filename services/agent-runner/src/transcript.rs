//! The story of an attempt, told from its journal: for `atlas logs AGENT` and the report.

use std::fmt;

use atlas_actor::Machine;
use atlas_bus::Bus;
use atlas_domain::{ActorId, Usage};
use atlas_llm::Content;
use atlas_proto::agent_event::Event;
use atlas_proto::report::Result as Outcome;
use atlas_proto::triage::Action;
use atlas_proto::{AgentEvent, Decision, Record, answer_block};
use prost::Message as _;
use serde::Serialize;

use crate::check::shorten;
use crate::machine::Agent;

/// The longest argument or result that [`Story`]'s text shows, in bytes.
const SHOWN: usize = 4_000;

/// An attempt's journal cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum TranscriptError {
    /// It cannot be read.
    #[error("cannot read the journal of {attempt}: {cause}")]
    Read {
        /// The attempt.
        attempt: String,
        /// What the bus said.
        cause: atlas_bus::Error,
    },
    /// There is none.
    #[error("there is no attempt `{attempt}` in run `{run}`; `atlas status` lists the agents at work")]
    Unknown {
        /// The attempt.
        attempt: String,
        /// The run.
        run: String,
    },
    /// One of its records does not decode.
    #[error("the journal of {attempt} has a damaged record at sequence {sequence}: {cause}")]
    Damaged {
        /// The attempt.
        attempt: String,
        /// The record's sequence in the journal.
        sequence: u64,
        /// What is wrong with it.
        cause: prost::DecodeError,
    },
}

/// A tool call and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ToolUse {
    /// The tool.
    pub tool: String,
    /// Its arguments.
    pub arguments: serde_json::Value,
    /// The result; absent while it is awaited, and of the call that ended the attempt.
    pub result: Option<String>,
    /// Whether the result says that the call was wrong.
    pub is_error: bool,
}

/// One turn of the model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// From 1.
    pub number: u32,
    /// When the answer was recorded, Unix milliseconds.
    pub time_ms: u64,
    /// The model, as its provider names it.
    pub model: String,
    /// Its words.
    pub said: String,
    /// Its tool calls.
    pub calls: Vec<ToolUse>,
    /// What the runner told it beyond the results: that an answer could not be used.
    pub nudged: Option<String>,
    /// What the turn used.
    pub usage: Usage,
}

/// An attempt, told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Story {
    /// The attempt.
    pub attempt: String,
    /// Its role.
    pub role: String,
    /// Its target.
    pub target: String,
    /// The run's model.
    pub model: String,
    /// When its task came, Unix milliseconds.
    pub started_ms: u64,
    /// When something was last recorded, Unix milliseconds.
    pub changed_ms: u64,
    /// The first message to the model.
    pub opening: String,
    /// The model's turns.
    pub turns: Vec<Turn>,
    /// What they used.
    pub usage: Usage,
    /// Questions to Lean.
    pub checks: u32,
    /// Why it ended; absent while it has not.
    pub ended: Option<String>,
    /// W3C trace context of its first record.
    pub traceparent: String,
}

/// Reads the journal of `attempt` and tells its story.
///
/// # Errors
/// [`TranscriptError`].
pub async fn transcript(bus: &Bus, attempt: &ActorId) -> Result<Story, TranscriptError> {
    tell(attempt, &journal(bus, attempt).await?)
}

/// The records of an attempt, live or archived; never none.
pub(crate) async fn journal(bus: &Bus, attempt: &ActorId) -> Result<Vec<(u64, Record)>, TranscriptError> {
    let records = bus.records(attempt).await;
    let records = records.map_err(|cause| TranscriptError::Read { attempt: attempt.id.clone(), cause })?;
    if records.is_empty() {
        return Err(TranscriptError::Unknown { attempt: attempt.id.clone(), run: attempt.run.to_string() });
    }
    Ok(records)
}

/// Tells the story of a journal.
///
/// # Errors
/// [`TranscriptError::Damaged`].
pub fn tell(attempt: &ActorId, records: &[(u64, Record)]) -> Result<Story, TranscriptError> {
    let mut agent = Agent::new(attempt);
    let mut story = Story { attempt: attempt.id.clone(), ..Story::default() };
    story.traceparent = records.first().map(|(_, record)| record.traceparent.clone()).unwrap_or_default();
    // The mark of an archived journal is no part of the story.
    for (sequence, record) in records.iter().filter(|(_, record)| !Bus::is_archived(record)) {
        for bytes in &record.events {
            let event = AgentEvent::decode(bytes.as_slice()).map_err(|cause| TranscriptError::Damaged {
                attempt: attempt.id.clone(),
                sequence: *sequence,
                cause,
            })?;
            agent.apply(&event, record.time_ms);
            story.note(&agent, &event, record.time_ms);
        }
    }
    story.role.clone_from(&agent.task().role);
    story.target = agent.task().target.as_ref().map(|t| t.id.clone()).unwrap_or_default();
    (story.started_ms, story.changed_ms) = (agent.started_ms(), agent.changed_ms());
    (story.usage, story.checks) = (agent.usage(), agent.checks());
    story.ended = agent.outcome().map(|outcome| ending(Some(outcome)));
    Ok(story)
}

impl Story {
    fn note(&mut self, agent: &Agent, event: &AgentEvent, time_ms: u64) {
        match &event.event {
            Some(Event::Prepared(prepared)) => {
                self.opening.clone_from(&prepared.opening);
                self.model.clone_from(&prepared.model);
            }
            Some(Event::ModelAnswered(answer)) => {
                let mut turn = Turn {
                    number: answer.turn,
                    time_ms,
                    model: answer.model.clone(),
                    said: String::new(),
                    calls: Vec::new(),
                    nudged: None,
                    usage: answer.usage.unwrap_or_default().into(),
                };
                for block in answer.blocks.iter().filter_map(|block| block.block.as_ref()) {
                    match block {
                        answer_block::Block::Text(text) => turn.said.push_str(text),
                        answer_block::Block::Call(call) => turn.calls.push(ToolUse {
                            tool: call.name.clone(),
                            arguments: serde_json::from_str(&call.arguments)
                                .unwrap_or_else(|_| call.arguments.as_str().into()),
                            result: None,
                            is_error: false,
                        }),
                    }
                }
                self.turns.push(turn);
            }
            Some(Event::Nudged(nudged)) => {
                if let Some(turn) = self.turns.last_mut() {
                    turn.nudged = Some(nudged.text.clone());
                }
            }
            // It shortens the conversation; what was said before it is told already.
            Some(Event::Compacted(_)) => return,
            _ => {}
        }
        self.collect(agent);
    }

    /// The results that the last turn has by now.
    fn collect(&mut self, agent: &Agent) {
        let Some(turn) = self.turns.last_mut() else { return };
        let (_, current) = agent.current();
        let closed = agent.turn() > turn.number;
        let content =
            if closed { agent.messages().last().map_or(&[][..], |m| &m.content[..]) } else { current };
        let results = content.iter().filter_map(|content| match content {
            Content::ToolResult { text, is_error, .. } => Some((text, *is_error)),
            _ => None,
        });
        for (call, (text, is_error)) in turn.calls.iter_mut().zip(results) {
            if call.result.is_none() {
                (call.result, call.is_error) = (Some(text.clone()), is_error);
            }
        }
    }
}

/// How an attempt ended, in a line.
pub fn ending(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "at work".to_owned(),
        Some(Outcome::Submission(submission)) => format!("submitted: {}", submission.summary),
        Some(Outcome::Review(review)) => {
            let decision = match review.decision() {
                Decision::Approve => "approved",
                Decision::RequestChanges => "requested changes",
                Decision::Reject => "rejected",
                Decision::Unspecified => "gave no decision",
            };
            let reasons = review.reasons.join("; ");
            if reasons.is_empty() { decision.to_owned() } else { format!("{decision}: {reasons}") }
        }
        Some(Outcome::Triage(triage)) => match &triage.action {
            Some(Action::Decompose(parts)) => {
                let ids: Vec<&str> = parts.targets.iter().map(|t| t.id.as_str()).collect();
                format!("decomposed into {}", ids.join(", "))
            }
            Some(Action::CorrectStatement(why)) => format!("sent the statement back: {why}"),
            Some(Action::Escalate(question)) => format!("asks a human: {question}"),
            Some(Action::Refute(why)) => format!("to be refuted: {why}"),
            Some(Action::Retry(advice)) => format!("advises: {advice}"),
            None => "decided nothing".to_owned(),
        },
        Some(Outcome::Extraction(extraction)) => format!("extracted {} targets", extraction.targets.len()),
        Some(Outcome::GaveUp(reason)) => format!("gave up: {reason}"),
        Some(Outcome::Failed(reason)) => format!("failed: {reason}"),
        Some(Outcome::OutOfBudget(reason)) => format!("out of budget: {reason}"),
    }
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} at work on {}", self.attempt, self.role, self.target)?;
        if !self.opening.is_empty() {
            writeln!(f, "\n{}", indent(&shorten(&self.opening, 2 * SHOWN)))?;
        }
        for turn in &self.turns {
            let usage = &turn.usage;
            writeln!(
                f,
                "\nTurn {} ({}): {} tokens in, {} cached, {} out",
                turn.number,
                turn.model,
                usage.input_tokens + usage.cache_write_tokens,
                usage.cache_read_tokens,
                usage.output_tokens
            )?;
            if !turn.said.trim().is_empty() {
                writeln!(f, "{}", indent(turn.said.trim()))?;
            }
            for call in &turn.calls {
                writeln!(f, "  → {} {}", call.tool, shorten(&call.arguments.to_string(), SHOWN))?;
                if let Some(result) = &call.result {
                    let mark = if call.is_error { "✗" } else { "←" };
                    writeln!(f, "  {mark} {}", indent(&shorten(result.trim_end(), SHOWN)).trim_start())?;
                }
            }
            if let Some(nudged) = &turn.nudged {
                writeln!(f, "  ! {nudged}")?;
            }
        }
        let usage = &self.usage;
        writeln!(
            f,
            "\n{}\n{} turns, {} checks, {} tokens, ${:.4}",
            self.ended.as_deref().unwrap_or("still at work"),
            self.turns.len(),
            self.checks,
            usage.tokens(),
            usage.cost_microdollars as f64 / 1e6
        )
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
