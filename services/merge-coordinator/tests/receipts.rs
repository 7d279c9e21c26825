//! What lands has receipts that hold; what has none, or another's, does not land.
#![allow(clippy::unwrap_used)]

mod stage;

use std::collections::{BTreeMap, BTreeSet};

use atlas_domain::{ActorId, ActorKind};
use atlas_judge::{KeyRing, Policy, RING_FILE, Receipt, SigningKey, verify};
use atlas_library::layout;
use atlas_merge_coordinator::{MergeQueue, export_receipts};
use atlas_proto::merge_event::Event;
use atlas_proto::{FileChange, MergeEvent, MergeRequest, Submission};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use stage::{Stage, assert_contains, change, landed, refused};

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::default();
    ring.rotate(key().public(), 0);
    ring
}

/// The receipts that a commit names, by module; each is in the object store, holds, and is of the sources at that commit.
async fn receipts_of(stage: &Stage, commit: &str) -> BTreeMap<String, Receipt> {
    let format = "--format=%(trailers:key=Atlas-Receipt,valueonly)";
    let mut receipts = BTreeMap::new();
    for digest in stage.git(&["log", "-1", format, commit]).lines().filter(|line| !line.is_empty()) {
        let file = stage.bus.receipt(digest).await.unwrap();
        assert_eq!(hex::encode(Sha256::digest(&file)), digest);
        let receipt = Receipt::from_json(&file).unwrap();
        verify(&receipt, &ring(), &Policy::default()).unwrap();
        let source = stage.git(&["show", &format!("{commit}:{}", layout::module_path(&receipt.module))]);
        assert_eq!(receipt.source_sha256, hex::encode(Sha256::digest(source)));
        assert!(
            receipts.insert(receipt.module.clone(), receipt).is_none(),
            "{digest} is of a module of another"
        );
    }
    receipts
}

