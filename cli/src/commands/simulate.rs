//! `atlas simulate`: whole runs of the services' machines with faults, on one thread, from one seed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use atlas_simulator::{Fault, Options, Outcome, shrink, simulate as whole_run};
use serde_json::json;

use crate::args::{Output, SimulateArgs};
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// Smaller runs that are tried of one that fails.
const SHRINKING: u32 = 100;

/// Simulates one seed after the other until one fails.
pub fn simulate(args: &SimulateArgs) -> Result<Exit> {
    if args.agents == 0 || args.seeds == 0 || args.turns == Some(0) || args.targets == Some(0) {
        return Err(Failure::input("agents, targets, turns and seeds must be at least 1"));
    }
    let mut rows = Vec::new();
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let options = options(args, seed);
        let trace = args.trace.as_ref().map(|path| {
            let file = File::create(path).map_err(|error| {
                Failure::input(format!("cannot write the trace {}: {error}", path.display()))
            })?;
            Ok::<Box<dyn Write>, Failure>(Box::new(BufWriter::new(file)))
        });
        let begun = Instant::now();
        let outcome = whole_run(&options, trace.transpose()?);
        let seconds = begun.elapsed().as_secs_f64();
        if !outcome.violations.is_empty() {
            return fail(args, &options, outcome);
        }
        if args.output.output == Output::Text && args.seeds > 1 {
            print::error_line(format!(
                "seed {seed}: the promise holds, {} events in {seconds:.1} s",
                outcome.events
            ));
        }
        rows.push((seed, outcome, seconds));
    }
    if args.output.output == Output::Json {
        let runs: Vec<_> = rows
            .iter()
            .map(|(seed, outcome, seconds)| json!({ "seed": seed, "seconds": seconds, "outcome": outcome }))
            .collect();
        print::json(&json!({ "holds": true, "agents": args.agents, "runs": runs }))?;
        return Ok(Exit::Done);
    }
    let table: Vec<Vec<String>> =
        rows.iter().map(|(seed, outcome, seconds)| row(*seed, outcome, *seconds)).collect();
    let head = [
        "seed",
        "events",
        "events/s",
        "virtual h",
        "attempts",
        "records",
        "landed",
        "faults",
        "calls repeated",
    ];
    print::line(print::table(&head, table, &[0, 1, 2, 3, 4, 5, 6, 7, 8]));
    print::line("The promise holds (docs/semantics.md).");
    Ok(Exit::Done)
}

fn options(args: &SimulateArgs, seed: u64) -> Options {
    let mut options = Options::new(seed, args.agents);
    options.faults = args.faults.clone();
    options.targets = args.targets.unwrap_or(options.targets);
    options.turns = args.turns.unwrap_or(options.turns);
    options.fault_count = args.fault_count.unwrap_or(options.fault_count);
    options.budget = args.budget.unwrap_or(0).saturating_mul(1_000_000);
    if !args.only.is_empty() {
        options.only = Some(args.only.iter().copied().collect());
    }
    options
}

fn row(seed: u64, outcome: &Outcome, seconds: f64) -> Vec<String> {
    let faults: u32 = outcome.faults.iter().map(|(_, count)| count).sum();
    vec![
        seed.to_string(),
        outcome.events.to_string(),
        format!("{:.0}", outcome.events as f64 / seconds.max(1e-9)),
        format!("{:.1}", outcome.virtual_us as f64 / 3.6e9),
        outcome.attempts.to_string(),
        outcome.records.to_string(),
        outcome.landed.to_string(),
        faults.to_string(),
        outcome.repeated_calls.to_string(),
    ]
}

/// Shrinks what fails and says how to see it again.
fn fail(args: &SimulateArgs, options: &Options, outcome: Outcome) -> Result<Exit> {
    let (small, outcome) = shrink(options, outcome, SHRINKING);
    let faults: Vec<(usize, Fault)> = small.scheduled();
    let kinds: Vec<&str> = small.faults.0.iter().map(|kind| kind.name()).collect();
    let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(",") };
    let only: Vec<String> = faults.iter().map(|(number, _)| number.to_string()).collect();
    let only = if only.is_empty() { String::new() } else { format!(" --only {}", only.join(",")) };
    let budget =
        if small.budget == 0 { String::new() } else { format!(" --budget {}", small.budget / 1_000_000) };
    let replay = format!(
        "atlas simulate --seed {} --agents {} --targets {} --turns {} --faults {kinds} --fault-count {}{only}{budget}",
        small.seed, small.agents, small.targets, small.turns, small.fault_count
    );
    if args.output.output == Output::Json {
        print::json(
            &json!({ "holds": false, "seed": small.seed, "replay": replay, "faults": faults, "outcome": outcome }),
        )?;
        return Ok(Exit::Fault);
    }
    let mut text = format!("seed {} breaks the promise:\n", options.seed);
    for violation in &outcome.violations {
        text.push_str(&format!(
            "  {:?} at {:.3} s: {}\n",
            violation.promise,
            violation.at_us as f64 / 1e6,
            violation.what
        ));
    }
    for (number, fault) in &faults {
        let (at, lasts) = (fault.at_us as f64 / 1e6, fault.lasts_us as f64 / 1e6);
        text.push_str(&format!("  fault {number}: {} at {at:.3} s for {lasts:.3} s\n", fault.kind.name()));
    }
    Err(Failure::fault(text.trim_end()).hint(format!("see it again: {replay} --trace FILE")))
}
