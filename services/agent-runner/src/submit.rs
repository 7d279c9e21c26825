//! What a draft must show before it is offered: Lean accepts it, the target's declaration is there, a proof is
//! complete given the statements that it rests on, and leaves its own alone. The merge queue asks all this again, and
//! more; here it spares a round.

use std::collections::BTreeSet;

use atlas_bus::Bus;
use atlas_library::{LibraryPath, layout};
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
    /// Of a draft that may go: stated targets, not proved yet, that its proof rests on.
    pub rests_on: Vec<String>,
}

impl Gate {
    fn refused(refusal: String, checks: u32) -> Self {
        Self { refusal: Some(refusal), checks, rejected: false, rests_on: Vec::new() }
    }
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
        return Ok(Gate::refused("Your draft changes nothing. Write the region first.".to_owned(), 0));
    }
    let target = task.target.clone().unwrap_or_default();
    let mut modules = vec![target.module.clone()];
    modules.extend(changes.iter().filter_map(|change| LibraryPath::parse(&change.path).ok()?.module()));
    // Where the statement changes or goes, what rests on it must still hold.
    modules.extend(task.users.iter().map(|user| user.module.clone()));
    modules.sort();
    modules.dedup();
    let name = declaration(task);
    let mut checks = 1;
    let mut reply = check::ask(bus, question(task, id, library, modules.clone(), &[]).await?).await?;
    if check::accepted(&reply) && !reply.declarations.iter().any(|facts| facts.name == name) {
        // Some names Lean uses itself; what bears them is told of when it is asked for.
        let module = vec![target.module.clone()];
        let by_name = question(task, &format!("{id}-name"), library, module, &[&name]).await?;
        reply.declarations.extend(check::ask(bus, by_name).await?.declarations);
        checks += 1;
    }
    if let Some(refusal) = refusal(task, &name, &reply) {
        return Ok(Gate { rejected: check::rejected(&reply), ..Gate::refused(refusal, checks) });
    }
    let facts = reply.declarations.iter().find(|facts| facts.name == name).cloned().unwrap_or_default();
    let own = |open: &&str| *open != name && !task.users.iter().any(|user| user.declaration == *open);
    let open: Vec<&str> = open(&reply).filter(own).collect();
    let proves = !states(task) && !task.refute;
    if !open.is_empty() || (proves && !facts.statement_hash.is_empty()) {
        // The frozen statement, and what else is stated and not proved, stand in the base; its check comes from the
        // verifier's cache.
        let base = library.with_draft(base_draft(library));
        modules.retain(|module| base.files().contains_key(layout::module_path(module).as_str()));
        let names: Vec<&str> = open.iter().copied().chain([name.as_str()]).collect();
        let before = question(task, &format!("{id}-base"), &base, modules, &names).await?;
        let before = check::ask(bus, before).await?;
        checks += 1;
        let refusal =
            helper(&open, &before).or_else(|| if proves { thawed(&name, &facts, &before) } else { None });
        if let Some(refusal) = refusal {
            return Ok(Gate::refused(refusal, checks));
        }
    }
    let rests_on = facts.sorry_from.into_iter().filter(|from| *from != name).collect();
    Ok(Gate { refusal: None, checks, rejected: false, rests_on })
}

/// Names of the declarations whose own proof is `sorry`.
fn open(reply: &CheckReply) -> impl Iterator<Item = &str> {
    let open = reply.declarations.iter().filter(|facts| facts.sorry_from.contains(&facts.name));
    open.map(|facts| facts.name.as_str())
}

/// Refuses a lemma that the draft leaves open: in the library only stated targets are, and those were before.
fn helper(open_now: &[&str], before: &CheckReply) -> Option<String> {
    let before: BTreeSet<&str> = open(before).collect();
    let helper = open_now.iter().find(|name| !before.contains(*name))?;
    Some(format!(
        "Not submitted. `{helper}` rests on `sorry` and is no target of the book, so nobody would ever prove it. Prove it here, or do without it."
    ))
}

/// Refuses a draft that changes the frozen statement.
fn thawed(name: &str, now: &DeclarationFacts, before: &CheckReply) -> Option<String> {
    let frozen = before.declarations.iter().find(|facts| facts.name == name)?;
    let same = frozen.statement_hash.is_empty() || frozen.statement_hash == now.statement_hash;
    (!same).then(|| {
        format!(
            "The statement of `{name}` is frozen and your draft changes it. It must elaborate to\n{}\nand now elaborates to\n{}\nor it rests on a definition that your draft changes. Restore it; only what comes after `:=` is yours.",
            frozen.statement, now.statement
        )
    })
}

