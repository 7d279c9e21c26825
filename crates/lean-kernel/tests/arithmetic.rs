//! The definitions that are pinned are what their names say: unfolded, they agree with big-number arithmetic; and nothing else is
//! computed for an untrusted file.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use std::fs::File;
use std::io::BufReader;

use atlas_lean_kernel::ndjson::{Bounds, Reader};
use atlas_lean_kernel::{
    AllowedAxioms, Base, Declaration, Declarations, Limits, Policy, Signature, Terms, Verdict, check,
};

fn library() -> (Terms, Declarations) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/arithmetic.ndjson");
    let mut reader = Reader::new(&Base::empty(), &Bounds::default());
    reader.read(&mut BufReader::new(File::open(path).unwrap())).unwrap();
    reader.finish()
}

fn any() -> Policy {
    Policy { axioms: AllowedAxioms::Any, ..Policy::default() }
}

/// Adds a theorem `f a b = c` (or `f a = c`) by `rfl`.
fn claim(t: &mut Terms, ds: &mut Declarations, name: &str, f: &str, args: &[u64], value: u64) {
    let mut constant = |path: &str| {
        let n = t.name_path(path).unwrap();
        t.expr_const(n, &[]).unwrap()
    };
    let (f, nat) = (constant(f), constant("Nat"));
    let lhs = args.iter().fold(f, |f, a| {
        let a = t.expr_nat((*a).into()).unwrap();
        t.expr_app(f, a).unwrap()
    });
    let one = t.level_succ(t.level_zero()).unwrap();
    let rhs = t.expr_nat(value.into()).unwrap();
    let mut apply = |path: &str, args: &[atlas_lean_kernel::ExprId]| {
        let n = t.name_path(path).unwrap();
        let c = t.expr_const(n, &[one]).unwrap();
        args.iter().fold(c, |f, a| t.expr_app(f, *a).unwrap())
    };
    let ty = apply("Eq", &[nat, lhs, rhs]);
    let value = apply("Eq.refl", &[nat, rhs]);
    let name = t.name_path(name).unwrap();
    ds.add(t, Declaration::Theorem { signature: Signature { name, universe_params: vec![], ty }, value })
        .unwrap();
}

/// The same definition under another name, which is unfolded and never computed.
fn copy(t: &mut Terms, ds: &mut Declarations, of: &str, name: &str) {
    let of = t.name_path(of).unwrap();
    let Some(Declaration::Definition { mut signature, value, height }) = ds.get(of) else {
        panic!("no definition")
    };
    signature.name = t.name_path(name).unwrap();
    ds.add(t, Declaration::Definition { signature, value, height }).unwrap();
}

fn expected(op: &str, args: &[u64]) -> u64 {
    match (op, args) {
        ("Nat.div", [_, 0]) => 0,
        ("Nat.div", [a, b]) => a / b,
        ("Nat.mod", [a, 0]) => *a,
        ("Nat.mod", [a, b]) => a % b,
        ("Nat.log2", [0]) => 0,
        ("Nat.log2", [a]) => u64::from(a.ilog2()),
        ("Nat.shiftLeft", [a, b]) => a << b,
        ("Nat.shiftRight", [a, b]) => a >> b,
        ("Nat.sub", [a, b]) => a.saturating_sub(*b),
        ("Nat.pow", [a, b]) => a.pow(*b as u32),
        _ => panic!("{op}"),
    }
}

const OPS: [(&str, usize); 7] = [
    ("Nat.div", 2),
    ("Nat.mod", 2),
    ("Nat.log2", 1),
    ("Nat.shiftLeft", 2),
    ("Nat.shiftRight", 2),
    ("Nat.sub", 2),
    ("Nat.pow", 2),
];

#[test]
fn unfolding_agrees_with_computing() {
    let (mut t, mut ds) = library();
    for (op, arity) in OPS {
        let mine = format!("Mine.{op}");
        copy(&mut t, &mut ds, op, &mine);
        for a in 0..14u64 {
            for b in if arity == 2 { 0..6u64 } else { 0..1 } {
                let args = &[a, b][..arity];
                let v = expected(op, args);
                claim(&mut t, &mut ds, &format!("unfolded.{op}.a{a}.b{b}"), &mine, args, v);
                claim(&mut t, &mut ds, &format!("computed.{op}.a{a}.b{b}"), op, args, v);
            }
        }
    }
    let v = check(&mut t, &ds, &any(), &Limits::default());
    assert!(v.is_accepted(), "{v}");
}

#[test]
fn wrong_results_are_refused() {
    for (op, arity) in OPS {
        for (a, b) in [(13, 4), (7, 0), (0, 3), (5, 5)] {
            let (mut t, mut ds) = library();
            let args = &[a, b][..arity];
            claim(&mut t, &mut ds, "wrong", op, args, expected(op, args) + 1);
            let v = check(&mut t, &ds, &any(), &Limits::default());
            assert!(matches!(&v, Verdict::Rejected(r) if r.declaration == "wrong"), "{op} {args:?}: {v}");
        }
    }
}

/// Big numbers show that the operations are computed and not unfolded.
#[test]
fn pinned_definitions_are_computed() {
    let (mut t, mut ds) = library();
    let big = 1u64 << 60;
    for (name, op, args, value) in [
        ("a", "Nat.div", &[big + 5, 3][..], (big + 5) / 3),
        ("b", "Nat.mod", &[big + 5, 1_000_003], (big + 5) % 1_000_003),
        ("c", "Nat.log2", &[big + 5], 60),
        ("d", "Nat.shiftRight", &[big, 50], 1 << 10),
        ("e", "Nat.shiftLeft", &[1, 60], big),
    ] {
        claim(&mut t, &mut ds, name, op, args, value);
    }
    let limits = Limits { steps: 2_000_000, ..Limits::default() };
    let v = check(&mut t, &ds, &any(), &limits);
    assert!(v.is_accepted(), "{v}");
    // A copy is not: it runs out of steps, or of depth.
    copy(&mut t, &mut ds, "Nat.div", "Mine.div");
    claim(&mut t, &mut ds, "f", "Mine.div", &[big + 5, 3], (big + 5) / 3);
    let v = check(&mut t, &ds, &any(), &limits);
    assert!(matches!(v, Verdict::Undecided(_)), "{v}");
}

/// A definition under the name of division that is something else is unfolded like any other: what it says holds, not what the name says.
#[test]
fn another_division_is_what_it_says() {
    let script = "def Nat.div : Nat -> Nat -> Nat := fun (m n : Nat) => m";
    let eq = |n: u32| format!("theorem t : Eq.{{1}} Nat (Nat.div 8 2) {n} := Eq.refl.{{1}} Nat {n}");
    assert!(support::World::new().with(script).with(&eq(8)).verdict().is_accepted());
    assert!(!support::World::new().with(script).with(&eq(4)).verdict().is_accepted());
    // The same for what has no pinned definition.
    let script = "def Nat.gcd : Nat -> Nat -> Nat := fun (m n : Nat) => m";
    let eq = |n: u32| format!("theorem t : Eq.{{1}} Nat (Nat.gcd 8 6) {n} := Eq.refl.{{1}} Nat {n}");
    assert!(support::World::new().with(script).with(&eq(8)).verdict().is_accepted());
    assert!(!support::World::new().with(script).with(&eq(2)).verdict().is_accepted());
}
