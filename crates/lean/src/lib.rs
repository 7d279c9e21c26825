//! Lean behind one trait: the embedded one, hosted in this process, and a native one.
//!
//! A check goes: [`Toolchain::check`] → the modules' graph → each module once per content (`pipeline`, `cache`) in a fresh
//! copy of a warm guest (`layers`) → facts worked out from the guest's terms (`terms`, `facts`) → for a landing, the gate
//! (`gate`).

pub mod automation;

mod answer;
mod cache;
mod embedded;
mod error;
mod export;
mod exported;
mod facts;
mod flight;
mod frame;
mod gate;
mod graph;
mod index;
mod key;
mod layers;
mod name;
mod native;
mod objects;
mod pipeline;
mod process;
mod second;
mod source;
mod terms;
mod toolchain;

pub use embedded::{Embedded, EmbeddedOptions, WARM_BYTES};
pub use error::Error;
pub use exported::exported;
pub use gate::{ALLOWED_AXIOMS, SORRY};
pub use native::Native;
pub use toolchain::Toolchain;
