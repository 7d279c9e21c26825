//! What people do by hand to a run that others work on: dead letters, hosts.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::Command;

use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{HumanReply, Letter, letter};
use atlas_testkit::TestNats;
use serde_json::{Value, json};

fn run() -> RunId {
    RunId::new("r").unwrap()
}

/// A folder of runs with one that lives on `nats`.
fn runs(nats: &TestNats) -> tempfile::TempDir {
    let runs = tempfile::tempdir().unwrap();
    let root = runs.path().join("r");
    std::fs::create_dir(&root).unwrap();
    let identity = json!({
        "version": 1, "run": "r", "atlasrun": "atlasrun.yaml", "title": "A book", "created_ms": 1, "inputs": {},
        "nats": { "url": nats.url(), "own": false },
    });
    std::fs::write(root.join("run.json"), identity.to_string()).unwrap();
    let (user, password) = nats.user();
    let credentials = json!({ "user": user, "password": password });
    std::fs::write(root.join("credentials.json"), credentials.to_string()).unwrap();
    runs
}

/// Exit code, standard output, standard error.
async fn atlas(runs: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
    command.args(arguments).arg("--dir").arg(runs).env("NO_COLOR", "1").env_remove("ATLAS_RUNS");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_shown_sent_again_and_dropped() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let runs = runs(&nats);
    let planner = ActorId::singleton(&run(), ActorKind::Plan);
    let mut inbox = bus.inbox(&run(), ActorKind::Plan, 0).await.unwrap();
    let reply = HumanReply { escalation: "sum-even".into(), text: "over the integers".into() };
    let sent = Letter { letter: Some(letter::Letter::HumanReply(reply)) };
    bus.send(&planner, sent.clone(), "one").await.unwrap();
    inbox.next().await.bury("nobody knew what to do with it").await;
    bus.bury_effect(&planner, "land/3", "it failed for good").await.unwrap();

    let (code, listed, _) = atlas(runs.path(), &["dlq", "list", "-o", "json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let kinds: Vec<&str> = listed.as_array().unwrap().iter().map(|l| l["kind"].as_str().unwrap()).collect();
    assert_eq!((code, kinds), (0, vec!["message", "effect"]));
    let number = |at: usize| listed[at]["number"].to_string();
    let (_, shown, _) = atlas(runs.path(), &["dlq", "show", &number(0)]).await;
    assert!(
        shown.contains("nobody knew what to do with it") && shown.contains("over the integers"),
        "{shown}"
    );

    // All of them: the letter goes, the effect cannot and says what to do.
    let (code, told, left) = atlas(runs.path(), &["dlq", "replay", "--all"]).await;
    assert_eq!((code, told.trim()), (2, "1 dead letter sent again"));
    assert!(left.contains("land/3") && left.contains("atlas drain"), "{left}");
    let again = inbox.next().await;
    assert_eq!((again.id.as_str(), &again.letter), ("one", &sent));
    again.ack().await;

    let (code, _, unknown) = atlas(runs.path(), &["dlq", "drop", &number(0)]).await;
    assert!(code == 2 && unknown.contains("there is no dead letter"), "{unknown}");
    assert_eq!(atlas(runs.path(), &["dlq", "drop", &number(1)]).await.0, 0);
    assert_eq!(atlas(runs.path(), &["dlq", "list"]).await.1.trim(), "no dead letters");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_shown_to_people() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let runs = runs(&nats);
    let (code, told, _) = atlas(runs.path(), &["queues"]).await;
    assert!(code == 0 && told.contains("nothing waits"), "{told}");
    let mut inbox = bus.inbox(&run(), ActorKind::Plan, 0).await.unwrap();
    let reply = HumanReply { escalation: "sum-even".into(), text: "yes".into() };
    let letter = Letter { letter: Some(letter::Letter::HumanReply(reply)) };
    bus.send(&ActorId::singleton(&run(), ActorKind::Plan), letter, "one").await.unwrap();
    let held = inbox.next().await;
    let (_, told, _) = atlas(runs.path(), &["queues"]).await;
    let row = |name: &str| {
        let line = told.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.unwrap_or_else(|| panic!("{name}: {told}"))
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(row("plan")[..4], ["plan", "1", "0", "1"], "{told}");
    assert_eq!(row("ATLAS_WORK")[1], "1", "{told}");
    assert!(told.contains("JetStream: 0.0 MB "), "{told}");
    held.ack().await;
    let (code, told, _) = atlas(runs.path(), &["queues", "-o", "json"]).await;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, told["streams"].as_array().unwrap().len()), (0, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_host_that_is_there_and_not_alone_is_drained() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let runs = runs(&nats);
    let lease = bus.try_lease(&run(), ActorKind::Plan, 0, "left").await.unwrap().unwrap();
    let (code, _, why) = atlas(runs.path(), &["drain", "left"]).await;
    assert!(code == 2 && why.contains("the only host"), "{why}");
    let (code, _, why) = atlas(runs.path(), &["drain", "right"]).await;
    assert!(code == 2 && why.contains("its hosts: left"), "{why}");
    let other = bus.try_lease(&run(), ActorKind::Merge, 0, "right").await.unwrap().unwrap();
    let (_, hosts, _) = atlas(runs.path(), &["drain"]).await;
    assert!(hosts.contains("left") && hosts.contains("right"), "{hosts}");

    let told = bus.until_drained(&run(), "left", &tokio_util::sync::CancellationToken::new());
    let host = tokio::spawn(async move {
        told.cancelled().await;
        lease.release().await;
    });
    // Whether it is heard depends on when the host subscribed.
    loop {
        let (code, text, why) = atlas(runs.path(), &["drain", "left"]).await;
        if code == 0 {
            assert!(text.contains("given back 1 partition"), "{text}");
            break;
        }
        assert!(why.contains("no host"), "{why}");
    }
    host.await.unwrap();
    assert_eq!(bus.held(&run()).await.unwrap().len(), 1);
    other.release().await;
}
