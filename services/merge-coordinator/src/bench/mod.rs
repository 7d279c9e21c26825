//! `atlas bench merge`: landed submissions per build time of four merge queues, same seeds.
//!
//! The model is that of the literature: each build takes the same time B, a submission is bad with
//! probability p on its own, the queue never runs dry and all submissions touch the same module, so that none commutes.
//! The peers are a few lines each; ours is the [machine](crate::MergeQueue) that lands real submissions, driven by a simulated clock.

mod peers;
mod world;

use std::collections::BTreeMap;

use atlas_actor::Machine as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;

pub use world::{Simulation, Truth, World, actor, request};

use crate::machine::{Command, Effect, SKELETON};

/// What to simulate.
#[derive(Debug, Clone)]
pub struct BenchOptions {
    /// Probabilities of a bad submission.
    pub bad: Vec<f64>,
    /// Probability that a submission breaks with the one right before it, both being good.
    pub clash: f64,
    /// Submissions certified alone at once, at most; also the peers' largest batch.
    pub window: u32,
    /// Submissions in the simulated stream.
    pub submissions: usize,
    /// Of the random numbers.
    pub seed: u64,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self { bad: vec![0.02, 0.05, 0.10, 0.20, 0.30], clash: 0.0, window: 20, submissions: 1_000, seed: 1 }
    }
}

/// One cell of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BenchRow {
    /// `serial`, `batch and bisect`, `prefix tree`, `prefixes and singles`, `atlas`.
    pub queue: &'static str,
    /// Who works this way.
    pub used_by: &'static str,
    /// Batch size or window.
    pub width: u32,
    /// Probability of a bad submission.
    pub bad: f64,
    /// Probability of a pair that breaks only together.
    pub clash: f64,
    /// Submissions landed.
    pub landed: u64,
    /// Landed submissions per build time.
    pub landed_per_build_time: f64,
    /// Builds per landed submission.
    pub builds_per_landing: f64,
    /// Build times from a submission's admission to its landing, mean; `None`: not measured.
    pub latency: Option<f64>,
}

/// The whole table, row by row.
pub fn bench(options: &BenchOptions) -> Vec<BenchRow> {
    let mut rows = Vec::new();
    for &bad in &options.bad {
        let stream = Stream::new(options, bad);
        rows.push(peers::serial(&stream));
        rows.push(peers::bisect(&stream, 5));
        rows.push(peers::bisect(&stream, 10));
        rows.push(peers::prefix_tree(&stream, options.window, false));
        rows.push(peers::prefix_tree(&stream, options.window, true));
        rows.push(ours(&stream, options.window));
    }
    rows
}

/// A stream of submissions: which are bad, which break with the one before.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    bad: f64,
    clash: f64,
    submissions: Vec<bool>,
    clashes: Vec<bool>,
}

impl Stream {
    fn new(options: &BenchOptions, bad: f64) -> Self {
        let mut random = StdRng::seed_from_u64(options.seed);
        let submissions: Vec<bool> = (0..options.submissions).map(|_| random.random_bool(bad)).collect();
        let clashes = (0..options.submissions)
            .map(|at| random.random_bool(options.clash) && at > 0 && !submissions[at] && !submissions[at - 1])
            .collect();
        Self { bad, clash: options.clash, submissions, clashes }
    }

    /// Whether these submissions build together, on top of those that have landed.
    fn builds(&self, landed: &[bool], tried: &[usize]) -> bool {
        tried.iter().all(|&one| {
            let before = one.checked_sub(1).filter(|before| landed[*before] || tried.contains(before));
            !(self.submissions[one] || self.clashes[one] && before.is_some())
        })
    }

