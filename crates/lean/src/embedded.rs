//! The embedded Lean: every check in a fresh copy of a warm guest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use atlas_lean_wasm::{End, Image, Job, Outcome as Run, Recipe, Snapshot};
use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest, Outcome};
use parking_lot::Mutex;

use crate::Error;
use crate::answer;
use crate::cache::Cache;
use crate::export;
use crate::facts;
use crate::index::{self, Index};
use crate::key::Key;
use crate::layers::Layers;
use crate::pipeline::{Below, Budget, Elaborated, Engine, Failure, MEMORY, Pipeline, Work};
use crate::replay::{self, Replayed};
use crate::second::Ground;
use crate::toolchain::Toolchain;

/// Memory, beyond the warm state, for importing modules, in bytes: not the check's own.
pub(crate) const IMPORT_MEMORY: u64 = 1 << 30;

/// What [`EmbeddedOptions::warm_bytes`] is when nobody says.
pub const WARM_BYTES: u64 = 1 << 30;

/// Where a guest writes the compiled module.
const COMPILED: &str = "/work/out.olean";

/// Where the embedded Lean finds and keeps things.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The image that `lean-image build` made.
    pub image: PathBuf,
    /// Where results are kept by content; shared between processes.
    pub cache: PathBuf,
    /// Bytes of memory for warm guests that are kept: with imported library modules, and behind the beginnings of modules that
    /// agents are at work on. Least recently used out first.
    pub warm_bytes: u64,
}

/// The embedded Lean.
pub struct Embedded {
    pipeline: Pipeline,
    guests: Guests,
    index: OnceLock<Index>,
    /// A cache of this value's own, removed with it.
    _own: Option<tempfile::TempDir>,
}

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

impl Embedded {
    /// Opens the image in `image`; results are kept beside it, in `checks`.
    ///
    /// # Errors
    /// [`Error::Image`] when the image has to be built (again).
    pub fn open(image: &Path) -> Result<Self, Error> {
        let cache = image.parent().unwrap_or(image).join("checks");
        Self::with_options(&EmbeddedOptions { image: image.into(), cache, warm_bytes: WARM_BYTES })
    }

    /// Opens the image with a cache of its own that begins empty: every module is elaborated from nothing.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn fresh(image: &Path) -> Result<Self, Error> {
        let temporary = tempfile::Builder::new().prefix("atlas-checks-").tempdir();
        let own = temporary.map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
        let options =
            EmbeddedOptions { image: image.into(), cache: own.path().into(), warm_bytes: WARM_BYTES };
        Ok(Self { _own: Some(own), ..Self::with_options(&options)? })
    }

    /// Opens the image.
    ///
    /// # Errors
    /// As [`Embedded::open`]; [`Error::Io`] when the cache cannot be made.
    pub fn with_options(options: &EmbeddedOptions) -> Result<Self, Error> {
        let guests = Guests { image: Image::open(&options.image)?, layers: Layers::new(options.warm_bytes) };
        let pipeline = Pipeline::new(Cache::open(&options.cache)?);
        Ok(Self { pipeline, guests, index: OnceLock::new(), _own: None })
    }

    /// Asks Lean's own kernel alone, in a guest that has elaborated nothing, about the declarations in `export`, on top of the toolchain
    /// modules `Init` and `toolchain` and of the exports `below`, each after those that it needs. All are texts in lean4export's format; of
    /// those below it must accept every declaration too.
    ///
    /// # Errors
    /// [`Error::Kernel`] when it cannot be asked, or does not accept what lies below.
    pub fn kernel_accepts(
        &self,
        toolchain: &[String],
        below: &[&[u8]],
        export: &[u8],
        deadline: Duration,
    ) -> Result<Replayed, Error> {
        let cache = &self.pipeline.cache;
        let exports = below.iter().map(|text| cache.put_export(text)).collect::<Result<_, _>>()?;
        let ground = Ground { toolchain: toolchain.to_vec(), exports };
        let budget = Budget::new(deadline, MEMORY);
        match replay::replay(&self.guests, &ground, export, cache, &budget) {
            Ok(replayed) => Ok(replayed),
            Err(failure) if failure.outcome == Outcome::EnvironmentFault => Err(Error::Kernel(failure.fault)),
            Err(failure) => Ok(Replayed::Undecided { declaration: "the export".into(), why: failure.fault }),
        }
    }

    fn index(&self) -> Result<&Index, String> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let text = self.guests.image.index().map_err(|e| e.to_string())?;
        Ok(self.index.get_or_init(|| Index::parse(&text)))
    }
}

