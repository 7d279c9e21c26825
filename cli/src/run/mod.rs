//! `atlas run`: one process that takes an AtlasRun from its books to its report.
//!
//! It holds nothing that must last: NATS and git in the run's folder do. Killed at any moment, the same command goes on.

mod outcome;
mod replies;
mod services;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_bus::{Bus, Server, Spec};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_planner::Finished;
use atlas_proto::{Letter, letter};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::RunArgs;
use crate::attach;
use crate::directory::{Directory, Identity, Nats};
use crate::failure::{Exit, Failure, Result};
use crate::format::{now_ms, plural};
use crate::input::{Input, tell};
use crate::print;
use crate::progress::Progress;
use crate::report::Report;
use crate::toolchain::{self, Memory, Metered};
use crate::ui::{View, Wish};
use services::Services;

/// Partitions of a run's agents; fixed for its life.
const PARTITIONS: u16 = 64;
/// How long the planner's word that the run is over must stand: a letter that lies in its inbox (a reply, higher limits)
/// may yet make it go on.
const SETTLED: Duration = Duration::from_secs(2);
/// How long services may take to finish what they have in hand: a model's longest answer.
const DRAIN: Duration = Duration::from_secs(120);
/// How long the library and the report may take to be written.
const CONCLUDE: Duration = Duration::from_secs(120);
/// How long both wait for a nats-server that is gone.
const CUT_OFF: Duration = Duration::from_secs(2);
/// How often the view is brought up to date when nothing happens.
const TICK: Duration = Duration::from_millis(500);

/// Why a run stopped being watched.
enum End {
    /// The planner says that it is over.
    Finished(Finished),
    /// Nothing lands before a person has looked at an incident, and no agent is at work any more.
    Incident,
    /// The person at the terminal, or the system, wants it to stop.
    Stopped,
}

/// Runs an AtlasRun to its end, or until it is stopped.
pub async fn run(args: &RunArgs) -> Result<Exit> {
    let input = Input::load(&args.file)?;
    input.loaded.check_keys().map_err(|problems| tell(&problems.0))?;
    let recordings = replies::load(&input)?;
    if input.loaded.run.spec.suspend {
        return Err(Failure::input(format!("{} is suspended: `spec.suspend` is true", args.file.display()))
            .hint("set it to false to have the run go on"));
    }
    let name = input.run(args.name.as_deref())?;
    let directory = Directory::of(&args.dir, &name);
    let (which, cache) = (input.loaded.run.spec.library.toolchain.clone(), args.cache.clone());
    // Opening Lean maps a gigabyte: not on a thread that others wait for.
    let lean = tokio::task::spawn_blocking(move || toolchain::open(&which, cache.as_deref(), Memory::Kept))
        .await
        .map_err(|e| Failure::fault(format!("opening Lean failed: {e}")))??;
    let lean = Arc::new(Metered::new(lean));
    let digests = input.digests();
    // A folder whose NATS never came up holds nothing that changed inputs could contradict.
    let before = directory.identity()?.filter(|identity| identity.nats.is_some());
    if let Some(identity) = &before {
        identity.admits(&digests)?;
    }
    let _lock = directory.lock()?;
    directory.has_room()?;
    let mut identity = match &before {
        Some(identity) => identity.clone(),
        None => Identity::new(name.clone(), input.loaded.path.clone(), input.title.clone(), digests),
    };
    identity.atlasrun.clone_from(&input.loaded.path);
    directory.write_identity(&identity)?;
    // Before the services start: one signs with it, another looks whether it did.
    atlas_judge::SigningKey::open_or_make(&directory.keys(), now_ms())
        .map_err(|e| Failure::fault(format!("receipts cannot be signed: {e}")))?;
    let _telemetry = telemetry(&directory)?;

    let mut view = View::open(args.ui, if before.is_some() { identity.created_ms } else { now_ms() })?;
    view.json("run", json!({ "run": name, "directory": directory.root(), "goes_on": before.is_some(), "targets": input.targets.len() }));
    view.note(&format!(
        "{} {name} in {}: {}",
        if before.is_some() { "going on with" } else { "beginning" },
        directory.root().display(),
        match input.targets.len() {
            0 => "targets are to be extracted".to_owned(),
            n => format!("{} in {}", plural(n, "target"), plural(input.chapters.len(), "chapter")),
        }
    ));
    let mut at_work = AtWork::begin(args, &directory, &mut identity, &name, Arc::clone(&lean)).await?;
    let ended = at_work.until_end(args, &input, &directory, &identity, &mut view, &recordings).await;
    if ended.as_ref().is_err_and(|failure| failure.exit == Exit::Interrupted) {
        view.leave();
        return ended.map(|_| Exit::Interrupted);
    }
    let patience = at_work.patience(CONCLUDE);
    let concluded = at_work.conclude(&input, &directory, &identity, &mut view, ended.as_ref().ok());
    let report = tokio::time::timeout(patience, concluded).await.unwrap_or_else(|_| {
        Err(Failure::fault("the report could not be written in time: NATS does not answer"))
    });
    view.leave();
    say_end(args, &directory, &mut view, ended, report)
}

