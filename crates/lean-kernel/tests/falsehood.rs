//! A hunt for `False`. What it takes to prove `False` is one equation between different numbers, or one inductive type that should
//! not be. Both are generated at random, and judged by code that knows nothing of the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use support::{World, judge};

/// A closed expression of type `Nat`, with its value by an evaluator of our own. Variables are `(name, value)`.
fn number(r: &mut StdRng, depth: u32, scope: &mut Vec<(String, u64)>) -> (String, u64) {
    if depth == 0 || r.random_bool(0.1) {
        if !scope.is_empty() && r.random_bool(0.6) {
            return scope[r.random_range(0..scope.len())].clone();
        }
        let n = r.random_range(0..6);
        return (n.to_string(), n);
    }
    let d = depth - 1;
    let x = format!("x{}", scope.len());
    match r.random_range(0..12) {
        0 => {
            let ((a, v), (b, w)) = (number(r, d, scope), number(r, d, scope));
            (format!("(Nat.add {a} {b})"), v + w)
        }
        1 => {
            let ((a, v), (b, w)) = (number(r, d, scope), number(r, d, scope));
            (format!("(Nat.sub {a} {b})"), v.saturating_sub(w))
        }
        2 => {
            let ((a, v), (b, w)) = (number(r, d, scope), number(r, d, scope));
            if v * w > 5000 { (a, v) } else { (format!("(Nat.mul {a} {b})"), v * w) }
        }
        3 => {
            let (a, v) = number(r, d, scope);
            (format!("(Nat.succ {a})"), v + 1)
        }
        4 => {
            let (a, v) = number(r, d, scope);
            (format!("(Nat.pred {a})"), v.saturating_sub(1))
        }
        // β and ζ with the variable in scope.
        n @ (5 | 6) => {
            let (a, v) = number(r, d, scope);
            scope.push((x.clone(), v));
            let (b, w) = number(r, d, scope);
            scope.pop();
            if n == 5 {
                (format!("((fun ({x} : Nat) => {b}) {a})"), w)
            } else {
                (format!("(let {x} : Nat := {a}; {b})"), w)
            }
        }
        7 => {
            let ((a, v), (b, w)) = (number(r, d, scope), number(r, d, scope));
            let i = r.random_range(0..2);
            (format!("(Prod#{i} (Prod.mk.{{0, 0}} Nat Nat {a} {b}))"), if i == 0 { v } else { w })
        }
        // Recursion: `rec z (fun n ih => ih + c) a`.
        8 => {
            let ((a, v), (z, w)) = (number(r, d, scope), number(r, d, scope));
            let c = r.random_range(0..3);
            if v > 200 {
                return (a, v);
            }
            let step = format!("(fun (n ih : Nat) => Nat.add ih {c})");
            (format!("(Nat.rec.{{1}} (fun (n : Nat) => Nat) {z} {step} {a})"), w + c * v)
        }
        // Recursion that looks at the predecessor.
        9 => {
            let (a, v) = number(r, d, scope);
            (
                format!("(Nat.rec.{{1}} (fun (n : Nat) => Nat) 7 (fun (n ih : Nat) => n) {a})"),
                if v == 0 { 7 } else { v - 1 },
            )
        }
        10 => {
            let ((a, v), (b, w)) = (number(r, d, scope), number(r, d, scope));
            let ((p, x), (q, y)) = (number(r, d, scope), number(r, d, scope));
            let op = if r.random_bool(0.5) { "beq" } else { "ble" };
            let holds = if op == "beq" { v == w } else { v <= w };
            let cases = format!("(Bool.rec.{{1}} (fun (b : Bool) => Nat) {p} {q} (Nat.{op} {a} {b}))");
            (cases, if holds { y } else { x })
        }
        // A cast along a proof, and a quotient.
        _ => {
            let (a, v) = number(r, d, scope);
            if r.random_bool(0.5) {
                (
                    format!(
                        "(Eq.rec.{{1, 1}} Nat 0 (fun (b : Nat) (h : Eq.{{1}} Nat 0 b) => Nat) {a} 0 (Eq.refl.{{1}} Nat 0))"
                    ),
                    v,
                )
            } else {
                let rel = "(fun (a b : Nat) => Eq.{1} Nat a b)";
                (
                    format!(
                        "(Quot.lift.{{1, 1}} Nat {rel} Nat (fun (n : Nat) => n) (fun (a b : Nat) (h : Eq.{{1}} Nat a b) => h) (Quot.mk.{{1}} Nat {rel} {a}))"
                    ),
                    v,
                )
            }
        }
    }
}

