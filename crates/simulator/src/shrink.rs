//! A run that fails, made smaller as long as it fails: fewer faults, then fewer targets and agents.

use std::collections::BTreeSet;

use crate::run::{Mark, Options, Outcome, simulate_watched};

/// The smallest failing run that was found from `options`, which fails, and what came of it. At most `tries` runs, and none after
/// `watch` has said false.
pub fn shrink(
    options: &Options,
    outcome: Outcome,
    tries: u32,
    watch: &mut dyn FnMut(Mark) -> bool,
) -> (Options, Outcome) {
    let numbers: BTreeSet<usize> = options.scheduled().into_iter().map(|(number, _)| number).collect();
    let mut best = (Options { only: Some(numbers), ..options.clone() }, outcome);
    let mut left = tries;
    let mut smaller = |candidate: Options, best: &mut (Options, Outcome)| -> bool {
        if left == 0 {
            return false;
        }
        left -= 1;
        let outcome = simulate_watched(&candidate, None, watch);
        if outcome.stopped {
            left = 0;
        }
        let fails = outcome.violations.iter().any(|v| v.promise == best.1.violations[0].promise);
        if fails {
            *best = (candidate, outcome);
        }
        fails
    };
    let mut part = best.0.only.as_ref().map_or(0, BTreeSet::len);
    while part > 0 {
        let faults: Vec<usize> = best.0.only.iter().flatten().copied().collect();
        let mut dropped = false;
        for gone in faults.chunks(part) {
            let only =
                best.0.only.iter().flatten().copied().filter(|number| !gone.contains(number)).collect();
            dropped |= smaller(Options { only: Some(only), ..best.0.clone() }, &mut best);
        }
        if part == 1 && !dropped {
            break;
        }
        part = if part == 1 { 1 } else { part / 2 };
    }
    while best.0.targets > 1 && smaller(Options { targets: best.0.targets / 2, ..best.0.clone() }, &mut best)
    {
    }
    while best.0.agents > 1 && smaller(Options { agents: best.0.agents / 2, ..best.0.clone() }, &mut best) {}
    best
}
