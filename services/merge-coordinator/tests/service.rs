//! The coordinator on a real nats-server and a real repository; a script stands where the verifier's Lean would.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_library::layout;
use atlas_merge_coordinator::{Options, STATUS, export, run};
use atlas_proto::letter::Letter as Written;
use atlas_proto::{
    CheckReply, CheckRequest, DeclarationFacts, Diagnostic, Expectation, FileChange, Letter, MergeOutcome,
    MergeRequest, Outcome, Position, Severity, Submission, merge_outcome,
};
use atlas_testkit::TestNats;
use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the script knows of Lean: `BAD` does not build, nor do `clash_a` and `clash_b` together; `theorem X S := …` declares
/// `N.X` with statement `S`.
async fn verdict(bus: &Bus, request: &CheckRequest) -> CheckReply {
    let mut reply = CheckReply { id: request.id.clone(), ..CheckReply::default() };
    let mut errors = Vec::new();
    for module in request.modules.iter().filter(|module| request.check.contains(&module.name)) {
        let text = String::from_utf8(bus.file(&module.sha256).await.unwrap().to_vec()).unwrap();
        if text.contains("BAD") || (text.contains("clash_a") && text.contains("clash_b")) {
            errors.push((
                module.name.clone(),
                Some(Position { line: 7, column: 2 }),
                "unsolved goals".to_owned(),
            ));
        }
        for line in text.lines().filter_map(|line| line.strip_prefix("theorem ")) {
            let (name, rest) = line.split_once(' ').unwrap();
            let statement = rest.split(":=").next().unwrap().trim();
            reply.declarations.push(DeclarationFacts {
                name: format!("N.{name}"),
                kind: "theorem".to_owned(),
                module: module.name.clone(),
                statement: statement.to_owned(),
                statement_hash: format!("hash of {statement}"),
                ..DeclarationFacts::default()
            });
        }
    }
    for expected in &request.expectations {
        let facts = reply.declarations.iter().find(|facts| facts.name == expected.declaration);
        let same = facts.is_some_and(|f| {
            expected.statement_hash.is_empty() || f.statement_hash == expected.statement_hash
        });
        if !same {
            errors.push((
                String::new(),
                None,
                format!("`{}` no longer states what was frozen", expected.declaration),
            ));
        }
    }
    reply.set_outcome(if errors.is_empty() { Outcome::Accepted } else { Outcome::Rejected });
    reply.diagnostics = errors
        .into_iter()
        .map(|(module, start, message)| Diagnostic {
            severity: Severity::Error.into(),
            module,
            start,
            end: start,
            message,
            unsolved_goals: false,
        })
        .collect();
    reply
}

struct Stage {
    _nats: TestNats,
    bus: Bus,
    folder: tempfile::TempDir,
    run: RunId,
    /// How many checks the script has been asked, as it is asked.
    questions: mpsc::UnboundedReceiver<usize>,
    outcomes: mpsc::UnboundedReceiver<MergeOutcome>,
    coordinator: Option<JoinHandle<()>>,
    shutdown: CancellationToken,
}

impl Stage {
    async fn new() -> Self {
        let nats = TestNats::start().await;
        let bus = nats.bus().await;
        let run = RunId::new("numbers").unwrap();
        let (asking, questions) = mpsc::unbounded_channel();
        let (ended, outcomes) = mpsc::unbounded_channel();
        tokio::spawn(verify(bus.clone(), run.clone(), asking));
        tokio::spawn(plan(bus.clone(), run.clone(), ended));
        let folder = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let mut stage =
            Self { _nats: nats, bus, folder, run, questions, outcomes, coordinator: None, shutdown };
        stage.start();
        stage
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("library.git")
    }

    fn start(&mut self) {
        let options = Options {
            run: self.run.clone(),
            host: "test".to_owned(),
            package: "N".to_owned(),
            repository: self.repository(),
            window_min: 1,
            window_max: 8,
            patience_s: 60,
            metrics: Default::default(),
            readiness: Default::default(),
        };
        let (bus, shutdown) = (self.bus.clone(), self.shutdown.clone());
        self.coordinator = Some(tokio::spawn(async move { run(options, bus, shutdown).await.unwrap() }));
    }

