//! The judge on declarations as text: what it works out, what it refuses, where kernels contradict each other.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../lean-kernel/tests/support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atlas_judge::{
    Bound, Facts, Ground, Groundless, Judge, Judged, Kind, LibraryFacts, Settled, Spoken, Wanted, Word,
    settle,
};
use atlas_lean_kernel::{Declarations, NameId, Terms, ndjson};
use sha2::{Digest as _, Sha256};
use support::World;

/// What stands behind the toolchain's names beyond the kernel tests' prelude.
const AXIOMS: &str = "
    axiom sorryAx.{u} : (α : Sort u) -> α
    axiom propext : (a b : Prop) -> (a -> b) -> (b -> a) -> Eq.{2} Prop a b
    axiom Lean.ofReduceBool : (a b : Bool) -> Eq.{1} Bool a b
    def Not : Prop -> Prop := fun (p : Prop) => p -> False
    axiom compiled : Eq.{1} Bool Bool.true Bool.true
    def pick : Nat -> Nat := fun (n : Nat) => Eq.rec.{1, 2} Prop True (fun (p : Prop) (h : Eq.{2} Prop True p) => Nat) n True
      (propext True True (fun (h : True) => h) (fun (h : True) => h))
";

fn write(terms: &Terms, declarations: &Declarations) -> Vec<u8> {
    let names: Vec<NameId> = declarations.names().collect();
    let mut text = Vec::new();
    ndjson::write(terms, declarations, &names, &mut text).unwrap();
    text
}

/// A module's text, as it leaves a guest: without what it rests on.
fn export(script: &str) -> Vec<u8> {
    let world = World::empty().with(script);
    write(&world.terms, &world.declarations)
}

/// A judge, the toolchain that it is given, and what has been certified.
struct Court {
    judge: Judge,
    toolchain: Arc<[u8]>,
    frozen: Option<Arc<[u8]>>,
    certified: BTreeMap<String, Arc<[u8]>>,
    ground: Ground,
}

impl Court {
    fn new() -> Self {
        let world = World::new().with(AXIOMS);
        let ground = Ground { identity: "test".into(), toolchain: vec![], exports: vec![] };
        Self {
            judge: Judge::default(),
            toolchain: write(&world.terms, &world.declarations).into(),
            frozen: None,
            certified: BTreeMap::new(),
            ground,
        }
    }

    fn examine(&self, export: &[u8], bound: &Bound) -> Result<Judged, Groundless> {
        let mut fetch = |wanted: Wanted<'_>| match wanted {
            Wanted::Frozen(_) => self.frozen.clone().ok_or_else(|| "nothing is frozen".to_owned()),
            Wanted::Toolchain(_) => Ok(self.toolchain.clone()),
            Wanted::Export(digest) => {
                self.certified.get(digest).cloned().ok_or_else(|| format!("{digest} is not there"))
            }
        };
        self.judge.examine(&self.ground, export, &BTreeSet::new(), bound, &mut fetch)
    }

    fn judge(&self, script: &str) -> Judged {
        self.examine(&export(script), &Bound::default()).unwrap()
    }

    /// Certifies a module: what is judged from here on rests on it.
    fn certify(&mut self, script: &str) -> Judged {
        let judged = self.judge(script);
        assert!(passes(&judged), "{judged:?}");
        let text = export(script);
        let digest = hex::encode(Sha256::digest(&text));
        self.certified.insert(digest.clone(), text.into());
        self.ground.exports.push(digest);
        judged
    }
}

fn passes(judged: &Judged) -> bool {
    judged.refusals.is_empty()
        && judged.incident.is_none()
        && matches!(judged.kernel.word, Word::Accepted { .. })
}

fn fact<'a>(judged: &'a Judged, name: &str) -> &'a Facts {
    judged
        .declarations
        .iter()
        .find(|facts| facts.name == name)
        .unwrap_or_else(|| panic!("{name}: {judged:?}"))
}

const EVEN: &str = "
    def N.Even : Nat -> Prop := fun (n : Nat) => Exists.{1} Nat (fun (k : Nat) => Eq.{1} Nat n (Nat.add k k))
    theorem N.zero : N.Even 0 := Exists.intro.{1} Nat (fun (k : Nat) => Eq.{1} Nat 0 (Nat.add k k)) 0 (Eq.refl.{1} Nat 0)
    theorem N.open : N.Even 2 := sorryAx.{0} (N.Even 2)
";
const ABOVE: &str =
    "theorem N.both : And (N.Even 0) (N.Even 2) := And.intro (N.Even 0) (N.Even 2) N.zero N.open";

