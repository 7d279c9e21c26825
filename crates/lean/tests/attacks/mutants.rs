//! Submissions that are nearly right: a seeded generator changes right ones, and nothing that means something else may be certified.
//!
//! A change from the tables says by its construction whether the statement that was frozen still means the same. Of one that only puts a
//! word in another's place nobody knows: there, if it is certified, a witness is asked that shares no code with the judge, how Lean prints
//! every declaration that the statement rests on, in full.
//! `ATLAS_MUTANTS=N` makes N mutants of another seed each, for a soak.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use atlas_lean::Toolchain as _;
use atlas_proto::{CheckLevel, CheckRequest, Expectation, Outcome};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::common::{certify, lean, messages, module};

/// Mutants of an ordinary test run.
const MUTANTS: usize = 320;
const SEED: u64 = 4;

/// A submission that is certified as it is.
struct Right {
    name: &'static str,
    /// The theorem that is asked for, then what its statement rests on.
    theorem: &'static str,
    rests_on: &'static [&'static str],
    text: &'static str,
    changes: &'static [Change],
}

/// A change of the text: what stands there, what comes in its place, and whether the statement still means what it meant.
struct Change(&'static str, &'static str, Meaning);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Same,
    Other,
}
use Meaning::{Other, Same};

const RIGHT: &[Right] = &[
    Right {
        name: "parity",
        theorem: "N.even_add",
        rests_on: &["N.Even", "N.double"],
        text: "\
namespace N
def double (n : Nat) : Nat := n + n
def Even (n : Nat) : Prop := ∃ k, n = double k
theorem double_add (a b : Nat) : double a + double b = double (a + b) := by unfold double; omega
theorem even_add (m n : Nat) (hm : Even m) (hn : Even n) : Even (m + n) := by
  obtain ⟨a, ha⟩ := hm
  obtain ⟨b, hb⟩ := hn
  exact ⟨a + b, by rw [ha, hb, double_add]⟩
end N
",
        changes: &[
            Change("n + n\n", "n + n + 0\n", Other),
            Change("n + n\n", "2 * n\n", Other),
            Change("n = double k", "n = double k ∨ n = 1", Other),
            Change("n = double k", "n ≤ double k", Other),
            Change("∃ k, n = double k", "∃ j, n = double j", Same),
            Change(
                "(hm : Even m) (hn : Even n) : Even (m + n)",
                "(hn : Even n) (hm : Even m) : Even (m + n)",
                Other,
            ),
            Change(": Even (m + n) := by", ": Even (n + m) := by", Other),
            Change("(m n : Nat) (hm", "(m n : Nat) (_ : m = n) (hm", Other),
            Change("(m n : Nat) (hm", "{m n : Nat} (hm", Same),
            Change("theorem even_add (m n : Nat)", "theorem even_add (m : Nat) (n : Nat)", Same),
            Change("theorem double_add", "private theorem double_add", Same),
            Change("theorem double_add", "@[simp] theorem double_add", Same),
            Change(
                "theorem double_add (a b : Nat) : double a + double b",
                "theorem double_add (b a : Nat) : double a + double b",
                Same,
            ),
            Change("def double (n : Nat) : Nat", "abbrev double (n : Nat) : Nat", Same),
            Change(
                "def double (n : Nat) : Nat",
                "@[reducible] def double (m : Nat) : Nat := m + m\ndef triple (n : Nat) : Nat",
                Same,
            ),
            Change(
                "def Even (n : Nat) : Prop",
                "def Odd (n : Nat) : Prop := ¬ ∃ k, n = double k\ndef Even (n : Nat) : Prop",
                Same,
            ),
            Change("theorem even_add", "local instance : Add Nat := ⟨Nat.mul⟩\ntheorem even_add", Other),
            Change("theorem even_add", "local macro_rules | `(Even $x) => `(True)\ntheorem even_add", Other),
            Change("namespace N\n", "namespace N\nabbrev Nat := Fin 2\n", Other),
            Change("namespace N\n", "namespace N\ndef Nat' := Nat\n", Same),
            Change("even_add (m n : Nat)", "even_add' (m n : Nat)", Other),
            Change("even_add (m n : Nat)", "even_add.{u} (m n : Nat)", Other),
            Change(
                "exact ⟨a + b, by rw [ha, hb, double_add]⟩",
                "exact ⟨b + a, by unfold double at *; omega⟩",
                Same,
            ),
            Change("exact ⟨a + b, by rw [ha, hb, double_add]⟩", "exact ⟨a + b, by sorry⟩", Other),
            Change(
                "exact ⟨a + b, by rw [ha, hb, double_add]⟩",
                "exact ⟨a + b, by unfold double at *; native_decide +revert⟩",
                Other,
            ),
            Change("theorem even_add", "set_option debug.skipKernelTC true in\ntheorem even_add", Same),
            Change("theorem double_add", "axiom cheat : ∀ n, Even n\ntheorem double_add", Other),
        ],
    },
    Right {
        name: "structures",
        theorem: "N.dot_comm",
        rests_on: &["N.Vec", "N.Vec.mk", "N.instAddVec", "N.instMulVec", "N.Vec.norm"],
        text: "\
namespace N
structure Vec where
  x : Int
  y : Int
instance instAddVec : Add Vec := ⟨fun a b => ⟨a.x + b.x, a.y + b.y⟩⟩
instance instMulVec : HMul Vec Vec Int := ⟨fun a b => a.x * b.x + a.y * b.y⟩
def Vec.norm (a : Vec) : Int := a * a
local infixl:65 \" ⊕ \" => fun (a b : Vec) => a + b
theorem dot_def (a b : Vec) : a * b = a.x * b.x + a.y * b.y := rfl
theorem dot_comm (a b : Vec) (h : a.norm = 1) : (a ⊕ b) * b = b * (a ⊕ b) := by
  simp only [dot_def]
  grind
end N
",
        changes: &[
            Change("  x : Int\n  y : Int", "  y : Int\n  x : Int", Other),
            Change("  x : Int\n  y : Int", "  x : Int\n  y : Int\n  z : Int := 0", Other),
            Change("  y : Int\n", "  y : Nat\n", Other),
            Change("a.y + b.y⟩⟩", "a.y - b.y⟩⟩", Other),
            Change("a.y + b.y⟩⟩", "b.y + a.y⟩⟩", Other),
            Change("instance instAddVec", "instance (priority := 50) instAddVec", Same),
            Change("instance instAddVec", "@[simp] theorem one : 1 = 1 := rfl\ninstance instAddVec", Same),
            Change("def Vec.norm (a : Vec) : Int := a * a", "def Vec.norm (_ : Vec) : Int := 0", Other),
            Change("def Vec.norm (a : Vec) : Int := a * a", "def Vec.norm (v : Vec) : Int := v * v", Same),
            Change("a.x * b.x + a.y * b.y⟩\n", "a.x * b.x⟩\n", Other),
            Change("=> a + b\n", "=> b + a\n", Other),
            Change("=> a + b\n", "=> a\n", Other),
            Change("infixl:65", "infixl:66", Same),
            Change("local infixl:65 ", "scoped infixl:65 ", Same),
            Change(
                "theorem dot_comm",
                "local instance : HMul Vec Vec Int := ⟨fun _ _ => 0⟩\ntheorem dot_comm",
                Other,
            ),
            Change(
                "theorem dot_comm",
                "local instance (priority := low) : HMul Vec Int Int := ⟨fun _ n => n⟩\ntheorem dot_comm",
                Same,
            ),
            Change("(h : a.norm = 1)", "(h : a.norm = 2)", Other),
            Change("(h : a.norm = 1)", "(h : b.norm = 1)", Other),
            Change("(h : a.norm = 1)", "(unused : a.norm = 1)", Same),
            Change("(h : a.norm = 1)", "", Other),
            Change("structure Vec where", "class Vec where", Same),
            Change("structure Vec where", "@[ext] structure Vec where", Same),
            Change("(a ⊕ b) * b = b * (a ⊕ b)", "(a ⊕ b) * b = (a ⊕ b) * b", Other),
            Change("(a ⊕ b) * b = b * (a ⊕ b)", "True ∨ (a ⊕ b) * b = b * (a ⊕ b)", Other),
        ],
    },
    Right {
        name: "universes",
        theorem: "N.size_map",
        rests_on: &["N.Tree", "N.Tree.leaf", "N.Tree.node", "N.Tree.size", "N.Tree.map"],
        text: "\
namespace N
universe u v
inductive Tree (α : Type u) : Type u
  | leaf
  | node (l : Tree α) (x : α) (r : Tree α)
def Tree.size {α : Type u} : Tree α → Nat
  | .leaf => 0
  | .node l _ r => l.size + r.size + 1
def Tree.map {α : Type u} {β : Type v} (f : α → β) : Tree α → Tree β
  | .leaf => .leaf
  | .node l x r => .node (l.map f) (f x) (r.map f)
theorem size_map {α : Type u} {β : Type v} (f : α → β) (t : Tree α) : (t.map f).size = t.size := by
  induction t with
  | leaf => rfl
  | node l x r hl hr => simp [Tree.map, Tree.size, hl, hr]
end N
",
        changes: &[
            // Who names the universes at a use names them in their order.
            Change("universe u v\n", "universe v u\n", Other),
            Change("(α : Type u) : Type u\n", "(α : Type u) : Type (max u 0)\n", Same),
            Change("(α : Type u) : Type u\n", "(α : Type u) : Type (u + 1)\n", Other),
            Change("{α : Type u} {β : Type v} (f : α → β) (t", "{α β : Type u} (f : α → β) (t", Other),
            Change("{α : Type u} {β : Type v} (f : α → β) (t", "{α β : Type} (f : α → β) (t", Other),
            Change(
                "{α : Type u} {β : Type v} (f : α → β) (t",
                "{α : Type v} {β : Type u} (f : α → β) (t",
                Other,
            ),
            Change("  | leaf\n", "  | leaf\n  | stump\n", Other),
            Change("  | leaf\n  | node", "  | empty\n  | node", Other),
            Change("=> l.size + r.size + 1", "=> l.size + r.size + 0", Other),
            Change("=> l.size + r.size + 1", "=> r.size + l.size + 1", Other),
            Change("  | .leaf => 0\n", "  | .leaf => 1\n", Other),
            Change("=> .node (l.map f) (f x) (r.map f)", "=> .node (r.map f) (f x) (l.map f)", Other),
            Change("(l : Tree α) (x : α) (r : Tree α)", "(x : α) (l : Tree α) (r : Tree α)", Other),
            Change("(f : α → β) (t : Tree α) : (t.map f)", "(t : Tree α) (f : α → β) : (t.map f)", Other),
            Change("(f : α → β) (t : Tree α) : (t.map f)", "(g : α → β) (t : Tree α) : (t.map g)", Same),
            Change(
                "(f : α → β) (t : Tree α) : (t.map f).size = t.size",
                "(f : α → β) (t : Tree α) : (t.map f).size ≤ t.size",
                Other,
            ),
            Change(
                "theorem size_map",
                "theorem Tree.size_pos {α : Type u} (t : Tree α) : 0 ≤ t.size := Nat.zero_le _\ntheorem size_map",
                Same,
            ),
            Change(
                "theorem size_map",
                "local instance instE {α : Type u} : BEq (Tree α) := ⟨fun _ _ => true⟩\ntheorem size_map",
                Same,
            ),
            Change("theorem size_map", "local notation \"Tree\" => List\ntheorem size_map", Other),
            Change("simp [Tree.map, Tree.size, hl, hr]", "simp_all [Tree.map, Tree.size]", Same),
            Change("simp [Tree.map, Tree.size, hl, hr]", "exact sorry", Other),
            Change(
                "theorem size_map",
                "theorem map_leaf {α : Type u} {β : Type v} (f : α → β) : Tree.map f .leaf = .leaf := rfl\ntheorem size_map",
                Same,
            ),
        ],
    },
];

