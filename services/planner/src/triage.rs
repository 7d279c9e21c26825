//! What a triage agent's decision does to the blueprint.

use std::collections::BTreeSet;

use atlas_domain::{Blueprint, Holding, Target, TargetId, TargetIx, TargetKind};
use atlas_proto::{Decompose, Report, report, triage};

use crate::landing::Layout;
use crate::machine::Planner;
use crate::reports::{OUT_OF_BUDGET, shortfall};
use crate::skeleton;
use crate::track::{Ended, Track};

impl Planner {
    pub(crate) fn triage_reported(&mut self, ix: TargetIx, report: &Report, ended: Ended) {
        let action = match &report.result {
            Some(report::Result::Triage(triage)) => triage.action.as_ref(),
            _ => None,
        };
        let done = match action {
            Some(action) => self.act(ix, action),
            None => Err(match shortfall(report) {
                (OUT_OF_BUDGET, reason) => {
                    self.track_mut(ix).note(ended, OUT_OF_BUDGET, &reason, "");
                    return;
                }
                (_, reason) => reason,
            }),
        };
        let label = self.blueprint.target(ix).id.clone();
        let track = self.track_mut(ix);
        track.triages += 1;
        match done {
            Ok((outcome, reason)) => {
                track.note(ended, outcome, &reason, "");
                self.say(&format!("{label}: triage says {outcome}: {reason}"));
            }
            Err(reason) => {
                track.note(ended, "failed", &reason, "");
                self.say(&format!("{label}: triage failed: {reason}"));
            }
        }
    }

    /// Carries the action out, or says why it cannot be.
    fn act(&mut self, ix: TargetIx, action: &triage::Action) -> Result<(&'static str, String), String> {
        let stated = self.is_stated(ix);
        let definition = self.blueprint.target(ix).kind.is_definition();
        let done = match action {
            triage::Action::Escalate(question) => {
                let label = self.blueprint.target(ix).id.to_string();
                self.escalate(&label, question);
                // The answer may be about the refuted dependency too, so it is kept until then.
                return Ok(("escalated", question.clone()));
            }
            triage::Action::Retry(advice) => ("advised", advice.clone()),
            triage::Action::CorrectStatement(why) if stated => {
                self.track_mut(ix).void("dropped", "");
                self.hold(ix, Holding::Nothing);
                let track = self.track_mut(ix);
                track.automation_done = false;
                ("correct-statement", why.clone())
            }
            triage::Action::CorrectStatement(why) => ("correct-statement", why.clone()),
            triage::Action::Refute(why) if stated && !definition => {
                self.forget_refuted(ix);
                let track = self.track_mut(ix);
                track.begin_anew();
                track.refuting = true;
                track.reason.clone_from(why);
                return Ok(("refute", why.clone()));
            }
            triage::Action::Refute(_) if definition => {
                return Err("a definition cannot be refuted".to_owned());
            }
            triage::Action::Refute(_) => return Err("what is not stated yet cannot be refuted".to_owned()),
            triage::Action::Decompose(decompose) => ("decomposed", self.decompose(ix, decompose)?),
        };
        self.forget_refuted(ix);
        self.track_mut(ix).begin_anew();
        Ok(done)
    }

    fn decompose(&mut self, ix: TargetIx, decompose: &Decompose) -> Result<String, String> {
        let parts = self.parts(ix, decompose)?;
        let mut trial = self.blueprint.clone();
        let added = trial.decompose(ix, parts).map_err(|errors| {
            let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
            format!("the decomposition does not fit the blueprint: {}", words.join("; "))
        })?;
        self.fits_layout(&trial, ix, &added)?;
        self.blueprint = trial;
        let place = self.track(ix).place;
        for &part in &added {
            self.tracks.push(Track { place, ..Track::default() });
            self.ready_keys.push(None);
            let declaration = self.blueprint.target(part).declaration.clone();
            self.declarations.insert(declaration, part);
            self.refresh_entry(part);
        }
        let label = self.blueprint.target(ix).id.to_string();
        let number = u32::try_from(self.layouts.len()).unwrap_or(u32::MAX);
        let order = self.blueprint.in_dependency_order();
        let mut ordered = added.clone();
        ordered.sort_by_key(|part| order.iter().position(|ix| ix == part));
        self.layouts.push(Layout::room(ix, &label, number, ordered));
        self.touch_all(); // heights have changed below the parts
        let names: Vec<&str> = added.iter().map(|&part| self.blueprint.target(part).id.as_str()).collect();
        Ok(format!("into {}: {}", names.join(", "), decompose.reason))
    }

    /// The parts as whole targets: chapter and module are their parent's, names follow its namespace.
    fn parts(&self, ix: TargetIx, decompose: &Decompose) -> Result<Vec<Target>, String> {
        if decompose.targets.is_empty() {
            return Err("the decomposition names no parts".to_owned());
        }
        let parent = self.blueprint.target(ix);
        let namespace =
            parent.declaration.rsplit_once('.').map(|(namespace, _)| namespace).unwrap_or_default();
        let mut taken: BTreeSet<String> = BTreeSet::new();
        let mut parts = Vec::new();
        for wire in &decompose.targets {
            let mut wire = wire.clone();
            if wire.kind.is_empty() {
                wire.kind = TargetKind::Lemma.to_string();
            }
            let mut part = Target::try_from(wire).map_err(|e| e.to_string())?;
            part.chapter.clone_from(&parent.chapter);
            part.module.clone_from(&parent.module);
            part.source.clone_from(&parent.source);
            part.line = parent.line;
            part.parent = Some(parent.id.clone());
            part.declaration = declaration(namespace, &part);
            let clash =
                self.declarations.contains_key(&part.declaration) || !taken.insert(part.declaration.clone());
            if clash {
                return Err(format!(
                    "the part `{}` would be declared as `{}`, which exists already",
                    part.id, part.declaration
                ));
            }
            parts.push(part);
        }
        Ok(parts)
    }

    /// Regions of parts go right before their whole's, so what they depend on must stand before that, and
    /// modules must not come to import each other.
    fn fits_layout(&self, trial: &Blueprint, ix: TargetIx, added: &[TargetIx]) -> Result<(), String> {
        if let Some(circle) = skeleton::module_circle(trial) {
            return Err(circle.to_string());
        }
        let parent = trial.target(ix);
        let place = self.track(ix).place;
        for &part in added {
            for &edge in trial.statement_edges(part).iter().chain(trial.proof_edges(part)) {
                let other = trial.target(edge);
                let stands_later = other.module == parent.module
                    && self.tracks.get(edge.index()).is_some_and(|track| edge == ix || track.place > place);
                if stands_later {
                    let (part, other): (&TargetId, &TargetId) = (&trial.target(part).id, &other.id);
                    return Err(format!(
                        "the part `{part}` depends on `{other}`, which stands after `{}` in its chapter",
                        parent.id
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The part's full Lean name: as given, put into the parent's namespace, or made from its label.
fn declaration(namespace: &str, part: &Target) -> String {
    let given = if part.declaration.is_empty() {
        atlas_book::declaration_name(part.kind, part.id.as_str())
    } else {
        part.declaration.clone()
    };
    let inside =
        namespace.is_empty() || given.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('.'));
    if inside { given } else { format!("{namespace}.{given}") }
}
