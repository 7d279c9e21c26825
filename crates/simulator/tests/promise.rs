//! The promise of docs/semantics.md over whole simulated runs, and the simulation itself: deterministic, and able to fail.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use atlas_simulator::{FaultKind, Faults, Options, Outcome, Sabotage, shrink, simulate};

/// Seeds that have found something: 0, 14, 17: an effect that was not begun because its host had slept was never begun, when the
/// answer to a renewal kept the lease alive.
const REGRESSIONS: [u64; 3] = [0, 14, 17];

/// Seeds of a test run; `ATLAS_SEEDS=FIRST..LAST` asks for others.
fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("ATLAS_SEEDS").ok();
    let parsed = asked.as_deref().and_then(|text| {
        let (first, last) = text.split_once("..")?;
        Some(first.parse().ok()?..last.parse().ok()?)
    });
    parsed.unwrap_or(0..200)
}

fn explain(options: &Options, outcome: Outcome) -> String {
    let (small, outcome) = shrink(options, outcome, 60);
    format!("{:#?}\n{small:#?}\n{:?}", outcome.violations, small.scheduled())
}

#[test]
#[ignore = "open: seeds 10, 37, 41, 53 and 58 do not end; whether product or model is at fault is not known"]
fn the_promise_holds_whatever_goes_wrong() {
    let mut seen: BTreeSet<FaultKind> = BTreeSet::new();
    let (mut landed, mut repeated) = (0, 0);
    for seed in REGRESSIONS.into_iter().chain(seeds()) {
        let options = Options::small(seed);
        let outcome = simulate(&options, None);
        if !outcome.violations.is_empty() {
            panic!("seed {seed}: {}", explain(&options, outcome));
        }
        seen.extend(outcome.faults.iter().map(|(kind, _)| *kind));
        landed += outcome.landed;
        repeated += outcome.repeated_calls;
    }
    // It would hold of runs in which nothing happens, too.
    assert_eq!(seen.len(), FaultKind::ALL.len(), "{seen:?}");
    assert!(landed > 0 && repeated > 0, "{landed} landed, {repeated} calls repeated");
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
fn one_seed_is_one_history() {
    for seed in [1, 2, 3] {
        let (first, second) = (simulate(&Options::small(seed), None), simulate(&Options::small(seed), None));
        assert_eq!((first.history, first.facts), (second.history, second.facts));
        assert_eq!((first.events, first.virtual_us), (second.events, second.virtual_us));
    }
    let other = simulate(&Options::small(4), None);
    assert_ne!(other.history, simulate(&Options::small(5), None).history);
}

#[test]
#[ignore = "open: seed 10 fails without sabotage; only the fencing check is known to be found"]
fn a_host_that_breaks_a_rule_is_found_out() {
    for sabotage in Sabotage::ALL {
        let broken = |seed| Options { sabotage: Some(sabotage), ..Options::small(seed) };
        let found = (0..100).find(|&seed| !simulate(&broken(seed), None).violations.is_empty());
        let seed = found.unwrap_or_else(|| panic!("nobody noticed {sabotage:?}"));
        let sound = simulate(&Options::small(seed), None);
        assert!(
            sound.violations.is_empty(),
            "seed {seed} fails without {sabotage:?} too: {:?}",
            sound.violations
        );
        println!("{sabotage:?}: seed {seed}");
    }
}

#[test]
fn a_failing_run_shrinks_to_a_smaller_one_that_fails_alike() {
    let options = Options { sabotage: Some(Sabotage::AcknowledgementOrder), ..Options::small(0) };
    let outcome = simulate(&options, None);
    let promise = outcome.violations[0].promise;
    let (small, outcome) = shrink(&options, outcome, 40);
    assert!(small.scheduled().len() < options.scheduled().len());
    assert_eq!(outcome.violations[0].promise, promise);
    assert_eq!(simulate(&small, None).violations, outcome.violations, "as the shrunk run says");
}