struct Frozen {
    expectation: Expectation,
    printed: String,
}

fn expect(right: &Right, hash: String) -> Expectation {
    Expectation {
        declaration: right.theorem.into(),
        target: right.name.into(),
        statement_hash: hash,
        ..Expectation::default()
    }
}

/// How Lean prints what a statement rests on, in full: a witness that shares no code with the judge.
fn printed(right: &Right, text: &str) -> String {
    let mut snippet = format!("set_option pp.all true\n#check @{}\n", right.theorem);
    for name in right.rests_on {
        snippet += &format!("#print {name}\n");
    }
    let request = CheckRequest {
        level: CheckLevel::Elaborated.into(),
        snippet: Some(snippet),
        ..certify(vec![module("N.M", text)])
    };
    let reply = lean().check(&request);
    assert_eq!(reply.outcome(), Outcome::Accepted, "{text}\n{reply:#?}");
    messages(&reply).join("\n")
}

fn freeze(right: &Right) -> Frozen {
    let request = CheckRequest {
        expectations: vec![expect(right, String::new())],
        ..certify(vec![module("N.M", right.text)])
    };
    let reply = lean().check(&request);
    assert_eq!(reply.outcome(), Outcome::Accepted, "{}\n{reply:#?}", right.name);
    let facts = reply.declarations.iter().find(|d| d.name == right.theorem).unwrap();
    Frozen { expectation: expect(right, facts.statement_hash.clone()), printed: printed(right, right.text) }
}

