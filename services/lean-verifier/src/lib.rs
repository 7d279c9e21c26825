//! Answers questions to Lean: agents' checks and look-ups by request and reply with back-pressure, the merge queue's
//! certifications from a work queue. It serves only after a smoke test of its own environment.

mod pool;
mod service;
mod smoke;
mod status;

pub use service::{Error, Options, STATUS, run};
pub use smoke::smoke_test;
pub use status::Document;
