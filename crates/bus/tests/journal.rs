//! Journals and archives on a real nats-server.
#![allow(clippy::unwrap_used)]

use atlas_bus::{AppendError, Bus};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Record;
use atlas_testkit::TestNats;

fn agent(id: &str) -> ActorId {
    ActorId { run: RunId::new("r").unwrap(), kind: ActorKind::Agent, id: id.to_owned() }
}

fn record(cause: &str) -> Record {
    Record {
        version: 1,
        cause: cause.to_owned(),
        time_ms: 7,
        epoch: 1,
        traceparent: String::new(),
        events: vec![b"event".to_vec()],
    }
}

#[tokio::test]
async fn of_two_writers_one_is_refused() {
    let nats = TestNats::start().await;
    let (bus, other) = (nats.bus().await, nats.bus().await);
    let actor = agent("even-add.prover.1");
    let first = bus.append(&actor, &record("a"), 0).await.unwrap();
    let second = bus.append(&actor, &record("b"), first).await.unwrap();
    let refused = other.append(&actor, &record("c"), first).await.unwrap_err();
    assert!(matches!(refused, AppendError::Conflict { after, .. } if after == first), "{refused}");
    assert!(matches!(other.append(&actor, &record("c"), 0).await, Err(AppendError::Conflict { .. })));
    assert_eq!(other.records(&actor).await.unwrap(), [(first, record("a")), (second, record("b"))]);
    assert_eq!(bus.records(&agent("nobody")).await.unwrap(), []);
}

#[tokio::test]
async fn a_long_journal_is_read_whole_and_in_order() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    // More than a page, and records of which few fit one.
    let (long, large) = (agent("long"), agent("large"));
    let mut last = 0;
    for n in 0..600 {
        last = bus.append(&long, &record(&n.to_string()), last).await.unwrap();
    }
    let mut last = 0;
    for n in 0..5 {
        let big = Record { events: vec![vec![n; 5 << 20]], ..record(&n.to_string()) };
        last = bus.append(&large, &big, last).await.unwrap();
    }
    let causes = |records: Vec<(u64, Record)>| records.into_iter().map(|(_, r)| r.cause).collect::<Vec<_>>();
    assert_eq!(
        causes(bus.records(&long).await.unwrap()),
        (0..600).map(|n| n.to_string()).collect::<Vec<_>>()
    );
    assert_eq!(causes(bus.records(&large).await.unwrap()), ["0", "1", "2", "3", "4"]);
    let too_large = Record { events: vec![vec![0; 9 << 20]], ..record("x") };
    let refused = bus.append(&large, &too_large, last).await.unwrap_err().to_string();
    assert!(refused.contains("a record of r/agent/large is 9437"), "{refused}");
}

#[tokio::test]
async fn kill_9_of_the_server_loses_no_acknowledged_record() {
    let mut nats = TestNats::start().await;
    let bus = nats.bus().await;
    let (written, mut seen) = tokio::sync::watch::channel(0u32);
    let writer = tokio::spawn({
        let bus = bus.clone();
        async move {
            let mut last = 0;
            let mut acknowledged = Vec::new();
            for n in 0..200 {
                last = bus.append(&agent("w"), &record(&n.to_string()), last).await.unwrap();
                acknowledged.push((last, record(&n.to_string())));
                written.send_replace(n);
            }
            acknowledged
        }
    });
    // In the middle of its writing, three times over: it goes on as if nothing had been.
    for at in [40, 80, 120] {
        seen.wait_for(|&n| n >= at).await.unwrap();
        nats.restart().await;
    }
    let acknowledged = writer.await.unwrap();
    assert_eq!(nats.bus().await.records(&agent("w")).await.unwrap(), acknowledged);
}

#[tokio::test]
async fn an_archived_actor_reads_as_before_and_takes_no_more_records() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let (actor, alive) = (agent("done"), agent("alive"));
    let first = bus.append(&actor, &record("a"), 0).await.unwrap();
    let second = bus.append(&actor, &record("b"), first).await.unwrap();
    bus.append(&alive, &record("a"), 0).await.unwrap();
    let before = bus.records(&actor).await.unwrap();

    // What a host believes that has not seen the last record is looked up; so is what is archived already.
    bus.archive(&actor, &[first]).await.unwrap();
    bus.archive(&actor, &[first, second]).await.unwrap();
    bus.archive(&agent("nobody"), &[]).await.unwrap();

    assert_eq!(bus.records(&actor).await.unwrap(), before);
    // A host that lost its lease, and one that believes the actor unborn.
    assert!(matches!(bus.append(&actor, &record("late"), second).await, Err(AppendError::Conflict { .. })));
    assert!(matches!(bus.append(&actor, &record("late"), 0).await, Err(AppendError::Conflict { .. })));
    let run = RunId::new("r").unwrap();
    assert_eq!(bus.actors(&run, ActorKind::Agent, None).await.unwrap(), [alive.clone(), actor.clone()]);
    let mut swept = Vec::new();
    let partition = actor.partition(bus.partitions().await.unwrap());
    bus.sweep(&run, ActorKind::Agent, partition, |id, _, record| {
        if id == actor {
            swept.push(Bus::is_archived(&record));
        }
        Ok(())
    })
    .await
    .unwrap();
    assert_eq!(swept, [true], "one closing record is left");
}

#[tokio::test]
async fn a_journal_is_archived_from_where_its_records_lie() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let (actor, other) = (agent("done"), agent("other"));
    let mut sequences = vec![0];
    let mut last = 0;
    for text in ["a", "b", "c"] {
        last = bus.append(&actor, &record(text), last).await.unwrap();
        sequences.push(last);
        bus.append(&other, &record(text), bus.records(&other).await.unwrap().last().map_or(0, |r| r.0))
            .await
            .unwrap();
    }
    let before = bus.records(&actor).await.unwrap();
    bus.archive(&actor, &sequences[1..]).await.unwrap();
    assert_eq!(bus.records(&actor).await.unwrap(), before);
    assert_eq!(bus.records(&other).await.unwrap().len(), 3);
}

#[tokio::test]
async fn records_that_are_stored_as_one_batch_are_refused_each_for_itself() {
    let nats = TestNats::start().await;
    let (bus, reader) = (nats.bus().await, nats.bus().await);
    let taken = bus.append(&agent("taken"), &record("first"), 0).await.unwrap();
    // All at once: the first goes alone, the others meanwhile come together. One in ten believes its actor unborn.
    let names: Vec<String> =
        (0..400).map(|n| if n % 10 == 7 { "taken".to_owned() } else { format!("a{n}") }).collect();
    let appends = names.iter().map(|name| {
        let bus = bus.clone();
        async move { bus.append(&agent(name), &record("second"), 0).await }
    });
    let outcomes = futures::future::join_all(appends).await;
    for (name, outcome) in names.iter().zip(outcomes) {
        match outcome {
            Ok(sequence) => {
                assert_ne!(name, "taken");
                assert_eq!(reader.records(&agent(name)).await.unwrap(), [(sequence, record("second"))]);
            }
            Err(AppendError::Conflict { after: 0, .. }) => assert_eq!(name, "taken"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
    assert_eq!(reader.records(&agent("taken")).await.unwrap(), [(taken, record("first"))]);
}
