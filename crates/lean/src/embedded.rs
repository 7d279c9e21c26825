//! The embedded Lean: every check in a fresh copy of a warm guest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use atlas_lean_wasm::{End, Image, Job, Outcome as Run, Snapshot};
use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest, Outcome};
use parking_lot::Mutex;

use crate::Error;
use crate::answer;
use crate::cache::Cache;
use crate::facts;
use crate::index::{self, Index};
use crate::key::Key;
use crate::layers::Layers;
use crate::pipeline::{Budget, Elaborated, Engine, Failure, Pipeline, Work};
use crate::toolchain::Toolchain;

/// Memory, beyond the warm state, for importing modules, in bytes: not the check's own.
const IMPORT_MEMORY: u64 = 1 << 30;

/// Where a guest writes the compiled module.
const COMPILED: &str = "/work/out.olean";

/// Where the embedded Lean finds and keeps things.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The image that `lean-image build` made.
    pub image: PathBuf,
    /// Where results are kept by content; shared between processes.
    pub cache: PathBuf,
    /// Warm guests with imported library modules that are kept, least recently used out first. One takes up to 250 MB of
    /// disk, in the cache's directory and without a name.
    pub layers: usize,
}

/// The embedded Lean.
pub struct Embedded {
    pipeline: Pipeline,
    guests: Guests,
    index: OnceLock<Index>,
    /// A cache of this value's own, removed with it.
    _own: Option<tempfile::TempDir>,
}

struct Guests {
    image: Image,
    layers: Layers,
}

impl Embedded {
    /// Opens the image in `image`; results are kept beside it, in `checks`.
    ///
    /// # Errors
    /// [`Error::Image`] when the image has to be built (again).
    pub fn open(image: &Path) -> Result<Self, Error> {
        let cache = image.parent().unwrap_or(image).join("checks");
        Self::with_options(&EmbeddedOptions { image: image.into(), cache, layers: 6 })
    }

    /// Opens the image with a cache of its own that begins empty: every module is elaborated from nothing.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn fresh(image: &Path) -> Result<Self, Error> {
        let temporary = tempfile::Builder::new().prefix("atlas-checks-").tempdir();
        let own = temporary.map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
        let options = EmbeddedOptions { image: image.into(), cache: own.path().into(), layers: 6 };
        Ok(Self { _own: Some(own), ..Self::with_options(&options)? })
    }

    /// Opens the image.
    ///
    /// # Errors
    /// As [`Embedded::open`]; [`Error::Io`] when the cache cannot be made.
    pub fn with_options(options: &EmbeddedOptions) -> Result<Self, Error> {
        let guests = Guests { image: Image::open(&options.image)?, layers: Layers::new(options.layers) };
        let pipeline = Pipeline::new(Cache::open(&options.cache)?);
        Ok(Self { pipeline, guests, index: OnceLock::new(), _own: None })
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
    /// A warm guest that has imported what `work` imports.
    fn warm(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Arc<Snapshot>, Failure> {
        if work.library.is_empty() && work.toolchain.is_empty() {
            return Ok(Arc::new(self.image.base().clone()));
        }
        let mut key = Key::new("layer 1");
        for below in &work.below {
            key = key.with(below.name).with(below.digest);
        }
        let mut request = "import\n".to_owned();
        for name in work.library.iter().copied().chain(work.toolchain.iter().map(String::as_str)) {
            key = key.with(name);
            request += &format!("use {name}\n");
        }
        let slot = self.layers.slot(&key.finish());
        let mut slot = slot.lock();
        if let Some(snapshot) = &*slot {
            return Ok(snapshot.clone());
        }
        let mut inputs = BTreeMap::new();
        for below in &work.below {
            inputs.insert(
                format!("/library/{}.olean", below.name.replace('.', "/")),
                cache.compiled(below.digest)?,
            );
        }
        let job = Job {
            request: request.clone().into_bytes(),
            inputs,
            deadline: budget.left()?,
            extra_memory: IMPORT_MEMORY,
            reader: None,
        };
        let (run, layer) =
            self.image.extend(self.image.base(), job, cache.directory()).map_err(Error::from)?;
        budget.used(run.elapsed, run.memory_bytes);
        if let End::Answered(_) = run.end {
            let snapshot = layer
                .ok_or_else(|| Failure::environment("Lean imported the modules and registered nothing"))?;
            let (bytes, ms) = (snapshot.layer_bytes(), run.elapsed.as_millis() as u64);
            tracing::debug!(modules = request.trim_end(), bytes, ms, "made a warm guest");
            let snapshot = Arc::new(snapshot);
            *slot = Some(snapshot.clone());
            return Ok(snapshot);
        }
        Err(failure(&run, "importing the modules below"))
    }
}

impl Engine for Guests {
    fn identity(&self) -> String {
        self.image.key()
    }

    fn has_module(&self, name: &str) -> bool {
        self.image.directory().join("library").join(format!("{}.olean", name.replace('.', "/"))).exists()
    }

    fn elaborate(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Elaborated, Failure> {
        let warm = self.warm(work, cache, budget)?;
        let what = if work.snippet { "snippet" } else { work.name };
        let handed = Arc::new(Mutex::new(None));
        let slot = handed.clone();
        let job = Job {
            request: work.asked.request(work, COMPILED).into_bytes(),
            inputs: BTreeMap::new(),
            deadline: budget.left()?,
            extra_memory: budget.memory,
            reader: Some(Box::new(move |heap, address| {
                slot.lock().get_or_insert_with(|| facts::read(heap, address));
            })),
        };
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
fn failure(run: &Run, what: &str) -> Failure {
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
        atlas_lean_wasm::TOOLCHAIN.to_owned()
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
