//! The host on a real nats-server: what lasts, what happens once, who may act.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use atlas_actor::{EffectError, replay};
use atlas_bus::{AppendError, Bus};
use atlas_proto::{CheckReply, Letter, Record, letter};
use atlas_testkit::TestNats;
use common::{Counter, Running, Stall, TestHost, agent, run_id, say, spec, spec_of, start};
use prost::Message as _;

fn causes(records: &[(u64, Record)]) -> Vec<&str> {
    records.iter().map(|(_, record)| record.cause.as_str()).collect()
}

/// Waits, without a pause of its own, until the journal says so.
async fn until_archived(bus: &Bus, id: &str) {
    until_archived_in(bus, id, 2).await;
}

/// The same where there are so many partitions.
async fn until_archived_in(bus: &Bus, id: &str, partitions: u16) {
    loop {
        let mut archived = false;
        let partition = agent(id).partition(partitions);
        bus.sweep(&run_id(), agent(id).kind, partition, |actor, _, record| {
            archived |= actor == agent(id) && Bus::is_archived(&record);
            Ok(())
        })
        .await
        .unwrap();
        if archived {
            return;
        }
    }
}

/// Sends a letter as a bus whose server has forgotten the letter's id: after two minutes it does.
async fn send_past_the_servers_dedup(nats: &TestNats, actor: &str, letter: Letter, id: &str) {
    let (user, password) = nats.user();
    let client =
        async_nats::ConnectOptions::with_user_and_password(user, password).connect(nats.url()).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Atlas-Actor", actor);
    headers.insert("Atlas-Letter", id);
    let subject = format!("atlas.work.r.agent.{}", agent(actor).partition(2));
    let js = async_nats::jetstream::new(client);
    js.publish_with_headers(subject, headers, letter.encode_to_vec().into()).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn an_actor_counts_to_its_goal_and_is_archived() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut host = TestHost::start(nats.options("host"), "host").await;
    let actor = agent("a.prover.1");
    bus.send(&actor, start(2), "start").await.unwrap();
    let first = host.effect().await;
    assert_eq!((first.scope.actor.clone(), first.scope.key.as_str()), (actor.clone(), "count/0"));
    first.count();
    let second = host.effect().await;
    assert_eq!(second.scope.key, "count/1");
    second.count();
    until_archived(&bus, "a.prover.1").await;
    let records = bus.records(&actor).await.unwrap();
    assert_eq!(causes(&records), ["start", "count/0", "count/1"]);
    assert_eq!(replay::<Counter>(&bus, &actor).await.unwrap().counts, ["count/0", "count/1"]);
    // Letters to it come to nothing, and do not bring it back to life.
    bus.send(&actor, start(5), "again").await.unwrap();
    bus.send(&agent("b"), start(1), "start").await.unwrap();
    host.effect().await.count();
    until_archived(&bus, "b").await;
    assert_eq!(bus.records(&actor).await.unwrap(), records);
    host.stop().await;
}

#[tokio::test]
async fn a_letter_that_is_sent_or_delivered_twice_acts_once() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut host = TestHost::start(nats.options("host"), "host").await;
    bus.send(&agent("a"), start(9), "start").await.unwrap();
    bus.send(&agent("a"), say("one"), "1").await.unwrap();
    let seen = host.until("a", |counter| counter.counts.len() == 1).await;
    assert_eq!(seen.counts, ["letter"]);
    send_past_the_servers_dedup(&nats, "a", say("one"), "1").await;
    bus.send(&agent("a"), say("two"), "2").await.unwrap();
    let seen = host.until("a", |counter| counter.counts.len() >= 2).await;
    assert_eq!(seen.counts.len(), 2);
    assert_eq!(causes(&bus.records(&agent("a")).await.unwrap()), ["start", "1", "2"]);
    host.stop().await;
}

