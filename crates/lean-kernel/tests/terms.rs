//! Typing, reduction and definitional equality: right and wrong uses of each rule.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use atlas_lean_kernel::Rule::*;
use support::{World, table};

#[test]
fn the_prelude_is_accepted() {
    let v = World::new().verdict();
    assert!(v.is_accepted(), "{v}");
}

#[test]
fn universes() {
    table(&[
        ("Prop : Type", "def a : Type := Prop", Ok(())),
        ("Sort u : Sort (u+1)", "def a.{u} : Sort (u+1) := Sort u", Ok(())),
        ("no universe contains itself", "def a.{u} : Sort u := Sort u", Err(ValueType)),
        ("Type : Type", "def a : Type := Type", Err(ValueType)),
        ("Sort (max u v) is symmetric", "def a.{u, v} : Sort ((max u v)+1) := Sort (max v u)", Ok(())),
        ("imax u 0 = 0", "def a.{u} : Type := Sort (imax u 0)", Ok(())),
        ("imax 0 u = u", "def a.{u} : Sort (u+1) := Sort (imax 0 u)", Ok(())),
        ("imax u u = u", "def a.{u} : Sort (u+1) := Sort (imax u u)", Ok(())),
        (
            "imax u (v+1) = max u (v+1)",
            "def a.{u, v} : Sort ((max u (v+1))+1) := Sort (imax u (v+1))",
            Ok(()),
        ),
        ("imax u v is not u", "def a.{u, v} : Sort (u+1) := Sort (imax u v)", Err(ValueType)),
        ("imax u v is not max u v", "def a.{u, v} : Sort ((max u v)+1) := Sort (imax u v)", Err(ValueType)),
        ("imax (u+1) u is not u+1", "def a.{u} : Sort (u+2) := Sort (imax (u+1) u)", Err(ValueType)),
        ("max u 1 is not u", "def a.{u} : Sort (u+1) := Sort (max u 1)", Err(ValueType)),
        (
            "a product of propositions is one",
            "def a.{u} : Prop := (α : Sort u) -> (p : α -> Prop) -> (x : α) -> p x",
            Ok(()),
        ),
        ("a product of types is none", "def a.{u} : Prop := (p : Prop) -> Sort u", Err(ValueType)),
        ("undeclared universe", "def a : Type := Sort u", Err(UniverseParameter)),
        ("undeclared universe in a value", "def a : Prop := (x : Sort w) -> True", Err(UniverseParameter)),
        ("universe declared twice", "def a.{u, u} : Sort (u+1) := Sort u", Err(UniverseParameter)),
        ("too many universes", "def a : Prop := Eq.{1, 1} Nat 0 0", Err(UniverseArity)),
        ("too few universes", "def a : Prop := Eq Nat 0 0", Err(UniverseArity)),
        ("a theorem must be a proposition", "theorem t : Nat := Nat.zero", Err(TheoremNotProposition)),
        (
            "a theorem in Sort u is none",
            "theorem t.{u} : (α : Sort u) -> α -> α := fun (α : Sort u) (a : α) => a",
            Err(TheoremNotProposition),
        ),
        (
            "nor is one in Sort (imax 1 u)",
            "theorem t.{u} : (α : Sort (imax 1 u)) -> α -> α := fun (α : Sort (imax 1 u)) (a : α) => a",
            Err(TheoremNotProposition),
        ),
    ]);
}