/// What a mutant is, in words; whether it means the same; its text.
fn mutate(r: &mut StdRng, right: &Right) -> (String, Option<Meaning>, String) {
    let mut text = right.text.to_owned();
    if r.random_bool(0.3) {
        return swap_words(r, right);
    }
    let (mut meaning, mut told) = (Same, vec![]);
    for _ in 0..if r.random_bool(0.4) { 2 } else { 1 } {
        let Change(from, to, means) = right.changes.choose(r).unwrap();
        if let Some((before, after)) = text.split_once(from) {
            text = format!("{before}{to}{after}");
            told.push(format!("{:?} for {:?}", to, from));
            meaning = if *means == Other { Other } else { meaning };
        }
    }
    (told.join(", "), Some(meaning), text)
}

/// A word of the text in the place of another: what that means, nobody has said.
fn swap_words(r: &mut StdRng, right: &Right) -> (String, Option<Meaning>, String) {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let words: Vec<(usize, &str)> = right
        .text
        .match_indices(|c: char| !c.is_whitespace())
        .filter(|(at, _)| {
            *at == 0 || !right.text[..*at].ends_with(word) || !right.text[*at..].starts_with(word)
        })
        .map(|(at, _)| {
            let rest = &right.text[at..];
            let end = rest.find(|c: char| !word(c)).filter(|n| *n > 0);
            (at, &rest[..end.unwrap_or_else(|| rest.chars().next().map_or(0, char::len_utf8))])
        })
        .collect();
    let &(at, from) = words.choose(r).unwrap();
    let alike: Vec<&str> =
        words.iter().map(|(_, w)| *w).filter(|w| w.starts_with(word) == from.starts_with(word)).collect();
    let to = alike.choose(r).unwrap();
    let text = format!("{}{to}{}", &right.text[..at], &right.text[at + from.len()..]);
    (format!("{to:?} for {from:?} at {at}"), None, text)
}

