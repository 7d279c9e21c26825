//! Inductive types: which blocks are allowed, and that nothing but their own recursors is.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use atlas_lean_kernel::Rule::{self, *};
use atlas_lean_kernel::{Declaration, Inductive, Terms, Verdict};
use support::{World, rule, table};

#[test]
fn blocks() {
    table(&[
        (
            "tree",
            "inductive T.{u} 1 : Type u -> Type u | T.leaf : (α : Type u) -> T.{u} α | T.node : (α : Type u) -> T.{u} α -> α -> T.{u} α -> T.{u} α",
            Ok(()),
        ),
        (
            "functions into it",
            "inductive W 2 : (A : Type) -> (A -> Type) -> Type | W.sup : (A : Type) -> (B : A -> Type) -> (a : A) -> (B a -> W A B) -> W A B",
            Ok(()),
        ),
        (
            "indices",
            "inductive V.{u} 1 : Type u -> Nat -> Type u | V.nil : (α : Type u) -> V.{u} α 0 | V.cons : (α : Type u) -> (n : Nat) -> α -> V.{u} α n -> V.{u} α (Nat.succ n)",
            Ok(()),
        ),
        (
            "mutual",
            "inductive Ev : Nat -> Prop | Ev.zero : Ev 0 | Ev.succ : (n : Nat) -> Od n -> Ev (Nat.succ n) and Od : Nat -> Prop | Od.succ : (n : Nat) -> Ev n -> Od (Nat.succ n)",
            Ok(()),
        ),
        (
            "nested",
            "inductive R.{u} 1 : Type u -> Type u | R.mk : (α : Type u) -> α -> List.{u} (R.{u} α) -> R.{u} α",
            Ok(()),
        ),
        (
            "nested in two types",
            "inductive R : Type | R.mk : List.{0} (List.{0} R) -> Prod.{0, 0} R Nat -> R",
            Ok(()),
        ),
        ("nested in a list of lists", "inductive R : Type | R.mk : List.{0} (List.{0} R) -> R", Ok(())),
        (
            "nested and mutual",
            "inductive A : Type | A.mk : List.{0} B -> A and B : Type | B.mk : List.{0} A -> B",
            Ok(()),
        ),
        (
            "accessibility",
            "inductive Ac.{u} 2 : (α : Sort u) -> (r : α -> α -> Prop) -> α -> Prop | Ac.intro : (α : Sort u) -> (r : α -> α -> Prop) -> (x : α) -> ((y : α) -> r y x -> Ac.{u} α r y) -> Ac.{u} α r x",
            Ok(()),
        ),
        ("no constructor", "inductive E.{u} : Sort u", Ok(())),
        ("the type in its own type", "inductive T : T -> Type", Err(UnknownConstant)),
        ("ends in no sort", "inductive T : Nat", Err(InductiveType)),
        ("too few parameters", "inductive T 2 : Type -> Type", Err(InductiveType)),
        (
            "mutual, other parameters",
            "inductive A 1 : Type -> Type and B 1 : Prop -> Type",
            Err(InductiveType),
        ),
        ("mutual, other universes", "inductive A : Type and B : Prop", Err(InductiveType)),
        ("result is another type", "inductive T : Type | T.mk : Nat", Err(Constructor)),
        (
            "result at other parameters",
            "inductive T 1 : Type -> Type | T.mk : (α : Type) -> T Nat",
            Err(Constructor),
        ),
        (
            "parameters of another type",
            "inductive T 1 : Type -> Type | T.mk : (n : Nat) -> T Nat",
            Err(Constructor),
        ),
        (
            "result at other universes",
            "inductive T.{u} 1 : Type u -> Type 1 | T.mk : (α : Type u) -> T.{0} Nat",
            Err(Constructor),
        ),
        ("the type in its own index", "inductive T : Type -> Type 1 | T.mk : T (T Nat)", Err(Application)),
        (
            "the type in an index of a field",
            "inductive T : Prop -> Prop | T.mk : T (T True) -> T True",
            Err(Positivity),
        ),
        ("undeclared universe", "inductive T : Type | T.mk : Sort u -> T", Err(UniverseParameter)),
    ]);
}

