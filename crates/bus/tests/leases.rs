//! Leases on a real nats-server: sessions, claims, who may take what.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use async_nats::jetstream;
use atlas_bus::{Ask, Bus, Claims, Lease, News, Spec};
use atlas_domain::{ActorKind, RunId};
use atlas_testkit::TestNats;

fn run() -> RunId {
    RunId::new("r").unwrap()
}

fn brief() -> Spec {
    Spec { lease_ttl: Duration::from_secs(2), ..Spec::new(4) }
}

async fn claims(bus: &Bus, kind: ActorKind, partitions: u16) -> Claims {
    bus.claims(&run(), kind, partitions).await.unwrap()
}

/// The next partition that is free.
async fn free(news: &mut Claims) -> u16 {
    loop {
        if let News::Free(partition) = news.next().await.unwrap() {
            return partition;
        }
    }
}

/// A host that has all four partitions, and one that asks for its share; what it asks, and what is heard of both.
struct Late {
    held: Vec<Option<Lease>>,
    early: Claims,
    late: Claims,
    ask: Ask,
}

impl Late {
    async fn join(early: &Bus, late: &Bus) -> Self {
        let mut held = Vec::new();
        for partition in 0..4 {
            held.push(early.try_lease(&run(), ActorKind::Agent, partition, "early").await.unwrap());
        }
        let mut early = claims(early, ActorKind::Agent, 4).await;
        let mut late = claims(late, ActorKind::Agent, 4).await;
        late.seek("late");
        // Both hear it, in any order.
        let news = tokio::select! {
            news = early.next() => news,
            news = late.next() => news,
        };
        let Some(News::Asked(ask)) = news else { panic!("{news:?}") };
        assert_eq!(late.give(&ask, |_| 0).await, []);
        Self { held, early, late, ask }
    }

