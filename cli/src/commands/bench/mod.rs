//! `atlas bench`: figures, peers' beside ours with their source.

mod actors;
mod certify;
mod check;
mod fleet;
mod journal;
mod machine;
mod merge;
mod power;
mod recovery;
mod run;

use crate::args::Bench;
use crate::failure::{Exit, Result};

/// Measures.
pub fn bench(what: &Bench) -> Result<Exit> {
    match what {
        Bench::Merge(args) => merge::merge(args),
        Bench::Check(args) => check::check(args),
        Bench::Certify(args) => certify::certify(args),
        Bench::Actors(args) => actors::actors(args),
        Bench::Journal(args) => journal::journal(args),
        Bench::Fleet(args) => fleet::fleet(args),
        Bench::Part => fleet::part(),
        Bench::Recovery(args) => recovery::recovery(args),
        Bench::Power(args) => power::power(args),
        Bench::Runner => recovery::runner(),
        Bench::Run { which, output } => run::run(which, output.output),
    }
}

/// The `share`th part of sorted times, by nearest rank.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Times, the shortest first.
fn sorted(times: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times
}
