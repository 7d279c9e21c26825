//! What lands is true, shown by attack: a gallery of exploits against the gate, each with its honest twin, and what a generator makes of
//! right submissions. Real Lean, the public interface, nothing else. Needs the image: `scripts/setup lean`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod cache;
#[path = "../common/mod.rs"]
mod common;
mod exhibit;
mod gallery;
mod layer;
mod mutants;
