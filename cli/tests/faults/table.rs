//! What is printed at the end.

use std::collections::BTreeMap;

use serde_json::json;

use crate::fault::{Happened, Kind, Storm};
use crate::history::Verdict;
use crate::options::Options;

pub fn print(options: &Options, storm: &Storm, verdict: &Verdict) {
    if options.json {
        println!("{}", json!({ "storm": storm, "verdict": verdict }));
        return;
    }
    let mut kinds: BTreeMap<Kind, Vec<&Happened>> = BTreeMap::new();
    for one in &storm.happened {
        kinds.entry(one.kind).or_default().push(one);
    }
    println!("\nFAULT             TIMES  LASTED p50    MOST  NOTHING WRITTEN p50    MOST");
    for (kind, all) in kinds {
        let [lasted, lasted_most] = spread(all.iter().map(|one| one.to_ms - one.from_ms));
        let [silence, silence_most] = spread(all.iter().map(|one| one.silence_ms));
        println!(
            "{kind:16} {:6} {lasted:11.1} {lasted_most:7.1} {silence:20.1} {silence_most:7.1}",
            all.len()
        );
    }
    println!("\n{} faults in all; seconds. nats-server {}.", storm.happened.len(), storm.versions.join(", "));
    println!("A journal read from each of them afterwards: {:?} ms.", storm.reads_ms);
    if storm.older {
        println!("One agent runner was of an older build.");
    }
    let again = storm.failures.iter().map(|(_, said)| said.len()).sum::<usize>();
    println!("Ended by themselves and were started again: {again} times.");
    for (name, said) in &storm.failures {
        said.iter().for_each(|said| println!("  {name}: {said}"));
    }
    println!(
        "{} actors, {} records ({} of them read as they were written), {} landings, targets {:?}, dead letters {}.",
        verdict.actors,
        verdict.records,
        verdict.records_read_meanwhile,
        verdict.landings,
        verdict.targets,
        verdict.dead_letters,
    );
    println!(
        "{} model calls answered, {} of them again after their hosts were interrupted; {:.2} dollars.",
        verdict.calls,
        verdict.repeated,
        verdict.paid_microdollars as f64 / 1e6
    );
    if verdict.violations.is_empty() {
        println!("The promise held.");
    }
    for violation in &verdict.violations {
        println!("BROKEN {:?}: {}", violation.promise, violation.what);
    }
}

/// Median and most, in seconds.
fn spread(milliseconds: impl Iterator<Item = u64>) -> [f64; 2] {
    let mut all: Vec<u64> = milliseconds.collect();
    all.sort_unstable();
    [all.len() / 2, all.len() - 1].map(|at| all[at] as f64 / 1e3)
}
