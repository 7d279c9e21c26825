//! What goes to the merge queue and what comes back from it.

use std::sync::Arc;

use atlas_domain::{Holding, Standing, TargetIx, TargetKind};
use atlas_proto::{
    DeclarationFacts, Expectation, Landed, MergeOutcome, MergeRequest, Refused, RunSpec, Submission,
    merge_outcome,
};
use serde::{Deserialize, Serialize};

use crate::command::Effect;
use crate::machine::Planner;
use crate::role::Role;
use crate::track::{Frozen, Purpose, Stage};

/// Repairs of one submission before a fresh attempt takes its place.
const FIXES: u32 = 2;
/// Submissions of the same thing after faults that are not the content's.
const RESUBMISSIONS: u32 = 3;

/// A submission for the merge queue, cheap to copy.
#[derive(Debug, Clone)]
pub struct MergeOrder {
    /// What is to be landed.
    pub submission: Arc<Submission>,
    /// What must hold of its declaration.
    pub expectations: Vec<Expectation>,
    /// Frozen statements that it may change.
    pub unfreeze: Vec<String>,
    /// Landed proofs that may give way to `sorry`: they rest on one of those.
    pub reopen: Vec<String>,
    /// Of the attempt.
    pub traceparent: String,
}

impl MergeOrder {
    /// As the letter says it.
    pub fn request(&self) -> MergeRequest {
        MergeRequest {
            submission: Some((*self.submission).clone()),
            expectations: self.expectations.clone(),
            unfreeze: self.unfreeze.clone(),
            reopen: self.reopen.clone(),
            traceparent: self.traceparent.clone(),
        }
    }
}

/// Files of the planner's own that must land before agents can work: the skeleton, and later room for parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Layout {
    name: String,
    tries: u32,
    pub landed: bool,
    /// Refused so often that a person is asked.
    failed: bool,
    /// The decomposed target; `None` for the skeleton.
    parent: Option<TargetIx>,
    parts: Vec<TargetIx>,
}

impl Layout {
    pub fn skeleton() -> Self {
        Self {
            name: "skeleton".to_owned(),
            tries: 0,
            landed: false,
            failed: false,
            parent: None,
            parts: Vec::new(),
        }
    }

    pub fn room(parent: TargetIx, label: &str, number: u32, parts: Vec<TargetIx>) -> Self {
        Self {
            name: format!("{label}.room.{number}"),
            tries: 0,
            landed: false,
            failed: false,
            parent: Some(parent),
            parts,
        }
    }

    /// True while the merge queue is to land it.
    pub fn is_pending(&self) -> bool {
        !self.landed && !self.failed
    }

    fn id(&self) -> String {
        match self.tries {
            0 => self.name.clone(),
            n => format!("{}.{}", self.name, n + 1),
        }
    }
}

impl Planner {
    /// The effects that bring the planner's own files into the library.
    pub(crate) fn layout_effects(&self, spec: &Arc<RunSpec>, effects: &mut Vec<(String, Effect)>) {
        for layout in self.layouts.iter().filter(|layout| layout.is_pending()) {
            let id = layout.id();
            let effect = match layout.parent {
                None => {
                    Effect::Skeleton { id: id.clone(), spec: spec.clone(), targets: self.initial.clone() }
                }
                Some(parent) => self.make_room(id.clone(), parent, layout),
            };
            effects.push((format!("layout/{id}"), effect));
        }
    }

    /// The effect that brings a target's approved submission into the library.
    pub(crate) fn merge_effect(&self, ix: TargetIx, effects: &mut Vec<(String, Effect)>) {
        if self.merging.contains(&ix)
            && let Some(order) = self.merge_order(ix)
        {
            effects.push((format!("merge/{}", order.submission.id), Effect::Merge(order)));
        }
    }