#[test]
fn functions() {
    table(&[
        ("identity", "theorem t : (p : Prop) -> p -> p := fun (p : Prop) (h : p) => h", Ok(())),
        ("application of no function", "theorem t : True := True.intro True.intro", Err(Application)),
        (
            "argument of another type",
            "theorem t : True := (fun (p : False) => True.intro) True.intro",
            Err(Application),
        ),
        ("value of another type", "theorem t : False := True.intro", Err(ValueType)),
        ("binder of no type", "def f : Nat := (fun (x : Nat.zero) => Nat.zero) 0", Err(NotAType)),
        ("codomain of no type", "def f : Nat -> Nat.zero := fun (x : Nat) => x", Err(NotAType)),
        ("a type that is none", "opaque f : Nat.zero := Nat.zero", Err(NotAType)),
        ("β", "theorem t : (fun (p : Prop) => p) True := True.intro", Ok(())),
        ("β twice", "theorem t : (fun (p q : Prop) => q) False True := True.intro", Ok(())),
        (
            "β of the wrong variable",
            "theorem t : (fun (p q : Prop) => p) False True := True.intro",
            Err(ValueType),
        ),
        (
            "η",
            "theorem t : (f : Nat -> Nat) -> Eq.{1} (Nat -> Nat) f (fun (x : Nat) => f x) := fun (f : Nat -> Nat) => Eq.refl.{1} (Nat -> Nat) f",
            Ok(()),
        ),
        (
            "η is not x ↦ f (f x)",
            "theorem t : (f : Nat -> Nat) -> Eq.{1} (Nat -> Nat) f (fun (x : Nat) => f (f x)) := fun (f : Nat -> Nat) => Eq.refl.{1} (Nat -> Nat) f",
            Err(ValueType),
        ),
        ("ζ", "theorem t : True := let p : Prop := True; let h : p := True.intro; h", Ok(())),
        ("let with a wrong value", "theorem t : True := let h : False := True.intro; True.intro", Err(Let)),
        ("let of no type", "theorem t : True := let h : Nat.zero := 0; True.intro", Err(NotAType)),
        ("δ", "def P : Prop := True theorem t : P := True.intro", Ok(())),
        (
            "δ of a proof",
            "theorem P : True := True.intro theorem t : Eq.{0} True P True.intro := Eq.refl.{0} True P",
            Ok(()),
        ),
        (
            "opaque constants do not unfold",
            "opaque P : Prop := True theorem t : P := True.intro",
            Err(ValueType),
        ),
        ("axioms do not unfold", "axiom P : Prop theorem t : P := True.intro", Err(Axiom)),
        ("unknown constant", "theorem t : True := nowhere", Err(UnknownConstant)),
        ("itself", "theorem t : False := t", Err(UnknownConstant)),
        ("a later one", "theorem t : False := s theorem s : False := t", Err(UnknownConstant)),
    ]);
}

#[test]
fn proofs_are_irrelevant_and_data_is_not() {
    table(&[
        (
            "two proofs",
            "theorem t : (p : Prop) -> (a b : p) -> Eq.{0} p a b := fun (p : Prop) (a b : p) => Eq.refl.{0} p a",
            Ok(()),
        ),
        (
            "two proofs of different propositions",
            "theorem t : (p q : Prop) -> (a : p) -> (b : q) -> HEq.{0} p a q b := fun (p q : Prop) (a : p) (b : q) => HEq.refl.{0} p a",
            Err(ValueType),
        ),
        (
            "two numbers",
            "theorem t : (a b : Nat) -> Eq.{1} Nat a b := fun (a b : Nat) => Eq.refl.{1} Nat a",
            Err(ValueType),
        ),
        (
            "two things of Sort u",
            "theorem t.{u} : (α : Sort u) -> (a b : α) -> Eq.{u} α a b := fun (α : Sort u) (a b : α) => Eq.refl.{u} α a",
            Err(ValueType),
        ),
        (
            "two things of Sort (imax 1 u)",
            "theorem t.{u} : (α : Sort (imax 1 u)) -> (a b : α) -> Eq.{imax 1 u} α a b := fun (α : Sort (imax 1 u)) (a b : α) => Eq.refl.{imax 1 u} α a",
            Err(ValueType),
        ),
        (
            "two things of Sort (imax 1 0)",
            "theorem t : (α : Sort (imax 1 0)) -> (a b : α) -> Eq.{0} α a b := fun (α : Prop) (a b : α) => Eq.refl.{0} α a",
            Ok(()),
        ),
        (
            "two functions into proofs",
            "theorem t : (f g : Nat -> True) -> Eq.{0} (Nat -> True) f g := fun (f g : Nat -> True) => Eq.refl.{0} (Nat -> True) f",
            Ok(()),
        ),
        (
            "true is not false",
            "theorem t : Eq.{1} Bool Bool.true Bool.false := Eq.refl.{1} Bool Bool.true",
            Err(ValueType),
        ),
        ("True is not False", "theorem t : Eq.{1} Prop True False := Eq.refl.{1} Prop True", Err(ValueType)),
    ]);
}

