//! NOTE TO THE LEAN ENGINEER: automation.rs (done, tested) and services/lean-verifier (in work) are written by the
//! integrator since 05:25; keep `pub mod automation;`. The verifier assumes `trait Toolchain: Send + Sync { fn name(&self) -> String;
//! fn check(&self, &CheckRequest) -> CheckReply; fn lookup(&self, &LookupRequest) -> LookupReply }`, blocking, sources inline.

pub mod automation;
