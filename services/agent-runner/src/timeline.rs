//! An attempt's journal as a table: when what was recorded, what it cost, what was waited for.

use atlas_actor::Machine;
use atlas_bus::Bus;
use atlas_domain::{ActorId, Usage};
use atlas_proto::agent_event::Event;
use atlas_proto::{AgentEvent, Record, answer_block};
use prost::Message as _;
use serde::Serialize;

use crate::machine::Agent;
use crate::transcript::{TranscriptError, ending, journal};

/// What an attempt waited for before something was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Waited {
    /// For the runner: to be prepared, to be told something.
    Runner,
    /// For the model.
    Model,
    /// For tools, Lean among them.
    Tools,
    /// For automation, which asks Lean.
    Automation,
}

/// Something that was recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moment {
    /// Sequence of its record in the stream of journals.
    pub sequence: u64,
    /// When it was recorded, Unix milliseconds.
    pub time_ms: u64,
    /// Fencing epoch of the host that wrote it: another one means that the attempt changed hosts.
    pub epoch: u64,
    /// In words.
    pub what: String,
    /// What the time since the record before it went to.
    pub waited: Waited,
    /// What it used; of a model's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Questions to Lean that it took.
    pub checks: u32,
}

/// An attempt's journal, oldest first, and why it ended, if it has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// The attempt.
    pub attempt: String,
    /// Its role.
    pub role: String,
    /// Its target.
    pub target: String,
    /// What was recorded.
    pub moments: Vec<Moment>,
    /// Why it ended; absent while it has not.
    pub ended: Option<String>,
}

impl Timeline {
    /// Milliseconds that went to `waited`.
    pub fn waited(&self, waited: Waited) -> u64 {
        let pairs = self.moments.windows(2);
        pairs.filter(|p| p[1].waited == waited).map(|p| p[1].time_ms.saturating_sub(p[0].time_ms)).sum()
    }
}

/// Reads an attempt's journal, live or archived.
///
/// # Errors
/// [`TranscriptError`].
pub async fn timeline(bus: &Bus, attempt: &ActorId) -> Result<Timeline, TranscriptError> {
    lay_out(attempt, &journal(bus, attempt).await?)
}

/// Lays a journal out.
///
/// # Errors
/// [`TranscriptError::Damaged`].
pub fn lay_out(attempt: &ActorId, records: &[(u64, Record)]) -> Result<Timeline, TranscriptError> {
    let mut agent = Agent::new(attempt);
    let mut moments = Vec::new();
    for (sequence, record) in records.iter().filter(|(_, record)| !Bus::is_archived(record)) {
        for bytes in &record.events {
            let event = AgentEvent::decode(bytes.as_slice()).map_err(|cause| TranscriptError::Damaged {
                attempt: attempt.id.clone(),
                sequence: *sequence,
                cause,
            })?;
            agent.apply(&event, record.time_ms);
            let (what, waited) = describe(&event);
            let usage = match &event.event {
                Some(Event::ModelAnswered(answer)) => answer.usage.map(Into::into),
                _ => None,
            };
            let checks = match &event.event {
                Some(Event::ToolsAnswered(answered)) => answered.results.iter().map(|r| r.checks).sum(),
                Some(Event::Automated(automated)) => automated.checks,
                _ => 0,
            };
            moments.push(Moment {
                sequence: *sequence,
                time_ms: record.time_ms,
                epoch: record.epoch,
                what,
                waited,
                usage,
                checks,
            });
        }
    }
    Ok(Timeline {
        attempt: attempt.id.clone(),
        role: agent.task().role.clone(),
        target: agent.task().target.as_ref().map(|t| t.id.clone()).unwrap_or_default(),
        moments,
        ended: agent.outcome().map(|outcome| ending(Some(outcome))),
    })
}