#[test]
fn structures() {
    let pair = |p: &str| {
        format!(
            "theorem t : (x : Prod.{{0, 0}} Nat Nat) -> Eq.{{1}} (Prod.{{0, 0}} Nat Nat) x {p} := fun (x : Prod.{{0, 0}} Nat Nat) => Eq.refl.{{1}} (Prod.{{0, 0}} Nat Nat) x"
        )
    };
    let eta = pair("(Prod.mk.{0, 0} Nat Nat (Prod#0 x) (Prod#1 x))");
    let swapped = pair("(Prod.mk.{0, 0} Nat Nat (Prod#1 x) (Prod#0 x))");
    table(&[
        ("structure η", &eta, Ok(())),
        ("structure η, swapped", &swapped, Err(ValueType)),
        (
            "a unit has one value",
            "theorem t : (a b : Unit) -> Eq.{1} Unit a b := fun (a b : Unit) => Eq.refl.{1} Unit a",
            Ok(()),
        ),
        (
            "a number has not",
            "theorem t : (a b : Bool) -> Eq.{1} Bool a b := fun (a b : Bool) => Eq.refl.{1} Bool a",
            Err(ValueType),
        ),
        (
            "no η for a recursive type",
            "inductive W : Type | W.mk : W -> W theorem t : (x : W) -> Eq.{1} W x (W.mk (W#0 x)) := fun (x : W) => Eq.refl.{1} W x",
            Err(ValueType),
        ),
        (
            "no η with indices",
            "inductive V : Nat -> Type | V.mk : V 0 theorem t : (n : Nat) -> (a b : V n) -> Eq.{1} (V n) a b := fun (n : Nat) (a b : V n) => Eq.refl.{1} (V n) a",
            Err(ValueType),
        ),
        (
            "projection",
            "theorem t : Eq.{1} Nat (Prod#1 (Prod.mk.{0, 0} Nat Nat 3 4)) 4 := Eq.refl.{1} Nat 4",
            Ok(()),
        ),
        (
            "the other field",
            "theorem t : Eq.{1} Nat (Prod#0 (Prod.mk.{0, 0} Nat Nat 3 4)) 4 := Eq.refl.{1} Nat 4",
            Err(ValueType),
        ),
        (
            "dependent projection",
            "def f : (x : Sigma.{0, 0} Nat (fun (n : Nat) => Nat)) -> Nat := fun (x : Sigma.{0, 0} Nat (fun (n : Nat) => Nat)) => Sigma#1 x",
            Ok(()),
        ),
        (
            "a field that is not there",
            "def f : Prod.{0, 0} Nat Nat -> Nat := fun (x : Prod.{0, 0} Nat Nat) => Prod#2 x",
            Err(Projection),
        ),
        (
            "another structure's name",
            "def f : Prod.{0, 0} Nat Nat -> Nat := fun (x : Prod.{0, 0} Nat Nat) => Sigma#0 x",
            Err(Projection),
        ),
        (
            "of two constructors",
            "def f : Or True True -> True := fun (x : Or True True) => Or#0 x",
            Err(Projection),
        ),
        (
            "of no inductive type",
            "def f : (Nat -> Nat) -> Nat := fun (x : Nat -> Nat) => Prod#0 x",
            Err(Projection),
        ),
        (
            "proof out of a proof",
            "theorem t : (p q : Prop) -> And p q -> And q p := fun (p q : Prop) (h : And p q) => And.intro q p (And#1 h) (And#0 h)",
            Ok(()),
        ),
        (
            "data out of a proof",
            "def f : Exists.{1} Nat (fun (n : Nat) => True) -> Nat := fun (h : Exists.{1} Nat (fun (n : Nat) => True)) => Exists#0 h",
            Err(Projection),
        ),
        (
            "a proof about data in a proof",
            "theorem f : (h : Exists.{1} Nat (fun (n : Nat) => True)) -> True := fun (h : Exists.{1} Nat (fun (n : Nat) => True)) => (fun (x : True) => x) (Exists#1 h)",
            Err(Projection),
        ),
        (
            "a universe that may be Prop",
            "inductive E.{u} 1 : (α : Sort u) -> Sort u | E.mk : (α : Sort u) -> α -> E.{u} α def f.{u} : (α : Sort u) -> E.{u} α -> α := fun (α : Sort u) (x : E.{u} α) => E#0 x",
            Ok(()),
        ),
    ]);
}

