//! The embedded Lean's engine: guests in workers. Nothing of what is checked runs in this process.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use atlas_judge::Ground;
use atlas_sandbox::{Plan, Sandbox, canary};
use serde_bytes::ByteBuf;

use super::pool::{Pool, Start};
use super::wire::{Ask, Done, Give, Task};
use crate::Error;
use crate::cache::Cache;
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
/// How long canaries may take.
const CANARIES: Duration = Duration::from_secs(20);

/// The engine.
pub(crate) struct Workers {
    image: PathBuf,
    identity: String,
    elaborate: Pool,
    /// Never sees a submission's source: what the judge rests on comes from here.
    clean: Pool,
    cpu_us: AtomicU64,
}

impl Workers {
    /// Finds the worker's program, sends canaries, and starts a worker that elaborates.
    pub(crate) fn open(image: &Path, warm_bytes: u64, sandbox: Sandbox) -> Result<Self, Error> {
        let program = program()?;
        let image = image.canonicalize().map_err(Error::io("find the Lean image", image))?;
        let plan = Plan {
            sandbox,
            readable: vec![image.clone()],
            threads: THREADS + LANES as u64,
            ..Plan::default()
        };
        let start = |warm_bytes| -> Result<Start, Error> {
            let task = Task::Guests { image: image.clone(), warm_bytes }.text()?;
            Ok(Start { program: program.clone(), plan: plan.clone(), task, lanes: LANES })
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let elaborate = Pool::new(start(warm_bytes)?, (cores / CORES).clamp(1, MOST_WORKERS));
        let clean = Pool::new(start(warm_bytes)?, 1);
        // Side by side: most of either's time is the system's.
        let (found, identity) = std::thread::scope(|scope| {
            let canaries = scope.spawn(|| {
                let task = |targets| Task::Canary(targets).text().unwrap_or_default();
                canary::run(&program, &plan, task, CANARIES)
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
        Ok(Self { image, identity: identity?, elaborate, clean, cpu_us: AtomicU64::new(0) })
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
        give: &dyn Fn(&str) -> Give,
    ) -> Result<Done, Failure> {
        let (done, spent) = pool.ask(ask, budget, give)?;
        let us = u64::try_from(spent.cpu.as_micros()).unwrap_or(u64::MAX);
        self.cpu_us.fetch_add(us, Ordering::Relaxed);
        Ok(done)
    }
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

    fn foundation(&self, toolchain: &[String], cache: &Cache, budget: &Budget) -> Result<Vec<u8>, Failure> {
        let key =
            toolchain.iter().fold(Key::new("foundation 1").with(&self.identity()), |k, name| k.with(name));
        let key = key.finish();
        if let Some(known) = cache.text(&key) {
            return Ok(known);
        }
        let nothing = |_: &str| Err("nothing of a library is below the toolchain".to_owned());
        let ask = Ask::Foundation(toolchain.to_vec());
        let Done::Foundation(text) = self.ask(&self.clean, &ask, budget, &nothing)? else {
            return Err(Failure::unreadable("the toolchain's library"));
        };
        cache.put_text(&key, &text)?;
        Ok(text.into_vec())
    }

    fn replay(
        &self,
        ground: &Ground,
        export: &[u8],
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Replayed, Failure> {
        let give = |digest: &str| {
            if !ground.exports.iter().any(|known| known == digest) {
                return Err("the question does not rest on it".to_owned());
            }
            cache.export(digest).map(|text| ByteBuf::from(text.to_vec())).map_err(|error| error.to_string())
        };
        let ask = Ask::Replay { ground: ground.clone(), export: ByteBuf::from(export) };
        let Done::Replayed(replayed) = self.ask(&self.clean, &ask, budget, &give)? else {
            return Err(Failure::unreadable("Lean's kernel"));
        };
        Ok(replayed)
    }

    fn elaborate(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Elaborated, Failure> {
        let give = |digest: &str| {
            // No more than the request names.
            if !work.below.iter().any(|below| below.digest == digest) {
                return Err("the request does not rest on it".to_owned());
            }
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
