//! What docs/runbook.md is about, as far as the bus shows it: a full store, queues that stand still.
#![allow(clippy::unwrap_used)]

use async_nats::jetstream;
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{HumanReply, Letter, Record, letter};
use atlas_testkit::{TestCluster, TestNats};

const JOURNAL: &str = "ATLAS_JOURNAL";

fn actor() -> ActorId {
    ActorId::singleton(&RunId::new("r").unwrap(), ActorKind::Plan)
}

fn record(text: &str) -> Record {
    Record { version: 1, cause: text.to_owned(), ..Record::default() }
}

/// Sets how many bytes of records the server stores.
async fn limit(js: &jetstream::Context, bytes: i64) {
    let stream = js.get_stream(JOURNAL).await.unwrap();
    let config = jetstream::stream::Config { max_bytes: bytes, ..stream.cached_info().config.clone() };
    js.update_stream(config).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_stream_refuses_and_forgets_nothing_and_goes_on_once_there_is_room() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let (user, password) = nats.user();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    let js = jetstream::new(options.connect(nats.url()).await.unwrap());
    let first = bus.append(&actor(), &record("first"), 0).await.unwrap();
    limit(&js, i64::try_from(bus.journal_size().await.unwrap().1 + 200).unwrap()).await;

    let large = "x".repeat(1000);
    let refused = js.publish("atlas.journal.r.plan.0.other", large.clone().into()).await.unwrap().await;
    let words = refused.unwrap_err().to_string();
    assert!(words.contains("maximum bytes exceeded"), "{words}");
    let appending = tokio::spawn({
        let (bus, large) = (bus.clone(), large.clone());
        async move { bus.append(&actor(), &record(&large), first).await }
    });
    limit(&js, -1).await;
    appending.await.unwrap().unwrap();
    let causes: Vec<String> =
        bus.records(&actor()).await.unwrap().into_iter().map(|(_, record)| record.cause).collect();
    assert_eq!(causes, ["first".to_owned(), large]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_what_is_taken_and_what_is_taken_again_is_seen() {
    let nats = TestNats::start().await;
    let bus: Bus = nats.bus().await;
    assert_eq!(bus.queues(&actor().run).await.unwrap(), []);
    let reply = HumanReply { escalation: "e".into(), text: "t".into() };
    let letter = Letter { letter: Some(letter::Letter::HumanReply(reply)) };
    bus.send(&actor(), letter.clone(), "one").await.unwrap();
    let seen = async |what: &str| {
        let queues = bus.queues(&actor().run).await.unwrap();
        let [queue] = &queues[..] else { panic!("{what}: {queues:?}") };
        assert_eq!((queue.queue.as_str(), queue.partition), ("plan", 0), "{what}");
        (queue.waiting, queue.taken, queue.again)
    };
    assert_eq!(seen("nobody has ever asked for it").await, (1, 0, 0));
    let mut inbox = bus.inbox(&actor().run, ActorKind::Plan, 0).await.unwrap();
    let held = inbox.next().await;
    assert_eq!(seen("held").await, (0, 1, 0));
    held.retry(std::time::Duration::ZERO).await;
    let again = inbox.next().await;
    assert_eq!(seen("given again").await, (0, 1, 1));
    again.ack().await;
    while seen("done").await != (0, 0, 0) {}

    let streams = bus.streams().await.unwrap();
    assert!(streams.iter().all(|stream| stream.copies == 1 && stream.behind.is_empty()), "{streams:?}");
    let room = bus.room().await.unwrap();
    assert!(room.used >= streams.iter().map(|stream| stream.bytes).sum(), "{room:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_stored_and_with_one_again_all_goes_on() {
    let mut nats = TestCluster::start().await;
    let bus = nats.bus().await;
    let first = bus.append(&actor(), &record("first"), 0).await.unwrap();
    nats.cluster.kill_node(1).await;
    nats.cluster.kill_node(2).await;
    let words = bus.streams().await.unwrap_err().to_string();
    assert!(words.contains("could not look up stream ATLAS_JOURNAL"), "{words}");
    let appending = tokio::spawn({
        let bus = bus.clone();
        async move { bus.append(&actor(), &record("second"), first).await }
    });
    nats.cluster.start_node(1).await.unwrap();
    appending.await.unwrap().unwrap();
    let causes: Vec<String> =
        bus.records(&actor()).await.unwrap().into_iter().map(|(_, record)| record.cause).collect();
    assert_eq!(causes, ["first", "second"]);
    // The third is away still, and that is seen.
    while bus.streams().await.unwrap().iter().any(|stream| stream.behind != ["n2"] || stream.leader.is_none())
    {
    }
}
