//! The embedded Lean on real sources. Needs the image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use atlas_lean::{Embedded, Toolchain as _};
use atlas_proto::{
    CheckLevel, CheckReply, CheckRequest, Expectation, Focus, LookupRequest, Outcome, Position, Severity,
};
use common::{certify, elaborate, fact, lean, library, messages, module};

const PARITY: &str = "\
namespace N
def Even (n : Nat) : Prop := ∃ k, n = k + k
theorem even_add (m n : Nat) (hm : Even m) (hn : Even n) : Even (m + n) := by
  obtain ⟨a, ha⟩ := hm
  obtain ⟨b, hb⟩ := hn
  exact ⟨a + b, by omega⟩
def sumTo : Nat → Nat
  | 0 => 0
  | n + 1 => sumTo n + (n + 1)
theorem sumTo_eq (n : Nat) : 2 * sumTo n = n * (n + 1) := by
  induction n with
  | zero => simp [sumTo]
  | succ n ih => simp [sumTo]; grind
end N
";

#[test]
fn a_module_is_elaborated_certified_described_and_remembered() {
    let lean = lean();
    let request = certify(vec![module("N.Parity", PARITY)]);
    let reply = lean.check(&request);
    assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    let even_add = fact(&reply, "N.even_add");
    assert_eq!((even_add.kind.as_str(), even_add.module.as_str()), ("theorem", "N.Parity"));
    assert!(even_add.statement.contains("Even (m + n)"), "{}", even_add.statement);
    assert_eq!(even_add.statement_constants, ["N.Even"]);
    assert!(even_add.axioms.iter().all(|a| atlas_lean::ALLOWED_AXIOMS.contains(&a.as_str())));
    assert!(!even_add.uses_sorry && even_add.statement_hash.len() == 64);
    assert_eq!(fact(&reply, "N.sumTo").kind, "def");
    assert!(reply.declarations.iter().all(|d| !d.name.contains("match_") && !d.name.contains("_proof")));
    let again = lean.check(&request);
    assert!(again.cached && !reply.cached);
    assert_eq!(again.declarations, reply.declarations);
}

#[test]
fn modules_import_each_other_and_rest_on_each_other() {
    let lean = lean();
    let sums = "namespace N\ntheorem even_double (n : Nat) : Even (n + n) := ⟨n, rfl⟩\ntheorem even_quad (n : Nat) : Even (n + n + (n + n)) := even_add _ _ (even_double n) (even_double n)\nend N\n";
    let modules = library(&[
        ("N.Parity", &[], PARITY),
        ("N.Sums", &["N.Parity"], sums),
        ("N.Top", &["N.Sums"], "theorem N.top : N.Even 4 := N.even_quad 1\n"),
    ]);
    let mut request = certify(modules);
    request.expectations =
        vec![Expectation { declaration: "N.top".into(), target: "top".into(), ..Expectation::default() }];
    let reply = lean.check(&request);
    assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    assert_eq!(fact(&reply, "N.top").proof_constants, ["N.even_quad"]);
    assert_eq!(fact(&reply, "N.even_quad").statement_constants, ["N.Even"]);
    // A snippet sees what it imports, and not the other's names.
    let snippet = CheckRequest {
        level: CheckLevel::Elaborated.into(),
        snippet: Some("#check N.even_quad\nexample : N.Even 8 := N.even_quad 2\ntheorem x : N.Even 3 := by exact ⟨1, rfl⟩".into()),
        check: vec!["N.Sums".into()],
        ..request
    };
    let reply = lean.check(&snippet);
    assert_eq!(reply.outcome(), Outcome::Rejected);
    assert!(
        reply
            .diagnostics
            .iter()
            .any(|d| d.module == "snippet" && d.start.unwrap().line == 3 && d.severity() == Severity::Error),
        "{reply:#?}"
    );
}