/// What a check says of the target beyond errors: whether its proof is complete, and what it is given. `None` when Lean
/// does not accept the module or the target is not in it.
pub fn remark(task: &Task, reply: &CheckReply) -> Option<String> {
    let name = declaration(task);
    let facts =
        reply.declarations.iter().find(|facts| facts.name == name).filter(|_| check::accepted(reply))?;
    if !facts.uses_sorry {
        return None;
    }
    let others: Vec<String> = facts.sorry_from.iter().filter(|from| **from != name).cloned().collect();
    let mut remark = match facts.sorry_from.contains(&name) {
        true => format!("`{name}` is not proved: there is `sorry` in its own proof."),
        false => format!("The proof of `{name}` has no `sorry` of its own."),
    };
    if !others.is_empty() {
        remark += &format!(
            " It rests on the `sorry` of {}. Stated targets of the book may be open: others prove them. A helper lemma may not.",
            quoted(&others)
        );
    }
    Some(remark)
}

/// What a proof that may go is given, as a sentence; empty when it is nothing.
pub fn given(rests_on: &[String]) -> String {
    if rests_on.is_empty() {
        return String::new();
    }
    format!(" Given {}, which is stated and not proved yet.", quoted(rests_on))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn base_draft(library: &Library) -> crate::draft::Draft {
    let draft = library.draft();
    crate::draft::Draft::new(draft.package(), draft.module_path(), draft.region_id())
}

async fn question(
    task: &Task,
    id: &str,
    library: &Library,
    check: Vec<String>,
    declarations: &[&str],
) -> Result<Question, LibraryError> {
    let modules = library.closure(&check).await?;
    // Whether all that stands behind it still holds is for the merge queue to find out; but where landed proofs rest on the target,
    // that is the attempt's own concern.
    let own = matches!(&check[..], [module] if layout::module_path(module) == library.draft().module_path());
    let focus = if own && task.users.is_empty() { library.focus().await? } else { None };
    let (id, run) = (id.to_owned(), task.run.clone());
    Ok(Question {
        id,
        run,
        modules,
        check,
        focus,
        declarations: declarations.iter().map(|&name| name.to_owned()).collect(),
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
    sorry(task, name, facts).or_else(|| foreign_axioms(task, name, facts))
}

fn sorry(task: &Task, name: &str, facts: &DeclarationFacts) -> Option<String> {
    let from = |from: &[String]| {
        let others: Vec<String> = from.iter().filter(|from| *from != name).cloned().collect();
        if others.is_empty() { "`sorry`".to_owned() } else { format!("the `sorry` of {}", quoted(&others)) }
    };
    let said = &facts.statement_sorry_from;
    if !said.is_empty() {
        return Some(if facts.kind == "theorem" {
            format!(
                "Not submitted. The statement of `{name}` rests on {}; only its proof may. State it without.",
                from(said)
            )
        } else {
            format!(
                "Not submitted. `{name}` is a {} and rests on {}; only the proof of a theorem may. Write it whole.",
                facts.kind,
                from(said)
            )
        });
    }
    if facts.sorry_from.iter().any(|from| from == name) && !states(task) {
        return Some(format!(
            "Not submitted. The proof of `{name}` still has `sorry` of its own, or uses a private lemma that has. Prove what is open, or give up with a reason."
        ));
    }
    (task.refute && facts.uses_sorry).then(|| {
        format!(
            "Not submitted. A refutation may rest on no `sorry` at all, and `{name}` rests on {}. Refute it without.",
            from(&facts.sorry_from)
        )
    })
}

/// What the attempt's landing may rest on.
fn axioms(task: &Task) -> Vec<&str> {
    match &task.axioms {
        Some(narrowed) => narrowed.names.iter().map(String::as_str).collect(),
        None => AXIOMS.to_vec(),
    }
}

fn foreign_axioms(task: &Task, name: &str, facts: &DeclarationFacts) -> Option<String> {
    let (allowed, used) = (axioms(task), facts.axioms.iter().map(String::as_str));
    let foreign: Vec<&str> = used.filter(|axiom| !allowed.contains(axiom) && *axiom != "sorryAx").collect();
    let causes = if foreign.iter().all(|axiom| AXIOMS.contains(axiom)) {
        "A lemma or a tactic that it uses does: do without that."
    } else {
        "`native_decide` and `axiom` are the usual causes."
    };
    (!foreign.is_empty()).then(|| {
        let allowed =
            if allowed.is_empty() { "no axiom".to_owned() } else { format!("{} only", allowed.join(", ")) };
        format!(
            "Not submitted. `{name}` rests on {}; a landing may rest on {allowed}. {causes}",
            foreign.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use atlas_proto::{Outcome, Target};

    use super::*;

    fn declared(kind: &str, sorry_from: &[&str], axioms: &[&str]) -> DeclarationFacts {
        DeclarationFacts {
            name: "N.a".into(),
            kind: kind.into(),
            uses_sorry: !sorry_from.is_empty(),
            sorry_from: sorry_from.iter().map(|&from| from.to_owned()).collect(),
            axioms: axioms.iter().map(|&a| a.to_owned()).collect(),
            ..DeclarationFacts::default()
        }
    }

    fn accepted(declarations: Vec<DeclarationFacts>) -> CheckReply {
        CheckReply { outcome: Outcome::Accepted.into(), declarations, ..CheckReply::default() }
    }

    fn task(role: &str) -> Task {
        let target = Target { declaration: "N.a".into(), ..Target::default() };
        Task { role: role.into(), target: Some(target), ..Task::default() }
    }

    fn said(role: &str, facts: DeclarationFacts) -> Option<String> {
        let task = task(role);
        refusal(&task, &declaration(&task), &accepted(vec![facts]))
    }

    #[test]
    fn sorry_passes_in_the_proof_of_a_statement_and_nowhere_else() {
        let sorry = |kind| declared(kind, &["N.a"], &["sorryAx"]);
        let whole = |facts: DeclarationFacts| DeclarationFacts {
            statement_sorry_from: facts.sorry_from.clone(),
            ..facts
        };
        assert_eq!(said("formalizer", sorry("theorem")), None);
        let definition = said("formalizer", whole(sorry("def"))).unwrap();
        assert!(definition.contains("is a def and rests on `sorry`"), "{definition}");
        let statement = said("formalizer", whole(declared("theorem", &["N.l"], &["sorryAx"]))).unwrap();
        assert!(statement.contains("The statement of `N.a` rests on the `sorry` of `N.l`"), "{statement}");
        assert!(said("prover", sorry("theorem")).unwrap().contains("still has `sorry` of its own"));
        assert_eq!(said("prover", declared("theorem", &[], &["propext", "Quot.sound"])), None);
        assert!(
            said("prover", declared("theorem", &[], &["Lean.ofReduceBool"]))
                .unwrap()
                .contains("rests on Lean.ofReduceBool")
        );
    }

    #[test]
    fn a_library_that_allows_fewer_axioms_hears_of_others_before_the_merge_queue_does() {
        let narrowed = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            Task { axioms: Some(atlas_proto::Axioms { names }), ..task("prover") }
        };
        let said = |task: &Task, used| refusal(task, "N.a", &accepted(vec![declared("theorem", &[], used)]));
        assert_eq!(said(&narrowed(&["propext"]), &["propext"]), None);
        assert_eq!(
            said(&narrowed(&["propext"]), &["propext", "Classical.choice"]).unwrap(),
            "Not submitted. `N.a` rests on Classical.choice; a landing may rest on propext only. A lemma or a tactic that it uses does: do without that."
        );
        assert!(said(&narrowed(&[]), &["propext"]).unwrap().contains("may rest on no axiom."));
    }

    #[test]
    fn a_proof_is_given_what_was_stated_before_and_nothing_that_it_leaves_open_itself() {
        let inherits = || declared("theorem", &["N.l"], &["sorryAx"]);
        assert_eq!(said("prover", inherits()), None);
        let mut refuting = task("prover");
        refuting.refute = true;
        let refuted = DeclarationFacts { name: "N.a_refuted".into(), ..inherits() };
        let why = refusal(&refuting, "N.a_refuted", &accepted(vec![refuted])).unwrap();
        assert!(why.contains("rests on the `sorry` of `N.l`"), "{why}");

        let lemma = |name: &str| DeclarationFacts {
            name: name.into(),
            sorry_from: vec![name.into()],
            ..DeclarationFacts::default()
        };
        let now = accepted(vec![inherits(), lemma("N.l"), lemma("N.help")]);
        let open_now: Vec<&str> = open(&now).collect();
        assert_eq!(open_now, ["N.l", "N.help"]);
        assert!(
            helper(&open_now, &accepted(vec![lemma("N.l")])).unwrap().contains("`N.help` rests on `sorry`")
        );
        assert_eq!(helper(&["N.l"], &accepted(vec![lemma("N.l")])), None);

        let remark = |facts| remark(&task("prover"), &accepted(vec![facts]));
        assert_eq!(remark(declared("theorem", &[], &[])), None);
        let given = remark(inherits()).unwrap();
        assert!(
            given.starts_with(
                "The proof of `N.a` has no `sorry` of its own. It rests on the `sorry` of `N.l`"
            )
        );
        assert!(
            remark(declared("theorem", &["N.a"], &["sorryAx"])).unwrap().starts_with("`N.a` is not proved")
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
