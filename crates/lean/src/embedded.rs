//! The embedded Lean: a [`Pipeline`] over sandboxed workers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use atlas_judge::Ground;
use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest, Outcome};
use atlas_sandbox::{Plan, Sandbox};

use crate::Error;
use crate::cache::Cache;
use crate::index::{self, Index};
use crate::pipeline::{Budget, Engine as _, MEMORY, Pipeline};
use crate::replay::Replayed;
use crate::toolchain::Toolchain;
use crate::worker::{Installed, Task, Workers};

/// What [`EmbeddedOptions::warm_bytes`] is when nobody says.
pub const WARM_BYTES: u64 = 1 << 30;

/// Bytes of memory of a worker beside its requests' and warm guests: the image, or the toolchain's declarations as the judge has them.
const OWN_MEMORY: u64 = 4 << 30;

/// What [`EmbeddedOptions::worker_bytes`] is when nobody says: three quarters of the machine's memory.
pub fn worker_bytes() -> u64 {
    nix::sys::sysinfo::sysinfo().map_or(u64::MAX, |machine| machine.ram_total() / 4 * 3)
}

/// Where the embedded Lean finds and keeps things.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The image that `lean-image build` made.
    pub image: PathBuf,
    /// Where results are kept by content; shared between processes.
    pub cache: PathBuf,
    /// Where the declarations of the toolchain's library are kept, which verdicts rest on: they depend on the image alone. Whoever can
    /// write there decides what is certified, as with the image.
    pub foundation: PathBuf,
    /// Bytes of memory for warm guests that are kept: with imported library modules, and behind the beginnings of modules that
    /// agents are at work on. Least recently used out first.
    pub warm_bytes: u64,
    /// Bytes of memory that one worker may take as a whole, where it can be given a control group. It is given less if its requests cannot
    /// need as much.
    pub worker_bytes: u64,
    /// What happens where the system does not allow the whole sandbox.
    pub sandbox: Sandbox,
}

impl EmbeddedOptions {
    /// The toolchain's declarations are kept beside the image, in `foundation`, and [`WARM_BYTES`] of guests; a worker may take
    /// [`worker_bytes`]; the whole sandbox is required.
    pub fn at(image: &Path, cache: &Path) -> Self {
        let foundation = image.parent().unwrap_or(image).join("foundation");
        Self {
            image: image.into(),
            cache: cache.into(),
            foundation,
            warm_bytes: WARM_BYTES,
            worker_bytes: worker_bytes(),
            sandbox: Sandbox::default(),
        }
    }

    /// The same; the sandbox is as [`Sandbox::VARIABLE`] says.
    ///
    /// # Errors
    /// [`Error::Worker`] when the variable says neither `required` nor `reduced`.
    pub fn new(image: &Path, cache: &Path) -> Result<Self, Error> {
        let sandbox = Sandbox::from_environment().map_err(|other| {
            Error::Worker(format!("{}={other}: it is `required` or `reduced`", Sandbox::VARIABLE))
        })?;
        Ok(Self { sandbox, ..Self::at(image, cache) })
    }
}

/// The embedded Lean.
pub struct Embedded {
    pipeline: Pipeline,
    workers: Workers,
    image: PathBuf,
    index: OnceLock<Index>,
    /// A cache of this value's own, removed with it.
    _own: Option<tempfile::TempDir>,
}

impl Embedded {
    /// Opens the image in `image`; results are kept beside it, in `checks`.
    ///
    /// # Errors
    /// [`Error::Worker`] when the image has to be built (again); [`Error::Sandbox`] and [`Error::Escaped`] when the sandbox is not in force;
    /// [`Error::NoWorker`].
    pub fn open(image: &Path) -> Result<Self, Error> {
        let cache = image.parent().unwrap_or(image).join("checks");
        Self::with_options(&EmbeddedOptions::new(image, &cache)?)
    }

    /// Opens the image with a cache of its own that begins empty: every module is elaborated from nothing, over the toolchain's library.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn fresh(image: &Path) -> Result<Self, Error> {
        let temporary = tempfile::Builder::new().prefix("atlas-checks-").tempdir();
        let own = temporary.map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
        let options = EmbeddedOptions::new(image, own.path())?;
        Ok(Self { _own: Some(own), ..Self::with_options(&options)? })
    }

    /// Opens the image.
    ///
    /// # Errors
    /// As [`Embedded::open`]; [`Error::Io`] when the cache cannot be made.
    pub fn with_options(options: &EmbeddedOptions) -> Result<Self, Error> {
        let image = &options.image;
        let image = image.canonicalize().map_err(Error::io("find the Lean image", image))?;
        let workers = Workers::open(Installed {
            name: atlas_lean_wasm::TOOLCHAIN.to_owned(),
            task: Task::Guests { image: image.clone(), warm_bytes: options.warm_bytes },
            plan: Plan { sandbox: options.sandbox, readable: vec![image.clone()], ..Plan::default() },
            library: Some(image.join("library")),
            packages: vec![],
            own_memory: OWN_MEMORY.saturating_add(options.warm_bytes),
            worker_bytes: options.worker_bytes,
            foundation: options.foundation.clone(),
            cache: options.cache.clone(),
        })?;
        let pipeline = Pipeline::new(Cache::open(&options.cache)?);
        Ok(Self { pipeline, workers, image, index: OnceLock::new(), _own: None })
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
        let ground = Ground { identity: self.workers.identity(), toolchain: toolchain.to_vec(), exports };
        let budget = Budget::new(deadline, MEMORY);
        match self.workers.replay(&ground, export, cache, &budget) {
            Ok(replayed) => Ok(replayed),
            Err(failure) if failure.outcome == Outcome::EnvironmentFault => Err(Error::Kernel(failure.fault)),
            Err(failure) => Ok(Replayed::Undecided { declaration: "the export".into(), why: failure.fault }),
        }
    }

    /// What was certified of a module, in lean4export's format: the text that a receipt names by `digest`.
    ///
    /// # Errors
    /// [`Error::Io`] when this toolchain's cache does not have it, whole.
    pub fn export(&self, digest: &str) -> Result<Arc<[u8]>, Error> {
        self.pipeline.cache.export(digest)
    }

    /// The declarations of `Init` and of the toolchain's `modules`, with all that those import, in the same format: what certified exports
    /// rest on. Theorems and hidden values are `axiom` lines, since the toolchain ships no proofs.
    ///
    /// # Errors
    /// Why Lean did not give them, in words.
    pub fn foundation(&self, modules: &[String], deadline: Duration) -> Result<Vec<u8>, String> {
        let budget = Budget::new(deadline, 0);
        self.workers.foundation(modules, &budget).map_err(|failure| failure.fault)
    }

    fn index(&self) -> Result<&Index, String> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let text = atlas_lean_wasm::index(&self.image).map_err(|e| e.to_string())?;
        Ok(self.index.get_or_init(|| Index::parse(&text)))
    }
}

impl Toolchain for Embedded {
    fn name(&self) -> String {
        self.workers.name()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        CheckReply { toolchain: self.name(), ..self.pipeline.check(&self.workers, request) }
    }

    fn cpu(&self) -> Duration {
        self.workers.cpu()
    }

    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        match self.index() {
            Ok(known) => index::lookup(self, known, request),
            Err(fault) => LookupReply { declarations: vec![], fault },
        }
    }
}
