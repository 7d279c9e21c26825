//! What the planner tells the outside: `atlas status`, the terminal, and the targets of the report.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_domain::{Holding, Standing, TargetIx, TargetState, Usage};
use atlas_proto::Tag;
use atlas_proto::tag::Weight;
use serde::{Deserialize, Serialize};

use crate::landing::Layout;
use crate::machine::Planner;
use crate::role::Role;
use crate::track::{Past, Stage};

/// Entries of [`Status::targets`]; more would make a document that no one can move four times a second.
const MOST_TARGETS: usize = 2_000;

/// The document `<run>.planner`. What a document of another version lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The run.
    pub run: String,
    /// starting, extracting, working, stopping or finished.
    pub phase: String,
    /// When the run was opened, Unix milliseconds.
    pub started_ms: u64,
    /// When its last event was recorded, Unix milliseconds.
    pub updated_ms: u64,
    /// Targets by state.
    pub counts: BTreeMap<String, u64>,
    /// Agents at work by role.
    pub agents: BTreeMap<String, u64>,
    /// Questions that wait for a person, at most 2,000.
    pub escalations: Vec<Escalation>,
    /// Submissions that landed.
    pub landings: u64,
    /// The last events in words, oldest first.
    pub recent: Vec<String>,
    /// The targets, at most 2,000.
    pub targets: Vec<Arc<TargetStatus>>,
    /// What each role has used, of attempts that have ended.
    pub usage: BTreeMap<String, Usage>,
    /// The limits.
    pub budget: Budget,
    /// `None` while there is work; afterwards why there is none.
    pub finished: Option<Finished>,
}

/// A question that waits for a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Escalation {
    /// The target; what `atlas reply` takes.
    pub target: String,
    /// The question.
    pub question: String,
}

/// The run's limits; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Millionths of a US dollar.
    pub microdollars: u64,
    /// Tokens of all classes.
    pub tokens: u64,
    /// Unix milliseconds.
    pub deadline_ms: u64,
}

/// Why a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finished {
    /// In words.
    pub reason: String,
    /// What `atlas run` exits with: 0 all targets certified or refuted, 1 fault, 2 bad input, 3 targets
    /// open, 4 budget or deadline.
    pub exit_code: u8,
}

/// How a target got where it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetStatus {
    /// Label.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// Chapter's slug.
    pub chapter: String,
    /// Name or number in the book.
    pub title: String,
    /// How far it has come.
    pub state: TargetState,
    /// Lean name; of the negation once that is certified.
    pub declaration: String,
    /// Lean module.
    pub module: String,
    /// Formalizers, provers and fixers that were started.
    pub attempts: u64,
    /// Tokens of all classes that its attempts have used.
    pub tokens: u64,
    /// Cost in millionths of a US dollar.
    pub cost: u64,
    /// Model turns.
    pub turns: u64,
    /// Questions to Lean.
    pub checks: u64,
    /// The last commit that landed for it.
    pub landed_commit: Option<String>,
    /// Why it is refuted, escalated or not further.
    pub reason: Option<String>,
    /// The target that it is a part of.
    pub parent: Option<String>,
    /// The question that waits for a person.
    pub question: Option<String>,
    /// What a person answered.
    pub reply: Option<String>,
    /// Grave facts and doubts among [`Planner::tags`].
    pub doubts: u32,
}

/// An attempt that has ended, for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptStatus {
    /// Role.
    pub role: String,
    /// Which of the role's attempts at this target.
    pub number: u32,
    /// How it ended: submitted, landed, reopened (landed, and `sorry` again), refused, reviewed, approved, gave-up, failed, dropped, out-of-budget, or
    /// what triage decided.
    pub outcome: String,
    /// Why.
    pub reason: String,
    /// The commit that it landed as.
    pub commit: Option<String>,
    /// Model turns.
    pub turns: u32,
    /// Questions to Lean.
    pub checks: u32,
    /// Of these, those in which Lean found errors.
    pub rejected: u32,
    /// What it used.
    pub usage: Usage,
}

