//! Which Lean checks: the embedded one of the project's cache, or a native one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas_api::Toolchain as Which;
use atlas_lean::{Embedded, Toolchain};

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
        Which::Embedded => {
            let image = image(cache);
            let opened = match memory {
                Memory::Kept => Embedded::open(&image),
                Memory::Fresh => Embedded::fresh(&image),
            };
            let embedded = opened.map_err(|e| {
                Failure::fault(format!("cannot open the embedded Lean: {e}"))
                    .hint("run `scripts/setup lean`: it fetches and prepares Lean once (about 2 minutes)")
            })?;
            Ok(Arc::new(embedded))
        }
        Which::Native | Which::Path(_) => {
            Err(Failure::input("this atlas cannot use a native Lean yet").hint("set `toolchain: embedded`"))
        }
    }
}

/// Where the embedded Lean's image lies.
pub fn image(cache: Option<&Path>) -> PathBuf {
    std::env::var_os("ATLAS_LEAN_IMAGE").map_or_else(|| cache_folder(cache).join("lean/image"), PathBuf::from)
}
