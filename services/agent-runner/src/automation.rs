//! The automation tier: a list of tactics is tried on the goal before an agent spends a token.

use atlas_bus::Bus;
use atlas_lean::automation;
use atlas_library::layout;
use atlas_proto::{Automated, Task};
use regex::Regex;

use crate::check::{self, Question};
use crate::comments;
use crate::draft::Draft;
use crate::library::Library;
use crate::submit;
use crate::tool::{Request, WriteRegion};
use crate::tools::ToolFault;

/// The role that no model takes part in.
pub const ROLE: &str = "automation";

/// Tries the tier's candidates one after the other, from cheap to costly; the first that Lean accepts is the attempt's submission. What stands
/// before the region is elaborated once for all of them.
///
/// # Errors
/// The library or Lean cannot be reached now.
pub async fn automate(bus: &Bus, task: &Task, draft: Draft) -> Result<Automated, ToolFault> {
    let library = Library::open(bus, &task.base_commit, draft).await?;
    let Some(region) = library.draft().region().map(str::to_owned) else {
        return Ok(gave_up("the target has no region in the library", 0));
    };
    let unfold = unfoldable(&library, task).await?;
    let unfold: Vec<&str> = unfold.iter().map(String::as_str).collect();
    let candidates = automation::candidates(&region, &unfold);
    if candidates.is_empty() {
        return Ok(gave_up("the region holds no statement whose whole proof is `sorry`", 0));
    }
    let module = task.target.as_ref().map(|t| t.module.clone()).unwrap_or_default();
    let mut checks = 0;
    for (number, candidate) in candidates.iter().enumerate() {
        let Some(draft) = with_region(library.draft(), &candidate.region) else { continue };
        let tried = library.with_draft(draft);
        let question = Question {
            id: format!("{}/{number}", task.attempt),
            run: task.run.clone(),
            modules: tried.closure(std::slice::from_ref(&module)).await?,
            check: vec![module.clone()],
            focus: tried.focus().await?,
            declarations: vec![submit::declaration(task)],
            ..Question::default()
        };
        let reply = check::ask(bus, question).await?;
        checks += 1;
        let tactic = automation::winner(candidate, &reply.diagnostics).filter(|_| check::accepted(&reply));
        let settled = tactic.and_then(|tactic| Some((tactic, automation::settled(&region, tactic)?)));
        let Some((tactic, proved)) = settled else { continue };
        let Some(draft) = with_region(library.draft(), &proved) else { continue };
        // What is submitted is the one tactic, so that is what must pass.
        let proved = library.with_draft(draft);
        let gate = submit::gate(bus, &proved, task, &format!("{}/{number}/settled", task.attempt)).await?;
        checks += gate.checks;
        if gate.refusal.is_none() {
            let given = submit::given(&gate.rests_on);
            let summary = format!("Closed by `{tactic}`, found by the automation tier.{given}");
            return Ok(Automated { changes: proved.draft().changes(), summary, checks });
        }
    }
    let tactics: usize = candidates.iter().map(|candidate| candidate.tactics.len()).sum();
    Ok(gave_up(&format!("none of {tactics} tactics closes the goal"), checks))
}

fn gave_up(why: &str, checks: u32) -> Automated {
    Automated { changes: Vec::new(), summary: format!("automation: {why}"), checks }
}

pub(crate) fn with_region(draft: &Draft, content: &str) -> Option<Draft> {
    let mut draft = draft.clone();
    let write = WriteRegion { target: None, content: content.to_owned() };
    draft.edit(&Request::WriteRegion(write)).ok()?;
    Some(draft)
}

/// The definitions under the target that `simp` can unfold: structures and inductive types it cannot.
pub(crate) async fn unfoldable(library: &Library, task: &Task) -> Result<Vec<String>, ToolFault> {
    let mut names = Vec::new();
    for target in task.context.iter().filter(|target| !target.declaration.is_empty()) {
        let text = library.text(&layout::module_path(&target.module)).await?.unwrap_or_default();
        let region = comments::strip(layout::region_text(&text, &target.id).unwrap_or_default());
        let short = target.declaration.rsplit('.').next().unwrap_or_default();
        let pattern = format!(r"\b(?:def|abbrev)\s+(?:\S*\.)?{}(?:\s|[:({{\[]|$)", regex::escape(short));
        if Regex::new(&pattern).is_ok_and(|definition| definition.is_match(&region)) {
            names.push(target.declaration.clone());
        }
    }
    Ok(names)
}
