//! Where a run stands, put together from the services' status documents.
//!
//! The documents come one by one, each service at its own pace, and may be older or newer than this
//! program: what a document lacks counts as nothing, what is unknown in it is passed over.

use std::collections::{BTreeMap, HashMap};

use atlas_domain::{TargetState, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// From done to not begun: the order in which states are shown.
pub const STATES: [TargetState; TargetState::ALL.len()] = [
    TargetState::Certified,
    TargetState::Refuted,
    TargetState::Proved,
    TargetState::Proving,
    TargetState::Stated,
    TargetState::Stating,
    TargetState::Escalated,
    TargetState::Open,
];

/// All that the status documents of one run say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// The planner's document.
    pub planner: Planner,
    /// The agent runner's.
    pub agents: Agents,
    /// The verifier's.
    pub verifier: Verifier,
    /// The merge coordinator's.
    pub merge: Merge,
}

/// `<run>.planner`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Planner {
    /// The run's name; empty before the planner has taken it up.
    pub run: String,
    /// What the run is doing: extracting, working, stopping, finished.
    pub phase: String,
    /// When it first started, Unix milliseconds.
    pub started_ms: u64,
    /// Agents at work, by role.
    pub agents: BTreeMap<String, u64>,
    /// Questions that wait for a person.
    pub escalations: Vec<Escalation>,
    /// Submissions landed.
    pub landings: u64,
    /// Every target.
    pub targets: Vec<Target>,
    /// What each role used.
    pub usage: BTreeMap<String, Usage>,
    /// The limits.
    pub budget: Budget,
    /// Why the run ended; `None` while it goes on.
    pub finished: Option<Finished>,
}

/// A question to a person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Escalation {
    /// The target that it is about; what `atlas reply` takes.
    pub target: String,
    /// The question.
    pub question: String,
}

/// A target in the planner's document.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Label.
    pub id: String,
    /// Kind, as the book has it.
    pub kind: String,
    /// Chapter's slug.
    pub chapter: String,
    /// Title.
    pub title: String,
    /// State.
    pub state: TargetState,
    /// Lean name.
    pub declaration: String,
    /// Lean module.
    pub module: String,
    /// Attempts so far.
    pub attempts: u64,
    /// Tokens so far.
    pub tokens: u64,
    /// Cost so far, microdollars.
    pub cost: u64,
    /// The commit that it landed as.
    pub landed_commit: Option<String>,
    /// Why it is refuted, escalated or open.
    pub reason: Option<String>,
    /// What a person answered last.
    pub reply: Option<String>,
}

/// The run's limits; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Microdollars.
    pub microdollars: u64,
    /// Tokens.
    pub tokens: u64,
    /// Unix milliseconds.
    pub deadline_ms: u64,
}

/// Why and how a run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Finished {
    /// In words.
    pub reason: String,
    /// What `atlas run` exits with.
    pub exit_code: u8,
}

/// `<run>.agents`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Agents {
    /// Agents at work.
    pub active: u64,
    /// The same by role.
    pub by_role: BTreeMap<String, u64>,
    /// Model turns since the runner started.
    pub turns: u64,
    /// Some of the agents at work.
    pub running: Vec<Running>,
}

/// An agent at work.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Running {
    /// The attempt: what `atlas logs` takes.
    pub attempt: String,
    /// Its role.
    pub role: String,
    /// Its target.
    pub target: String,
    /// Its model's turn.
    pub turn: u32,
    /// What it waits for.
    pub doing: String,
}

/// `<run>.verifier`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Verifier {
    /// Questions answered since the verifier started.
    pub checks: u64,
    /// Answers a second, lately.
    pub per_second: f64,
    /// Of `checks`, answered from the cache.
    pub cache_hits: u64,
    /// Questions that wait.
    pub queue: u64,
    /// Milliseconds in Lean, over all threads.
    pub lean_ms: u64,
    /// Lean's name and version.
    pub toolchain: String,
}

/// `<run>.merge`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Merge {
    /// Submissions that wait.
    pub queue: u64,
    /// How many the queue looks at together.
    pub window: u64,
    /// Builds at the verifier.
    pub verifying: u64,
    /// Landed.
    pub landed: u64,
    /// Sent back, by kind.
    pub refused: BTreeMap<String, u64>,
    /// The library's newest commit.
    pub head: String,
}

impl Progress {
    /// Takes up one service's document; `service` is the key's last part.
    pub fn absorb(&mut self, service: &str, document: &Value) {
        match service {
            "planner" => absorb(&mut self.planner, document),
            "agents" => absorb(&mut self.agents, document),
            "verifier" => absorb(&mut self.verifier, document),
            "merge" => absorb(&mut self.merge, document),
            _ => {}
        }
    }

    /// How many targets are in each state, in the order of [`STATES`].
    pub fn states(&self) -> [u64; STATES.len()] {
        let mut counts = [0; STATES.len()];
        for target in &self.planner.targets {
            if let Some(at) = STATES.iter().position(|state| *state == target.state) {
                counts[at] += 1;
            }
        }
        counts
    }

    /// What all roles used together.
    pub fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for usage in self.planner.usage.values() {
            sum += *usage;
        }
        sum
    }

    /// Agents at work.
    pub fn active(&self) -> u64 {
        self.agents.active.max(self.planner.agents.values().sum())
    }
}

impl Merge {
    /// Submissions sent back.
    pub fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }
}

