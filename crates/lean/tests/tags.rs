//! What is noticed of declarations that no kernel refuses: each kind on a module of which it speaks, and not on its honest twin. Needs the
//! image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;

use atlas_judge::tags::Kind;
use atlas_lean::Toolchain as _;
use atlas_lean::automation::{self, Candidate};
use atlas_proto::{Outcome, Tag};
use common::{certify, fact, lean, library, module};

/// A kind, a body whose `t` it is to be noticed of, and one whose `t` is as it should be.
const TABLE: &[(Kind, &str, &str)] = &[
    (
        Kind::FalseHypothesis,
        "def P (n : Nat) : Prop := n = n ∧ False\ntheorem t (n : Nat) (h : ¬ (n = n)) : n = 3 := absurd rfl h",
        "theorem t (n : Nat) (h : n = 3) : 3 = n := h.symm",
    ),
    (
        Kind::ContradictoryHypotheses,
        "theorem t (m n : Nat) (h : m = n) (k : m ≠ n) : n = 3 := absurd h k",
        "theorem t (m n : Nat) (h : m = n) (k : m ≠ 3) : n ≠ 3 := h ▸ k",
    ),
    (
        Kind::ConclusionAssumed,
        "def P (n : Nat) : Prop := ∃ k, n = k + k\ntheorem t (n : Nat) (h : P n) : ∃ k, n = k + k := by sorry",
        "def P (n : Nat) : Prop := ∃ k, n = k + k\ntheorem t (n : Nat) (h : P n) : P (n + 2) := by sorry",
    ),
    (
        Kind::ConclusionAssumed,
        "theorem t (f : Nat → Nat) (h : ∀ n, f n = n) (n : Nat) : f n = n := by sorry",
        "theorem t (f : Nat → Nat) (h : ∀ n, f n = n) (n : Nat) : f (f n) = n := by sorry",
    ),
    (
        Kind::FieldHoldsConclusion,
        "structure Good (f : Nat → Nat) : Prop where\n  mono : ∀ a b, a ≤ b → f a ≤ f b\n  small : ∀ a, f a ≤ a\ntheorem t (f : Nat → Nat) (h : Good f) (a : Nat) : f a ≤ a := by sorry",
        "structure Good (f : Nat → Nat) : Prop where\n  mono : ∀ a b, a ≤ b → f a ≤ f b\n  small : ∀ a, f a ≤ a\ntheorem t (f : Nat → Nat) (h : Good f) (a : Nat) : f (f a) ≤ a := by sorry",
    ),
    (
        Kind::FieldHoldsConclusion,
        "class Semi (α : Type) where\n  op : α → α → α\n  assoc : ∀ a b c, op (op a b) c = op a (op b c)\nclass Mono (α : Type) extends Semi α where\n  one : α\ntheorem t (α : Type) [Mono α] (a b c : α) : Semi.op (Semi.op a b) c = Semi.op a (Semi.op b c) := by sorry",
        "class Semi (α : Type) where\n  op : α → α → α\n  assoc : ∀ a b c, op (op a b) c = op a (op b c)\nclass Mono (α : Type) extends Semi α where\n  one : α\ntheorem t (α : Type) [Mono α] (a b c d : α) : Semi.op (Semi.op (Semi.op a b) c) d = Semi.op a (Semi.op b (Semi.op c d)) := by sorry",
    ),
    (
        Kind::TrivialConclusion,
        "def Fine (_ : Nat) : Prop := True\ntheorem t (n : Nat) (h : n < 3) : Fine n := trivial",
        "def Fine (n : Nat) : Prop := n < 3\ntheorem t (n : Nat) (h : n < 2) : Fine n := by sorry",
    ),
    (
        Kind::TrivialConclusion,
        "theorem t (n : Nat) : n + 0 * n = n + 0 * n := rfl",
        "theorem t (n : Nat) : n + 0 * n = n := by sorry",
    ),
    (
        Kind::ProofFromContradiction,
        "theorem t (n : Nat) (h : n < 0) : n = 7 := False.elim (Nat.not_lt_zero n h)",
        "theorem t (n : Nat) (h : n < 0) : False := Nat.not_lt_zero n h",
    ),
    (
        Kind::ConstantProposition,
        "def Pos (n : Nat) : Prop := 0 ≤ n → True\ndef t (n : Nat) : Prop := Pos n ∧ n = n",
        "def Pos (n : Nat) : Prop := 0 < n\ndef t (n : Nat) : Prop := Pos n ∧ n = n",
    ),
    (
        Kind::ConstantProposition,
        "def t (n : Nat) : Prop := n = 2 ∧ False",
        "def t (n : Nat) : Prop := n = 2 ∧ n = 3",
    ),
    (Kind::ConstantDefinition, "def t (n : Nat) (xs : List Nat) : Nat := 0", "def t : Nat := 0"),
    (
        Kind::ImpossibleField,
        "structure t where\n  n : Nat\n  bad : False",
        "structure t where\n  n : Nat\n  good : n < 3",
    ),
    (Kind::EmptyType, "inductive t : Nat → Prop", "inductive t : Nat → Prop\n  | zero : t 0"),
    (
        Kind::ConclusionInHypothesis,
        "theorem t (p q : Prop) (h : p ∧ q) : q := h.2",
        "theorem t (p q : Prop) (h : p ∧ q) : q ∧ p := ⟨h.2, h.1⟩",
    ),
    (
        Kind::ClosedHypothesis,
        "def Goldbach : Prop := ∀ n : Nat, 2 < n → ∃ a b, n = a + b\ntheorem t (n : Nat) (h : Goldbach) (k : 2 < n) : ∃ a b, n = a + b := h n k",
        "theorem t (n : Nat) (k : 2 < n) : ∃ a b, n = a + b := ⟨0, n, by omega⟩",
    ),
    (
        Kind::UnrelatedHypothesis,
        "theorem t (n m k : Nat) (h : m < k) (g : k < 5) : n ≤ n * n := by sorry",
        "theorem t (n m k : Nat) (h : m < k) (g : k < n) : n ≤ n * n := by sorry",
    ),
    (
        Kind::UnusedHypothesis,
        "theorem t (n : Nat) (h : 0 < n) : n ≤ n + n := Nat.le_add_right n n",
        "theorem t (n : Nat) (h : 0 < n) : n < n + n := by omega",
    ),
    (
        Kind::ProofByHypothesis,
        "theorem t (f : Nat → Nat) (h : ∀ n, f n = n) : f 3 = 3 := h 3",
        "theorem t (f : Nat → Nat) (h : ∀ n, f n = n) : f 3 = f 3 + 0 := (h 3).trans (by rw [h 3])",
    ),
    (
        Kind::ProofByHypothesis,
        "structure Good (f : Nat → Nat) : Prop where\n  small : ∀ a, f a ≤ a\ntheorem t (f : Nat → Nat) (h : Good f) : f 3 ≤ 3 := h.small 3",
        "structure Good (f : Nat → Nat) : Prop where\n  small : ∀ a, f a ≤ a\ntheorem t (f : Nat → Nat) (h : Good f) : f 3 < 4 := Nat.lt_succ_of_le (h.small 3)",
    ),
    (
        Kind::IdleQuantifier,
        "theorem t (n : Nat) : ∃ k : Nat, n < n + 1 := ⟨0, by omega⟩",
        "theorem t (n : Nat) : ∃ k : Nat, n < k := ⟨n + 1, by omega⟩",
    ),
    (
        Kind::ImplicationUnderExists,
        "theorem t (n : Nat) : ∃ k : Nat, k < n → k * k = n := by sorry",
        "theorem t (n : Nat) : ∃ k : Nat, k ≤ n ∧ k * k ≤ n := by sorry",
    ),
    (Kind::IgnoresArgument, "def t (m n : Nat) : Nat := n * n", "def t (m n : Nat) : Nat := m * n"),
    (
        Kind::ConstantField,
        "structure Op where\n  mul : Nat → Nat → Nat\n  one : Nat\ndef t : Op := ⟨fun _ _ => 0, 1⟩",
        "structure Op where\n  mul : Nat → Nat → Nat\n  one : Nat\ndef t : Op := ⟨fun a b => a * b, 1⟩",
    ),
    (
        Kind::ContentlessField,
        "structure t (n : Nat) : Prop where\n  pos : 0 < n\n  compact : True",
        "structure t (n : Nat) : Prop where\n  pos : 0 < n\n  small : n < 5",
    ),
    (
        Kind::UnconstructedStructure,
        "class Magic (α : Type) where\n  f : α → α\n  magic : ∀ a b : α, f a = b\ntheorem t (α : Type) [Magic α] (a b : α) : a = b := by sorry",
        "class Magic (α : Type) where\n  f : α → α\n  magic : ∀ a b : α, f a = b\ninstance : Magic Unit := ⟨id, fun _ _ => rfl⟩\ntheorem t (α : Type) [Magic α] (a b : α) : a = b := by sorry",
    ),
    (
        Kind::RestsOnTagged,
        "private def Inner (n : Nat) : Prop := True\ndef Outer (n : Nat) : Prop := Inner n ∧ 0 < n\ntheorem t (n : Nat) (h : 0 < n) : Outer n := by sorry",
        "private def Inner (n : Nat) : Prop := 0 < n\ndef Outer (n : Nat) : Prop := Inner n ∧ 0 < n\ntheorem t (n : Nat) (h : 0 < n) : Outer n := by sorry",
    ),
    (
        Kind::RestsOnOpaque,
        "opaque f (n : Nat) : Nat := n\ntheorem t (n : Nat) : f n = f n + 0 := rfl",
        "def f (n : Nat) : Nat := n\ntheorem t (n : Nat) : f n = f n + 0 := rfl",
    ),
    (
        Kind::SameStatement,
        "theorem s (k : Nat) : k < k + 1 := by omega\ntheorem t (n : Nat) : n < n + 1 := by omega",
        "theorem s (k : Nat) : k < k + 2 := by omega\ntheorem t (n : Nat) : n < n + 1 := by omega",
    ),
    (
        Kind::UnusedVariable,
        "theorem t (n m : Nat) : n < n + 1 := by omega",
        "theorem t (n m : Nat) : n < n + m + 1 := by omega",
    ),
    (Kind::ClosedStatement, "theorem t : 2 + 2 = 4 := rfl", "theorem t : ∃ n, n + 2 = 4 := ⟨2, rfl⟩"),
    (
        Kind::TotalizedOperation,
        "theorem t (m n : Nat) : m - n ≤ m := by omega",
        "theorem t (m n : Int) : m - n = m + -n := by omega",
    ),
    (
        Kind::TotalizedOperation,
        "def t (xs : List Nat) : Nat := xs.head!",
        "def t (xs : List Nat) : Option Nat := xs.head?",
    ),
    (
        Kind::ProofBySubsingleton,
        "theorem t (a b : Unit) : a = b := Subsingleton.elim a b",
        "theorem t (a b : Unit) : (a, b) = (b, a) := rfl",
    ),
    (Kind::ReturnsArgument, "def t (m n : Nat) : Nat := n", "def t (m n : Nat) : Nat := n + m"),
    (
        Kind::NotExamined,
        "@[irreducible] def P : Nat → Prop\n  | 0 => True\n  | n + 1 => P n\ndef big : Nat := 1000 * 1000\ntheorem t : P big := by sorry",
        "def P : Nat → Prop\n  | 0 => True\n  | n + 1 => P n\ntheorem t : P 3 := by sorry",
    ),
];