#[test]
fn recursors_compute() {
    table(&[
        (
            "K",
            "theorem t : (h : Eq.{1} Nat 0 0) -> Eq.{1} Nat (Eq.rec.{1, 1} Nat 0 (fun (b : Nat) (h : Eq.{1} Nat 0 b) => Nat) 5 0 h) 5 := fun (h : Eq.{1} Nat 0 0) => Eq.refl.{1} Nat 5",
            Ok(()),
        ),
        (
            "not K: the indices differ",
            "theorem t : (n : Nat) -> (h : Eq.{1} Nat 0 n) -> Eq.{1} Nat (Eq.rec.{1, 1} Nat 0 (fun (b : Nat) (h : Eq.{1} Nat 0 b) => Nat) 5 n h) 5 := fun (n : Nat) (h : Eq.{1} Nat 0 n) => Eq.refl.{1} Nat 5",
            Err(ValueType),
        ),
        (
            "cast along a proof of α = α",
            "theorem t : (α : Type) -> (h : Eq.{2} (Type) α α) -> (a : α) -> Eq.{1} α (Eq.rec.{1, 2} (Type) α (fun (β : Type) (h : Eq.{2} (Type) α β) => β) a α h) a := fun (α : Type) (h : Eq.{2} (Type) α α) (a : α) => Eq.refl.{1} α a",
            Ok(()),
        ),
        (
            "a structure's recursor on a variable",
            "theorem t : (x : Prod.{0, 0} Nat Nat) -> Eq.{1} Nat (Prod.rec.{1, 0, 0} Nat Nat (fun (x : Prod.{0, 0} Nat Nat) => Nat) (fun (a b : Nat) => a) x) (Prod#0 x) := fun (x : Prod.{0, 0} Nat Nat) => Eq.refl.{1} Nat (Prod#0 x)",
            Ok(()),
        ),
        (
            "and not its other field",
            "theorem t : (x : Prod.{0, 0} Nat Nat) -> Eq.{1} Nat (Prod.rec.{1, 0, 0} Nat Nat (fun (x : Prod.{0, 0} Nat Nat) => Nat) (fun (a b : Nat) => b) x) (Prod#0 x) := fun (x : Prod.{0, 0} Nat Nat) => Eq.refl.{1} Nat (Prod#0 x)",
            Err(ValueType),
        ),
        (
            "no large elimination of Or",
            "def f : Or True True -> Nat := fun (h : Or True True) => Or.rec.{1} True True (fun (h : Or True True) => Nat) (fun (h : True) => 0) (fun (h : True) => 1) h",
            Err(UniverseArity),
        ),
        (
            "nor of Exists",
            "def f : Exists.{1} Nat (fun (n : Nat) => True) -> Nat := fun (h : Exists.{1} Nat (fun (n : Nat) => True)) => Exists.rec.{1, 1} Nat (fun (n : Nat) => True) (fun (h : Exists.{1} Nat (fun (n : Nat) => True)) => Nat) (fun (n : Nat) (h : True) => n) h",
            Err(UniverseArity),
        ),
        (
            "large elimination of False",
            "def f : False -> Nat := fun (h : False) => False.rec.{1} (fun (h : False) => Nat) h",
            Ok(()),
        ),
        (
            "of And",
            "def f : And True True -> Nat := fun (h : And True True) => And.rec.{1} True True (fun (h : And True True) => Nat) (fun (a b : True) => 7) h",
            Ok(()),
        ),
        (
            "quotient lift",
            "theorem t : Eq.{1} Nat (Quot.lift.{1, 1} Nat (fun (a b : Nat) => Eq.{1} Nat a b) Nat (fun (n : Nat) => n) (fun (a b : Nat) (h : Eq.{1} Nat a b) => h) (Quot.mk.{1} Nat (fun (a b : Nat) => Eq.{1} Nat a b) 3)) 3 := Eq.refl.{1} Nat 3",
            Ok(()),
        ),
        (
            "a lift that does not respect",
            "def f : Quot.{1} Nat (fun (a b : Nat) => True) -> Nat := Quot.lift.{1, 1} Nat (fun (a b : Nat) => True) Nat (fun (n : Nat) => n) (fun (a b : Nat) (h : True) => Eq.refl.{1} Nat a)",
            Err(Application),
        ),
    ]);
}