#[test]
fn equations_hold_if_and_only_if_the_values_are_equal() {
    let mut r = StdRng::seed_from_u64(1);
    for round in 0..12 {
        let mut right = World::new();
        for i in 0..40 {
            let (a, v) = number(&mut r, 5, &mut Vec::new());
            right.say(&format!("theorem right{i} : Eq.{{1}} Nat {a} {v} := Eq.refl.{{1}} Nat {v}")).unwrap();
            // The same by a longer way: two expressions against each other.
            let (b, w) = number(&mut r, 4, &mut Vec::new());
            if v == w {
                right
                    .say(&format!("theorem both{i} : Eq.{{1}} Nat {a} {b} := Eq.refl.{{1}} Nat {a}"))
                    .unwrap();
            } else if i % 4 == 0 {
                let wrong = format!("theorem wrong : Eq.{{1}} Nat {a} {b} := Eq.refl.{{1}} Nat {a}");
                assert!(judge(&wrong).is_err(), "round {round}: {wrong}");
            }
            let off = v + 1 - 2 * u64::from(v > 0 && r.random_bool(0.5));
            if i % 4 == 0 {
                let wrong = format!("theorem wrong : Eq.{{1}} Nat {a} {off} := Eq.refl.{{1}} Nat {off}");
                assert!(judge(&wrong).is_err(), "round {round}: {wrong}");
            }
        }
        let v = right.verdict();
        assert!(v.is_accepted(), "round {round}: {v}");
    }
}

/// The type of a field of `T : Type` in a random inductive type, and whether `T` occurs in it strictly positively (or not at all).
enum Field {
    T,
    Nat,
    List(Box<Field>),
    Pair(Box<Field>, Box<Field>),
    Arrow(Box<Field>, Box<Field>),
    Universe,
    Proof,
}

impl Field {
    fn random(r: &mut StdRng, depth: u32) -> Field {
        let below = |r: &mut StdRng| Box::new(Field::random(r, depth - 1));
        match r.random_range(0..if depth == 0 { 3 } else { 8 }) {
            0 | 7 => Field::T,
            1 => Field::Nat,
            2 => {
                if r.random_bool(0.2) {
                    Field::Universe
                } else {
                    Field::Proof
                }
            }
            3 => Field::List(below(r)),
            4 => Field::Pair(below(r), below(r)),
            _ => Field::Arrow(below(r), below(r)),
        }
    }
    fn text(&self) -> String {
        match self {
            Field::T => "T".into(),
            Field::Nat => "Nat".into(),
            Field::List(a) => format!("(List.{{0}} {})", a.text()),
            Field::Pair(a, b) => format!("(Prod.{{0, 0}} {} {})", a.text(), b.text()),
            Field::Arrow(a, b) => format!("({} -> {})", a.text(), b.text()),
            Field::Universe => "(Type)".into(),
            Field::Proof => "True".into(),
        }
    }
    fn mentions(&self) -> bool {
        match self {
            Field::T => true,
            Field::Nat | Field::Universe | Field::Proof => false,
            Field::List(a) => a.mentions(),
            Field::Pair(a, b) | Field::Arrow(a, b) => a.mentions() || b.mentions(),
        }
    }
    fn positive(&self) -> bool {
        match self {
            Field::T | Field::Nat | Field::Universe | Field::Proof => true,
            Field::List(a) => a.positive(),
            Field::Pair(a, b) => a.positive() && b.positive(),
            Field::Arrow(a, b) => !a.mentions() && b.positive(),
        }
    }
    /// Is it a type in `Type`? `None`: it is ill-typed, for lists and pairs are of types in `Type`.
    fn small(&self) -> Option<bool> {
        Some(match self {
            Field::T | Field::Nat | Field::Proof => true,
            Field::Universe => false,
            Field::List(a) => a.element()?,
            Field::Pair(a, b) => a.element()? && b.element()?,
            Field::Arrow(a, b) => {
                // A product into a proposition is one, however big its domain is.
                let (a, c) = (a.small()?, b.small()?);
                b.is_proof() || (a && c)
            }
        })
    }
    fn is_proof(&self) -> bool {
        match self {
            Field::Proof => true,
            Field::Arrow(_, b) => b.is_proof(),
            _ => false,
        }
    }
    fn element(&self) -> Option<bool> {
        // `List.{0} True` is ill-typed: True is in Prop, not in Type.
        (self.small()? && !self.is_proof()).then_some(true)
    }
}

#[test]
fn inductive_types_are_allowed_if_and_only_if_they_are_positive_and_small() {
    let mut r = StdRng::seed_from_u64(2);
    let (mut allowed, mut refused) = (0, 0);
    for _ in 0..400 {
        let mut fields = Vec::new();
        for _ in 0..r.random_range(1..4) {
            fields.push(Field::random(&mut r, 3));
        }
        let ctor = fields.iter().fold(String::new(), |s, f| s + &f.text() + " -> ");
        let script = format!("inductive T : Type | T.base : T | T.mk : {ctor}T");
        let right = fields.iter().all(|f| f.small() == Some(true) && f.positive());
        let got = judge(&script);
        assert_eq!(got.is_ok(), right, "{script}: {got:?}");
        *(if right { &mut allowed } else { &mut refused }) += 1;
    }
    assert!(allowed > 40 && refused > 40, "{allowed} allowed, {refused} refused: the generator is one-sided");
}
