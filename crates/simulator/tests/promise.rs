//! The promise of docs/semantics.md over whole simulated runs, and the simulation itself: deterministic, and able to fail.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use atlas_simulator::{FaultKind, Faults, Options, Outcome, Promise, Sabotage, Sync, shrink, simulate};

/// Seeds that have found something: 0, 14, 17: an effect that was not begun because its host had slept was never begun, when the
/// answer to a renewal kept the lease alive. 48: a host that had slept in the middle of an effect paid for a model call that
/// another had made. 51, 64, 66, 124: a host that had slept in the middle of a letter acknowledged it, and nobody knew of the
/// actor to which it had given birth. 10, 37, 41, 53, 58: the simulation itself lost the ends
/// of effects, lost letters, and opened a partition for them before it had read its journals. 208: it opened one that it had lost
/// while it woke its actors, and took its letters from then on.
const REGRESSIONS: [u64; 14] = [0, 10, 14, 17, 37, 41, 48, 51, 53, 58, 64, 66, 124, 208];

/// Seeds of a test run; `ATLAS_SEEDS=FIRST..LAST` asks for others.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("ATLAS_SEEDS").ok();
    let parsed = asked.as_deref().and_then(|text| {
        let (first, last) = text.split_once("..")?;
        Some(first.parse().ok()?..last.parse().ok()?)
    });
    parsed.unwrap_or(200..260)
}

/// The kinds of fault that there were when the seeds above found what they did: of more kinds each comes more rarely.
fn early() -> Faults {
    Faults(FaultKind::ALL[..14].to_vec())
}

fn explain(options: &Options, outcome: Outcome) -> String {
    let (small, outcome) = shrink(options, outcome, 60, &mut |_| true);
    format!("{:#?}\n{small:#?}\n{:?}", outcome.violations, small.scheduled())
}

#[test]
fn the_promise_holds_whatever_goes_wrong() {
    let mut seen: BTreeSet<FaultKind> = BTreeSet::new();
    let (mut landed, mut repeated, mut restored, mut handed_over) = (0, 0, 0, 0);
    // Nor were there snapshots then.
    let old = REGRESSIONS.map(|seed| Options { faults: early(), snapshot_every: 0, ..Options::small(seed) });
    for options in old.into_iter().chain(seeds().map(Options::small)) {
        let seed = options.seed;
        let outcome = simulate(&options, None);
        if !outcome.violations.is_empty() {
            panic!("seed {seed}: {}", explain(&options, outcome));
        }
        seen.extend(outcome.faults.iter().map(|(kind, _)| *kind));
        landed += outcome.landed;
        repeated += outcome.repeated_calls;
        restored += outcome.restored;
        handed_over += outcome.handed_over;
    }
    // It would hold of runs in which nothing happens, too.
    assert_eq!(seen.len(), FaultKind::ALL.len(), "{seen:?}");
    let happened = format!(
        "{landed} landed, {repeated} calls repeated, {restored} actors restored, {handed_over} partitions handed over"
    );
    assert!(landed > 0 && repeated > 0 && restored > 0 && handed_over > 0, "{happened}");
}

/// With the server's default, which syncs every two minutes, a power failure loses acknowledged records, but none older than that,
/// and what is left keeps all other lines but the one on progress.
#[test]
fn a_power_failure_loses_no_more_than_a_sync_interval() {
    let kinds = vec![FaultKind::PowerFailure, FaultKind::Kill, FaultKind::Delay, FaultKind::Pause];
    let mut lost = 0;
    for seed in 0..40 {
        let options = Options {
            faults: Faults(kinds.clone()),
            fault_count: 4,
            sync: Sync::Interval,
            ..Options::small(seed)
        };
        let outcome = simulate(&options, None);
        if !outcome.violations.is_empty() {
            panic!("seed {seed}: {}", explain(&options, outcome));
        }
        let synced = simulate(&Options { sync: Sync::Always, ..options.clone() }, None);
        assert!(synced.violations.is_empty() && synced.lost == 0, "seed {seed}: {:?}", synced.violations);
        lost += outcome.lost;
    }
    assert!(lost > 0, "no power failure lost anything");
}

#[test]
fn a_book_is_finished_when_nothing_goes_wrong() {
    let options = Options { faults: Faults(Vec::new()), budget: 0, ..Options::small(7) };
    let outcome = simulate(&options, None);
    assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
    assert_eq!(outcome.end, format!("all {} targets are certified", options.targets));
    assert_eq!((outcome.repeated_calls, outcome.dead), (0, 0));
}