    fn make_room(&self, id: String, parent: TargetIx, layout: &Layout) -> Effect {
        let parent = self.blueprint.target(parent);
        let part = |ix: &TargetIx| {
            let target = self.blueprint.target(*ix);
            (target.id.to_string(), target.title.clone())
        };
        let edges = |ix: &TargetIx| {
            let edges = self.blueprint.statement_edges(*ix).iter().chain(self.blueprint.proof_edges(*ix));
            edges.map(|&edge| self.blueprint.target(edge).module.clone()).collect::<Vec<_>>()
        };
        let mut imports: Vec<String> = layout.parts.iter().flat_map(edges).collect();
        imports.sort_unstable();
        imports.dedup();
        imports.retain(|module| *module != parent.module);
        Effect::MakeRoom {
            id,
            parent: parent.id.to_string(),
            module: parent.module.clone(),
            parts: layout.parts.iter().map(part).collect(),
            imports,
            base_commit: self.head.clone(),
        }
    }

    fn merge_order(&self, ix: TargetIx) -> Option<MergeOrder> {
        let track = self.track(ix);
        let front = track.candidates.front()?;
        let target = self.blueprint.target(ix);
        let frozen = track.frozen.as_ref().map(|frozen| frozen.hash.clone()).unwrap_or_default();
        let expectation = Expectation {
            declaration: target.declaration.clone(),
            target: target.id.to_string(),
            definition: target.kind.is_definition(),
            ..Expectation::default()
        };
        let (expectation, unfreeze) = match front.purpose {
            Purpose::State => (
                Expectation { may_sorry: !target.kind.is_definition(), ..expectation },
                if track.frozen.is_some() { self.unfrozen_with(ix) } else { Vec::new() },
            ),
            Purpose::Prove => (Expectation { statement_hash: frozen, ..expectation }, Vec::new()),
            Purpose::Refute => (
                Expectation {
                    declaration: refuted_name(&target.declaration),
                    statement_hash: frozen,
                    negated: true,
                    ..expectation
                },
                vec![target.declaration.clone()],
            ),
        };
        let reopen = match unfreeze.is_empty() {
            true => Vec::new(),
            false => self.declarations_of(self.blueprint.users(ix).iter().copied()),
        };
        Some(MergeOrder {
            submission: front.submission.clone(),
            expectations: vec![expectation],
            unfreeze,
            reopen,
            traceparent: front.traceparent.clone(),
        })
    }

    /// A corrected statement changes, as a term, every frozen statement that rests on it.
    fn unfrozen_with(&self, ix: TargetIx) -> Vec<String> {
        let above = self.blueprint.statement_cone(ix).into_iter();
        let frozen = above.filter(|&above| self.track(above).frozen.is_some());
        self.declarations_of(std::iter::once(ix).chain(frozen))
    }

    fn declarations_of(&self, targets: impl Iterator<Item = TargetIx>) -> Vec<String> {
        targets.map(|ix| self.blueprint.target(ix).declaration.clone()).collect()
    }

    /// True when the outcome answers something that waits for it.
    pub(crate) fn awaits(&self, outcome: &MergeOutcome) -> bool {
        self.layout_of(&outcome.submission).is_some() || self.candidate_of(outcome).is_some()
    }

    /// True of a landing that nobody waits for any more, which the library nevertheless holds: its attempt became void
    /// while it was in the queue.
    pub(crate) fn is_news(&self, outcome: &MergeOutcome) -> bool {
        let Some(merge_outcome::Result::Landed(landed)) = &outcome.result else { return false };
        let known = |facts: &DeclarationFacts| {
            let ix = self
                .declarations
                .get(&facts.name)
                .or_else(|| self.declarations.get(facts.name.strip_suffix(REFUTED)?));
            ix.is_none_or(|&ix| self.track(ix).known_at >= landed.sequence)
        };
        landed.sequence > self.head_sequence || !landed.declarations.iter().all(known)
    }

    fn layout_of(&self, submission: &str) -> Option<usize> {
        self.layouts.iter().position(|layout| layout.is_pending() && layout.id() == submission)
    }

