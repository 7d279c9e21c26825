//! Whose `sorry` a declaration rests on, and what of it the gate lets land, on real sources. Needs the image:
//! `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use atlas_lean::Toolchain as _;
use atlas_proto::{CheckReply, CheckRequest, Expectation, ModuleSource, Outcome};
use common::{certify, fact, lean, library, messages};

/// A chapter with a stated lemma `low`, a lemma whose `sorry` Lean could have split off, and a proof that rests on `low`.
const BELOW: &str = "\
namespace N
theorem low (n : Nat) : n < n + 1 := sorry
theorem hidden._proof_1 : 1 = 2 := sorry
theorem hidden : 1 = 2 := hidden._proof_1
theorem mid (n : Nat) : n < n + 2 := Nat.lt_succ_of_lt (low n)
end N
";

fn above(body: &str) -> Vec<ModuleSource> {
    let body = format!("namespace N\n{body}end N\n");
    library(&[("N.Below", &[], BELOW), ("N.Above", &["N.Below"], &body)])
}

/// Whose `sorry` the declaration of a body rests on: altogether, and by its statement.
fn sorry_from(body: &str, name: &str) -> (Vec<String>, Vec<String>) {
    let reply = lean().check(&certify(above(body)));
    assert_eq!(reply.outcome(), Outcome::Accepted, "{body}\n{reply:#?}");
    let facts = fact(&reply, name);
    assert_eq!(facts.uses_sorry, !facts.sorry_from.is_empty(), "{facts:?}");
    (facts.sorry_from.clone(), facts.statement_sorry_from.clone())
}

#[test]
fn own_sorry_is_told_from_what_is_inherited_however_it_hides() {
    let of_proof = |body: &str| {
        let (all, statement) = sorry_from(body, "N.x");
        assert!(statement.is_empty(), "{body}: {statement:?}");
        all
    };
    assert_eq!(of_proof("theorem x : 3 < 4 := by decide\n"), [""; 0]);
    assert_eq!(of_proof("theorem x : 3 < 4 := low 3\n"), ["N.low"]);
    assert_eq!(of_proof("theorem x : 3 < 5 := mid 3\n"), ["N.low"], "through a proved lemma");
    assert_eq!(of_proof("theorem x : 3 < 4 := sorry\n"), ["N.x"]);
    assert_eq!(of_proof("theorem x : 3 < 4 ∧ 1 = 1 := ⟨low 3, sorry⟩\n"), ["N.low", "N.x"]);
    // A help to it is named; one that is private to the module is a part of it.
    let helper = "theorem help : 3 < 4 := sorry\ntheorem x : 3 < 4 := help\n";
    assert_eq!(of_proof(helper), ["N.help"]);
    assert_eq!(of_proof(&format!("private {helper}")), ["N.x"]);
    let nested = "theorem x : 3 < 5 := by\n  have h : 3 < 4 := by sorry\n  omega\n";
    assert_eq!(of_proof(nested), ["N.x"]);
    let recursive = "theorem x : ∀ n : Nat, 0 ≤ n\n  | 0 => sorry\n  | n + 1 => Nat.le_succ_of_le (x n)\n";
    assert_eq!(of_proof(recursive), ["N.x"]);
    // What bears the name of another's part is a part of whoever uses it.
    assert_eq!(of_proof("theorem x : 1 = 2 := hidden\n"), ["N.hidden"]);
    assert_eq!(of_proof("theorem x : 1 = 2 := hidden._proof_1\n"), ["N.x"]);
}

