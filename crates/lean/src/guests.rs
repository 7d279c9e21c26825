//! The guests of the embedded Lean: every elaboration in a fresh copy of a warm one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use atlas_judge::Ground;
use atlas_lean_wasm::{End, Image, Job, Outcome as Run, Recipe, Snapshot};
use atlas_proto::Outcome;
use parking_lot::Mutex;

use crate::Error;
use crate::answer;
use crate::handed;
use crate::host::Host;
use crate::key::Key;
use crate::layers::Layers;
use crate::pipeline::{Below, Budget, Elaborated, Failure, Work};
use crate::replay::{self, Replayed};

/// Memory, beyond the warm state, for importing modules, in bytes: not the check's own.
pub(crate) const IMPORT_MEMORY: u64 = 1 << 30;

/// Where a guest writes the compiled module.
const COMPILED: &str = "/work/out.olean";

/// Where guests' hosts find what lies below a module.
pub(crate) trait Store {
    /// The compiled module with this digest.
    fn compiled(&self, digest: &str) -> Result<Arc<[u8]>, Failure>;
    /// The certified export with this digest.
    fn export(&self, digest: &str) -> Result<Arc<[u8]>, Failure>;
}

/// An image and the warm guests that have been made from it.
pub(crate) struct Guests {
    pub(crate) image: Image,
    layers: Layers,
}

/// How a warm guest comes to be.
pub(crate) struct Making {
    /// What it is a copy of.
    pub(crate) from: Arc<Snapshot>,
    pub(crate) job: Job,
    /// Looks at the session's answer before the guest is kept.
    pub(crate) answered: Box<Answered>,
}

/// What looks at an answer.
type Answered = dyn FnOnce(&[u8]) -> Result<(), Failure>;

impl Guests {
    /// Opens the image in `image`; up to `warm_bytes` bytes of warm guests are kept beyond it.
    pub(crate) fn open(image: &Path, warm_bytes: u64) -> Result<Self, Error> {
        Ok(Self { image: Image::open(image)?, layers: Layers::new(warm_bytes) })
    }

    /// A warm guest that has imported what `work` imports and elaborated its beginning.
    fn warm(&self, work: &Work<'_>, store: &dyn Store, budget: &Budget) -> Result<Arc<Snapshot>, Failure> {
        let (imports, imported) = self.imported(&work.library, work.toolchain, &work.below, store, budget)?;
        if work.begin == 0 {
            return Ok(imported);
        }
        let key = |cut: usize| {
            let beginning = work.source.get(..cut).unwrap_or_default();
            Key::new("beginning 1").with(&imports).with(work.name).with(beginning).finish()
        };
        self.layer(&key(work.begin), "elaborating what stands before", budget, || {
            let begun = markers(work.source, work.begin).find_map(|cut| self.layers.find(&key(cut)));
            let beginning = &work.source[..work.begin];
            let request = format!("begin\nmodule {}\n---\n{beginning}", work.name);
            let job = job(request, budget.memory, budget)?;
            Ok(Making { from: begun.unwrap_or(imported), job, answered: Box::new(|_| Ok(())) })
        })
    }

    /// A warm guest that has imported modules of the library and of the toolchain, and its key; `below` is everything of the
    /// library that this takes.
    pub(crate) fn imported(
        &self,
        library: &[&str],
        toolchain: &[String],
        below: &[Below<'_>],
        store: &dyn Store,
        budget: &Budget,
    ) -> Result<(String, Arc<Snapshot>), Failure> {
        let base = Arc::new(self.image.base().clone());
        if library.is_empty() && toolchain.is_empty() {
            return Ok((String::new(), base));
        }
        let mut key = Key::new("layer 1");
        for below in below {
            key = key.with(below.name).with(below.digest);
        }
        let mut request = "import\n".to_owned();
        for name in library.iter().copied().chain(toolchain.iter().map(String::as_str)) {
            key = key.with(name);
            request += &format!("use {name}\n");
        }
        let key = key.finish();
        let snapshot = self.layer(&key, "importing the modules below", budget, || {
            let mut job = job(request, IMPORT_MEMORY, budget)?;
            for below in below {
                let path = format!("/library/{}.olean", below.name.replace('.', "/"));
                job.inputs.insert(path, store.compiled(below.digest)?);
            }
            Ok(Making { from: base, job, answered: Box::new(|_| Ok(())) })
        })?;
        Ok((key, snapshot))
    }

    /// The warm guest of `key`, if there is one and nobody is making it.
    pub(crate) fn find(&self, key: &str) -> Option<Arc<Snapshot>> {
        self.layers.find(key)
    }

    /// The warm guest of `key`; if it has to be made, as `making` says.
    pub(crate) fn layer(
        &self,
        key: &str,
        what: &str,
        budget: &Budget,
        making: impl FnOnce() -> Result<Making, Failure>,
    ) -> Result<Arc<Snapshot>, Failure> {
        let slot = self.layers.slot(key);
        let mut slot = slot.lock();
        if let Some(snapshot) = &*slot {
            return Ok(snapshot.clone());
        }
        let Making { from, job, answered } = making()?;
        let (run, layer) = self.image.extend(&from, job).map_err(Error::from)?;
        budget.used(run.elapsed, run.memory_bytes);
        let End::Answered(answer) = &run.end else { return Err(failure(&run, what)) };
        answered(answer)?;
        let snapshot =
            layer.ok_or_else(|| Failure::environment(format!("{what}: Lean registered nothing")))?;
        let (bytes, ms) = (snapshot.layer_bytes(), run.elapsed.as_millis() as u64);
        tracing::debug!(what, bytes, ms, "made a warm guest");
        let snapshot = Arc::new(snapshot);
        *slot = Some(snapshot.clone());
        self.layers.made(key, bytes);
        Ok(snapshot)
    }
}

/// A run of the session without files, reader and given objects.
pub(crate) fn job(request: String, extra_memory: u64, budget: &Budget) -> Result<Job, Failure> {
    Ok(Job {
        request: request.into_bytes(),
        inputs: BTreeMap::new(),
        deadline: budget.left()?,
        extra_memory,
        reader: None,
        given: Recipe::default(),
    })
}

/// Where regions begin in the first `until` bytes of a module, the last one first: places at which earlier questions may have
/// left a warm state.
fn markers(source: &str, until: usize) -> impl Iterator<Item = usize> {
    let before = source.get(..until).unwrap_or_default();
    before.rmatch_indices("\n-- begin ").filter_map(move |(at, _)| {
        let line = before.get(at + 1..)?;
        Some(at + 1 + line.find('\n')? + 1)
    })
}

impl Host for Guests {
    fn identity(&self) -> String {
        self.image.key()
    }

