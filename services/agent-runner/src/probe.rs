//! What the automation tier finds out about a statement before anybody reviews it: whether its hypotheses contradict each other, whether
//! it is proved or refuted at once. Real Lean, bounded time, no token.

use std::time::Duration;

use atlas_bus::Bus;
use atlas_judge::tags::{Kind, Tag};
use atlas_lean::automation::{self, Candidate};
use atlas_proto::{CheckReply, Task};

use crate::automation::{unfoldable, with_region};
use crate::check::{self, Question};
use crate::library::Library;
use crate::submit;
use crate::tools::ToolFault;

/// How long Lean may take over one question.
const DEADLINE: Duration = Duration::from_secs(10);
/// Of the candidates for a proof, those that take no induction: what they prove is proved at once.
const AT_ONCE: usize = 2;

/// Tags by probes of the statement in `library`'s draft, as it elaborated; none of what is no theorem proved by `sorry`.
///
/// # Errors
/// The library or Lean cannot be reached now.
pub async fn probe(
    bus: &Bus,
    library: &Library,
    task: &Task,
    statement: &str,
) -> Result<Vec<Tag>, ToolFault> {
    let Some(region) = library.draft().region() else { return Ok(Vec::new()) };
    let unfold = unfoldable(library, task).await?;
    let unfold: Vec<&str> = unfold.iter().map(String::as_str).collect();
    let name = submit::declaration(task);
    let probes = Probes { bus, library, task };
    // Where the conclusion is `False`, to prove it is to prove the statement.
    if !statement.trim_end().ends_with("False")
        && let Some(tactic) =
            probes.first("vacuous", &automation::contradictions(region, &unfold), &name).await?
    {
        let tactic = tactic.trim_start_matches("intros; exfalso; ");
        let evidence =
            format!("`{tactic}` proves `False` from the hypotheses: there is no case to which it applies");
        return Ok(vec![Tag::new(Kind::HypothesesRefuted, evidence)]);
    }
    let mut proofs = automation::candidates(region, &unfold);
    proofs.truncate(AT_ONCE);
    if let Some(tactic) = probes.first("proved", &proofs, &name).await? {
        return Ok(vec![Tag::new(Kind::ProvedAtOnce, format!("`{tactic}` proves it"))]);
    }
    let refutations = automation::refutations(region, &name, &unfold);
    if let Some(tactic) = probes.first("refuted", &refutations, automation::REFUTATION).await? {
        let evidence = format!("`{tactic}` proves its negation: it is false as it stands");
        return Ok(vec![Tag::new(Kind::RefutedAtOnce, evidence)]);
    }
    Ok(Vec::new())
}

struct Probes<'p> {
    bus: &'p Bus,
    library: &'p Library,
    task: &'p Task,
}

impl Probes<'_> {
    /// The tactic of the first candidate that Lean accepts, whose declaration `proved` (its last part, or all of it) then rests on no
    /// `sorry`.
    async fn first(
        &self,
        what: &str,
        candidates: &[Candidate],
        proved: &str,
    ) -> Result<Option<String>, ToolFault> {
        let module = self.task.target.as_ref().map(|t| t.module.clone()).unwrap_or_default();
        for (number, candidate) in candidates.iter().enumerate() {
            let Some(draft) = with_region(self.library.draft(), &candidate.region) else { continue };
            let tried = self.library.with_draft(draft);
            let question = Question {
                id: format!("{}/{what}/{number}", self.task.attempt),
                run: self.task.run.clone(),
                modules: tried.closure(std::slice::from_ref(&module)).await?,
                check: vec![module.clone()],
                focus: tried.focus().await?,
                deadline: Some(DEADLINE),
                ..Question::default()
            };
            let reply = check::ask(self.bus, question).await?;
            let tactic = automation::winner(candidate, &reply.diagnostics);
            if let Some(tactic) = tactic.filter(|_| check::accepted(&reply) && is_whole(&reply, proved)) {
                return Ok(Some(tactic.to_owned()));
            }
        }
        Ok(None)
    }
}

/// Whether the declaration is there and rests on no `sorry`, nobody's.
fn is_whole(reply: &CheckReply, name: &str) -> bool {
    let named = |facts: &str| {
        facts.strip_suffix(name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    reply.declarations.iter().any(|facts| named(&facts.name) && !facts.uses_sorry)
}
