//! What the planner knows of one target beyond the blueprint: its attempts, what waits for review or
//! landing, and what a person said.

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use atlas_domain::Usage;
use atlas_proto::{Diagnostic, PriorAttempt, Submission, Tag};
use serde::{Deserialize, Serialize};

use crate::role::Role;

/// What a submission is to do for its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Put its statement (or the whole definition) into the library.
    State,
    /// Put its proof in the place of `sorry`.
    Prove,
    /// Put the proved negation in the statement's place.
    Refute,
}

/// Where a submission is on its way into the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Offered; a reviewer is to be found.
    Offered,
    /// A reviewer reads it.
    InReview,
    /// To be landed, as soon as what it rests on is stated.
    Approved,
    /// The merge queue said no; a fixer is to be found.
    Refused { reason: String, diagnostics: Vec<Diagnostic>, head: String },
    /// A fixer works on it.
    Fixing,
}

/// A submission on its way into the library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    pub submission: Arc<Submission>,
    pub purpose: Purpose,
    pub author: Role,
    pub stage: Stage,
    /// How often the merge queue's refusals of it have been repaired.
    pub fixes: u32,
    /// How often it was offered again after a fault of the environment.
    pub resubmissions: u32,
    /// Reviews of it that came to nothing.
    pub lost_reviews: u32,
    /// What its reviewer was told beyond the facts that a landing brings.
    pub noticed: Vec<Tag>,
    pub traceparent: String,
    /// Its attempt, in [`Track::history`].
    pub past: usize,
}

/// What an attempt took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub role: Role,
    pub number: u32,
    pub turns: u32,
    pub checks: u32,
    pub rejected: u32,
    pub usage: Usage,
}

/// An attempt that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Past {
    pub ended: Ended,
    pub outcome: Cow<'static, str>,
    pub reason: String,
    pub approach: String,
    /// Of its landing.
    pub commit: String,
}

/// The statement that the library holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frozen {
    /// Elaborated, as Lean prints it.
    pub statement: String,
    /// Of its whole closure as terms.
    pub hash: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Track {
    /// Its region lies in the library.
    pub laid_out: bool,
    /// Its place among the regions of the library; parts share that of their whole.
    pub place: u32,
    /// Stays while the statement is being corrected: then the blueprint counts it as unstated.
    pub frozen: Option<Frozen>,
    /// What was noticed of the declaration that the library holds: by its landing, and before the review of its statement.
    pub tags: [Vec<Tag>; 2],
    /// Counts the statements that it has had; work on an older one is void.
    pub revision: u32,
    /// Submissions; only the first is at work, others of a race wait for its end.
    pub candidates: VecDeque<Candidate>,
    pub history: Vec<Past>,
    /// Attempts by role, ever.
    pub numbers: [u32; Role::ALL.len()],
    /// Attempts at work, losers of races among them.
    pub running: BTreeSet<String>,
    /// Provers and automation at work on this revision.
    pub authors: u32,
    /// Failed attempts since the last landing, triage or reply.
    pub failures: u32,
    /// Triages since the last landing or reply.
    pub triages: u32,
    pub automation_done: bool,
    /// Triage said that the statement is false.
    pub refuting: bool,
    /// A person has answered, and triage is to make use of it.
    pub consult: bool,
    /// The question that waits for a person.
    pub escalation: Option<String>,
    pub human_reply: String,
    pub usage: Usage,
    pub turns: u64,
    pub checks: u64,
    pub landed_commit: String,
    /// The landing by which its declaration is known.
    pub known_at: u64,
    /// Why it is refuted, escalated, or not further.
    pub reason: String,
    /// Since when it has had work that could start.
    pub ready_since_ms: u64,
}

/// Attempts that a task shows an agent; older ones say little that later ones do not.
const MEMORY: usize = 12;
/// Bytes of one reason or approach in an agent's memory.
const MEMORY_TEXT: usize = 2_000;

impl Track {
    /// Notes the end of an attempt and gives its place in the history.
    pub fn note(&mut self, ended: Ended, outcome: &'static str, reason: &str, approach: &str) -> usize {
        if !reason.is_empty() {
            reason.clone_into(&mut self.reason);
        }
        self.history.push(Past {
            ended,
            outcome: outcome.into(),
            reason: clipped(reason),
            approach: clipped(approach),
            commit: String::new(),
        });
        self.history.len() - 1
    }

    /// The front candidate leaves with this outcome.
    pub fn dismiss(&mut self, outcome: &'static str, reason: &str) {
        if let Some(candidate) = self.candidates.pop_front() {
            let past = &mut self.history[candidate.past];
            past.outcome = outcome.into();
            past.reason = clipped(reason);
            if !reason.is_empty() {
                reason.clone_into(&mut self.reason);
            }
        }
    }

    /// The proof that landed is `sorry` again; the next attempts are told why.
    pub fn reopen(&mut self, reason: &str) {
        if let Some(past) = self.history.iter_mut().rev().find(|past| past.outcome == "landed") {
            past.outcome = "reopened".into();
            past.reason = clipped(reason);
        }
        self.begin_anew();
        self.triages = 0;
        self.automation_done = false;
        reason.clone_into(&mut self.reason);
    }

    /// All candidates leave and all attempts at work become void.
    pub fn void(&mut self, outcome: &'static str, reason: &str) {
        while !self.candidates.is_empty() {
            self.dismiss(outcome, reason);
        }
        self.revision += 1;
        self.authors = 0;
    }

    /// Counters start anew: something has changed since the failures that they count.
    pub fn begin_anew(&mut self) {
        self.failures = 0;
        self.refuting = false;
        self.consult = false;
    }

    /// What earlier attempts tried and why they failed, oldest first.
    pub fn memory(&self) -> Vec<PriorAttempt> {
        let notable: Vec<&Past> =
            self.history.iter().filter(|past| !matches!(&*past.outcome, "dropped" | "approved")).collect();
        notable[notable.len().saturating_sub(MEMORY)..]
            .iter()
            .map(|past| PriorAttempt {
                role: past.ended.role.to_string(),
                number: past.ended.number,
                outcome: past.outcome.to_string(),
                reason: past.reason.clone(),
                approach: past.approach.clone(),
            })
            .collect()
    }
}

/// The text, or its beginning and its end when it is long: causes stand at either.
fn clipped(text: &str) -> String {
    if text.len() <= MEMORY_TEXT {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(MEMORY_TEXT / 2);
    let tail = text.ceil_char_boundary(text.len() - MEMORY_TEXT / 2);
    format!("{}\n…\n{}", &text[..head], &text[tail..])
}
