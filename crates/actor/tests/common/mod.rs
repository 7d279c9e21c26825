//! A small machine that counts, and an executor whose effects the test lets go one by one.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use atlas_actor::{EffectError, Executor, HostOptions, Machine, Scope, host};
use atlas_bus::{Bus, Spec};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{HumanReply, Letter, Task, letter};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub fn run_id() -> RunId {
    RunId::new("r").unwrap()
}

pub fn agent(id: &str) -> ActorId {
    ActorId { run: run_id(), kind: ActorKind::Agent, id: id.to_owned() }
}

/// Starts a counter that stops at `goal`.
pub fn start(goal: u32) -> Letter {
    Letter { letter: Some(letter::Letter::Task(Task { max_turns: goal, ..Task::default() })) }
}

/// Adds one, or what the text says: `cancel`, `panic`.
pub fn say(text: &str) -> Letter {
    Letter {
        letter: Some(letter::Letter::HumanReply(HumanReply {
            escalation: String::new(),
            text: text.to_owned(),
        })),
    }
}

/// A leaseholder that dies is known dead after two seconds.
pub fn spec() -> Spec {
    spec_of(2)
}

/// The same with so many partitions.
pub fn spec_of(partitions: u16) -> Spec {
    Spec { lease_ttl: Duration::from_secs(2), ..Spec::new(partitions) }
}

/// What a record of a counter holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Counted {
    /// Set by the first.
    #[prost(uint32, tag = "1")]
    pub goal: u32,
    #[prost(string, tag = "2")]
    pub by: String,
    #[prost(bool, tag = "3")]
    pub cancel: bool,
}

pub enum Command {
    Start(u32),
    Say(String),
    Counted(String),
    /// Deciding takes until the test lets it go on, and comes to nothing.
    Stall(Arc<Stall>),
}

/// What makes a host's only thread stand still in the middle of a decision.
pub struct Stall {
    begun: Mutex<Option<oneshot::Sender<()>>>,
    go_on: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Stall {
    /// With what tells that it has begun, and what ends it.
    pub fn new() -> (Arc<Self>, oneshot::Receiver<()>, std::sync::mpsc::Sender<()>) {
        let (begin, begun) = oneshot::channel();
        let (go, go_on) = std::sync::mpsc::channel();
        (Arc::new(Self { begun: Mutex::new(Some(begin)), go_on: Mutex::new(go_on) }), begun, go)
    }

    fn stall(&self) {
        if let Some(begun) = self.begun.lock().unwrap().take() {
            let _ = begun.send(());
        }
        let _ = self.go_on.lock().unwrap().recv();
    }
}

/// Counts to its goal, one effect `count/N` at a time, of which every other one costs; letters count too. `cancel` drops the effect under way for good.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counter {
    pub goal: u32,
    /// Who counted, in order: `letter` or an effect's key.
    pub counts: Vec<String>,
    pub cancelled: bool,
}

impl Machine for Counter {
    const KIND: ActorKind = ActorKind::Agent;
    const VERSION: u32 = 1;
    type Event = Counted;
    type Command = Command;
    type Effect = u32;

    fn new(_: &ActorId) -> Self {
        Self::default()
    }

    fn apply(&mut self, event: &Counted, _: u64) {
        if event.goal > 0 {
            self.goal = event.goal;
        } else if event.cancel {
            self.cancelled = true;
        } else {
            self.counts.push(event.by.clone());
        }
    }

    fn decide(&self, command: Command, _: u64) -> Vec<Counted> {
        let counted = |by: &str| vec![Counted { by: by.to_owned(), ..Counted::default() }];
        match command {
            Command::Start(goal) if self.goal == 0 => vec![Counted { goal, ..Counted::default() }],
            Command::Say(text) if text == "cancel" => vec![Counted { cancel: true, ..Counted::default() }],
            Command::Say(text) if text == "panic" => panic!("asked to"),
            Command::Say(_) => counted("letter"),
            Command::Counted(by) => counted(&by),
            Command::Start(_) => Vec::new(),
            Command::Stall(stall) => {
                stall.stall();
                Vec::new()
            }
        }
    }

    fn effects(&self) -> Vec<(String, u32)> {
        let next = self.counts.len() as u32;
        if self.is_finished() || self.goal == 0 || self.cancelled {
            Vec::new()
        } else {
            vec![(format!("count/{next}"), next)]
        }
    }

