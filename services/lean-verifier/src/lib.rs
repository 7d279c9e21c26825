//! Answers questions to Lean: agents' checks and look-ups by request and reply with back-pressure, the merge queue's
//! certifications from a work queue, and anybody's over HTTP ([`http`]). It serves only after a smoke test of its own environment.

pub mod http;
mod lean;
mod pool;
mod service;
mod smoke;
mod status;

pub use service::{Error, Options, STATUS, run};
pub use smoke::smoke_test;
pub use status::Document;