#[test]
fn what_lean_derives_in_two_modules_is_one_declaration_for_a_third() {
    // Equations and induction principles of `sumTo` are made where they are first needed: here, in both modules above it.
    let left = "theorem N.l (n : Nat) : N.sumTo n ≥ 0 ∧ N.sumTo 2 = 3 := by simp [N.sumTo]\n\
                theorem N.i (n : Nat) : N.sumTo n = N.sumTo n := by fun_induction N.sumTo n <;> rfl\n";
    let right = "theorem N.r (n : Nat) (h : n = n) : N.sumTo 3 = 6 := by simp [N.sumTo]\n\
                 theorem N.j (n : Nat) : N.sumTo n = N.sumTo n := by unfold N.sumTo; rfl\n\
                 theorem N.k (n : Nat) : N.sumTo n + 0 = N.sumTo n := by fun_induction N.sumTo n <;> rfl\n";
    let modules = library(&[
        ("N.Parity", &[], PARITY),
        ("N.Left", &["N.Parity"], left),
        ("N.Right", &["N.Parity"], right),
        (
            "N.Both",
            &["N.Left", "N.Right"],
            "theorem N.both : N.sumTo 3 = 6 ∧ N.sumTo 2 = 3 := ⟨N.r 0 rfl, (N.l 0).2⟩\n",
        ),
    ]);
    let reply = lean().check(&certify(modules));
    assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    assert_eq!(reply.receipts.len(), 4);
}

const NOTATION: &str = "\
namespace N
def star (a b : Nat) : Nat := a * b + 1
infixl:65 \" ⋆ \" => star
scoped notation \"‖\" x \"‖\" => Nat.succ x
syntax \"sum\" term \"up\" \"to\" num : term
macro_rules
  | `(sum $x up to 0) => `($x)
  | `(sum $x up to $n) => `($x + $n)
syntax \"close_it\" : tactic
macro_rules
  | `(tactic| close_it) => `(tactic| first | rfl | (simp only [star]; omega))
end N
";

#[test]
fn notation_and_tactics_of_a_module_serve_the_modules_above() {
    let use_of = |body: &str| {
        let above = format!("namespace N\n{body}\nend N\n");
        lean().check(&certify(library(&[
            ("N.Notation", &[], NOTATION),
            ("N.Between", &["N.Notation"], "theorem N.one : 0 ⋆ 0 = 1 := rfl\n"),
            ("N.Above", &["N.Between"], &above),
        ])))
    };
    let honest =
        "theorem use (a : Nat) : a ⋆ 0 = ‖0‖ := by close_it\ntheorem six : sum 1 up to 5 = 6 := by close_it";
    let reply = use_of(honest);
    assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    assert!(fact(&reply, "N.use").axioms.len() < 3 && fact(&reply, "N.one").statement.contains('⋆'));
    // What stands for compiled code in the module's object is nothing to rest on.
    let stand = "theorem use : ∃ p : Prop, p = p := ⟨N.«term_⋆_»._closed_0, rfl⟩";
    let reply = use_of(stand);
    assert_eq!(reply.outcome(), Outcome::Rejected, "{reply:#?}");
}

#[test]
fn what_is_wrong_stands_where_it_is_and_goals_are_told() {
    let lean = lean();
    let body = "theorem bad (n : Nat) (h : n = 1) : n = 2 := by\n  induction n with\n  | zero => simp at h\n  | succ n ih => skip\n";
    let mut request = elaborate(vec![module("N.Bad", body)]);
    let reply = lean.check(&request);
    assert_eq!(reply.outcome(), Outcome::Rejected);
    // The header has six lines.
    let error = reply.diagnostics.iter().find(|d| d.severity() == Severity::Error).unwrap();
    assert_eq!(
        (error.start.unwrap(), error.unsolved_goals),
        (Position { line: 10, column: 14 }, true),
        "{reply:#?}"
    );
    request.goals_at = Some(Position { line: 10, column: 17 });
    let goals = lean.check(&request).goals;
    assert!(goals.contains("⊢ n + 1 = 2") && goals.contains("ih"), "{goals}");
}

