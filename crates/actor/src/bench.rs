//! How fast journaled turns are: agents whose every effect returns at once, through the real host and bus.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{Letter, Task, letter};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{EffectError, Error, Executor, HostOptions, Machine, Scope, host};

/// Letters sent at once.
const SENDERS: usize = 64;

/// What [`turns`] measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Agents that ran.
    pub agents: u32,
    /// Records written: one a turn, and one for each agent's start.
    pub records: u64,
    /// From the first letter sent to the last agent's last record.
    pub elapsed: Duration,
}

impl Figures {
    /// Records a second.
    pub fn records_per_second(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64()
    }
}

/// Runs `agents` agents of `turns` turns each on `run`, which must be new, and says how long that took.
/// Each turn is an effect, a decision and an acknowledged append.
///
/// # Errors
/// [`Error::Bus`].
pub async fn turns(bus: &Bus, run: &RunId, agents: u32, turns: u32) -> Result<Figures, Error> {
    let (finished, mut seen) = watch::channel(0);
    let executor = Arc::new(Bench { finished, done: parking_lot::Mutex::default() });
    let shutdown = CancellationToken::new();
    let partitions = bus.partitions().await?;
    let options = HostOptions { run: run.clone(), partitions, host: "bench".to_owned() };
    let hosting = tokio::spawn(host::<Turner, Bench>(bus.clone(), options, executor, shutdown.clone()));
    let begun = Instant::now();
    let task = Task { max_turns: turns, ..Task::default() };
    futures::stream::iter(0..agents)
        .map(|agent| {
            let to = ActorId { run: run.clone(), kind: ActorKind::Agent, id: format!("bench.{agent}") };
            let letter = Letter { letter: Some(letter::Letter::Task(task.clone())) };
            async move { bus.send(&to, letter, "start").await }
        })
        .buffer_unordered(SENDERS)
        .try_collect::<()>()
        .await?;
    // The sender lives in the host, which lives until it is told to end.
    let _ = seen.wait_for(|&finished| finished >= agents as usize).await;
    let elapsed = begun.elapsed();
    shutdown.cancel();
    hosting.await.map_err(|error| Error::Panicked { kind: "agent", cause: error.to_string() })??;
    Ok(Figures { agents, records: u64::from(agents) * (u64::from(turns) + 1), elapsed })
}

/// Counts to its goal.
struct Turner {
    goal: Option<u32>,
    turns: u32,
}

/// The first one sets the goal.
#[derive(Clone, PartialEq, prost::Message)]
struct Turned {
    #[prost(uint32, tag = "1")]
    goal: u32,
}

enum Command {
    Start(u32),
    Turn,
}

impl Machine for Turner {
    const KIND: ActorKind = ActorKind::Agent;
    const VERSION: u32 = 1;
    type Event = Turned;
    type Command = Command;
    type Effect = ();

    fn new(_: &ActorId) -> Self {
        Self { goal: None, turns: 0 }
    }

    fn apply(&mut self, event: &Turned, _: u64) {
        match self.goal {
            None => self.goal = Some(event.goal),
            Some(_) => self.turns += 1,
        }
    }

    fn decide(&self, command: Command, _: u64) -> Vec<Turned> {
        match (command, self.goal) {
            (Command::Start(goal), None) => vec![Turned { goal }],
            (Command::Turn, Some(goal)) if self.turns < goal => vec![Turned::default()],
            _ => Vec::new(),
        }
    }

    fn effects(&self) -> Vec<(String, ())> {
        if self.goal.is_some() && !self.is_finished() {
            vec![(format!("turn/{}", self.turns), ())]
        } else {
            Vec::new()
        }
    }

    fn is_finished(&self) -> bool {
        self.goal.is_some_and(|goal| self.turns >= goal)
    }
}

struct Bench {
    finished: watch::Sender<usize>,
    done: parking_lot::Mutex<HashSet<String>>,
}

impl Executor<Turner> for Bench {
    fn command(&self, letter: Letter) -> Option<Command> {
        match letter.letter? {
            letter::Letter::Task(task) => Some(Command::Start(task.max_turns)),
            _ => None,
        }
    }

    async fn execute(&self, _: Scope, (): ()) -> Result<Option<Command>, EffectError> {
        Ok(Some(Command::Turn))
    }

    fn observed(&self, actor: &ActorId, machine: &Turner) {
        if machine.is_finished() {
            let mut done = self.done.lock();
            done.insert(actor.id.clone());
            self.finished.send_replace(done.len());
        }
    }
}
