//! Submissions become commits or come back, on a real nats-server and a real repository.
#![allow(clippy::unwrap_used)]

mod stage;

use std::collections::BTreeMap;
use std::path::Path;

use atlas_domain::{ActorId, ActorKind};
use atlas_judge::SigningKey;
use atlas_library::layout;
use atlas_merge_coordinator::{MergeQueue, Rebuilt, STATUS, export, rebuild, run};
use atlas_proto::merge_event::Event;
use atlas_proto::{ClearIncident, Letter, MergeEvent, letter, merge_outcome};
use futures::StreamExt as _;
use prost::Message as _;
use tokio_util::sync::CancellationToken;

use stage::{Stage, assert_contains, change, landed, refused};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn landings_wait_for_a_person_to_clear_a_contradiction_of_kernels() {
    let mut stage = Stage::new().await;
    let base = stage.lay_out().await;
    let file = stage.text(&base, "N/A.lean").await;
    let region = |id: &str, content: &str| layout::with_region(&file, id, content).unwrap();
    let odd = region("t0", "theorem odd CONTRADICTED := sorry");
    stage.send(change("odd", &base, "N/A.lean", odd, "odd")).await;
    let outcome = stage.outcome().await;
    let (kind, reason) = refused(&outcome);
    assert_eq!(kind, "incident");
    assert_contains(reason, "N.A: one kernel rejects what the other accepts");
    let good = region("t1", "theorem good True := sorry");
    stage.send(change("good", &base, "N/A.lean", good, "good")).await;
    // The skeleton's, the odd one's, this one's.
    while stage.questions.recv().await.unwrap() < 3 {}
    stage.kill_and_restart().await;
    let merge = ActorId::singleton(&stage.run, ActorKind::Merge);
    let queue: MergeQueue = atlas_actor::replay(&stage.bus, &merge).await.unwrap();
    let incident = queue.incidents().next().unwrap().id.clone();
    let clear = ClearIncident { incident, note: "a mistake of ours".to_owned() };
    let letter = Letter { letter: Some(letter::Letter::ClearIncident(clear)) };
    stage.bus.send(&merge, letter, "clear").await.unwrap();
    landed(&stage.outcome().await);
    let records = stage.bus.records(&merge).await.unwrap();
    let events: Vec<Event> = (records.iter().flat_map(|(_, record)| &record.events))
        .filter_map(|bytes| MergeEvent::decode(bytes.as_slice()).unwrap().event)
        .collect();
    let at = |wanted: &dyn Fn(&Event) -> bool| events.iter().rposition(wanted).unwrap();
    assert!(at(&|event| matches!(event, Event::Cleared(_))) < at(&|event| matches!(event, Event::Chosen(_))));
    stage.shutdown.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_that_was_lost_is_built_anew_from_the_journal_commit_for_commit() {
    let mut stage = Stage::signing(&SigningKey::from_seed(&[7; 32])).await;
    let base = stage.lay_out().await;
    let file = stage.text(&base, "N/A.lean").await;
    let region = |id: &str, content: &str| layout::with_region(&file, id, content).unwrap();
    // Landed together or apart, refused, and on a base that has moved on.
    for (id, slot) in [("one", "t0"), ("two", "t1"), ("same-place", "t1"), ("BAD", "t3"), ("three", "t4")] {
        let text = region(slot, &format!("theorem {id} True := sorry"));
        stage.send(change(id, &base, "N/A.lean", text, id)).await;
    }
    stage.outcomes(5).await;
    let head = stage.git(&["rev-parse", "main"]).trim().to_owned();
    let history = stage.git(&["rev-list", "main"]);
    assert_eq!(history.lines().count(), 4);
    assert!(
        stage.git(&["log", "--format=%b", "main"]).contains("Atlas-Receipt: "),
        "receipts are part of commits"
    );
    stage.shutdown.cancel();
    stage.coordinator.take().unwrap().await.unwrap();

    let path = stage.repository();
    let blob = stage.git(&["rev-parse", "main:N/A.lean"]).trim().to_owned();
    std::fs::remove_file(path.join("objects").join(&blob[..2]).join(&blob[2..])).unwrap();
    let refused =
        run(stage.options(), stage.bus.clone(), CancellationToken::new()).await.unwrap_err().to_string();
    assert_contains(&refused, &blob);
    assert_contains(&refused, "is not what the merge queue's journal says");
    assert_contains(&refused, "`atlas repair`");
    std::fs::remove_dir_all(&path).unwrap();
    let refused =
        run(stage.options(), stage.bus.clone(), CancellationToken::new()).await.unwrap_err().to_string();
    assert_contains(&refused, &format!("it has no branch main, which was at {head}"));

    std::fs::remove_dir_all(&path).unwrap();
    let rebuilt = rebuild(&stage.bus, &stage.run, &path).await.unwrap();
    assert_eq!(rebuilt, Rebuilt { commits: 4, main: Some(head) });
    assert_eq!(stage.git(&["rev-list", "main"]), history);
    stage.git(&["fsck", "--strict"]);
}