    fn candidate_of(&self, outcome: &MergeOutcome) -> Option<TargetIx> {
        let ix = self.blueprint.find(&outcome.target)?;
        let front = self.track(ix).candidates.front()?;
        (matches!(front.stage, Stage::Approved) && front.submission.id == outcome.submission).then_some(ix)
    }

    pub(crate) fn merged(&mut self, outcome: &MergeOutcome) {
        let Some(result) = &outcome.result else { return };
        if let merge_outcome::Result::Landed(landed) = result {
            self.advance(outcome, landed);
        }
        if let Some(at) = self.layout_of(&outcome.submission) {
            match result {
                merge_outcome::Result::Landed(_) => self.laid_out(at),
                merge_outcome::Result::Refused(refused) => self.layout_refused(at, refused),
            }
        } else if let Some(ix) = self.candidate_of(outcome) {
            match result {
                merge_outcome::Result::Landed(landed) => self.landed(ix, landed),
                merge_outcome::Result::Refused(refused) => self.refused(ix, refused),
            }
        } else if let merge_outcome::Result::Landed(landed) = result {
            self.adopt(outcome, landed);
        }
    }

    /// The library holds what nobody waits for any more: then that is how far the target has come.
    fn adopt(&mut self, outcome: &MergeOutcome, landed: &Landed) {
        let Some(ix) = self.blueprint.find(&outcome.target).filter(|&ix| self.is_newer(ix, landed)) else {
            return;
        };
        let target = self.blueprint.target(ix).clone();
        let named = |name: &str| landed.declarations.iter().find(|facts| facts.name == name);
        let (holding, facts) = match (named(&refuted_name(&target.declaration)), named(&target.declaration)) {
            (Some(negation), _) => (Holding::Negation, negation),
            (None, Some(facts)) => (as_held(target.kind, facts), facts),
            (None, None) => return,
        };
        let before = self.blueprint.holding(ix);
        let track = self.track_mut(ix);
        track.known_at = landed.sequence;
        track.landed_commit.clone_from(&landed.commit);
        if holding != Holding::Negation {
            track.frozen = Some(frozen_as(facts));
        }
        if holding != before {
            track.void("dropped", "");
            track.begin_anew();
        }
        self.say(&format!("{} landed after all: {}", target.id, short(&landed.commit)));
        self.use_as(ix, holding, facts);
        self.hold(ix, holding);
    }

    /// New attempts start from the newest commit, and other targets' declarations are what they now are.
    fn advance(&mut self, outcome: &MergeOutcome, landed: &Landed) {
        if landed.sequence == 0 || landed.sequence >= self.head_sequence {
            self.head.clone_from(&landed.commit);
            self.head_sequence = landed.sequence;
        }
        let own = self.blueprint.find(&outcome.target);
        for facts in &landed.declarations {
            let ix = self.declarations.get(&facts.name).copied().filter(|&ix| Some(ix) != own);
            let Some(ix) = ix.filter(|&ix| self.is_newer(ix, landed)) else { continue };
            self.note_news(ix, landed, facts, &outcome.target);
        }
    }

    /// Outcomes may come out of order: what a later landing said of a target stays.
    fn is_newer(&self, ix: TargetIx, landed: &Landed) -> bool {
        landed.sequence == 0 || landed.sequence >= self.track(ix).known_at
    }

    /// The library holds something else of a target than it did, by a landing for another: a statement below it has
    /// been corrected or refuted, and its proof mended, replaced by `sorry` or left as it was.
    fn note_news(&mut self, ix: TargetIx, landed: &Landed, facts: &DeclarationFacts, cause: &str) {
        let (holding, kind) = (self.blueprint.holding(ix), self.blueprint.target(ix).kind);
        let track = self.track_mut(ix);
        let Some(frozen) = &mut track.frozen else { return };
        *frozen = frozen_as(facts);
        track.known_at = landed.sequence;
        let now = as_held(kind, facts);
        // While a statement is being corrected, nobody builds on what the library holds of it.
        if !holding.is_usable() {
            return;
        }
        if now != holding {
            track.landed_commit.clone_from(&landed.commit);
            track.void("dropped", "");
            if now == Holding::Statement {
                track.reopen(&format!("its proof rested on `{cause}`, which has changed: it is open again"));
            }
            let label = self.blueprint.target(ix).id.clone();
            let what = if now == Holding::Statement { "open again" } else { "proved" };
            self.say(&format!("{label} is {what}, by a landing for {cause}"));
        }
        self.use_as(ix, now, facts);
        self.hold(ix, now);
    }

