//! The fleet's processes and its server: started, killed, told how far agents may go, and measured.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use atlas_bus::{Bus, Server, ServerOptions, Spec, SyncMode};
use atlas_domain::RunId;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::figures::{Counters, Footing, PLACES, Place};
use super::part::{Orders, Part, Report};
use crate::args::{BenchFleetArgs, BenchSync};
use crate::attach::nats_server;
use crate::commands::bench::machine;
use crate::failure::{Failure, Result};

/// How long nothing changes when agents wait for each other: longer than it takes until a dead runner is missed.
const CALM: Duration = Duration::from_secs(6);

/// A process of the fleet.
struct Process {
    name: String,
    part: Part,
    child: Child,
    orders: ChildStdin,
    last: Report,
    /// It has connected.
    ready: bool,
}

impl Process {
    fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}

/// Everything of one run.
pub struct Stage<'a> {
    args: &'a BenchFleetArgs,
    folder: tempfile::TempDir,
    /// The run.
    pub run: RunId,
    /// The bench's own connection.
    pub bus: Bus,
    server: Option<Server>,
    port: u16,
    processes: Vec<Process>,
    started: usize,
    level: u32,
    told: mpsc::UnboundedReceiver<(String, Report)>,
    tell: mpsc::UnboundedSender<(String, Report)>,
    /// What processes that are gone have used.
    gone: Counters,
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::fault(error.to_string())
}

async fn server(args: &BenchFleetArgs, dir: PathBuf, port: Option<u16>) -> Result<Server> {
    let sync = match args.sync {
        BenchSync::Always => SyncMode::Always,
        BenchSync::Interval => SyncMode::Interval,
    };
    let options = ServerOptions { sync, port, ..ServerOptions::new(nats_server(args.cache.as_deref()), dir) };
    Server::start(options).await.map_err(fault)
}

impl<'a> Stage<'a> {
    /// Starts server and processes; returns when the runners have shared the partitions out.
    pub async fn start(args: &'a BenchFleetArgs, run: &str) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(fault)?;
        let server = server(args, folder.path().join("nats"), None).await?;
        let bus = Bus::connect(&server.options("bench")).await.map_err(fault)?;
        bus.ensure_spec(&Spec::new(args.partitions)).await.map_err(fault)?;
        let (tell, told) = mpsc::unbounded_channel();
        let mut stage = Self {
            args,
            folder,
            run: RunId::new(run).map_err(fault)?,
            bus,
            port: server.port,
            server: Some(server),
            processes: vec![],
            started: 0,
            level: 0,
            told,
            tell,
            gone: Counters::default(),
        };
        stage.cast().await?;
        while !stage.is_shared().await? {
            stage.hear().await?;
        }
        Ok(stage)
    }

    /// Whether each partition has a host, and each runner as many as the others.
    async fn is_shared(&self) -> Result<bool> {
        let held = self.bus.held(&self.run).await.map_err(fault)?;
        let fair = usize::from(self.args.partitions / self.args.runners);
        let runners = self.processes.iter().filter(|process| process.part == Part::Runner);
        let mut counts = runners.map(|runner| held.iter().filter(|held| held.host == runner.name).count());
        Ok(held.len() == usize::from(self.args.partitions) + 2 && counts.all(|count| count >= fair))
    }

    /// Starts all processes; they begin when all have connected.
    async fn cast(&mut self) -> Result<()> {
        let runners = std::iter::repeat_n(Part::Runner, usize::from(self.args.runners));
        for part in [Part::Planner, Part::Merge, Part::Verifier].into_iter().chain(runners) {
            self.spawn(part).await?;
        }
        while !self.processes.iter().all(|process| process.ready) {
            self.hear().await?;
        }
        self.set_level(self.level).await
    }

