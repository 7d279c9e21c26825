//! `atlas simulate`: whole runs of the services' machines with faults, each on one thread, from one seed.

use std::fs::File;
use std::io::{BufWriter, IsTerminal as _, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use atlas_simulator::{Fault, Mark, Options, Outcome, Sync, shrink, simulate_watched};
use parking_lot::Mutex;
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

/// Simulates seeds until one fails, or somebody presses Ctrl-C.
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

/// Tells runs to stop, and says on standard error where those are that take their time.
struct Watch<'a> {
    /// Somebody pressed Ctrl-C.
    stop: &'a AtomicBool,
    /// A seed has failed.
    failed: AtomicBool,
    /// When a line was last written, of whichever run.
    told: Mutex<Instant>,
    terminal: bool,
}

impl<'a> Watch<'a> {
    fn new(stop: &'a AtomicBool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { stop, failed: AtomicBool::new(false), told: Mutex::new(Instant::now()), terminal }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && !self.failed.load(Ordering::Relaxed)
    }

    /// A run that began at `begun` is here. Whether it is to go on.
    fn look(&self, options: &Options, begun: Instant, mark: Mark) -> bool {
        if begun.elapsed() >= TELL
            && let Some(mut told) = self.told.try_lock()
            && told.elapsed() >= if self.terminal { TELL } else { TELL_LOGS }
        {
            *told = Instant::now();
            let rate = mark.events as f64 / begun.elapsed().as_secs_f64();
            let line = format!(
                "seed {}: {} events ({rate:.0} a second), {:.1} virtual hours, {} landed for {} targets",
                options.seed,
                mark.events,
                mark.virtual_us as f64 / 3.6e9,
                mark.landed,
                options.targets
            );
            if self.terminal {
                // Over the line before.
                let _ = write!(anstream::stderr(), "\r{line}\x1b[K");
            } else {
                print::error_line(line);
            }
        }
        self.goes_on()
    }

    /// Takes the line away.
    fn end(&self) {
        if self.terminal {
            let _ = write!(anstream::stderr(), "\r\x1b[K");
        }
    }
}

/// A run that has ended.
struct Ended {
    options: Options,
    outcome: Outcome,
    seconds: f64,
}

/// Simulates one seed.
fn one(args: &SimulateArgs, seed: u64, watch: &Watch<'_>) -> Result<Ended> {
    let options = options(args, seed);
    let trace = args.trace.as_ref().map(|path| {
        let file = File::create(path)
            .map_err(|error| Failure::input(format!("cannot write the trace {}: {error}", path.display())))?;
        Ok::<Box<dyn Write>, Failure>(Box::new(BufWriter::new(file)))
    });
    let begun = Instant::now();
    let mut outcome =
        simulate_watched(&options, trace.transpose()?, &mut |mark| watch.look(&options, begun, mark));
    let seconds = begun.elapsed().as_secs_f64();
    // Nobody asks for them here, and there may be a million seeds.
    outcome.journals = Vec::new();
    if !outcome.violations.is_empty() {
        watch.failed.store(true, Ordering::Relaxed);
    }
    Ok(Ended { options, outcome, seconds })
}

/// Simulates seeds, `jobs` at once, until one fails; those that have ended, by seed.
fn all(args: &SimulateArgs, jobs: usize, watch: &Watch<'_>) -> Result<Vec<Ended>> {
    let next = AtomicU64::new(args.seed);
    let last = args.seed.saturating_add(args.seeds);
    let seeds = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < last && watch.goes_on());
    let mut ended = std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        for _ in 0..jobs {
            let tell = tell.clone();
            scope.spawn(move || {
                while let Some(seed) = seeds()
                    && tell.send(one(args, seed, watch)).is_ok()
                {}
            });
        }
        drop(tell);
        let heard = told.iter().inspect(|ended| {
            if let Ok(Ended { options, outcome, seconds }) = ended
                && args.output.output == Output::Text
                && args.seeds > 1
                && outcome.violations.is_empty()
                && !outcome.stopped
            {
                watch.end();
                print::error_line(format!(
                    "seed {}: the promise holds, {} events in {seconds:.1} s",
                    options.seed, outcome.events
                ));
            }
        });
        heard.collect::<Result<Vec<Ended>>>()
    })?;
    watch.end();
    ended.sort_by_key(|ended| ended.options.seed);
    Ok(ended)
}

fn run(args: &SimulateArgs, stop: &AtomicBool) -> Result<Exit> {
    if args.agents == 0 || args.seeds == 0 || args.turns == Some(0) || args.targets == Some(0) {
        return Err(Failure::input("agents, targets, turns and seeds must be at least 1"));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A history is written by one run at a time.
    let jobs = if args.trace.is_some() { 1 } else { args.jobs.map_or(cores, |jobs| jobs.get().into()) };
    let jobs = jobs.min(usize::try_from(args.seeds).unwrap_or(usize::MAX)).max(1);
    let begun = Instant::now();
    let mut rows = all(args, jobs, &Watch::new(stop))?;
    if let Some(at) = rows.iter().position(|ended| !ended.outcome.violations.is_empty()) {
        let Ended { options, outcome, .. } = rows.swap_remove(at);
        return fail(args, &options, outcome, stop);
    }
    if let Some(Ended { options, outcome, .. }) = rows.iter().find(|ended| ended.outcome.stopped) {
        print::error_line(format!(
            "stopped in seed {}, after {} events; see it again: {}",
            options.seed,
            outcome.events,
            replay(options)
        ));
        return Ok(Exit::Interrupted);
    }
    let events: u64 = rows.iter().map(|ended| ended.outcome.events).sum();
    let rate = events as f64 / begun.elapsed().as_secs_f64().max(1e-9);
    if args.output.output == Output::Json {
        let runs: Vec<_> = rows
            .iter()
            .map(|Ended { options, outcome, seconds }| {
                json!({ "seed": options.seed, "seconds": seconds, "outcome": outcome })
            })
            .collect();
        print::json(&json!({
            "holds": true, "agents": args.agents, "jobs": jobs, "events_per_second": rate, "runs": runs
        }))?;
        return Ok(Exit::Done);
    }
    let table: Vec<Vec<String>> = rows.iter().map(row).collect();
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
    if rows.len() > 1 {
        print::line(format!("{events} events, {rate:.0} a second, {jobs} seeds at once"));
    }
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

fn row(Ended { options, outcome, seconds }: &Ended) -> Vec<String> {
    let faults: u32 = outcome.faults.iter().map(|(_, count)| count).sum();
    vec![
        options.seed.to_string(),
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
    let (watch, begun) = (Watch::new(stop), Instant::now());
    let (small, outcome) = shrink(options, outcome, SHRINKING, &mut |mark| watch.look(options, begun, mark));
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