    /// One partition is handed over. Returns it, with the revision of the claim.
    async fn hand_over(&mut self) -> (u16, u64) {
        let given = self.early.give(&self.ask, |partition| usize::from(partition != 3)).await;
        assert_eq!(
            given.iter().map(|(partition, _)| *partition).collect::<Vec<_>>(),
            [3, 0],
            "the least load first"
        );
        assert_eq!(self.early.give(&self.ask, |_| 0).await, [], "it comes twice");
        let lease = self.held[3].take().unwrap();
        assert_eq!(lease.epoch(), given[0].1);
        lease.hand_over(&self.ask).await;
        loop {
            match self.late.next().await {
                Some(News::Handed(partition, revision)) => return (partition, revision),
                // It lacks some yet.
                Some(News::Asked(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

async fn jetstream(nats: &TestNats) -> jetstream::Context {
    let (user, password) = nats.user();
    let options = async_nats::ConnectOptions::with_user_and_password(user, password);
    jetstream::new(options.connect(nats.url()).await.unwrap())
}

#[tokio::test]
async fn a_lease_has_one_holder_and_passes_on_with_a_higher_epoch() {
    let nats = TestNats::start().await;
    let (a, b) = (nats.bus().await, nats.bus().await);
    let mut news = claims(&b, ActorKind::Agent, 0).await;
    let first = a.try_lease(&run(), ActorKind::Agent, 3, "a").await.unwrap().unwrap();
    assert!(b.try_lease(&run(), ActorKind::Agent, 3, "b").await.unwrap().is_none());
    assert!(first.verify().await, "a renewal does not lose it");
    assert!(b.try_lease(&run(), ActorKind::Agent, 3, "b").await.unwrap().is_none());
    let epoch = first.epoch();
    first.release().await;
    assert_eq!(news.next().await, Some(News::Free(3)));
    let second = b.try_lease(&run(), ActorKind::Agent, 3, "b").await.unwrap().unwrap();
    assert!(second.epoch() > epoch);
}

#[tokio::test]
async fn a_dead_hosts_partitions_are_all_freed_and_not_before_it_has_given_up() {
    let nats = TestNats::start().await;
    let (a, b) = (nats.bus_with(&brief()).await, nats.bus_with(&brief()).await);
    let mut held = Vec::new();
    for partition in 0..3 {
        held.push(a.try_lease(&run(), ActorKind::Agent, partition, "a").await.unwrap().unwrap());
    }
    let epoch = held.iter().map(atlas_bus::Lease::epoch).max().unwrap();
    let mut news = claims(&b, ActorKind::Agent, 4).await;
    assert_eq!(news.next().await, Some(News::Free(3)), "that nobody ever had");
    // As long as it is renewed it is nobody else's.
    let quiet = tokio::time::timeout(brief().lease_ttl * 2, news.next()).await;
    assert!(quiet.is_err() && held.iter().all(|lease| lease.hold().holds()));
    let holds: Vec<_> = held.iter().map(atlas_bus::Lease::hold).collect();
    // Dropped, not released: so a killed process leaves them.
    drop(held);
    let mut freed = Vec::new();
    for _ in 0..3 {
        freed.push(free(&mut news).await);
        assert!(holds.iter().all(|hold| !hold.holds()));
    }
    freed.sort_unstable();
    assert_eq!(freed, [0, 1, 2]);
    let next = b.try_lease(&run(), ActorKind::Agent, 0, "b").await.unwrap().unwrap();
    assert!(next.epoch() > epoch);
}

#[tokio::test]
async fn a_session_that_others_ended_takes_all_leases_with_it_and_the_next_one_begins() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&brief()).await;
    let lost = [0, 1].map(|partition| (partition, ActorKind::Agent));
    let mut leases = Vec::new();
    for (partition, kind) in lost {
        leases.push(bus.try_lease(&run(), kind, partition, "a").await.unwrap().unwrap());
    }
    let hosts = jetstream(&nats).await.get_key_value("ATLAS_HOSTS").await.unwrap();
    let mut keys = hosts.keys().await.unwrap();
    let mut session = None;
    while let Some(key) = futures::StreamExt::next(&mut keys).await {
        session = session.or(key.ok().filter(|key| key.starts_with("session.")));
    }
    hosts.delete(session.unwrap()).await.unwrap();
    for lease in &leases {
        lease.lost().cancelled().await;
        assert!(!lease.verify().await);
    }
    // What it had it gives back, though lost, and may have again.
    let epoch = leases[0].epoch();
    for lease in leases {
        lease.release().await;
    }
    let again = bus.try_lease(&run(), ActorKind::Agent, 0, "a").await.unwrap().unwrap();
    assert!(again.epoch() > epoch && again.verify().await);
}

#[tokio::test]
async fn a_lease_that_is_dropped_is_given_back_by_a_process_that_lives() {
    let nats = TestNats::start().await;
    let bus = nats.bus_with(&brief()).await;
    let kept = bus.try_lease(&run(), ActorKind::Plan, 0, "a").await.unwrap().unwrap();
    let mut news = claims(&bus, ActorKind::Agent, 0).await;
    drop(bus.try_lease(&run(), ActorKind::Agent, 2, "a").await.unwrap().unwrap());
    assert_eq!(news.next().await, Some(News::Free(2)));
    assert!(kept.hold().holds());
}

#[tokio::test]
async fn who_overwrites_a_claim_ends_its_lease_alone() {
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let mine = bus.try_lease(&run(), ActorKind::Agent, 0, "a").await.unwrap().unwrap();
    let other = bus.try_lease(&run(), ActorKind::Agent, 1, "a").await.unwrap().unwrap();
    let mut news = claims(&bus, ActorKind::Agent, 0).await;
    jetstream(&nats).await.get_key_value("ATLAS_HOSTS").await.unwrap().delete("r.agent.0").await.unwrap();
    assert_eq!(news.next().await, Some(News::Free(0)));
    assert!(!mine.hold().holds() && !mine.verify().await);
    assert!(other.hold().holds() && other.verify().await);
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
async fn a_partition_that_is_handed_over_is_free_for_nobody_but_the_receiver() {
    let nats = TestNats::start().await;
    let (a, b, c) =
        (nats.bus_with(&brief()).await, nats.bus_with(&brief()).await, nats.bus_with(&brief()).await);
    let mut late = Late::join(&a, &b).await;
    let mut others = claims(&c, ActorKind::Agent, 4).await;
    let (partition, revision) = late.hand_over().await;
    assert!(c.try_lease(&run(), ActorKind::Agent, partition, "c").await.unwrap().is_none());
    assert!(
        b.accept(&run(), ActorKind::Agent, partition, revision - 1, "late").await.unwrap().is_none(),
        "old news"
    );
    let lease = b.accept(&run(), ActorKind::Agent, partition, revision, "late").await.unwrap().unwrap();
    assert!(lease.epoch() > revision && lease.verify().await);
    assert!(b.accept(&run(), ActorKind::Agent, partition, revision, "late").await.unwrap().is_none());
    // It still lacks one, and asks for it; nothing is free, and nothing is handed over to anybody.
    let changes = async {
        loop {
            let news = tokio::select! {
                news = others.next() => news,
                news = late.early.next() => news,
                news = late.late.next() => news,
            };
            if !matches!(news, Some(News::Asked(_))) {
                return news;
            }
        }
    };
    let quiet = tokio::time::timeout(brief().lease_ttl * 2, changes).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert!(late.held.iter().flatten().all(|lease| lease.hold().holds()));
}

#[tokio::test]
async fn a_partition_whose_receiver_dies_is_freed_and_one_that_it_refuses_at_once() {
    let nats = TestNats::start().await;
    let (a, b) = (nats.bus_with(&brief()).await, nats.bus_with(&brief()).await);
    let mut late = Late::join(&a, &b).await;
    let (partition, revision) = late.hand_over().await;
    b.refuse(&run(), ActorKind::Agent, partition, revision).await.unwrap();
    assert_eq!(free(&mut late.early).await, partition);
    late.held[3] = a.try_lease(&run(), ActorKind::Agent, partition, "early").await.unwrap();
    // Again, and now it is gone before it hears of it.
    late.held[3].take().unwrap().hand_over(&late.ask).await;
    drop(late.late);
    assert_eq!(free(&mut late.early).await, partition);
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
    let mine = nats.bus().await.try_lease(&run(), ActorKind::Agent, 0, "dead").await.unwrap().unwrap();
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

#[tokio::test]
async fn hosts_of_the_version_that_renewed_each_partition_are_shut_out_and_waited_for() {
    let nats = TestNats::start().await;
    let js = jetstream(&nats).await;
    let former = js
        .create_key_value(jetstream::kv::Config {
            bucket: "ATLAS_LEASES".to_owned(),
            max_age: Duration::from_secs(2),
            limit_markers: Some(Duration::from_secs(2)),
            ..Default::default()
        })
        .await
        .unwrap();
    let mut epoch = 0;
    for _ in 0..5 {
        epoch = former.put("r.agent.0", r#"{"holder":"old","tenure":"1"}"#.into()).await.unwrap();
    }
    let renewed = tokio::time::Instant::now();
    let bus = nats.bus_with(&brief()).await;
    // By the server's clock, which counts in its own time.
    assert!(renewed.elapsed() > Duration::from_secs(2) * 2 / 3, "{:?}", renewed.elapsed());
    assert!(former.update("r.agent.0", "again".into(), epoch).await.is_err(), "it cannot renew");
    assert!(former.create("r.agent.1", "more".into()).await.is_err(), "nor take another");
    let lease = bus.try_lease(&run(), ActorKind::Agent, 0, "new").await.unwrap().unwrap();
    assert!(lease.epoch() > epoch, "epochs go on growing");
    // The next process finds it closed, and waits for nobody.
    tokio::time::timeout(Duration::from_secs(1), nats.bus_with(&brief())).await.unwrap();
}
