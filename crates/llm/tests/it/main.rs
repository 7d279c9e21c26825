//! The models from outside, in one binary: it links once.

mod common;
mod providers;
mod recordings;
mod telemetry;