#[test]
fn positivity() {
    table(&[
        ("Russell", "inductive T : Type | T.mk : (T -> False) -> T", Err(Positivity)),
        ("in Prop too", "inductive T : Prop | T.mk : (T -> False) -> T", Err(Positivity)),
        ("positive, not strictly", "inductive T : Type | T.mk : ((T -> Bool) -> Bool) -> T", Err(Positivity)),
        (
            "behind a definition",
            "def Not : Type -> Prop := fun (α : Type) => α -> False inductive T : Type | T.mk : Not T -> T",
            Err(Positivity),
        ),
        (
            "a definition that forgets it",
            "def K : Type -> Prop := fun (α : Type) => True inductive T : Type | T.mk : K T -> T",
            Ok(()),
        ),
        (
            "as a definition's argument that is used rightly",
            "def I : Type -> Type := fun (α : Type) => α inductive T : Type | T.mk : I T -> T",
            Ok(()),
        ),
        (
            "mutual, negative through the other",
            "inductive A : Type | A.mk : (B -> False) -> A and B : Type | B.mk : A -> B",
            Err(Positivity),
        ),
        (
            "nested in what uses its parameter negatively",
            "inductive N 1 : Type -> Type | N.mk : (α : Type) -> (α -> False) -> N α inductive T : Type | T.mk : N T -> T",
            Err(Positivity),
        ),
        (
            "nested in what uses it twice negatively",
            "inductive N 1 : Type -> Type | N.mk : (α : Type) -> ((α -> Bool) -> Bool) -> N α inductive T : Type | T.mk : N T -> T",
            Err(Positivity),
        ),
        (
            "nested at an index",
            "inductive N : Type -> Type 1 | N.mk : (α : Type) -> α -> N α inductive T : Type 1 | T.mk : N (T -> False) -> T",
            Err(Application),
        ),
        (
            "nested in an index",
            "inductive N : Type -> Type 1 | N.mk : (α : Type) -> N α inductive T : Type 1 | T.mk : (N Nat -> T) -> T",
            Ok(()),
        ),
        (
            "functions into what is nested",
            "inductive T : Type | T.mk : ((n : Nat) -> List.{0} (Prod.{0, 0} T Nat)) -> T",
            Ok(()),
        ),
        (
            "nested whose parameters are local",
            "inductive P 1 : Nat -> Type | P.mk : (n : Nat) -> P n inductive Q 2 : Type -> Nat -> Type | Q.mk : (α : Type) -> (n : Nat) -> α -> Q α n inductive T : Type | T.mk : (n : Nat) -> Q T n -> T",
            Err(Nested),
        ),
        (
            "under a quotient",
            "inductive T : Type | T.mk : Quot.{1} T (fun (a b : T) => True) -> T",
            Err(Positivity),
        ),
        ("about a value of it", "inductive T : Type | T.mk : (x : T) -> Eq.{1} T x x -> T", Err(Nested)),
    ]);
}

#[test]
fn universes_of_fields() {
    table(&[
        ("Type in Type", "inductive T : Type | T.mk : Type -> T", Err(FieldUniverse)),
        ("Type in Type 1", "inductive T : Type 1 | T.mk : Type -> T", Ok(())),
        ("anything in Prop", "inductive T : Prop | T.mk : Type 5 -> T", Ok(())),
        ("Sort u in Sort u", "inductive T.{u} : Sort u | T.mk : Sort u -> T.{u}", Err(FieldUniverse)),
        ("Nat in Sort u", "inductive T.{u} : Sort u | T.mk : Nat -> T.{u}", Err(FieldUniverse)),
        ("Nat in Sort (max u 1)", "inductive T.{u} : Sort (max u 1) | T.mk : Nat -> T.{u}", Ok(())),
        (
            "Nat in Sort (imax 1 u)",
            "inductive T.{u} : Sort (imax 1 u) | T.mk : Nat -> T.{u}",
            Err(FieldUniverse),
        ),
        (
            "max u v is needed",
            "inductive T.{u, v} 2 : Type u -> Type v -> Type u | T.mk : (α : Type u) -> (β : Type v) -> α -> β -> T.{u, v} α β",
            Err(FieldUniverse),
        ),
        (
            "a type in an Exists of its own",
            "inductive T : Type | T.mk : (Exists.{2} (Type) (fun (α : Type) => True)) -> T",
            Ok(()),
        ),
        (
            "nested, too big",
            "inductive B 1 : Type -> Type 1 | B.mk : (α : Type) -> α -> B α inductive T : Type | T.mk : B T -> T",
            Err(InductiveType),
        ),
    ]);
}

