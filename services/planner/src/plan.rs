//! Which attempts start now, and which are void.

use std::sync::Arc;

use atlas_proto::planner_event::Event as Kind;
use atlas_proto::{Escalated, Started};

use crate::machine::{Planner, Running, Subject};
use crate::role::Role;
use crate::track::Stage;

/// Decisions that one plan may take; the next plan takes more. A record is one message, and messages have a largest size.
const DECISIONS: usize = 1_024;

impl Planner {
    /// True until there is something to plan with: targets, a place for them in the library, a ledger.
    pub(crate) fn is_starting(&self) -> bool {
        self.ledger_policy < self.policy_number
            || self.unwritten
            || self.layouts.first().is_some_and(|layout| !layout.landed)
    }

    pub(crate) fn plan_is_due(&self) -> bool {
        if self.stopped.is_some() || self.fault.is_some() || self.ledger_policy < self.policy_number {
            return false;
        }
        let free = self.free_agents();
        match &self.extraction {
            Some(extraction) => extraction.is_complete() || (free > 0 && extraction.has_work()),
            None => !self.to_escalate.is_empty() || (free > 0 && !self.ready.is_empty()),
        }
    }

    pub(crate) fn free_agents(&self) -> usize {
        (self.policy.max_agents.max(1) as usize).saturating_sub(self.running.len())
    }

    pub(crate) fn plan(&self) -> Vec<Kind> {
        if !self.plan_is_due() {
            return Vec::new();
        }
        if let Some(extraction) = &self.extraction {
            if extraction.is_complete() {
                let package = self.spec.as_ref().map(|spec| spec.package.as_str()).unwrap_or_default();
                return vec![Kind::Extracted(extraction.result(package))];
            }
            return extraction
                .starts(self.free_agents().min(DECISIONS))
                .into_iter()
                .map(Kind::Started)
                .collect();
        }
        let mut events: Vec<Kind> = Vec::new();
        for &ix in self.to_escalate.iter().take(DECISIONS) {
            let target = self.blueprint.target(ix).id.to_string();
            events.push(Kind::Escalated(Escalated { target, question: self.standing_question(ix) }));
        }
        for &(ix, work) in self.ready.values().take(self.free_agents().min(DECISIONS)) {
            let role = self.role_for(ix, work);
            let target = self.blueprint.target(ix).id.as_str();
            let number = self.track(ix).numbers[role.index()] + 1;
            events.push(Kind::Started(Started {
                attempt: format!("{target}.{role}.{number}"),
                role: role.to_string(),
                target: target.to_owned(),
                number,
                refute: self.refutes(ix, work),
            }));
        }
        events
    }

    pub(crate) fn started(&mut self, started: &Started) {
        let Some(role) = Role::named(&started.role) else { return };
        let running = match self.blueprint.find(&started.target) {
            Some(ix) => {
                let task = Arc::new(self.task(ix, started));
                let track = self.track_mut(ix);
                track.numbers[role.index()] = started.number;
                track.running.insert(started.attempt.clone());
                match role {
                    Role::Prover | Role::Automation => track.authors += 1,
                    Role::MathematicalReviewer | Role::EngineeringReviewer => {
                        if let Some(front) = track.candidates.front_mut() {
                            front.stage = Stage::InReview;
                        }
                    }
                    Role::Fixer => {
                        if let Some(front) = track.candidates.front_mut() {
                            front.stage = Stage::Fixing;
                        }
                    }
                    _ => {}
                }
                let revision = track.revision;
                Running { role, number: started.number, subject: Subject::Target(ix), task, revision }
            }
            None => {
                let Some((run, policy)) =
                    self.extraction.as_ref().map(|_| (self.run.clone(), self.policy.clone()))
                else {
                    return;
                };
                let Some(extraction) = &mut self.extraction else { return };
                let Some((chunk, task)) = extraction.started(started, run.as_str(), &policy) else { return };
                let task = Arc::new(task);
                self.readers.insert(started.attempt.clone());
                Running { role, number: started.number, subject: Subject::Chunk(chunk), task, revision: 0 }
            }
        };
        if self.running.insert(started.attempt.clone(), running).is_none() {
            self.tally.began(role);
        }
    }

    /// True of attempts whose work no one waits for any more.
    pub(crate) fn is_void(&self, running: &Running) -> bool {
        match running.subject {
            Subject::Target(ix) => {
                self.blueprint.standing(ix).is_done() || running.revision != self.track(ix).revision
            }
            Subject::Chunk(_) => self.extraction.is_none(),
        }
    }
}