    fn row(&self, queue: &'static str, used_by: &'static str, width: u32, tally: Tally) -> BenchRow {
        let landed = tally.landed.max(1) as f64;
        BenchRow {
            queue,
            used_by,
            width,
            bad: self.bad,
            clash: self.clash,
            landed: tally.landed,
            landed_per_build_time: tally.landed as f64 / tally.build_times.max(1.0),
            builds_per_landing: tally.builds as f64 / landed,
            latency: tally.latency,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    landed: u64,
    builds: u64,
    build_times: f64,
    latency: Option<f64>,
}

/// One build, in simulated ms.
const BUILD_MS: u64 = 60_000;

/// Submissions that wait beyond the window: the queue never runs dry.
const BACKLOG: usize = 3;

/// Our queue: the machine, fed so that it never runs dry.
fn ours(stream: &Stream, window: u32) -> BenchRow {
    let name = |at: usize| format!("s{at}");
    let mut truth = Truth::default();
    for (at, bad) in stream.submissions.iter().enumerate() {
        if *bad {
            truth.bad.insert(name(at));
        }
        if stream.clashes[at] {
            truth.clashes.insert((name(at - 1), name(at)));
        }
    }
    let mut simulation = Simulation::new(truth, (1, window));
    simulation.submit(SKELETON);
    let mut clocked = Clocked::default();
    clocked.run_idle(&mut simulation);
    let (start_ms, start_builds) = (simulation.now_ms, simulation.world.builds);
    let mut sent = 0;
    let mut admitted: BTreeMap<String, u64> = BTreeMap::new();
    let mut waited = Vec::new();
    while sent < stream.submissions.len() {
        let waiting = window as usize * BACKLOG;
        while simulation.machine.waiting() < waiting && sent < stream.submissions.len() {
            simulation.submit(&name(sent));
            sent += 1;
        }
        let before = simulation.journal.len();
        clocked.step(&mut simulation);
        for (time_ms, event) in &simulation.journal[before..] {
            use atlas_proto::merge_event::Event;
            match &event.event {
                Some(Event::Speculated(speculated)) => {
                    for id in &speculated.submissions {
                        admitted.entry(id.clone()).or_insert(*time_ms);
                    }
                }
                Some(Event::Landed(landed)) => {
                    for outcome in &landed.outcomes {
                        let since = admitted.remove(&outcome.submission).unwrap_or(*time_ms);
                        waited.push((time_ms - since) as f64 / BUILD_MS as f64);
                    }
                }
                _ => {}
            }
        }
    }
    // The stream has run out; what is still waiting is not counted, nor the time that it would take.
    let tally = Tally {
        landed: simulation.machine.totals().landed - 1,
        builds: simulation.world.builds - start_builds,
        build_times: (simulation.now_ms - start_ms) as f64 / BUILD_MS as f64,
        latency: (!waited.is_empty()).then(|| waited.iter().sum::<f64>() / waited.len() as f64),
    };
    stream.row("atlas", "Atlas", window, tally)
}

/// Runs a simulation's effects on a clock: builds take [`BUILD_MS`], everything else no time.
#[derive(Debug, Default)]
pub(crate) struct Clocked {
    /// What finishes when, by effect key.
    due: BTreeMap<(u64, String), Effect>,
    begun: std::collections::BTreeSet<String>,
}

impl Clocked {
    /// Does what takes no time, begins builds, moves the clock to the next end and delivers all that ends then. `false`: nothing
    /// is under way.
    pub fn step(&mut self, simulation: &mut Simulation) -> bool {
        self.settle(simulation);
        let Some(((at, _), _)) = self.due.first_key_value() else { return false };
        let at = *at;
        simulation.now_ms = simulation.now_ms.max(at);
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= at) {
            let command = match entry.remove() {
                Effect::Certify { id, tree, check, .. } => {
                    Command::Checked(simulation.world.check(&id, &tree, &check))
                }
                _ => Command::Waited,
            };
            simulation.tell(command);
            self.settle_landings(simulation);
        }
        true
    }

    /// Steps until nothing is under way.
    pub fn run_idle(&mut self, simulation: &mut Simulation) {
        while self.step(simulation) {}
    }

    /// Landing takes no time: it is done before the next answer is read.
    fn settle_landings(&self, simulation: &mut Simulation) {
        while let Some((_, effect)) =
            simulation.machine.effects().into_iter().find(|(_, effect)| matches!(effect, Effect::Land { .. }))
        {
            if let Some(command) = simulation.act(&effect) {
                simulation.tell(command);
            }
        }
    }

    fn settle(&mut self, simulation: &mut Simulation) {
        loop {
            let instant = simulation
                .effects()
                .into_iter()
                .find(|(_, effect)| !matches!(effect, Effect::Certify { .. } | Effect::Wait { .. }));
            let Some((_, effect)) = instant else { break };
            if let Some(command) = simulation.act(&effect) {
                simulation.tell(command);
            }
        }
        for (key, effect) in simulation.effects() {
            if !self.begun.insert(key.clone()) {
                continue;
            }
            let at = match &effect {
                Effect::Wait { until_ms } => *until_ms,
                _ => {
                    simulation.world.builds += 1;
                    simulation.now_ms + BUILD_MS
                }
            };
            self.due.insert((at, key), effect);
        }
    }
}