    /// What its proof, if it has one, inherits `sorry` from; and what is noticed of it now.
    fn use_as(&mut self, ix: TargetIx, holding: Holding, facts: &DeclarationFacts) {
        self.track_mut(ix).tags[0].clone_from(&facts.tags);
        let uses = match holding {
            Holding::Whole => {
                facts.sorry_from.iter().filter_map(|name| self.declarations.get(name)).copied().collect()
            }
            _ => Vec::new(),
        };
        let touched = self.blueprint.set_uses(ix, uses);
        self.touch(touched);
    }

    fn laid_out(&mut self, at: usize) {
        let layout = &mut self.layouts[at];
        layout.landed = true;
        let parts = match layout.parent {
            None => self.blueprint.targets().map(|(ix, _)| ix).collect(),
            Some(_) => layout.parts.clone(),
        };
        for ix in parts {
            self.track_mut(ix).laid_out = true;
        }
    }

    fn layout_refused(&mut self, at: usize, refused: &Refused) {
        let layout = &mut self.layouts[at];
        layout.tries += 1;
        if !layout.tries.is_multiple_of(RESUBMISSIONS) {
            return;
        }
        layout.failed = true;
        match layout.parent {
            None => self.fail(format!("the library's skeleton was refused: {}", refused.reason), 1),
            Some(parent) => {
                // Without room its parts stay open, and so does the whole: a person has to look.
                let label = self.blueprint.target(parent).id.to_string();
                let question =
                    format!("No room could be made for the parts of `{label}`: {}", refused.reason);
                self.escalate(&label, &question);
            }
        }
    }

    /// A person has looked at why there was no room: the merge queue is asked again.
    pub(crate) fn retry_room(&mut self, parent: TargetIx) {
        for layout in self.layouts.iter_mut().filter(|layout| layout.parent == Some(parent)) {
            layout.failed = false;
        }
    }

    fn landed(&mut self, ix: TargetIx, landed: &Landed) {
        let target = self.blueprint.target(ix).clone();
        let track = self.track_mut(ix);
        let Some(front) = track.candidates.pop_front() else { return };
        track.landed_commit.clone_from(&landed.commit);
        let past = &mut track.history[front.past];
        past.outcome = "landed".into();
        past.commit.clone_from(&landed.commit);
        track.void("dropped", "");
        track.begin_anew();
        track.triages = 0;
        if front.purpose != Purpose::Refute {
            track.reason.clear();
        }
        let is_newer = self.is_newer(ix, landed);
        let facts = landed.declarations.iter().find(|facts| facts.name == target.declaration);
        let unknown = DeclarationFacts {
            sorry_from: vec![target.declaration.clone()],
            name: target.declaration.clone(),
            ..DeclarationFacts::default()
        };
        let track = self.track_mut(ix);
        let holding = match front.purpose {
            Purpose::State => {
                track.frozen = Some(
                    facts.map_or_else(|| Frozen { statement: String::new(), hash: String::new() }, frozen_as),
                );
                track.automation_done = false;
                track.tags[1] = front.noticed;
                as_held(target.kind, facts.unwrap_or(&unknown))
            }
            Purpose::Prove => Holding::Whole,
            Purpose::Refute => Holding::Negation,
        };
        self.landings += 1;
        let by = format!("{} by {}", short(&landed.commit), front.submission.role);
        if is_newer {
            self.track_mut(ix).known_at = landed.sequence;
            self.use_as(ix, holding, facts.unwrap_or(&unknown));
            self.hold(ix, holding);
        }
        let verb = match self.blueprint.standing(ix) {
            Standing::Unstated | Standing::Stated => "stated",
            Standing::Proved => "proved",
            Standing::Certified => "certified",
            Standing::Refuted => "refuted",
        };
        self.say(&format!("{} is {verb}: {by}", target.id));
    }