/// Logs to the run's folder: the terminal shows the run, not its log.
fn telemetry(directory: &Directory) -> Result<atlas_telemetry::Guard> {
    let log = atlas_telemetry::LogOptions {
        stderr: atlas_telemetry::Format::Off,
        file: Some(directory.logs().join("atlas.log")),
        ..atlas_telemetry::LogOptions::default()
    };
    atlas_telemetry::init("atlas", &atlas_telemetry::Options { log, ..atlas_telemetry::Options::default() })
        .map_err(|e| Failure::fault(e.to_string()))
}

/// A run at work: its NATS, its Lean, and what its services say.
struct AtWork {
    server: Option<Server>,
    bus: Bus,
    run: RunId,
    lean: Arc<Metered>,
    progress: Progress,
    /// The run's own nats-server is gone: nothing that speaks to it will come to an end.
    cut_off: bool,
}

impl AtWork {
    /// Starts or finds NATS and prepares it.
    async fn begin(
        args: &RunArgs,
        directory: &Directory,
        identity: &mut Identity,
        run: &RunId,
        lean: Arc<Metered>,
    ) -> Result<Self> {
        let user = args.nats_user.clone().zip(args.nats_password.clone());
        let (server, url, user) = match &args.nats {
            Some(url) => (None, url.clone(), user),
            None => {
                let server = attach::start(directory, args.cache.as_deref()).await?;
                let options = server.options("atlas");
                (Some(server), options.url, options.user)
            }
        };
        let own = server.is_some();
        if let Some(nats) = identity.nats.as_ref().filter(|nats| nats.own != own || (!own && nats.url != url))
        {
            let place =
                if nats.own { "its own nats-server".to_owned() } else { format!("the NATS at {}", nats.url) };
            return Err(Failure::input(format!("the run `{run}` keeps its journals in {place}"))
                .hint(if nats.own {
                    "run it without `--nats`".to_owned()
                } else {
                    format!("run it with `--nats {}`", nats.url)
                })
                .hint("or start a new run with `--run NAME`"));
        }
        let bus = attach::connect(&url, user.clone(), "atlas").await?;
        let spec = Spec::new(PARTITIONS).in_copies(replicas(args));
        bus.ensure_spec(&spec).await.map_err(|e| Failure::fault(e.to_string()))?;
        if own {
            // Nobody else can be at work on a server that was just started: what a killed process held is free at once.
            bus.take_over(run).await.map_err(|e| Failure::fault(e.to_string()))?;
        }
        directory.write_credentials(user.as_ref())?;
        identity.nats = Some(Nats { url, own });
        identity.repeated_calls += outcome::calls_under_way(&bus, run).await?;
        directory.write_identity(identity)?;
        Ok(Self { server, bus, run: run.clone(), lean, progress: Progress::default(), cut_off: false })
    }

