//! An image: the embedded Lean made ready for this machine, in one directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::{Engine, Module};

use crate::Error;
use crate::engine;
use crate::guest::{Guest, Reader, Setup, SharedGuest};
use crate::imports;
use crate::manifest::{CODE, INDEX, LIBRARY, Manifest, SNAPSHOT, SYMBOLS, Step};
use crate::memory::{GuestMemory, WASM_PAGE};
use crate::pages::Pagemap;
use crate::recipe::Recipe;
use crate::schedule::{Ended, Machine, TICK};
use crate::slot::{Slot, Slots};
use crate::snapshot::Snapshot;
use crate::symbols::Symbols;

/// A guest's working directory.
const WORK: &str = "/work/";
/// Where the session looks for compiled modules that a job hands in.
const LIBRARY_PATH: &str = "/library";
/// WebAssembly pages that a copy has free from the start, 32 MB: room that has been used is emptied between copies, room that
/// a guest's memory has grown by is not.
const SPARE_PAGES: u32 = 512;
/// What [`Image::lean`] keeps of Lean's output.
const OUTPUT_BYTES: usize = 16 << 20;

/// A usable image. Cheap to share between threads by reference; each check runs on the thread that asks.
pub struct Image {
    directory: PathBuf,
    machine: Machine,
    symbols: Arc<Symbols>,
    base: Snapshot,
    slots: Slots,
    _clock: Clock,
}

/// Advances the epoch that running code looks at for deadlines, until it is dropped.
pub(crate) struct Clock {
    stop: Arc<AtomicBool>,
}

impl Clock {
    pub(crate) fn start(engine: &Engine) -> Self {
        let (stop, engine) = (Arc::new(AtomicBool::new(false)), engine.weak());
        let stopped = stop.clone();
        std::thread::spawn(move || {
            while let Some(engine) = engine.upgrade() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                engine.increment_epoch();
                drop(engine);
                #[expect(
                    clippy::disallowed_methods,
                    reason = "a clock's own thread; nothing else runs on it"
                )]
                std::thread::sleep(TICK);
            }
        });
        Self { stop }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// One run of the session in a fresh copy of a snapshot.
pub struct Job {
    /// What the session reads as its request.
    pub request: Vec<u8>,
    /// Files for the guest by absolute path, e.g. `/library/Numbers/Parity.olean`.
    pub inputs: BTreeMap<String, Arc<[u8]>>,
    /// How long it may take.
    pub deadline: Duration,
    /// Bytes by which the guest's memory may outgrow the snapshot.
    pub extra_memory: u64,
    /// Reads the objects that the session hands over.
    pub reader: Option<Reader>,
    /// What the session is given: the recipe of an array of `Declaration`s; an empty recipe for an empty array.
    pub given: Recipe,
}

impl Job {
    /// A job with this request, a minute's time and 1 GB of memory.
    pub fn new(request: Vec<u8>) -> Self {
        let (inputs, deadline) = (BTreeMap::new(), Duration::from_secs(60));
        Self { request, inputs, deadline, extra_memory: 1 << 30, reader: None, given: Recipe::default() }
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The session answered.
    Answered(Vec<u8>),
    /// The deadline passed first.
    TimedOut,
    /// Memory beyond the limit was refused and the guest gave up.
    OutOfMemory,
    /// It ended otherwise without an answer: a trap, an uncaught exception, an exit.
    Crashed(String),
}

/// A finished run.
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// The guest's scratch files by absolute path.
    pub written: BTreeMap<String, Vec<u8>>,
    /// What it wrote to its standard streams, the first 64 KiB.
    pub log: String,
    /// Size of the guest's memory at the end; it never shrinks.
    pub memory_bytes: u64,
    /// Wall time of the run, the copying included.
    pub elapsed: Duration,
}

/// A finished run of Lean's own command line.
pub struct Finished {
    /// Its exit status.
    pub status: i32,
    /// What it wrote to both standard streams.
    pub output: String,
    /// The files it wrote, by relative path.
    pub written: BTreeMap<String, Vec<u8>>,
}

