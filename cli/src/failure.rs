//! How a command fails: what was attempted, on what, the cause, the way out; and the exit code that says which kind.

use std::fmt;

/// The exit codes of `atlas`; `docs/cli.md` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for is done; of a run: every target is certified or refuted.
    Done = 0,
    /// Something broke that is not the input's fault.
    Fault = 1,
    /// The input, an argument or a file is wrong.
    Input = 2,
    /// The run is finished, but some targets are open.
    Open = 3,
    /// The run stopped at its budget or deadline.
    Limit = 4,
    /// Two kernels contradict each other, and no person has cleared that: nothing lands.
    Incident = 5,
    /// Stopped by Ctrl-C (128 + SIGINT, as shells count).
    Interrupted = 130,
}

/// A command's end that is not success.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// One or more lines: what was attempted, on what, the cause.
    pub message: String,
    /// What to do next.
    pub hints: Vec<String>,
    /// The message begins with `error:` already, as rendered mistakes of a file do.
    pub titled: bool,
}

/// The result of a command or a part of it.
pub type Result<T, E = Failure> = std::result::Result<T, E>;

impl Failure {
    /// Wrong input: exit code 2.
    pub fn input(message: impl Into<String>) -> Self {
        Self { exit: Exit::Input, message: message.into(), hints: Vec::new(), titled: false }
    }

    /// A fault: exit code 1.
    pub fn fault(message: impl Into<String>) -> Self {
        Self { exit: Exit::Fault, message: message.into(), hints: Vec::new(), titled: false }
    }

    /// Adds a way out.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for hint in &self.hints {
            write!(f, "\n  help: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
