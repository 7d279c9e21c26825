//! Inputs that are made to cost too much end, and end without a verdict.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use atlas_lean_kernel::{Declaration, ExprId, Limit, Limits, Signature, TermError, Terms, Verdict};
use support::World;

fn limit(v: &Verdict) -> Option<Limit> {
    match v {
        Verdict::Undecided(u) => Some(u.limit),
        _ => None,
    }
}

fn theorem(w: &mut World, ty: ExprId, value: ExprId) {
    let name = w.name("t");
    w.add(Declaration::Theorem { signature: Signature { name, universe_params: vec![], ty }, value });
}

/// `e` applied `n` times: `fun (x : Prop) => x` of … of `p`, as deep as one likes.
fn nested_identity(t: &mut Terms, p: ExprId, n: u32) -> Result<ExprId, TermError> {
    let zero = t.level_zero();
    let prop = t.expr_sort(zero)?;
    let x = t.expr_bvar(0)?;
    let id = t.expr_lam(prop, x)?;
    (0..n).try_fold(p, |e, _| t.expr_app(id, e))
}

#[test]
fn deep_terms_are_refused_or_checked_without_overflow() {
    let mut w = World::new();
    let name = w.name("True");
    let p = w.terms.expr_const(name, &[]).unwrap();
    // Refused when it is made.
    assert_eq!(nested_identity(&mut w.terms, p, 450_000), Err(TermError::Limit(Limit::TermDepth)));
    // As deep as is allowed: the checker's recursion runs out first, on the stack that it has.
    let mut w = World::new();
    let name = w.name("True.intro");
    let proof = w.terms.expr_const(name, &[]).unwrap();
    let name = w.name("True");
    let p = w.terms.expr_const(name, &[]).unwrap();
    let deep = nested_identity(&mut w.terms, p, 99_000).unwrap();
    theorem(&mut w, deep, proof);
    assert_eq!(limit(&w.verdict()), Some(Limit::Depth));
    let mut w = World::new();
    let name = w.name("True.intro");
    let proof = w.terms.expr_const(name, &[]).unwrap();
    let name = w.name("True");
    let p = w.terms.expr_const(name, &[]).unwrap();
    let deep = nested_identity(&mut w.terms, p, 20_000).unwrap();
    theorem(&mut w, deep, proof);
    let v = w.verdict();
    assert!(v.is_accepted(), "{v}");
}

#[test]
fn deep_binders_do_not_overflow() {
    let mut w = World::new();
    let name = w.name("True");
    let p = w.terms.expr_const(name, &[]).unwrap();
    let name = w.name("True.intro");
    let mut value = w.terms.expr_const(name, &[]).unwrap();
    let mut ty = p;
    for _ in 0..2_000 {
        ty = w.terms.expr_pi(p, ty).unwrap();
        value = w.terms.expr_lam(p, value).unwrap();
    }
    theorem(&mut w, ty, value);
    let v = w.verdict();
    assert!(v.is_accepted(), "{v}");
}

/// A graph of 2,000 nodes that is a tree of 2²⁰⁰⁰.
#[test]
fn shared_terms_are_not_walked_as_trees() {
    let mut w = World::new();
    let and = w.name("And");
    let and = w.terms.expr_const(and, &[]).unwrap();
    let intro = w.name("And.intro");
    let intro = w.terms.expr_const(intro, &[]).unwrap();
    let name = w.name("True");
    let mut ty = w.terms.expr_const(name, &[]).unwrap();
    let name = w.name("True.intro");
    let mut value = w.terms.expr_const(name, &[]).unwrap();
    for _ in 0..2_000 {
        let of = |t: &mut Terms, f, args: &[ExprId]| args.iter().fold(f, |f, a| t.expr_app(f, *a).unwrap());
        value = of(&mut w.terms, intro, &[ty, ty, value, value]);
        ty = of(&mut w.terms, and, &[ty, ty]);
    }
    theorem(&mut w, ty, value);
    let v = w.verdict();
    assert!(v.is_accepted(), "{v}");
}

/// Under binders, so that each level of the graph is instantiated anew.
#[test]
fn shared_terms_under_binders_are_bounded() {
    let mut w = World::new();
    w.limits.steps = 20_000_000;
    let zero = w.terms.level_zero();
    let prop = w.terms.expr_sort(zero).unwrap();
    let mut e = w.terms.expr_bvar(0).unwrap();
    for _ in 0..3_000 {
        let inner = w.terms.expr_pi(prop, e).unwrap();
        e = w.terms.expr_pi(inner, e).unwrap();
    }
    let ty = w.terms.expr_pi(prop, e).unwrap();
    theorem(&mut w, ty, ty);
    let v = w.verdict();
    assert!(!v.is_accepted(), "{v}");
}