#[tokio::test]
async fn a_drained_host_hands_its_partitions_over_and_takes_none_again() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut first = TestHost::start(nats.options("first"), "first").await;
    bus.send(&agent("a"), start(2), "start").await.unwrap();
    let under_way = first.effect().await;
    let hosts = |held: Vec<atlas_bus::Held>| held.into_iter().map(|held| held.host).collect::<Vec<_>>();
    assert_eq!(hosts(bus.held(&run_id()).await.unwrap()), ["first", "first"]);
    assert!(!bus.drain(&run_id(), "nobody").await.unwrap());
    assert!(bus.drain(&run_id(), "first").await.unwrap());
    // Nobody else is there: what it gives back stays free, though it lives.
    while !bus.held(&run_id()).await.unwrap().is_empty() {}
    drop(under_way);
    let mut second = TestHost::start(nats.options("second"), "second").await;
    second.effect().await.count();
    second.effect().await.count();
    until_archived(&bus, "a").await;
    assert_eq!(causes(&bus.records(&agent("a")).await.unwrap()), ["start", "count/0", "count/1"]);
    while bus.held(&run_id()).await.unwrap().len() < 2 {}
    assert_eq!(hosts(bus.held(&run_id()).await.unwrap()), ["second", "second"]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_drained_host_lets_what_costs_end_and_begins_nothing_more() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut first = TestHost::start(nats.options("first"), "first").await;
    for id in ["a", "b"] {
        bus.send(&agent(id), start(3), "start").await.unwrap();
    }
    let mut under_way = vec![first.effect().await, first.effect().await];
    under_way.sort_by_key(|running| running.scope.actor.id.clone());
    let mut free = under_way.pop().unwrap();
    under_way.pop().unwrap().count();
    let costly = first.effect().await;
    assert_eq!((costly.scope.actor.id.as_str(), costly.scope.key.as_str()), ("a", "count/1"));

    assert!(bus.drain(&run_id(), "first").await.unwrap());
    // That of the other actor is dropped, unless it is in the same partition, which is still held.
    let of = |running: &Running| running.scope.actor.partition(2);
    if of(&free) != of(&costly) {
        free.answer.closed().await;
        while bus.held(&run_id()).await.unwrap().len() > 1 {}
    }
    assert!(!costly.answer.is_closed());
    costly.count();
    free.answer.closed().await;
    while !bus.held(&run_id()).await.unwrap().is_empty() {}
    let records = bus.records(&agent("a")).await.unwrap();
    assert_eq!(
        causes(&records),
        ["start", "count/0", "count/1"],
        "it was journaled, and nothing began after it"
    );

    let mut second = TestHost::start(nats.options("second"), "second").await;
    for _ in 0..1 + 3 {
        second.effect().await.count();
    }
    for id in ["a", "b"] {
        until_archived(&bus, id).await;
        let records = bus.records(&agent(id)).await.unwrap();
        assert_eq!(causes(&records), ["start", "count/0", "count/1", "count/2"]);
    }
    first.stop().await;
    second.stop().await;
}

/// Waits until a host has so many partitions. Returns them, with the epochs of their leases.
async fn until_held(bus: &Bus, host: &str, many: usize) -> Vec<(u16, u64)> {
    loop {
        let held = bus.held(&run_id()).await.unwrap();
        let of: Vec<_> = held
            .into_iter()
            .filter(|held| held.host == host)
            .map(|held| (held.partition, held.revision))
            .collect();
        if of.len() == many {
            return of;
        }
    }
}

fn partitions(held: &[(u16, u64)]) -> Vec<u16> {
    held.iter().map(|(partition, _)| *partition).collect()
}

