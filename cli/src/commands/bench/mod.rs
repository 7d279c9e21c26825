//! `atlas bench`: figures, peers' beside ours with their source.

mod actors;
mod certify;
mod check;
mod machine;
mod merge;
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
        Bench::Run { which, output } => run::run(which, output.output),
    }
}
