//! Lean's own kernel in a guest that has elaborated nothing, asked by text. Needs the image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
mod exports;

use std::time::Duration;

use atlas_lean::{Replayed, Toolchain as _};
use atlas_proto::Outcome;
use common::{certify, lean, messages, module};
use exports::Exported;

const DEADLINE: Duration = Duration::from_secs(60);

/// What Lean's kernel says of a text on top of `Init`.
fn asked(text: &str) -> Replayed {
    lean().kernel_accepts(&[], &[], text.as_bytes(), DEADLINE).unwrap()
}

/// The message of a refusal of `name`.
fn refused(name: &str, replayed: Replayed) -> String {
    match replayed {
        Replayed::Refused { declaration, why } if declaration == name => why,
        other => panic!("{name}: {other:?}"),
    }
}

fn accepted(replayed: &Replayed) -> u32 {
    match replayed {
        Replayed::Accepted { declarations, .. } => *declarations,
        other => panic!("{other:?}"),
    }
}

/// Everything that declarations and terms can be.
const EVERYTHING: &str = "\
namespace N
universe u v
inductive Tree (α : Type u) where
  | leaf
  | node (children : List (Tree α)) (label : α)
mutual
inductive Odd : Nat → Prop where
  | step (n : Nat) (h : Even n) : Odd (n + 1)
inductive Even : Nat → Prop where
  | zero : Even 0
  | step (n : Nat) (h : Odd n) : Even (n + 1)
end
inductive Vec (α : Type u) : Nat → Type u where
  | nil : Vec α 0
  | cons {n : Nat} (a : α) (rest : Vec α n) : Vec α (n + 1)
inductive Same {α : Sort u} (a : α) : α → Prop where
  | refl : Same a a
inductive Inf where
  | mk (next : Nat → Inf)
structure Pair (α : Type u) (β : Sort v) where
  fst : α
  snd : β
class Pointed (α : Type u) extends Inhabited α where
  point : α
  same : default = point
instance : Pointed Nat := ⟨0, rfl⟩
theorem eta (p : Pair Nat True) : p = ⟨p.fst, p.snd⟩ := rfl
def depth : Nat → Nat
  | 0 => 0
  | n + 1 => depth n + 1
theorem depth_eq (n : Nat) : depth n = n := by
  induction n with
  | zero => rfl
  | succ n ih => simp [depth, ih]
def halve (n : Nat) : Nat := if h : n < 2 then 0 else halve (n - 2) + 1
termination_by n
theorem big : 2 ^ 200 + 1 = 1606938044258990275541962092341162602522202993782792835301377 := by decide
theorem small : (2147483647 : Nat) < 2147483648 := by decide
theorem text : \"ℝ → ∀ε>0 \\\"\\n𝔸\".length = 12 := by decide
def third (s : Setoid Nat) : Quotient s → Prop := Quotient.lift (fun _ => True) (fun _ _ _ => rfl)
private theorem hidden (a b : Nat) (h : a < b) : a ≤ b + 1 := by omega
theorem shown : 1 ≤ 3 := hidden 1 2 (by decide)
theorem matched (a b c : Nat) (f : Nat → Nat) (h : a = b) (h2 : b = c) : f a = f c := by grind
opaque secret : Nat
def letting (n : Nat) : Nat := let m := n + n; have : m = n + n := rfl; m
theorem imax (α : Sort u) (β : α → Sort v) (f g : (a : α) → β a) (h : ∀ a, f a = g a) : f = g := funext h
end N
";

#[test]
fn all_kinds_of_declarations_and_terms_come_about_as_the_text_says() {
    let exported = Exported::of(&[("N.All", &[], EVERYTHING)]);
    let text = exported.text("N.All");
    // That they are, as terms, what the text says is compared at every replay.
    assert!(accepted(&asked(&text)) > 40);
    // The comparison is none that cannot fail: each of these is nothing that Lean's kernel is told.
    let change = |from: &str, to: &str| {
        let at = text.find(from).unwrap_or_else(|| panic!("the export lacks {from}"));
        let changed = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
        let Replayed::Refused { why, .. } = asked(&changed) else { panic!("{from} → {to} is accepted") };
        assert!(why.contains("not what the text says"), "{why}");
    };
    change("\"isReflexive\":true", "\"isReflexive\":false");
    change("\"k\":true", "\"k\":false");
    change("\"numNested\":1", "\"numNested\":0");
    change("\"numMinors\":2", "\"numMinors\":3");
    change("\"nfields\":2", "\"nfields\":1");
}

