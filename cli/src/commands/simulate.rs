//! `atlas simulate`: whole runs of the services' machines with faults, on one thread, from one seed.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use atlas_simulator::{Fault, Mark, Options, Outcome, Sync, shrink, simulate_watched};
use serde_json::json;

use crate::args::{Output, SimulateArgs};
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// Smaller runs that are tried of one that fails.
const SHRINKING: u32 = 100;
/// A run that takes longer says where it is, on a terminal this often.
const TELL: Duration = Duration::from_secs(2);
/// The same where lines are kept.
const TELL_LOGS: Duration = Duration::from_secs(30);

/// Simulates one seed after the other until one fails, or somebody presses Ctrl-C.
pub async fn simulate(args: SimulateArgs) -> Result<Exit> {
    let stop = Arc::new(AtomicBool::new(false));
    let asked = stop.clone();
    let mut seeds = tokio::task::spawn_blocking(move || run(&args, &asked));
    let ended = tokio::select! {
        ended = &mut seeds => ended,
        Ok(()) = tokio::signal::ctrl_c() => {
            stop.store(true, Ordering::Relaxed);
            seeds.await
        }
    };
    ended.map_err(|panic| Failure::fault(format!("the simulation itself failed: {panic}")))?
}

/// Says on standard error where a run is that takes its time.
struct Watch<'a> {
    stop: &'a AtomicBool,
    seed: u64,
    targets: u32,
    begun: Instant,
    told: Instant,
    terminal: bool,
}

impl<'a> Watch<'a> {
    fn new(options: &Options, stop: &'a AtomicBool) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { stop, seed: options.seed, targets: options.targets, begun: now, told: now, terminal }
    }

    fn look(&mut self, mark: Mark) -> bool {
        let now = Instant::now();
        let long = now.duration_since(self.begun) >= TELL;
        if long && now.duration_since(self.told) >= if self.terminal { TELL } else { TELL_LOGS } {
            self.told = now;
            let rate = mark.events as f64 / now.duration_since(self.begun).as_secs_f64();
            let line = format!(
                "seed {}: {} events ({rate:.0} a second), {:.1} virtual hours, {} landed for {} targets",
                self.seed,
                mark.events,
                mark.virtual_us as f64 / 3.6e9,
                mark.landed,
                self.targets
            );
            if self.terminal {
                // Over the line before.
                let _ = write!(anstream::stderr(), "\r{line}\x1b[K");
            } else {
                print::error_line(line);
            }
        }
        !self.stop.load(Ordering::Relaxed)
    }

    /// Takes the line away.
    fn end(&self) {
        if self.terminal && self.told > self.begun {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}

fn run(args: &SimulateArgs, stop: &AtomicBool) -> Result<Exit> {
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
        let mut watch = Watch::new(&options, stop);
        let outcome = simulate_watched(&options, trace.transpose()?, &mut |mark| watch.look(mark));
        let seconds = watch.begun.elapsed().as_secs_f64();
        watch.end();
        if !outcome.violations.is_empty() {
            return fail(args, &options, outcome, stop);
        }
        if outcome.stopped {
            print::error_line(format!(
                "stopped in seed {seed}, after {} events; see it again: {}",
                outcome.events,
                replay(&options)
            ));
            return Ok(Exit::Interrupted);
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
    options.sync = args.sync;
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

/// The command that simulates the same again.
fn replay(options: &Options) -> String {
    let kinds: Vec<&str> = options.faults.0.iter().map(|kind| kind.name()).collect();
    let kinds = if kinds.is_empty() { "none".to_owned() } else { kinds.join(",") };
    let only: Vec<String> = options.only.iter().flatten().map(usize::to_string).collect();
    let only = if only.is_empty() { String::new() } else { format!(" --only {}", only.join(",")) };
    let budget =
        if options.budget == 0 { String::new() } else { format!(" --budget {}", options.budget / 1_000_000) };
    let sync = if options.sync == Sync::Always { "" } else { " --sync interval" };
    format!(
        "atlas simulate --seed {} --agents {} --targets {} --turns {} --faults {kinds} --fault-count {}{only}{budget}{sync}",
        options.seed, options.agents, options.targets, options.turns, options.fault_count
    )
}

/// Shrinks what fails and says how to see it again.
fn fail(args: &SimulateArgs, options: &Options, outcome: Outcome, stop: &AtomicBool) -> Result<Exit> {
    let mut watch = Watch::new(options, stop);
    let (small, outcome) = shrink(options, outcome, SHRINKING, &mut |mark| watch.look(mark));
    watch.end();
    let faults: Vec<(usize, Fault)> = small.scheduled();
    let replay = replay(&small);
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
