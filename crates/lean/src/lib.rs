//! Lean behind one trait: the embedded one, hosted in sandboxed workers, and a native one.
//!
//! A check goes: [`Toolchain::check`] → the modules' graph → each module once per content (`pipeline`, `cache`) in a fresh
//! copy of a warm guest (`layers`), whose new declarations are read off its memory (`handed`, `crates/lean-export`) → for an agent, their facts;
//! for a landing, their text, which the judge (`crates/judge`) and the kernels are given (`pipeline/certify`).

pub mod automation;

mod answer;
mod cache;
mod embedded;
mod error;
mod flight;
mod frame;
mod graph;
mod guests;
mod handed;
mod host;
mod index;
mod key;
mod layers;
mod native;
mod pipeline;
mod process;
mod rebuild;
mod replay;
mod source;
mod toolchain;
mod worker;

pub use atlas_judge::{AXIOMS as ALLOWED_AXIOMS, SORRY};
pub use atlas_sandbox::Sandbox;
pub use embedded::{Embedded, EmbeddedOptions, WARM_BYTES, worker_bytes};
pub use error::Error;
pub use native::{Native, NativeOptions};
pub use replay::Replayed;
pub use toolchain::Toolchain;
pub use worker::worker;