#[test]
fn a_focused_check_goes_on_behind_what_stands_before_and_says_what_the_whole_module_says() {
    let lean = lean();
    let before =
        "namespace N\n-- begin a\ntheorem a (n : Nat) : n + 0 = n := by\n  sorry\n-- end a\nopen Nat in\n";
    // The header has six lines, so the region's marker is line 13.
    let module = |proof: &str, after: &str| {
        let body = format!(
            "{before}-- begin b\ntheorem b (n : Nat) : 0 + n = n := by\n  {proof}\n-- end b\n{after}end N\n"
        );
        elaborate(vec![module("N.Focus", &body)])
    };
    let focused = |proof: &str, after: &str| {
        let focus = Focus { first_line: 14, last_line: 16 };
        CheckRequest { focus: Some(focus), ..module(proof, after) }
    };
    for proof in ["simp", "omega", "exact a n", "skip", "rw [a]"] {
        let (whole, part) = (lean.check(&module(proof, "")), lean.check(&focused(proof, "")));
        assert_ne!(part.outcome(), Outcome::EnvironmentFault, "{part:#?}");
        assert_eq!((part.outcome(), &part.diagnostics), (whole.outcome(), &whole.diagnostics), "{proof}");
        assert_eq!(part.declarations, whole.declarations, "{proof}");
    }
    let broken_behind = "theorem c : 1 = 2 := rfl\n";
    assert_eq!(lean.check(&module("simp", broken_behind)).outcome(), Outcome::Rejected);
    assert_eq!(lean.check(&focused("simp", broken_behind)).outcome(), Outcome::Accepted);
    // What one check declares is not there for the next.
    assert_eq!(lean.check(&focused("exact b n", "")).outcome(), Outcome::Rejected);
    let mut goals = focused("skip", "");
    goals.goals_at = Some(Position { line: 15, column: 2 });
    assert!(lean.check(&goals).goals.contains("⊢ 0 + n = n"));
    goals.goals_at = Some(Position { line: 10, column: 2 });
    assert!(lean.check(&goals).goals.contains("⊢ n + 0 = n"), "before the focus too");
}

#[test]
fn statements_are_compared_as_terms() {
    let lean = lean();
    let facts = |body: &str| {
        let reply = lean.check(&certify(vec![module("N.S", body)]));
        assert_ne!(reply.outcome(), Outcome::EnvironmentFault, "{reply:#?}");
        reply
    };
    let hash = |body: &str| fact(&facts(body), "t").statement_hash.clone();
    let base = "def P (n : Nat) : Prop := n = n\ntheorem t (n : Nat) : P n := rfl\n";
    let frozen = hash(base);
    // The proof, the names of bound variables, comments and what stands around do not count.
    assert_eq!(
        hash(
            "def P (m : Nat) : Prop := m = m\n/-- words -/ theorem help : 1 = 1 := rfl\ntheorem t (k : Nat) : P k := by unfold P; rfl\n"
        ),
        frozen
    );
    assert_eq!(hash("def P (n : Nat) : Prop := n = n\ntheorem t (n : Nat) : P n := sorry\n"), frozen);
    // Another definition under the same name does, and so does a notation that means something else.
    assert_ne!(hash("def P (n : Nat) : Prop := n ≤ n\ntheorem t (n : Nat) : P n := Nat.le_refl n\n"), frozen);
    assert_ne!(hash("def P (n : Nat) : Prop := n = n\ntheorem t (n : Int) : P n.toNat := rfl\n"), frozen);
    let plus = |before: &str| hash(&format!("{before}\ntheorem t (a b : Nat) : a + b = b + a := sorry\n"));
    assert_ne!(plus(""), plus("local instance : Add Nat := ⟨fun _ _ => 0⟩"));
    // A matcher of an earlier proof that a definition comes to share is no change of the definition.
    let rec = "def f (n : Nat) : Nat := match n with | 0 => 1 | k + 1 => k\ntheorem t (n : Nat) : f n = f n := rfl\n";
    let shared =
        format!("theorem u (n : Nat) : (match n with | 0 => 1 | k + 1 => k) ≥ 0 := Nat.zero_le _\n{rec}");
    assert_eq!(hash(rec), hash(&shared));
    // The negation.
    let negated = facts("theorem t : ∀ n : Nat, n = 3 := sorry\n");
    let refuted = facts("theorem t_refuted : ¬ (∀ m : Nat, m = 3) := fun h => absurd (h 0) (by decide)\n");
    assert_eq!(fact(&negated, "t").negation_hash, fact(&refuted, "t_refuted").statement_hash);
}