    /// Records what the library holds of a target and what follows for its dependants.
    pub(crate) fn hold(&mut self, ix: TargetIx, holding: Holding) {
        let touched = self.blueprint.set_holding(ix, holding);
        self.touch(touched);
        if holding == Holding::Whole {
            // It builds without the statements that were refuted, whatever the book says.
            self.forget_refuted(ix);
        }
        if holding != Holding::Negation {
            return;
        }
        // The statement is gone from the library: whatever builds there without `sorry` of its own does without it.
        for user in self.blueprint.users(ix).to_vec() {
            let uses = self.blueprint.uses(user).iter().copied().filter(|&used| used != ix).collect();
            let touched = self.blueprint.set_uses(user, uses);
            self.touch(touched);
        }
        let reason = format!("`{}`, which it depends on, has been refuted", self.blueprint.target(ix).id);
        for dependant in self.blueprint.dependants(ix) {
            match self.blueprint.holding(dependant) {
                Holding::Whole => {
                    let touched = self.blueprint.unlink(dependant, ix);
                    self.touch(touched);
                }
                Holding::Nothing | Holding::Statement => {
                    let track = self.track_mut(dependant);
                    track.void("dropped", &reason);
                    track.reason.clone_from(&reason);
                }
                Holding::Negation => {}
            }
        }
    }

    fn refused(&mut self, ix: TargetIx, refused: &Refused) {
        let label = self.blueprint.target(ix).id.clone();
        self.say(&format!("{label}: refused ({}): {}", refused.kind, refused.reason));
        let reason = format!("{}: {}", refused.kind, refused.reason);
        let track = self.track_mut(ix);
        let Some(front) = track.candidates.front_mut() else { return };
        if refused.kind == "environment" && front.resubmissions < RESUBMISSIONS {
            front.resubmissions += 1;
            let mut again = (*front.submission).clone();
            again.id = format!("{}.again", again.id);
            front.submission = Arc::new(again);
            return;
        }
        let past = &mut track.history[front.past];
        past.outcome = "refused".into();
        past.reason.clone_from(&reason);
        let automatic = front.author == Role::Automation;
        let repairable = !automatic && front.fixes < FIXES && refused.kind != "environment";
        // Where another of the race waits, it is tried first: it is paid for already.
        if repairable && track.candidates.len() == 1 {
            if let Some(front) = track.candidates.front_mut() {
                front.stage = Stage::Refused {
                    reason,
                    diagnostics: refused.diagnostics.clone(),
                    head: refused.head.clone(),
                };
            }
            return;
        }
        track.dismiss("refused", &reason);
        track.failures += u32::from(!automatic);
    }
}

/// What the name of a certified negation ends in.
const REFUTED: &str = "_refuted";

/// The name that the certified negation of a statement takes.
pub fn refuted_name(declaration: &str) -> String {
    format!("{declaration}{REFUTED}")
}

/// What the library holds of a target whose declaration it has.
fn as_held(kind: TargetKind, facts: &DeclarationFacts) -> Holding {
    // The gate lets no definition land that rests on `sorry`.
    if kind.is_definition() || !is_open(facts) { Holding::Whole } else { Holding::Statement }
}

/// Whether the declaration's own proof is `sorry`.
fn is_open(facts: &DeclarationFacts) -> bool {
    facts.sorry_from.contains(&facts.name)
}

fn frozen_as(facts: &DeclarationFacts) -> Frozen {
    Frozen { statement: facts.statement.clone(), hash: facts.statement_hash.clone() }
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
