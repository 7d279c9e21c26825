//! The ledger comes back from snapshots: in memory, on file, and its desk on a journal that is not the snapshot's.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use atlas_actor::{Machine as _, fixture};
use atlas_domain::{ActorId, ActorKind, RunId, Usage};
use atlas_planner::desk::{Desk, Question};
use atlas_planner::{Ledger, LedgerCommand};
use atlas_proto::{LedgerEvent, Limits, Record, Reserve, Settle};
use proptest::prelude::*;

fn actor() -> ActorId {
    ActorId::singleton(&RunId::new("r").unwrap(), ActorKind::Ledger)
}

/// Any call's reservation or settlement, or other limits.
fn command((call, cost, what): (u8, u64, u8)) -> LedgerCommand {
    let call = format!("c{call}/1");
    let used = Usage { cost_microdollars: cost, input_tokens: cost, model_calls: 1, ..Usage::default() };
    let usage = Some(used.into());
    match what {
        0 => LedgerCommand::Settle(Settle { call, usage }),
        1 => LedgerCommand::Limit(Limits { budget_microdollars: 100 + cost, ..Limits::default() }),
        _ => {
            let (role, target) = ("prover".to_owned(), format!("t{}", cost % 3));
            LedgerCommand::Reserve(Reserve { call, role, target, estimate: usage })
        }
    }
}

proptest! {
    /// A ledger that comes back from a snapshot goes on as one that was never gone.
    #[test]
    fn it_comes_back_from_a_snapshot(
        steps in proptest::collection::vec((0u8..6, 1u64..40, 0u8..4), 0..60),
        at in 0usize..60,
    ) {
        let (mut kept, mut restored) = (Ledger::new(&actor()), None);
        for (done, step) in steps.into_iter().enumerate() {
            if done == at {
                restored = Some(Ledger::restore(&kept.snapshot().unwrap()).unwrap());
            }
            let events = kept.decide(command(step), 0);
            for ledger in restored.iter_mut().chain([&mut kept]) {
                events.iter().for_each(|event| ledger.apply(event, 0));
            }
        }
        prop_assert!(restored.is_none_or(|restored| restored == kept));
    }
}

/// Asks a desk, and gives the record that answers.
fn asked(desk: &mut Desk, step: (u8, u64, u8)) -> Record {
    let question = Question { command: command(step), asker: () };
    desk.decide(vec![question], 0, |()| false).record.unwrap()
}

fn read(desk: &mut Desk, journal: &[(u64, Record)]) {
    let after = desk.after();
    for (sequence, record) in journal.iter().filter(|(sequence, _)| *sequence > after) {
        desk.read(*sequence, record.clone()).unwrap();
    }
}

#[test]
fn a_desk_goes_on_from_a_snapshot_of_its_journal_and_of_no_other() {
    let (mut desk, mut journal) = (Desk::default(), Vec::new());
    assert!(desk.caught_up());
    for (sequence, call) in (10..).zip(0..6) {
        let record = asked(&mut desk, (call, 5, 2));
        journal.push((sequence, record.clone()));
        desk.stored(sequence, record);
    }
    let snapshot = desk.snapshot(6).unwrap();
    assert!(desk.snapshot(1).is_none(), "nothing has come since");
    let record = asked(&mut desk, (0, 3, 0));
    journal.push((16, record.clone()));
    desk.stored(16, record);

    let mut back = Desk::default();
    back.restore(snapshot.clone()).unwrap();
    assert_eq!((back.after(), back.is_current()), (14, false));
    read(&mut back, &journal);
    assert!(back.caught_up() && back.ledger() == desk.ledger() && back.last() == 16);

    // Restored from a backup, the journal went on, and came to the same sequence.
    let mut forked: Vec<_> = journal[..5].to_vec();
    forked.push((15, Record { time_ms: 1, ..journal[5].1.clone() }));
    for other in [&forked[..], &forked[..3]] {
        let mut astray = Desk::default();
        astray.restore(snapshot.clone()).unwrap();
        read(&mut astray, other);
        assert!(!astray.caught_up() && astray.after() == 0, "it is to be read from its beginning");
        read(&mut astray, other);
        assert!(astray.caught_up() && astray.last() == other.last().unwrap().0);
    }
}

/// Where a journal and its snapshot are on file.
fn on_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots")
}

#[test]
fn a_journal_is_folded_into_what_the_snapshot_on_file_holds() {
    fixture::check::<Ledger>(&on_file(), "ledger", &actor()).unwrap();
}

#[test]
#[ignore = "writes the journal of the test above, and with it the contract: only when events are new"]
fn a_journal_for_the_snapshot_on_file() {
    let mut ledger = Ledger::new(&actor());
    let mut events: Vec<LedgerEvent> = Vec::new();
    for step in (0..40_u8).map(|n| (n % 7, 3 + u64::from(n), n % 4)) {
        for event in ledger.decide(command(step), 0) {
            ledger.apply(&event, 0);
            events.push(event);
        }
    }
    fixture::write::<Ledger>(&on_file(), "ledger", events.iter().zip(0..)).unwrap();
}
