//! What a user sees when something is wrong: for each mistake and each fault the exit code, the place and the way out, asked
//! of the built `atlas` beside a real nats-server, a real Lean and a real HTTP server. Each has its line in
//! `docs/troubleshooting.md`, and that line's message is the one that is shown.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod input;
mod lean;
mod models;
mod places;
mod provider;
mod troubleshooting;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard};

/// An AtlasRun that is well, around a book of two targets.
const ATLASRUN: &str = include_str!("../pair.yaml");
const BOOK: &str = include_str!("../pair.md");

/// A role that gives up: enough for a run that is not to come further.
const RECORDING: &str = "\
- role: formalizer
  target: even
  turns:
    - call: {give_up: {reason: not needed here}}
";

/// A folder with an AtlasRun, its book and its recording.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Self {
        let project = Self(tempfile::tempdir().unwrap());
        project.write("atlasrun.yaml", ATLASRUN);
        project.write("book.md", BOOK);
        project.write("recording.yaml", RECORDING);
        project
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file, or writes it anew.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    /// Changes the AtlasRun.
    fn edit(&self, from: &str, to: &str) {
        let path = self.folder().join("atlasrun.yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "the AtlasRun has no `{from}`");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn atlas(&self, arguments: &[&str]) -> Command {
        let mut command = common::atlas(arguments);
        command.current_dir(self.folder()).env_remove("ANTHROPIC_API_KEY");
        command
    }

    /// What `atlas run --ui plain` ends with.
    fn run(&self) -> Told {
        Told::by(self.atlas(&["run", "--ui", "plain"]))
    }
}

/// What a command left its user with.
struct Told {
    code: Option<i32>,
    text: String,
}

impl Told {
    fn by(mut command: Command) -> Self {
        let output = command.output().unwrap();
        Self::of(&output)
    }

    fn of(output: &Output) -> Self {
        let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
        Self { code: output.status.code(), text }
    }

    /// Asserts the exit code.
    fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }

    /// Asserts that the message names the place of the fault.
    fn at(self, place: &str) -> Self {
        assert!(self.text.contains(place), "the message does not name `{place}`:\n{}", self.text);
        self
    }

    /// Asserts that the message says what to do.
    fn way_out(self, way: &str) -> Self {
        assert!(self.text.contains(way), "the message does not say `{way}`:\n{}", self.text);
        self
    }

    /// Asserts that the guide has a line for `what`, and that the message there is the one that is shown.
    fn documented(self, what: &str) -> Self {
        troubleshooting::assert_shown(what, &self.text);
        self
    }
}

/// Lean and a whole run want the machine for themselves: one at a time.
fn machine() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
