//! The merge coordinator: owns the library's bare repository, certifies what is submitted by speculating over prefixes
//! and singles in parallel, and lands it, one commit a submission.
//!
//! [`MergeQueue`] decides, without I/O; [`run`] hosts it and does its effects: git, the object store, the verifier's
//! work queue, the planner's inbox. [`export()`] writes a plain working copy of `main`, [`rebuild()`] the repository from the journal, [`export_receipts`] what was certified of it; [`bench`] compares merge queues.

pub mod bench;
mod export;
mod host;
mod machine;
mod rebuild;
mod receipts;
mod service;
mod tree;

pub use export::{ExportError, Exported, export};
pub use host::{certification_id, outcome_id};
pub use machine::{
    Assembly, Candidate, Check, Command, Effect, Footprint, Frozen, Incident, Lapsed, MergeQueue, Policy,
    ReceiptCounts, RecentLanding, Registry, SKELETON, Sources, Standing, Totals, View,
};
pub use rebuild::{RebuildError, Rebuilt, rebuild};
pub use receipts::{ReceiptsError, export_receipts};
pub use service::{Error, Options, STATUS, run};
