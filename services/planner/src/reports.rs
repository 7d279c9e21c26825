//! What follows from the end of an attempt.

use std::sync::Arc;

use atlas_domain::{Standing, TargetIx, Usage};
use atlas_proto::{Decision, Report, Review, Submission, report};

use crate::machine::{Planner, Running, Subject};
use crate::role::Role;
use crate::track::{Candidate, Ended, Purpose, Stage};
use crate::work::LOST_REVIEWS;

impl Planner {
    pub(crate) fn reported(&mut self, report: &Report) {
        let Some(running) = self.running.remove(&report.attempt) else { return };
        self.tally.ended(running.role);
        let usage = report.usage.map(Usage::from).unwrap_or_default();
        *self.usage.entry(running.role).or_default() += usage;
        match running.subject {
            Subject::Chunk(chunk) => {
                self.readers.remove(&report.attempt);
                let line = self.extraction.as_mut().and_then(|extraction| extraction.reported(chunk, report));
                if let Some(line) = line {
                    self.say(&line);
                }
            }
            Subject::Target(ix) => self.target_reported(ix, &running, report, usage),
        }
    }

    fn target_reported(&mut self, ix: TargetIx, running: &Running, report: &Report, usage: Usage) {
        let void = self.is_void(running);
        let ended = Ended {
            role: running.role,
            number: running.number,
            turns: report.turns,
            checks: report.checks,
            rejected: report.rejected,
            usage,
        };
        let track = self.track_mut(ix);
        track.running.remove(&report.attempt);
        track.usage += usage;
        track.turns += u64::from(report.turns);
        track.checks += u64::from(report.checks);
        if void {
            track.note(ended, "dropped", "", "");
            return;
        }
        match running.role {
            Role::Formalizer | Role::Prover | Role::Automation => {
                self.author_reported(ix, running, report, ended)
            }
            Role::Fixer => self.fixer_reported(ix, report, ended),
            Role::MathematicalReviewer | Role::EngineeringReviewer => {
                self.reviewer_reported(ix, report, ended)
            }
            Role::Triage => self.triage_reported(ix, report, ended),
            Role::Extractor => {}
        }
    }

    fn author_reported(&mut self, ix: TargetIx, running: &Running, report: &Report, ended: Ended) {
        let automatic = running.role == Role::Automation;
        let track = self.track_mut(ix);
        if running.role != Role::Formalizer {
            track.authors = track.authors.saturating_sub(1);
        }
        track.automation_done |= automatic;
        if let Some(report::Result::Submission(submission)) = &report.result {
            let past = track.note(ended, "submitted", "", &submission.summary);
            let purpose = match (running.role, running.task.refute) {
                (Role::Formalizer, _) => Purpose::State,
                (_, true) => Purpose::Refute,
                (_, false) => Purpose::Prove,
            };
            track.candidates.push_back(Candidate {
                submission: Arc::new(submission.clone()),
                purpose,
                author: running.role,
                // Tactics of the automation tier need no second opinion: the gate checks them, no token is spent.
                stage: if automatic { Stage::Approved } else { Stage::Offered },
                fixes: 0,
                resubmissions: 0,
                lost_reviews: 0,
                noticed: Vec::new(),
                traceparent: report.traceparent.clone(),
                past,
            });
            return;
        }
        let (outcome, reason) = shortfall(report);
        track.note(ended, outcome, &reason, "");
        track.failures += u32::from(!automatic && outcome != OUT_OF_BUDGET);
    }

    fn fixer_reported(&mut self, ix: TargetIx, report: &Report, ended: Ended) {
        let track = self.track_mut(ix);
        let waits = matches!(track.candidates.front(), Some(front) if matches!(front.stage, Stage::Fixing));
        if let (Some(report::Result::Submission(submission)), true) = (&report.result, waits) {
            let past = track.note(ended, "submitted", "", &submission.summary);
            if let Some(front) = track.candidates.front_mut() {
                front.submission = Arc::new(submission.clone());
                front.author = Role::Fixer;
                front.stage = Stage::Offered;
                front.fixes += 1;
                front.lost_reviews = 0;
                front.traceparent.clone_from(&report.traceparent);
                front.past = past;
            }
            return;
        }
        let (outcome, reason) = shortfall(report);
        track.note(ended, outcome, &reason, "");
        if outcome != OUT_OF_BUDGET {
            // Its attempt keeps the merge queue's reason.
            track.candidates.pop_front();
            track.failures += 1;
        }
    }

    fn reviewer_reported(&mut self, ix: TargetIx, report: &Report, ended: Ended) {
        let label = self.blueprint.target(ix).id.clone();
        let track = self.track_mut(ix);
        let Some(front) = track.candidates.front_mut() else { return };
        if let Some(report::Result::Review(review)) = &report.result {
            front.noticed.clone_from(&review.noticed);
        }
        let verdict = match &report.result {
            Some(report::Result::Review(review)) => verdict(review, &front.submission),
            _ => Err(shortfall(report)),
        };
        match verdict {
            Ok(None) => {
                front.stage = Stage::Approved;
                track.note(ended, "approved", "", "");
            }
            Ok(Some(reason)) => {
                track.note(ended, "requested-changes", "", "");
                track.dismiss("reviewed", &reason);
                track.failures += 1;
                self.say(&format!("{label}: sent back by {}: {reason}", ended.role));
            }
            Err((outcome, reason)) => {
                front.stage = Stage::Offered;
                front.lost_reviews += u32::from(outcome != OUT_OF_BUDGET);
                let lost = front.lost_reviews >= LOST_REVIEWS;
                track.note(ended, outcome, &reason, "");
                if lost {
                    track.dismiss("failed", &format!("no reviewer came to a verdict: {reason}"));
                    track.failures += 1;
                }
            }
        }
    }

    /// True when triage may act on the statement that the library holds.
    pub(crate) fn is_stated(&self, ix: TargetIx) -> bool {
        self.blueprint.standing(ix) == Standing::Stated
    }
}

/// `None` approves; otherwise the reasons against. An error when it is no verdict on this submission.
fn verdict(review: &Review, submission: &Submission) -> Result<Option<String>, (&'static str, String)> {
    if !review.submission.is_empty() && review.submission != submission.id {
        return Err((
            "failed",
            format!("the review is of `{}`, not of `{}`", review.submission, submission.id),
        ));
    }
    match review.decision() {
        Decision::Approve => Ok(None),
        Decision::RequestChanges | Decision::Reject => {
            let reasons = review.reasons.join("\n");
            Ok(Some(if reasons.is_empty() { "the reviewer gave no reason".to_owned() } else { reasons }))
        }
        Decision::Unspecified => Err(("failed", "the review holds no decision".to_owned())),
    }
}

/// The outcome of attempts that the budget ended: no failure of theirs.
pub(crate) const OUT_OF_BUDGET: &str = "out-of-budget";

/// Outcome and reason of a report without the result that its role is for.
pub(crate) fn shortfall(report: &Report) -> (&'static str, String) {
    match &report.result {
        Some(report::Result::GaveUp(reason)) => ("gave-up", reason.clone()),
        Some(report::Result::Failed(reason)) => ("failed", reason.clone()),
        Some(report::Result::OutOfBudget(reason)) => (OUT_OF_BUDGET, reason.clone()),
        Some(other) => {
            let what = match other {
                report::Result::Submission(_) => "a submission",
                report::Result::Review(_) => "a review",
                report::Result::Triage(_) => "a triage",
                _ => "targets",
            };
            ("failed", format!("the {} ended with {what}, which is not its to give", report.role))
        }
        None => ("failed", "the attempt ended without a result".to_owned()),
    }
}