#[test]
fn statements_and_definitions_tell_what_they_rest_on() {
    let both = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        (names.clone(), names)
    };
    assert_eq!(sorry_from("def x : Nat := sorry\n", "N.x"), both(&["N.x"]));
    assert_eq!(sorry_from("def x : { n : Nat // n < 4 } := ⟨3, low 3⟩\n", "N.x"), both(&["N.low"]));
    let split = "def x : { n : Nat // n < 4 } := ⟨3, by have := low 3; sorry⟩\n";
    assert_eq!(sorry_from(split, "N.x"), both(&["N.low", "N.x"]));
    let stated = "theorem x : (⟨3, low 3⟩ : { n : Nat // n < 4 }).val = 3 := rfl\n";
    assert_eq!(sorry_from(stated, "N.x"), both(&["N.low"]));
    let defined = "def d : Nat := sorry\ntheorem x : d = d := rfl\n";
    assert_eq!(sorry_from(defined, "N.x"), both(&["N.d"]));
    let proof = "theorem x : 3 < 4 := (⟨3, low 3⟩ : { n : Nat // n < n + 1 }).property\n";
    assert_eq!(sorry_from(proof, "N.x"), (vec!["N.low".to_owned()], vec![]));
}

fn landing(body: &str, expectation: Expectation, stated: &[&str]) -> CheckReply {
    let request = CheckRequest {
        check: vec!["N.Above".into()],
        expectations: vec![expectation],
        stated: stated.iter().map(|&s| s.to_owned()).collect(),
        ..certify(above(body))
    };
    let reply = lean().check(&request);
    assert!(matches!(reply.outcome(), Outcome::Accepted | Outcome::Rejected), "{reply:#?}");
    reply
}

#[test]
fn a_proof_lands_on_stated_targets_and_on_no_other_sorry() {
    let expect = || Expectation { declaration: "N.x".into(), target: "x".into(), ..Expectation::default() };
    let lands = |body: &str, expectation: Expectation, stated: &[&str]| {
        let reply = landing(body, expectation, stated);
        assert_eq!(reply.outcome(), Outcome::Accepted, "{body}\n{reply:#?}");
    };
    let refused = |body: &str, expectation: Expectation, stated: &[&str], reason: &str| {
        let reply = landing(body, expectation, stated);
        assert_eq!(reply.outcome(), Outcome::Rejected, "{body}\n{reply:#?}");
        assert!(messages(&reply).iter().any(|m| m.contains(reason)), "{body}: {:#?}", messages(&reply));
    };
    let inherits = "theorem x : 3 < 4 := low 3\n";
    lands(inherits, expect(), &["N.low"]);
    refused(inherits, expect(), &[], "uses `N.low`");
    let own = "theorem x : 3 < 4 ∧ 1 = 1 := ⟨low 3, sorry⟩\n";
    refused(own, expect(), &["N.low"], "`N.x` is not proved");
    lands(own, Expectation { may_sorry: true, ..expect() }, &["N.low"]);
    let helper = "theorem help : 3 < 4 := sorry\ntheorem x : 3 < 4 := help\n";
    refused(helper, expect(), &["N.low"], "uses `N.help`");
    // A help that is left open is refused even where nothing uses it yet.
    let idle = "theorem help : 3 < 4 := sorry\ntheorem x : 3 < 4 := sorry\n";
    refused(idle, Expectation { may_sorry: true, ..expect() }, &["N.low"], "`N.help` is not proved");
    let hidden = "theorem x : 1 = 2 := hidden._proof_1\n";
    refused(hidden, expect(), &["N.hidden", "N.low"], "`N.x` is not proved");
    let definition = Expectation { definition: true, ..expect() };
    refused(
        "def x : { n : Nat // n < 4 } := ⟨3, low 3⟩\n",
        definition.clone(),
        &["N.low"],
        "the definition `N.x` rests on the `sorry` of `N.low`",
    );
    lands("def x : { n : Nat // n < 4 } := ⟨3, by decide⟩\n", definition, &["N.low"]);
    refused(
        "theorem x : (⟨3, low 3⟩ : { n : Nat // n < 4 }).val = 3 := sorry\n",
        Expectation { may_sorry: true, ..expect() },
        &["N.low"],
        "the statement of `N.x` rests on the `sorry` of `N.low`",
    );
}
