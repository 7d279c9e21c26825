//! Which Lean checks: the embedded one of the project's cache, or a native one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use atlas_api::Toolchain as Which;
use atlas_lean::{Embedded, Native, NativeOptions, Toolchain};
use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest};
use nix::time::{ClockId, clock_gettime};

use crate::attach::cache_folder;
use crate::failure::{Failure, Result};

/// Whether results of earlier checks may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// By content: what was checked once is not checked again.
    Kept,
    /// None: everything is elaborated from nothing.
    Fresh,
}

/// Opens the toolchain that an AtlasRun or `--toolchain` names. Takes a while: call it off the runtime's threads.
///
/// # Errors
/// When the embedded Lean has not been set up, or the toolchain cannot be had.
pub fn open(which: &Which, cache: Option<&Path>, memory: Memory) -> Result<Arc<dyn Toolchain>> {
    match which {
        Which::Embedded => Ok(Arc::new(embedded(cache, memory)?)),
        Which::Native => native(cache, memory, NativeOptions::find),
        Which::Path(folder) => native(cache, memory, |results| NativeOptions::at(folder, results)),
    }
}

/// Opens the embedded Lean.
///
/// # Errors
/// When it has not been set up.
pub fn embedded(cache: Option<&Path>, memory: Memory) -> Result<Embedded> {
    let image = image(cache);
    let opened = match memory {
        Memory::Kept => Embedded::open(&image),
        Memory::Fresh => Embedded::fresh(&image),
    };
    opened.map_err(|e| {
        Failure::fault(format!("cannot open the embedded Lean: {e}"))
            .hint("run `scripts/setup lean`: it fetches and prepares Lean once (about 2 minutes)")
    })
}

/// A native Lean whose results lie in the project's cache, or in an empty folder of their own.
fn native(
    cache: Option<&Path>,
    memory: Memory,
    find: impl FnOnce(&Path) -> std::result::Result<NativeOptions, atlas_lean::Error>,
) -> Result<Arc<dyn Toolchain>> {
    let kept = cache_folder(cache).join("lean/native");
    let open = |results: &Path| {
        // What the toolchain declares is no result of a check.
        let options = NativeOptions { foundation: kept.join("foundation"), ..find(results)? };
        Native::open(&options)
    };
    let wrong = |e: atlas_lean::Error| Failure::fault(e.to_string());
    Ok(match memory {
        Memory::Kept => Arc::new(open(&kept).map_err(wrong)?),
        Memory::Fresh => {
            let folder = tempfile::tempdir().map_err(|e| {
                Failure::fault(format!("cannot make a temporary folder for Lean's results: {e}"))
            })?;
            Arc::new(Fresh { native: open(folder.path()).map_err(wrong)?, _folder: folder })
        }
    })
}

/// A native Lean that forgets: its results go with it.
struct Fresh {
    native: Native,
    _folder: tempfile::TempDir,
}

impl Toolchain for Fresh {
    fn name(&self) -> String {
        self.native.name()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        self.native.check(request)
    }

    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        self.native.lookup(request)
    }
}

/// A toolchain whose processor time is counted.
pub struct Metered {
    inner: Arc<dyn Toolchain>,
    cpu_us: AtomicU64,
}

impl Metered {
    /// Counts from nothing.
    pub fn new(inner: Arc<dyn Toolchain>) -> Self {
        Self { inner, cpu_us: AtomicU64::new(0) }
    }

    /// Processor time that questions have taken, milliseconds.
    pub fn cpu_ms(&self) -> u64 {
        let elsewhere = u64::try_from(self.inner.cpu().as_millis()).unwrap_or(u64::MAX);
        (self.cpu_us.load(Ordering::Relaxed) / 1000).saturating_add(elsewhere)
    }

    /// Runs `question` and counts this thread's processor time; what a toolchain takes elsewhere it counts itself.
    fn count<T>(&self, question: impl FnOnce() -> T) -> T {
        let now = || {
            clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| {
                u64::try_from(time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000).unwrap_or(0)
            })
        };
        let before = now();
        let answer = question();
        self.cpu_us.fetch_add(now().saturating_sub(before), Ordering::Relaxed);
        answer
    }
}

impl Toolchain for Metered {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        self.count(|| self.inner.check(request))
    }

    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        self.count(|| self.inner.lookup(request))
    }
}

/// Where the embedded Lean's image lies.
pub fn image(cache: Option<&Path>) -> PathBuf {
    std::env::var_os("ATLAS_LEAN_IMAGE").map_or_else(|| cache_folder(cache).join("lean/image"), PathBuf::from)
}