    /// Ends the coordinator wherever it is, as a kill does, and starts another.
    async fn kill_and_restart(&mut self) {
        let coordinator = self.coordinator.take().unwrap();
        coordinator.abort();
        let _ = coordinator.await;
        self.bus.take_over(&self.run).await.unwrap();
        self.start();
    }

    async fn send(&self, request: MergeRequest) {
        let id = format!("plan/merge:{}", request.submission.as_ref().unwrap().id);
        let queue = ActorId::singleton(&self.run, ActorKind::Merge);
        self.bus.send(&queue, Letter { letter: Some(Written::MergeRequest(request)) }, &id).await.unwrap();
    }

    async fn outcome(&mut self) -> MergeOutcome {
        self.outcomes.recv().await.unwrap()
    }

    /// The next `count` outcomes by submission.
    async fn outcomes(&mut self, count: usize) -> BTreeMap<String, MergeOutcome> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            let outcome = self.outcome().await;
            all.insert(outcome.submission.clone(), outcome);
        }
        all
    }

    async fn lay_out(&mut self) -> String {
        self.send(skeleton()).await;
        landed(&self.outcome().await).to_owned()
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(self.repository()).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn text(&self, commit: &str, path: &str) -> String {
        let manifest = self.bus.manifest(commit).await.unwrap();
        let entry = manifest.files.iter().find(|entry| entry.path == path).unwrap();
        String::from_utf8(self.bus.file(&entry.sha256).await.unwrap().to_vec()).unwrap()
    }
}

async fn verify(bus: Bus, run: RunId, asking: mpsc::UnboundedSender<usize>) {
    let mut asked = 0;
    let merge = ActorId::singleton(&run, ActorKind::Merge);
    let mut queue = bus.work::<CheckRequest>(&run, "certify", 4).await.unwrap();
    while let Some(work) = queue.next().await {
        asked += 1;
        let _ = asking.send(asked);
        let reply = verdict(&bus, &work.message).await;
        let id = format!("certify:{}", reply.id);
        bus.send(&merge, Letter { letter: Some(Written::CheckReply(reply)) }, &id).await.unwrap();
        work.ack().await.unwrap();
    }
}

async fn plan(bus: Bus, run: RunId, ended: mpsc::UnboundedSender<MergeOutcome>) {
    let mut inbox = bus.inbox(&run, ActorKind::Plan, 0).await.unwrap();
    loop {
        let delivery = inbox.next().await;
        if let Some(Written::MergeOutcome(outcome)) = delivery.letter.letter.clone() {
            assert_eq!(delivery.id, format!("outcome:{}", outcome.submission));
            let _ = ended.send(outcome);
        }
        delivery.ack().await;
    }
}

fn skeleton() -> MergeRequest {
    let slots = (0..12).map(|at| layout::Slot { id: format!("t{at}"), title: String::new() }).collect();
    let chapters = [
        layout::Chapter { module: "N.A".to_owned(), slots, ..layout::Chapter::default() },
        layout::Chapter { module: "N.B".to_owned(), ..layout::Chapter::default() },
    ];
    let changes = layout::skeleton("N", "leanprover/lean4:v4.28.0", &[], &chapters)
        .into_iter()
        .map(|(path, text)| FileChange { path, content: Some(text.into_bytes()) })
        .collect();
    let submission = Submission {
        id: "skeleton".to_owned(),
        role: "planner".to_owned(),
        agent: "planner".to_owned(),
        title: "Lay out N".to_owned(),
        changes,
        ..Submission::default()
    };
    MergeRequest { submission: Some(submission), ..MergeRequest::default() }
}

