//! Tasks: all that an agent is told when it starts.

use std::collections::BTreeSet;
use std::fmt::Write;

use atlas_domain::{Holding, TargetIx};
use atlas_proto::{Policy, Started, Submission, Target, Task};

use crate::machine::Planner;
use crate::role::Role;
use crate::track::{Purpose, Stage};

/// Targets that a task quotes beside its own; a statement's whole closure can be half the book.
const CONTEXT: usize = 40;
/// Lines of the book before and after a target that a task quotes.
const EXCERPT_BEFORE: u32 = 12;
const EXCERPT_AFTER: u32 = 40;

impl Planner {
    /// The task of an attempt, as things stand before it.
    pub(crate) fn task(&self, ix: TargetIx, started: &Started) -> Task {
        let track = self.track(ix);
        let role = Role::named(&started.role);
        let mut task = Task {
            run: self.run.to_string(),
            attempt: started.attempt.clone(),
            role: started.role.clone(),
            number: started.number,
            target: Some(self.blueprint.target(ix).into()),
            base_commit: self.head.clone(),
            frozen_statement: track
                .frozen
                .as_ref()
                .map(|frozen| frozen.statement.clone())
                .unwrap_or_default(),
            context: self.context(ix),
            excerpt: self.excerpt(ix),
            human_reply: track.human_reply.clone(),
            refute: started.refute,
            users: self.users(ix, role, started.refute),
            axioms: self.policy.axioms.clone(),
            max_turns: limits(&self.policy, &started.role).0,
            max_tokens: limits(&self.policy, &started.role).1,
            ..Task::default()
        };
        match role {
            Some(Role::MathematicalReviewer) => {
                // It judges by the book and the Lean alone, so the author's words stay away from it.
                task.subject = self.subject_of(ix).map(|subject| Submission {
                    summary: String::new(),
                    title: String::new(),
                    ..(*subject).clone()
                });
            }
            Some(Role::EngineeringReviewer) => {
                task.subject = self.subject_of(ix).map(|subject| (*subject).clone());
            }
            Some(Role::Fixer) => {
                if let Some(front) = track.candidates.front() {
                    task.subject = Some((*front.submission).clone());
                    if front.purpose == Purpose::State {
                        // What it repairs says anew what is to be frozen.
                        task.frozen_statement.clear();
                    }
                    if let Stage::Refused { reason, diagnostics, head } = &front.stage {
                        task.refusal.clone_from(reason);
                        task.diagnostics.clone_from(diagnostics);
                        if task.base_commit.is_empty() {
                            task.base_commit.clone_from(head);
                        }
                    }
                }
                task.memory = track.memory();
            }
            _ => task.memory = track.memory(),
        }
        task
    }

    /// Targets whose landed proofs break, or may, when the role does its work: it changes the statement that they rest on,
    /// or takes it away.
    fn users(&self, ix: TargetIx, role: Option<Role>, refute: bool) -> Vec<Target> {
        let corrected = self.blueprint.holding(ix) == Holding::Nothing;
        let writes = matches!(role, Some(Role::Formalizer | Role::Prover | Role::Fixer));
        if !writes || !(refute || corrected) {
            return Vec::new();
        }
        let words = |&user: &TargetIx| Target { proof: String::new(), ..self.blueprint.target(user).into() };
        self.blueprint.users(ix).iter().map(words).collect()
    }

    /// What the target's statement rests on, near to far, and what its proof uses; without their proofs.
    fn context(&self, ix: TargetIx) -> Vec<Target> {
        let direct = self.blueprint.statement_edges(ix).iter().chain(self.blueprint.proof_edges(ix)).copied();
        let closure = self.blueprint.statement_closure(ix);
        let mut seen = BTreeSet::new();
        direct
            .chain(closure)
            .filter(|&near| seen.insert(near))
            .take(CONTEXT)
            .map(|near| Target { proof: String::new(), ..self.blueprint.target(near).into() })
            .collect()
    }

    /// The book around the target, lines numbered as in the file; empty when the chapter is not at hand.
    fn excerpt(&self, ix: TargetIx) -> String {
        let target = self.blueprint.target(ix);
        let chapters = self.spec.iter().flat_map(|spec| &spec.chapters);
        let mut there = chapters.filter(|chapter| chapter.slug == target.chapter);
        let Some(chapter) = there.next().filter(|_| target.line > 0) else { return String::new() };
        let first = target.line.saturating_sub(EXCERPT_BEFORE);
        numbered(&chapter.text, chapter.first_line.max(1), first, target.line.saturating_add(EXCERPT_AFTER))
    }
}

/// Turns and tokens that the role may use.
pub(crate) fn limits(policy: &Policy, role: &str) -> (u32, u64) {
    let own = policy.roles.iter().find(|limits| limits.role == role);
    let turns = own.map(|limits| limits.max_turns).filter(|&turns| turns > 0).unwrap_or(policy.max_turns);
    let tokens = own.map(|limits| limits.max_tokens).filter(|&tokens| tokens > 0);
    (turns, tokens.unwrap_or(policy.max_tokens_per_attempt))
}

/// Lines `from..=to` of a text whose first line has the number `first`, each with its number before it.
pub(crate) fn numbered(text: &str, first: u32, from: u32, to: u32) -> String {
    let mut out = String::new();
    for (line, number) in text.lines().zip(first..) {
        if (from..=to).contains(&number) {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{number:>5}  {line}");
        }
    }
    out
}
