//! The product as a user has it: the built `atlas`, a real nats-server, real git and real Lean; only the model's turns are
//! recorded.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod dominoes;
mod kills;
mod numbers;
mod outcome;
mod policy;
mod start;
mod switches;