#[test]
fn large_elimination() {
    // `into data` asks for a recursor with a universe of its own.
    let rec = |block: &str, args: &str| format!("{block} def f : {args}");
    let t = |block: &str, f: &str| rec(block, f);
    let two = t(
        "inductive P : Prop | P.a : P | P.b : P",
        "P -> Nat := fun (h : P) => P.rec.{1} (fun (h : P) => Nat) 0 1 h",
    );
    let data = t(
        "inductive P : Prop | P.a : Nat -> P",
        "P -> Nat := fun (h : P) => P.rec.{1} (fun (h : P) => Nat) (fun (n : Nat) => n) h",
    );
    let proof = t(
        "inductive P : Prop | P.a : True -> P",
        "P -> Nat := fun (h : P) => P.rec.{1} (fun (h : P) => Nat) (fun (h : True) => 5) h",
    );
    let index = t(
        "inductive P : Nat -> Prop | P.a : (n : Nat) -> P n",
        "P 3 -> Nat := fun (h : P 3) => P.rec.{1} (fun (n : Nat) (h : P n) => Nat) (fun (n : Nat) => n) 3 h",
    );
    let succ = t(
        "inductive P : Nat -> Prop | P.a : (n : Nat) -> P (Nat.succ n)",
        "P 3 -> Nat := fun (h : P 3) => P.rec.{1} (fun (n : Nat) (h : P n) => Nat) (fun (n : Nat) => n) 3 h",
    );
    let maybe = t(
        "inductive P.{u} : Sort u | P.a : P.{u} | P.b : P.{u}",
        "P.{0} -> Nat := fun (h : P.{0}) => P.rec.{1, 0} (fun (h : P.{0}) => Nat) 0 1 h",
    );
    let mutual = t(
        "inductive P : Prop | P.a : P and Q : Prop | Q.a : Q",
        "P -> Nat := fun (h : P) => P.rec.{1} (fun (h : P) => Nat) (fun (h : Q) => Nat) 0 0 h",
    );
    let never = t(
        "inductive P.{u} : Type u | P.a : P.{u} | P.b : P.{u}",
        "P.{0} -> Nat := fun (h : P.{0}) => P.rec.{1, 0} (fun (h : P.{0}) => Nat) 0 1 h",
    );
    table(&[
        ("two constructors", &two, Err(UniverseArity)),
        ("data", &data, Err(UniverseArity)),
        ("a proof", &proof, Ok(())),
        ("data that is an index", &index, Ok(())),
        ("data that an index only mentions", &succ, Err(UniverseArity)),
        ("a universe that may be Prop", &maybe, Err(UniverseArity)),
        ("mutual propositions", &mutual, Err(UniverseArity)),
        ("a universe that is never Prop", &never, Ok(())),
    ]);
}

/// Completes a block, lets `spoil` change it, and checks it.
fn spoiled(script: &str, spoil: impl FnOnce(&mut Terms, &mut Inductive)) -> Verdict {
    let mut w = World::new();
    let mut block = w.block(script);
    spoil(&mut w.terms, &mut block);
    w.add(Declaration::Inductive(block));
    w.verdict()
}

const NAT2: &str = "inductive N : Type | N.z : N | N.s : N -> N";
const TREE: &str = "inductive R : Type | R.mk : List.{0} R -> R";
const EQ2: &str = "inductive E 1 : Nat -> Nat -> Prop | E.r : (a : Nat) -> E a a";
const PAIR: &str = "inductive P : Type | P.mk : Nat -> Nat -> P";

