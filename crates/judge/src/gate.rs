//! The door to `main`: what must hold, beyond the judge's and the kernels' word on each module, before a submission lands. What a
//! request expects is held against the facts that the judge worked out.

use std::collections::BTreeSet;

use atlas_proto::{CheckRequest, DeclarationFacts, Expectation};

use crate::judge::Refusal;
use crate::receipt::{AXIOMS, SORRY};

/// A checked module and what it gave.
#[derive(Debug, Clone, Copy)]
pub struct Checked<'a> {
    /// Its full name.
    pub module: &'a str,
    /// Its declarations that a person would name or that were asked for.
    pub declarations: &'a [DeclarationFacts],
    /// What no library may have.
    pub refusals: &'a [Refusal],
}

/// A reason why a module must not land.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The module's full name.
    pub module: String,
    /// Why.
    pub why: String,
}

/// Every reason why these modules must not land; none: they may.
pub fn gate(checked: &[Checked<'_>], request: &CheckRequest) -> Vec<Reason> {
    let mut reasons = vec![];
    let mut refuse = |module: &str, why: String| reasons.push(Reason { module: module.to_owned(), why });
    let stated = Stated::of(request);
    let allowed = allowed_axioms(request);
    for Checked { module, declarations, refusals } in checked {
        for Refusal { declaration, why } in *refusals {
            refuse(module, format!("`{declaration}`: {why}"));
        }
        for facts in *declarations {
            if let Some(foreign) = foreign_axioms(&facts.axioms, &allowed) {
                refuse(module, format!("`{}` rests on {foreign}", facts.name));
            }
            // Without expectations nothing is to land: then `sorry` is a fact among others and told as such.
            if !request.expectations.is_empty()
                && let Some(why) = stated.refuse(facts)
            {
                refuse(module, why);
            }
        }
    }
    for expectation in &request.expectations {
        let declared = |checked: &Checked<'_>| {
            checked.declarations.iter().any(|facts| facts.name == expectation.declaration)
        };
        match checked.iter().find(|checked| declared(checked)) {
            Some(Checked { module, declarations, .. }) => {
                let named = declarations.iter().filter(|facts| facts.name == expectation.declaration);
                for why in named.flat_map(|facts| meet(expectation, facts)) {
                    refuse(module, why);
                }
            }
            None => {
                let module = checked.first().map_or("", |c| c.module);
                let text = format!(
                    "`{}` is expected (target {}) and not declared",
                    expectation.declaration, expectation.target
                );
                refuse(module, text);
            }
        }
    }
    reasons
}

/// Whose `sorry` the library may hold.
struct Stated<'a> {
    /// Theorems of the modules that are checked: their own.
    own: BTreeSet<&'a str>,
    /// Those, and theorems of the modules below: what others inherit from them.
    inherited: BTreeSet<&'a str>,
}

impl<'a> Stated<'a> {
    fn of(request: &'a CheckRequest) -> Self {
        let may = request.expectations.iter().filter(|e| e.may_sorry && !e.definition);
        let own: BTreeSet<&str> = may.map(|e| e.declaration.as_str()).collect();
        let open: BTreeSet<&str> =
            request.expectations.iter().filter(|e| !e.may_sorry).map(|e| e.declaration.as_str()).collect();
        let listed = request.stated.iter().map(String::as_str).filter(|name| !open.contains(name));
        Self { inherited: own.iter().copied().chain(listed).collect(), own }
    }