#[test]
fn facts_come_from_the_text_over_what_was_certified() {
    let mut court = Court::new();
    let below = court.certify(EVEN);
    assert_eq!(fact(&below, "N.Even").kind, Kind::Definition);
    assert_eq!(fact(&below, "N.zero").statement_constants, ["N.Even"]);
    assert_eq!(fact(&below, "N.open").sorry_from, ["N.open"]);
    let above = court.certify(ABOVE);
    let both = fact(&above, "N.both");
    assert_eq!(both.proof_constants, ["N.open", "N.zero"]);
    assert_eq!(
        (both.axioms.as_slice(), both.sorry_from.as_slice()),
        (&["sorryAx".to_owned()][..], &["N.open".to_owned()][..])
    );
    assert!(both.statement_sorry_from.is_empty());
    // The toolchain's theorems come without proofs, but what its definitions rest on is seen.
    let axioms = |script: &str| fact(&court.judge(script), "N.c").axioms.clone();
    assert!(axioms("theorem N.c : Eq.{1} Bool Bool.true Bool.true := compiled").is_empty());
    assert_eq!(axioms("def N.c : Nat := pick 0"), ["propext"]);
}

/// The facts as they are worked out where nothing of the toolchain has been read: for agents.
fn elaborated(script: &str) -> BTreeMap<String, Facts> {
    let World { mut terms, declarations, .. } = World::empty().with(script);
    let names: Vec<NameId> = declarations.names().collect();
    let mut library = LibraryFacts::new(&mut terms, &declarations, None).unwrap();
    let facts = names.into_iter().map(|name| library.facts(name).unwrap().unwrap());
    facts.map(|facts| (facts.name.clone(), facts)).collect()
}

#[test]
fn a_statement_has_one_hash_whether_agents_or_the_judge_look() {
    let mut court = Court::new();
    let (below, above) = (court.certify(EVEN), court.certify(ABOVE));
    let told = elaborated(&format!("{EVEN} {ABOVE}"));
    for facts in below.declarations.iter().chain(&above.declarations) {
        assert_eq!(told[&facts.name], *facts);
    }
    // What a certified definition says is part of the hash of what rests on it, and so is what a split-off part says, but not its name.
    let mut other = Court::new();
    other.certify(&EVEN.replace("Nat.add k k", "Nat.add k (Nat.add k 0)"));
    assert_ne!(fact(&other.judge(ABOVE), "N.both").statement_hash, fact(&above, "N.both").statement_hash);
    let split = |name: &str, of: &str| {
        format!(
            "def N.{name}.match_1 : Nat -> Nat := fun (n : Nat) => {of} theorem N.t : Eq.{{1}} Nat (N.{name}.match_1 1) (N.{name}.match_1 1) := Eq.refl.{{1}} Nat (N.{name}.match_1 1)"
        )
    };
    let hash = |script: &str| elaborated(script)["N.t"].statement_hash.clone();
    assert_eq!(hash(&split("a", "n")), hash(&split("b", "n")));
    assert_ne!(hash(&split("a", "n")), hash(&split("a", "2")));
    // Such a name hides neither what an inductive type says nor that two opaque constants are two.
    let hash = |script: &str| {
        let World { mut terms, declarations, .. } = World::new().with(script);
        let name = terms.name_path("N.t").unwrap();
        let mut library = LibraryFacts::new(&mut terms, &declarations, None).unwrap();
        library.facts(name).unwrap().unwrap().statement_hash
    };
    let hidden = |premise: &str| {
        hash(&format!(
            "inductive N._T : Prop | N._T.mk : {premise} -> N._T theorem N.t : N._T -> True := fun (h : N._T) => True.intro"
        ))
    };
    assert_ne!(hidden("False"), hidden("True"));
    let opaque = |other: &str| {
        let equal = format!("Eq.{{1}} Nat N._c {other}");
        hash(&format!(
            "axiom sorryAx.{{u}} : (α : Sort u) -> α opaque N._c : Nat := 0 opaque N._d : Nat := 0 theorem N.t : {equal} := sorryAx.{{0}} ({equal})"
        ))
    };
    assert_ne!(opaque("N._c"), opaque("N._d"));
    // The negation.
    let negated = elaborated("theorem N.x : Eq.{1} Nat 0 1 := sorryAx.{0} (Eq.{1} Nat 0 1)");
    let refuted = elaborated("theorem N.y : Not (Eq.{1} Nat 0 1) := sorryAx.{0} (Not (Eq.{1} Nat 0 1))");
    assert_eq!(negated["N.x"].negation_hash, refuted["N.y"].statement_hash);
}