fn names(receipts: &BTreeMap<String, Receipt>) -> Vec<&str> {
    receipts.keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_landing_names_a_receipt_of_each_module_that_it_touches() {
    let mut stage = Stage::signing(&key()).await;
    let base = stage.lay_out().await;
    assert_eq!(names(&receipts_of(&stage, &base).await), ["N.A", "N.B"]);

    // N.C rests on N.A: a change of that certifies both anew.
    let c = "module\n\npublic import N.A\n\ntheorem c True := sorry\n";
    stage.send(change("c", &base, "N/C.lean", c.to_owned(), "c")).await;
    let with_c = landed(&stage.outcome().await).to_owned();
    assert_eq!(names(&receipts_of(&stage, &with_c).await), ["N.C"]);
    let text =
        layout::with_region(&stage.text(&with_c, "N/A.lean").await, "t0", "theorem a True := sorry").unwrap();
    stage.kill_and_restart().await;
    stage.send(change("a", &with_c, "N/A.lean", text, "a")).await;
    let with_a = landed(&stage.outcome().await).to_owned();
    assert_eq!(names(&receipts_of(&stage, &with_a).await), ["N.A", "N.C"]);

    // What goes to people is of what is in the library now.
    let folder = stage.folder.path().join("receipts");
    let merge = ActorId::singleton(&stage.run, ActorKind::Merge);
    let queue: MergeQueue = atlas_actor::replay(&stage.bus, &merge).await.unwrap();
    assert_eq!((queue.totals().landed, queue.totals().receipted), (3, 3));
    let exported = export_receipts(&stage.bus, queue.receipts(), &ring(), &folder).await.unwrap();
    assert_eq!(names(&exported), ["N.A", "N.B", "N.C"]);
    let there = || {
        let entries = std::fs::read_dir(&folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<BTreeSet<_>>()
    };
    assert_eq!(Vec::from_iter(there()), ["N.A.json", "N.B.json", "N.C.json", RING_FILE]);
    let keys = KeyRing::read(&folder.join(RING_FILE)).unwrap();
    for (module, receipt) in &exported {
        let file = std::fs::read(folder.join(format!("{module}.json"))).unwrap();
        assert_eq!(hex::encode(Sha256::digest(&file)), queue.receipts()[module]);
        verify(receipt, &keys, &Policy::default()).unwrap();
        let source = stage.git(&["show", &format!("main:{}", layout::module_path(module))]);
        assert_eq!(receipt.source_sha256, hex::encode(Sha256::digest(source)), "{module}");
    }

    // A module that goes takes its receipt with it; what somebody else keeps there stays.
    std::fs::write(folder.join("notes.json"), "{}").unwrap();
    let gone = Submission {
        id: "gone".to_owned(),
        base_commit: with_a,
        changes: vec![FileChange { path: "N/C.lean".to_owned(), content: None }],
        ..Submission::default()
    };
    stage.send(MergeRequest { submission: Some(gone), ..MergeRequest::default() }).await;
    landed(&stage.outcome().await);
    let queue: MergeQueue = atlas_actor::replay(&stage.bus, &merge).await.unwrap();
    export_receipts(&stage.bus, queue.receipts(), &ring(), &folder).await.unwrap();
    assert_eq!(Vec::from_iter(there()), ["N.A.json", "N.B.json", RING_FILE, "notes.json"]);
    stage.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_lands_on_a_receipt_that_is_missing_or_does_not_hold() {
    let mut stage = Stage::signing(&key()).await;
    let base = stage.lay_out().await;
    let cases = [
        ("by a stranger", "it is signed with a key that the ring does not have"),
        ("changed", "its signature is not of what it says"),
        ("of another source", "is of another source"),
        ("with an axiom", "the judge allowed the axiom `Lean.ofReduceBool`"),
        ("of one kernel", "1 different kernels accepted, the policy asks for 2"),
        ("twice", "is there twice"),
    ];
    let file = stage.text(&base, "N/A.lean").await;
    for (at, (wrong, reason)) in cases.into_iter().enumerate() {
        let id = format!("s{at}");
        let text = format!("theorem {id} True := sorry\n-- RECEIPT {wrong}");
        let text = layout::with_region(&file, &format!("t{at}"), &text).unwrap();
        stage.send(change(&id, &base, "N/A.lean", text, &id)).await;
        let outcome = stage.outcome().await;
        let (kind, said) = refused(&outcome);
        assert_eq!(kind, "environment", "{wrong}: {said}");
        assert_contains(said, reason);
        assert_contains(said, "N.A");
    }
    // One of two modules has a receipt: the other lands no more than it would alone.
    let c = "module\n\npublic import N.A\n\n-- RECEIPT missing\ntheorem c True := sorry\n";
    let mut both = change("both", &base, "N/C.lean", c.to_owned(), "c");
    let text = layout::with_region(&file, "t9", "theorem good True := sorry").unwrap();
    both.submission
        .as_mut()
        .unwrap()
        .changes
        .push(FileChange { path: "N/A.lean".to_owned(), content: Some(text.clone().into_bytes()) });
    stage.send(both).await;
    let outcome = stage.outcome().await;
    assert_contains(refused(&outcome).1, "the verifier accepted N.C without a receipt");
    assert_eq!(stage.git(&["rev-parse", "main"]).trim(), base, "nothing has landed");

    stage.send(change("good", &base, "N/A.lean", text, "good")).await;
    landed(&stage.outcome().await);
    stage.shutdown.cancel();
}

/// What the queue has journaled.
async fn events(stage: &Stage) -> Vec<Event> {
    let merge = ActorId::singleton(&stage.run, ActorKind::Merge);
    let records = stage.bus.records(&merge).await.unwrap();
    let events = records.iter().flat_map(|(_, record)| &record.events);
    events.filter_map(|bytes| MergeEvent::decode(bytes.as_slice()).unwrap().event).collect()
}

/// The modules of which a receipt was made anew, in order, since the policy was told for the last time.
async fn renewed(stage: &Stage) -> Vec<String> {
    let events = events(stage).await;
    let told = events.iter().rposition(|event| matches!(event, Event::Policy(_))).unwrap();
    let renewed = events[told..].iter().filter_map(|event| match event {
        Event::Renewed(renewed) => Some(renewed.receipt.clone().unwrap().module),
        _ => None,
    });
    renewed.collect()
}

/// The receipts of what is on `main`, as the queue has them: each is to be had, holds under the policy, and is of the source there.
async fn current(stage: &Stage, keys: &KeyRing) -> BTreeMap<String, Receipt> {
    let merge = ActorId::singleton(&stage.run, ActorKind::Merge);
    let queue: MergeQueue = atlas_actor::replay(&stage.bus, &merge).await.unwrap();
    let axioms = stage.policy.axioms.clone();
    let policy = Policy { judge: stage.policy.judge.clone(), axioms, ..Policy::default() };
    let mut receipts = BTreeMap::new();
    for (module, sha256) in queue.receipts() {
        let receipt = Receipt::from_json(&stage.bus.receipt(sha256).await.unwrap()).unwrap();
        let source = stage.git(&["show", &format!("main:{}", layout::module_path(module))]);
        assert_eq!(receipt.source_sha256, hex::encode(Sha256::digest(source)), "{module}");
        if verify(&receipt, keys, &policy).is_ok() {
            receipts.insert(module.clone(), receipt);
        }
    }
    receipts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_certified_under_another_policy_is_certified_again_and_what_is_not_is_named() {
    let mut stage = Stage::signing(&key()).await;
    let base = stage.lay_out().await;
    // Each rests on the one before; only N.A itself on an axiom.
    let text = "theorem a True := sorry\n-- RESTS ON Classical.choice";
    let text = layout::with_region(&stage.text(&base, "N/A.lean").await, "t0", text).unwrap();
    stage.send(change("a", &base, "N/A.lean", text, "a")).await;
    let mut head = landed(&stage.outcome().await).to_owned();
    for (id, below) in [("c", "N.A"), ("d", "N.C")] {
        let text = format!("module\n\npublic import {below}\n\ntheorem {id} True := sorry\n");
        let path = format!("N/{}.lean", id.to_uppercase());
        stage.send(change(id, &head, &path, text, id)).await;
        head = landed(&stage.outcome().await).to_owned();
    }

    // Another judge; the coordinator is killed at the second question.
    stage.policy.judge = Some("script 2".to_owned());
    while stage.questions.try_recv().is_ok() {}
    stage.kill_and_restart().await;
    stage.questions.recv().await.unwrap();
    stage.questions.recv().await.unwrap();
    stage.kill_and_restart().await;
    let judge = |view: &atlas_merge_coordinator::View| view.policy.clone().unwrap_or_default().judge;
    let view = stage.view(|view| judge(view) == "script 2" && view.receipts.current == 4).await;
    assert_eq!((view.receipts.renewing, view.lapsed.len()), (0, 0), "{view:?}");
    assert_eq!(names(&current(&stage, &ring()).await), ["N.A", "N.B", "N.C", "N.D"]);
    // One receipt a module, in the order of imports. The commits name those that they landed with.
    let order = renewed(&stage).await;
    let mut once = order.clone();
    once.sort();
    assert_eq!(once, ["N.A", "N.B", "N.C", "N.D"]);
    let at = |module: &str| order.iter().position(|renewed| renewed == module).unwrap();
    assert!(at("N.A") < at("N.C") && at("N.C") < at("N.D"), "{order:?}");
    assert_eq!(receipts_of(&stage, &head).await["N.D"].judge, "script 1");

    // Fewer axioms: N.A is named, and what imports it does not land; the rest does.
    stage.policy.axioms.remove("Classical.choice");
    stage.kill_and_restart().await;
    let view = stage.view(|view| !view.lapsed.is_empty() && view.receipts.current == 3).await;
    let [lapsed] = &view.lapsed[..] else { panic!("{view:?}") };
    assert_eq!((lapsed.module.as_str(), lapsed.kind.as_str()), ("N.A", "axioms"));
    assert_contains(&lapsed.reason, "it rests on the axiom `Classical.choice`");
    assert_eq!(names(&current(&stage, &ring()).await), ["N.B", "N.C", "N.D"]);
    let asked = events(&stage).await.iter().filter(|event| matches!(event, Event::Renewing(_))).count();
    stage.kill_and_restart().await;
    let above = "module\n\npublic import N.D\n\ntheorem e True := sorry\n";
    stage.send(change("e", &head, "N/E.lean", above.to_owned(), "e")).await;
    let outcome = stage.outcome().await;
    let (kind, reason) = refused(&outcome);
    assert_eq!(kind, "policy");
    assert_contains(reason, "N.A, which it imports, is no longer certified under the present policy: ");
    assert_contains(reason, "`Classical.choice`");
    let beside = "module\n\npublic import N.B\n\ntheorem f True := sorry\n";
    stage.send(change("f", &head, "N/F.lean", beside.to_owned(), "f")).await;
    landed(&stage.outcome().await);
    let again = events(&stage).await.iter().filter(|event| matches!(event, Event::Renewing(_))).count();
    assert_eq!(again, asked, "a policy asks of a module once, whoever starts again");

    // All axioms again, and the key is taken out of the ring: everything is signed anew.
    let other = SigningKey::from_seed(&[8; 32]);
    stage.policy.axioms.insert("Classical.choice".to_owned());
    stage.change_key(&other);
    stage.kill_and_restart().await;
    let view = stage.view(|view| view.receipts.current == 5 && view.lapsed.is_empty()).await;
    assert_eq!(view.receipts.renewing, 0, "{view:?}");
    let mut keys = KeyRing::default();
    keys.rotate(other.public(), 0);
    assert_eq!(names(&current(&stage, &keys).await), ["N.A", "N.B", "N.C", "N.D", "N.F"]);
    stage.shutdown.cancel();
}