fn change(id: &str, base: &str, path: &str, text: String, declaration: &str) -> MergeRequest {
    let submission = Submission {
        id: id.to_owned(),
        attempt: format!("{id}.formalizer.1"),
        target: id.to_owned(),
        role: "formalizer".to_owned(),
        agent: format!("{id}.formalizer.1"),
        base_commit: base.to_owned(),
        changes: vec![FileChange { path: path.to_owned(), content: Some(text.into_bytes()) }],
        title: format!("State {id}"),
        summary: "As in the book.".to_owned(),
    };
    let own = Expectation {
        declaration: format!("N.{declaration}"),
        target: id.to_owned(),
        may_sorry: true,
        ..Expectation::default()
    };
    MergeRequest {
        submission: Some(submission),
        expectations: vec![own],
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ..MergeRequest::default()
    }
}

fn landed(outcome: &MergeOutcome) -> &str {
    match &outcome.result {
        Some(merge_outcome::Result::Landed(landed)) => &landed.commit,
        other => panic!("{}: {other:?}", outcome.submission),
    }
}

fn refused(outcome: &MergeOutcome) -> (&str, &str) {
    match &outcome.result {
        Some(merge_outcome::Result::Refused(refused)) => (&refused.kind, &refused.reason),
        other => panic!("{}: {other:?}", outcome.submission),
    }
}

fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_become_commits_or_come_back_with_the_reason() {
    let mut stage = Stage::new().await;
    let base = stage.lay_out().await;
    let file = stage.text(&base, "N/A.lean").await;
    let region = |id: &str, content: &str| layout::with_region(&file, id, content).unwrap();
    let a = "N/A.lean";
    for request in [
        change("good", &base, a, region("t0", "theorem good True := sorry"), "good"),
        change("bad", &base, a, region("t1", "theorem bad BAD := sorry"), "bad"),
        change("same-place", &base, a, region("t0", "theorem other True := sorry"), "other"),
        change("root", &base, "N.lean", "import Evil\n".to_owned(), "x"),
        change("markers", &base, a, file.replace("-- end t5\n", ""), "x"),
        change(
            "new-module",
            &base,
            "N/C.lean",
            "module\n\npublic import N.B\n\ntheorem c True := sorry\n".to_owned(),
            "c",
        ),
    ] {
        stage.send(request).await;
    }
    let outcomes = stage.outcomes(6).await;
    let Some(merge_outcome::Result::Landed(good)) = &outcomes["good"].result else { panic!("{outcomes:?}") };
    assert_eq!(good.declarations[0].name, "N.good");
    let c = landed(&outcomes["new-module"]).to_owned();
    let (kind, reason) = refused(&outcomes["bad"]);
    assert_eq!((kind, reason), ("build", "N.A:7:2: unsolved goals"));
    let (kind, reason) = refused(&outcomes["same-place"]);
    assert_eq!(kind, "conflict");
    assert_contains(reason, "N/A.lean: both sides changed it at");
    assert_contains(reason, "(region `t0`); the other side: “State good”");
    assert_eq!(refused(&outcomes["root"]).0, "policy");
    assert_contains(refused(&outcomes["markers"]).1, "stands inside region `t5`; regions do not nest");

    // A proof of what is frozen may not bend it.
    let head = stage.git(&["rev-parse", "main"]).trim().to_owned();
    let now = stage.text(&head, a).await;
    let bent = layout::with_region(&now, "t0", "theorem good Other := trivial").unwrap();
    stage.send(change("bent", &head, a, bent, "good")).await;
    let outcome = stage.outcome().await;
    assert_eq!(refused(&outcome).0, "statement");
    let proof = layout::with_region(&now, "t0", "theorem good True := trivial").unwrap();
    stage.send(change("proof", &head, a, proof, "good")).await;
    let proof = landed(&stage.outcome().await).to_owned();

    stage.git(&["fsck", "--strict"]);
    let root = stage.git(&["show", "main:N.lean"]);
    assert_eq!(layout::imports(&root), ["N.A", "N.B", "N.C"]);
    let log = stage.git(&["log", "-1", "--format=%H|%an|%ae|%s|%b", &proof]);
    assert_eq!(
        log.trim(),
        format!(
            "{proof}|formalizer (proof.formalizer.1)|proof.formalizer.1@run.atlas|State proof|As in the book.\n\n\
             Atlas-Target: proof\nAtlas-Task: proof.formalizer.1\nAtlas-Agent: proof.formalizer.1\nAtlas-Submission: proof\n\
             Atlas-Trace: 0af7651916cd43dd8448eb211c80319c"
        )
    );
    assert_eq!(stage.git(&["rev-list", "--count", "main"]).trim(), "4");
    assert!(!c.is_empty());
    let status = loop {
        // The document is written at most four times a second: its last state comes for sure.
        let mut watch = stage.bus.watch_status(&stage.run).await.unwrap();
        let (service, status) = watch.next().await.unwrap();
        if service.ends_with(STATUS) && status["landed"] == 4 {
            break status;
        }
    };
    assert_eq!(status["refused"]["conflict"], 1);
    assert_eq!(status["head"], proof);

    export_is_safe(&stage.repository(), &stage.folder.path().join("library"));
    stage.shutdown.cancel();
    stage.coordinator.take().unwrap().await.unwrap();
}

