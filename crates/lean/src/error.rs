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
    /// Lean's kernel cannot be asked, or does not accept what the question rests on.
    #[error("Lean's kernel cannot be asked: {0}")]
    Kernel(String),
    /// No native Lean can be run.
    #[error(
        "no native Lean: {0}; install Lean with elan (https://lean-lang.org) or set `toolchain: embedded`"
    )]
    Native(String),
}

impl Error {
    pub(crate) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Io { attempt, path: path.into(), cause }
    }
}
