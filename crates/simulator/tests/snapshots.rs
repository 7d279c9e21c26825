//! Snapshots of the product's singletons over histories of simulated runs.
#![allow(clippy::unwrap_used)]

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use atlas_actor::snapshot::EVERY;
use atlas_actor::{Journaled, Machine};
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind};
use atlas_merge_coordinator::MergeQueue;
use atlas_planner::{Ledger, Planner};
use atlas_proto::{Record, Snapshot};
use atlas_simulator::{FaultKind, Faults, Journal, Options, Outcome, simulate};
use atlas_testkit::TestNats;
use prost::Message as _;

fn folded<M: Machine>(
    mut from: Journaled<M>,
    actor: &ActorId,
    records: &[(u64, Arc<Record>)],
) -> Journaled<M> {
    for (sequence, record) in records {
        from.fold(actor, *sequence, Record::clone(record)).unwrap();
    }
    from
}

/// As it would be read: through bytes.
fn snapshot<M: Machine>(journaled: &mut Journaled<M>) -> Snapshot {
    Snapshot::decode(journaled.snapshot(0).unwrap().encode_to_vec().as_slice()).unwrap()
}

/// Cut anywhere, the journal comes to the same from a snapshot as from its beginning: the state, all that it waits for, what it knows.
fn assert_comes_back<M: Machine + PartialEq>(actor: &ActorId, journal: &Journal, seed: u64)
where
    M::Effect: Debug,
{
    let mut whole = folded(Journaled::<M>::new(actor), actor, journal);
    let effects =
        |machine: &M| machine.effects().into_iter().map(|effect| format!("{effect:?}")).collect::<Vec<_>>();
    for cut in [1, journal.len() / 3, journal.len() * 2 / 3, journal.len() - 1, journal.len()] {
        let mut before = folded(Journaled::<M>::new(actor), actor, &journal[..cut]);
        let back = Journaled::<M>::restore(actor, snapshot(&mut before)).unwrap();
        assert!(!back.is_proven() && back.after() < journal[cut - 1].0);
        let back = folded(back, actor, &journal[cut - 1..]);
        let place = || format!("seed {seed}, {actor} from record {cut} of {}", journal.len());
        assert!(back.is_proven() && back.machine() == whole.machine(), "{}", place());
        assert_eq!(effects(back.machine()), effects(whole.machine()), "{}", place());
        assert!(journal.iter().all(|(_, record)| back.knows(&record.cause)), "{}", place());
        assert_eq!(back.after(), whole.after(), "{}", place());
    }
    // Another record in the place of the last one: the journal was restored from a backup and went on.
    let mut astray = Journaled::<M>::restore(actor, snapshot(&mut whole)).unwrap();
    let (sequence, last) = journal.last().unwrap();
    let other = Record { time_ms: last.time_ms + 1, ..Record::clone(last) };
    assert!(astray.fold(actor, *sequence, other).is_err() && !astray.is_proven());
}

fn journal(outcome: &Outcome, kind: ActorKind) -> (&ActorId, &Journal) {
    let (actor, journal) = outcome.journals.iter().find(|(actor, _)| actor.kind == kind).unwrap();
    (actor, journal)
}

#[test]
fn singletons_come_back_from_snapshots_of_any_history_as_from_its_beginning() {
    for seed in 0..24 {
        // Without upgrades: no records that this program does not know.
        let faults = Faults(FaultKind::ALL[..14].to_vec());
        let outcome = simulate(&Options { faults, ..Options::small(seed) }, None);
        let (actor, plan) = journal(&outcome, ActorKind::Plan);
        assert_comes_back::<Planner>(actor, plan, seed);
        let (actor, merge) = journal(&outcome, ActorKind::Merge);
        assert_comes_back::<MergeQueue>(actor, merge, seed);
        let (actor, ledger) = journal(&outcome, ActorKind::Ledger);
        assert_comes_back::<Ledger>(actor, ledger, seed);
    }
}

/// What it takes to bring an actor back whose snapshot is half an interval old, and without any, of its first 100,000 records.
async fn measure<M: Machine>(bus: &Bus, actor: &ActorId, journal: &[(u64, Arc<Record>)]) {
    let journal = &journal[..journal.len().min(100_000)];
    let snapshot_at = journal.len() - (journal.len() / 2).min(EVERY / 2);
    let (mut stored, mut last) = (Journaled::<M>::new(actor), 0);
    for (at, (_, record)) in journal.iter().enumerate() {
        last = bus.append(actor, record, last).await.unwrap();
        stored.fold(actor, last, Record::clone(record)).unwrap();
        if at + 1 == snapshot_at {
            let begun = Instant::now();
            let snapshot = stored.snapshot(0).unwrap();
            let taken = begun.elapsed();
            bus.put_snapshot(actor, &snapshot).await.unwrap();
            let (bytes, all) = (snapshot.encoded_len(), begun.elapsed());
            println!("{actor}: a snapshot of {bytes} bytes, taken in {taken:?} and stored after {all:?}");
        }
    }
    let begun = Instant::now();
    atlas_actor::replay::<M>(bus, actor).await.unwrap();
    let whole = begun.elapsed();
    let begun = Instant::now();
    Journaled::<M>::load(bus, actor).await.unwrap();
    let (records, tail) = (journal.len(), begun.elapsed());
    println!(
        "{actor}: {records} records, back after {whole:?} from the beginning, {tail:?} from the snapshot"
    );
}

/// `cargo test --release -p atlas-simulator --test snapshots -- --ignored --nocapture`; `ATLAS_AGENTS` sets the size of the run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; takes minutes"]
async fn how_long_singletons_take_to_come_back() {
    let agents = std::env::var("ATLAS_AGENTS").ok().and_then(|agents| agents.parse().ok()).unwrap_or(2_000);
    let options = Options { faults: Faults(Vec::new()), turns: 2, ..Options::new(1, agents) };
    let outcome = tokio::task::spawn_blocking(move || simulate(&options, None)).await.unwrap();
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let (actor, plan) = journal(&outcome, ActorKind::Plan);
    measure::<Planner>(&bus, actor, plan).await;
    let (actor, merge) = journal(&outcome, ActorKind::Merge);
    measure::<MergeQueue>(&bus, actor, merge).await;
    let (actor, ledger) = journal(&outcome, ActorKind::Ledger);
    measure::<Ledger>(&bus, actor, ledger).await;
}
