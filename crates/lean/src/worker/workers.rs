//! The engine of both Leans: workers. Nothing of what is checked runs in this process.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atlas_judge::{Ground, JUDGE, Judged, KERNEL};
use atlas_sandbox::{Plan, canary};
use serde_bytes::ByteBuf;

use super::BUILD;
use super::pool::{Pool, Start};
use super::wire::{Ask, Done, Give, Needed, Task};
use crate::Error;
use crate::cache::Cache;
use crate::key::Key;
use crate::pipeline::{Budget, Elaborated, Engine, Failure, Work};
use crate::replay::Replayed;
use crate::source::is_toolchain;

/// The environment variable that names the worker's program.
const PROGRAM: &str = "ATLAS_LEAN_WORKER";
/// The worker's program.
const NAME: &str = "lean-worker";
/// Requests at once in one worker.
const LANES: usize = 8;
/// Cores for each worker that elaborates; one worker uses many, but one's death takes what it was at with it.
const CORES: usize = 4;
const MOST_WORKERS: usize = 8;
/// Threads of a worker that starts a Lean, and that Lean's.
const GUEST_THREADS: u64 = 48;
/// Threads of a worker beyond one for each request: its own, its clock's, and what canaries need.
const THREADS: u64 = 16;
/// Bytes of what a worker says of a module: its compiled form, its text, its diagnostics.
const MOST_OF_A_MODULE: u64 = 256 << 20;
/// Bytes of a toolchain's declarations as text.
const MOST_OF_A_TOOLCHAIN: u64 = 2 << 30;
/// How long canaries may take.
const CANARIES: Duration = Duration::from_secs(20);

/// A Lean as its workers have it.
pub(crate) struct Installed {
    /// How verdicts name it.
    pub(crate) name: String,
    pub(crate) task: Task,
    /// Threads are set here. With a guest, each request has a worker of its own.
    pub(crate) plan: Plan,
    /// Where its compiled library lies; `None` when it does not say.
    pub(crate) library: Option<PathBuf>,
    /// Installed packages: the directories of their compiled modules.
    pub(crate) packages: Vec<PathBuf>,
    /// Bytes of memory of one worker beside its requests', and of one worker at most.
    pub(crate) own_memory: u64,
    pub(crate) worker_bytes: u64,
    /// Where its declarations are kept, else with what else is kept: in `cache`.
    pub(crate) foundation: PathBuf,
    pub(crate) cache: PathBuf,
}

/// The engine.
pub(crate) struct Workers {
    name: String,
    library: Option<PathBuf>,
    packages: Vec<PathBuf>,
    identity: String,
    /// The toolchain's declarations, as text and frozen.
    kept: Cache,
    elaborate: Pool,
    /// Never sees a submission's source: what the judge rests on comes from here.
    clean: Pool,
    /// Runs no guest at all.
    judge: Pool,
    cpu_us: AtomicU64,
}