#[test]
fn who_changes_a_frozen_statement_is_told_which_declaration_has_changed() {
    let ask = |body: &str, hash: &str| {
        let expectation = Expectation {
            declaration: "t".into(),
            target: "t".into(),
            statement_hash: hash.into(),
            ..Expectation::default()
        };
        let request = certify(vec![module("N.D", body)]);
        lean().check(&CheckRequest { expectations: vec![expectation], ..request })
    };
    let source = |of: &str| {
        format!("def P (n : Nat) : Prop := {of}\ntheorem t (n : Nat) : P n ∧ True := ⟨rfl, trivial⟩\n")
    };
    let stated = ask(&source("n = n"), "");
    assert_eq!(stated.outcome(), Outcome::Accepted, "{stated:#?}");
    let changed = ask(&source("n + 0 = n"), &fact(&stated, "t").statement_hash);
    assert_eq!(changed.outcome(), Outcome::Rejected);
    let told = messages(&changed);
    assert!(told.contains(&"since `t` was frozen: `P` has another value"), "{told:?}");
}

fn refused(body: &str, expectation: Option<Expectation>, reason: &str) -> CheckReply {
    let mut request = certify(vec![module("N.R", body)]);
    request.expectations = expectation.into_iter().collect();
    let reply = lean().check(&request);
    assert_eq!(reply.outcome(), Outcome::Rejected, "{body}\n{reply:#?}");
    assert!(
        messages(&reply).iter().any(|m| m.contains(reason)),
        "{body}: {:#?} lack {reason}",
        messages(&reply)
    );
    reply
}

#[test]
fn the_gate_refuses_what_elaboration_lets_through() {
    let expect = |may_sorry| {
        Some(Expectation { declaration: "x".into(), target: "x".into(), may_sorry, ..Expectation::default() })
    };
    // Elaborated without a message and without an axiom, and false all the same.
    let skipped = "set_option debug.skipKernelTC true in\ntheorem x : (1 : Nat) = 2 := by decide +kernel\n";
    assert_eq!(lean().check(&elaborate(vec![module("N.R", skipped)])).outcome(), Outcome::Accepted);
    refused(skipped, expect(false), "x");
    refused("axiom x : False\n", expect(false), "axiom");
    refused("theorem x : (1 : Nat) = 2 := sorry\n", expect(false), "not proved");
    assert_eq!(
        lean()
            .check(&CheckRequest {
                expectations: expect(true).into_iter().collect(),
                ..certify(vec![module("N.R", "theorem x : (1 : Nat) = 2 := sorry\n")])
            })
            .outcome(),
        Outcome::Accepted
    );
    refused("axiom help : False\ntheorem x : 1 = 2 := help.elim\n", expect(false), "help");
    refused("theorem y : 1 = 1 := rfl\n", expect(false), "not declared");
    refused("theorem x : (10 : Nat) < 20 := by native_decide\n", expect(false), "x");
    refused(
        "def fast : Nat := 3\n@[implemented_by fast] def slow : Nat := 4\ntheorem x : slow = 4 := rfl\n",
        expect(false),
        "implemented_by",
    );
    refused("end\npartial def u (n : Nat) : Nat := u n\ntheorem x : 1 = 1 := rfl\n", expect(false), "u");
    refused("unsafe def u : Nat := 3\ntheorem x : 1 = 1 := rfl\n", expect(false), "u");
    // Agents are told before they submit.
    for (body, warning) in [
        (
            "end\npartial def u (n : Nat) : Nat := u n\n",
            "`unsafe` and `partial` are not allowed in a library",
        ),
        ("axiom u : 1 = 1\n", "`u`: a library declares no axioms"),
    ] {
        let reply = lean().check(&elaborate(vec![module("N.R", body)]));
        assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
        assert!(messages(&reply).iter().any(|m| m.contains(warning)), "{reply:#?}");
    }
    // A definition by recursion has an unsafe twin for the compiler, which is nobody's fault.
    let twin = "end\ndef down : Nat → Nat\n  | 0 => 0\n  | n + 1 => down n\n";
    let reply = lean().check(&elaborate(vec![module("N.R", twin)]));
    assert!(reply.diagnostics.is_empty(), "{reply:#?}");
}