/// Replaces `document` field by field, so that one field of an unexpected shape does not hide the others.
fn absorb<T: Serialize + for<'de> Deserialize<'de> + Default>(into: &mut T, document: &Value) {
    if let Ok(whole) = serde_json::from_value(document.clone()) {
        *into = whole;
        return;
    }
    let (Ok(Value::Object(mut known)), Value::Object(new)) = (serde_json::to_value(T::default()), document)
    else {
        return;
    };
    for (key, value) in new {
        let Some(before) = known.insert(key.clone(), value.clone()) else { continue };
        if serde_json::from_value::<T>(Value::Object(known.clone())).is_err() {
            tracing::debug!(field = %key, "a status document has a field of an unexpected shape");
            known.insert(key.clone(), before);
        }
    }
    if let Ok(document) = serde_json::from_value(Value::Object(known)) {
        *into = document;
    }
}

/// Something that happened between two looks at a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Change {
    /// The run's phase.
    Phase {
        /// The new one.
        phase: String,
    },
    /// A target that was not there: extracted, or decomposed out of another.
    Target {
        /// Label.
        target: String,
        /// State.
        state: TargetState,
    },
    /// A target's state.
    State {
        /// Label.
        target: String,
        /// Before.
        from: TargetState,
        /// Now.
        to: TargetState,
        /// The commit that brought it, if one did.
        commit: Option<String>,
        /// Why, if there is a reason.
        reason: Option<String>,
    },
    /// A question to a person.
    Escalation {
        /// The target that it is about.
        target: String,
        /// The question.
        question: String,
    },
    /// A person's answer has arrived.
    Answered {
        /// The target that it was about.
        target: String,
    },
}

/// What happened from `before` to `after`. The first look at a run that goes on reports only its questions.
pub fn changes(before: &Planner, after: &Planner) -> Vec<Change> {
    let mut changes = Vec::new();
    if before.phase != after.phase && !after.phase.is_empty() {
        changes.push(Change::Phase { phase: after.phase.clone() });
    }
    let known: HashMap<&str, TargetState> =
        before.targets.iter().map(|target| (target.id.as_str(), target.state)).collect();
    for target in &after.targets {
        match known.get(target.id.as_str()) {
            Some(&from) if from != target.state => changes.push(Change::State {
                target: target.id.clone(),
                from,
                to: target.state,
                commit: target.landed_commit.clone(),
                reason: target.reason.clone(),
            }),
            None if !known.is_empty() => {
                changes.push(Change::Target { target: target.id.clone(), state: target.state });
            }
            _ => {}
        }
    }
    for escalation in &after.escalations {
        if !before.escalations.contains(escalation) {
            changes.push(Change::Escalation {
                target: escalation.target.clone(),
                question: escalation.question.clone(),
            });
        }
    }
    for escalation in &before.escalations {
        if !after.escalations.iter().any(|other| other.target == escalation.target) {
            changes.push(Change::Answered { target: escalation.target.clone() });
        }
    }
    changes
}

/// Estimates the time that is left from how fast targets were settled in the last ten minutes.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// (time, steps done): a statement landed is one step, its proof or refutation another.
    marks: std::collections::VecDeque<(u64, u64)>,
}

impl Pace {
    const WINDOW_MS: u64 = 600_000;

    /// Takes note of a look at the run; returns the milliseconds left, once there is something to go by.
    pub fn left(&mut self, progress: &Progress, now_ms: u64) -> Option<u64> {
        let targets = &progress.planner.targets;
        let steps = |target: &Target| match target.state {
            TargetState::Proved | TargetState::Certified | TargetState::Refuted => 2,
            TargetState::Stated | TargetState::Proving => 1,
            _ => 0,
        };
        let done: u64 = targets.iter().map(steps).sum();
        let all = 2 * targets.len() as u64;
        if self.marks.back().is_none_or(|&(_, last)| last != done) {
            self.marks.push_back((now_ms, done));
        }
        while self.marks.len() > 2 && self.marks[1].0 + Self::WINDOW_MS < now_ms {
            self.marks.pop_front();
        }
        let &(since, then) = self.marks.front()?;
        let (gained, elapsed) = (done.saturating_sub(then), now_ms.saturating_sub(since));
        if gained == 0 || elapsed < 2_000 || done >= all {
            return None;
        }
        Some((all - done) * elapsed / gained)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_an_unexpected_shape_hides_no_other() {
        let mut progress = Progress::default();
        progress.absorb(
            "planner",
            &json!({"phase": "working", "targets": [{"id": "a", "state": "proving"}], "budget": "much", "extra": 1}),
        );
        assert_eq!(progress.planner.phase, "working");
        let proving = STATES.iter().position(|&state| state == TargetState::Proving).unwrap();
        assert_eq!(progress.states()[proving], 1);
        assert_eq!(progress.planner.budget, Budget::default());
    }

    #[test]
    fn changes_tell_states_questions_and_answers() {
        let target = |id: &str, state| Target { id: id.into(), state, ..Target::default() };
        let question = Escalation { target: "b".into(), question: "Proper divisors?".into() };
        let before = Planner {
            targets: vec![target("a", TargetState::Proving), target("b", TargetState::Proving)],
            ..Planner::default()
        };
        let after = Planner {
            targets: vec![target("a", TargetState::Certified), target("b", TargetState::Escalated)],
            escalations: vec![question],
            ..Planner::default()
        };
        insta::assert_debug_snapshot!(changes(&before, &after));
        assert_eq!(changes(&after, &before).last(), Some(&Change::Answered { target: "b".into() }));
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn time_left_follows_the_pace() {
        let at = |done: usize| Progress {
            planner: Planner {
                targets: (0..10)
                    .map(|i| Target {
                        state: if i < done { TargetState::Certified } else { TargetState::Open },
                        ..Target::default()
                    })
                    .collect(),
                ..Planner::default()
            },
            ..Progress::default()
        };
        let mut pace = Pace::default();
        assert_eq!(pace.left(&at(0), 0), None);
        assert_eq!(pace.left(&at(5), 10_000), Some(10_000));
        assert_eq!(pace.left(&at(10), 20_000), None);
    }
}