#[test]
fn exploding_numbers() {
    let cases = [
        ("Nat.pow 2 100000000000", Limit::NumberSize),
        ("Nat.pow (Nat.pow 2 1000000) 1000000", Limit::NumberSize),
        ("Nat.mul (Nat.pow 2 60000000) (Nat.pow 2 60000000)", Limit::NumberSize),
    ];
    for (n, want) in cases {
        let mut w = World::new().with(&format!("theorem t : Eq.{{1}} Nat ({n}) 0 := Eq.refl.{{1}} Nat 0"));
        assert_eq!(limit(&w.verdict()), Some(want), "{n}");
    }
    let mut w = World::new();
    w.limits.bits = 1000;
    w.say("theorem t : Eq.{1} Nat (Nat.pow 2 999) (Nat.pow 2 999) := Eq.refl.{1} Nat (Nat.pow 2 999)")
        .unwrap();
    assert!(w.verdict().is_accepted());
    w.say("theorem s : Eq.{1} Nat (Nat.pow 2 1001) (Nat.pow 2 1000) := Eq.refl.{1} Nat (Nat.pow 2 1000)")
        .unwrap();
    assert_eq!(limit(&w.verdict()), Some(Limit::NumberSize));
}

#[test]
fn a_long_computation_runs_out_of_steps() {
    let slow = "theorem t : Eq.{1} Nat (Nat.rec.{1} (fun (n : Nat) => Nat) 0 (fun (n ih : Nat) => ih) 1000000000) 0 := Eq.refl.{1} Nat 0";
    let mut w = World::new().with(slow);
    w.limits = Limits { steps: 1_000_000, ..Limits::default() };
    assert_eq!(limit(&w.verdict()), Some(Limit::Steps));
    w.limits = Limits { total_steps: 1_000_000, ..Limits::default() };
    assert_eq!(limit(&w.verdict()), Some(Limit::Steps));
    w.limits = Limits { terms: 10_000, ..Limits::default() };
    assert_eq!(limit(&w.verdict()), Some(Limit::Terms));
}

/// A wrong declaration is wrong whatever else is undecided.
#[test]
fn rejected_goes_before_undecided() {
    let slow = "theorem t : Eq.{1} Nat (Nat.rec.{1} (fun (n : Nat) => Nat) 0 (fun (n ih : Nat) => ih) 1000000000) 0 := Eq.refl.{1} Nat 0 theorem f : False := True.intro";
    let mut w = World::new().with(slow);
    w.limits.steps = 1_000_000;
    assert!(matches!(w.verdict(), Verdict::Rejected(r) if r.declaration == "f"));
}

#[test]
fn universe_levels_with_too_many_cases() {
    let mut w = World::new();
    let levels: Vec<_> = (0..40)
        .map(|i| {
            let n = w.name(&format!("u{i}"));
            (n, w.terms.level_param(n).unwrap())
        })
        .collect();
    // imax towers over forty parameters, in two orders: equal by no cheap argument.
    let tower = |t: &mut Terms, ls: &[atlas_lean_kernel::LevelId]| {
        ls.iter().fold(t.level_zero(), |l, u| {
            let l = t.level_imax(*u, l).unwrap();
            let l = t.level_max(l, *u).unwrap();
            t.level_imax(l, *u).unwrap()
        })
    };
    let mut ls: Vec<_> = levels.iter().map(|l| l.1).collect();
    let a = tower(&mut w.terms, &ls);
    ls.reverse();
    let b = tower(&mut w.terms, &ls);
    let a = w.terms.expr_sort(a).unwrap();
    let b1 = w.terms.level_succ(b).unwrap();
    let ty = w.terms.expr_sort(b1).unwrap();
    let name = w.name("t");
    let universe_params = levels.iter().map(|l| l.0).collect();
    let signature = Signature { name, universe_params, ty };
    w.add(Declaration::Opaque { signature, value: a });
    let started = std::time::Instant::now();
    let v = w.verdict();
    assert!(!v.is_accepted(), "{v}");
    assert!(started.elapsed().as_secs() < 30);
}
