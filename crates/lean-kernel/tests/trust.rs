//! What is trusted and what is not: axioms, look-alikes of what the kernel knows, bases, statements.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use atlas_lean_kernel::Rule::{self, *};
use atlas_lean_kernel::{AllowedAxioms, Aspect, Declaration, DeclareError, Verdict, check, compare, digest};
use support::{World, parse, rule, table};

#[test]
fn axioms() {
    table(&[
        ("an axiom", "axiom a : True", Err(Axiom)),
        ("False with a standard name", "axiom propext : False", Err(Axiom)),
        (
            "the standard axiom's text, but not its Iff",
            "def Iff : Prop -> Prop -> Prop := fun (a b : Prop) => True axiom propext : (a b : Prop) -> Iff a b -> Eq.{1} Prop a b",
            Err(Axiom),
        ),
        ("a one-part name that prints like an axiom's", "axiom «Quot.sound» : False", Err(Axiom)),
        ("sorry", "axiom sorryAx.{u} : (α : Sort u) -> α theorem t : False := sorryAx.{0} False", Err(Axiom)),
    ]);
}

#[test]
fn a_listed_axiom_is_allowed_and_reported_through_what_uses_it() {
    let mut w = World::new().with("axiom choose : Nat def f : Nat := choose theorem t : Eq.{1} Nat f f := Eq.refl.{1} Nat f theorem s : True := True.intro");
    w.policy.axioms = AllowedAxioms::Listed(vec!["choose".to_owned()]);
    let Verdict::Accepted(a) = w.verdict() else { panic!("not accepted") };
    let of = |n: &str| a.declarations.iter().find(|d| d.name == n).unwrap().axioms.clone();
    assert_eq!(of("t"), ["choose"]);
    assert_eq!(of("f"), ["choose"]);
    assert!(of("s").is_empty());
}

#[test]
fn only_named_declarations_may_rest_on_sorry() {
    let script =
        "axiom sorryAx.{u} : (α : Sort u) -> α theorem t : False := sorryAx.{0} False theorem s : False := t";
    let mut w = World::new().with(script);
    w.policy.stated = vec!["sorryAx".to_owned(), "t".to_owned()];
    let v = w.verdict();
    assert!(matches!(&v, Verdict::Rejected(r) if r.declaration == "s" && r.rule == Axiom), "{v}");
    w.policy.stated.push("s".to_owned());
    let Verdict::Accepted(a) = w.verdict() else { panic!("not accepted") };
    assert_eq!(a.declarations.iter().filter(|d| d.is_unproved()).count(), 3);
}

/// On top of nothing.
fn alone(script: &str) -> Option<Rule> {
    let mut w = World::empty();
    match w.say(script) {
        Err(v) => rule(&v),
        Ok(()) => rule(&w.verdict()),
    }
}

