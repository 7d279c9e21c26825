//! The planner of a run: decides what agents work on, and keeps its budget.
//!
//! Two actors live here. The [`Planner`] holds the blueprint and says what each target needs next; the
//! [`Ledger`] grants and settles what model calls cost. Both are state machines without I/O; `host` runs
//! what they ask for on the bus.

mod agreement;
mod command;
pub mod desk;
mod extraction;
mod host;
mod landing;
mod ledger;
mod ledger_service;
mod machine;
mod metrics;
mod opening;
mod plan;
mod reports;
mod role;
mod service;
pub mod skeleton;
mod status;
mod tally;
mod task;
mod track;
mod triage;
mod work;

pub use command::{Command, Effect, letter_id, limits};
pub use landing::{MergeOrder, refuted_name};
pub use ledger::{Command as LedgerCommand, Ledger, Refusal};
pub use machine::Planner;
pub use role::Role;
pub use service::{Error, Options, STATUS, run};
pub use status::{AttemptStatus, Budget, Escalation, Finished, Status, TargetStatus};
