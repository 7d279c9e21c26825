//! How an attempt ends: what it offers, what it reports, and the limits that end it.

use atlas_proto::agent_event::Event;
use atlas_proto::report::Result as Outcome;
use atlas_proto::{Automated, Compacted, Nudged, Report, Submission};

use super::{Agent, Phase};

/// Answers in a row that cannot be used, after which the attempt has failed.
const MAX_NONSENSE: usize = 3;
/// Messages that stay whole when the conversation is shortened: four turns.
const KEEP_MESSAGES: u32 = 8;
/// Tokens of the system prompt and the tools' schemas, which every call carries besides the conversation.
const FIXED_TOKENS: u64 = 8_000;

impl Agent {
    pub(super) fn automated(&mut self, automated: &Automated) {
        self.checks += automated.checks;
        automated.changes.iter().for_each(|change| self.draft.put(change));
        self.outcome = Some(if automated.changes.is_empty() {
            Outcome::GaveUp(automated.summary.clone())
        } else {
            Outcome::Submission(self.submission(&automated.summary))
        });
    }

    pub(super) fn submission(&self, summary: &str) -> Submission {
        let task = &self.task;
        let target = task.target.clone().unwrap_or_default();
        let verb = match task.role.as_str() {
            "formalizer" => "State",
            "fixer" => "Repair",
            _ if task.refute => "Refute",
            _ => "Prove",
        };
        let title = if target.title.is_empty() { String::new() } else { format!(" ({})", target.title) };
        let agent = if self.model.is_empty() { task.role.clone() } else { self.model.clone() };
        Submission {
            id: format!("{}.1", task.attempt),
            attempt: task.attempt.clone(),
            target: target.id.clone(),
            role: task.role.clone(),
            agent,
            base_commit: task.base_commit.clone(),
            changes: self.draft.changes(),
            title: format!("{verb} {}{title}", target.id),
            summary: summary.to_owned(),
        }
    }

    pub(super) fn report(&self, mut outcome: Outcome) -> Report {
        if let Outcome::Review(review) = &mut outcome {
            review.noticed.clone_from(&self.setup.noticed);
        }
        Report {
            attempt: self.task.attempt.clone(),
            role: self.task.role.clone(),
            target: Self::region_id(&self.task),
            number: self.task.number,
            usage: Some(self.usage.into()),
            turns: self.usage.model_calls.min(u64::from(u32::MAX)) as u32,
            checks: self.checks,
            rejected: self.rejected,
            traceparent: String::new(), // the host's, when it is sent
            result: Some(outcome),
        }
    }

    /// What follows from the state by itself; the next one after it is applied.
    pub(super) fn follow_up(&self) -> Option<Event> {
        let conclude = |outcome: Outcome| Some(Event::Concluded(self.report(outcome)));
        let fail = |why: String| conclude(Outcome::Failed(why));
        if matches!(self.phase, Phase::Reporting(_) | Phase::Finished) {
            return None;
        }
        if let Some(outcome) = &self.outcome {
            return conclude(outcome.clone());
        }
        let stuck = matches!(self.phase, Phase::Working { .. }) && self.calls.is_empty();
        if (stuck || self.phase == Phase::Asking) && self.nonsense.len() >= MAX_NONSENSE {
            let last = self.nonsense.last().map(String::as_str).unwrap_or_default();
            return fail(format!(
                "the model gave {MAX_NONSENSE} answers in a row that cannot be used; of the last: {last}"
            ));
        }
        if stuck {
            let text = self.nonsense.last().cloned().unwrap_or_default();
            return Some(Event::Nudged(Nudged { turn: self.turn, text }));
        }
        if self.phase != Phase::Asking {
            return None;
        }
        let setup = &self.setup;
        if self.turn > setup.max_turns {
            return fail(format!(
                "all {} turns are used without {}",
                setup.max_turns,
                list(&setup.ends_with)
            ));
        }
        if self.usage.tokens() >= setup.max_tokens {
            let used = self.usage.tokens();
            return fail(format!(
                "all {} tokens are used ({used}) without {}",
                setup.max_tokens,
                list(&setup.ends_with)
            ));
        }
        if self.conversation.tokens() > self.room() {
            let keep = KEEP_MESSAGES >> self.compactions.saturating_sub(1).min(2);
            return match self.compactions {
                0 => Some(Event::Compacted(Compacted { turn: self.turn, keep, drop: false })),
                1..=3 => Some(Event::Compacted(Compacted { turn: self.turn, keep, drop: true })),
                _ => fail(format!(
                    "the task and the last turn do not fit into the model's window of {} tokens; use a model with a larger one, or correct its `contextWindow`",
                    setup.context_window
                )),
            };
        }
        None
    }

    /// Tokens that the conversation may have.
    pub(super) fn room(&self) -> u64 {
        match self.setup.context_window {
            0 => u64::MAX,
            window => {
                window.saturating_sub(u64::from(self.setup.max_output_tokens) + FIXED_TOKENS).max(window / 4)
            }
        }
    }
}

/// Tools as a sentence names them.
pub(super) fn list(tools: &[String]) -> String {
    let quoted: Vec<String> = tools.iter().map(|tool| format!("`{tool}`")).collect();
    quoted.join(" or ")
}
