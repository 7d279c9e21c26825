//! A native Lean: one process a module, killed with all its descendants at the deadline.
//!
//! The process runs the embedded Lean's own session code, so that both Leans answer alike: sources are elaborated the same
//! way, facts come from the same terms, and the kernel replays in an environment that holds the imports alone.
//!
//! A native Lean is *not* in a sandbox: elaborating a source runs its metaprograms with this process's rights. Use it for
//! sources that you trust, or in a container with nothing worth stealing in reach.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use atlas_judge::{Ground, Judged};
use atlas_lean_wasm::SESSION;
use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest, Outcome};

use crate::Error;
use crate::answer;
use crate::cache::Cache;
use crate::handed::{self, Handed};
use crate::index::{self, Index};
use crate::key::Key;
use crate::objects::Dump;
use crate::pipeline::{Budget, Elaborated, Engine, Failure, Pipeline, Work};
use crate::process::{self, Ended};
use crate::replay::Replayed;
use crate::source::is_toolchain;
use crate::toolchain::Toolchain;

/// What makes the session's code replay in its own kernel, and answer from files.
const DRIVER: &str = concat!(include_str!("../native/replay.lean"), include_str!("../native/driver.lean"));
/// The line that starts the session in an image.
const START: &str = "run_cmd Atlas.start\n";
/// Memory that Lean itself and the imports take, in bytes; a check's limit comes on top.
const OWN_MEMORY: u64 = 4 << 30;
/// How long Lean may take to say its version.
const ASK: Duration = Duration::from_secs(60);

/// A native Lean.
pub struct Native {
    pipeline: Pipeline,
    lean: Lean,
}

struct Lean {
    program: PathBuf,
    version: String,
    /// Where the toolchain's compiled library lies; `None` when Lean does not say.
    library: Option<PathBuf>,
    /// Installed packages: the absolute directories of `LEAN_PATH`, as `lake env` sets it.
    packages: Vec<PathBuf>,
}

impl Native {
    /// The `lean` on `PATH`; results are kept in `cache`.
    ///
    /// # Errors
    /// [`Error::Native`] when there is none or it cannot be run.
    pub fn find(cache: &Path) -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|folder| folder.join("lean")).find(|file| file.is_file());
        let program = found.ok_or_else(|| Error::Native("there is no `lean` on PATH".into()))?;
        Self::with_program(program, cache)
    }

    /// The Lean of the toolchain in `folder` (`folder/bin/lean`, or `folder/lean`); results are kept in `cache`.
    ///
    /// # Errors
    /// [`Error::Native`] when there is none or it cannot be run.
    pub fn at(folder: &Path, cache: &Path) -> Result<Self, Error> {
        let candidates = [folder.join("bin/lean"), folder.join("lean")];
        let found = candidates.into_iter().find(|file| file.is_file());
        let program =
            found.ok_or_else(|| Error::Native(format!("there is no bin/lean in `{}`", folder.display())))?;
        Self::with_program(program, cache)
    }

    fn with_program(program: PathBuf, cache: &Path) -> Result<Self, Error> {
        let program = program.canonicalize().map_err(Error::io("find", &program))?;
        let empty = tempfile::tempdir().map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
        let ask = |argument: &str| {
            let mut command = Command::new(&program);
            command.arg(argument).current_dir(empty.path());
            match process::run(command, ASK) {
                Ok(Ended::With(_, output)) if !output.trim().is_empty() => Ok(output.trim().to_owned()),
                Ok(Ended::With(status, _)) => {
                    Err(Error::Native(format!("`{} {argument}` says nothing ({status})", program.display())))
                }
                Ok(Ended::TimedOut) => {
                    Err(Error::Native(format!("`{} {argument}` does not end", program.display())))
                }
                Err(e) => Err(Error::Native(format!("`{}` cannot be run: {e}", program.display()))),
            }
        };
        let version = ask("--version")?;
        let library = ask("--print-libdir").ok().map(PathBuf::from).filter(|folder| folder.is_dir());
        let packages = std::env::var_os("LEAN_PATH").unwrap_or_default();
        let packages = std::env::split_paths(&packages).filter(|folder| folder.is_absolute()).collect();
        let lean = Lean { program, version, library, packages };
        Ok(Self { pipeline: Pipeline::new(Cache::open(cache)?), lean })
    }
}

impl Engine for Lean {
    fn identity(&self) -> String {
        let mut key = Key::new("native 1").with(&self.version).with(SESSION).with(DRIVER);
        for folder in &self.packages {
            key = key.with(&folder.to_string_lossy());
        }
        key.finish()
    }

    fn name(&self) -> String {
        self.version.clone()
    }