#[test]
fn what_no_library_may_have_is_refused_whatever_the_guest_says() {
    let mut court = Court::new();
    court.certify(EVEN);
    for (script, declaration, why) in [
        ("axiom N.x : False", "N.x", "declares no axioms"),
        ("axiom N.x : False theorem N.y : False := N.x", "N.y", "rests on the axiom `N.x`"),
        (
            "theorem N.x : Eq.{1} Bool Bool.true Bool.false := Lean.ofReduceBool Bool.true Bool.false",
            "N.x",
            "the axiom `Lean.ofReduceBool`",
        ),
        // Nobody would name it: looked at all the same.
        (
            "theorem _private.N.x : Eq.{1} Bool Bool.true Bool.false := Lean.ofReduceBool Bool.true Bool.false",
            "_private.N.x",
            "the axiom `Lean.ofReduceBool`",
        ),
        ("def String.mk : Nat := 0", "String.mk", "a meaning of its own"),
    ] {
        let judged = court.judge(script);
        let named = judged.refusals.iter().any(|no| no.declaration == declaration && no.why.contains(why));
        assert!(named && judged.incident.is_none(), "{script}: {judged:?}");
    }
    // A name that is taken is taken, be it the toolchain's or the library's; the same to the letter may stand there again.
    for script in
        ["def Nat.add : Nat -> Nat -> Nat := fun (m n : Nat) => m", "theorem N.zero : True := True.intro"]
    {
        let judged = court.judge(script);
        let Word::Undecided { reason, .. } = &judged.kernel.word else { panic!("{script}: {judged:?}") };
        assert!(reason.contains("differs from the declaration that the base has"), "{reason}");
    }
    assert!(passes(&court.judge(EVEN)));
    // Of a theorem that Lean derived twice the first proof stays: another one adds nothing, be it none at all.
    let again = court
        .judge("theorem N.zero : N.Even 0 := sorryAx.{0} (N.Even 0) theorem N.again : N.Even 0 := N.zero");
    assert!(passes(&again) && fact(&again, "N.again").axioms.is_empty());
    assert!(again.declarations.iter().all(|facts| facts.name != "N.zero"), "it is not this module's");
}

/// Lean's kernel, as it would claim.
fn lean() -> Spoken {
    Spoken { kernel: "Lean".into(), word: Word::Accepted { declarations: 1, milliseconds: 1 } }
}

#[test]
fn a_false_proof_that_leans_kernel_lets_through_is_an_incident_and_one_that_takes_too_long_is_none() {
    let court = Court::new();
    let judged = court.judge("theorem N.x : Eq.{1} Nat 1 2 := Eq.refl.{1} Nat 1");
    let Settled::Incident(incident) = settle(&[lean(), judged.kernel]) else { panic!() };
    assert!(
        incident.declaration == "N.x" && incident.why.contains("rejects what Lean accepts"),
        "{incident:?}"
    );
    let slow = export("theorem N.x : Eq.{1} Nat (Nat.mul 7 8) 56 := Eq.refl.{1} Nat 56");
    let judged = court.examine(&slow, &Bound { steps: 3, ..Bound::default() }).unwrap();
    let Settled::Refused(refused) = settle(&[lean(), judged.kernel]) else { panic!() };
    assert!(refused[0].why.contains("comes to no verdict: too many steps"), "{refused:?}");
}

#[test]
fn text_that_is_none_and_ground_that_is_damaged_pass_nothing() {
    let mut court = Court::new();
    court.certify(EVEN);
    let text = export(ABOVE);
    for cut in [0, 1, text.len() / 2, text.len() - 1] {
        let judged = court.examine(&text[..cut], &Bound::default()).unwrap();
        assert!(matches!(judged.kernel.word, Word::Undecided { .. }) && judged.declarations.is_empty());
    }
    let few = Bound { nodes: 10, ..Bound::default() };
    assert!(matches!(court.examine(&text, &few).unwrap().kernel.word, Word::Undecided { .. }));
    // A judge that has not loaded the base yet believes no text that is not what its name says.
    let digest = court.ground.exports[0].clone();
    let fresh = |text: Option<Vec<u8>>| {
        let mut other = Court { ground: court.ground.clone(), ..Court::new() };
        other.certified.extend(text.map(|text| (digest.clone(), text.into())));
        other.examine(&export(ABOVE), &Bound::default())
    };
    assert!(passes(&fresh(Some(export(EVEN))).unwrap()));
    let forged = fresh(Some(export(&EVEN.replace("sorryAx.{0} (N.Even 2)", "N.zero")))).unwrap_err();
    assert!(forged.to_string().contains("another digest"), "{forged}");
    assert!(fresh(None).unwrap_err().to_string().contains("is not there"));
}

#[test]
fn a_frozen_toolchain_gives_the_same_verdicts_and_a_damaged_one_is_read_from_its_text() {
    let mut court = Court::new();
    assert_eq!(court.judge.frozen(&court.ground), None, "nothing has been loaded");
    let untimed = |mut judged: Judged| {
        if let Word::Accepted { milliseconds, .. } = &mut judged.kernel.word {
            *milliseconds = 0;
        }
        judged
    };
    let first = untimed(court.certify(EVEN));
    let frozen = court.judge.frozen(&court.ground).unwrap();
    // No text at hand: what the verdict rests on can only be what was frozen.
    let thawed = Court { frozen: Some(frozen.clone().into()), toolchain: [].into(), ..Court::new() };
    assert_eq!(untimed(thawed.judge(EVEN)), first);
    let mut damaged = frozen;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    let again = Court { frozen: Some(damaged.into()), ..Court::new() };
    assert_eq!(untimed(again.judge(EVEN)), first);
}
