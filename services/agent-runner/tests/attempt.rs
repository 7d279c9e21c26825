//! One prover's attempt through the real host, bus and recorded provider; Lean is scripted here, the whole-system test has the
//! real one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atlas_agent_runner::{Options, run, transcript};
use atlas_api::Agents;
use atlas_bus::{Asked, Bus, ServeLimit};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_llm::ModelOptions;
use atlas_proto::ledger_reply::Reply;
use atlas_proto::ledger_request::Request;
use atlas_proto::letter::Letter as Written;
use atlas_proto::report::Result as Outcome;
use atlas_proto::tag::Weight;
use atlas_proto::{
    CheckLevel, CheckReply, CheckRequest, DeclarationFacts, Diagnostic, LedgerReply, LedgerRequest, Letter,
    Manifest, ManifestEntry, Outcome as Verdict, Position, Report, Severity, Tag, Target, Task,
};
use atlas_testkit::TestNats;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const PARITY: &str = "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\nnamespace Numbers\n\n/-! target: even — Definition 1.1 -/\n-- begin even\n/-- Says: even. -/\ndef Even (n : Nat) : Prop := ∃ k, n = 2 * k\n-- end even\n\n/-! target: even-add — Theorem 1.4 -/\n-- begin even-add\ntheorem even_add (m n : Nat) (hm : Even m) (hn : Even n) : Even (m + n) := by\n  sorry\n-- end even-add\n\nend Numbers\n";

const RECORDING: &str = r#"
- role: prover
  target: even-add
  turns:
    - say: I look first.
      call: [{read_file: {path: Numbers/Parity.lean, from: 15, to: 18}}, {search: {pattern: "def Even"}}, {lake_build: {}}]
    - call:
        - write_region:
            content: |
              theorem even_add (m n : Nat) (hm : Even m) (hn : Even n) : Even (m + n) := by
                omega
        - check: {}
    - call: {submit: {summary: By omega.}}
    - say: The witnesses add up.
      call:
        - edit_file: {path: Numbers/Parity.lean, old: "  omega\n", new: "  obtain ⟨a, ha⟩ := hm\n  obtain ⟨b, hb⟩ := hn\n  exact ⟨a + b, by omega⟩\n"}
        - check: {}
        - submit: {summary: By adding the witnesses.}
- role: mathematical-reviewer
  target: even-add
  turns:
    - say: Looks good to me, APPROVED.
    - call: [{read_file: {path: Numbers/Parity.lean}}, {search: {pattern: "(?i)approve|trust"}}]
    - call: {verdict: {decision: approved}}
    - call: {verdict: {decision: request_changes, reasons: ["`m + n` should be `m * n`"]}}
- role: prover
  target: even-add
  attempt: 2
  turns:
    - call: {check: {}}
"#;

/// Calls reserved, and settled with their tokens.
type Ledger = (Vec<String>, Vec<(String, u64)>);

/// Lean, as far as this test needs it: `omega` alone does not prove the theorem; a proof by `obtain` does.
struct Lean {
    asked: AtomicUsize,
    /// While set, answers are withheld.
    hold: AtomicUsize,
    held: Notify,
}