    /// Starts the services and watches them until the run is over, stopped or broken; they are at rest afterwards.
    async fn until_end(
        &mut self,
        args: &RunArgs,
        input: &Input,
        directory: &Directory,
        identity: &Identity,
        view: &mut View,
        recordings: &replies::Recordings,
    ) -> Result<End> {
        let fault = |e: atlas_bus::Error| Failure::fault(e.to_string());
        // Begun before any service writes, so that what an earlier process wrote can be told apart.
        let mut stale = self.bus.read_status(&self.run).await.map_err(fault)?;
        let mut documents = self.bus.watch_status(&self.run).await.map_err(fault)?;
        let spec = input.run_spec(&self.run, identity.created_ms);
        let policy = spec.policy.clone().unwrap_or_default();
        let letter = Letter { letter: Some(letter::Letter::RunSpec(spec)) };
        // A name of its own for each start: limits may go up and down again.
        let id = format!("{}.spec.{}", self.run, now_ms());
        self.bus.send(&ActorId::singleton(&self.run, ActorKind::Plan), letter, &id).await.map_err(fault)?;
        let mut services = Services::start(args, input, directory, &self.bus, &self.run, self.lean.clone());
        let verdicts = services::policy(input, &*self.lean).message();
        let mut replies = replies::Replies::new(recordings, args.record.as_deref())?;
        let mut interrupts = Interrupts::new()?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut finished: Option<(Instant, Finished)> = None;
        let mut stuck: Option<Instant> = None;
        let ended = loop {
            tokio::select! {
                document = documents.next() => {
                    let Some((service, document)) = document else {
                        break Err(Failure::fault("the watch on the run's status broke off").hint("run the same command again: it goes on where it was"));
                    };
                    if stale.remove(&service).is_some_and(|old| old == document) && service == "planner" {
                        // The last process's word, delivered first; shown, but not believed.
                        self.progress.absorb(&service, &without_end(document));
                        continue;
                    }
                    self.progress.absorb(&service, &document);
                    let planner = &self.progress.planner;
                    let current = planner.budget.microdollars == policy.budget_microdollars
                        && planner.budget.tokens == policy.budget_tokens
                        && planner.budget.deadline_ms == policy.deadline_unix_ms;
                    finished = match (planner.finished.clone().filter(|_| current), finished) {
                        (Some(new), Some((since, old))) if new == old => Some((since, old)),
                        (Some(new), _) => Some((Instant::now(), new)),
                        (None, _) => None,
                    };
                    if service == "planner" {
                        view.update(&self.progress);
                        if let Err(failure) = replies.follow(&self.bus, &self.run, &self.progress.planner, view).await {
                            break Err(failure);
                        }
                    }
                }
                failure = services.failed() => break Err(failure),
                () = server_ended(&mut self.server) => {
                    self.cut_off = true;
                    break Err(Failure::fault(format!("the run's nats-server ended; its log is {}", directory.nats().join("nats-server.log").display()))
                        .hint("run the same command again: it goes on where it was"));
                }
                () = interrupts.next() => break Ok(End::Stopped),
                wish = view.wish() => match wish {
                    Wish::Leave => view.leave(),
                    Wish::Stop => break Ok(End::Stopped),
                },
                _ = tick.tick() => {
                    if let Err(failure) = directory.has_room() {
                        break Err(failure);
                    }
                    view.update(&self.progress);
                    let settled = replies.settled() && self.progress.is_certified_by(&verdicts);
                    if let Some((since, finished)) = &finished && since.elapsed() >= SETTLED && settled {
                        break Ok(End::Finished(finished.clone()));
                    }
                    let stopped = self.progress.merge.open_incidents().next().is_some();
                    stuck = (stopped && self.progress.active() == 0).then(|| stuck.unwrap_or_else(Instant::now));
                    if stuck.is_some_and(|since| since.elapsed() >= SETTLED) {
                        break Ok(End::Incident);
                    }
                }
            }
        };
        if matches!(ended, Ok(End::Stopped)) {
            view.note("stopping softly: calls that are paid for are finished; Ctrl-C again stops at once (no work is lost)");
        }
        let at_once = async {
            loop {
                tokio::select! {
                    () = interrupts.next() => break,
                    wish = view.wish() => match wish { Wish::Stop => break, Wish::Leave => view.leave() },
                }
            }
        };
        tokio::select! {
            () = services.stop(self.patience(DRAIN)) => {}
            () = at_once => {
                view.leave();
                return Err(Failure { exit: Exit::Interrupted, ..Failure::fault("stopped at once") }
                    .hint("run the same command again: it goes on where it was"));
            }
        }
        ended
    }

    /// How long to wait for what usually gets `patience`.
    fn patience(&self, patience: Duration) -> Duration {
        if self.cut_off { CUT_OFF } else { patience }
    }

    /// Writes the library's working copy and the report, and stops the server.
    async fn conclude(
        mut self,
        input: &Input,
        directory: &Directory,
        identity: &Identity,
        view: &mut View,
        ended: Option<&End>,
    ) -> Result<Report> {
        if ended.is_some() {
            view.note("writing the library and the report");
        }
        let report = outcome::conclude(
            &self.bus,
            &self.run,
            input,
            directory,
            identity,
            &self.progress,
            match ended {
                Some(End::Finished(finished)) => Some(finished),
                _ => None,
            },
        )
        .await;
        drop(self.bus);
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        let mut report = report?;
        // Only now the server's time is known: the system tells it of children that have ended.
        report.cpu = outcome::cpu(self.lean.cpu_ms());
        // A run that broke before the planner took it up has nothing to tell.
        if report.totals.targets > 0 || ended.is_some() {
            report.write(&directory.report())?;
        }
        Ok(report)
    }
}

/// Copies of each stream: as told, else as many as one server of a cluster can be lost with, else one.
fn replicas(args: &RunArgs) -> usize {
    let servers = args.nats.as_deref().map_or(1, |urls| urls.split(',').count());
    args.nats_replicas.unwrap_or(if servers >= 3 { 3 } else { 1 })
}

/// The planner's document of an earlier process, without its word that the run is over.
fn without_end(mut document: Value) -> Value {
    if let Value::Object(fields) = &mut document {
        fields.remove("finished");
    }
    document
}

