//! What lands has receipts that hold; what has none, or another's, does not land.
#![allow(clippy::unwrap_used)]

mod stage;

use std::collections::{BTreeMap, BTreeSet};

use atlas_domain::{ActorId, ActorKind};
use atlas_judge::{KeyRing, Policy, RING_FILE, Receipt, SigningKey, verify};
use atlas_library::layout;
use atlas_merge_coordinator::{MergeQueue, export_receipts};
use atlas_proto::{FileChange, MergeRequest, Submission};
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
