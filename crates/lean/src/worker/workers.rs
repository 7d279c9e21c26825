//! The embedded Lean's engine: guests in workers. Nothing of what is checked runs in this process.

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
use crate::embedded::EmbeddedOptions;
use crate::key::Key;
use crate::pipeline::{Budget, Elaborated, Engine, Failure, Work};
use crate::replay::Replayed;

/// The environment variable that names the worker's program.
const PROGRAM: &str = "ATLAS_LEAN_WORKER";
/// The worker's program.
const NAME: &str = "lean-worker";
/// Requests at once in one worker.
const LANES: usize = 8;
/// Cores for each worker that elaborates; one worker uses many, but one's death takes what it was at with it.
const CORES: usize = 4;
const MOST_WORKERS: usize = 8;
/// Threads of a worker beyond one for each request: its own, its clock's, and what canaries need.
const THREADS: u64 = 16;
/// Bytes of what a worker says of a module: its compiled form, its text, its diagnostics.
const MOST_OF_A_MODULE: u64 = 256 << 20;
/// Bytes of a toolchain's declarations as text.
const MOST_OF_A_TOOLCHAIN: u64 = 2 << 30;
/// Bytes of memory of a worker beside its requests' and warm guests: the image, or the toolchain's declarations as the judge has them.
const OWN_MEMORY: u64 = 4 << 30;
/// How long canaries may take.
const CANARIES: Duration = Duration::from_secs(20);

/// The engine.
pub(crate) struct Workers {
    image: PathBuf,
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
    pub(crate) fn open(options: &EmbeddedOptions) -> Result<Self, Error> {
        let program = program()?;
        let image = &options.image;
        let image = image.canonicalize().map_err(Error::io("find the Lean image", image))?;
        let plan = Plan {
            sandbox: options.sandbox,
            readable: vec![image.clone()],
            threads: THREADS + LANES as u64,
            ..Plan::default()
        };
        let start = |task: Task, readable, most_said| -> Result<Start, Error> {
            let plan = Plan { readable, ..plan.clone() };
            Ok(Start {
                program: program.clone(),
                plan,
                task: task.text()?,
                lanes: LANES,
                own_memory: OWN_MEMORY.saturating_add(options.warm_bytes),
                most_memory: options.worker_bytes,
                most_said,
            })
        };
        let guests = |most_said| {
            let task = Task::Guests { image: image.clone(), warm_bytes: options.warm_bytes };
            start(task, vec![image.clone()], most_said)
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let elaborate = Pool::new(guests(MOST_OF_A_MODULE)?, (cores / CORES).clamp(1, MOST_WORKERS));
        let clean = Pool::new(guests(MOST_OF_A_TOOLCHAIN)?, 1);
        let judge = Pool::new(start(Task::Judge, vec![], MOST_OF_A_TOOLCHAIN)?, 1);
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
        let kept = Cache::open(&options.foundation).or_else(|_| Cache::open(&options.cache))?;
        Ok(Self { image, identity: identity?, kept, elaborate, clean, judge, cpu_us: AtomicU64::new(0) })
    }

    /// The text of the index of the toolchain's declarations.
    pub(crate) fn index(&self) -> Result<String, Error> {
        Ok(atlas_lean_wasm::index(&self.image)?)
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
        atlas_lean_wasm::TOOLCHAIN.to_owned()
    }

    fn has_module(&self, name: &str) -> bool {
        self.image.join("library").join(format!("{}.olean", name.replace('.', "/"))).exists()
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