#[test]
fn numbers() {
    let eq = |a: &str, b: &str| format!("theorem t : Eq.{{1}} Nat ({a}) ({b}) := Eq.refl.{{1}} Nat ({b})");
    let right = [
        ("2 + 2", "Nat.add 2 2", "4"),
        ("big sum", "Nat.add 18446744073709551615 1", "18446744073709551616"),
        (
            "big product",
            "Nat.mul 18446744073709551616 18446744073709551616",
            "340282366920938463463374607431768211456",
        ),
        ("power", "Nat.pow 2 200", "1606938044258990275541962092341162602522202993782792835301376"),
        ("0 ^ 0", "Nat.pow 0 0", "1"),
        ("truncated difference", "Nat.sub 3 5", "0"),
        ("successor of a literal", "Nat.succ 41", "42"),
        ("zero is 0", "Nat.zero", "0"),
        ("one is 1", "Nat.succ Nat.zero", "1"),
    ];
    let wrong = [
        ("2⁶⁴ is not 0", "18446744073709551616", "0"),
        ("2⁶⁴ - 1 + 1 is not 0", "Nat.add 18446744073709551615 1", "0"),
        ("2³² is not 0", "4294967296", "Nat.zero"),
        ("2 + 2 is not 5", "Nat.add 2 2", "5"),
        ("3 - 5 is not -2 mod 2⁶⁴", "Nat.sub 3 5", "18446744073709551614"),
    ];
    let cases: Vec<_> = right
        .iter()
        .map(|(n, a, b)| (*n, eq(a, b), Ok(())))
        .chain(wrong.iter().map(|(n, a, b)| (*n, eq(a, b), Err(ValueType))))
        .collect();
    let cases: Vec<_> = cases.iter().map(|(n, s, r)| (*n, s.as_str(), *r)).collect();
    table(&cases);
    table(&[
        (
            "x + 0 = x",
            "theorem t : (x : Nat) -> Eq.{1} Nat (Nat.add x 0) x := fun (x : Nat) => Eq.refl.{1} Nat x",
            Ok(()),
        ),
        (
            "0 + x = x needs induction",
            "theorem t : (x : Nat) -> Eq.{1} Nat (Nat.add 0 x) x := fun (x : Nat) => Eq.refl.{1} Nat x",
            Err(ValueType),
        ),
        (
            "x + 2 is a successor",
            "theorem t : (x : Nat) -> Eq.{1} Nat (Nat.add x 2) (Nat.succ (Nat.add x 1)) := fun (x : Nat) => Eq.refl.{1} Nat (Nat.add x 2)",
            Ok(()),
        ),
        (
            "recursion on a literal",
            "theorem t : Eq.{1} Nat (Nat.rec.{1} (fun (n : Nat) => Nat) 5 (fun (n ih : Nat) => n) 7) 6 := Eq.refl.{1} Nat 6",
            Ok(()),
        ),
        (
            "comparison",
            "theorem t : Eq.{1} Bool (Nat.ble 3 340282366920938463463374607431768211456) Bool.true := Eq.refl.{1} Bool Bool.true",
            Ok(()),
        ),
        (
            "wrong comparison",
            "theorem t : Eq.{1} Bool (Nat.beq 3 4) Bool.true := Eq.refl.{1} Bool Bool.true",
            Err(ValueType),
        ),
    ]);
}

#[test]
fn strings() {
    table(&[
        (
            "a literal is a list of characters",
            "theorem t : Eq.{1} String \"ab\" (String.ofList (List.cons.{0} Char (Char.ofNat 97) (List.cons.{0} Char (Char.ofNat 98) (List.nil.{0} Char)))) := Eq.refl.{1} String \"ab\"",
            Ok(()),
        ),
        (
            "of these characters",
            "theorem t : Eq.{1} String \"ab\" (String.ofList (List.cons.{0} Char (Char.ofNat 98) (List.cons.{0} Char (Char.ofNat 97) (List.nil.{0} Char)))) := Eq.refl.{1} String \"ab\"",
            Err(ValueType),
        ),
        ("two literals", "theorem t : Eq.{1} String \"a\" \"b\" := Eq.refl.{1} String \"a\"", Err(ValueType)),
        ("no number", "def s : Nat := \"5\"", Err(ValueType)),
    ]);
}