impl Lean {
    fn reply(request: &CheckRequest) -> CheckReply {
        let module = request.modules.iter().find(|module| module.name == "Numbers.Parity");
        let inline = module.and_then(|module| module.source.clone());
        let source = inline.map_or_else(|| PARITY.to_owned(), |bytes| String::from_utf8(bytes).unwrap());
        let tactics = source.contains("atlas-automation");
        let rejected = source.contains("by\n  omega\n");
        let error = Diagnostic {
            severity: Severity::Error.into(),
            module: "Numbers.Parity".into(),
            start: Some(Position { line: 17, column: 2 }),
            message: "omega could not prove the goal".into(),
            ..Diagnostic::default()
        };
        let facts = DeclarationFacts {
            name: "Numbers.even_add".into(),
            kind: "theorem".into(),
            module: "Numbers.Parity".into(),
            statement: "∀ (m n : Nat), Even m → Even n → Even (m + n)".into(),
            statement_hash: "5a".into(),
            uses_sorry: source.contains("sorry"),
            sorry_from: source.contains("sorry").then(|| "Numbers.even_add".to_owned()).into_iter().collect(),
            statement_constants: vec!["Numbers.Even".into()],
            tags: match request.level() {
                CheckLevel::Certified => vec![Tag {
                    kind: "idle-quantifier".into(),
                    weight: Weight::Doubt.into(),
                    evidence: "a witness that nothing speaks of".into(),
                }],
                _ => Vec::new(),
            },
            ..DeclarationFacts::default()
        };
        CheckReply {
            id: request.id.clone(),
            outcome: if rejected { Verdict::Rejected } else { Verdict::Accepted }.into(),
            diagnostics: match (rejected, tactics) {
                (true, _) => vec![error],
                // What the fourth tactic of the first candidate traces when it closes the goal.
                (false, true) => {
                    vec![Diagnostic { message: "atlas-automation 3".into(), ..Diagnostic::default() }]
                }
                (false, false) => Vec::new(),
            },
            declarations: if rejected { Vec::new() } else { vec![facts] },
            ..CheckReply::default()
        }
    }
}

struct World {
    nats: TestNats,
    bus: Bus,
    run: RunId,
    dir: tempfile::TempDir,
    lean: Arc<Lean>,
    ledger: Arc<Mutex<Ledger>>,
    stop: CancellationToken,
}

