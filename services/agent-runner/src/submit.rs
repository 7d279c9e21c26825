//! What a draft must show before it is offered: Lean accepts it, the target's declaration is there, a proof is
//! whole and leaves its statement alone. The merge queue asks all this again, and more; here it spares a round.

use atlas_bus::Bus;
use atlas_library::LibraryPath;
use atlas_proto::{CheckReply, DeclarationFacts, Task};

use crate::check::{self, Question};
use crate::library::{Library, LibraryError};
use crate::tools::ToolFault;

/// What every landing may rest on.
const AXIOMS: [&str; 3] = ["propext", "Classical.choice", "Quot.sound"];

/// The outcome of an attempt to submit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// `None`: it may go; else why not, for the model.
    pub refusal: Option<String>,
    /// Questions put to Lean.
    pub checks: u32,
    /// Lean found errors in the draft.
    pub rejected: bool,
}

/// The full Lean name of the declaration that an attempt is to deliver.
pub fn declaration(task: &Task) -> String {
    let name = task.target.as_ref().map(|t| t.declaration.as_str()).unwrap_or_default();
    if task.refute { format!("{name}_refuted") } else { name.to_owned() }
}

/// Whether the attempt states: `sorry` is then allowed in the proof of a theorem.
pub fn states(task: &Task) -> bool {
    task.role == "formalizer" || (task.role == "fixer" && task.frozen_statement.is_empty())
}

/// Checks the draft.
///
/// # Errors
/// The library or Lean cannot be reached now.
pub async fn gate(bus: &Bus, library: &Library, task: &Task, id: &str) -> Result<Gate, ToolFault> {
    let changes = library.draft().changes();
    if changes.is_empty() {
        let refusal = Some("Your draft changes nothing. Write the region first.".to_owned());
        return Ok(Gate { refusal, checks: 0, rejected: false });
    }
    let target = task.target.clone().unwrap_or_default();
    let mut modules = vec![target.module.clone()];
    modules.extend(changes.iter().filter_map(|change| LibraryPath::parse(&change.path).ok()?.module()));
    modules.sort();
    modules.dedup();
    let name = declaration(task);
    let reply = check::ask(bus, question(task, id, library, modules, &name).await?).await?;
    let rejected = check::rejected(&reply);
    if let Some(refusal) = refusal(task, &name, &reply) {
        return Ok(Gate { refusal: Some(refusal), checks: 1, rejected });
    }
    let facts = reply.declarations.iter().find(|facts| facts.name == name);
    let hash = facts.map(|facts| facts.statement_hash.as_str()).unwrap_or_default();
    if states(task) || task.refute || hash.is_empty() {
        return Ok(Gate { refusal: None, checks: 1, rejected });
    }
    // The frozen statement stands in the base; its check comes from the verifier's cache.
    let base = library.with_draft(base_draft(library));
    let module = vec![target.module];
    let before = check::ask(bus, question(task, &format!("{id}-base"), &base, module, &name).await?).await?;
    let frozen =
        before.declarations.iter().find(|facts| facts.name == name && !facts.statement_hash.is_empty());
    let refusal = frozen.filter(|frozen| frozen.statement_hash != hash).map(|frozen| {
        format!(
            "The statement of `{name}` is frozen and your draft changes it. It must elaborate to\n{}\nand now elaborates to\n{}\nor it rests on a definition that your draft changes. Restore it; only what comes after `:=` is yours.",
            frozen.statement,
            facts.map(|facts| facts.statement.as_str()).unwrap_or_default()
        )
    });
    Ok(Gate { refusal, checks: 2, rejected })
}

fn base_draft(library: &Library) -> crate::draft::Draft {
    let draft = library.draft();
    crate::draft::Draft::new(draft.package(), draft.module_path(), "")
}

async fn question(
    task: &Task,
    id: &str,
    library: &Library,
    check: Vec<String>,
    declaration: &str,
) -> Result<Question, LibraryError> {
    let modules = library.closure(&check).await?;
    let (id, run) = (id.to_owned(), task.run.clone());
    Ok(Question {
        id,
        run,
        modules,
        check,
        declarations: vec![declaration.to_owned()],
        ..Question::default()
    })
}

