//! Lean's kernel as the oracle of ours: what it refuses of changed exports, ours must refuse. Needs the image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod exports;

use std::time::Duration;

use atlas_lean::Replayed;
use atlas_lean_kernel::{AllowedAxioms, Base, Limits, Policy, Verdict, check, ndjson};
use common::lean;
use exports::Exported;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

/// Mutants that are asked about, of each module.
const MUTANTS: usize = 120;
const SEED: u64 = 4;
const DEADLINE: Duration = Duration::from_secs(20);

const MODULES: [(&str, &[&str], &str); 3] = [
    (
        "N.Inductive",
        &[],
        "\
namespace N
universe u
inductive Tree (α : Type u) where
  | leaf
  | node (children : List (Tree α)) (label : α)
inductive Even : Nat → Prop where
  | zero : Even 0
  | step (n : Nat) (h : Even n) : Even (n + 2)
theorem even_four : Even 4 := .step 2 (.step 0 .zero)
end N
",
    ),
    (
        "N.Structure",
        &[],
        "\
namespace N
universe u v
structure Pair (α : Type u) (β : Sort v) where
  fst : α
  snd : β
class Pointed (α : Type u) where
  point : α
instance : Pointed Nat := ⟨7⟩
theorem eta (p : Pair Nat True) : p = ⟨p.fst, p.snd⟩ := rfl
theorem seven : (Pointed.point : Nat) * 3 = 21 := rfl
def const (α : Sort u) (β : Sort v) (a : α) : β → α := fun _ => a
theorem irrelevant (p : Prop) (a b : p) : a = b := rfl
end N
",
    ),
    (
        "N.Recursive",
        &[],
        "\
namespace N
def sum : Nat → Nat
  | 0 => 0
  | n + 1 => sum n + (n + 1)
theorem sum_four : sum 4 = 10 := rfl
theorem zero_sum (n : Nat) : 0 + sum n = sum n := by
  induction n with
  | zero => rfl
  | succ n _ => exact Nat.zero_add _
theorem and_swap (p q : Prop) : p ∧ q ↔ q ∧ p := ⟨fun ⟨a, b⟩ => ⟨b, a⟩, fun ⟨a, b⟩ => ⟨b, a⟩⟩
end N
",
    ),
];

/// Places whose change says something else to a kernel; ids of nodes, names of binders, heights and flags that only the elaborator reads
/// do not.
fn places(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(key, value)| {
                let binder = key.as_str() == "name" && value.as_u64() == Some(0);
                !binder
                    && !["in", "il", "ie", "hints", "safety", "isUnsafe", "binderInfo", "nondep", "str"]
                        .contains(&key.as_str())
            })
            .flat_map(|(_, value)| places(value))
            .collect(),
        Value::Array(elements) => elements.iter_mut().flat_map(places).collect(),
        Value::Null => vec![],
        _ => vec![value],
    }
}

/// The text with one or two lines changed: another term, level or name in a place, another number, a flag turned, a proof made a
/// definition.
fn mutant(random: &mut StdRng, text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..random.random_range(1..=2) {
        let is_node = |line: &String| ["\"in\":", "\"il\":", "\"ie\":"].iter().any(|id| line.contains(id));
        let nodes = random.random_bool(0.6);
        let candidates: Vec<usize> = (1..lines.len()).filter(|at| is_node(&lines[*at]) == nodes).collect();
        let at = candidates[random.random_range(0..candidates.len())];
        if !nodes && random.random_bool(0.1) {
            lines[at] = match lines[at].replacen("{\"thm\":", "{\"opaque\":", 1) {
                same if same == lines[at] => same,
                opaque => opaque.replace("\"value\":", "\"isUnsafe\":false,\"value\":"),
            };
            continue;
        }
        let mut line: Value = serde_json::from_str(&lines[at]).unwrap();
        let found = places(&mut line);
        let count = found.len();
        if let Some(place) = found.into_iter().nth(random.random_range(0..count.max(1))) {
            *place = match &*place {
                Value::Bool(flag) => (!*flag).into(),
                Value::Number(number) => {
                    let number = number.as_u64().unwrap();
                    match random.random_range(0..4) {
                        0 => number + 1,
                        1 => number.saturating_sub(1),
                        2 => random.random_range(0..number + 2),
                        _ => number.saturating_sub(random.random_range(0..12)),
                    }
                    .into()
                }
                Value::String(digits) => match digits.parse::<u64>() {
                    Ok(number) => (number + 1).to_string().into(),
                    Err(_) => digits.clone().into(),
                },
                other => other.clone(),
            };
        }
        lines[at] = line.to_string();
    }
    lines.join("\n") + "\n"
}

/// Our kernel's verdict; `None` where the text cannot be read.
fn ours(base: &Base, text: &str) -> Option<Verdict> {
    let mut reader = ndjson::Reader::new(base, &ndjson::Bounds::default());
    reader.read(&mut text.as_bytes()).ok()?;
    let (mut terms, declarations) = reader.finish();
    let policy = Policy { axioms: AllowedAxioms::Any, ..Policy::default() };
    let limits = Limits { steps: 20_000_000, ..Limits::default() };
    Some(check(&mut terms, &declarations, &policy, &limits))
}

#[test]
fn what_leans_kernel_refuses_ours_refuses() {
    let exported = Exported::of(&MODULES);
    let axioms = ["propext", "Classical.choice", "Quot.sound", "sorryAx"];
    let toolchain = lean().foundation(&[], DEADLINE).unwrap();
    let base = Base::load_statements(&mut &toolchain[..], &axioms, &ndjson::Bounds::default()).unwrap();
    let mut random = StdRng::seed_from_u64(SEED);
    let (mut both_accept, mut both_refuse, mut stricter) = (0, 0, vec![]);
    for (module, ..) in MODULES {
        let text = exported.text(module);
        assert!(ours(&base, &text).unwrap().is_accepted());
        let mut asked = 0;
        while asked < MUTANTS {
            let mutant = mutant(&mut random, &text);
            let Some(verdict) = ours(&base, &mutant) else { continue };
            if mutant == text {
                continue;
            }
            asked += 1;
            let replayed = lean().kernel_accepts(&[], &[], mutant.as_bytes(), DEADLINE).unwrap();
            match (verdict.is_accepted(), matches!(replayed, Replayed::Accepted { .. })) {
                (true, true) => both_accept += 1,
                (false, false) => both_refuse += 1,
                (true, false) => {
                    let file = std::env::temp_dir().join("disagreement.ndjson");
                    std::fs::write(&file, &mutant).unwrap();
                    panic!(
                        "ours accepts what Lean's does not: {replayed:?}; the text is in {}",
                        file.display()
                    );
                }
                (false, true) => stricter.push(format!("{module}: {verdict}")),
            }
        }
    }
    println!("both accept {both_accept}, both refuse {both_refuse}, ours alone refuses {}", stricter.len());
    assert!(both_accept > 20 && both_refuse > 100, "the mutants tell nothing");
    assert!(stricter.is_empty(), "{stricter:#?}");
}
