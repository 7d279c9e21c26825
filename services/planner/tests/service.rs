//! The service on a real nats-server, with the letters of agents and merge queue written by the test.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas_bus::{Bus, Spec};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_planner::{Options, Planner, Status};
use atlas_proto::letter::Letter as Written;
use atlas_proto::{
    Decision, DeclarationFacts, Decompose, Landed, LedgerReply, LedgerRequest, Letter, Manifest,
    ManifestEntry, MergeOutcome, Policy, Report, Reserve, Review, RunSpec, Settle, Submission, Target, Task,
    Triage, Usage, ledger_reply, ledger_request, merge_outcome, report, triage,
};
use atlas_telemetry::{Metrics, Readiness};
use atlas_testkit::TestNats;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

fn run_id() -> RunId {
    RunId::new("book").unwrap()
}

fn planner() -> ActorId {
    ActorId::singleton(&run_id(), ActorKind::Plan)
}

fn options(host: &str) -> Options {
    Options {
        run: run_id(),
        host: host.into(),
        targets_file: None,
        metrics: Metrics::default(),
        readiness: Readiness::default(),
    }
}

fn target(id: &str, kind: &str, statement: &[&str], proof: &[&str]) -> Target {
    Target {
        id: id.into(),
        kind: kind.into(),
        chapter: "01-parity".into(),
        statement: format!("The book's words on {id}."),
        statement_depends_on: statement.iter().map(|&s| s.into()).collect(),
        proof_depends_on: proof.iter().map(|&s| s.into()).collect(),
        declaration: format!("N.{}", id.replace('-', "_")),
        module: "N.Parity".into(),
        ..Target::default()
    }
}

fn spec(policy: Policy) -> RunSpec {
    RunSpec {
        run: "book".into(),
        targets: vec![
            target("even", "definition", &[], &[]),
            target("halves", "lemma", &["even"], &[]),
            target("even-add", "theorem", &["even"], &["halves"]),
        ],
        package: "N".into(),
        policy: Some(policy),
        ..RunSpec::default()
    }
}

