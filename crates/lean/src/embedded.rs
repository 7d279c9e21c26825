//! The embedded Lean: what a [`Pipeline`] and the guests of an image make together.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest};

use crate::Error;
use crate::cache::Cache;
use crate::guests::Guests;
use crate::index::{self, Index};
use crate::pipeline::{Budget, Engine as _, Pipeline};
use crate::toolchain::Toolchain;

/// What [`EmbeddedOptions::warm_bytes`] is when nobody says.
pub const WARM_BYTES: u64 = 1 << 30;

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
        let guests = Guests::open(&options.image, options.warm_bytes)?;
        let pipeline = Pipeline::new(Cache::open(&options.cache)?);
        Ok(Self { pipeline, guests, index: OnceLock::new(), _own: None })
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
        self.guests.foundation(modules, &self.pipeline.cache, &budget).map_err(|failure| failure.fault)
    }

    fn index(&self) -> Result<&Index, String> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let text = self.guests.index().map_err(|e| e.to_string())?;
        Ok(self.index.get_or_init(|| Index::parse(&text)))
    }
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