    fn foundation(
        &self,
        toolchain: &[String],
        store: &dyn Store,
        budget: &Budget,
    ) -> Result<Vec<u8>, Failure> {
        let (_, imported) = self.imported(&[], toolchain, &[], store, budget)?;
        let exported = Arc::new(Mutex::new(None));
        let slot = exported.clone();
        let mut job = job("base\n---\n".to_owned(), IMPORT_MEMORY, budget)?;
        job.reader = Some(Box::new(move |heap, address| {
            slot.lock().get_or_insert_with(|| atlas_lean_export::export_modules(heap, address));
        }));
        let run = self.image.run(&imported, job).map_err(Error::from)?;
        let End::Answered(_) = &run.end else {
            return Err(failure(&run, "exporting the toolchain's library"));
        };
        let exported =
            exported.lock().take().ok_or_else(|| Failure::unreadable("the toolchain's library"))?;
        exported.map_err(|error| Failure::environment(format!("the toolchain's library: {error}")))
    }

    fn replay(
        &self,
        ground: &Ground,
        export: &[u8],
        store: &dyn Store,
        budget: &Budget,
    ) -> Result<Replayed, Failure> {
        replay::replay(self, ground, export, store, budget)
    }

    fn elaborate(&self, work: &Work<'_>, store: &dyn Store, budget: &Budget) -> Result<Elaborated, Failure> {
        let warm = self.warm(work, store, budget)?;
        let what = if work.snippet { "snippet" } else { work.name };
        let handed = Arc::new(Mutex::new(None));
        let (slot, exported) = (handed.clone(), work.asked.certified && work.facts);
        let asked = work.asked.auxiliary();
        let mut job = job(work.asked.request(work, COMPILED), budget.memory, budget)?;
        job.reader = Some(Box::new(move |heap, address| {
            slot.lock().get_or_insert_with(|| handed::read(heap, address, exported, &asked));
        }));
        let mut run = self.image.run(&warm, job).map_err(Error::from)?;
        budget.used(run.elapsed, run.memory_bytes);
        let End::Answered(text) = &run.end else { return Err(failure(&run, what)) };
        let text = String::from_utf8(text.clone()).map_err(|_| Failure::unreadable(what))?;
        let handed = handed.lock().take().transpose().map_err(|wrong| handed::unreadable(what, &wrong))?;
        let answer = answer::read(&text, what, handed.as_ref(), work.asked)
            .ok_or_else(|| Failure::unreadable(what))?;
        Ok(Elaborated { answer, handed, compiled: run.written.remove(COMPILED) })
    }
}

/// A run that ended without an answer, as the outcome of the check.
pub(crate) fn failure(run: &Run, what: &str) -> Failure {
    let seconds = run.elapsed.as_secs_f64();
    let (outcome, fault) = match &run.end {
        End::TimedOut => (Outcome::TimedOut, format!("{what}: ended at the deadline, after {seconds:.1} s")),
        End::OutOfMemory => (
            Outcome::OutOfMemory,
            format!("{what}: ended at the memory limit, with {} MB in use", run.memory_bytes >> 20),
        ),
        End::Crashed(why) => (Outcome::Crashed, format!("{what}: {why}")),
        End::Answered(_) => return Failure::unreadable(what),
    };
    Failure { outcome, fault }
}