fn export_is_safe(repository: &Path, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("notes.txt"), "mine").unwrap();
    std::fs::write(folder.join("README.md"), "mine too").unwrap();
    let first = export(repository, folder).unwrap();
    assert_eq!((first.written, first.kept.as_slice()), (first.files - 1, &["README.md".to_owned()][..]));
    std::fs::write(folder.join("N/A.lean"), "changed by hand").unwrap();
    std::fs::remove_file(folder.join("N/B.lean")).unwrap();
    let second = export(repository, folder).unwrap();
    assert_eq!((second.written, second.kept.len()), (1, 2));
    assert_eq!(std::fs::read_to_string(folder.join("N/A.lean")).unwrap(), "changed by hand");
    assert_eq!(std::fs::read_to_string(folder.join("notes.txt")).unwrap(), "mine");
    assert!(std::fs::read_to_string(folder.join("N/C.lean")).unwrap().contains("theorem c"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_coordinator_that_is_killed_again_and_again_lands_each_once() {
    let mut stage = Stage::new().await;
    let base = stage.lay_out().await;
    let file = stage.text(&base, "N/A.lean").await;
    for at in 0..12 {
        let (id, region) = (format!("s{at}"), format!("t{at}"));
        let what = match at {
            3 | 7 => "BAD",
            5 => "clash_a",
            9 => "clash_b",
            _ => "True",
        };
        let text = layout::with_region(&file, &region, &format!("theorem s{at} {what} := sorry")).unwrap();
        stage.send(change(&id, &base, "N/A.lean", text, &id)).await;
    }
    let mut outcomes = BTreeMap::new();
    let mut kills = 0;
    while outcomes.len() < 12 {
        tokio::select! {
            outcome = stage.outcomes.recv() => {
                let outcome = outcome.unwrap();
                let again = outcomes.insert(outcome.submission.clone(), outcome.clone());
                assert!(again.is_none_or(|first| first == outcome));
            }
            question = stage.questions.recv() => {
                // Each third question ends the coordinator, whatever it is doing.
                if question.unwrap() % 3 == 0 && kills < 8 {
                    kills += 1;
                    stage.kill_and_restart().await;
                }
            }
        }
    }
    assert!(kills > 2);
    let kind = |id: &str| match &outcomes[id].result {
        Some(merge_outcome::Result::Refused(refused)) => refused.kind.clone(),
        _ => "landed".to_owned(),
    };
    for at in 0..12 {
        let id = format!("s{at}");
        let expected = if matches!(at, 3 | 7 | 9) { "build" } else { "landed" };
        assert_eq!(kind(&id), expected, "{id}: {:?}", outcomes[&id]);
    }
    let log = stage.git(&["log", "--format=%(trailers:key=Atlas-Submission,valueonly,separator=)", "main"]);
    let mut landed: Vec<&str> = log.lines().collect();
    assert_eq!(landed.len(), 10, "nothing lands twice: {landed:?}");
    landed.sort_unstable();
    landed.dedup();
    assert_eq!(landed.len(), 10);
    stage.git(&["fsck", "--strict"]);
    stage.shutdown.cancel();
}