impl Planner {
    /// How far a target has come.
    pub fn state(&self, ix: TargetIx) -> TargetState {
        let track = self.track(ix);
        let standing = self.blueprint.standing(ix);
        match standing {
            Standing::Certified => return TargetState::Certified,
            Standing::Proved => return TargetState::Proved,
            Standing::Refuted => return TargetState::Refuted,
            _ if track.escalation.is_some() => return TargetState::Escalated,
            _ => {}
        }
        let waits_to_land = matches!(track.candidates.front(), Some(front) if matches!(front.stage, Stage::Approved))
            && !self.can_merge(ix);
        let at_work = !track.running.is_empty() || !track.candidates.is_empty() && !waits_to_land;
        match (standing, at_work) {
            (Standing::Unstated, false) => TargetState::Open,
            (Standing::Unstated, true) => TargetState::Stating,
            (_, false) => TargetState::Stated,
            (_, true) => TargetState::Proving,
        }
    }

    /// The planner's document.
    pub fn status(&self) -> Status {
        let finished = self.finished();
        Status {
            run: self.run.to_string(),
            phase: self.phase(finished.is_some()).to_owned(),
            started_ms: self.opened_ms,
            updated_ms: self.now_ms,
            counts: self.tally.states(),
            agents: self.tally.roles(),
            escalations: (self.tally.asking().iter().take(MOST_TARGETS))
                .filter_map(|ix| {
                    let entry = self.entries.get(ix.index())?;
                    Some(Escalation { target: entry.id.clone(), question: entry.question.clone()? })
                })
                .collect(),
            landings: self.landings,
            recent: self.recent.iter().cloned().collect(),
            targets: self.entries.iter().take(MOST_TARGETS).cloned().collect(),
            usage: self.usage.iter().map(|(role, usage)| (role.to_string(), *usage)).collect(),
            budget: Budget {
                microdollars: self.policy.budget_microdollars,
                tokens: self.policy.budget_tokens,
                deadline_ms: self.policy.deadline_unix_ms,
            },
            finished,
        }
    }

    /// All targets as the report shows them, not capped.
    pub fn targets(&self) -> &[Arc<TargetStatus>] {
        &self.entries
    }

    /// The attempts at a target that have ended, oldest first. Without such a target: none.
    pub fn attempts(&self, target: &str) -> Vec<AttemptStatus> {
        let Some(ix) = self.blueprint.find(target) else { return Vec::new() };
        let attempt = |past: &Past| AttemptStatus {
            role: past.ended.role.to_string(),
            number: past.ended.number,
            outcome: past.outcome.to_string(),
            reason: past.reason.clone(),
            commit: (!past.commit.is_empty()).then(|| past.commit.clone()),
            turns: past.ended.turns,
            checks: past.ended.checks,
            rejected: past.ended.rejected,
            usage: past.ended.usage,
        };
        self.track(ix).history.iter().map(attempt).collect()
    }

    /// What was noticed of a target's declaration in the library that no kernel refuses, the gravest first. Without such a target: nothing.
    pub fn tags(&self, target: &str) -> Vec<Tag> {
        let Some(ix) = self.blueprint.find(target) else { return Vec::new() };
        let mut tags: Vec<Tag> = self.tags_of(ix).cloned().collect();
        tags.sort_by_key(|tag| std::cmp::Reverse(tag.weight));
        tags
    }

    fn tags_of(&self, ix: TargetIx) -> impl Iterator<Item = &Tag> {
        let held = self.blueprint.holding(ix) != Holding::Nothing;
        self.track(ix).tags.iter().flatten().filter(move |_| held)
    }

