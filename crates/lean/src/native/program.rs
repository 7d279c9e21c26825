//! A native Lean inside a worker, which it shares with no other request: files go in, Lean runs once, files come out.
//!
//! Lean runs the embedded Lean's own session code behind a driver that answers from files, so that both Leans answer alike.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use atlas_judge::Ground;
use atlas_lean_export::{Dump, export_modules};
use atlas_lean_wasm::SESSION;
use atlas_proto::Outcome;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::answer;
use crate::frame::frames;
use crate::guests::{IMPORT_MEMORY, Store};
use crate::handed;
use crate::host::Host;
use crate::key::Key;
use crate::pipeline::{Below, Budget, Elaborated, Failure, Work};
use crate::replay::{Asked, Replayed, told, unsound};

/// What makes the session's code answer from files, and build the declarations that it is given.
const DRIVER: &str =
    concat!(include_str!("../../native/given.lean"), include_str!("../../native/driver.lean"));
/// The line that starts the session in an image.
const START: &str = "run_cmd Atlas.start\n";
/// Memory that Lean itself and the imports take, in bytes; a check's limit comes on top.
const OWN_MEMORY: u64 = 4 << 30;
/// Threads that Lean elaborates with.
const THREADS: &str = "4";
/// Bytes that are read back of what Lean prints.
const MOST_OUTPUT: u64 = 1 << 20;
/// Bytes that are read back of a file that it writes.
const MOST_BYTES: u64 = 2 << 30;

/// A native Lean.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Program {
    pub(crate) program: PathBuf,
    /// What `lean --version` says.
    pub(crate) version: String,
    /// Installed packages: where their compiled modules lie.
    pub(crate) packages: Vec<PathBuf>,
}

/// The same, and where it may write.
pub(crate) struct Confined {
    pub(crate) program: Program,
    pub(crate) scratch: PathBuf,
}

/// One run of Lean.
struct Run<'r> {
    what: &'r str,
    request: String,
    /// Compiled modules that it imports.
    below: &'r [Below<'r>],
    /// Declarations for its kernel, as lines.
    given: &'r [String],
    /// Bytes of memory beyond [`OWN_MEMORY`].
    memory: u64,
}

/// What a run has left.
struct Left<'r> {
    what: &'r str,
    folder: PathBuf,
    answer: String,
}

impl Left<'_> {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        read(&self.folder.join(name), MOST_BYTES)
    }

    fn unreadable(&self) -> Failure {
        Failure::unreadable(self.what)
    }

    /// The objects in a file, and the root among them; `None` if there is no such file.
    fn objects(&self, name: &str) -> Result<Option<(Dump, u32)>, Failure> {
        let Some(bytes) = self.file(name) else { return Ok(None) };
        let text = String::from_utf8(bytes).map_err(|_| self.unreadable())?;
        Dump::parse(&text).map(Some).ok_or_else(|| self.unreadable())
    }
}

impl Confined {
    fn run<'r>(&self, run: &Run<'r>, store: &dyn Store, budget: &Budget) -> Result<Left<'r>, Failure> {
        let put = |name: &str, bytes: &[u8]| {
            let path = self.scratch.join(name);
            let parent = path.parent().unwrap_or(&self.scratch);
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            std::fs::write(&path, bytes).map_err(Error::io("write", &path))
        };
        for below in run.below {
            let path = format!("library/{}.olean", below.name.replace('.', "/"));
            put(&path, &store.compiled(below.digest)?)?;
        }
        for (number, lines) in run.given.iter().enumerate() {
            put(&format!("exchange/given.{number}"), lines.as_bytes())?;
        }
        put("Driver.lean", SESSION.replace(START, DRIVER).as_bytes())?;
        put("exchange/request", run.request.as_bytes())?;
        let started = Instant::now();
        let ended = self.start(run.memory, budget.left()?)?;
        let elapsed = started.elapsed();
        budget.used(elapsed, 0);
        let Some(status) = ended else {
            let fault = format!("{}: ended at the deadline, after {:.1} s", run.what, elapsed.as_secs_f64());
            return Err(Failure { outcome: Outcome::TimedOut, fault });
        };
        let folder = self.scratch.join("exchange");
        match read(&folder.join("answer"), MOST_BYTES).and_then(|bytes| String::from_utf8(bytes).ok()) {
            Some(answer) => Ok(Left { what: run.what, folder, answer }),
            None => Err(died(run.what, status, &self.output())),
        }
    }

    /// Starts Lean and waits for its end; `None` when that has not come in time. It is over with the worker then.
    fn start(&self, memory: u64, left: Duration) -> Result<Option<ExitStatus>, Failure> {
        let Program { program, packages, .. } = &self.program;
        let mut path = vec![PathBuf::from("library")];
        path.extend(packages.iter().cloned());
        let path = std::env::join_paths(path).map_err(|e| Failure::environment(format!("LEAN_PATH: {e}")))?;
        let wrong = |attempt, error: &dyn std::fmt::Display| {
            Failure::environment(format!("cannot {attempt} `{}`: {error}", program.display()))
        };
        let output = File::create(self.output_file()).map_err(|e| wrong("take the output of", &e))?;
        let errors = output.try_clone().map_err(|e| wrong("take the output of", &e))?;
        let mut command = std::process::Command::new(program);
        command.arg(format!("--memory={}", (OWN_MEMORY + memory) >> 20)).arg("Driver.lean");
        command
            .current_dir(&self.scratch)
            .env_clear()
            .env("LEAN_PATH", path)
            .env("LEAN_NUM_THREADS", THREADS);
        command.stdin(Stdio::inherit()).stdout(output).stderr(errors);
        let mut child = atlas_sandbox::start(&mut command).map_err(|e| wrong("run", &e))?;
        let (ended, end) = channel();
        // Nobody listens any more only after the deadline.
        std::thread::spawn(move || drop(ended.send(child.wait())));
        match end.recv_timeout(left) {
            Ok(status) => status.map(Some).map_err(|e| wrong("wait for", &e)),
            Err(_) => Ok(None),
        }
    }

    fn output_file(&self) -> PathBuf {
        self.scratch.join("output")
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&read(&self.output_file(), MOST_OUTPUT).unwrap_or_default()).into_owned()
    }
}