#[test]
fn modules_below_are_accepted_first_and_what_two_of_them_have_counts_once() {
    let shared = "namespace N\ntheorem twin : 1 = 1 := rfl\nend N\n";
    let exported = Exported::of(&[
        ("N.Low", &[], "namespace N\ndef d (n : Nat) : Nat := n + 1\nend N\n"),
        ("N.Top", &["N.Low"], "namespace N\ntheorem t : d 1 = 2 := rfl\nend N\n"),
        ("N.Twin", &[], shared),
    ]);
    let [low, top, twin] = ["N.Low", "N.Top", "N.Twin"].map(|name| exported.text(name));
    let over = |below: &[&str], text: &str| {
        let below: Vec<&[u8]> = below.iter().map(|text| text.as_bytes()).collect();
        lean().kernel_accepts(&[], &below, text.as_bytes(), DEADLINE)
    };
    assert_eq!(accepted(&over(&[&low], &top).unwrap()), 1);
    refused("N.t", asked(&top));
    assert_eq!(accepted(&over(&[&low, &twin, &top], &twin).unwrap()), 1);
    // Under the same name something else is refused.
    let other = exported.text("N.Twin").replace("\"N\"", "\"M\"").replace("\"twin\"", "\"t\"");
    assert_eq!(accepted(&asked(&other)), 1);
    let renamed = exported.text("N.Twin").replace("\"twin\"", "\"t\"");
    let twice = refused("N.t", over(&[&low, &top], &renamed).unwrap());
    assert!(twice.contains("already"), "{twice}");
    // What lies below must be accepted too.
    let failed = over(&[&top], &twin).unwrap_err().to_string();
    assert!(failed.contains("N.t"), "{failed}");
}

/// lean4export's lines up to the theorem `t : 1 = 2` with the proof `Eq.refl 1`, over `Init`.
const ILL_TYPED: &str = r#"{"meta":{"format":{"version":"3.1.0"}}}
{"str":{"pre":0,"str":"t"},"in":1}
{"str":{"pre":0,"str":"Eq"},"in":2}
{"str":{"pre":2,"str":"refl"},"in":3}
{"str":{"pre":0,"str":"Nat"},"in":4}
{"succ":0,"il":1}
{"const":{"name":2,"us":[1]},"ie":0}
{"const":{"name":4,"us":[]},"ie":1}
{"app":{"fn":0,"arg":1},"ie":2}
{"natVal":"1","ie":3}
{"natVal":"2","ie":4}
{"app":{"fn":2,"arg":3},"ie":5}
{"app":{"fn":5,"arg":4},"ie":6}
{"const":{"name":3,"us":[1]},"ie":7}
{"app":{"fn":7,"arg":1},"ie":8}
{"app":{"fn":8,"arg":3},"ie":9}
{"thm":{"name":1,"levelParams":[],"type":6,"value":9,"all":[1]}}
"#;

#[test]
fn what_is_wrong_is_refused_by_name() {
    assert!(refused("t", asked(ILL_TYPED)).contains("type mismatch"));
    assert_eq!(accepted(&asked(&ILL_TYPED.replace("{\"natVal\":\"2\"", "{\"natVal\":\"1\""))), 1);
    let axiom =
        ILL_TYPED.replace("\"thm\"", "\"axiom\"").replace("\"value\":9,\"all\":[1]", "\"isUnsafe\":false");
    assert!(refused("t", asked(&axiom)).contains("axioms"));
    let unreadable = refused("the export", asked(&ILL_TYPED.replace("\"arg\":4", "\"arg\":40")));
    assert!(unreadable.contains("line 13"), "{unreadable}");
}

