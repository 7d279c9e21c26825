//! How a run begins: its spec, its limits, its targets.

use std::sync::Arc;

use atlas_domain::{Blueprint, Target};
use atlas_proto::planner_event::Event as Kind;
use atlas_proto::{Policy, RunSpec};

use crate::extraction::Extraction;
use crate::landing::Layout;
use crate::machine::Planner;
use crate::skeleton;
use crate::track::Track;

impl Planner {
    pub(crate) fn decide_open(&self, spec: RunSpec) -> Vec<Kind> {
        match &self.spec {
            None => vec![Kind::Opened(spec)],
            Some(_) => match spec.policy {
                Some(policy) if policy != *self.policy => vec![Kind::PolicyChanged(policy)],
                _ => Vec::new(),
            },
        }
    }

    pub(crate) fn set_policy(&mut self, policy: &Policy) {
        self.policy = Arc::new(policy.clone());
        self.policy_number += 1;
    }

    pub(crate) fn opened(&mut self, spec: &RunSpec) {
        self.opened_ms = self.now_ms;
        self.set_policy(&spec.policy.clone().unwrap_or_default());
        self.head.clone_from(&spec.base_commit);
        self.spec = Some(Arc::new(spec.clone()));
        if spec.targets.is_empty() {
            self.say("looks for targets in the book");
            self.extraction = Some(Extraction::new(&spec.chapters, &self.policy));
            return;
        }
        match spec.targets.iter().cloned().map(Target::try_from).collect::<Result<Vec<_>, _>>() {
            Ok(targets) => self.begin(targets),
            Err(e) => self.fail(e.to_string(), 2),
        }
    }

    /// Takes up the run's targets and asks for the skeleton.
    pub(crate) fn begin(&mut self, targets: Vec<Target>) {
        if targets.is_empty() {
            return;
        }
        match Blueprint::new(targets.clone()) {
            Ok(blueprint) => self.blueprint = blueprint,
            Err(errors) => {
                let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
                return self.fail(words.join("\n"), 2);
            }
        }
        if let Some(circle) = skeleton::module_circle(&self.blueprint) {
            return self.fail(circle.to_string(), 2);
        }
        self.initial = Arc::new(targets);
        for (place, ix) in self.blueprint.in_dependency_order().into_iter().enumerate() {
            let track = Track { place: u32::try_from(place).unwrap_or(u32::MAX), ..Track::default() };
            if self.tracks.len() <= ix.index() {
                self.tracks.resize(ix.index() + 1, Track::default());
            }
            self.tracks[ix.index()] = track;
        }
        self.declarations =
            self.blueprint.targets().map(|(ix, target)| (target.declaration.clone(), ix)).collect();
        self.ready_keys = vec![None; self.blueprint.len()];
        for (ix, _) in self.blueprint.clone().targets() {
            self.refresh_entry(ix);
        }
        self.say(&format!("{} targets in the blueprint", self.blueprint.len()));
        self.layouts.push(Layout::skeleton());
        self.touch_all();
    }
}