/// Why a checked draft is not ready; `None` when it is.
fn refusal(task: &Task, name: &str, reply: &CheckReply) -> Option<String> {
    if !check::accepted(reply) {
        return Some(format!("Not submitted. {}", check::render(reply)));
    }
    let Some(facts) = reply.declarations.iter().find(|facts| facts.name == name) else {
        let others: Vec<&str> = reply.declarations.iter().map(|facts| facts.name.as_str()).take(20).collect();
        let found = if others.is_empty() { String::new() } else { format!(" Found: {}.", others.join(", ")) };
        return Some(format!(
            "Not submitted. Lean accepts the module, but it declares no `{name}`. Mind the namespace: inside `namespace X` write the name without `X.`.{found}"
        ));
    };
    sorry(task, name, facts).or_else(|| foreign_axioms(name, facts))
}

fn sorry(task: &Task, name: &str, facts: &DeclarationFacts) -> Option<String> {
    if !facts.uses_sorry {
        return None;
    }
    if !states(task) {
        return Some(format!(
            "Not submitted. `{name}`, or what it uses, still rests on `sorry`. Prove what is open, or give up with a reason."
        ));
    }
    let theorem = facts.kind == "theorem";
    (!theorem).then(|| {
        format!("Not submitted. `{name}` is a {} and rests on `sorry`; only the proof of a theorem may. Write it whole.", facts.kind)
    })
}

fn foreign_axioms(name: &str, facts: &DeclarationFacts) -> Option<String> {
    let foreign =
        facts.axioms.iter().filter(|axiom| !AXIOMS.contains(&axiom.as_str()) && *axiom != "sorryAx");
    let foreign: Vec<&str> = foreign.map(String::as_str).collect();
    (!foreign.is_empty()).then(|| {
        format!(
            "Not submitted. `{name}` rests on {}; a landing may rest on {} only. `native_decide` and `axiom` are the usual causes.",
            foreign.join(", "),
            AXIOMS.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use atlas_proto::{Outcome, Target};

    use super::*;

    fn said(role: &str, kind: &str, uses_sorry: bool, axioms: &[&str]) -> Option<String> {
        let target = Target { declaration: "N.a".into(), ..Target::default() };
        let task = Task { role: role.into(), target: Some(target), ..Task::default() };
        let axioms = axioms.iter().map(|&a| a.to_owned()).collect();
        let facts = DeclarationFacts {
            name: "N.a".into(),
            kind: kind.into(),
            uses_sorry,
            axioms,
            ..DeclarationFacts::default()
        };
        let reply = CheckReply {
            outcome: Outcome::Accepted.into(),
            declarations: vec![facts],
            ..CheckReply::default()
        };
        refusal(&task, &declaration(&task), &reply)
    }

    #[test]
    fn sorry_passes_in_the_proof_of_a_statement_and_nowhere_else() {
        assert_eq!(said("formalizer", "theorem", true, &["sorryAx"]), None);
        assert!(
            said("formalizer", "def", true, &["sorryAx"]).unwrap().contains("is a def and rests on `sorry`")
        );
        assert!(said("prover", "theorem", true, &["sorryAx"]).unwrap().contains("still rests on `sorry`"));
        assert_eq!(said("prover", "theorem", false, &["propext", "Quot.sound"]), None);
        assert!(
            said("prover", "theorem", false, &["Lean.ofReduceBool"])
                .unwrap()
                .contains("rests on Lean.ofReduceBool")
        );
    }

    #[test]
    fn a_refutation_is_named_after_what_it_refutes() {
        let target = Target { declaration: "N.a".into(), ..Target::default() };
        let task = Task { role: "prover".into(), target: Some(target), refute: true, ..Task::default() };
        assert_eq!(declaration(&task), "N.a_refuted");
        let reply = CheckReply { outcome: Outcome::Accepted.into(), ..CheckReply::default() };
        assert!(refusal(&task, &declaration(&task), &reply).unwrap().contains("declares no `N.a_refuted`"));
    }
}