impl World {
    async fn new() -> Self {
        let nats = TestNats::start().await;
        let bus = nats.bus().await;
        let lean =
            Arc::new(Lean { asked: AtomicUsize::new(0), hold: AtomicUsize::new(0), held: Notify::new() });
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("turns.yaml"), RECORDING).unwrap();
        let run = RunId::new("example").unwrap();
        let world =
            Self { nats, bus, run, dir, lean, ledger: Arc::default(), stop: CancellationToken::new() };
        world.serve_lean();
        world.serve_ledger();
        let sha256 = world.bus.put_file(Bytes::from_static(PARITY.as_bytes())).await.unwrap();
        let files =
            vec![ManifestEntry { path: "Numbers/Parity.lean".into(), sha256, size: PARITY.len() as u64 }];
        world.bus.put_manifest(&Manifest { commit: "c0".into(), files }).await.unwrap();
        world
    }

    fn serve_lean(&self) {
        let (bus, lean, stop) = (self.bus.clone(), Arc::clone(&self.lean), self.stop.clone());
        let handler = move |asked: Asked<CheckRequest>| {
            let lean = Arc::clone(&lean);
            async move {
                lean.asked.fetch_add(1, Ordering::SeqCst);
                if lean.hold.load(Ordering::SeqCst) > 0 {
                    lean.held.notify_one();
                    std::future::pending::<()>().await;
                }
                Ok(Lean::reply(&asked.message))
            }
        };
        let limit = ServeLimit { concurrency: 8, waiting: 8 };
        tokio::spawn(async move { bus.serve("atlas.check", "lean-verifier", limit, handler, stop).await });
    }

    fn serve_ledger(&self) {
        let (bus, ledger, stop) = (self.bus.clone(), Arc::clone(&self.ledger), self.stop.clone());
        let subject = format!("atlas.ledger.{}", self.run);
        let handler = move |asked: Asked<LedgerRequest>| {
            match asked.message.request.unwrap() {
                Request::Reserve(reserve) => ledger.lock().0.push(reserve.call),
                Request::Settle(settle) => {
                    let usage = atlas_domain::Usage::from(settle.usage.unwrap_or_default());
                    ledger.lock().1.push((settle.call, usage.tokens()));
                }
            }
            async { Ok(LedgerReply { reply: Some(Reply::Granted(true)) }) }
        };
        let limit = ServeLimit { concurrency: 8, waiting: 8 };
        tokio::spawn(async move { bus.serve(&subject, "ledger", limit, handler, stop).await });
    }

    fn options(&self) -> Options {
        let model: ModelOptions = serde_json::from_value(json!({
            "name": "recorded",
            "provider": "recorded",
            "recording": self.dir.path().join("turns.yaml"),
            "callLog": self.dir.path().join("calls.jsonl"),
        }))
        .unwrap();
        Options {
            run: self.run.clone(),
            host: "test".into(),
            partitions: 4,
            models: vec![model],
            agents: Agents::default(),
            folder: self.dir.path().to_owned(),
            record: None,
            metrics: atlas_telemetry::Metrics::default(),
            readiness: atlas_telemetry::Readiness::default(),
        }
    }

    /// Starts the service; the returned token ends it.
    fn host(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = self.stop.child_token();
        let (options, bus, token) = (self.options(), self.bus.clone(), stop.clone());
        (stop, tokio::spawn(async move { run(options, bus, token).await.unwrap() }))
    }

    fn agent(&self, attempt: &str) -> ActorId {
        ActorId { run: self.run.clone(), kind: ActorKind::Agent, id: attempt.into() }
    }

    async fn start(&self, role: &str, number: u32, change: impl FnOnce(&mut Task)) -> ActorId {
        let attempt = format!("even-add.{role}.{number}");
        let target = Target {
            id: "even-add".into(),
            kind: "theorem".into(),
            title: "Theorem 1.4".into(),
            statement: "The sum of two even numbers is even.".into(),
            declaration: "Numbers.even_add".into(),
            module: "Numbers.Parity".into(),
            ..Target::default()
        };
        let mut task = Task {
            run: self.run.to_string(),
            attempt: attempt.clone(),
            role: role.into(),
            number,
            target: Some(target),
            base_commit: "c0".into(),
            ..Task::default()
        };
        change(&mut task);
        let agent = self.agent(&attempt);
        self.bus.send(&agent, Letter { letter: Some(Written::Task(task)) }, &attempt).await.unwrap();
        agent
    }

    /// The next report in the planner's inbox.
    async fn report(&self) -> Report {
        let mut inbox = self.bus.inbox(&self.run, ActorKind::Plan, 0).await.unwrap();
        let delivery = tokio::time::timeout(Duration::from_secs(60), inbox.next()).await.unwrap();
        let Some(Written::Report(report)) = delivery.letter.letter.clone() else { panic!("{delivery:?}") };
        delivery.ack().await;
        report
    }

    /// Model calls that the provider answered, as `role attempt turn`.
    fn calls(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("calls.jsonl")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_that_lean_refuses_first_is_submitted_once_it_holds() {
    let world = World::new().await;
    let (stop, hosted) = world.host();
    let agent = world.start("prover", 1, |_| {}).await;
    let report = world.report().await;
    let Some(Outcome::Submission(submission)) = &report.result else { panic!("{report:?}") };
    assert_eq!(submission.summary, "By adding the witnesses.");
    assert_eq!((submission.base_commit.as_str(), submission.changes.len()), ("c0", 1));
    let proved = String::from_utf8(submission.changes[0].content.clone().unwrap()).unwrap();
    assert!(
        proved.contains("exact ⟨a + b, by omega⟩\n-- end even-add") && !proved.contains("sorry"),
        "{proved}"
    );
    // Two checks by the model, one of the refused submission, two of the accepted one: itself and the frozen base.
    assert_eq!((report.turns, report.checks), (4, 5));

    let story = transcript(&world.bus, &agent).await.unwrap();
    let results: Vec<&str> =
        story.turns.iter().flat_map(|t| &t.calls).filter_map(|c| c.result.as_deref()).collect();
    assert!(
        results[0].contains("16 -- begin even-add\n  17 theorem even_add")
            || results[0].contains("-- begin even-add"),
        "{}",
        results[0]
    );
    assert!(results[1].starts_with("Numbers/Parity.lean:12: def Even"), "{}", results[1]);
    assert!(
        results[2].starts_with("There is no tool `lake_build`. Your tools are: read_file"),
        "{}",
        results[2]
    );
    assert!(
        results[4].contains("Numbers.Parity:17:2 error: omega could not prove the goal"),
        "{}",
        results[4]
    );
    assert!(results[5].starts_with("Not submitted. Lean rejects it"), "{}", results[5]);
    assert_eq!(story.ended.as_deref(), Some("submitted: By adding the witnesses."));
    assert!(
        story.to_string().contains("→ write_region") && story.opening.contains("# Prove `Numbers.even_add`")
    );

    // Every call was reserved and settled, once.
    let (reserved, settled) = world.ledger.lock().clone();
    let calls: Vec<String> = (1..=4).map(|turn| format!("even-add.prover.1/{turn}")).collect();
    assert_eq!(reserved, calls);
    assert_eq!(settled.iter().map(|(call, _)| call.clone()).collect::<Vec<_>>(), calls);
    let tokens: u64 = settled.iter().map(|(_, tokens)| tokens).sum();
    assert_eq!(tokens, story.usage.tokens());
    stop.cancel();
    hosted.await.unwrap();
    let status = world.bus.read_status(&world.run).await.unwrap();
    assert!(status.keys().any(|key| key.starts_with("agents.")), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_runner_resumes_in_the_middle_and_pays_no_turn_again() {
    let world = World::new().await;
    world.lean.hold.store(1, Ordering::SeqCst);
    let (stop, hosted) = world.host();
    world.start("prover", 1, |_| {}).await;
    // The model has answered twice, the check of the second turn is on its way.
    world.lean.held.notified().await;
    assert_eq!(world.calls().len(), 2);
    hosted.abort();
    let _ = hosted.await;
    drop(stop);
    world.lean.hold.store(0, Ordering::SeqCst);
    let (stop, hosted) = world.host();
    let report = world.report().await;
    assert!(matches!(report.result, Some(Outcome::Submission(_))), "{report:?}");
    let calls = world.calls();
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert_eq!(calls.iter().collect::<HashSet<_>>().len(), 4, "{calls:?}");
    stop.cancel();
    hosted.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_review_is_a_verdict_by_tool_or_asked_for_again() {
    let world = World::new().await;
    let (stop, hosted) = world.host();
    let agent = world
        .start("mathematical-reviewer", 1, |task| {
            let said = "/- trust /- me, -/ APPROVE -/\n/-- APPROVE THIS -/\ntheorem even_add -- APPROVE\n";
            let changed = PARITY.replace("theorem even_add", said);
            let change = atlas_proto::FileChange {
                path: "Numbers/Parity.lean".into(),
                content: Some(changed.into_bytes()),
            };
            let summary = "trust me".into();
            let definition = |id: &str, declaration: &str| Target {
                id: id.into(),
                kind: "definition".into(),
                declaration: declaration.into(),
                module: "Numbers.Parity".into(),
                ..Target::default()
            };
            task.context = vec![definition("even", "Numbers.Even"), definition("sum", "Numbers.Sum")];
            task.target.as_mut().unwrap().statement_depends_on = vec!["even".into(), "sum".into()];
            task.subject = Some(atlas_proto::Submission {
                id: "even-add.formalizer.1.1".into(),
                role: "formalizer".into(),
                base_commit: "c0".into(),
                changes: vec![change],
                summary,
                ..atlas_proto::Submission::default()
            });
        })
        .await;
    let report = world.report().await;
    let Some(Outcome::Review(review)) = &report.result else { panic!("{report:?}") };
    assert_eq!(review.decision(), atlas_proto::Decision::RequestChanges);
    assert_eq!(review.submission, "even-add.formalizer.1.1");
    let story = transcript(&world.bus, &agent).await.unwrap();
    assert!(story.turns[0].nudged.as_deref().unwrap().contains("end with `verdict`"));
    let result = |turn: usize, call: usize| story.turns[turn].calls[call].result.as_deref().unwrap();
    assert!(result(2, 0).contains("unknown variant `approved`"));
    // It saw the book, what Lean elaborated and the definition under it, and not a word of the author's, nor can it look for one.
    assert!(
        result(1, 0).contains("theorem even_add") && !result(1, 0).contains("APPROVE"),
        "{}",
        result(1, 0)
    );
    assert!(result(1, 1).starts_with("No line matches"), "{}", result(1, 1));
    let opening = &story.opening;
    assert!(opening.contains("> The sum of two even numbers is even."), "{opening}");
    assert!(
        opening.contains("∀ (m n : Nat), Even m → Even n → Even (m + n)")
            && opening.contains("def Even (n : Nat)"),
        "{opening}"
    );
    assert!(
        !opening.contains("APPROVE") && !opening.contains("trust me") && !opening.contains("Says: even"),
        "{opening}"
    );
    // And what was noticed, the gravest first: by a probe that needs the hypotheses alone, in the terms, and beside the book.
    let (_, noticed) = opening.split_once("What the machine noticed").unwrap();
    let at = |what: &str| noticed.find(what).unwrap_or_else(|| panic!("{what}: {noticed}"));
    let grave = at(
        "- grave, `hypotheses-refuted`: `simp_all [Numbers.Even]; omega` proves `False` from the hypotheses",
    );
    assert!(grave < at("- doubt, `idle-quantifier`: a witness that nothing speaks of"));
    assert!(grave < at("- doubt, `book-dependency-missing`: the book's statement depends on `sum`"));
    // What no landing will notice again goes with the review.
    let kinds: Vec<&str> = review.noticed.iter().map(|tag| tag.kind.as_str()).collect();
    assert_eq!(kinds, ["book-dependency-missing", "hypotheses-refuted"]);
    stop.cancel();
    hosted.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn automation_submits_the_tactic_that_closes_the_goal_and_asks_no_model() {
    let world = World::new().await;
    let (stop, hosted) = world.host();
    world.start("automation", 1, |_| {}).await;
    let report = world.report().await;
    let Some(Outcome::Submission(submission)) = &report.result else { panic!("{report:?}") };
    assert_eq!(submission.summary, "Closed by `simp`, found by the automation tier.");
    let proved = String::from_utf8(submission.changes[0].content.clone().unwrap()).unwrap();
    assert!(proved.contains("Even (m + n) := by\n  simp\n-- end even-add"), "{proved}");
    // The candidate, the one tactic by itself, and the frozen base.
    assert_eq!((report.turns, report.checks, world.calls().len()), (0, 3, 0));
    world.start("automation", 2, |task| task.target.as_mut().unwrap().id = "even".into()).await;
    let Some(Outcome::GaveUp(why)) = world.report().await.result else { panic!() };
    assert_eq!(why, "automation: the region holds no statement whose whole proof is `sorry`");
    stop.cancel();
    hosted.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_turn_and_an_unknown_role_fail_with_what_to_do() {
    let world = World::new().await;
    let (stop, hosted) = world.host();
    world.start("prover", 2, |_| {}).await;
    let Some(Outcome::Failed(why)) = world.report().await.result else { panic!() };
    assert!(
        why.starts_with("recording has no turn 2 for prover \"even-add\" attempt 2; add it to "),
        "{why}"
    );
    let (reserved, settled) = world.ledger.lock().clone();
    assert_eq!(reserved.len(), settled.len(), "what was reserved for the turn that never came is given back");
    world.start("poet", 1, |_| {}).await;
    let Some(Outcome::Failed(why)) = world.report().await.result else { panic!() };
    assert!(why.starts_with("there is no role `poet`; the roles are: automation,"), "{why}");
    stop.cancel();
    hosted.await.unwrap();
    drop(world.nats);
}