#[test]
fn look_alikes_of_what_the_kernel_knows() {
    let eq = "inductive Eq.{u} 2 : (α : Sort u) -> α -> α -> Prop | Eq.refl : (α : Sort u) -> (a : α) -> Eq.{u} α a a";
    let nat = "inductive Nat : Type | Nat.zero : Nat | Nat.succ : Nat -> Nat";
    let quot = "quot type Quot.{u} : (α : Sort u) -> (α -> α -> Prop) -> Sort u";
    let mk = "quot ctor Quot.mk.{u} : (α : Sort u) -> (r : α -> α -> Prop) -> α -> Quot.{u} α r";
    let lift = "quot lift Quot.lift.{u, v} : (α : Sort u) -> (r : α -> α -> Prop) -> (β : Sort v) -> (f : α -> β) -> ((a b : α) -> r a b -> Eq.{v} β (f a) (f b)) -> Quot.{u} α r -> β";
    let ind = "quot ind Quot.ind.{u} : (α : Sort u) -> (r : α -> α -> Prop) -> (β : Quot.{u} α r -> Prop) -> ((a : α) -> β (Quot.mk.{u} α r a)) -> (q : Quot.{u} α r) -> β q";
    let cases: &[(&str, String, Option<Rule>)] = &[
        ("quotients", format!("{eq} {quot} {mk} {lift} {ind}"), None),
        ("a lift that need not respect", format!("{eq} {quot} {mk} {}", lift.replace("r a b -> Eq.{v} β (f a) (f b)", "r a b -> r a b")), Some(Quotient)),
        ("lift without equality", format!("{quot} {mk} {}", lift.replace("Eq.{v} β (f a) (f b)", "r a b")), Some(Quotient)),
        ("over an equality that always holds", format!("def Eq.{{u}} : (α : Sort u) -> α -> α -> Prop := fun (α : Sort u) (a b : α) => (p : Prop) -> p -> p {quot} {mk} {lift}"), Some(Quotient)),
        ("over an equality with one more constructor", format!("{} {quot} {mk} {lift}", eq.to_owned() + " | Eq.any : (α : Sort u) -> (a b : α) -> Eq.{u} α a b"), Some(Quotient)),
        ("mk over a definition", format!("{eq} def Quot.{{u}} : (α : Sort u) -> (α -> α -> Prop) -> Sort u := fun (α : Sort u) (r : α -> α -> Prop) => α {mk}"), Some(Quotient)),
        ("lift over an inductive mk", format!("{eq} inductive Quot.{{u}} 2 : (α : Sort u) -> (α -> α -> Prop) -> Sort (max u 1) | Quot.mk : (α : Sort u) -> (r : α -> α -> Prop) -> α -> Quot.{{u}} α r {lift}"), Some(Quotient)),
        ("ind with another name", format!("{quot} {mk} {}", ind.replace("Quot.ind", "Quot.end")), Some(Quotient)),
        ("ind into data", format!("{quot} {mk} {}", ind.replace("-> Prop) -> ((a", "-> Type) -> ((a")), Some(Quotient)),
        ("mk before Quot", mk.to_owned(), Some(UnknownConstant)),
        ("kinds swapped", format!("{eq} {quot} {mk} {}", lift.replace("quot lift", "quot ind")), Some(Quotient)),
        ("a literal without Nat", "inductive True : Prop | True.intro : True def n : True := 5".to_owned(), Some(Literal)),
        ("Nat with three constructors", "inductive Nat : Type | Nat.zero : Nat | Nat.succ : Nat -> Nat | Nat.more : Nat def n : Nat := 5".to_owned(), Some(Literal)),
        ("Nat with constructors swapped", "inductive Nat : Type | Nat.succ : Nat -> Nat | Nat.zero : Nat def n : Nat := 5".to_owned(), Some(Literal)),
        ("Nat without recursion", "inductive Bool : Type | Bool.t : Bool inductive Nat : Type | Nat.zero : Nat | Nat.succ : Bool -> Nat def n : Nat := 5".to_owned(), Some(Literal)),
        ("Nat a definition", "inductive N : Type | Nat.zero : N | Nat.succ : N -> N def Nat : Type := N def n : Nat := 5".to_owned(), Some(Literal)),
        ("Nat a proposition", "inductive Nat : Prop | Nat.zero : Nat | Nat.succ : Nat -> Nat def n : Nat := 5".to_owned(), None),
        ("a string without strings", format!("{nat} def s : Nat := \"a\""), Some(Literal)),
        ("addition that is multiplication by zero", format!("{nat} def Nat.add : Nat -> Nat -> Nat := fun (m n : Nat) => Nat.zero"), Some(Arithmetic)),
        ("addition that is subtraction", format!("{nat} def Nat.add : Nat -> Nat -> Nat := fun (m n : Nat) => m"), Some(Arithmetic)),
        ("addition as an axiom", format!("{nat} axiom Nat.add : Nat -> Nat -> Nat"), Some(Axiom)),
        ("addition, opaque", format!("{nat} opaque Nat.add : Nat -> Nat -> Nat := fun (m n : Nat) => m"), Some(Arithmetic)),
        ("addition of something else", "inductive B : Type | B.a : B def Nat.add : B -> B -> B := fun (m n : B) => m".to_owned(), Some(Arithmetic)),
        ("addition with universes", format!("{nat} def Nat.add.{{u}} : Nat -> Nat -> Nat := fun (m n : Nat) => m"), Some(Arithmetic)),
    ];
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|(name, script, want)| {
            let got = alone(script);
            (got != *want).then(|| format!("{name}: {got:?} instead of {want:?}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn comparison_needs_the_real_booleans() {
    // `Nat.beq` over a Bool whose constructors are the other way round must not be computed as if they were not.
    let prelude = support::PRELUDE
        .replace("Bool.false : Bool | Bool.true : Bool", "Bool.true : Bool | Bool.false : Bool");
    let mut w = World::empty();
    let v = match w.say(&prelude) {
        Err(v) => v,
        Ok(()) => {
            w.say("theorem t : Eq.{1} Bool (Nat.beq 3 4) Bool.true := Eq.refl.{1} Bool Bool.true").unwrap();
            w.verdict()
        }
    };
    assert!(!v.is_accepted(), "{v}");
}

/// If a literal meant `String.mk` until `String.ofList` comes, and that afterwards, the two could be proved equal.
#[test]
fn what_a_string_literal_means_does_not_change() {
    let before = support::PRELUDE.split("inductive String").next().unwrap();
    let script = format!(
        "{before}
        inductive String : Type | String.mk : List.{{0}} Char -> String
        theorem a : Eq.{{1}} String \"x\" (String.mk (List.cons.{{0}} Char (Char.ofNat 120) (List.nil.{{0}} Char))) := Eq.refl.{{1}} String \"x\"
        def String.ofList : List.{{0}} Char -> String := fun (l : List.{{0}} Char) => String.mk (List.nil.{{0}} Char)"
    );
    let mut w = World::empty().with(&script);
    assert!(w.verdict().is_accepted());
    w.say("theorem b : Eq.{1} String \"x\" (String.mk (List.nil.{0} Char)) := Eq.refl.{1} String \"x\"")
        .unwrap();
    assert_eq!(rule(&w.verdict()), Some(ValueType));
}

#[test]
fn names() {
    let mut w = World::new().with("def a : Nat := 1");
    let twice = parse("def a : Nat := 1")[0].declaration(&mut w.terms);
    assert!(matches!(w.declarations.add(&w.terms, twice), Err(DeclareError::Twice(n)) if n == "a"));
    let mut block = w.block("inductive N : Type | N.a : N");
    block.constructors[0].signature.name = block.types[0].signature.name;
    let d = Declaration::Inductive(block);
    assert!(matches!(w.declarations.add(&w.terms, d), Err(DeclareError::Twice(_))));
    let Declaration::Axiom(mut s) = parse("axiom b : True")[0].declaration(&mut w.terms) else { panic!() };
    s.name = w.terms.name_anonymous();
    assert!(matches!(w.declarations.add(&w.terms, Declaration::Axiom(s)), Err(DeclareError::Anonymous)));
}

#[test]
fn what_is_certified_is_a_base_for_more() {
    let mut w = World::new();
    let Verdict::Accepted(a) = w.verdict() else { panic!("not accepted") };
    let base = w.base.extend(&a.certified).unwrap();
    let mut over = World::over(&base).with("theorem t : Eq.{1} Nat (Nat.add 2 2) 4 := Eq.refl.{1} Nat 4");
    let Verdict::Accepted(b) = over.verdict() else { panic!("not accepted") };
    assert_eq!(b.declarations.len(), 1);
    let third = base.extend(&b.certified).unwrap();
    let mut more = World::over(&third).with("theorem s : Eq.{1} Nat (Nat.add 2 2) 4 := t");
    assert!(more.verdict().is_accepted());
    // Certified over one base says nothing about another.
    assert!(w.base.extend(&b.certified).is_none());
    assert!(third.extend(&b.certified).is_none());
}

#[test]
fn many_small_layers_stay_right() {
    let mut w = World::new();
    let Verdict::Accepted(a) = w.verdict() else { panic!("not accepted") };
    let mut base = w.base.extend(&a.certified).unwrap();
    for i in 0..40 {
        let last = if i == 0 { "0".to_owned() } else { format!("c{}", i - 1) };
        let mut w = World::over(&base).with(&format!("def c{i} : Nat := Nat.succ {last}"));
        let Verdict::Accepted(a) = w.verdict() else { panic!("not accepted") };
        base = base.extend(&a.certified).unwrap();
    }
    let mut w = World::over(&base).with("theorem t : Eq.{1} Nat c39 40 := Eq.refl.{1} Nat 40");
    assert!(w.verdict().is_accepted());
    let mut w = World::over(&base).with("theorem t : Eq.{1} Nat c39 39 := Eq.refl.{1} Nat 39");
    assert_eq!(rule(&w.verdict()), Some(ValueType));
}

#[test]
fn the_base_cannot_be_declared_anew() {
    let mut w = World::new();
    let Verdict::Accepted(a) = w.verdict() else { panic!("not accepted") };
    let base = w.base.extend(&a.certified).unwrap();
    let mut w = World::over(&base);
    let same = parse(
        "def Nat.pred : Nat -> Nat := fun (n : Nat) => Nat.rec.{1} (fun (n : Nat) => Nat) Nat.zero (fun (n ih : Nat) => n) n",
    );
    let d = same[0].declaration(&mut w.terms);
    let Declaration::Definition { signature, value, height } = d else { panic!() };
    assert!(
        w.declarations
            .add(&w.terms, Declaration::Definition { signature: signature.clone(), value, height })
            .is_ok()
    );
    let add = Declaration::Theorem { signature, value };
    assert!(
        matches!(w.declarations.add(&w.terms, add), Err(DeclareError::DiffersFromBase(n)) if n == "Nat.pred")
    );
    let d = parse("axiom Nat.add : False")[0].declaration(&mut w.terms);
    assert!(matches!(w.declarations.add(&w.terms, d), Err(DeclareError::DiffersFromBase(_))));
    let mut block = w.raw_block("inductive Nat : Type | Nat.other : Nat");
    block.recursors.clear();
    assert!(w.declarations.add(&w.terms, Declaration::Inductive(block)).is_err());
}

/// A solution to `asked` (a script over the prelude) that says `said`: how does it differ?
fn difference(asked: &str, said: &str, name: &str) -> Option<(String, Aspect)> {
    let mut w = World::new();
    let mut solution = w.declarations.clone();
    w.say(asked).unwrap();
    std::mem::swap(&mut w.declarations, &mut solution);
    let challenge = solution;
    w.say(said).unwrap();
    let name = w.name(name);
    let d = compare(&w.terms, &challenge, &w.declarations, name).err();
    // The digest covers what is compared.
    let same = digest(&w.terms, &challenge, name) == digest(&w.terms, &w.declarations, name);
    assert_eq!(d.is_none(), same, "{d:?}");
    d.map(|d| (d.constant, d.aspect))
}

#[test]
fn statements_are_compared_with_all_that_they_rest_on() {
    let asked = "def Even : Nat -> Prop := fun (n : Nat) => Exists.{1} Nat (fun (k : Nat) => Eq.{1} Nat n (Nat.add k k)) theorem t : Even 0 := Exists.intro.{1} Nat (fun (k : Nat) => Eq.{1} Nat 0 (Nat.add k k)) 0 (Eq.refl.{1} Nat 0)";
    let same =
        asked.replace("fun (n : Nat) => Exists", "fun (m : Nat) => Exists").replace("Nat n (", "Nat m (");
    assert_eq!(difference(asked, &same, "t"), None, "names of bound variables do not count");
    let helper = format!("theorem h : True := True.intro {asked}");
    assert_eq!(difference(asked, &helper, "t"), None, "helpers do not count");
    let other = "def Even : Nat -> Prop := fun (n : Nat) => True theorem t : Even 0 := True.intro";
    assert_eq!(difference(asked, other, "t"), Some(("Even".into(), Aspect::Value)));
    let weaker = asked.replace("theorem t : Even 0", "theorem t : Even (Nat.mul 0 1)");
    assert_eq!(difference(asked, &weaker, "t"), Some(("t".into(), Aspect::Type)));
    let opaque = asked.replace("def Even", "opaque Even").split("theorem").next().unwrap().to_owned()
        + "axiom t : Even 0";
    assert_eq!(difference(asked, &opaque, "t"), Some(("t".into(), Aspect::Kind)));
    let gone = "theorem s : True := True.intro";
    assert_eq!(difference(asked, gone, "t"), Some(("t".into(), Aspect::Missing)));
    assert_eq!(difference(gone, asked, "t"), Some(("t".into(), Aspect::NotAsked)));
}

#[test]
fn blocks_and_universes_are_compared() {
    let asked = "inductive P : Nat -> Prop | P.a : P 0 theorem t : P 0 := P.a";
    let more = "inductive P : Nat -> Prop | P.a : P 0 | P.b : (n : Nat) -> P n theorem t : P 0 := P.b 0";
    assert!(matches!(difference(asked, more, "t"), Some((n, Aspect::Block)) if n.starts_with('P')));
    let u = "theorem t.{u} : (α : Sort u) -> True := fun (α : Sort u) => True.intro";
    let v = "theorem t.{v} : (α : Sort v) -> True := fun (α : Sort v) => True.intro";
    assert_eq!(difference(u, v, "t"), Some(("t".into(), Aspect::UniverseParameters)));
    let def = "def d : Nat := 5";
    assert_eq!(difference(def, "def d : Nat := 6", "d"), Some(("d".into(), Aspect::Value)));
    assert_eq!(difference(def, def, "d"), None);
    let opaque = "opaque d : Nat := 5";
    assert_eq!(difference(opaque, "opaque d : Nat := 6", "d"), Some(("d".into(), Aspect::Value)));
}

#[test]
fn terms_and_declarations_of_different_bases_give_no_verdict() {
    let mut w = World::new();
    let other = World::new();
    let v = check(&mut w.terms, &other.declarations, &w.policy, &w.limits);
    assert!(matches!(v, Verdict::Undecided(_)), "{v}");
}

#[test]
fn the_first_wrong_declaration_is_named_on_any_number_of_threads() {
    let mut script = String::new();
    for i in 0..200 {
        let value = if i % 50 == 30 { "Nat.zero" } else { "True.intro" };
        script += &format!("theorem t{i} : True := {value}\n");
    }
    for threads in [1, 2, 3, 8] {
        let mut w = World::new().with(&script);
        w.limits.threads = threads.try_into().unwrap();
        let v = w.verdict();
        assert!(matches!(&v, Verdict::Rejected(r) if r.declaration == "t30"), "{v}");
    }
}
