//! Processes that can reach nothing: where code runs that nobody has read.
//!
//! A trusted parent starts a program ([`Process::start`]); the program's first act is [`enter`], which confines it before it
//! reads the first request. What confines it is a list of layers ([`Layer`]), each of which can be taken out by itself in tests, so that
//! [`canary`] can show that it is the one that holds.
//!
//! ```text
//! parent ──starts──▶ launcher ──starts──▶ worker
//!   holds a pipe:      closes what it inherited,     the first process of its namespaces: private root, limits,
//!   when it closes,    makes the namespaces,         no privileges, Landlock, seccomp; only then the first request
//!   the launcher ends  ends when the parent does
//! ```
//!
//! Where the system allows it, the launcher puts the worker into a control group of its own.
//!
//! The launcher is needed because a process cannot move itself into a new PID namespace; it is also what the parent kills. It never
//! reads anything from the worker, which dies with it (parent-death signal), and with the worker all that it has started.
#![allow(unsafe_code)] // taking descriptors that arrived, and canaries that fork and call the kernel by number; an argument stands at each

pub mod canary;
pub mod frame;

mod cgroup;
mod confine;
mod error;
mod guest;
mod layer;
mod process;
mod root;
mod syscalls;

pub use confine::{Entered, enter};
pub use error::Error;
pub use guest::start;
pub use layer::{Guest, Layer, Plan, Report, Sandbox};
pub use process::Process;