#[test]
fn loops_memory_and_crashes_are_told_apart_and_harm_nobody() {
    let lean = lean();
    let spin = "end\npartial def spin (n : Nat) : IO Nat := spin (n + 1)\n#eval spin 0\n";
    let spin = CheckRequest { deadline_ms: 2500, ..elaborate(vec![module("N.Spin", spin)]) };
    let started = std::time::Instant::now();
    let reply = lean.check(&spin);
    assert_eq!(reply.outcome(), Outcome::TimedOut, "{reply:#?}");
    assert!(started.elapsed().as_millis() < 8000, "{:?}", started.elapsed());
    let grow = "end\npartial def grow (a : Array Nat) : IO Nat := do\n  if a.size > 400000000 then return a.size\n  grow (a.push a.size)\n#eval grow #[]\n";
    let reply =
        lean.check(&CheckRequest { memory_bytes: 200 << 20, ..elaborate(vec![module("N.Grow", grow)]) });
    assert_eq!(reply.outcome(), Outcome::OutOfMemory, "{reply:#?}");
    let reply = lean.check(&elaborate(vec![module("N.Exit", "end\n#eval (IO.Process.exit 0 : IO Unit)\n")]));
    assert_eq!(reply.outcome(), Outcome::Crashed, "{reply:#?}");
    let forged = "end\n#eval IO.FS.writeFile \"/host/answer\" \"end 1 1 1\\n111\"\n#eval IO.FS.readFile \"/host/nonce\"\ntheorem x : 1 = 2 := rfl\n";
    assert_eq!(lean.check(&elaborate(vec![module("N.Forged", forged)])).outcome(), Outcome::Rejected);
    let fine = lean.check(&elaborate(vec![module("N.Fine", "theorem a : 1 + 1 = 2 := rfl\n")]));
    assert_eq!(fine.outcome(), Outcome::Accepted);
}

#[test]
fn declarations_are_found_by_name_and_by_type() {
    let lean = lean();
    let ask = |name: &str, words: &str| {
        let request = LookupRequest {
            name: name.into(),
            r#type: words.into(),
            limit: 50,
            modules: library(&[("N.Parity", &[], PARITY)]),
            ..LookupRequest::default()
        };
        let reply = lean.lookup(&request);
        assert_eq!(reply.fault, "");
        reply.declarations.into_iter().map(|d| d.name).collect::<Vec<_>>()
    };
    assert!(ask("nat.add_comm", "").contains(&"Nat.add_comm".to_owned()));
    assert_eq!(ask("even_add", "")[0], "N.even_add");
    assert!(ask("", "List.reverse List.length").contains(&"List.length_reverse".to_owned()));
}

#[test]
fn a_missing_source_is_the_environments_fault() {
    let mut request = elaborate(vec![module("N.A", "")]);
    request.modules[0].source = None;
    let reply = Embedded::check(lean(), &request);
    assert_eq!(reply.outcome(), Outcome::EnvironmentFault);
    assert!(reply.fault.contains("N.A"));
}
