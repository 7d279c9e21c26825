//! The coordinator on a real nats-server and a real repository; a script stands where the verifier's Lean would.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)] // each test file uses a part of it

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_judge::{KernelVerdict, KeyRing, Receipt, SigningKey};
use atlas_library::layout;
use atlas_merge_coordinator::{Options, Policy, STATUS, View, run};
use atlas_proto::letter::Letter as Written;
use atlas_proto::{
    CheckReply, CheckRequest, DeclarationFacts, Diagnostic, Expectation, FileChange, Letter, MergeOutcome,
    MergeRequest, ModuleSource, Outcome, Position, Severity, Submission, merge_outcome,
};
use atlas_testkit::TestNats;
use futures::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the script knows of Lean: `BAD` does not build, nor do `clash_a` and `clash_b` together; `theorem X S := …` declares
/// `N.X` with statement `S`; what says `-- RESTS ON AXIOM` does.
async fn verdict(bus: &Bus, request: &CheckRequest) -> CheckReply {
    let mut reply = CheckReply { id: request.id.clone(), ..CheckReply::default() };
    let mut errors = Vec::new();
    for module in request.modules.iter().filter(|module| request.check.contains(&module.name)) {
        let text = text_of(bus, module).await;
        if text.contains("BAD") || (text.contains("clash_a") && text.contains("clash_b")) {
            errors.push((
                module.name.clone(),
                Some(Position { line: 7, column: 2 }),
                "unsolved goals".to_owned(),
            ));
        }
        if text.contains("CONTRADICTED") {
            reply.incidents.push(format!("{}: one kernel rejects what the other accepts", module.name));
            errors.push((module.name.clone(), None, "one kernel rejects what the other accepts".to_owned()));
        }
        let allowed = allowed(request);
        let behind = text.lines().filter_map(|line| line.strip_prefix("-- RESTS ON "));
        for axiom in behind.filter(|axiom| !allowed.iter().any(|allowed| allowed == axiom)) {
            errors.push((module.name.clone(), None, format!("it rests on the axiom `{axiom}`")));
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

/// The axioms that a check allows.
fn allowed(request: &CheckRequest) -> Vec<String> {
    let asked = request.axioms.as_ref().map(|axioms| axioms.names.clone());
    asked.unwrap_or_else(|| atlas_judge::AXIOMS.map(str::to_owned).to_vec())
}

async fn text_of(bus: &Bus, module: &ModuleSource) -> String {
    String::from_utf8(bus.file(&module.sha256).await.unwrap().to_vec()).unwrap()
}

/// How the verifier behaves beyond its verdicts.
#[derive(Clone)]
struct Script {
    /// It signs receipts with it.
    key: Option<SigningKey>,
    /// How it calls its judge.
    judge: String,
    /// Where it says how many checks it has been asked, over all its lives.
    asking: mpsc::UnboundedSender<usize>,
    asked: Arc<AtomicUsize>,
}

/// One receipt for each checked module, but for modules that say what is to be wrong with theirs: `RECEIPT missing`, and so on.
async fn receipts(
    bus: &Bus,
    request: &CheckRequest,
    key: &SigningKey,
    judge: &str,
) -> Vec<atlas_proto::Receipt> {
    let mut receipts = Vec::new();
    for module in request.modules.iter().filter(|module| request.check.contains(&module.name)) {
        let text = text_of(bus, module).await;
        let wrong = text.lines().find_map(|line| line.strip_prefix("-- RECEIPT ")).unwrap_or_default();
        let mut receipt = Receipt {
            version: atlas_judge::VERSION,
            toolchain: "script".to_owned(),
            module: module.name.clone(),
            source_sha256: module.sha256.clone(),
            export_sha256: module.sha256.clone(),
            kernels: ["one", "two"]
                .map(|kernel| KernelVerdict { kernel: kernel.to_owned(), ..KernelVerdict::default() })
                .to_vec(),
            allowed_axioms: allowed(request),
            judge: judge.to_owned(),
            ..Receipt::default()
        };
        let mut signer = key.clone();
        match wrong {
            "missing" => continue,
            "of another source" => receipt.source_sha256 = "ab".repeat(32),
            "with an axiom" => receipt.allowed_axioms.push("Lean.ofReduceBool".to_owned()),
            "of one kernel" => receipt.kernels.truncate(1),
            "by a stranger" => signer = SigningKey::from_seed(&[99; 32]),
            _ => {}
        }
        receipt = signer.sign(receipt);
        if wrong == "changed" {
            receipt.judge.push('2');
        }
        receipts.push(receipt.into_message().unwrap());
        if wrong == "twice" {
            receipts.push(receipts.last().unwrap().clone());
        }
    }
    receipts
}

/// What one process would hold: its tasks and its connection end together, as in a kill.
struct Life(Option<Runtime>);

impl Life {
    fn new() -> Self {
        let life = Builder::new_multi_thread().worker_threads(2).enable_all().build();
        Self(Some(life.unwrap()))
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.0.as_ref().unwrap().spawn(work)
    }

    async fn kill(mut self) {
        let life = self.0.take().unwrap();
        let ended = tokio::task::spawn_blocking(move || life.shutdown_timeout(Duration::from_secs(60)));
        ended.await.unwrap();
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(life) = self.0.take() {
            life.shutdown_background();
        }
    }
}

pub struct Stage {
    nats: TestNats,
    pub bus: Bus,
    pub folder: tempfile::TempDir,
    pub run: RunId,
    /// How many checks the script has been asked, as it is asked.
    pub questions: mpsc::UnboundedReceiver<usize>,
    pub outcomes: mpsc::UnboundedReceiver<MergeOutcome>,
    pub coordinator: Option<JoinHandle<()>>,
    pub shutdown: CancellationToken,
    script: Script,
    life: Life,
    /// The key ring that the coordinator goes by.
    keys: Option<PathBuf>,
    /// The policy that it goes by from its next start on, and the judge that the script is.
    pub policy: Policy,
}

impl Stage {
    /// A verifier that gives no receipts.
    pub async fn new() -> Self {
        Self::with(None).await
    }

    /// A verifier that signs receipts with this key, and a coordinator that goes by the key's ring.
    pub async fn signing(key: &SigningKey) -> Self {
        Self::with(Some(key.clone())).await
    }

    async fn with(key: Option<SigningKey>) -> Self {
        let nats = TestNats::start().await;
        let bus = nats.bus().await;
        let run = RunId::new("numbers").unwrap();
        let (asking, questions) = mpsc::unbounded_channel();
        let (ended, outcomes) = mpsc::unbounded_channel();
        let script = Script { key, judge: String::new(), asking, asked: Arc::default() };
        tokio::spawn(plan(bus.clone(), run.clone(), ended));
        let folder = tempfile::tempdir().unwrap();
        let shutdown = CancellationToken::new();
        let keys = script.key.as_ref().map(|key| write_ring(folder.path(), key));
        let mut stage = Self {
            nats,
            bus,
            folder,
            run,
            questions,
            outcomes,
            coordinator: None,
            shutdown,
            script,
            life: Life::new(),
            keys,
            policy: Policy { judge: Some("script 1".to_owned()), ..Policy::default() },
        };
        stage.start();
        stage
    }

    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("library.git")
    }

    /// What the coordinator is started with.
    pub fn options(&self) -> Options {
        Options {
            run: self.run.clone(),
            host: "test".to_owned(),
            package: "N".to_owned(),
            repository: self.repository(),
            window_min: 1,
            window_max: 8,
            patience_s: 60,
            receipt_keys: self.keys.clone(),
            policy: self.policy.clone(),
            metrics: Default::default(),
            readiness: Default::default(),
        }
    }

    fn start(&mut self) {
        let options = self.options();
        let (nats, shutdown) = (self.nats.options("merge-coordinator"), self.shutdown.clone());
        self.script.judge = self.policy.judge.clone().unwrap_or_default();
        let script = self.script.clone();
        self.coordinator = Some(self.life.spawn(async move {
            let bus = Bus::connect(&nats).await.unwrap();
            tokio::spawn(verify(bus.clone(), options.run.clone(), script));
            run(options, bus, shutdown).await.unwrap();
        }));
    }

    /// From the next start on the script signs with this key, and the ring has no other.
    pub fn change_key(&mut self, key: &SigningKey) {
        self.keys = Some(write_ring(self.folder.path(), key));
        self.script.key = Some(key.clone());
    }

    /// What the coordinator tells of the queue, once it is so.
    pub async fn view(&self, wanted: impl Fn(&View) -> bool) -> View {
        let mut watch = self.bus.watch_status(&self.run).await.unwrap();
        loop {
            let (service, document) = watch.next().await.unwrap();
            if service.ends_with(STATUS) {
                let view: View = serde_json::from_value(document).unwrap();
                if wanted(&view) {
                    return view;
                }
            }
        }
    }

    /// Ends the coordinator and the verifier wherever they are, as a kill does, and starts others.
    pub async fn kill_and_restart(&mut self) {
        std::mem::replace(&mut self.life, Life::new()).kill().await;
        self.bus.take_over(&self.run).await.unwrap();
        self.start();
    }

    pub async fn send(&self, request: MergeRequest) {
        let id = format!("plan/merge:{}", request.submission.as_ref().unwrap().id);
        let queue = ActorId::singleton(&self.run, ActorKind::Merge);
        self.bus.send(&queue, Letter { letter: Some(Written::MergeRequest(request)) }, &id).await.unwrap();
    }

    pub async fn outcome(&mut self) -> MergeOutcome {
        self.outcomes.recv().await.unwrap()
    }

    /// The next `count` outcomes by submission.
    pub async fn outcomes(&mut self, count: usize) -> BTreeMap<String, MergeOutcome> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            let outcome = self.outcome().await;
            all.insert(outcome.submission.clone(), outcome);
        }
        all
    }

    pub async fn lay_out(&mut self) -> String {
        self.send(skeleton()).await;
        landed(&self.outcome().await).to_owned()
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git").arg("-C").arg(self.repository()).args(arguments).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub async fn text(&self, commit: &str, path: &str) -> String {
        let manifest = self.bus.manifest(commit).await.unwrap();
        let entry = manifest.files.iter().find(|entry| entry.path == path).unwrap();
        String::from_utf8(self.bus.file(&entry.sha256).await.unwrap().to_vec()).unwrap()
    }
}

