//! What goes to the merge queue and what comes back from it.

use std::sync::Arc;

use atlas_domain::{Standing, TargetIx};
use atlas_proto::{
    DeclarationFacts, Expectation, Landed, MergeOutcome, MergeRequest, Refused, RunSpec, Submission,
    merge_outcome,
};

use crate::machine::{Effect, Planner};
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
            traceparent: self.traceparent.clone(),
        }
    }
}

/// Files of the planner's own that must land before agents can work: the skeleton, and later room for parts.
#[derive(Debug, Clone)]
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
    /// The effects that bring things into the library.
    pub(crate) fn landing_effects(&self, spec: &Arc<RunSpec>, effects: &mut Vec<(String, Effect)>) {
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
        for &ix in &self.merging {
            if let Some(order) = self.merge_order(ix) {
                effects.push((format!("merge/{}", order.submission.id), Effect::Merge(order)));
            }
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
        Some(MergeOrder {
            submission: front.submission.clone(),
            expectations: vec![expectation],
            unfreeze,
            traceparent: front.traceparent.clone(),
        })
    }

    /// A corrected statement changes, as a term, every frozen statement that rests on it.
    fn unfrozen_with(&self, ix: TargetIx) -> Vec<String> {
        std::iter::once(ix)
            .chain(
                self.blueprint
                    .statement_cone(ix)
                    .into_iter()
                    .filter(|&above| self.track(above).frozen.is_some()),
            )
            .map(|ix| self.blueprint.target(ix).declaration.clone())
            .collect()
    }

    /// True when the outcome answers something that waits for it.
    pub(crate) fn awaits(&self, outcome: &MergeOutcome) -> bool {
        self.layout_of(&outcome.submission).is_some() || self.candidate_of(outcome).is_some()
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
            self.advance(landed);
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
        }
    }

    /// New attempts start from the newest commit; outcomes may come out of order.
    fn advance(&mut self, landed: &Landed) {
        if landed.sequence == 0 || landed.sequence >= self.head_sequence {
            self.head.clone_from(&landed.commit);
            self.head_sequence = landed.sequence;
        }
        for facts in &landed.declarations {
            // Statements that rest on a corrected one are frozen anew as they now are.
            let Some(&ix) = self.declarations.get(&facts.name) else { continue };
            if let Some(frozen) = &mut self.tracks[ix.index()].frozen {
                *frozen = frozen_as(facts);
            }
        }
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
        past.outcome = "landed";
        past.commit.clone_from(&landed.commit);
        track.void("dropped", "");
        track.begin_anew();
        track.triages = 0;
        if front.purpose != Purpose::Refute {
            track.reason.clear();
        }
        let facts = landed.declarations.iter().find(|facts| facts.name == target.declaration);
        let standing = match front.purpose {
            Purpose::State => {
                let whole = facts.is_some_and(|facts| facts.kind == "theorem" && !rests_on_sorry(facts));
                track.frozen = Some(
                    facts.map_or_else(|| Frozen { statement: String::new(), hash: String::new() }, frozen_as),
                );
                track.automation_done = false;
                if target.kind.is_definition() || whole { Standing::Certified } else { Standing::Stated }
            }
            Purpose::Prove => Standing::Certified,
            Purpose::Refute => Standing::Refuted,
        };
        self.landings += 1;
        let verb = match (front.purpose, standing) {
            (Purpose::State, Standing::Stated) => "stated",
            (Purpose::Refute, _) => "refuted",
            _ => "certified",
        };
        self.say(&format!("{} is {verb}: {} by {}", target.id, short(&landed.commit), front.submission.role));
        self.stand(ix, standing);
    }

    /// Records what the library holds of a target and what follows for its dependants.
    pub(crate) fn stand(&mut self, ix: TargetIx, standing: Standing) {
        let touched = self.blueprint.set_standing(ix, standing);
        if standing == Standing::Refuted {
            let reason = format!("`{}`, which it depends on, has been refuted", self.blueprint.target(ix).id);
            for &dependant in touched.iter().filter(|&&dependant| dependant != ix) {
                if !matches!(self.blueprint.standing(dependant), Standing::Certified | Standing::Refuted) {
                    let track = self.track_mut(dependant);
                    track.void("dropped", &reason);
                    track.reason.clone_from(&reason);
                }
            }
        }
        self.touch(touched);
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
        past.outcome = "refused";
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

/// The name that the certified negation of a statement takes.
pub fn refuted_name(declaration: &str) -> String {
    format!("{declaration}_refuted")
}

fn rests_on_sorry(facts: &DeclarationFacts) -> bool {
    facts.uses_sorry || facts.axioms.iter().any(|axiom| axiom == "sorryAx")
}

fn frozen_as(facts: &DeclarationFacts) -> Frozen {
    Frozen { statement: facts.statement.clone(), hash: facts.statement_hash.clone() }
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