async fn server_ended(server: &mut Option<Server>) {
    match server {
        Some(server) => server.ended().await,
        None => std::future::pending().await,
    }
}

/// Ctrl-C and a polite `kill`.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    last: Option<Instant>,
}

impl Interrupts {
    fn new() -> Result<Self> {
        let listen =
            |kind| signal(kind).map_err(|e| Failure::fault(format!("cannot listen for signals: {e}")));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            last: None,
        })
    }

    /// The next one. What comes right after another is its echo: `make` and `timeout` pass on a signal that the terminal
    /// has sent to the whole group.
    async fn next(&mut self) {
        const ECHO: Duration = Duration::from_millis(500);
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            let echo = self.last.is_some_and(|last| last.elapsed() < ECHO);
            self.last = Some(Instant::now());
            if !echo {
                return;
            }
        }
    }
}

/// The last lines: the table, where library and report lie, how to go on; and the exit code.
fn say_end(
    args: &RunArgs,
    directory: &Directory,
    view: &mut View,
    ended: Result<End>,
    report: Result<Report>,
) -> Result<Exit> {
    let exit = match &ended {
        Ok(End::Incident) => Exit::Incident,
        Ok(End::Finished(finished)) => match (exit_of(finished), &report) {
            (Exit::Done, Ok(report)) if !report.lapsed.is_empty() => Exit::Open,
            (exit, _) => exit,
        },
        Ok(End::Stopped) => Exit::Interrupted,
        Err(failure) => failure.exit,
    };
    // A run that broke before the planner took it up has nothing to tell.
    if let Some(report) = report.as_ref().ok().filter(|report| report.totals.targets > 0 || ended.is_ok()) {
        let page = directory.report().join("index.html");
        if view.is_json() {
            view.json(
                "end",
                json!({
                    "exit_code": exit as u8,
                    "outcome": report.outcome,
                    "totals": report.totals,
                    "library": directory.library(),
                    "report": page,
                    "report_json": directory.report().join("report.json"),
                }),
            );
        } else {
            print::line("");
            print::line(report.summary(!matches!(exit, Exit::Fault | Exit::Input)));
            print::line(format!("library  {}", directory.library().display()));
            print::line(format!("report   {}", page.display()));
        }
    }
    let ended = ended?;
    let lapsed = !report?.lapsed.is_empty();
    if !view.is_json()
        && let Some(text) = how_to_go_on(exit, &ended, lapsed, &command(args))
    {
        print::line(text);
    }
    match ended {
        End::Finished(finished) if matches!(exit, Exit::Fault | Exit::Input) => {
            Err(Failure { exit, ..Failure::fault(finished.reason) }
                .hint("docs/troubleshooting.md lists faults and ways out"))
        }
        _ => Ok(exit),
    }
}

fn exit_of(finished: &Finished) -> Exit {
    match finished.exit_code {
        0 => Exit::Done,
        2 => Exit::Input,
        3 => Exit::Open,
        4 => Exit::Limit,
        _ => Exit::Fault,
    }
}

fn how_to_go_on(exit: Exit, ended: &End, lapsed: bool, command: &str) -> Option<String> {
    Some(match (exit, ended) {
        (_, End::Stopped) => format!("stopped; go on with: {command}"),
        (_, End::Incident) => format!(
            "two kernels contradict each other: read `atlas incident list`, then `atlas incident clear`, and go on with: {command}"
        ),
        (Exit::Limit, _) => format!("raise `spec.budget` in the AtlasRun and go on with: {command}"),
        (Exit::Open, _) if lapsed => format!(
            "nothing lands on a module that is no longer certified: take back what has changed (`spec.verifiers.axioms`, or the version of Atlas) and go on with: {command}"
        ),
        (Exit::Open, _) => format!(
            "answer what is asked with `atlas reply`, or raise `spec.agents.attemptsPerTask`, and go on with: {command}"
        ),
        _ => return None,
    })
}

/// The command that goes on with this run.
fn command(args: &RunArgs) -> String {
    let quote = |path: &Path| {
        let text = path.display().to_string();
        if text.contains(|c: char| c.is_whitespace() || "'\"$&;()*?".contains(c)) {
            format!("'{}'", text.replace('\'', "'\\''"))
        } else {
            text
        }
    };
    let mut command = format!("atlas run -f {}", quote(&args.file));
    if let Some(name) = &args.name {
        command.push_str(&format!(" --run {name}"));
    }
    if args.dir != Path::new("runs") {
        command.push_str(&format!(" --dir {}", quote(&args.dir)));
    }
    if let Some(nats) = &args.nats {
        command.push_str(&format!(" --nats {nats}"));
    }
    command
}