#[tokio::test]
async fn a_host_that_joins_late_gets_its_share_and_what_was_under_way_there_goes_on() {
    const PARTITIONS: u16 = 6;
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec_of(PARTITIONS)).await;
    let join = |name: &'static str| TestHost::start_with(nats.options(name), name, PARTITIONS, None);
    let mut first = join("first").await;
    // Two actors in each of half the partitions, each with an effect under way.
    let ids: Vec<String> = (0..3)
        .flat_map(|partition| {
            let lies_there = move |id: &String| agent(id).partition(PARTITIONS) == partition;
            (0..).map(|n| format!("agent-{n}")).filter(lies_there).take(2)
        })
        .collect();
    for id in &ids {
        bus.send(&agent(id), start(3), "start").await.unwrap();
    }
    let mut under_way: Vec<Running> = Vec::new();
    while under_way.len() < ids.len() {
        under_way.push(first.effect().await);
    }
    let all = until_held(&bus, "first", 6).await;

    let second = join("second").await;
    assert_eq!(partitions(&until_held(&bus, "second", 3).await), [3, 4, 5], "where nothing is under way");
    assert_eq!(until_held(&bus, "first", 3).await, all[..3], "the others stay as they were");
    assert!(under_way.iter().all(|running| !running.answer.is_closed()));

    let mut third = join("third").await;
    assert_eq!(partitions(&until_held(&bus, "third", 2).await), [0, 3]);
    let moved: Vec<Running> = vec![third.effect().await, third.effect().await];
    let kept = until_held(&bus, "first", 2).await;
    assert_eq!(kept, all[1..3]);
    for running in under_way {
        let partition = running.scope.actor.partition(PARTITIONS);
        assert_eq!(running.answer.is_closed(), partition == 0, "{}", running.scope.actor);
        running.count();
    }
    for running in moved {
        assert_eq!((running.scope.actor.partition(PARTITIONS), running.scope.key.as_str()), (0, "count/0"));
        running.count();
    }
    for _ in 0..4 * 2 {
        first.effect().await.count();
    }
    for _ in 0..2 * 2 {
        third.effect().await.count();
    }
    for id in &ids {
        until_archived_in(&bus, id, PARTITIONS).await;
        let records = bus.records(&agent(id)).await.unwrap();
        assert_eq!(causes(&records), ["start", "count/0", "count/1", "count/2"]);
        assert!(records.is_sorted_by_key(|(_, record)| record.epoch), "epochs never fall");
    }
    first.stop().await;
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn when_a_host_is_killed_another_goes_on_and_repeats_nothing_that_is_journaled() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut first = TestHost::start(nats.options("first"), "first").await;
    for id in ["a", "b", "c"] {
        bus.send(&agent(id), start(3), "start").await.unwrap();
    }
    // One effect of each is journaled, and the next is under way.
    let (mut epochs, mut lost) = (Vec::new(), Vec::new());
    while lost.len() < 3 {
        let effect = first.effect().await;
        epochs.push(effect.scope.epoch);
        match effect.scope.key.as_str() {
            "count/0" => effect.count(),
            _ => lost.push(effect),
        }
    }
    first.kill();

    let mut second = TestHost::start(nats.options("second"), "second").await;
    let mut keys = Vec::new();
    for _ in 0..6 {
        let effect = second.effect().await;
        assert!(epochs.iter().all(|&epoch| effect.scope.epoch > epoch), "a new tenure has a higher epoch");
        keys.push(effect.scope.key.clone());
        effect.count();
    }
    keys.sort_unstable();
    assert_eq!(keys, ["count/1", "count/1", "count/1", "count/2", "count/2", "count/2"]);
    for id in ["a", "b", "c"] {
        until_archived(&bus, id).await;
        let records = bus.records(&agent(id)).await.unwrap();
        assert_eq!(causes(&records), ["start", "count/0", "count/1", "count/2"]);
        assert!(records.is_sorted_by_key(|(_, record)| record.epoch), "epochs never fall");
    }
    second.stop().await;
}

#[tokio::test]
async fn a_host_that_stops_hands_over_at_once() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut first = TestHost::start(nats.options("first"), "first").await;
    bus.send(&agent("a"), start(1), "start").await.unwrap();
    let running = first.effect().await;
    let mut second = TestHost::start(nats.options("second"), "second").await;
    first.stop().await;
    assert!(running.answer.is_closed(), "the effect was dropped");
    second.effect().await.count();
    until_archived(&bus, "a").await;
    second.stop().await;
}

#[tokio::test]
async fn an_effect_that_waited_finds_out_that_its_host_may_not_act_any_more() {
    let mut nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut host = TestHost::start(nats.options("host"), "host").await;
    bus.send(&agent("a"), start(1), "start").await.unwrap();
    let mut effect = host.effect().await;
    assert!(effect.scope.holds());
    // Nobody renews any more, as if the host stood still.
    nats.kill().await;
    effect.answer.closed().await;
    assert!(!effect.scope.holds());
    host.kill();
}

#[tokio::test]
async fn a_host_that_stood_still_acknowledges_no_letter_that_another_must_take() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let (stall, begun, go_on) = Stall::new();
    let mut still = TestHost::start_with(nats.options("still"), "still", 2, Some(stall)).await;
    bus.send(&agent("a"), start(5), "start").await.unwrap();
    let _under_way = still.effect().await;
    bus.send(&agent("a"), say("stall"), "letter").await.unwrap();
    begun.await.unwrap();
    // Its lease runs out meanwhile; what it decides then, it decides of what it remembers.
    let mut next = TestHost::start(nats.options("next"), "next").await;
    let _again = next.effect().await;
    go_on.send(()).unwrap();
    let taken = next.until("a", |counter| counter.counts == ["letter"]);
    tokio::time::timeout(Duration::from_secs(60), taken).await.unwrap();
    still.kill();
    next.kill();
}

