//! What each target needs next, and in which order agents take it up.

use atlas_domain::{Holding, Standing, TargetIx};

use crate::machine::Planner;
use crate::role::Role;
use crate::track::{Candidate, Purpose, Stage, Track};

/// Work on a target that an agent could start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    State,
    Automation,
    Prove,
    Review,
    Fix,
    Triage,
}

/// Place in the order of work: smaller comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadyKey {
    /// 0 for what completes work that has been paid for, 1 for new work. The first is bounded by the second,
    /// so neither starves.
    class: u8,
    /// Ready since when, in milliseconds, less the credit for work that waits behind it: with time, all
    /// work moves past what came later (aging), and the critical path goes first.
    rank: i64,
    ix: TargetIx,
}

/// A piece of work on the longest chain behind a target is worth this much waiting. Attempts take minutes; so
/// a chain of three goes before a lone piece that has waited less than half an hour.
const CREDIT_PER_STEP_MS: i64 = 10 * 60 * 1000;
/// Reviews of one submission that may come to nothing before the submission is given up.
pub(crate) const LOST_REVIEWS: u32 = 3;
/// Triages of one target before a person is asked, when the run does not say.
const TRIAGE_LIMIT: u32 = 3;

impl Planner {
    pub(crate) fn attempts_per_task(&self) -> u32 {
        self.policy.attempts_per_task.max(1)
    }

    fn triage_limit(&self) -> u32 {
        if self.policy.triage_limit == 0 { TRIAGE_LIMIT } else { self.policy.triage_limit }
    }

    /// What could start for this target now.
    pub(crate) fn work(&self, ix: TargetIx) -> Option<Work> {
        let track = self.track(ix);
        let standing = self.blueprint.standing(ix);
        if !track.laid_out || track.escalation.is_some() || standing.is_done() {
            return None;
        }
        match track.candidates.front().map(|front| &front.stage) {
            Some(Stage::Offered) => return Some(Work::Review),
            Some(Stage::Refused { .. }) => return Some(Work::Fix),
            _ => {}
        }
        if self.triage_is_due(ix, track) {
            return (track.triages < self.triage_limit() && self.is_idle(track)).then_some(Work::Triage);
        }
        if standing == Standing::Unstated {
            return (self.is_idle(track) && self.blueprint.can_state(ix)).then_some(Work::State);
        }
        // In parallel with the proofs that it rests on: those may come later, or from above.
        if !self.blueprint.can_prove(ix) {
            return None;
        }
        if self.policy.automation && !track.automation_done && !track.refuting {
            return self.is_idle(track).then_some(Work::Automation);
        }
        let in_hand = track.authors + count(track.candidates.len());
        let racing = self.policy.racing.max(1).min(self.attempts_per_task().saturating_sub(track.failures));
        (in_hand < racing).then_some(Work::Prove)
    }

    fn triage_is_due(&self, ix: TargetIx, track: &Track) -> bool {
        track.failures >= self.attempts_per_task() || track.consult || !self.refuted_edges(ix).is_empty()
    }

    /// True when no attempt that still matters is at work.
    fn is_idle(&self, track: &Track) -> bool {
        let current =
            |attempt: &String| self.running.get(attempt).is_some_and(|r| r.revision == track.revision);
        track.candidates.is_empty() && !track.running.iter().any(current)
    }

    /// The role that does this work.
    pub(crate) fn role_for(&self, ix: TargetIx, work: Work) -> Role {
        match work {
            Work::State => Role::Formalizer,
            Work::Automation => Role::Automation,
            Work::Prove => Role::Prover,
            Work::Fix => Role::Fixer,
            Work::Triage => Role::Triage,
            Work::Review => match self.track(ix).candidates.front() {
                Some(Candidate { purpose: Purpose::State, .. }) => Role::MathematicalReviewer,
                _ => Role::EngineeringReviewer,
            },
        }
    }

    /// True when the work is on the negation of the target's statement.
    pub(crate) fn refutes(&self, ix: TargetIx, work: Work) -> bool {
        let track = self.track(ix);
        match work {
            Work::Prove => track.refuting,
            Work::Review | Work::Fix => {
                track.candidates.front().is_some_and(|front| front.purpose == Purpose::Refute)
            }
            Work::State | Work::Automation | Work::Triage => false,
        }
    }

    /// True when its front candidate is approved and everything that it rests on is stated.
    pub(crate) fn can_merge(&self, ix: TargetIx) -> bool {
        match self.track(ix).candidates.front() {
            Some(Candidate { stage: Stage::Approved, purpose: Purpose::State, .. }) => {
                self.blueprint.can_state(ix)
            }
            Some(Candidate { stage: Stage::Approved, .. }) => self.blueprint.can_prove(ix),
            _ => false,
        }
    }

    /// Brings the indices of ready work, merges and due escalations up to date for one target.
    pub(crate) fn refresh_work(&mut self, ix: TargetIx) {
        let work = self.work(ix);
        if work.is_some() && self.ready_keys[ix.index()].is_none() {
            self.tracks[ix.index()].ready_since_ms = self.now_ms;
        }
        self.index_work(ix, work);
    }

    /// Puts what could start for a target now into the indices.
    pub(crate) fn index_work(&mut self, ix: TargetIx, work: Option<Work>) {
        if let Some(key) = self.ready_keys[ix.index()].take() {
            self.ready.remove(&key);
        }
        if let Some(work) = work {
            let key = self.ready_key(ix, work);
            self.ready.insert(key, (ix, work));
            self.ready_keys[ix.index()] = Some(key);
        }
        let merges = self.can_merge(ix);
        set(&mut self.merging, ix, merges);
        let track = self.track(ix);
        let escalate = work.is_none()
            && track.escalation.is_none()
            && track.laid_out
            && !self.blueprint.standing(ix).is_done()
            && self.is_idle(track)
            && self.triage_is_due(ix, track);
        set(&mut self.to_escalate, ix, escalate);
    }

    fn ready_key(&self, ix: TargetIx, work: Work) -> ReadyKey {
        let track = self.track(ix);
        let steps = match work {
            Work::State => self.blueprint.statement_height(ix),
            _ => self.blueprint.proof_height(ix),
        };
        // A race's further attempts come after first attempts at others.
        let credit = i64::from(steps) - i64::from(track.authors) * 2;
        ReadyKey {
            class: u8::from(!matches!(work, Work::Review | Work::Fix | Work::Triage)),
            rank: i64::try_from(track.ready_since_ms).unwrap_or(i64::MAX / 2) - credit * CREDIT_PER_STEP_MS,
            ix,
        }
    }

    /// What a person is asked when triage has run out of ideas.
    pub(crate) fn standing_question(&self, ix: TargetIx) -> String {
        let track = self.track(ix);
        let target = self.blueprint.target(ix);
        let what = match self.blueprint.holding(ix) {
            Holding::Nothing => "stated",
            _ => "proved",
        };
        let last = match track.reason.lines().next() {
            Some(line) if !line.is_empty() => format!(" The last reason was: {line}"),
            _ => String::new(),
        };
        format!(
            "`{}` could not be {what} after {} attempts and {} triages.{last} What should be tried, or is the statement wrong?",
            target.id,
            track.numbers[Role::Formalizer.index()] + track.numbers[Role::Prover.index()],
            track.triages,
        )
    }
}

fn set<T: Ord>(among: &mut std::collections::BTreeSet<T>, item: T, present: bool) {
    if present {
        among.insert(item);
    } else {
        among.remove(&item);
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
