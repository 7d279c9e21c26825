//! Declarations out of Lean's objects, wherever those lie: what the gate takes from a Lean in which untrusted code has run.
//!
//! [`Objects`] are read off a guest's memory ([`Heap`]) or off the text that a native Lean wrote ([`Dump`]), each access checked. A [`Walk`]
//! goes from them into the second kernel's tables, and [`export`] gives those as lean4export's text. Nothing here knows how Lean is run, so that a
//! fuzzer builds this alone (`fuzz`).

mod export;
mod heap;
mod objects;
mod walk;

pub use export::{ExportError, export, export_memory, export_modules, read};
pub use heap::{Heap, Malformed, tag};
pub use objects::{Dump, Objects};
pub use walk::{Belonging, Twice, Walk, WalkError};
