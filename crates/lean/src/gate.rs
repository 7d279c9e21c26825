//! The door to `main`: what must hold, beyond Lean's own verdict, before a submission lands. Everything that decides a
//! certified verdict is in this file; what feeds it are the facts that the host works out from terms the kernel accepted.

use atlas_proto::{DeclarationFacts, Diagnostic, Expectation};

use crate::cache::Artefact;
use crate::graph::error;

/// The axioms that mathematics rests on in Lean.
pub const ALLOWED_AXIOMS: [&str; 3] = ["propext", "Classical.choice", "Quot.sound"];
/// The axiom behind `sorry`.
pub const SORRY: &str = "sorryAx";

/// A checked module and what it gave.
pub(crate) struct Checked<'a> {
    pub(crate) module: &'a str,
    pub(crate) artefact: &'a Artefact,
}

/// Every reason why these modules must not land, as error diagnostics; none: they may.
pub(crate) fn judge(checked: &[Checked<'_>], expectations: &[Expectation]) -> Vec<Diagnostic> {
    let mut reasons = vec![];
    for Checked { module, artefact } in checked {
        for (name, why) in &artefact.forbidden {
            reasons.push(error(module, 0, format!("`{name}`: {why}")));
        }
        for facts in &artefact.declarations {
            let foreign: Vec<&str> = foreign_axioms(facts).filter(|a| *a != SORRY).collect();
            if !foreign.is_empty() {
                reasons.push(error(module, 0, format!("`{}` rests on {}", facts.name, axioms(&foreign))));
            }
        }
    }
    for expectation in expectations {
        let found = checked
            .iter()
            .find_map(|c| c.artefact.declarations.iter().find(|f| f.name == expectation.declaration));
        match found {
            Some(facts) => meet(expectation, facts, &mut reasons),
            None => {
                let module = checked.first().map_or("", |c| c.module);
                let text = format!(
                    "`{}` is expected (target {}) and not declared",
                    expectation.declaration, expectation.target
                );
                reasons.push(error(module, 0, text));
            }
        }
    }
    reasons
}

/// What is wrong with one declaration that a target asks for.
fn meet(expectation: &Expectation, facts: &DeclarationFacts, reasons: &mut Vec<Diagnostic>) {
    let mut refuse = |why: String| reasons.push(error(&facts.module, 0, format!("`{}` {why}", facts.name)));
    if !expectation.statement_hash.is_empty() && expectation.statement_hash != facts.statement_hash {
        refuse(if expectation.negated {
            "does not state the negation of the frozen statement: its type must be `¬ (…)` around the statement as it was frozen, \
             with every binder inside"
                .to_owned()
        } else if expectation.definition {
            "is no longer the definition that was frozen, or something that it rests on has changed"
                .to_owned()
        } else {
            "no longer states what was frozen, or a definition that its statement rests on has changed"
                .to_owned()
        });
    }
    if expectation.definition
        && !matches!(facts.kind.as_str(), "def" | "instance" | "inductive" | "structure" | "class")
    {
        refuse(format!("must be a definition and is {}", article(&facts.kind)));
    }
    if !expectation.definition && facts.kind == "axiom" {
        refuse("is an axiom: it must be proved".to_owned());
    }
    if facts.uses_sorry && !expectation.may_sorry {
        refuse(if facts.proof_constants.is_empty() {
            "is not proved: it rests on `sorry`".to_owned()
        } else {
            format!(
                "is not proved: it or something that it uses rests on `sorry` (it uses {})",
                facts.proof_constants.join(", ")
            )
        });
    }
}

fn foreign_axioms(facts: &DeclarationFacts) -> impl Iterator<Item = &str> {
    facts.axioms.iter().map(String::as_str).filter(|a| !ALLOWED_AXIOMS.contains(a))
}

fn axioms(names: &[&str]) -> String {
    let list = names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    let word = if names.len() == 1 { "the axiom" } else { "the axioms" };
    format!("{word} {list}, outside of {}", ALLOWED_AXIOMS.map(|a| format!("`{a}`")).join(", "))
}

fn article(kind: &str) -> String {
    let an = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if an { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, kind: &str, hash: &str, axioms: &[&str]) -> DeclarationFacts {
        DeclarationFacts {
            name: name.into(),
            kind: kind.into(),
            module: "N.A".into(),
            statement_hash: hash.into(),
            axioms: axioms.iter().map(|a| (*a).to_owned()).collect(),
            uses_sorry: axioms.contains(&SORRY),
            ..DeclarationFacts::default()
        }
    }

    fn verdict(facts: DeclarationFacts, expectation: Expectation) -> Vec<String> {
        let artefact = Artefact { declarations: vec![facts], ..Artefact::default() };
        judge(&[Checked { module: "N.A", artefact: &artefact }], &[expectation])
            .into_iter()
            .map(|d| d.message)
            .collect()
    }

    #[test]
    fn every_failed_expectation_names_the_declaration_and_the_reason() {
        let expected = |hash: &str| Expectation {
            declaration: "N.a".into(),
            target: "a".into(),
            statement_hash: hash.into(),
            ..Expectation::default()
        };
        assert!(verdict(facts("N.a", "theorem", "h", &["propext"]), expected("h")).is_empty());
        assert!(verdict(facts("N.a", "theorem", "h", &["propext"]), expected("")).is_empty());
        let cases = [
            (verdict(facts("N.b", "theorem", "h", &[]), expected("h")), "not declared"),
            (verdict(facts("N.a", "theorem", "g", &[]), expected("h")), "no longer states"),
            (verdict(facts("N.a", "theorem", "h", &[SORRY]), expected("h")), "not proved"),
            (verdict(facts("N.a", "axiom", "h", &["N.a"]), expected("h")), "axiom"),
            (
                verdict(facts("N.a", "theorem", "h", &["Lean.ofReduceBool"]), expected("h")),
                "Lean.ofReduceBool",
            ),
            (
                verdict(facts("N.a", "theorem", "h", &[]), Expectation { definition: true, ..expected("h") }),
                "must be a definition",
            ),
            (
                verdict(facts("N.a", "theorem", "g", &[]), Expectation { negated: true, ..expected("h") }),
                "negation",
            ),
        ];
        for (told, reason) in cases {
            assert!(told.iter().any(|t| t.contains(reason) && t.contains("N.a")), "{told:?} lacks {reason}");
        }
        let may = Expectation { may_sorry: true, ..expected("h") };
        assert!(verdict(facts("N.a", "theorem", "h", &[SORRY]), may).is_empty());
    }
}