    /// What is wrong with the `sorry`s under a declaration, whether it is anybody's target or a help to one: a definition
    /// and a statement rest on none at all, a proof on none of its own unless the target is only stated, and on others'
    /// where those are stated targets.
    fn refuse(&self, facts: &DeclarationFacts) -> Option<String> {
        let name = &facts.name;
        let others = |from: &[String]| {
            let from: Vec<&str> = from.iter().map(String::as_str).filter(|f| f != name).collect();
            from.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ")
        };
        if !facts.statement_sorry_from.is_empty() {
            let what = if facts.kind == "theorem" { "the statement of" } else { "the definition" };
            let whose = match others(&facts.statement_sorry_from) {
                none if none.is_empty() => "`sorry`".to_owned(),
                whose => format!("the `sorry` of {whose}, which must be proved before it is used there"),
            };
            return Some(format!("{what} `{name}` rests on {whose}: only a proof may"));
        }
        if facts.sorry_from.contains(name) && !self.own.contains(name.as_str()) {
            return Some(format!(
                "`{name}` is not proved: it rests on `sorry`, its own or that of a lemma which is private to it"
            ));
        }
        let foreign: Vec<String> = facts
            .sorry_from
            .iter()
            .filter(|f| *f != name && !self.inherited.contains(f.as_str()))
            .cloned()
            .collect();
        (!foreign.is_empty()).then(|| {
            format!(
                "`{name}` is not proved: it uses {}, which rests on `sorry` and is no stated target of the book",
                others(&foreign)
            )
        })
    }
}

/// What is wrong with one declaration that a target asks for.
fn meet(expectation: &Expectation, facts: &DeclarationFacts) -> Vec<String> {
    let mut reasons = Vec::new();
    let mut refuse = |why: String| reasons.push(format!("`{}` {why}", facts.name));
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
    let is_definition =
        matches!(facts.kind.as_str(), "def" | "instance" | "inductive" | "structure" | "class");
    if expectation.definition && !is_definition {
        refuse(format!("must be a definition and is {}", article(&facts.kind)));
    }
    if !expectation.definition && facts.kind != "theorem" {
        refuse(format!("must be a theorem, which is proved, and is {}", article(&facts.kind)));
    }
    // Others give up their target for it, so it waits for nobody.
    if expectation.negated && facts.uses_sorry && !facts.sorry_from.contains(&facts.name) {
        refuse(format!(
            "is refuted only by a proof that rests on no `sorry`; it rests on that of {}",
            facts.sorry_from.join(", ")
        ));
    }
    reasons
}

/// What the declarations of a request may rest on: of the axioms that the judge knows, those that it asks for.
pub fn allowed_axioms(request: &CheckRequest) -> Vec<&'static str> {
    let asked = |axiom: &&str| {
        request.axioms.as_ref().is_none_or(|asked| asked.names.iter().any(|name| name.as_str() == *axiom))
    };
    AXIOMS.into_iter().filter(asked).collect()
}