#[test]
fn what_skips_the_kernel_while_elaborating_meets_it_here() {
    let skipped = "set_option debug.skipKernelTC true in\ntheorem x : (1 : Nat) = 2 := by decide +kernel\n";
    let planted = "\
open Lean Elab Command in
run_cmd do
  let env ← getEnv
  let d := Declaration.thmDecl { name := `evil, levelParams := [], type := mkConst ``False, value := mkConst ``True.intro }
  match env.addDeclCore 0 d none false with
  | .ok env => setEnv env
  | .error _ => return
theorem x : (1 : Nat) = 2 := evil.elim
";
    let with_lean = format!(
        "module\n\npublic import Init\npublic meta import Lean\n\n@[expose] public section\n\n{planted}"
    );
    let mut planted = module("N.R", "");
    planted.source = Some(with_lean.into_bytes());
    for (name, source) in [("x._proof_1", module("N.R", skipped)), ("evil", planted)] {
        let reply = lean().check(&certify(vec![source]));
        assert_eq!(reply.outcome(), Outcome::Rejected, "{reply:#?}");
        for kernel in ["Lean rejects it", "atlas-lean-kernel"] {
            let told = format!("`{name}`: {kernel}");
            assert!(messages(&reply).iter().any(|m| m.starts_with(&told)), "{reply:#?}");
        }
    }
}

#[test]
fn what_takes_too_long_is_undecided_and_harms_nobody() {
    let ackermann = "\
namespace N
def ack (m : Nat) : Nat → Nat :=
  m.rec (fun n => n + 1) (fun _ f n => n.rec (f 1) (fun _ r => f r))
theorem t : ack 2 3 = 9 := rfl
end N
";
    let text = Exported::of(&[("N.Ack", &[], ackermann)]).text("N.Ack");
    let endless =
        text.replace("\"natVal\":\"3\"", "\"natVal\":\"4\"").replace("\"natVal\":\"2\"", "\"natVal\":\"4\"");
    assert_ne!(text, endless);
    let replayed = lean().kernel_accepts(&[], &[], endless.as_bytes(), Duration::from_secs(2)).unwrap();
    assert!(matches!(replayed, Replayed::Undecided { .. }), "{replayed:?}");
    assert!(accepted(&asked(&text)) > 1);
}

/// The theorem `t : x = x` with the proof `Eq.refl x`, where `x` is `Nat.succ (… (Nat.succ number))`.
fn reflexive(number: &str, depth: usize) -> String {
    let mut text = ILL_TYPED[..ILL_TYPED.find("{\"natVal\"").unwrap()].to_owned();
    text += "{\"str\":{\"pre\":4,\"str\":\"succ\"},\"in\":5}\n{\"const\":{\"name\":5,\"us\":[]},\"ie\":3}\n";
    text += &format!("{{\"natVal\":\"{number}\",\"ie\":4}}\n");
    let apply =
        |f: usize, a: usize, id: usize| format!("{{\"app\":{{\"fn\":{f},\"arg\":{a}}},\"ie\":{id}}}\n");
    let x = 4 + depth;
    text.extend((5..=x).map(|id| apply(3, id - 1, id)));
    text += &(apply(2, x, x + 1) + &apply(x + 1, x, x + 2));
    text += &format!("{{\"const\":{{\"name\":3,\"us\":[1]}},\"ie\":{}}}\n", x + 3);
    text += &(apply(x + 3, 1, x + 4) + &apply(x + 4, x, x + 5));
    let (ty, value) = (x + 2, x + 5);
    text + &format!(
        "{{\"thm\":{{\"name\":1,\"levelParams\":[],\"type\":{ty},\"value\":{value},\"all\":[1]}}}}\n"
    )
}

#[test]
fn long_numbers_are_rebuilt_and_what_is_too_deep_is_undecided() {
    for (number, depth) in [("2147483648", 0), ("18446744073709551616", 1), ("0", 300)] {
        assert_eq!(accepted(&asked(&reflexive(number, depth))), 1);
    }
    assert_eq!(accepted(&asked(&reflexive(&"9".repeat(50_000), 1))), 1);
    assert_eq!(accepted(&asked(&reflexive("0", 10_000))), 1);
    let deepest = reflexive("0", 90_000);
    let deep = lean().kernel_accepts(&[], &[], deepest.as_bytes(), Duration::from_secs(3)).unwrap();
    assert!(matches!(deep, Replayed::Undecided { .. }), "{deep:?}");
    assert_eq!(accepted(&asked(&reflexive("0", 1))), 1, "the next one is asked as ever");
}