#[test]
fn what_is_handed_over_is_paid_once() {
    // Eight runners that come one after the other, and share out anew what agents are at work in.
    let options = Options { faults: Faults(Vec::new()), turns: 6, ..Options::new(1, 300) };
    let outcome = simulate(&options, None);
    assert!(outcome.violations.is_empty(), "{:?}", outcome.violations);
    assert!(outcome.handed_over > 8, "{} partitions were handed over", outcome.handed_over);
    assert_eq!(outcome.repeated_calls, 0);
}

#[test]
fn one_seed_is_one_history() {
    for seed in [1, 2, 3] {
        let (first, second) = (simulate(&Options::small(seed), None), simulate(&Options::small(seed), None));
        assert_eq!((first.history, first.facts), (second.history, second.facts));
        assert_eq!((first.events, first.virtual_us), (second.events, second.virtual_us));
    }
    let other = simulate(&Options::small(4), None);
    assert_ne!(other.history, simulate(&Options::small(5), None).history);
}

/// Some seed shows the broken rule, by breaking one of these lines, and holds when the rule is not broken.
fn found_out(sabotage: Sabotage, by: &[Promise]) {
    // Upgrades and power failures end much that goes wrong before it shows: half of the seeds do without.
    found_out_in(sabotage, by, |seed| {
        let all = Options { snapshot_every: 0, ..Options::small(seed) };
        if seed.is_multiple_of(2) { Options { faults: early(), ..all } } else { all }
    });
}

/// The same, of the runs that `kept` makes of seeds.
fn found_out_in(sabotage: Sabotage, by: &[Promise], kept: impl Fn(u64) -> Options) {
    let found = (0..800).find_map(|seed| {
        let broken = Options { sabotage: Some(sabotage), ..kept(seed) };
        let violation = simulate(&broken, None).violations.into_iter().next()?;
        Some((seed, violation))
    });
    let (seed, violation) = found.unwrap_or_else(|| panic!("nobody noticed {sabotage:?}"));
    assert!(by.contains(&violation.promise), "{violation:?}");
    let sound = simulate(&kept(seed), None);
    assert!(sound.violations.is_empty(), "without it too: {:?}", sound.violations);
    println!("{sabotage:?}: seed {seed}: {}", violation.what);
}

#[test]
fn a_host_that_appends_without_fencing_is_found_out() {
    found_out(Sabotage::Fencing, &[Promise::TaskOnce, Promise::OneHost]);
}

#[test]
fn a_host_that_does_not_know_a_letter_again_is_found_out() {
    found_out(Sabotage::IdempotencyKey, &[Promise::TaskOnce]);
}

#[test]
fn a_host_that_acknowledges_before_it_stores_is_found_out() {
    found_out(Sabotage::AcknowledgementOrder, &[Promise::AcknowledgedSurvives]);
}

#[test]
fn a_host_that_begins_effects_without_a_look_at_its_clock_is_found_out() {
    found_out(Sabotage::LeaseClock, &[Promise::OneHost]);
}

#[test]
fn a_host_that_pays_without_a_look_at_its_clock_is_found_out() {
    found_out(Sabotage::LeaseAtCall, &[Promise::OneHost, Promise::PaidOnce]);
}

#[test]
fn a_host_that_acknowledges_without_a_look_at_its_clock_is_found_out() {
    // A host must fall asleep in the middle of a letter that gives birth to an actor: that takes many pauses.
    let faults = Faults(vec![FaultKind::Pause]);
    found_out_in(Sabotage::LeaseAtAck, &[Promise::Progress], |seed| Options {
        faults: faults.clone(),
        fault_count: 96,
        snapshot_every: 0,
        ..Options::small(seed)
    });
}

#[test]
fn a_host_that_ends_sessions_that_live_is_found_out() {
    found_out(Sabotage::EarlyEnd, &[Promise::OneHost, Promise::Progress]);
}

#[test]
fn a_snapshot_that_does_not_say_what_was_acted_on_is_found_out() {
    // A letter must come again after its actor has come back from a snapshot.
    let faults = Faults(vec![FaultKind::Kill, FaultKind::Redelivery, FaultKind::Loss]);
    found_out_in(Sabotage::SnapshotCauses, &[Promise::TaskOnce], |seed| Options {
        faults: faults.clone(),
        fault_count: 96,
        ..Options::small(seed)
    });
}

#[test]
fn a_failing_run_shrinks_to_a_smaller_one_that_fails_alike() {
    let options = Options { sabotage: Some(Sabotage::AcknowledgementOrder), ..Options::small(0) };
    let outcome = simulate(&options, None);
    let promise = outcome.violations[0].promise;
    let (small, outcome) = shrink(&options, outcome, 40, &mut |_| true);
    assert!(small.scheduled().len() < options.scheduled().len());
    assert_eq!(outcome.violations[0].promise, promise);
    assert_eq!(simulate(&small, None).violations, outcome.violations, "as the shrunk run says");
}