/// A ring of one key.
fn write_ring(folder: &Path, key: &SigningKey) -> PathBuf {
    let file = folder.join("keys.json");
    let mut ring = KeyRing::default();
    ring.rotate(key.public(), 0);
    ring.write(&file).unwrap();
    file
}

async fn verify(bus: Bus, run: RunId, script: Script) {
    let merge = ActorId::singleton(&run, ActorKind::Merge);
    let mut queue = bus.work::<CheckRequest>(&run, "certify", 4).await.unwrap();
    while let Some(work) = queue.next().await {
        let _ = script.asking.send(script.asked.fetch_add(1, Ordering::Relaxed) + 1);
        let mut reply = verdict(&bus, &work.message).await;
        if let Some(key) = &script.key {
            reply.receipts = receipts(&bus, &work.message, key, &script.judge).await;
        }
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

pub fn skeleton() -> MergeRequest {
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

pub fn change(id: &str, base: &str, path: &str, text: String, declaration: &str) -> MergeRequest {
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

pub fn landed(outcome: &MergeOutcome) -> &str {
    match &outcome.result {
        Some(merge_outcome::Result::Landed(landed)) => &landed.commit,
        other => panic!("{}: {other:?}", outcome.submission),
    }
}

pub fn refused(outcome: &MergeOutcome) -> (&str, &str) {
    match &outcome.result {
        Some(merge_outcome::Result::Refused(refused)) => (&refused.kind, &refused.reason),
        other => panic!("{}: {other:?}", outcome.submission),
    }
}

pub fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in: {text}");
}
