//! Where a run stands, put together from the services' status documents.
//!
//! The documents come one by one, each service at its own pace, and may be older or newer than this
//! program: what a document lacks counts as nothing, what is unknown in it is passed over.

use std::collections::{BTreeMap, HashMap};

use atlas_agent_runner::{Document as Agents, Failure};
use atlas_bus::StatusKey;
use atlas_domain::{TargetState, Usage};
use atlas_lean_verifier::Document as Verifier;
use atlas_merge_coordinator::{ReceiptCounts, View as Merge};
use atlas_planner::{Status, TargetStatus};
use atlas_proto::MergePolicy;
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
    pub planner: Status,
    /// The agent runners', summed up.
    pub agents: Agents,
    /// The verifiers', summed up.
    pub verifier: Verifier,
    /// The merge coordinator's.
    pub merge: Merge,
    /// The runners' by process, and whether it is at work.
    runners: BTreeMap<String, (Agents, bool)>,
    /// The verifiers', likewise.
    verifiers: BTreeMap<String, (Verifier, bool)>,
}

impl Progress {
    /// Takes up one document by its key.
    pub fn absorb(&mut self, key: &str, document: &Value) {
        let StatusKey { service, host } = StatusKey::parse(key);
        let (host, at_work) = (host.unwrap_or_default().to_owned(), atlas_bus::is_at_work(document));
        match service {
            atlas_planner::STATUS => absorb(&mut self.planner, document),
            atlas_merge_coordinator::STATUS => absorb(&mut self.merge, document),
            atlas_agent_runner::STATUS => {
                let (one, alive) = self.runners.entry(host).or_default();
                absorb(one, document);
                *alive = at_work;
                self.agents = Agents::default();
                for (one, alive) in self.runners.values() {
                    self.agents.add(one.clone(), *alive);
                }
            }
            atlas_lean_verifier::STATUS => {
                let (one, alive) = self.verifiers.entry(host).or_default();
                absorb(one, document);
                *alive = at_work;
                self.verifier = Verifier::default();
                for (one, alive) in self.verifiers.values() {
                    self.verifier.add(one.clone(), *alive);
                }
            }
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

    /// Submissions that landed.
    pub fn landings(&self) -> u64 {
        self.planner.landings.max(self.merge.landed)
    }

    /// Whether the library was certified under this policy as far as it could be; keys aside.
    pub fn is_certified_by(&self, policy: &MergePolicy) -> bool {
        let told = self.merge.policy.as_ref();
        told.is_some_and(|told| MergePolicy { keys: Vec::new(), ..told.clone() } == *policy)
            && self.merge.receipts.renewing == 0
    }

    /// How the receipts of the library stand, in words; `None`: it has none.
    pub fn receipts(&self) -> Option<String> {
        receipts(&self.merge.receipts)
    }

    /// Submissions that were sent back.
    pub fn refusals(&self) -> u64 {
        self.merge.refused.values().sum()
    }
}

/// How receipts stand, in words; `None`: there is none.
pub fn receipts(counts: &ReceiptCounts) -> Option<String> {
    let of = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
    let parts = [
        of(counts.current, "current"),
        of(counts.renewing, "being certified again"),
        of(counts.undecided, "not judged again so far"),
        of(counts.lapsed, "no longer certified"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
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
    /// An attempt failed: its model, or what it needs.
    Failed {
        /// The attempt: what `atlas logs` takes.
        attempt: String,
        /// Why, and the way out.
        reason: String,
    },
    /// Two kernels contradict each other: nothing lands.
    Incident {
        /// What `atlas incident clear` takes.
        incident: String,
        /// What they say.
        what: String,
    },
    /// A person has cleared an incident.
    Cleared {
        /// Its id.
        incident: String,
    },
    /// A module of the library does not certify any more under the present policy.
    Lapsed {
        /// The module.
        module: String,
        /// Why.
        reason: String,
    },
    /// A person's answer has arrived.
    Answered {
        /// The target that it was about.
        target: String,
    },
}

/// What happened from `before` to `after`. The first look at a run that goes on reports only its questions.
pub fn changes(before: &Progress, after: &Progress) -> Vec<Change> {
    let known = &before.agents.failures;
    let new = after.agents.failures.iter().filter(|failure| !known.contains(failure));
    let failed = new.map(|Failure { attempt, reason }| Change::Failed {
        attempt: attempt.clone(),
        reason: reason.clone(),
    });
    let mut changes: Vec<Change> = failed.collect();
    let was_open = |id: &str| before.merge.open_incidents().any(|incident| incident.id == id);
    for incident in &after.merge.incidents {
        match (was_open(&incident.id), incident.cleared.is_none()) {
            (false, true) => {
                changes.push(Change::Incident { incident: incident.id.clone(), what: incident.what.clone() })
            }
            (true, false) => changes.push(Change::Cleared { incident: incident.id.clone() }),
            _ => {}
        }
    }
    let known: Vec<&str> = before.merge.lapsed.iter().map(|lapsed| lapsed.module.as_str()).collect();
    let new = after.merge.lapsed.iter().filter(|lapsed| !known.contains(&lapsed.module.as_str()));
    changes.extend(
        new.map(|lapsed| Change::Lapsed { module: lapsed.module.clone(), reason: lapsed.reason.clone() }),
    );
    let (before, after) = (&before.planner, &after.planner);
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
        let steps = |target: &TargetStatus| match target.state {
            TargetState::Proved | TargetState::Certified | TargetState::Refuted => 2,
            TargetState::Stated | TargetState::Proving => 1,
            _ => 0,
        };
        let done: u64 = targets.iter().map(|target| steps(target)).sum();
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

    use std::sync::Arc;

    use atlas_planner::{Budget, Escalation};

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
        let target =
            |id: &str, state| Arc::new(TargetStatus { id: id.into(), state, ..TargetStatus::default() });
        let question = Escalation { target: "b".into(), question: "Proper divisors?".into() };
        let before = Status {
            targets: vec![target("a", TargetState::Proving), target("b", TargetState::Proving)],
            ..Status::default()
        };
        let after = Status {
            targets: vec![target("a", TargetState::Certified), target("b", TargetState::Escalated)],
            escalations: vec![question],
            ..Status::default()
        };
        let [before, after] = [before, after].map(|planner| Progress { planner, ..Progress::default() });
        insta::assert_debug_snapshot!(changes(&before, &after));
        assert_eq!(changes(&after, &before).last(), Some(&Change::Answered { target: "b".into() }));
        assert!(changes(&after, &after).is_empty());
    }

    #[test]
    fn time_left_follows_the_pace() {
        let at = |done: usize| Progress {
            planner: Status {
                targets: (0..10)
                    .map(|i| TargetStatus {
                        state: if i < done { TargetState::Certified } else { TargetState::Open },
                        ..TargetStatus::default()
                    })
                    .map(Arc::new)
                    .collect(),
                ..Status::default()
            },
            ..Progress::default()
        };
        let mut pace = Pace::default();
        assert_eq!(pace.left(&at(0), 0), None);
        assert_eq!(pace.left(&at(5), 10_000), Some(10_000));
        assert_eq!(pace.left(&at(10), 20_000), None);
    }

    #[test]
    fn processes_are_summed_up_and_of_those_that_ended_only_what_they_counted() {
        let mut progress = Progress::default();
        let runner = |active: u64, at_work: bool| json!({"active": active, "by_role": {"prover": active}, "turns": 10, "at_work": at_work});
        progress.absorb("agents.one", &runner(3, true));
        progress.absorb("agents.two", &runner(4, true));
        assert_eq!((progress.active(), progress.agents.by_role["prover"], progress.agents.turns), (7, 7, 20));
        progress.absorb("agents.one", &runner(3, false));
        assert_eq!((progress.active(), progress.agents.turns), (4, 20));
        progress.absorb(
            "verifier.one",
            &json!({"checks": 5, "per_second": 2.0, "toolchain": "old", "at_work": false}),
        );
        progress.absorb("verifier.two", &json!({"checks": 7, "per_second": 1.5, "toolchain": "new"}));
        assert_eq!((progress.verifier.checks, progress.verifier.per_second), (12, 1.5));
        assert_eq!(progress.verifier.toolchain, "new");
    }
}