/// An event in words, and what was waited for before it.
fn describe(event: &AgentEvent) -> (String, Waited) {
    match &event.event {
        Some(Event::Started(_)) => ("its task came".to_owned(), Waited::Runner),
        Some(Event::Prepared(prepared)) if !prepared.problem.is_empty() => {
            (format!("it cannot start: {}", prepared.problem), Waited::Runner)
        }
        Some(Event::Prepared(prepared)) if prepared.model.is_empty() => {
            ("prepared: no model takes part".to_owned(), Waited::Runner)
        }
        Some(Event::Prepared(prepared)) => {
            (format!("prepared: {}, at most {} turns", prepared.model, prepared.max_turns), Waited::Runner)
        }
        Some(Event::ModelAnswered(answer)) => {
            let calls: Vec<&str> = answer
                .blocks
                .iter()
                .filter_map(|block| match &block.block {
                    Some(answer_block::Block::Call(call)) => Some(call.name.as_str()),
                    _ => None,
                })
                .collect();
            let calls = if calls.is_empty() { "no call".to_owned() } else { calls.join(", ") };
            (format!("turn {}: {calls}", answer.turn), Waited::Model)
        }
        Some(Event::ToolsAnswered(answered)) => {
            let wrong = answered.results.iter().filter(|result| result.is_error).count();
            let rejected: u32 = answered.results.iter().map(|result| result.rejected).sum();
            let mut what = match answered.results.len() {
                1 => "tool answered".to_owned(),
                n => format!("{n} tools answered"),
            };
            if wrong > 0 {
                what += &format!(", {wrong} refused");
            }
            if rejected > 0 {
                what += &format!(", Lean found errors {rejected}\u{00d7}");
            }
            if answered.results.iter().any(|result| result.accepted) {
                what += ", submitted";
            }
            (what, Waited::Tools)
        }
        Some(Event::Nudged(nudged)) => (format!("told: {}", first_line(&nudged.text)), Waited::Runner),
        Some(Event::Compacted(_)) => ("the conversation was shortened".to_owned(), Waited::Runner),
        Some(Event::BudgetRefused(refused)) => {
            (format!("no money: {}", first_line(&refused.reason)), Waited::Runner)
        }
        Some(Event::ModelFailed(failed)) => {
            (format!("the model failed: {}", first_line(&failed.reason)), Waited::Model)
        }
        Some(Event::Automated(automated)) => {
            (format!("automation: {}", first_line(&automated.summary)), Waited::Automation)
        }
        Some(Event::Concluded(_)) => ("concluded".to_owned(), Waited::Runner),
        Some(Event::Finished(_)) => ("the planner has its report".to_owned(), Waited::Runner),
        None => ("an event that this program does not know".to_owned(), Waited::Runner),
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use atlas_domain::{ActorKind, RunId};
    use atlas_proto::{BudgetRefused, Task, ToolResult, ToolsAnswered};

    use super::*;

    #[test]
    fn time_is_laid_to_what_was_waited_for() {
        let attempt =
            ActorId { run: RunId::new("r").unwrap(), kind: ActorKind::Agent, id: "a.prover.1".into() };
        let event = |event| AgentEvent { event: Some(event) }.encode_to_vec();
        let record =
            |time_ms, epoch, bytes| Record { time_ms, epoch, events: vec![bytes], ..Record::default() };
        let results = vec![ToolResult { checks: 2, rejected: 1, ..ToolResult::default() }];
        let records = [
            (3, record(1_000, 7, event(Event::Started(Task::default())))),
            (
                5,
                record(
                    1_500,
                    7,
                    event(Event::ToolsAnswered(ToolsAnswered { results, ..ToolsAnswered::default() })),
                ),
            ),
            (
                9,
                record(
                    1_600,
                    8,
                    event(Event::BudgetRefused(BudgetRefused { turn: 1, reason: "spent\nall".into() })),
                ),
            ),
        ];
        let timeline = lay_out(&attempt, &records).unwrap();
        let told: Vec<(u64, u64, &str)> =
            timeline.moments.iter().map(|m| (m.sequence, m.epoch, m.what.as_str())).collect();
        let tools = "tool answered, Lean found errors 1\u{00d7}";
        assert_eq!(told, [(3, 7, "its task came"), (5, 7, tools), (9, 8, "no money: spent")]);
        assert_eq!((timeline.waited(Waited::Tools), timeline.waited(Waited::Runner)), (500, 100));
        assert_eq!(timeline.moments[1].checks, 2);
    }
}