    async fn spawn(&mut self, part: Part) -> Result<String> {
        self.started += 1;
        let name = format!("{part:?}-{}", self.started).to_lowercase();
        let server = self.server.as_ref().ok_or_else(|| Failure::fault("there is no server"))?;
        let orders = Orders {
            url: server.url.clone(),
            user: server.user.clone(),
            password: server.password.clone(),
            run: self.run.clone(),
            host: name.clone(),
            part,
            repository: self.repository(),
            partitions: self.args.partitions,
            turns: self.args.turns,
            places: self.args.places,
        };
        let program = std::env::current_exe().map_err(fault)?;
        let mut command = Command::new(program);
        command.args(["bench", "part"]).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(fault)?;
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Failure::fault("a process's standard input and output cannot be had"));
        };
        let line = serde_json::to_string(&orders).map_err(fault)? + "\n";
        stdin.write_all(line.as_bytes()).await.map_err(fault)?;
        let (tell, of) = (self.tell.clone(), name.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(report) = serde_json::from_str(&line) {
                    let _ = tell.send((of.clone(), report));
                }
            }
        });
        let last = Report::default();
        self.processes.push(Process { name: name.clone(), part, child, orders: stdin, last, ready: false });
        Ok(name)
    }

    /// Waits for news of any process, not for long: what is asked of the server has no news.
    async fn hear(&mut self) -> Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait().map_err(fault)? {
                return Err(Failure::fault(format!("{} ended by itself: {status}", process.name)));
            }
        }
        let heard = tokio::time::timeout(Duration::from_millis(100), self.told.recv()).await;
        let mut next = heard.ok().flatten();
        while let Some((name, report)) = next {
            if let Some(process) = self.processes.iter_mut().find(|process| process.name == name) {
                (process.last, process.ready) = (report, true);
            }
            next = self.told.try_recv().ok();
        }
        Ok(())
    }

    /// Waits until `is_so`.
    ///
    /// # Errors
    /// A process ended, or it took too long.
    pub async fn until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> Result<()> {
        let begun = Instant::now();
        while !is_so(self) {
            self.hear().await?;
            if begun.elapsed() > Duration::from_secs(self.args.patience) {
                return Err(Failure::fault(format!(
                    "{what}: not within {} s; {} agents wait to go beyond turn {}",
                    self.args.patience,
                    self.waiting(),
                    self.level
                )));
            }
        }
        Ok(())
    }

    /// Waits until `is_so`. A partition changes hands when all model calls of its agents have ended; when nothing happens any more, because
    /// calls wait for the bench and agents for their partitions, all go on by a turn.
    ///
    /// # Errors
    /// As [`Stage::until`].
    pub async fn settle(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) -> Result<()> {
        while self.level + 2 < self.args.turns {
            let (mut before, mut since) = (self.waiting(), Instant::now());
            while since.elapsed() < CALM {
                if is_so(self) {
                    return Ok(());
                }
                self.hear().await?;
                if self.waiting() != before {
                    (before, since) = (self.waiting(), Instant::now());
                }
            }
            self.go_on(1).await?;
        }
        self.until(what, is_so).await
    }

    /// Agents that are at work and wait to go beyond the level, on all runners that know it.
    pub fn waiting(&self) -> u64 {
        let there = self.processes.iter().filter(|process| process.last.level == self.level);
        there.map(|process| process.last.waiting).sum()
    }

    /// Agents that wait on this runner.
    pub fn waiting_on(&self, name: &str) -> u64 {
        let process = self.processes.iter().find(|process| process.name == name);
        process.map_or(0, |process| process.last.waiting)
    }

    /// Lets agents go up to this turn.
    pub async fn set_level(&mut self, level: u32) -> Result<()> {
        self.level = level;
        for process in &mut self.processes {
            process.orders.write_all(format!("{level}\n").as_bytes()).await.map_err(fault)?;
        }
        Ok(())
    }

    /// Lets agents go on by so many turns.
    pub async fn go_on(&mut self, turns: u32) -> Result<()> {
        self.set_level(self.level + turns).await
    }

    /// The name of a runner that has agents.
    pub fn busy_runner(&self) -> Result<String> {
        let busy = self.processes.iter().find(|process| process.last.waiting > 0);
        busy.map(|process| process.name.clone()).ok_or_else(|| Failure::fault("no runner has agents"))
    }

    /// Kills a process as `kill -9` does.
    pub async fn kill(&mut self, name: &str) -> Result<()> {
        while let Some(at) = self.processes.iter().position(|process| process.name == name) {
            let mut process = self.processes.remove(at);
            self.gone += of(&process);
            process.child.kill().await.map_err(fault)?;
        }
        Ok(())
    }

    /// Starts another runner.
    pub async fn add_runner(&mut self) -> Result<String> {
        let name = self.spawn(Part::Runner).await?;
        while self.processes.iter().any(|process| !process.ready) {
            self.hear().await?;
        }
        self.set_level(self.level).await?;
        Ok(name)
    }

    /// Kills everything, the server too, and starts it all again.
    pub async fn kill_all(&mut self) -> Result<()> {
        for name in self.processes.iter().map(|process| process.name.clone()).collect::<Vec<_>>() {
            self.kill(&name).await?;
        }
        if let Some(server) = self.server.take() {
            self.gone.cpu[Place::Server as usize] += machine::cpu(server.pid()).as_secs_f64();
            server.kill().await;
        }
        let server = server(self.args, self.folder.path().join("nats"), Some(self.port)).await?;
        self.gone.messages += self.bus.messages();
        self.gone.bytes += self.bus.bytes();
        self.bus = Bus::connect(&server.options("bench")).await.map_err(fault)?;
        self.server = Some(server);
        // As a run does that has just started its server: nobody else works on it.
        self.bus.take_over(&self.run).await.map_err(fault)?;
        self.cast().await
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("library.git")
    }

    /// What has been used so far.
    pub async fn counters(&self) -> Result<Counters> {
        let mut sum = self.gone;
        sum.messages += self.bus.messages();
        sum.bytes += self.bus.bytes();
        sum.stored += self.bus.stored().await.map_err(fault)?;
        sum.syncs += machine::flushes(self.folder.path());
        if let Some(server) = &self.server {
            sum.cpu[Place::Server as usize] += machine::cpu(server.pid()).as_secs_f64();
        }
        for process in &self.processes {
            sum += of(process);
        }
        Ok(sum)
    }

    /// What is held now.
    pub fn footing(&self) -> Footing {
        let mut memory = [0; PLACES.len()];
        memory[Place::Server as usize] =
            self.server.as_ref().map_or(0, |server| machine::resident(server.pid()));
        for process in &self.processes {
            memory[Place::of(process.part) as usize] += machine::resident(process.pid());
        }
        let disk = machine::size(&self.folder.path().join("nats").join("jetstream"));
        Footing { memory, disk, git: machine::size(&self.repository()) }
    }

    /// Ends everything.
    pub async fn stop(mut self) -> Result<()> {
        for name in self.processes.iter().map(|process| process.name.clone()).collect::<Vec<_>>() {
            self.kill(&name).await?;
        }
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        Ok(())
    }
}

/// What a process has used so far.
fn of(process: &Process) -> Counters {
    let mut used = Counters {
        messages: process.last.messages,
        bytes: process.last.bytes,
        turns: process.last.turns,
        ..Counters::default()
    };
    used.cpu[Place::of(process.part) as usize] = machine::cpu(process.pid()).as_secs_f64();
    used
}