#[tokio::test]
async fn who_writes_behind_the_hosts_back_makes_it_read_again() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut host = TestHost::start(nats.options("host"), "host").await;
    bus.send(&agent("a"), start(3), "start").await.unwrap();
    let stale = host.effect().await;
    // A host that lost its lease and does not know it yet gets its record in first.
    let records = bus.records(&agent("a")).await.unwrap();
    let (last, newest) = records.last().unwrap().clone();
    let event = common::Counted { by: "zombie".to_owned(), ..Default::default() };
    let forged = Record { cause: "count/0".to_owned(), events: vec![event.encode_to_vec()], ..newest };
    bus.append(&agent("a"), &forged, last).await.unwrap();
    stale.count();
    // The host's own record is refused; it reads the journal and goes on from there.
    let next = host.effect().await;
    assert_eq!(next.scope.key, "count/1");
    next.count();
    host.effect().await.count();
    until_archived(&bus, "a").await;
    let records = bus.records(&agent("a")).await.unwrap();
    assert_eq!(causes(&records), ["start", "count/0", "count/1", "count/2"]);
    assert_eq!(replay::<Counter>(&bus, &agent("a")).await.unwrap().counts, ["zombie", "count/1", "count/2"]);
    // And the zombie gets no second one in.
    let refused = bus.append(&agent("a"), &forged, last).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })));
    host.stop().await;
}

#[tokio::test]
async fn effects_are_retried_cancelled_and_buried() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut host = TestHost::start(nats.options("host"), "host").await;

    bus.send(&agent("a"), start(2), "start").await.unwrap();
    let retry = EffectError::Retry { after: Duration::from_millis(1), cause: "not yet".to_owned() };
    host.effect().await.answer.send(Err(retry)).unwrap();
    let mut again = host.effect().await;
    assert_eq!(again.scope.key, "count/0");

    // The key vanishes: the effect is dropped, and never comes back.
    bus.send(&agent("a"), say("cancel"), "cancel").await.unwrap();
    again.answer.closed().await;

    bus.send(&agent("b"), start(2), "start").await.unwrap();
    host.effect().await.answer.send(Err(EffectError::Fatal("no such model".to_owned()))).unwrap();
    // Not for a counter at all.
    let foreign = Letter { letter: Some(letter::Letter::CheckReply(CheckReply::default())) };
    bus.send(&agent("c"), foreign, "foreign").await.unwrap();
    let dead = loop {
        let dead: Vec<_> =
            bus.dead_letters(&run_id()).await.unwrap().into_iter().map(|(_, letter)| letter).collect();
        if dead.len() == 2 {
            break dead;
        }
    };
    let of = |actor: &str| {
        dead.iter()
            .find(|letter| letter.actor == actor)
            .map(|letter| (letter.id.clone(), letter.reason.clone()))
            .unwrap()
    };
    assert_eq!(of("b"), ("count/0".to_owned(), "effect count/0 failed for good: no such model".to_owned()));
    assert_eq!(of("c").1, "agent actors take no such letter");
    host.stop().await;

    // The next activation tries the stopped one again, and leaves the cancelled one alone.
    let mut next = TestHost::start(nats.options("next"), "next").await;
    let effect = next.effect().await;
    assert_eq!((effect.scope.actor.id.as_str(), effect.scope.key.as_str()), ("b", "count/0"));
    next.stop().await;
}

#[tokio::test]
async fn an_actor_that_panics_stops_alone() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut host = TestHost::start(nats.options("host"), "host").await;
    bus.send(&agent("a"), say("panic"), "poison").await.unwrap();
    bus.send(&agent("b"), start(1), "start").await.unwrap();
    host.effect().await.count();
    until_archived(&bus, "b").await;
    let dead = loop {
        if let Some((_, dead)) = bus.dead_letters(&run_id()).await.unwrap().pop() {
            break dead;
        }
    };
    assert_eq!((dead.actor.as_str(), dead.reason.as_str()), ("a", "the actor panicked: asked to"));
    host.stop().await;
}

#[tokio::test]
async fn kill_9_of_nats_in_the_middle_of_turns_loses_and_repeats_no_record() {
    let mut nats = TestNats::start().await;
    let bus = nats.bus_with(&spec()).await;
    let mut host = TestHost::start(nats.options("host"), "host").await;
    bus.send(&agent("a"), start(30), "start").await.unwrap();
    let mut killed = false;
    loop {
        let effect = tokio::select! {
            effect = host.effect() => effect,
            () = until_archived(&bus, "a"), if killed => break,
        };
        if effect.scope.key == "count/10" && !killed {
            killed = true;
            nats.kill().await;
            effect.count();
            nats.restart().await;
        } else {
            effect.count();
        }
    }
    let records = bus.records(&agent("a")).await.unwrap();
    let expected: Vec<String> =
        std::iter::once("start".to_owned()).chain((0..30).map(|n| format!("count/{n}"))).collect();
    assert_eq!(causes(&records), expected);
    host.stop().await;
}