/// The first bytes of a file.
fn read(path: &Path, most: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    File::open(path).ok()?.take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A process that ended without an answer, as the outcome of the check.
fn died(what: &str, status: ExitStatus, output: &str) -> Failure {
    let memory =
        ["excessive memory", "out of memory", "memory exhausted"].iter().any(|words| output.contains(words));
    let outcome = if memory { Outcome::OutOfMemory } else { Outcome::Crashed };
    let lines: Vec<&str> = output.lines().collect();
    let last = lines[lines.len().saturating_sub(5)..].join("; ");
    Failure { outcome, fault: format!("{what}: Lean ended without an answer ({status}): {last}") }
}

/// The request that names toolchain modules and nothing else.
fn request(command: &str, toolchain: &[String]) -> String {
    let uses: String = toolchain.iter().map(|name| format!("use {name}\n")).collect();
    format!("{command}\n{uses}---\n")
}

impl Host for Confined {
    fn identity(&self) -> String {
        let Program { version, packages, .. } = &self.program;
        let key = Key::new("native 2").with(version).with(SESSION).with(DRIVER);
        packages.iter().fold(key, |key, folder| key.with(&folder.to_string_lossy())).finish()
    }

    fn elaborate(&self, work: &Work<'_>, store: &dyn Store, budget: &Budget) -> Result<Elaborated, Failure> {
        let what = if work.snippet { "snippet" } else { work.name };
        let request = work.asked.request(work, "exchange/out.olean");
        let run = Run { what, request, below: &work.below, given: &[], memory: budget.memory };
        let left = self.run(&run, store, budget)?;
        let (exported, asked) = (work.asked.certified && work.facts, work.asked.auxiliary());
        let handed = match left.objects("objects")? {
            Some((dump, root)) => {
                let read = handed::read(&dump, root, exported, &asked);
                Some(read.map_err(|malformed| handed::unreadable(what, &malformed))?)
            }
            None => None,
        };
        let answer =
            answer::read(&left.answer, what, handed.as_ref(), work.asked).ok_or_else(|| left.unreadable())?;
        Ok(Elaborated { answer, handed, compiled: left.file("out.olean") })
    }

    fn foundation(
        &self,
        toolchain: &[String],
        store: &dyn Store,
        budget: &Budget,
    ) -> Result<Vec<u8>, Failure> {
        let what = "the toolchain's library";
        let request = request("base", toolchain);
        let run = Run { what, request, below: &[], given: &[], memory: IMPORT_MEMORY };
        let left = self.run(&run, store, budget)?;
        let (dump, root) = left.objects("objects")?.ok_or_else(|| left.unreadable())?;
        export_modules(&dump, root).map_err(|error| Failure::environment(format!("{what}: {error}")))
    }

    fn replay(
        &self,
        ground: &Ground,
        export: &[u8],
        store: &dyn Store,
        budget: &Budget,
    ) -> Result<Replayed, Failure> {
        let started = Instant::now();
        let new = match Asked::read(export) {
            Ok(asked) => asked,
            Err((declaration, why)) => return Ok(Replayed::Refused { declaration, why }),
        };
        let declarations = new.declarations;
        let mut asked = vec![];
        for digest in &ground.exports {
            let text = store.export(digest)?;
            let below = Asked::read(&text).map_err(|(name, why)| unsound(digest, &name, &why))?;
            asked.push((Some(digest), below));
        }
        asked.push((None, new));
        let given: Vec<String> = asked.iter().map(|(_, asked)| asked.recipe.lines()).collect();
        let request = request("accept", &ground.toolchain);
        let memory = IMPORT_MEMORY + budget.memory;
        let run = Run { what: "Lean's kernel", request, below: &[], given: &given, memory };
        let left = self.run(&run, store, budget)?;
        let frames = frames(&left.answer).ok_or_else(|| left.unreadable())?;
        for (number, (below, asked)) in asked.into_iter().enumerate() {
            let frame = frames.get(number).ok_or_else(|| left.unreadable())?;
            let made = left.objects(&format!("made.{number}"))?;
            let compared = made.map(|(dump, root)| asked.back.compare(&dump, root));
            match (told(frame, compared)?, below) {
                (None, _) => {}
                (
                    Some(Replayed::Refused { declaration, why } | Replayed::Undecided { declaration, why }),
                    Some(digest),
                ) => {
                    return Err(unsound(digest, &declaration, &why));
                }
                (Some(said), _) => return Ok(said),
            }
        }
        let milliseconds = started.elapsed().as_millis().try_into().unwrap_or(u32::MAX);
        Ok(Replayed::Accepted { declarations, milliseconds })
    }
}