#[derive(Debug, Default)]
struct Count {
    certified: usize,
    refused: usize,
    /// Of those: Lean had no objection.
    refused_by_the_gate: usize,
}

#[test]
fn no_mutant_that_means_something_else_is_certified_and_none_that_does_not_is_refused() {
    let soak: Option<usize> = std::env::var("ATLAS_MUTANTS").ok().map(|n| n.parse().unwrap());
    let seed = if soak.is_some() { rand::random() } else { SEED };
    println!("seed {seed}");
    let mut r = StdRng::seed_from_u64(seed);
    let frozen: Vec<Frozen> = RIGHT.iter().map(freeze).collect();
    // Each change by itself once, then what chance makes of them.
    let mut mutants = vec![];
    for (k, right) in RIGHT.iter().enumerate() {
        for Change(from, to, means) in right.changes {
            let (before, after) =
                right.text.split_once(from).unwrap_or_else(|| panic!("{}: {from}", right.name));
            mutants.push((k, format!("{to:?} for {from:?}"), Some(*means), format!("{before}{to}{after}")));
        }
    }
    while mutants.len() < soak.unwrap_or(MUTANTS) {
        let k = r.random_range(0..RIGHT.len());
        let (told, means, text) = mutate(&mut r, &RIGHT[k]);
        mutants.push((k, told, means, text));
    }
    let (next, wrong, counts) = (AtomicUsize::new(0), Mutex::new(vec![]), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((k, told, means, text)) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (right, frozen) = (&RIGHT[*k], &frozen[*k]);
                    let request = CheckRequest {
                        expectations: vec![frozen.expectation.clone()],
                        ..certify(vec![module("N.M", text)])
                    };
                    let reply = lean().check(&request);
                    let certified = reply.outcome() == Outcome::Accepted;
                    // Lean places its own errors.
                    let elaborates = !reply
                        .diagnostics
                        .iter()
                        .any(|d| d.severity() == atlas_proto::Severity::Error && d.start.is_some());
                    let other = match means {
                        Some(means) => *means == Other,
                        None => certified && printed(right, text) != frozen.printed,
                    };
                    let wrong_is = |what: &str| {
                        let said = messages(&reply).join("; ");
                        wrong.lock().unwrap().push(format!("{what}: {}: {told}: {said}\n{text}", right.name));
                    };
                    if certified && other {
                        wrong_is("FALSE ACCEPT");
                    }
                    if !certified && elaborates && *means == Some(Same) {
                        wrong_is("FALSE REJECT");
                    }
                    let mut counts = counts.lock().unwrap();
                    let count: &mut Count = counts.entry(format!("{means:?}")).or_default();
                    count.certified += usize::from(certified);
                    count.refused += usize::from(!certified);
                    count.refused_by_the_gate += usize::from(!certified && elaborates);
                }
            });
        }
    });
    let (wrong, counts) = (wrong.into_inner().unwrap(), counts.into_inner().unwrap());
    println!("{} mutants: {counts:#?}", mutants.len());
    println!(
        "false accepts {}, false rejects {}",
        wrong.iter().filter(|w| w.starts_with("FALSE A")).count(),
        wrong.iter().filter(|w| w.starts_with("FALSE R")).count()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    // The hunt is one: much is refused by the gate alone, and much that is right passes.
    let of = |what: &str| &counts[what];
    assert!(of("Some(Other)").refused_by_the_gate > 20 && of("Some(Same)").certified > 20, "{counts:#?}");
}
