//! Inboxes, work queues, dead letters and requests on a real nats-server.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use atlas_bus::{Asked, RequestError, ServeLimit};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{HumanReply, Letter, LookupRequest, letter};
use atlas_testkit::TestNats;
use futures::StreamExt as _;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

fn run() -> RunId {
    RunId::new("r").unwrap()
}

fn reply(text: &str) -> Letter {
    let reply = HumanReply { escalation: "t".to_owned(), text: text.to_owned() };
    Letter { letter: Some(letter::Letter::HumanReply(reply)) }
}

#[tokio::test]
async fn a_letter_comes_until_it_is_acknowledged_and_then_never_again() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let planner = ActorId::singleton(&run(), ActorKind::Plan);
    bus.send(&planner, reply("one"), "1").await.unwrap();
    bus.send(&planner, reply("one"), "1").await.unwrap();
    bus.send(&planner, reply("two"), "2").await.unwrap();
    let mut inbox = bus.inbox(&run(), ActorKind::Plan, 0).await.unwrap();
    let first = inbox.next().await;
    assert_eq!((first.id.as_str(), &first.actor, first.deliveries), ("1", &planner, 1));
    first.retry(Duration::ZERO).await;
    let mut left = vec![inbox.next().await, inbox.next().await];
    left.sort_by(|a, b| a.id.cmp(&b.id));
    let left: Vec<_> =
        left.into_iter().map(|delivery| (delivery.id.clone(), delivery.deliveries, delivery)).collect();
    assert_eq!(left.iter().map(|(id, n, _)| (id.as_str(), *n)).collect::<Vec<_>>(), [("1", 2), ("2", 1)]);
    for (_, _, delivery) in left {
        delivery.ack().await;
    }
    // Only what is sent now is left.
    bus.send(&planner, reply("three"), "3").await.unwrap();
    assert_eq!(inbox.next().await.id, "3");
}

#[tokio::test]
async fn what_nobody_can_take_is_buried_with_the_reason() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let agent = ActorId { run: run(), kind: ActorKind::Agent, id: "a.prover.1".to_owned() };
    let partition = agent.partition(bus.partitions().await.unwrap());
    let mut inbox = bus.inbox(&run(), ActorKind::Agent, partition).await.unwrap();
    // Handed back for ever.
    bus.send(&agent, reply("poison"), "p").await.unwrap();
    for _ in 0..10 {
        inbox.next().await.retry(Duration::ZERO).await;
    }
    // No letter at all, and one that its receiver refuses.
    bus.send_work(
        &run(),
        "agent",
        &LookupRequest { run: "\u{1}".repeat(3), ..Default::default() },
        "no-letter",
    )
    .await
    .unwrap();
    bus.send(&agent, reply("refused"), "q").await.unwrap();
    let mut other = bus.inbox(&run(), ActorKind::Agent, 0).await.unwrap();
    let refused = tokio::select! {
        delivery = inbox.next() => delivery,
        delivery = other.next(), if partition != 0 => delivery,
    };
    refused.bury("not for me").await;
    // The inboxes bury while they wait for the next letter.
    bus.send(&agent, reply("last"), "l").await.unwrap();
    tokio::select! {
        delivery = inbox.next() => assert_eq!(delivery.id, "l"),
        delivery = other.next(), if partition != 0 => panic!("{delivery:?}"),
    }
    let dead = loop {
        let dead = bus.dead_letters(&run()).await.unwrap();
        if dead.len() == 3 {
            break dead;
        }
        // Another partition's inbox may still be at it.
        assert!(tokio::time::timeout(Duration::from_millis(100), other.next()).await.is_err());
    };
    let reason = |id: &str| {
        dead.iter()
            .find(|(_, letter)| letter.id.ends_with(id))
            .map(|(_, letter)| letter.reason.clone())
            .unwrap()
    };
    assert_eq!(reason("p"), "it was delivered 10 times and never acknowledged");
    assert_eq!(reason("no-letter"), "it has no header Atlas-Actor");
    assert_eq!(reason("q"), "not for me");
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_as_it_was_or_dropped() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let planner = ActorId::singleton(&run(), ActorKind::Plan);
    let mut inbox = bus.inbox(&run(), ActorKind::Plan, 0).await.unwrap();
    for (text, id) in [("one", "1"), ("two", "2")] {
        bus.send(&planner, reply(text), id).await.unwrap();
        inbox.next().await.bury("the host was too old").await;
    }
    bus.bury_effect(&planner, "land/3", "it failed for good").await.unwrap();
    let dead = bus.dead_letters(&run()).await.unwrap();
    let [(first, one), (second, _), (third, effect)] = &dead[..] else { panic!("{dead:?}") };
    bus.replay_dead(*first, one).await.unwrap();
    let again = inbox.next().await;
    assert_eq!((again.id.as_str(), &again.actor, &again.letter), ("1", &planner, &reply("one")));
    again.ack().await;
    let refused = bus.replay_dead(*third, effect).await.unwrap_err();
    assert!(refused.to_string().contains("land/3"), "{refused}");
    bus.drop_dead(*second).await.unwrap();
    assert_eq!(bus.dead_letters(&run()).await.unwrap(), [dead[2].clone()]);
    assert!(bus.drop_dead(*second).await.is_err());
}

