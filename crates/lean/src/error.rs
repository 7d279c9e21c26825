//! Why a toolchain cannot be used.

use std::path::{Path, PathBuf};

/// A fault of the environment; never of what is checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image of the embedded Lean cannot be used.
    #[error(transparent)]
    Image(#[from] atlas_lean_wasm::Error),
    /// A file could not be read or written.
    #[error("cannot {attempt} `{path}`: {cause}")]
    Io {
        /// What was attempted, e.g. `read`.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// No confined process can be had for the embedded Lean.
    #[error(transparent)]
    Sandbox(atlas_sandbox::Error),
    /// The program in which the embedded Lean runs was not built with this one.
    #[error(
        "{0}; run `cargo build --workspace`, or set `ATLAS_LEAN_WORKER` to the one that belongs to this program"
    )]
    OtherBuild(atlas_sandbox::Error),
    /// Canaries found ways out of the sandbox.
    #[error("the sandbox does not hold: a process in it could {}; see docs/sandbox.md", list(.0))]
    Escaped(Vec<atlas_sandbox::canary::Finding>),
    /// The program in which the embedded Lean runs cannot be found.
    #[error(
        "there is no `lean-worker`, in which Lean runs: {0}; run `cargo build --workspace`, or set `ATLAS_LEAN_WORKER`"
    )]
    NoWorker(String),
    /// A worker could not open what it needs.
    #[error("{0}")]
    Worker(String),
    /// Lean's kernel cannot be asked, or does not accept what the question rests on.
    #[error("Lean's kernel cannot be asked: {0}")]
    Kernel(String),
    /// No native Lean can be run.
    #[error(
        "no native Lean: {0}; install Lean with elan (https://lean-lang.org) or set `toolchain: embedded`"
    )]
    Native(String),
}

impl From<atlas_sandbox::Error> for Error {
    fn from(error: atlas_sandbox::Error) -> Self {
        match error {
            atlas_sandbox::Error::Build { .. } => Self::OtherBuild(error),
            other => Self::Sandbox(other),
        }
    }
}

fn list(found: &[atlas_sandbox::canary::Finding]) -> String {
    found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    pub(crate) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Io { attempt, path: path.into(), cause }
    }
}
