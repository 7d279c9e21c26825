//! `atlas bench fleet`: whole runs on one machine, from a few agents to many, with the real planner, runners, merge queue and git.
//!
//! Agents go as far as the bench lets them: their model answers turns up to a *level* and keeps later ones waiting. So a phase is over when
//! every agent waits for the turn after the level, on whatever runner, and nothing is waited for by the clock.

mod book;
mod figures;
mod part;
mod plot;
mod script;
mod stage;
mod verifier;

use std::time::Duration;

use atlas_domain::{ActorId, ActorKind};
use atlas_planner::Status;
use atlas_proto::{Letter, letter};
use futures::StreamExt as _;
use tokio::time::Instant;

pub use part::part;

use figures::{Counters, Fleet, Phase};
use stage::Stage;

use crate::args::{BenchFleetArgs, Output};
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// How long messages are counted while nobody does anything.
const IDLE: Duration = Duration::from_secs(4);
/// How long a new runner has for asking others for partitions before their agents go on.
const ASKING: Duration = Duration::from_secs(2);
/// How often it is looked whether all journals have been archived.
const LOOK: Duration = Duration::from_millis(500);

/// Measures.
pub fn fleet(args: &BenchFleetArgs) -> Result<Exit> {
    if args.agents.contains(&0) || args.steady + 6 > args.turns {
        return Err(Failure::input("there must be agents, and at least 6 turns after the steady ones"));
    }
    let runtime = tokio::runtime::Runtime::new().map_err(fault)?;
    let mut fleets = vec![];
    for &agents in &args.agents {
        fleets.push(runtime.block_on(measured(args, agents))?);
        if let Some(path) = &args.csv {
            figures::write_csv(path, &fleets)?;
        }
    }
    if let Some(path) = &args.svg {
        figures::write(path, &plot::draw(&fleets))?;
    }
    match args.output.output {
        Output::Json => print::json(&figures::as_json(args, &fleets))?,
        Output::Text => figures::tables(args, &fleets),
    }
    Ok(Exit::Done)
}

fn fault(error: impl std::fmt::Display) -> Failure {
    Failure::fault(error.to_string())
}

/// The phases that are over, and the one that is not.
struct Log {
    agents: u32,
    /// Whether to say what is measured.
    aloud: bool,
    phases: Vec<Phase>,
    begun: Option<(&'static str, Instant, Counters)>,
}

impl Log {
    /// The phase at hand is over; `name` begins.
    async fn begin(&mut self, stage: &Stage<'_>, name: &'static str) -> Result<()> {
        self.end(stage).await?;
        if self.aloud {
            print::error_line(print::styled(print::FAINT, format!("{} agents: {name} …", self.agents)));
        }
        let before = stage.counters().await?;
        self.begun = Some((name, Instant::now(), before));
        Ok(())
    }

    /// The phase at hand is over.
    async fn end(&mut self, stage: &Stage<'_>) -> Result<()> {
        if let Some((name, since, before)) = self.begun.take() {
            let seconds = since.elapsed().as_secs_f64();
            let used = stage.counters().await? - before;
            self.phases.push(Phase { name, seconds, of: self.agents.into(), used, then: stage.footing() });
        }
        Ok(())
    }
}

/// The life of a fleet.
async fn measured(args: &BenchFleetArgs, agents: u32) -> Result<Fleet> {
    let all = u64::from(agents);
    let mut stage = Stage::start(args, &format!("fleet-{agents}")).await?;
    let empty = stage.footing();
    let aloud = args.output.output == Output::Text;
    let mut log = Log { agents, aloud, phases: vec![], begun: None };

    log.begin(&stage, "lay out").await?;
    let spec = book::spec(&stage.run, agents, args.turns);
    let planner = ActorId::singleton(&stage.run, ActorKind::Plan);
    stage
        .bus
        .send(&planner, Letter { letter: Some(letter::Letter::RunSpec(spec)) }, "spec")
        .await
        .map_err(fault)?;
    stage.until("the first agent is at work", |stage| stage.waiting() > 0).await?;
    log.begin(&stage, "activate").await?;
    stage.settle("all agents are at work", |stage| stage.waiting() == all).await?;
    log.begin(&stage, "idle").await?;
    tokio::time::sleep(IDLE).await;

    log.begin(&stage, "steady").await?;
    stage.go_on(args.steady).await?;
    stage.until("all agents have had their turns", |stage| stage.waiting() == all).await?;

    log.begin(&stage, "killed").await?;
    let victim = stage.busy_runner()?;
    stage.kill(&victim).await?;
    stage.settle("a killed runner's agents are at work again", |stage| stage.waiting() == all).await?;
    log.begin(&stage, "added").await?;
    stage.add_runner().await?;
    tokio::time::sleep(ASKING).await;
    stage.go_on(1).await?;
    stage.settle("all agents are at work again", |stage| stage.waiting() == all).await?;
    log.begin(&stage, "drained").await?;
    let drained = stage.busy_runner()?;
    stage.bus.drain(&stage.run, &drained).await.map_err(fault)?;
    stage.go_on(1).await?;
    let given_up = |stage: &Stage<'_>| stage.waiting_on(&drained) == 0 && stage.waiting() == all;
    stage.settle("a drained runner's agents are at work again", given_up).await?;

    log.begin(&stage, "all back").await?;
    stage.kill_all().await?;
    stage.settle("all agents are at work again", |stage| stage.waiting() == all).await?;

    let (mut attempts, mut landings) = (all, 0);
    if !args.short {
        log.begin(&stage, "work out").await?;
        stage.set_level(u32::MAX).await?;
        landings = finished(&mut stage).await?.landings;
        log.begin(&stage, "archive").await?;
        attempts = archived(&stage).await?;
    }
    log.end(&stage).await?;
    stage.stop().await?;
    Ok(Fleet { agents, attempts, landings, empty, phases: log.phases })
}

/// Waits until every agent's journal is in the object store; how many there are.
async fn archived(stage: &Stage<'_>) -> Result<u64> {
    loop {
        let lengths = stage.bus.journal_lengths(&stage.run, ActorKind::Agent).await;
        match lengths.map_err(fault)? {
            (actors, records) if actors == records => return Ok(actors),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Waits until nobody is at work and nobody could be.
async fn finished(stage: &mut Stage<'_>) -> Result<Status> {
    let (bus, run) = (stage.bus.clone(), stage.run.clone());
    let ended = async {
        let mut documents = bus.watch_status(&run).await.map_err(fault)?;
        while let Some((service, document)) = documents.next().await {
            if service == atlas_planner::STATUS {
                let status: Status = serde_json::from_value(document).map_err(fault)?;
                if status.finished.is_some() {
                    return Ok(status);
                }
            }
        }
        Err(Failure::fault("the watch on the run's status broke off"))
    };
    tokio::select! {
        status = ended => status,
        fallen = stage.until("the run is over", |_| false) => Err(fallen.err().unwrap_or_else(|| fault("it cannot be over"))),
    }
}