    fn has_module(&self, name: &str) -> bool {
        let file = format!("{}.olean", name.replace('.', "/"));
        let known = self.library.iter().chain(&self.packages).any(|folder| folder.join(&file).exists());
        known || self.library.is_none() && is_toolchain(name)
    }

    /// A native toolchain's library, on which verdicts would rest, has not been exported.
    fn examine(
        &self,
        _: &Ground,
        _: &[u8],
        _: &BTreeSet<String>,
        _: &Cache,
        _: &Budget,
    ) -> Result<Judged, Failure> {
        Err(Failure::environment("a native toolchain's library has not been exported"))
    }

    /// Its kernel has been asked where it elaborated.
    fn replay(&self, _: &Ground, _: &[u8], _: &Cache, _: &Budget) -> Result<Replayed, Failure> {
        Err(Failure::environment("a native Lean's kernel is asked where it elaborates"))
    }

    fn elaborate(&self, work: &Work<'_>, cache: &Cache, budget: &Budget) -> Result<Elaborated, Failure> {
        let folder = tempfile::tempdir()
            .map_err(|e| Failure::environment(format!("cannot create a temporary folder: {e}")))?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            let parent = path.parent().unwrap_or_else(|| folder.path());
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            std::fs::write(&path, bytes).map_err(Error::io("write", &path))
        };
        for below in &work.below {
            put(&format!("library/{}.olean", below.name.replace('.', "/")), &cache.compiled(below.digest)?)?;
        }
        put("Driver.lean", SESSION.replace(START, DRIVER).as_bytes())?;
        put("exchange/request", work.asked.request(work, "exchange/out.olean").as_bytes())?;
        let replays = work.asked.certified && work.facts;
        if replays {
            put("exchange/replay", b"")?;
        }
        let mut path = vec![PathBuf::from("library")];
        path.extend(self.packages.iter().cloned());
        let path = std::env::join_paths(path).map_err(|e| Failure::environment(format!("LEAN_PATH: {e}")))?;
        let mut command = Command::new(&self.program);
        command.arg(format!("--memory={}", (OWN_MEMORY + budget.memory) >> 20)).arg("Driver.lean");
        command.current_dir(folder.path()).env("LEAN_PATH", path);
        let started = Instant::now();
        let ended = process::run(command, budget.left()?);
        let elapsed = started.elapsed();
        budget.used(elapsed, 0);
        let what = if work.snippet { "snippet" } else { work.name };
        let output = match ended {
            Ok(Ended::With(_, output)) => output,
            Ok(Ended::TimedOut) => {
                let fault = format!("{what}: ended at the deadline, after {:.1} s", elapsed.as_secs_f64());
                return Err(Failure { outcome: Outcome::TimedOut, fault });
            }
            Err(e) => {
                return Err(Failure::environment(format!("cannot run `{}`: {e}", self.program.display())));
            }
        };
        let read = |name: &str| std::fs::read(folder.path().join("exchange").join(name)).ok();
        let Some(text) = read("answer").and_then(|bytes| String::from_utf8(bytes).ok()) else {
            return Err(died(what, &output));
        };
        let handed = match read("objects").map(String::from_utf8) {
            Some(Ok(objects)) => Some(handed(&objects, work).ok_or_else(|| Failure::unreadable(what))?),
            Some(Err(_)) => return Err(Failure::unreadable(what)),
            None => None,
        };
        let answer = answer::read(&text, what, handed.as_ref(), work.asked, replays)
            .ok_or_else(|| Failure::unreadable(what))?;
        Ok(Elaborated { answer, handed, compiled: read("out.olean") })
    }
}

/// The facts in the objects that the driver wrote.
fn handed(objects: &str, work: &Work<'_>) -> Option<Handed> {
    let (dump, root) = Dump::parse(objects)?;
    handed::read(&dump, root, false, &work.asked.auxiliary()).ok()
}

/// A process that ended without an answer, as the outcome of the check.
fn died(what: &str, output: &str) -> Failure {
    let memory =
        ["excessive memory", "out of memory", "memory exhausted"].iter().any(|words| output.contains(words));
    let outcome = if memory { Outcome::OutOfMemory } else { Outcome::Crashed };
    let lines: Vec<&str> = output.lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    Failure { outcome, fault: format!("{what}: Lean ended without an answer: {last}") }
}

impl Toolchain for Native {
    fn name(&self) -> String {
        self.lean.version.clone()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        CheckReply { toolchain: self.name(), ..self.pipeline.check(&self.lean, request) }
    }

    /// The request's modules only: a native toolchain's own declarations are found by its editors and by `grep`.
    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        index::lookup(self, &Index::default(), request)
    }
}