#[tokio::test]
async fn work_is_fetched_only_for_free_slots() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    for n in 0..5u32 {
        let question = LookupRequest { limit: n, ..Default::default() };
        bus.send_work(&run(), "certify", &question, &n.to_string()).await.unwrap();
    }
    let mut mine = bus.work::<LookupRequest>(&run(), "certify", 2).await.unwrap();
    let (first, second) = (mine.next().await.unwrap(), mine.next().await.unwrap());
    assert_eq!((first.message.limit, second.message.limit), (0, 1));
    // Another worker gets the rest at once: nothing waits in this one's buffers.
    let mut other = nats.bus().await.work::<LookupRequest>(&run(), "certify", 3).await.unwrap();
    for expected in 2..5 {
        let work = other.next().await.unwrap();
        assert_eq!(work.message.limit, expected);
        work.ack().await.unwrap();
    }
    let alive = first.keep_alive();
    second.retry(Duration::ZERO).await;
    let again = tokio::select! {
        work = mine.next() => work.unwrap(),
        work = other.next() => work.unwrap(),
    };
    assert_eq!((again.message.limit, again.deliveries), (1, 2));
    drop(alive);
    first.ack().await.unwrap();
    again.ack().await.unwrap();
}

#[tokio::test]
async fn a_server_with_enough_to_do_says_so_at_once() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let (entered, gate, stop) =
        (Arc::new(Semaphore::new(0)), Arc::new(Notify::new()), CancellationToken::new());
    let deadline = Duration::from_secs(20);
    let nobody = bus.request::<_, LookupRequest>("atlas.test", &LookupRequest::default(), deadline).await;
    assert!(matches!(nobody, Err(RequestError::NoResponders { .. })));
    let serving = tokio::spawn({
        let (bus, entered, gate, stop) = (bus.clone(), entered.clone(), gate.clone(), stop.clone());
        async move {
            let handler = move |asked: Asked<LookupRequest>| {
                let (entered, gate) = (entered.clone(), gate.clone());
                async move {
                    match asked.message.name.as_str() {
                        "bad" => return Err("no such name".to_owned()),
                        "slow" => std::future::pending().await,
                        _ => {}
                    }
                    entered.add_permits(1);
                    gate.notified().await;
                    Ok(asked.message)
                }
            };
            bus.serve("atlas.test", "test", ServeLimit { concurrency: 1, waiting: 1 }, handler, stop).await
        }
    });
    let ask = |name: &str, patience| {
        let (bus, question) = (bus.clone(), LookupRequest { name: name.to_owned(), ..Default::default() });
        async move { bus.request::<_, LookupRequest>("atlas.test", &question, patience).await }
    };
    // It serves once the first answer comes.
    let failed = loop {
        match ask("bad", deadline).await {
            Err(RequestError::NoResponders { .. }) => tokio::task::yield_now().await,
            other => break other,
        }
    };
    assert!(matches!(failed, Err(RequestError::Remote(why)) if why == "no such name"));
    let running = tokio::spawn(ask("first", deadline));
    entered.acquire().await.unwrap().forget();
    // One runs; of two more, one waits and one is refused, whichever comes first.
    let (mut second, mut third) = (Box::pin(ask("second", deadline)), Box::pin(ask("third", deadline)));
    let (refused, waiting) = tokio::select! {
        answer = &mut second => (answer, third),
        answer = &mut third => (answer, second),
    };
    assert!(matches!(refused, Err(RequestError::Busy { retry_after, .. }) if retry_after > Duration::ZERO));
    gate.notify_one();
    assert_eq!(running.await.unwrap().unwrap().name, "first");
    let waiting = tokio::spawn(waiting);
    entered.acquire().await.unwrap().forget();
    gate.notify_one();
    assert!(waiting.await.unwrap().is_ok());
    // The deadline reaches the server, which drops what nobody waits for and is free again.
    assert!(matches!(ask("slow", Duration::from_millis(200)).await, Err(RequestError::TimedOut { .. })));
    let next = tokio::spawn(ask("next", deadline));
    entered.acquire().await.unwrap().forget();
    gate.notify_one();
    assert_eq!(next.await.unwrap().unwrap().name, "next");
    stop.cancel();
    serving.await.unwrap().unwrap();
}