fn tags(body: &str) -> Vec<Tag> {
    let reply = lean().check(&certify(vec![module("T", &format!("namespace T\n{body}\nend T\n"))]));
    assert_eq!(reply.outcome(), Outcome::Accepted, "{body}\n{reply:#?}");
    fact(&reply, "T.t").tags.clone()
}

fn fires(kind: Kind, tags: &[Tag]) -> bool {
    tags.iter().any(|tag| tag.kind == kind.as_str())
}

#[test]
fn each_kind_is_noticed_of_its_example_and_not_of_the_honest_twin() {
    let mut wrong = String::new();
    for (kind, bad, honest) in TABLE {
        let (bad_tags, honest_tags) = (tags(bad), tags(honest));
        if !fires(*kind, &bad_tags) {
            wrong += &format!("{kind} is not noticed of\n{bad}\nbut {bad_tags:#?}\n");
        }
        if fires(*kind, &honest_tags) {
            wrong += &format!("{kind} is noticed of the honest\n{honest}\n{honest_tags:#?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    // For these it takes the book or the automation tier.
    let elsewhere =
        [Kind::HypothesesRefuted, Kind::RefutedAtOnce, Kind::ProvedAtOnce, Kind::BookDependencyMissing];
    let shown: BTreeSet<Kind> = TABLE.iter().map(|row| row.0).chain(elsewhere).collect();
    assert_eq!(shown.into_iter().collect::<Vec<_>>(), Kind::ALL, "every kind has its example");
}

#[test]
fn what_a_statement_rests_on_is_looked_at_through_imports() {
    let below = "namespace T\ndef Small (n : Nat) : Prop := True\nclass Magic (α : Type) where\n  f : α → α\n  magic : ∀ a b : α, f a = b\ntheorem first (n : Nat) : n < n + 1 := by omega\nend T\n";
    let above = "namespace T\ntheorem t (α : Type) [Magic α] (n : Nat) (h : n < 2) : Small n := by sorry\ntheorem second (m : Nat) : m < m + 1 := first m\nend T\n";
    let reply = lean().check(&certify(library(&[("T.Below", &[], below), ("T.Above", &["T.Below"], above)])));
    assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    let tags = &fact(&reply, "T.t").tags;
    assert!(fires(Kind::RestsOnTagged, tags) && fires(Kind::UnconstructedStructure, tags), "{tags:#?}");
    let twin = fact(&reply, "T.second").tags.iter().find(|tag| tag.kind == Kind::SameStatement.as_str());
    assert_eq!(twin.unwrap().evidence, "`T.first` states the very same");
    // An elaborated verdict has none: no kernel has accepted anything.
    let elaborated =
        lean().check(&common::elaborate(vec![module("T.Alone", "def T.a (n : Nat) : Nat := 0")]));
    assert!(fact(&elaborated, "T.a").tags.is_empty());
}

/// The tactic by which a probe succeeds on a statement, in a region as agents write it.
fn probed(candidates: &[Candidate], proved: &str) -> Option<String> {
    candidates.iter().find_map(|candidate| {
        let body = format!(
            "namespace T\ndef Even (n : Nat) : Prop := ∃ k, n = k + k\n{}\nend T\n",
            candidate.region
        );
        let reply = lean().check(&common::elaborate(vec![module("T", &body)]));
        let whole = reply.declarations.iter().any(|facts| facts.name == proved && !facts.uses_sorry);
        let accepted = whole && reply.outcome() == Outcome::Accepted;
        automation::winner(candidate, &reply.diagnostics).filter(|_| accepted).map(str::to_owned)
    })
}

#[test]
fn the_automation_tier_tells_vacuous_and_false_statements_from_honest_ones() {
    let vacuous = |region: &str| probed(&automation::contradictions(region, &["Even"]), "T.t");
    let refuted =
        |region: &str| probed(&automation::refutations(region, "T.t", &["Even"]), "T.atlas_refutation");
    for region in [
        "theorem t (n : Nat) (h : n < 2) (k : 5 < n) : n = 3 := by sorry",
        "theorem t : ∀ n : Nat, n < 2 → 5 < n → n = 3 := by\n  sorry",
        "theorem t (p : Nat → Prop) (h : ∀ n, p n) (k : ¬ p 3) : p 4 ∧ p 5 := by sorry",
    ] {
        assert!(vacuous(region).is_some(), "{region}");
    }
    for region in [
        "theorem t (n : Nat) : n < 2 := by sorry",
        "theorem t {m n : Nat} : m - n + n = m := by sorry",
        "theorem t (n : Nat) (h : 0 < n) : Even n := by sorry",
        "@[simp] theorem t (n : Nat) : n = 2 * n := by sorry",
    ] {
        assert!(refuted(region).is_some(), "{region}");
    }
    for honest in [
        "theorem t (n : Nat) (h : n < 5) (k : 2 < n) : n = 3 ∨ n = 4 := by sorry",
        "theorem t (m n : Nat) (hm : Even m) (hn : Even n) : Even (m + n) := by sorry",
        // What it says of itself is no proof of it, and none of its negation.
        "@[simp] theorem t (n : Nat) : Even (n * (n + 1)) := by sorry",
    ] {
        assert_eq!((vacuous(honest), refuted(honest)), (None, None), "{honest}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 12, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_binders_are_called_changes_nothing(names in proptest::collection::btree_set("[a-w][a-z]{0,3}[0-9₀-₉]", 5)) {
        let names: Vec<String> = names.into_iter().collect();
        let body = |names: &[&str]| {
            let [a, b, f, h, g] = names else { panic!("five names") };
            format!(
                "def P ({a} {b} : Nat) : Prop := ∃ {h}, {b} = {h}\ntheorem t ({a} {b} : Nat) ({f} : Nat → Nat) ({h} : ∀ {g}, {f} {g} = {g}) ({g} : {b} < 5) : P {a} ({f} {a} - {a}) ∧ {f} {a} = {a} := by sorry"
            )
        };
        let usual = tags(&body(&["a", "b", "f", "h", "g"]));
        proptest::prop_assert!(usual.len() > 2, "{usual:#?}");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        proptest::prop_assert_eq!(tags(&body(&names)), usual);
    }
}
