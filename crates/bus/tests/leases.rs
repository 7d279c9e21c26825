//! Leases on a real nats-server.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use atlas_bus::Spec;
use atlas_domain::{ActorKind, RunId};
use atlas_testkit::TestNats;
use futures::StreamExt as _;

fn run() -> RunId {
    RunId::new("r").unwrap()
}

fn brief() -> Spec {
    Spec { lease_ttl: Duration::from_secs(2), ..Spec::new(4) }
}

#[tokio::test]
async fn a_lease_has_one_holder_and_passes_on_with_a_higher_epoch() {
    let nats = TestNats::start().await;
    let (a, b) = (nats.bus().await, nats.bus().await);
    let mut freed = Box::pin(b.freed_leases(&run(), ActorKind::Agent).await.unwrap());
    let first = a.try_lease(&run(), ActorKind::Agent, 3, "a").await.unwrap().unwrap();
    assert!(b.try_lease(&run(), ActorKind::Agent, 3, "b").await.unwrap().is_none());
    assert!(first.verify().await, "a renewal does not lose it");
    assert!(b.try_lease(&run(), ActorKind::Agent, 3, "b").await.unwrap().is_none());
    let epoch = first.epoch();
    first.release().await;
    assert_eq!(freed.next().await, Some(3));
    let second = b.try_lease(&run(), ActorKind::Agent, 3, "b").await.unwrap().unwrap();
    assert!(second.epoch() > epoch);
}

#[tokio::test]
async fn a_dead_holders_lease_runs_out_and_those_who_wait_are_told() {
    let nats = TestNats::start().await;
    let (a, b) = (nats.bus_with(&brief()).await, nats.bus_with(&brief()).await);
    let mut freed = Box::pin(b.freed_leases(&run(), ActorKind::Plan).await.unwrap());
    let held = a.try_lease(&run(), ActorKind::Plan, 0, "a").await.unwrap().unwrap();
    let epoch = held.epoch();
    // Dropped, not released: so a killed process leaves it.
    drop(held);
    assert_eq!(freed.next().await, Some(0));
    let next = b.try_lease(&run(), ActorKind::Plan, 0, "b").await.unwrap().unwrap();
    assert!(next.epoch() > epoch);
}

#[tokio::test]
async fn a_holder_that_cannot_renew_gives_up_before_another_can_have_it() {
    let mut nats = TestNats::start().await;
    let bus = nats.bus_with(&brief()).await;
    let lease = bus.try_lease(&run(), ActorKind::Merge, 0, "a").await.unwrap().unwrap();
    let lost = lease.lost();
    nats.kill().await;
    let killed = tokio::time::Instant::now();
    lost.cancelled().await;
    assert!(killed.elapsed() < brief().lease_ttl, "{:?}", killed.elapsed());
    assert!(!lease.verify().await);
}

#[tokio::test]
async fn a_process_that_was_stopped_finds_out_before_its_timers_run() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&brief()).await;
    let lease = bus.try_lease(&run(), ActorKind::Agent, 0, "a").await.unwrap().unwrap();
    let hold = lease.hold();
    assert!(hold.holds());
    // The whole runtime stands still, as after SIGSTOP, for two thirds of the lease's life.
    #[expect(clippy::disallowed_methods, reason = "that is what the test is about")]
    std::thread::sleep(brief().lease_ttl * 2 / 3);
    assert!(!lease.lost().is_cancelled(), "no task of ours has run yet");
    assert!(!hold.holds() && lease.lost().is_cancelled());
}

#[tokio::test]
async fn a_run_taken_over_is_free_at_once() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let mine = bus.try_lease(&run(), ActorKind::Agent, 0, "dead").await.unwrap().unwrap();
    let other = RunId::new("r-agent").unwrap();
    let theirs = bus.try_lease(&other, ActorKind::Agent, 0, "alive").await.unwrap().unwrap();
    let epoch = mine.epoch();
    drop(mine);
    bus.take_over(&run()).await.unwrap();
    let again = bus.try_lease(&run(), ActorKind::Agent, 0, "next").await.unwrap().unwrap();
    assert!(again.epoch() > epoch);
    assert!(
        bus.try_lease(&other, ActorKind::Agent, 0, "next").await.unwrap().is_none(),
        "others' leases stay"
    );
    drop(theirs);
}