impl Image {
    /// Opens the image in `directory`: checks that it was made by this program's code, for this machine, and that its
    /// files have the right sizes. [`crate::verify`] checks their digests too.
    ///
    /// # Errors
    /// [`Error::Image`] when it has to be built (again).
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::open_after(directory, Step::Index)
    }

    /// Opens an image of which the steps up to `last` are done.
    pub(crate) fn open_after(directory: &Path, last: Step) -> Result<Self, Error> {
        let engine = engine::engine()?;
        let manifest = Manifest::usable(directory, &engine, last)?;
        let code = directory.join(CODE);
        // SAFETY: wasmtime must only be given what it compiled itself. The file was written by `build` on this machine
        // (the manifest names wasmtime's version, settings and CPU features, compared above), into a directory that only
        // the image's owner writes, and renamed into place when complete.
        let module = unsafe { Module::deserialize_file(&engine, &code) }
            .map_err(Error::wasm("load the compiled Lean"))?;
        let symbols = Arc::new(Symbols::open(&directory.join(SYMBOLS))?);
        let saved = manifest.saved(directory)?;
        let base =
            Snapshot::open(&directory.join(SNAPSHOT), saved.pages, saved.globals.clone(), saved.action)?;
        let machine = machine(engine, module)?;
        let clock = Clock::start(machine.engine());
        let slots = Slots::default();
        Ok(Self { directory: directory.into(), machine, symbols, base, slots, _clock: clock })
    }

    /// The warm state that the image holds.
    pub fn base(&self) -> &Snapshot {
        &self.base
    }

    /// Names everything that the image's answers depend on: Lean, its library, the session's source.
    pub fn key(&self) -> String {
        Step::Snapshot.key(self.machine.engine())
    }

    /// Where the image lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Runs `job` in a fresh copy of `from`. Blocks the calling thread.
    ///
    /// # Errors
    /// An [`Error`] is the machine's fault: no memory for the copy. Everything that the guest does is in the outcome.
    pub fn run(&self, from: &Snapshot, job: Job) -> Result<Outcome, Error> {
        let spare = SPARE_PAGES.min((job.extra_memory / WASM_PAGE as u64) as u32);
        let (outcome, slot) = self.run_guest(from, spare, job)?;
        // Where the system has no page map each copy has a memory of its own.
        if let (End::Answered(_), Ok(pagemap)) = (&outcome.end, Pagemap::own()) {
            self.slots.put(slot, pagemap);
        }
        Ok(outcome)
    }

    /// Like [`Image::run`], for a request after which the session registers an action: the copy as it then is, to be
    /// copied in turn. What it has changed lies in a file in memory.
    ///
    /// # Errors
    /// As [`Image::run`]; also when the layer cannot be written.
    pub fn extend(&self, from: &Snapshot, job: Job) -> Result<(Outcome, Option<Snapshot>), Error> {
        let (outcome, slot) = self.run_guest(from, 0, job)?;
        let guest = slot.guest().lock();
        let layer = match (&outcome.end, guest.registered) {
            (End::Answered(_), Some(action)) => {
                let pagemap = Pagemap::own().map_err(Error::io("open", Path::new("/proc/self/pagemap")))?;
                Some(from.layer(&guest.memory, pagemap, guest.globals.clone(), action)?)
            }
            _ => None,
        };
        drop(guest);
        Ok((outcome, layer))
    }

    /// Runs Lean's own command line from cold, in a guest whose working directory holds `files` by relative path. `path` are
    /// relative directories in which it looks for compiled modules.
    ///
    /// # Errors
    /// [`Error::Session`] when it did not come to an end by itself.
    pub fn lean(
        &self,
        arguments: &[String],
        path: &[String],
        files: BTreeMap<String, Vec<u8>>,
        deadline: Duration,
    ) -> Result<Finished, Error> {
        let setup = Setup {
            toolchain: self.directory.join(LIBRARY),
            symbols: self.symbols.clone(),
            most_pages: u64::from(crate::guest::MOST_PAGES),
            deadline: Instant::now() + deadline,
            inputs: files.into_iter().map(|(name, bytes)| (format!("{WORK}{name}"), bytes.into())).collect(),
            request: None,
            reader: None,
            given: Recipe::default(),
            path: path.iter().map(|p| format!("{WORK}{p}")).collect::<Vec<_>>().join(":"),
        };
        let guest = new_guest(&self.machine, setup)?;
        guest.lock().files.set_log_bytes(OUTPUT_BYTES);
        let command = std::iter::once("lean".to_owned()).chain(arguments.iter().cloned()).collect();
        let ended = self.machine.start(&guest, command);
        let (written, log) = guest.lock().files.take_written();
        let log = String::from_utf8_lossy(&log).into_owned();
        let Ended::With(status) = ended else {
            return Err(Error::Session(format!("{ended:?}{}", tail(&log))));
        };
        let relative = |(name, bytes): (String, Vec<u8>)| Some((name.strip_prefix(WORK)?.to_owned(), bytes));
        Ok(Finished { status, output: log, written: written.into_iter().filter_map(relative).collect() })
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    #[cfg(test)]
    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// What a copy of `from` starts with for `job`.
    pub(crate) fn setup(&self, from: &Snapshot, job: Job, started: Instant) -> Setup {
        Setup {
            toolchain: self.directory.join(LIBRARY),
            symbols: self.symbols.clone(),
            most_pages: u64::from(from.pages) + job.extra_memory / WASM_PAGE as u64,
            deadline: started + job.deadline,
            inputs: job.inputs,
            request: Some((job.request.into(), nonce())),
            reader: job.reader,
            given: job.given,
            path: LIBRARY_PATH.into(),
        }
    }

    /// Runs `job` in a copy with `spare` pages of room: how it ended, and where it lived.
    fn run_guest(&self, from: &Snapshot, spare: u32, job: Job) -> Result<(Outcome, Slot), Error> {
        let started = Instant::now();
        let setup = self.setup(from, job, started);
        let slot = self
            .slots
            .take(self.machine.engine(), from, spare, setup)
            .map_err(Error::wasm("copy the warm state"))?;
        let ended = self.machine.resume(slot.guest(), slot.instances(), from.globals.clone(), from.action);
        let outcome = outcome(&mut slot.guest().lock(), ended, started);
        Ok((outcome, slot))
    }
}