/// The axioms among these that are not allowed, in words: `sorry` is not one of them, for whose it may be depends.
pub(crate) fn foreign_axioms(axioms: &[String], allowed: &[&str]) -> Option<String> {
    let foreign: Vec<String> = axioms
        .iter()
        .filter(|axiom| !allowed.contains(&axiom.as_str()) && axiom.as_str() != SORRY)
        .map(|axiom| format!("`{axiom}`"))
        .collect();
    let word = if foreign.len() == 1 { "the axiom" } else { "the axioms" };
    let allowed: Vec<String> = allowed.iter().map(|axiom| format!("`{axiom}`")).collect();
    let allowed = if allowed.is_empty() {
        "none is allowed".to_owned()
    } else {
        format!("outside of {}", allowed.join(", "))
    };
    (!foreign.is_empty()).then(|| format!("{word} {}, {allowed}", foreign.join(", ")))
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
            sorry_from: axioms.iter().filter(|a| **a == SORRY).map(|_| name.to_owned()).collect(),
            ..DeclarationFacts::default()
        }
    }

    fn verdict(facts: DeclarationFacts, expectation: Expectation) -> Vec<String> {
        judged(vec![facts], vec![expectation], &[])
    }

    fn judged(
        declarations: Vec<DeclarationFacts>,
        expectations: Vec<Expectation>,
        stated: &[&str],
    ) -> Vec<String> {
        let stated = stated.iter().map(|&s| s.to_owned()).collect();
        let request = CheckRequest { expectations, stated, ..CheckRequest::default() };
        let checked = Checked { module: "N.A", declarations: &declarations, refusals: &[] };
        gate(&[checked], &request).into_iter().map(|reason| reason.why).collect()
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
            (verdict(facts("N.a", "opaque", "h", &[]), expected("h")), "must be a theorem"),
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

    #[test]
    fn a_request_allows_fewer_axioms_and_never_more() {
        let told = |axioms: &[&str], rests_on: &str| {
            let names = axioms.iter().map(|&name| name.to_owned()).collect();
            let axioms = Some(atlas_proto::Axioms { names });
            let declarations = [facts("N.a", "theorem", "h", &[rests_on])];
            let checked = Checked { module: "N.A", declarations: &declarations, refusals: &[] };
            let reasons = gate(&[checked], &CheckRequest { axioms, ..CheckRequest::default() });
            reasons.into_iter().map(|reason| reason.why).collect::<Vec<_>>()
        };
        assert!(told(&["propext"], "propext").is_empty());
        assert_eq!(
            told(&["propext"], "Quot.sound"),
            ["`N.a` rests on the axiom `Quot.sound`, outside of `propext`"]
        );
        assert_eq!(told(&[], "propext"), ["`N.a` rests on the axiom `propext`, none is allowed"]);
        assert_eq!(told(&["Lean.ofReduceBool"], "Lean.ofReduceBool").len(), 1);
    }

    /// A theorem that inherits `sorry`.
    fn inheriting(name: &str, from: &[&str]) -> DeclarationFacts {
        let sorry_from = from.iter().map(|&f| f.to_owned()).collect();
        DeclarationFacts { sorry_from, uses_sorry: true, ..facts(name, "theorem", "h", &[]) }
    }

    #[test]
    fn a_proof_inherits_the_sorry_of_stated_targets_and_of_nobody_else() {
        let expected = |name: &str, may_sorry| Expectation {
            declaration: name.into(),
            target: "t".into(),
            may_sorry,
            ..Expectation::default()
        };
        let alone = || vec![expected("N.a", false)];
        // Of a target below, of one in the same modules; not of a helper, by name.
        assert!(judged(vec![inheriting("N.a", &["N.l"])], alone(), &["N.l"]).is_empty());
        let both = vec![inheriting("N.a", &["N.l"]), facts("N.l", "theorem", "h", &[SORRY])];
        assert!(judged(both.clone(), vec![expected("N.a", false), expected("N.l", true)], &[]).is_empty());
        let told = judged(vec![inheriting("N.a", &["N.help", "N.l"])], alone(), &["N.l"]);
        assert_eq!(
            told,
            [
                "`N.a` is not proved: it uses `N.help`, which rests on `sorry` and is no stated target of the book"
            ]
        );
        // The helper itself is refused too, though no target asks for it.
        let helper = vec![facts("N.help", "theorem", "h", &[SORRY]), facts("N.a", "theorem", "h", &[])];
        assert!(judged(helper, alone(), &[])[0].starts_with("`N.help` is not proved"));
        // What is listed as stated and is to be proved now is not stated any more.
        let told = judged(both, vec![expected("N.a", false), expected("N.l", false)], &["N.l"]);
        assert_eq!(told.len(), 2, "{told:?}");
        // Its own `sorry` is never allowed beside an inherited one.
        let own = judged(vec![inheriting("N.a", &["N.a", "N.l"])], alone(), &["N.l"]);
        assert!(own[0].starts_with("`N.a` is not proved: it rests on `sorry`"), "{own:?}");
        // Nor is that of a stated target in a definition, in a statement, or in a refutation.
        let from = |kind: &str| DeclarationFacts {
            kind: kind.into(),
            statement_sorry_from: vec!["N.l".into()],
            ..inheriting("N.a", &["N.l"])
        };
        let definition = vec![Expectation { definition: true, ..expected("N.a", false) }];
        assert!(judged(vec![from("def")], definition, &["N.l"])[0].contains("the `sorry` of `N.l`"));
        let statement = judged(vec![from("theorem")], vec![expected("N.a", true)], &["N.l"]);
        assert!(
            statement[0].starts_with("the statement of `N.a` rests on the `sorry` of `N.l`"),
            "{statement:?}"
        );
        let refuted = vec![Expectation { negated: true, ..expected("N.a", false) }];
        assert!(judged(vec![inheriting("N.a", &["N.l"])], refuted, &["N.l"])[0].contains("refuted only by"));
        // Where nothing is to land, nothing is judged by it.
        assert!(judged(vec![facts("N.l", "theorem", "h", &[SORRY])], vec![], &[]).is_empty());
    }
}