impl Workers {
    /// Finds the worker's program, sends canaries, and starts a worker that elaborates.
    pub(crate) fn open(lean: Installed) -> Result<Self, Error> {
        let program = program()?;
        let alone = lean.plan.guest.is_some();
        let ours = Plan { sandbox: lean.plan.sandbox, threads: THREADS + LANES as u64, ..Plan::default() };
        let plan = Plan { threads: if alone { GUEST_THREADS } else { ours.threads }, ..lean.plan };
        let start = |task: &Task, plan: &Plan, alone, most_said| -> Result<Start, Error> {
            let lanes = if alone { 1 } else { LANES };
            Ok(Start {
                program: program.clone(),
                plan: plan.clone(),
                task: task.text()?,
                lanes,
                alone,
                own_memory: lean.own_memory,
                most_memory: lean.worker_bytes,
                most_said,
            })
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (elaborating, clean) =
            if alone { (cores, cores) } else { ((cores / CORES).clamp(1, MOST_WORKERS), 1) };
        let elaborate = Pool::new(start(&lean.task, &plan, alone, MOST_OF_A_MODULE)?, elaborating);
        let clean = Pool::new(start(&lean.task, &plan, alone, MOST_OF_A_TOOLCHAIN)?, clean);
        let judge = Pool::new(start(&Task::Judge, &ours, false, MOST_OF_A_TOOLCHAIN)?, 1);
        // Side by side: most of either's time is the system's.
        let (found, identity) = std::thread::scope(|scope| {
            let canaries = scope.spawn(|| {
                let task = |targets| Task::Canary(targets).text().unwrap_or_default();
                canary::run(&program, BUILD, &plan, task, CANARIES)
            });
            let identity = elaborate.identity();
            let died = || atlas_sandbox::Error::Silent("its thread died".into());
            (canaries.join().unwrap_or_else(|_| Err(died())), identity)
        });
        let (report, found) = found?;
        if !found.is_empty() {
            return Err(Error::Escaped(found));
        }
        if report.missing.is_empty() {
            tracing::debug!(layers = ?report.layers, "Lean runs in a sandbox");
        } else {
            tracing::warn!(layers = ?report.layers, missing = ?report.missing, "Lean runs in a reduced sandbox");
        }
        if !report.unlimited.is_empty() {
            tracing::info!(unlimited = ?report.unlimited, "no control group limits Lean's workers; see docs/sandbox.md");
        }
        // An image that only its owner may write to need not be one's own.
        let kept = Cache::open(&lean.foundation).or_else(|_| Cache::open(&lean.cache))?;
        let Installed { name, library, packages, .. } = lean;
        let (identity, cpu_us) = (identity?, AtomicU64::new(0));
        Ok(Self { name, library, packages, identity, kept, elaborate, clean, judge, cpu_us })
    }

    /// Processor time that requests have taken in workers.
    pub(crate) fn cpu(&self) -> Duration {
        Duration::from_micros(self.cpu_us.load(Ordering::Relaxed))
    }

    fn ask(
        &self,
        pool: &Pool,
        ask: &Ask,
        budget: &Budget,
        give: &dyn Fn(&Needed) -> Give,
    ) -> Result<Done, Failure> {
        let (done, spent) = pool.ask(ask, budget, give)?;
        let us = u64::try_from(spent.cpu.as_micros()).unwrap_or(u64::MAX);
        self.cpu_us.fetch_add(us, Ordering::Relaxed);
        Ok(done)
    }

    /// The declarations of the toolchain modules `Init` and `toolchain`, and of all that those import, in lean4export's format; theorems and
    /// hidden values as `axiom` lines.
    pub(crate) fn foundation(&self, toolchain: &[String], budget: &Budget) -> Result<Vec<u8>, Failure> {
        let key = self.of_toolchain("foundation 1", toolchain).finish();
        if let Some(known) = self.kept.text(&key) {
            return Ok(known);
        }
        let nothing = |_: &Needed| Err("nothing of a library is below the toolchain".to_owned());
        let ask = Ask::Foundation(toolchain.to_vec());
        let Done::Foundation(text) = self.ask(&self.clean, &ask, budget, &nothing)? else {
            return Err(Failure::unreadable("the toolchain's library"));
        };
        self.keep(&key, &text);
        Ok(text.into_vec())
    }

    /// Keeps what can be made again; where that cannot be written, it is made again.
    fn keep(&self, key: &str, bytes: &[u8]) {
        if let Err(error) = self.kept.put_text(key, bytes) {
            tracing::warn!(%error, "the toolchain's declarations cannot be kept");
        }
    }

    /// The key of something of these toolchain modules.
    fn of_toolchain(&self, what: &str, toolchain: &[String]) -> Key {
        toolchain.iter().fold(Key::new(what).with(&self.identity), |key, name| key.with(name))
    }
}

/// What a worker may have of what is kept by digest: no more than its request names.
fn named<'d>(needed: &'d Needed, mut known: impl Iterator<Item = &'d str>) -> Result<&'d str, String> {
    match needed {
        Needed::Content(digest) if known.any(|known| known == digest) => Ok(digest),
        _ => Err("the request does not rest on it".to_owned()),
    }
}

/// The text of a certified export, for a request that rests on it.
fn certified_export(ground: &Ground, needed: &Needed, cache: &Cache) -> Give {
    let digest = named(needed, ground.exports.iter().map(String::as_str))?;
    cache.export(digest).map(|text| ByteBuf::from(text.to_vec())).map_err(|error| error.to_string())
}

impl Engine for Workers {
    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn has_module(&self, name: &str) -> bool {
        let file = format!("{}.olean", name.replace('.', "/"));
        let known = self.library.iter().chain(&self.packages).any(|folder| folder.join(&file).exists());
        known || self.library.is_none() && is_toolchain(name)
    }

