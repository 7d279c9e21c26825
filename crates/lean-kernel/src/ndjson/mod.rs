//! lean4export's NDJSON, format 3.1: the common language of exporters and checkers.
//!
//! One JSON object a line: first `meta`, then names, levels and expressions with consecutive ids, and declarations made of them.
//! An input is hostile until it has been read: every bound is checked before memory is taken, nothing may refer forward, and no
//! key may be missing, unknown or there twice.

mod bounds;
mod json;
mod kinds;
mod nodes;
mod reader;
mod writer;

pub use bounds::{Bounds, ReadError, ReadErrorKind};
pub use reader::Reader;
pub use writer::{write, write_with_kinds};