/// A secret for one run, which answers must begin with.
pub(crate) fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// What a guest's run came to.
pub(crate) fn outcome(guest: &mut Guest, ended: Ended, started: Instant) -> Outcome {
    let (written, log) = guest.files.take_written();
    let log = String::from_utf8_lossy(&log).into_owned();
    let end = match (guest.answer.take(), ended) {
        (Some(answer), Ended::With(_)) => End::Answered(answer),
        (_, Ended::TimedOut) => End::TimedOut,
        (None, _) if guest.refused_growth => End::OutOfMemory,
        (None, Ended::With(status)) => {
            End::Crashed(format!("Lean ended with status {status} and no answer{}", tail(&log)))
        }
        (_, Ended::Crashed(why)) => End::Crashed(format!("{why}{}", tail(&log))),
    };
    Outcome { end, written, log, memory_bytes: guest.memory.len() as u64, elapsed: started.elapsed() }
}

/// A machine for `module`.
pub(crate) fn machine(engine: Engine, module: Module) -> Result<Machine, Error> {
    let made = imports::linker(&engine).and_then(|linker| Machine::new(engine, module, linker));
    made.map_err(Error::wasm("define host functions"))
}

/// A guest that is to start from nothing.
fn new_guest(machine: &Machine, setup: Setup) -> Result<SharedGuest, Error> {
    let memory = GuestMemory::new(machine.engine(), 256).map_err(Error::wasm("make a guest's memory"))?;
    Ok(Arc::new(Mutex::new(Guest::new(memory, setup))))
}

/// The text of the index of the declarations of the toolchain whose image lies in `directory`.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read.
pub fn index(directory: &Path) -> Result<String, Error> {
    let path = directory.join(INDEX);
    std::fs::read_to_string(&path).map_err(Error::io("read", &path))
}

/// The last lines of a log, for a message.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|l| !l.starts_with("[DEBUG") && !l.starts_with("  ")).collect();
    match &lines[lines.len().saturating_sub(3)..] {
        [] => String::new(),
        last => format!(": {}", last.join("; ")),
    }
}

/// Runs the session to its warm state in a new guest: the snapshot's file at `path`, and what else must be kept.
pub(crate) fn warm_up(
    machine: &Machine,
    directory: &Path,
    session: &str,
    path: &Path,
) -> Result<crate::manifest::Saved, Error> {
    let symbols = Arc::new(Symbols::open(&directory.join(SYMBOLS))?);
    let setup = Setup {
        toolchain: directory.join(LIBRARY),
        symbols,
        most_pages: u64::from(crate::guest::MOST_PAGES),
        deadline: Instant::now() + Duration::from_secs(600),
        inputs: BTreeMap::from([("/session/Session.lean".to_owned(), Arc::from(session.as_bytes()))]),
        request: None,
        reader: None,
        given: Recipe::default(),
        path: LIBRARY_PATH.into(),
    };
    let guest = new_guest(machine, setup)?;
    let ended = machine.start(&guest, vec!["lean".into(), "/session/Session.lean".into()]);
    let mut guest = guest.lock();
    let Some(action) = guest.registered else {
        let log = guest.files.take_written().1;
        let lines: Vec<String> = String::from_utf8_lossy(&log)
            .lines()
            .filter(|l| !l.starts_with("[DEBUG"))
            .take(20)
            .map(str::to_owned)
            .collect();
        return Err(Error::Session(format!("{ended:?}: {}", lines.join("\n"))));
    };
    crate::snapshot::save(&guest.memory, path)?;
    Ok(crate::manifest::Saved {
        pages: (guest.memory.len() / WASM_PAGE) as u32,
        action,
        globals: guest.globals.clone(),
    })
}