async fn ask(bus: &Bus, request: ledger_request::Request) -> ledger_reply::Reply {
    let question = LedgerRequest { request: Some(request) };
    loop {
        let answer: Result<LedgerReply, _> =
            bus.request("atlas.ledger.book", &question, Duration::from_secs(5)).await;
        match answer {
            Ok(reply) => return reply.reply.unwrap(),
            // The host is being replaced.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

fn reserve(call: String, role: &str, cost: u64) -> ledger_request::Request {
    let estimate = Some(Usage { cost_microdollars: cost, ..Usage::default() });
    ledger_request::Request::Reserve(Reserve { call, role: role.into(), target: String::new(), estimate })
}

/// The attempts that agents have been asked for.
type Seen = watch::Sender<BTreeSet<String>>;

/// Every agent: asks the ledger for one call, does what its role does, reports.
async fn agents(bus: Bus, seen: Seen) {
    let mut inbox = bus.inbox(&run_id(), ActorKind::Agent, 0).await.unwrap();
    loop {
        let delivery = inbox.next().await;
        let Some(Written::Task(task)) = delivery.letter.letter.clone() else {
            panic!("a letter that is no task")
        };
        delivery.ack().await;
        if !seen.send_if_modified(|seen| seen.insert(task.attempt.clone())) {
            continue;
        }
        let call = format!("{}/1", task.attempt);
        let mut usage = Usage { cost_microdollars: 40, output_tokens: 4, model_calls: 1, ..Usage::default() };
        let result = match ask(&bus, reserve(call.clone(), &task.role, 100)).await {
            ledger_reply::Reply::Refused(why) => {
                usage = Usage::default();
                report::Result::OutOfBudget(why)
            }
            ledger_reply::Reply::Granted(_) => {
                ask(&bus, ledger_request::Request::Settle(Settle { call, usage: Some(usage) })).await;
                work(&task)
            }
        };
        let report = Report {
            attempt: task.attempt.clone(),
            role: task.role.clone(),
            target: task.target.unwrap().id,
            number: task.number,
            usage: Some(usage),
            turns: 1,
            result: Some(result),
            ..Report::default()
        };
        let id = format!("report/{}", task.attempt);
        bus.send(&planner(), Letter { letter: Some(Written::Report(report)) }, &id).await.unwrap();
    }
}

fn work(task: &Task) -> report::Result {
    let target = task.target.as_ref().unwrap();
    match task.role.as_str() {
        "mathematical-reviewer" | "engineering-reviewer" => report::Result::Review(Review {
            submission: task.subject.as_ref().unwrap().id.clone(),
            decision: Decision::Approve.into(),
            reasons: vec![],
            ..Review::default()
        }),
        "prover" if target.id == "even-add" && task.number == 1 => {
            report::Result::GaveUp("too much at once".into())
        }
        "triage" => {
            assert_eq!(task.memory.last().unwrap().reason, "too much at once");
            let part =
                Target { id: "even-add-left".into(), statement: "Half of it.".into(), ..Target::default() };
            let action =
                triage::Action::Decompose(Decompose { targets: vec![part], reason: "halve it".into() });
            report::Result::Triage(Triage { action: Some(action) })
        }
        _ => report::Result::Submission(Submission {
            id: format!("{}.1", task.attempt),
            attempt: task.attempt.clone(),
            target: target.id.clone(),
            role: task.role.clone(),
            base_commit: task.base_commit.clone(),
            ..Submission::default()
        }),
    }
}

/// The merge queue: lands everything and publishes the library.
async fn merge_queue(bus: Bus, library: Arc<Mutex<BTreeMap<String, String>>>) {
    let mut inbox = bus.inbox(&run_id(), ActorKind::Merge, 0).await.unwrap();
    let mut seen = BTreeSet::new();
    let mut commits = 0;
    loop {
        let delivery = inbox.next().await;
        let Some(Written::MergeRequest(request)) = delivery.letter.letter.clone() else {
            panic!("no merge request")
        };
        delivery.ack().await;
        let submission = request.submission.unwrap();
        if !seen.insert(submission.id.clone()) {
            continue;
        }
        commits += 1;
        let commit = format!("{commits:040}");
        let files: Vec<(String, String)> = {
            let mut library = library.lock().unwrap();
            for change in submission.changes {
                library.insert(change.path, String::from_utf8(change.content.unwrap()).unwrap());
            }
            library.clone().into_iter().collect()
        };
        let mut manifest = Manifest { commit: commit.clone(), files: vec![] };
        for (path, text) in files {
            let size = text.len() as u64;
            let sha256 = bus.put_file(text.into_bytes().into()).await.unwrap();
            manifest.files.push(ManifestEntry { path, sha256, size });
        }
        bus.put_manifest(&manifest).await.unwrap();
        let declarations = request.expectations.iter().map(|expected| DeclarationFacts {
            name: expected.declaration.clone(),
            statement: "∀ n, …".into(),
            statement_hash: "00".into(),
            uses_sorry: expected.may_sorry,
            sorry_from: expected.may_sorry.then(|| expected.declaration.clone()).into_iter().collect(),
            ..DeclarationFacts::default()
        });
        let landed = Landed { commit, declarations: declarations.collect(), sequence: commits };
        let outcome = MergeOutcome {
            submission: submission.id.clone(),
            target: submission.target,
            result: Some(merge_outcome::Result::Landed(landed)),
        };
        let letter = Letter { letter: Some(Written::MergeOutcome(outcome)) };
        bus.send(&planner(), letter, &format!("outcome/{}", submission.id)).await.unwrap();
    }
}

async fn finished(bus: &Bus) -> Status {
    use futures::StreamExt as _;
    let mut documents = bus.watch_status(&run_id()).await.unwrap();
    while let Some((service, document)) = documents.next().await {
        let status: Status = serde_json::from_value(document).unwrap();
        if service == "planner" && status.finished.is_some() {
            return status;
        }
    }
    panic!("the bus ended before the run")
}

async fn open(bus: &Bus, policy: Policy) {
    let letter = Letter { letter: Some(Written::RunSpec(spec(policy))) };
    bus.send(&planner(), letter, "open").await.unwrap();
}

fn short_leases() -> Spec {
    let mut spec = Spec::new(1);
    spec.lease_ttl = Duration::from_secs(1);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_after_its_host_was_killed_and_ends_with_everything_certified() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&short_leases()).await;
    let (seen, library) = (Seen::default(), Arc::default());
    let world = [
        tokio::spawn(agents(bus.clone(), seen.clone())),
        tokio::spawn(merge_queue(bus.clone(), Arc::clone(&library))),
    ];
    let policy =
        Policy { max_agents: 4, attempts_per_task: 1, racing: 1, triage_limit: 2, ..Policy::default() };
    open(&bus, policy).await;

    // The first host dies when the first proof has been asked for; nothing of it is given back.
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first_bus = nats.bus_with(&short_leases()).await;
    first.spawn(atlas_planner::run(options("first"), first_bus, CancellationToken::new()));
    let proving = |seen: &BTreeSet<String>| seen.iter().any(|attempt| attempt.contains(".prover."));
    seen.subscribe().wait_for(proving).await.unwrap();
    first.shutdown_background();

    let stop = CancellationToken::new();
    let second = tokio::spawn(atlas_planner::run(options("second"), bus.clone(), stop.clone()));
    let status = tokio::time::timeout(Duration::from_secs(60), finished(&bus)).await.unwrap();
    stop.cancel();
    second.await.unwrap().unwrap();
    world.iter().for_each(tokio::task::JoinHandle::abort);

    let end = status.finished.unwrap();
    assert_eq!((end.exit_code, end.reason.as_str()), (0, "all 4 targets are certified"));
    let calls: u64 = status.usage.values().map(|usage| usage.model_calls).sum();
    assert_eq!(calls, seen.borrow().len() as u64, "each attempt paid for its one call once");
    let module = library.lock().unwrap()["N/Parity.lean"].clone();
    let order: Vec<usize> = ["even", "halves", "even-add-left", "even-add"]
        .iter()
        .map(|id| module.find(&format!("-- begin {id}\n")).unwrap())
        .collect();
    assert!(order.is_sorted(), "regions in dependency order:\n{module}");

    let replayed: Planner = atlas_actor::replay(&bus, &planner()).await.unwrap();
    let outcomes: Vec<String> =
        replayed.attempts("even-add").iter().map(|a| format!("{} {}", a.role, a.outcome)).collect();
    assert_eq!(
        outcomes,
        [
            "formalizer landed",
            "mathematical-reviewer approved",
            "prover gave-up",
            "triage decomposed",
            "prover landed",
            "engineering-reviewer approved",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_budget_the_run_finishes_what_is_paid_for_and_goes_on_with_a_larger_one() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&Spec::new(1)).await;
    let world = [
        tokio::spawn(agents(bus.clone(), Seen::default())),
        tokio::spawn(merge_queue(bus.clone(), Arc::default())),
    ];
    let stop = CancellationToken::new();
    let service = tokio::spawn(atlas_planner::run(options("only"), bus.clone(), stop.clone()));
    let small = Policy { max_agents: 1, attempts_per_task: 1, budget_microdollars: 200, ..Policy::default() };
    open(&bus, small.clone()).await;
    let status = tokio::time::timeout(Duration::from_secs(60), finished(&bus)).await.unwrap();
    let end = status.finished.unwrap();
    assert_eq!(end.exit_code, 4, "{}", end.reason);
    let spent: u64 = status.usage.values().map(|usage| usage.cost_microdollars).sum();
    assert!(spent > 0 && spent <= 200, "{spent} of 200 spent");

    let letter =
        Letter { letter: Some(Written::RunSpec(spec(Policy { budget_microdollars: 1_000_000, ..small }))) };
    bus.send(&planner(), letter, "open-again").await.unwrap();
    let all = async {
        loop {
            let status = finished(&bus).await;
            if status.finished.as_ref().is_some_and(|end| end.exit_code == 0) {
                return status;
            }
        }
    };
    let status = tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert_eq!(status.counts["certified"], 4);
    stop.cancel();
    service.await.unwrap().unwrap();
    world.iter().for_each(tokio::task::JoinHandle::abort);
}
