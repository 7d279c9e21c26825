//! Workers: sandboxed processes in which Lean runs, and the parent that speaks to them.
//!
//! | module | what |
//! |---|---|
//! | `wire` | what the two say to each other |
//! | `serve` | a worker's side |
//! | `pool` | the parent's side: a few workers of one task, their deadlines, their deaths |
//! | `workers` | the engine of both Leans, made of pools |
//!
//! A worker is believed nothing: what it sends is bounded and decoded strictly, and it is given only what the request at hand names. It
//! never opens the cache.

/// What parent and worker must both have been built from: the version, and the sources of all that they have in common.
pub(crate) const BUILD: &str =
    concat!("atlas ", env!("CARGO_PKG_VERSION"), " (sources ", env!("ATLAS_LEAN_SOURCES"), ")");

mod pool;
mod serve;
mod wire;
mod workers;

pub use serve::worker;
pub(crate) use wire::Task;
pub(crate) use workers::{Installed, Workers};
