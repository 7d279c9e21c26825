//! How many agents one machine carries, and how fast: agents whose effects cost nothing, through the real host and bus.

mod runner;
mod turner;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::Bus;
use atlas_domain::{ActorId, RunId};
use atlas_proto::Letter;
use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use runner::{beaten, runner, start};

use turner::{Command, Turner};

use crate::{EffectError, Error, Executor, HostOptions, Machine as _, Scope, host};

/// Letters sent at once, as a plan of the planner sends them.
const SENDERS: usize = 256;
/// How long a host has for opening what it opens once its agents are there, before messages are counted.
const SETTLE: Duration = Duration::from_secs(2);
/// How long messages are counted while nobody does anything.
const IDLE: Duration = Duration::from_secs(4);
/// How often it is looked whether all journals have been archived.
const LOOK: Duration = Duration::from_millis(100);

/// Where a fleet's life has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nobody is there yet.
    Empty,
    /// All agents are there and each waits for an effect.
    Live,
    /// The same, on a host that found them in their journals.
    Back,
    /// All are done.
    Turned,
    /// All are archived too.
    Archived,
}

/// What [`fleet`] measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Agents that ran.
    pub agents: u32,
    /// Records written: one a turn, and one for each agent's start.
    pub records: u64,
    /// From the first letter sent to the last agent's first effect.
    pub activation: Duration,
    /// From the start of another host, its predecessor's leases given back, to all agents' effects under way again.
    pub back: Duration,
    /// Messages a second, in and out, while all agents wait.
    pub idle_messages: f64,
    /// All turns of all agents; those that are done early are archived meanwhile.
    pub turning: Duration,
    /// From then on, until all are archived.
    pub archiving: Duration,
}

/// Runs `agents` agents of `turns` turns each on `run`, which must be new and have the bus to itself. Each turn is an effect, a decision and an
/// acknowledged append. They are activated, left waiting, moved to another host, and only then run and archived; `at` is called where
/// it says.
///
/// # Errors
/// [`Error::Bus`].
pub async fn fleet(
    bus: &Bus,
    run: &RunId,
    agents: u32,
    turns: u32,
    at: &mut dyn FnMut(Stage),
) -> Result<Figures, Error> {
    let all = agents as usize;
    let (gate, opened) = watch::channel(false);
    at(Stage::Empty);
    let begun = Instant::now();
    let first = Host::start(bus, run, "first", opened.clone()).await?;
    futures::stream::iter(0..agents)
        .map(|agent| async move { bus.send(&turner::agent(run, agent), turner::start(turns), "start").await })
        .buffer_unordered(SENDERS)
        .try_collect::<()>()
        .await?;
    first.bench.waiting.reach(all).await;
    let activation = begun.elapsed();
    at(Stage::Live);
    first.stop().await?;

    let begun = Instant::now();
    let second = Host::start(bus, run, "second", opened).await?;
    second.bench.waiting.reach(all).await;
    let back = begun.elapsed();
    at(Stage::Back);
    tokio::time::sleep(SETTLE).await;
    let (before, since) = (bus.messages(), Instant::now());
    tokio::time::sleep(IDLE).await;
    let idle_messages = (bus.messages() - before) as f64 / since.elapsed().as_secs_f64();

    let begun = Instant::now();
    gate.send_replace(true);
    second.bench.finished.reach(all).await;
    let turning = begun.elapsed();
    at(Stage::Turned);
    // One record of each is left, which says where the others are.
    while bus.journal_size().await?.0 > u64::from(agents) {
        tokio::time::sleep(LOOK).await;
    }
    let archiving = begun.elapsed() - turning;
    at(Stage::Archived);
    second.stop().await?;
    let records = u64::from(agents) * (u64::from(turns) + 1);
    Ok(Figures { agents, records, activation, back, idle_messages, turning, archiving })
}

/// A host of this process.
struct Host {
    bench: Arc<Bench>,
    shutdown: CancellationToken,
    hosting: JoinHandle<Result<(), Error>>,
}

impl Host {
    async fn start(bus: &Bus, run: &RunId, name: &str, gate: watch::Receiver<bool>) -> Result<Self, Error> {
        let bench = Arc::new(Bench { gate, waiting: Count::default(), finished: Count::default() });
        let shutdown = CancellationToken::new();
        let options =
            HostOptions { run: run.clone(), partitions: bus.partitions().await?, host: name.to_owned() };
        let hosting =
            tokio::spawn(host::<Turner, Bench>(bus.clone(), options, bench.clone(), shutdown.clone()));
        Ok(Self { bench, shutdown, hosting })
    }

    async fn stop(self) -> Result<(), Error> {
        self.shutdown.cancel();
        self.hosting.await.map_err(|error| Error::Panicked { kind: "agent", cause: error.to_string() })?
    }
}

/// Actors, each once.
#[derive(Default)]
struct Count {
    seen: Mutex<HashSet<String>>,
    number: watch::Sender<usize>,
}

impl Count {
    fn see(&self, actor: &ActorId) {
        let mut seen = self.seen.lock();
        if seen.insert(actor.id.clone()) {
            self.number.send_replace(seen.len());
        }
    }

    async fn reach(&self, number: usize) {
        // The sender lives as long as this.
        let _ = self.number.subscribe().wait_for(|&seen| seen >= number).await;
    }
}

struct Bench {
    /// Whether effects end.
    gate: watch::Receiver<bool>,
    waiting: Count,
    finished: Count,
}

impl Executor<Turner> for Bench {
    fn command(&self, letter: Letter) -> Option<Command> {
        turner::command(letter)
    }

    async fn execute(&self, scope: Scope, (): ()) -> Result<Option<Command>, EffectError> {
        self.waiting.see(&scope.actor);
        let mut gate = self.gate.clone();
        // Closed: the bench is over, and nobody waits for this.
        let _ = gate.wait_for(|&open| open).await;
        Ok(Some(Command::Turn))
    }

    fn observed(&self, actor: &ActorId, machine: &Turner) {
        if machine.is_finished() {
            self.finished.see(actor);
        }
    }
}