    fn examine(
        &self,
        ground: &Ground,
        text: &[u8],
        asked: &BTreeSet<String>,
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Judged, Failure> {
        let frozen = self.of_toolchain("frozen 1", &ground.toolchain).with(JUDGE).with(KERNEL).finish();
        // What is wrong with what the judge needs is told as it is, and not as the judge's.
        let failed = Cell::new(None);
        let give = |needed: &Needed| match needed {
            Needed::Content(_) => certified_export(ground, needed, cache),
            Needed::Frozen => {
                self.kept.text(&frozen).map(ByteBuf::from).ok_or_else(|| "it is not kept".into())
            }
            Needed::Toolchain => {
                let text = self.foundation(&ground.toolchain, budget).map(ByteBuf::from);
                text.map_err(|failure| {
                    let fault = failure.fault.clone();
                    failed.set(Some(failure));
                    fault
                })
            }
        };
        let ask = Ask::Examine { ground: ground.clone(), export: ByteBuf::from(text), asked: asked.clone() };
        match self.ask(&self.judge, &ask, budget, &give) {
            Ok(Done::Judged(judged, base)) => {
                if let Some(base) = base {
                    self.keep(&frozen, &base);
                }
                Ok(*judged)
            }
            Ok(_) => Err(Failure::unreadable("the judge")),
            Err(failure) => Err(failed.take().unwrap_or(failure)),
        }
    }

    fn replay(
        &self,
        ground: &Ground,
        export: &[u8],
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Replayed, Failure> {
        let give = |needed: &Needed| certified_export(ground, needed, cache);
        let ask = Ask::Replay { ground: ground.clone(), export: ByteBuf::from(export) };
        let Done::Replayed(replayed) = self.ask(&self.clean, &ask, budget, &give)? else {
            return Err(Failure::unreadable("Lean's kernel"));
        };
        Ok(replayed)
    }

    fn elaborate(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Elaborated, Failure> {
        let give = |needed: &Needed| {
            let digest = named(needed, work.below.iter().map(|below| below.digest))?;
            cache
                .compiled(digest)
                .map(|bytes| ByteBuf::from(bytes.to_vec()))
                .map_err(|error| error.to_string())
        };
        let ask = Ask::Elaborate(Box::new(work.into()));
        let Done::Elaborated(done) = self.ask(&self.elaborate, &ask, budget, &give)? else {
            return Err(Failure::unreadable(work.name));
        };
        Ok(*done)
    }
}

/// The worker's program: beside this one, or beside the folder of this one, as of a test.
fn program() -> Result<PathBuf, Error> {
    if let Some(program) = std::env::var_os(PROGRAM) {
        return Ok(program.into());
    }
    let own = std::env::current_exe().map_err(|cause| Error::NoWorker(cause.to_string()))?;
    let places = own.ancestors().skip(1).take(2).map(|folder| folder.join(NAME));
    let found = places.clone().find(|place| place.is_file());
    found.ok_or_else(|| {
        let places: Vec<String> = places.map(|place| format!("`{}`", place.display())).collect();
        Error::NoWorker(format!("it is not at {}", places.join(" or ")))
    })
}
