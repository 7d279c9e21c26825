//! The service on a real nats-server signs the receipts of certified verdicts; a script stands where Lean would.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_domain::{ActorKind, RunId};
use atlas_judge::{KERNELS, KeyRing, Policy, RING_FILE, Receipt, VERSION, verify};
use atlas_lean::Toolchain;
use atlas_lean_verifier::{Error, Options, run};
use atlas_proto::letter::Letter as Written;
use atlas_proto::receipt::KernelVerdict;
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, LookupReply, LookupRequest, ModuleSource, Outcome};
use atlas_testkit::TestNats;
use tokio_util::sync::CancellationToken;

/// Knows the smoke test's questions, rejects `BAD`, and gives a receipt with every verdict, whatever it is.
struct Script;

impl Toolchain for Script {
    fn name(&self) -> String {
        "script".to_owned()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        let mut reply = CheckReply { toolchain: self.name(), ..CheckReply::default() };
        reply.set_outcome(Outcome::Accepted);
        for module in &request.modules {
            let text = String::from_utf8(module.source.clone().unwrap()).unwrap();
            if ["BAD", "a + b = a :=", "axiom ", "skipKernelTC"].iter().any(|bad| text.contains(bad)) {
                reply.set_outcome(Outcome::Rejected);
            }
            reply.receipts.push(atlas_proto::Receipt {
                version: VERSION,
                toolchain: self.name(),
                module: module.name.clone(),
                source_sha256: "ab".repeat(32),
                export_sha256: if text.contains("MALFORMED") { "none".to_owned() } else { "cd".repeat(32) },
                kernels: (0..KERNELS)
                    .map(|at| KernelVerdict { kernel: at.to_string(), ..KernelVerdict::default() })
                    .collect(),
                judge: "script 1".to_owned(),
                ..atlas_proto::Receipt::default()
            });
        }
        reply
    }

    fn lookup(&self, _: &LookupRequest) -> LookupReply {
        LookupReply::default()
    }
}

fn options(run: &RunId, keys: &std::path::Path) -> Options {
    Options {
        host: "verifier".to_owned(),
        run: run.clone(),
        concurrency: 2,
        waiting: 8,
        deadline_ms: 1_000,
        memory_bytes: 1 << 20,
        receipt_keys: keys.to_owned(),
        metrics: Default::default(),
        readiness: Default::default(),
    }
}

fn question(id: &str, level: CheckLevel, source: &str) -> CheckRequest {
    let module = ModuleSource {
        name: "N.A".to_owned(),
        sha256: String::new(),
        source: Some(source.as_bytes().to_vec()),
    };
    CheckRequest {
        id: id.to_owned(),
        level: level.into(),
        modules: vec![module],
        check: vec!["N.A".to_owned()],
        ..CheckRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certified_and_accepted_verdicts_leave_with_signed_receipts_and_no_others_do() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let of = RunId::new("numbers").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys");
    let shutdown = CancellationToken::new();
    let service = tokio::spawn(run(options(&of, &keys), Arc::new(Script), bus.clone(), shutdown.clone()));

    let questions = [
        question("certified", CheckLevel::Certified, "theorem a : True := trivial"),
        question("elaborated", CheckLevel::Elaborated, "theorem a : True := trivial"),
        question("rejected", CheckLevel::Certified, "BAD"),
        question("malformed", CheckLevel::Certified, "-- MALFORMED"),
    ];
    for question in &questions {
        bus.send_work(&of, "certify", question, &question.id).await.unwrap();
    }
    let mut inbox = bus.inbox(&of, ActorKind::Merge, 0).await.unwrap();
    let mut replies = BTreeMap::new();
    while replies.len() < questions.len() {
        let delivery = inbox.next().await;
        if let Some(Written::CheckReply(reply)) = delivery.letter.letter.clone() {
            replies.insert(reply.id.clone(), reply);
        }
        delivery.ack().await;
    }
    let ring = KeyRing::read(&keys.join(RING_FILE)).unwrap();
    let [message] = &replies["certified"].receipts[..] else { panic!("{replies:?}") };
    let receipt = Receipt::from_message(message.clone()).unwrap();
    verify(&receipt, &ring, &Policy::default()).unwrap();
    assert_eq!((receipt.module.as_str(), replies["certified"].outcome()), ("N.A", Outcome::Accepted));
    for (id, outcome) in [("elaborated", Outcome::Accepted), ("rejected", Outcome::Rejected)] {
        assert_eq!((replies[id].outcome(), replies[id].receipts.len()), (outcome, 0), "{id}");
    }
    // What cannot be signed is not told as a verdict.
    assert_eq!(replies["malformed"].outcome(), Outcome::EnvironmentFault);
    assert!(
        replies["malformed"].fault.contains("receipt of N.A cannot be signed"),
        "{}",
        replies["malformed"].fault
    );
    shutdown.cancel();
    service.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_verifier_whose_key_others_can_read_serves_nobody() {
    use std::os::unix::fs::PermissionsExt as _;
    let nats = TestNats::start().await;
    let folder = tempfile::tempdir().unwrap();
    atlas_judge::SigningKey::open_or_make(folder.path(), 1).unwrap();
    let file = folder.path().join(atlas_judge::SIGNING_FILE);
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let options = options(&RunId::new("numbers").unwrap(), folder.path());
    let refused =
        run(options, Arc::new(Script), nats.bus().await, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(refused, Error::Key(_)), "{refused}");
}