    fn phase(&self, finished: bool) -> &'static str {
        match () {
            () if finished => "finished",
            () if self.stopped.is_some() => "stopping",
            () if self.extraction.is_some() => "extracting",
            () if self.tracks.iter().any(|track| track.laid_out) => "working",
            () => "starting",
        }
    }

    /// `None` while anything is at work or could be; afterwards how the run ended. A person's reply to an
    /// escalation, or higher limits, make it go on.
    pub fn finished(&self) -> Option<Finished> {
        let end = |reason: String, exit_code| Some(Finished { reason, exit_code });
        if let Some(fault) = &self.fault {
            return end(fault.reason.clone(), fault.exit_code);
        }
        self.spec.as_ref()?;
        let total = self.entries.len();
        let refuted = self.tally.of(TargetState::Refuted);
        let settled = refuted + self.tally.of(TargetState::Certified);
        if total > 0 && settled == total {
            let certified = total - refuted;
            return end(
                match refuted {
                    0 => format!("all {total} targets are certified"),
                    _ => format!("{certified} targets are certified and {refuted} refuted"),
                },
                0,
            );
        }
        if !self.running.is_empty() || !self.merging.is_empty() || self.layouts.iter().any(Layout::is_pending)
        {
            return None;
        }
        if let Some(stopped) = &self.stopped {
            return end(format!("{}; {} of {total} targets are open", stopped.reason, total - settled), 4);
        }
        if self.is_starting() || self.plan_is_due() {
            return None;
        }
        if total == 0 {
            return end("extraction found no targets in the book".to_owned(), 3);
        }
        let waits = match self.tally.asking().len() {
            0 => String::new(),
            1 => ", one of them waits for your answer (`atlas reply`)".to_owned(),
            n => format!(", {n} of them wait for your answers (`atlas reply`)"),
        };
        end(format!("{} of {total} targets are open{waits}", total - settled), 3)
    }

    /// Brings the document's entry of one target up to date.
    pub(crate) fn refresh_entry(&mut self, ix: TargetIx) {
        let target = self.blueprint.target(ix);
        let track = self.track(ix);
        let state = self.state(ix);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let authors = Role::ALL.into_iter().filter(|role| role.is_author());
        let entry = TargetStatus {
            id: target.id.to_string(),
            kind: target.kind.to_string(),
            chapter: target.chapter.clone(),
            title: target.title.clone(),
            state,
            declaration: match state {
                TargetState::Refuted => format!("{}_refuted", target.declaration),
                _ => target.declaration.clone(),
            },
            module: target.module.clone(),
            attempts: authors.map(|role| u64::from(track.numbers[role.index()])).sum(),
            tokens: track.usage.tokens(),
            cost: track.usage.cost_microdollars,
            turns: track.turns,
            checks: track.checks,
            landed_commit: some(&track.landed_commit),
            reason: match state {
                TargetState::Certified => None,
                _ => some(&track.reason).or_else(|| self.waits_for(ix)),
            },
            parent: target.parent.as_ref().map(ToString::to_string),
            question: track.escalation.clone().filter(|_| state == TargetState::Escalated),
            reply: some(&track.human_reply),
            doubts: self.tags_of(ix).filter(|tag| tag.weight() > Weight::Information).count() as u32,
        };
        self.tally.entry(ix, self.entries.get(ix.index()).map(|before| &**before), &entry);
        match self.entries.get_mut(ix.index()) {
            Some(old) => *old = Arc::new(entry),
            None => self.entries.push(Arc::new(entry)),
        }
    }

    /// What keeps a target from going on, in words.
    fn waits_for(&self, ix: TargetIx) -> Option<String> {
        let blueprint = &self.blueprint;
        let named = |list: Vec<TargetIx>| -> String {
            let labels: Vec<String> =
                list.iter().map(|&ix| format!("`{}`", blueprint.target(ix).id)).collect();
            labels.join(", ")
        };
        let unusable = |edges: &[TargetIx]| -> Vec<TargetIx> {
            edges.iter().copied().filter(|&edge| !blueprint.holding(edge).is_usable()).collect()
        };
        let (why, waits) = match blueprint.standing(ix) {
            Standing::Proved => ("rests on what is not certified:", blueprint.open_below(ix)),
            Standing::Unstated => ("waits for the statement of", unusable(blueprint.statement_edges(ix))),
            _ => {
                let edges = [blueprint.statement_edges(ix), blueprint.proof_edges(ix)].concat();
                ("waits for the statement of", unusable(&edges))
            }
        };
        (!waits.is_empty()).then(|| format!("{why} {}", named(waits)))
    }
}
