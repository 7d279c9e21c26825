//! A process of the fleet: told on standard input what it is, later how far agents may go; tells on standard output where they are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atlas_bus::{Bus, Options};
use atlas_domain::RunId;
use atlas_llm::{ModelOptions, Models};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines, Stdin};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::book::PACKAGE;
use super::script::{Actor, Gate};
use super::verifier;
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// Pause between two reports.
const TICK: Duration = Duration::from_millis(20);

/// What a process of the fleet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Hosts agents.
    Runner,
    /// Hosts the planner and the ledger.
    Planner,
    /// Hosts the merge queue.
    Merge,
    /// Answers as Lean would.
    Verifier,
}

/// What it is told first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Orders {
    /// Where NATS is.
    pub url: String,
    /// Its user.
    pub user: String,
    /// The user's password.
    pub password: String,
    /// The run.
    pub run: RunId,
    /// The process's name.
    pub host: String,
    /// What it is.
    pub part: Part,
    /// Of the merge queue.
    pub repository: PathBuf,
    /// Partitions of the agents.
    pub partitions: u16,
    /// Turns of an author.
    pub turns: u32,
    /// Checks that the verifier answers at once.
    pub places: usize,
}

/// What it tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How far agents may go, as it knows.
    pub level: u32,
    /// Agents that wait to go further.
    pub waiting: u64,
    /// Turns that its agents had answered.
    pub turns: u64,
    /// Messages that it has sent and received.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Does what standard input says until that closes.
pub fn part() -> Result<Exit> {
    let runtime = tokio::runtime::Runtime::new().map_err(fault)?;
    let ended = runtime.block_on(work());
    runtime.shutdown_background();
    ended
}

async fn work() -> Result<Exit> {
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let line = input.next_line().await.map_err(fault)?.unwrap_or_default();
    let orders: Orders = serde_json::from_str(&line).map_err(fault)?;
    let user = Some((orders.user.clone(), orders.password.clone()));
    let options = Options { url: orders.url.clone(), user, name: orders.host.clone() };
    let bus = Bus::connect(&options).await.map_err(fault)?;
    // Connected: said before anything is hosted, so that runners can begin together.
    tell(&Report::default());
    let (set, level) = watch::channel(0);
    if !obey(&mut input, &set).await {
        return Ok(Exit::Done);
    }
    let gate = Arc::new(Gate::default());
    let shutdown = CancellationToken::new();
    let actor = Arc::new(Actor::new(orders.turns, level.clone(), Arc::clone(&gate)));
    let serving = serve(&orders, bus.clone(), actor, shutdown.clone());
    let listening = async { while obey(&mut input, &set).await {} };
    tokio::select! {
        ended = serving => ended.map(|()| Exit::Done),
        () = listening => Ok(Exit::Done),
        never = report(&bus, &gate, level) => match never {},
    }
}

/// Takes the next order: a level. False: there are no more.
async fn obey(input: &mut Lines<BufReader<Stdin>>, level: &watch::Sender<u32>) -> bool {
    let Ok(Some(line)) = input.next_line().await else { return false };
    level.send_replace(line.trim().parse().unwrap_or_default());
    true
}

async fn report(bus: &Bus, gate: &Gate, level: watch::Receiver<u32>) -> std::convert::Infallible {
    let mut told = Report::default();
    loop {
        let level = *level.borrow();
        let waiting = gate.waiting(level.saturating_add(1));
        let (turns, messages, bytes) = (gate.answered(), bus.messages(), bus.bytes());
        let now = Report { level, waiting, turns, messages, bytes };
        if now != told {
            tell(&now);
            told = now;
        }
        tokio::time::sleep(TICK).await;
    }
}

fn tell(report: &Report) {
    // Plain numbers: there is nothing that could not be JSON.
    print::line(json!(report).to_string());
}

async fn serve(orders: &Orders, bus: Bus, actor: Arc<Actor>, shutdown: CancellationToken) -> Result<()> {
    let Orders { run, host, .. } = orders.clone();
    match orders.part {
        Part::Runner => {
            let model: ModelOptions =
                serde_json::from_value(json!({ "name": "scripted", "provider": "recorded" }))
                    .map_err(fault)?;
            let options = atlas_agent_runner::Options {
                run,
                host,
                partitions: orders.partitions,
                models: vec![model.clone()],
                agents: Default::default(),
                folder: PathBuf::new(),
                record: None,
                metrics: Default::default(),
                readiness: Default::default(),
            };
            let models = Models::scripted(model, actor);
            atlas_agent_runner::run_with(options, models, bus, shutdown).await.map_err(fault)
        }
        Part::Planner => {
            let options = atlas_planner::Options {
                run,
                host,
                targets_file: None,
                metrics: Default::default(),
                readiness: Default::default(),
            };
            atlas_planner::run(options, bus, shutdown).await.map_err(fault)
        }
        Part::Merge => {
            let options = atlas_merge_coordinator::Options {
                run,
                host,
                package: PACKAGE.to_owned(),
                repository: orders.repository.clone(),
                window_min: 2,
                window_max: 20,
                patience_s: 600,
                receipt_keys: None,
                policy: Default::default(),
                metrics: Default::default(),
                readiness: Default::default(),
            };
            atlas_merge_coordinator::run(options, bus, shutdown).await.map_err(fault)
        }
        Part::Verifier => verifier::run(&bus, &run, orders.places, shutdown).await.map_err(fault),
    }
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::fault(error.to_string())
}
