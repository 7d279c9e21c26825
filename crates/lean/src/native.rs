//! A native Lean: a process of its own for each question, in a sandboxed worker of its own.
//!
//! What goes on from there is as with the embedded Lean: text leaves the process that elaborates; the judge and the second kernel read
//! it, and Lean's own kernel, in another process that has elaborated nothing.

mod program;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest};
use atlas_sandbox::{Guest, Plan, Sandbox};

use crate::Error;
use crate::cache::Cache;
use crate::embedded::worker_bytes;
use crate::index::{self, Index};
use crate::pipeline::{Engine as _, Pipeline};
use crate::process::{self, Ended};
use crate::toolchain::Toolchain;
use crate::worker::{Installed, Task, Workers};

pub(crate) use program::{Confined, Program};

/// How long Lean may take to say something about itself.
const ASK: Duration = Duration::from_secs(60);
/// Where a system keeps what programs are linked with.
const SYSTEM: [&str; 4] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64"];
/// Bytes of what a question may write.
const SCRATCH: u64 = 4 << 30;
/// Bytes of memory that a Lean may have of its own, whatever it imports: compiled modules are files.
const MEMORY: u64 = 12 << 30;

/// Where a native Lean is found, and what it may see.
#[derive(Debug, Clone)]
pub struct NativeOptions {
    /// The program `lean`: a toolchain's, or what finds one (elan's).
    pub program: PathBuf,
    /// Where results are kept by content; shared between processes.
    pub cache: PathBuf,
    /// Where the declarations of the toolchain's library are kept, which verdicts rest on. Whoever can write there decides what is
    /// certified, as with the toolchain.
    pub foundation: PathBuf,
    /// Directories that Lean may read, and run programs from, beside its toolchain, the packages of `LEAN_PATH`, and the system's libraries.
    pub readable: Vec<PathBuf>,
    /// What happens where the system does not allow the whole sandbox.
    pub sandbox: Sandbox,
}

impl NativeOptions {
    /// The `lean` on `PATH`; results are kept in `cache`, the toolchain's declarations in its folder `foundation`. The sandbox is as
    /// [`Sandbox::VARIABLE`] says.
    ///
    /// # Errors
    /// [`Error::Native`] when there is none; [`Error::Worker`] when the variable says neither `required` nor `reduced`.
    pub fn find(cache: &Path) -> Result<Self, Error> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found =
            std::env::split_paths(&path).map(|folder| folder.join("lean")).find(|file| file.is_file());
        Self::with_program(found.ok_or_else(|| Error::Native("there is no `lean` on PATH".into()))?, cache)
    }

    /// The Lean of the toolchain in `folder` (`folder/bin/lean`, or `folder/lean`); the rest as [`NativeOptions::find`].
    ///
    /// # Errors
    /// As [`NativeOptions::find`].
    pub fn at(folder: &Path, cache: &Path) -> Result<Self, Error> {
        let candidates = [folder.join("bin/lean"), folder.join("lean")];
        let found = candidates.into_iter().find(|file| file.is_file());
        let none = || Error::Native(format!("there is no bin/lean in `{}`", folder.display()));
        Self::with_program(found.ok_or_else(none)?, cache)
    }

    fn with_program(program: PathBuf, cache: &Path) -> Result<Self, Error> {
        let sandbox = Sandbox::from_environment().map_err(|other| {
            Error::Worker(format!("{}={other}: it is `required` or `reduced`", Sandbox::VARIABLE))
        })?;
        Ok(Self {
            program,
            cache: cache.into(),
            foundation: cache.join("foundation"),
            readable: vec![],
            sandbox,
        })
    }
}

/// A native Lean.
pub struct Native {
    pipeline: Pipeline,
    workers: Workers,
}

impl Native {
    /// Asks Lean who it is, sends canaries, and starts a worker.
    ///
    /// # Errors
    /// [`Error::Native`] when Lean cannot be run; [`Error::Sandbox`] and [`Error::Escaped`] when the sandbox is not in force;
    /// [`Error::NoWorker`].
    pub fn open(options: &NativeOptions) -> Result<Self, Error> {
        let asked = std::path::absolute(&options.program).map_err(Error::io("find", &options.program))?;
        let version = ask(&asked, "--version")?;
        let said = |argument| ask(&asked, argument).ok().map(PathBuf::from).filter(|folder| folder.is_dir());
        let (prefix, library) = (said("--print-prefix"), said("--print-libdir"));
        // Who finds a toolchain (elan) is not what runs.
        let own = prefix.map(|prefix| (prefix.join("bin/lean"), prefix)).filter(|(lean, _)| lean.is_file());
        let (program, toolchain) = match own {
            Some((lean, prefix)) => (lean, prefix),
            None => (asked.clone(), asked.parent().unwrap_or(&asked).to_owned()),
        };
        let program = program.canonicalize().map_err(Error::io("find", &program))?;
        let packages = std::env::var_os("LEAN_PATH").unwrap_or_default();
        let packages: Vec<PathBuf> = std::env::split_paths(&packages)
            .filter(|folder| folder.is_absolute() && folder.is_dir())
            .collect();
        let mut readable: Vec<PathBuf> = program.parent().map(Path::to_owned).into_iter().collect();
        readable.push(toolchain);
        readable.extend(library.iter().chain(&packages).chain(&options.readable).cloned());
        readable.extend(SYSTEM.map(PathBuf::from).into_iter().filter(|folder| folder.is_dir()));
        // Folders before what lies in them.
        readable.sort();
        readable.dedup();
        let guest = Guest { program: program.clone(), scratch: SCRATCH, memory: MEMORY };
        let task = Task::Native(Program { program, version: version.clone(), packages: packages.clone() });
        let workers = Workers::open(Installed {
            name: version,
            task,
            plan: Plan { sandbox: options.sandbox, readable, guest: Some(guest), ..Plan::default() },
            library,
            packages,
            own_memory: MEMORY,
            worker_bytes: worker_bytes(),
            foundation: options.foundation.clone(),
            cache: options.cache.clone(),
        })?;
        Ok(Self { pipeline: Pipeline::new(Cache::open(&options.cache)?), workers })
    }
}

/// What Lean says about itself. It runs no code but its own, and outside of the sandbox: who finds a toolchain reads settings.
fn ask(program: &Path, argument: &str) -> Result<String, Error> {
    let empty = tempfile::tempdir().map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
    let mut command = Command::new(program);
    command.arg(argument).current_dir(empty.path());
    match process::run(command, ASK) {
        Ok(Ended::With(_, output)) if !output.trim().is_empty() => Ok(output.trim().to_owned()),
        Ok(Ended::With(status, _)) => {
            Err(Error::Native(format!("`{} {argument}` says nothing ({status})", program.display())))
        }
        Ok(Ended::TimedOut) => Err(Error::Native(format!("`{} {argument}` does not end", program.display()))),
        Err(e) => Err(Error::Native(format!("`{}` cannot be run: {e}", program.display()))),
    }
}

impl Toolchain for Native {
    fn name(&self) -> String {
        self.workers.name()
    }

    fn check(&self, request: &CheckRequest) -> CheckReply {
        CheckReply { toolchain: self.name(), ..self.pipeline.check(&self.workers, request) }
    }

    fn cpu(&self) -> Duration {
        self.workers.cpu()
    }

    /// The request's modules only: a native toolchain's own declarations are found by its editors and by `grep`.
    fn lookup(&self, request: &LookupRequest) -> LookupReply {
        index::lookup(self, &Index::default(), request)
    }
}
