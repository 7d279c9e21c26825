//! The models from outside, in one binary: it links once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is a panic, in the tests' helpers too"
)]

mod common;
mod providers;
mod recordings;
mod telemetry;