    fn is_costly(count: &u32) -> bool {
        count % 2 == 1
    }

    fn is_finished(&self) -> bool {
        self.goal > 0 && self.counts.len() as u32 >= self.goal
    }
}

/// An effect under way: the test says what comes of it. Dropped by the host, `answer` is closed.
pub struct Running {
    pub scope: Scope,
    pub answer: oneshot::Sender<Result<bool, EffectError>>,
}

impl Running {
    pub fn count(self) {
        let _ = self.answer.send(Ok(true));
    }
}

pub struct Hands {
    pub started: mpsc::UnboundedSender<Running>,
    /// Counts of the machine that was seen last, by actor and host.
    pub seen: watch::Sender<Vec<(String, Counter)>>,
    /// What the letter `stall` does here; elsewhere it counts.
    pub stall: Option<Arc<Stall>>,
}

impl Executor<Counter> for Hands {
    fn command(&self, letter: Letter) -> Option<Command> {
        match letter.letter? {
            letter::Letter::Task(task) => Some(Command::Start(task.max_turns)),
            letter::Letter::HumanReply(reply) => match (&self.stall, reply.text) {
                (Some(stall), text) if text == "stall" => Some(Command::Stall(stall.clone())),
                (_, text) => Some(Command::Say(text)),
            },
            _ => None,
        }
    }

    async fn execute(&self, scope: Scope, _: u32) -> Result<Option<Command>, EffectError> {
        let (answer, answered) = oneshot::channel();
        let key = scope.key.clone();
        let _ = self.started.send(Running { scope, answer });
        match answered.await {
            Ok(Ok(true)) => Ok(Some(Command::Counted(key))),
            Ok(Ok(false)) => Ok(None),
            Ok(Err(error)) => Err(error),
            // The test dropped it: as a process that hangs.
            Err(_) => std::future::pending().await,
        }
    }

    fn observed(&self, actor: &ActorId, machine: &Counter) {
        self.seen.send_modify(|seen| {
            seen.retain(|(id, _)| *id != actor.id);
            seen.push((actor.id.clone(), machine.clone()));
        });
    }
}

/// A host as a process would be one.
pub struct TestHost {
    pub started: mpsc::UnboundedReceiver<Running>,
    pub seen: watch::Receiver<Vec<(String, Counter)>>,
    pub shutdown: CancellationToken,
    runtime: Option<tokio::runtime::Runtime>,
    task: Option<tokio::task::JoinHandle<Result<(), atlas_actor::Error>>>,
}

impl TestHost {
    /// Its own runtime and connection, so that it can die like a process.
    pub async fn start(options: atlas_bus::Options, name: &str) -> Self {
        Self::start_with(options, name, 2, None).await
    }

    /// The same, with so many partitions, and what the letter `stall` does there.
    pub async fn start_with(
        options: atlas_bus::Options,
        name: &str,
        partitions: u16,
        stall: Option<Arc<Stall>>,
    ) -> Self {
        let (started_sender, started) = mpsc::unbounded_channel();
        let (seen_sender, seen) = watch::channel(Vec::new());
        let hands = Arc::new(Hands { started: started_sender, seen: seen_sender, stall });
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let host_options = HostOptions { run: run_id(), partitions, host: name.to_owned() };
        let task = runtime.spawn(async move {
            let bus = Bus::connect(&options).await?;
            bus.ensure_spec(&spec_of(partitions)).await?;
            host::<Counter, Hands>(bus, host_options, hands, stop).await
        });
        Self { started, seen, shutdown, runtime: Some(runtime), task: Some(task) }
    }

    /// The next effect that starts.
    pub async fn effect(&mut self) -> Running {
        self.started.recv().await.unwrap()
    }

    /// Waits until the actor looks so.
    pub async fn until(&mut self, id: &str, mut looks: impl FnMut(&Counter) -> bool) -> Counter {
        let seen = self
            .seen
            .wait_for(|seen| seen.iter().any(|(actor, counter)| actor == id && looks(counter)))
            .await
            .unwrap();
        seen.iter().find(|(actor, _)| actor == id).unwrap().1.clone()
    }

    /// Everything stops at once, as by `kill -9`: no lease is given back, nothing is flushed.
    pub fn kill(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// Stops as on SIGTERM.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.task.take().unwrap().await.unwrap().unwrap();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