#[test]
fn recursors_are_made_anew() {
    type Spoil = fn(&mut Terms, &mut Inductive);
    let cases: &[(&str, &str, Spoil, Option<Rule>)] = &[
        ("untouched", NAT2, |_, _| {}, None),
        ("untouched, nested", TREE, |_, _| {}, None),
        ("order does not matter", TREE, |_, b| b.recursors.reverse(), None),
        ("no recursor", NAT2, |_, b| b.recursors.clear(), Some(Recursor)),
        (
            "one too many",
            NAT2,
            |t, b| {
                let mut r = b.recursors[0].clone();
                r.signature.name = t.name_path("N.other").unwrap();
                b.recursors.push(r);
            },
            Some(Recursor),
        ),
        (
            "another name",
            NAT2,
            |t, b| b.recursors[0].signature.name = t.name_path("N.rek").unwrap(),
            Some(Recursor),
        ),
        ("rules swapped", NAT2, |_, b| b.recursors[0].rules.swap(0, 1), Some(RecursorRule)),
        (
            "values swapped",
            NAT2,
            |_, b| {
                let rules = &mut b.recursors[0].rules;
                (rules[0].value, rules[1].value) = (rules[1].value, rules[0].value);
            },
            Some(RecursorRule),
        ),
        ("a rule missing", NAT2, |_, b| b.recursors[0].rules.truncate(1), Some(Recursor)),
        ("a rule twice", NAT2, |_, b| b.recursors[0].rules[1] = b.recursors[0].rules[0], Some(RecursorRule)),
        ("fields in a rule", NAT2, |_, b| b.recursors[0].rules[1].num_fields = 0, Some(RecursorRule)),
        (
            "a rule of another type",
            NAT2,
            |t, b| b.recursors[0].rules[0].constructor = t.name_path("Nat.zero").unwrap(),
            Some(RecursorRule),
        ),
        (
            "type of another recursor",
            NAT2,
            |t, b| {
                let level = t.level_zero();
                b.recursors[0].signature.ty = t.expr_sort(level).unwrap();
            },
            Some(Recursor),
        ),
        (
            "nested: values swapped",
            TREE,
            |_, b| {
                let r = b.recursors.iter_mut().find(|r| r.rules.len() == 2).unwrap();
                (r.rules[0].value, r.rules[1].value) = (r.rules[1].value, r.rules[0].value);
            },
            Some(RecursorRule),
        ),
        ("nested: auxiliary recursor missing", TREE, |_, b| drop(b.recursors.pop()), Some(Recursor)),
        ("K where there is none", NAT2, |_, b| b.recursors[0].k = true, Some(Recursor)),
        ("K denied", EQ2, |_, b| b.recursors[0].k = false, Some(Recursor)),
        ("K of a structure", PAIR, |_, b| b.recursors[0].k = true, Some(Recursor)),
        ("number of motives", NAT2, |_, b| b.recursors[0].num_motives = 2, Some(Recursor)),
        ("number of minor premises", NAT2, |_, b| b.recursors[0].num_minors = 1, Some(Recursor)),
        ("number of indices", EQ2, |_, b| b.recursors[0].num_indices = 0, Some(Recursor)),
        ("number of parameters", EQ2, |_, b| b.recursors[0].num_params = 0, Some(Recursor)),
        (
            "no universe of its own",
            NAT2,
            |_, b| b.recursors[0].signature.universe_params.clear(),
            Some(Recursor),
        ),
        (
            "a universe twice",
            NAT2,
            |_, b| {
                let ps = &mut b.recursors[0].signature.universe_params;
                ps.push(ps[0]);
            },
            Some(UniverseParameter),
        ),
        ("recursive, denied", NAT2, |_, b| b.types[0].is_recursive = false, Some(InductiveType)),
        ("recursive, claimed", PAIR, |_, b| b.types[0].is_recursive = true, Some(InductiveType)),
        ("reflexive, claimed", NAT2, |_, b| b.types[0].is_reflexive = true, Some(InductiveType)),
        ("nested, claimed", NAT2, |_, b| b.types[0].num_nested = 1, Some(InductiveType)),
        ("nested, denied", TREE, |_, b| b.types[0].num_nested = 0, Some(InductiveType)),
        ("indices of the type", EQ2, |_, b| b.types[0].num_indices = 0, Some(InductiveType)),
        ("fields of a constructor", PAIR, |_, b| b.constructors[0].num_fields = 1, Some(Constructor)),
        ("index of a constructor", NAT2, |_, b| b.constructors[1].index = 0, Some(Constructor)),
        ("parameters of a constructor", EQ2, |_, b| b.constructors[0].num_params = 0, Some(Constructor)),
        (
            "a constructor of another type",
            NAT2,
            |t, b| b.constructors[0].inductive = t.name_path("Nat").unwrap(),
            Some(Constructor),
        ),
        ("a constructor missing", NAT2, |_, b| drop(b.constructors.pop()), Some(Constructor)),
        ("a constructor not listed", NAT2, |_, b| b.types[0].constructors.truncate(1), Some(Constructor)),
        ("constructors swapped", NAT2, |_, b| b.constructors.swap(0, 1), Some(Constructor)),
        (
            "block of others",
            NAT2,
            |t, b| b.types[0].all.push(t.name_path("Nat").unwrap()),
            Some(InductiveType),
        ),
        ("recursor's block of others", NAT2, |_, b| b.recursors[0].all.clear(), Some(Recursor)),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, script, spoil, want)| {
            let v = spoiled(script, spoil);
            let ok = if want.is_none() { v.is_accepted() } else { rule(&v) == *want };
            (!ok).then(|| format!("{name}: {v}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A recursor that computes the wrong thing on one constructor proves `False`: this is what the comparison is for.
#[test]
fn a_wrong_rule_would_prove_false() {
    let v = spoiled(NAT2, |t, b| {
        // N.rec z s (N.s n) ⟶ z, as if every number was zero.
        b.recursors[0].rules[1].value = {
            let rules = b.recursors[0].rules.clone();
            let n = t.name_path("N").unwrap();
            let n = t.expr_const(n, &[]).unwrap();
            // fun motive z s (n : N) => …: the rule for N.z has no field, so it is put under one more binder.
            let (mut domains, mut body) = (Vec::new(), rules[0].value);
            while let atlas_lean_kernel::Expr::Lam(d, rest) = t.get(body) {
                domains.push(d);
                body = rest;
            }
            let one = t.expr_bvar(2).unwrap();
            let mut value = t.expr_lam(n, one).unwrap();
            for d in domains.into_iter().rev() {
                value = t.expr_lam(d, value).unwrap();
            }
            value
        };
    });
    assert_eq!(rule(&v), Some(RecursorRule), "{v}");
}
