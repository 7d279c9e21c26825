//! Objects and status on a real nats-server.
#![allow(clippy::unwrap_used)]

use atlas_bus::Error;
use atlas_bus::is_at_work;
use atlas_domain::RunId;
use atlas_proto::{Manifest, ManifestEntry};
use atlas_testkit::TestNats;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::json;

#[tokio::test]
async fn files_are_kept_by_content_and_read_by_anyone() {
    let nats = TestNats::start().await;
    let (bus, other) = (nats.bus().await, nats.bus().await);
    let large = Bytes::from((0..3_500_000u32).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    for bytes in [Bytes::new(), Bytes::from_static(b"theorem"), large] {
        let sha256 = bus.put_file(bytes.clone()).await.unwrap();
        assert_eq!(other.put_file(bytes.clone()).await.unwrap(), sha256);
        assert_eq!(other.file(&sha256).await.unwrap(), bytes);
        assert_eq!(nats.bus().await.file(&sha256).await.unwrap(), bytes);
    }
    let entry = ManifestEntry { path: "Numbers.lean".to_owned(), sha256: "00".to_owned(), size: 3 };
    let manifest = Manifest { commit: "abc".to_owned(), files: vec![entry] };
    bus.put_manifest(&manifest).await.unwrap();
    assert_eq!(*other.manifest("abc").await.unwrap(), manifest);
    assert!(matches!(other.manifest("def").await, Err(Error::NotFound { what }) if what == "manifest/def"));
    bus.put_object("report", Bytes::from_static(b"first")).await.unwrap();
    bus.put_object("report", Bytes::from_static(b"second")).await.unwrap();
    assert_eq!(other.object("report").await.unwrap(), "second");
}

#[tokio::test]
async fn status_shows_the_last_word_of_every_service() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let run = RunId::new("r").unwrap();
    let mut watch = nats.bus().await.watch_status(&run).await.unwrap();
    let (planner, verifier) = (bus.status(&run, "planner"), bus.status(&run, "lean-verifier"));
    bus.status(&RunId::new("other").unwrap(), "planner").set(&json!({"targets": 0}));
    for n in 0..=100 {
        planner.set(&json!({ "targets": n }));
    }
    verifier.set(&json!({"checks": 1}));
    let (mut writes, mut last) = (0, std::collections::BTreeMap::new());
    while last.get("planner") != Some(&json!({"targets": 100})) || !last.contains_key("lean-verifier") {
        let (service, document) = watch.next().await.unwrap();
        writes += 1;
        last.insert(service, document);
    }
    assert!(writes <= 4, "{writes} writes of 102");
    assert_eq!(nats.bus().await.read_status(&run).await.unwrap(), last);
}

#[tokio::test]
async fn each_process_of_a_service_has_a_document_of_its_own_that_says_when_it_ends() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let run = RunId::new("r").unwrap();
    let mut watch = nats.bus().await.watch_status(&run).await.unwrap();
    let (one, two) =
        (bus.process_status(&run, "agents", "runner-1"), bus.process_status(&run, "agents", "runner.2"));
    one.set(&json!({"active": 1}));
    two.set(&json!({"active": 2}));
    let mut last = std::collections::BTreeMap::new();
    while last.len() < 2 {
        let (key, document) = watch.next().await.unwrap();
        assert!(is_at_work(&document), "{key}: {document}");
        last.insert(key, document["active"].clone());
    }
    assert_eq!(
        last,
        [("agents.runner-1".to_owned(), json!(1)), ("agents.runner_2".to_owned(), json!(2))].into()
    );
    // One ends by itself; the other one, as if it had been killed, when the run is taken over.
    drop(one);
    let (key, document) = watch.next().await.unwrap();
    assert_eq!(
        (key.as_str(), is_at_work(&document), &document["active"]),
        ("agents.runner-1", false, &json!(1))
    );
    bus.take_over(&run).await.unwrap();
    let documents = bus.read_status(&run).await.unwrap();
    assert!(
        documents.len() == 2 && documents.values().all(|document| !is_at_work(document)),
        "{documents:?}"
    );
}