impl Guests {
    /// A warm guest that has imported what `work` imports and elaborated its beginning.
    fn warm(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Arc<Snapshot>, Failure> {
        let (imports, imported) = self.imported(&work.library, work.toolchain, &work.below, cache, budget)?;
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
        cache: &Cache,
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
                job.inputs.insert(path, cache.compiled(below.digest)?);
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

impl Engine for Guests {
    fn identity(&self) -> String {
        self.image.key()
    }

    fn name(&self) -> String {
        atlas_lean_wasm::TOOLCHAIN.to_owned()
    }

    fn has_module(&self, name: &str) -> bool {
        self.image.directory().join("library").join(format!("{}.olean", name.replace('.', "/"))).exists()
    }

    fn foundation(
        &self,
        toolchain: &[String],
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let key =
            toolchain.iter().fold(Key::new("foundation 1").with(&self.identity()), |k, name| k.with(name));
        let key = key.finish();
        if let Some(known) = cache.text(&key) {
            return Ok(Some(known));
        }
        let (_, imported) = self.imported(&[], toolchain, &[], cache, budget)?;
        let exported = Arc::new(Mutex::new(None));
        let slot = exported.clone();
        let mut job = job("base\n---\n".to_owned(), IMPORT_MEMORY, budget)?;
        job.reader = Some(Box::new(move |heap, address| {
            slot.lock().get_or_insert_with(|| export::export_modules(heap, address));
        }));
        let run = self.image.run(&imported, job).map_err(Error::from)?;
        let End::Answered(_) = &run.end else {
            return Err(failure(&run, "exporting the toolchain's library"));
        };
        let exported =
            exported.lock().take().ok_or_else(|| Failure::unreadable("the toolchain's library"))?;
        let text =
            exported.map_err(|error| Failure::environment(format!("the toolchain's library: {error}")))?;
        cache.put_text(&key, &text)?;
        Ok(Some(text))
    }

    fn replay(
        &self,
        ground: &Ground,
        export: &[u8],
        cache: &Cache,
        budget: &Budget,
    ) -> Result<Option<Replayed>, Failure> {
        replay::replay(self, ground, export, cache, budget).map(Some)
    }

    fn elaborate(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Elaborated, Failure> {
        let warm = self.warm(work, cache, budget)?;
        let what = if work.snippet { "snippet" } else { work.name };
        let handed = Arc::new(Mutex::new(None));
        let (slot, certified) = (handed.clone(), work.asked.certified && work.facts);
        let mut job = job(work.asked.request(work, COMPILED), budget.memory, budget)?;
        job.reader = Some(Box::new(move |heap, address| {
            slot.lock().get_or_insert_with(|| facts::read(heap, address, certified));
        }));
        let mut run = self.image.run(&warm, job).map_err(Error::from)?;
        budget.used(run.elapsed, run.memory_bytes);
        let End::Answered(text) = &run.end else { return Err(failure(&run, what)) };
        let text = String::from_utf8(text.clone()).map_err(|_| Failure::unreadable(what))?;
        let handed = handed.lock().take().transpose().map_err(|malformed| Failure {
            outcome: Outcome::Crashed,
            fault: format!("{what}: the declarations cannot be read: {malformed}"),
        })?;
        let artefact = answer::read(&text, what, handed.as_ref(), work.asked)
            .ok_or_else(|| Failure::unreadable(what))?;
        Ok(Elaborated { artefact, handed, compiled: run.written.remove(COMPILED) })
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

impl Toolchain for Embedded {
    fn name(&self) -> String {
        self.guests.name()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        CheckReply { toolchain: self.name(), ..self.pipeline.check(&self.guests, request) }
    }

    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        match self.index() {
            Ok(known) => index::lookup(self, known, request),
            Err(fault) => LookupReply { declarations: vec![], fault },
        }
    }
}
