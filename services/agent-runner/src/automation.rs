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

/// Tries the tier's candidates one after the other, from cheap to costly; the first that Lean accepts is the attempt's submission. Each is
/// tried on a copy of the statement under another name, after the module as it stands: that is elaborated once for all of them, and for
/// other targets of the chapter too.
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
    let text = library.text(&layout::module_path(&module)).await?.unwrap_or_default();
    let id = task.target.as_ref().map(|t| t.id.as_str()).unwrap_or_default();
    let below = library.closure(std::slice::from_ref(&module)).await?;
    let mut checks = 0;
    for (number, candidate) in candidates.iter().enumerate() {
        let Some(snippet) = trial(&text, id, &submit::declaration(task), &candidate.region) else { continue };
        let question = Question {
            id: format!("{}/{number}", task.attempt),
            run: task.run.clone(),
            modules: below.clone(),
            check: vec![module.clone()],
            snippet: Some(snippet),
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

/// A copy of the candidate's theorem under another name, to be elaborated after its own module `text`: in the namespaces, openings and variables
/// that hold where region `id` begins.
fn trial(text: &str, id: &str, declaration: &str, candidate: &str) -> Option<String> {
    let before = text.get(..layout::region(text, id)?.start)?;
    let mut context = String::new();
    let mut inside = false;
    for line in before.lines() {
        inside = (inside || line.starts_with("-- begin ")) && !line.starts_with("-- end ");
        if !inside
            && ["namespace ", "open ", "universe ", "variable "].iter().any(|word| line.starts_with(word))
        {
            context += line;
            context.push('\n');
        }
    }
    let head = Regex::new(r"(?m)^(?:@\[[^\]]*\]\s*)?(?:theorem|lemma)\s+(?P<name>\S+)").ok()?;
    let name = head.captures_iter(candidate).filter_map(|found| found.name("name")).last()?;
    let short = name.as_str();
    if !(declaration == short || declaration.ends_with(&format!(".{short}"))) {
        return None;
    }
    let start = candidate.get(..name.start())?.rfind('\n').map_or(0, |at| at + 1);
    let (head, rest) = (candidate.get(start..name.end())?, candidate.get(name.end()..)?);
    Some(format!("{context}{head}_by_automation{rest}\n"))
}

fn gave_up(why: &str, checks: u32) -> Automated {
    Automated { changes: Vec::new(), summary: format!("automation: {why}"), checks }
}

fn with_region(draft: &Draft, content: &str) -> Option<Draft> {
    let mut draft = draft.clone();
    let write = WriteRegion { target: None, content: content.to_owned() };
    draft.edit(&Request::WriteRegion(write)).ok()?;
    Some(draft)
}

/// The definitions under the target that `simp` can unfold: structures and inductive types it cannot.
async fn unfoldable(library: &Library, task: &Task) -> Result<Vec<String>, ToolFault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_candidate_is_tried_under_another_name_in_the_context_of_its_region() {
        let text = "module\nnamespace N\nopen Nat\n-- begin a\nopen Hidden in\n-- end a\n-- begin b\n-- end b\nend N\n";
        let candidate = "lemma helper : 1 = 1 := rfl\n@[simp]\ntheorem b (n : Nat) : n = n := by\n  rfl\n";
        let trial = trial(text, "b", "N.b", candidate).unwrap();
        assert_eq!(
            trial,
            "namespace N\nopen Nat\ntheorem b_by_automation (n : Nat) : n = n := by\n  rfl\n\n"
        );
    }
}
