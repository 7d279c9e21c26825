//! The functions that the guest imports: what `lean.js` gave it in a browser, in Rust.

mod exceptions;
mod files;
mod process;
mod threads;

use wasmtime::{Engine, Linker, Result};

use crate::guest::Thread;

/// All imports but the memory, which each guest has of its own.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Thread>> {
    let mut linker = Linker::new(engine);
    exceptions::define(&mut linker)?;
    threads::define(&mut linker)?;
    process::define(&mut linker)?;
    files::define(&mut linker)?;
    Ok(linker)
}
