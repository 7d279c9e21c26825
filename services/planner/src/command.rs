//! What the planner is told, and what it wants done.

use std::sync::Arc;

use atlas_domain::{ActorKind, Target};
use atlas_proto::{HumanReply, Limits, MergeOutcome, Policy, Report, RunSpec, Task};

use crate::landing::MergeOrder;

/// What the planner is told.
#[derive(Debug, Clone)]
pub enum Command {
    /// The run, or the same run again, perhaps with other limits.
    Open(Box<RunSpec>),
    /// An attempt ended.
    Report(Box<Report>),
    /// The merge queue answered.
    Merged(Box<MergeOutcome>),
    /// A person answered.
    Reply(HumanReply),
    /// Time to decide what starts.
    Plan,
    /// The ledger knows the limits of the policy of this number.
    LedgerOpened(u32),
    /// targets.yaml is written.
    TargetsWritten,
    /// Nothing more may be started.
    Stop {
        /// budget or deadline.
        kind: &'static str,
        /// In words.
        reason: String,
    },
}

/// What the planner wants done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Tell the ledger the run's limits.
    OpenLedger {
        /// Of the policy.
        number: u32,
        /// The limits.
        policy: Arc<Policy>,
    },
    /// Wait until the ledger refuses a reservation.
    WatchBudget,
    /// Wait for the deadline.
    Deadline {
        /// Unix milliseconds.
        at_ms: u64,
    },
    /// Come back at once with [`Command::Plan`].
    Plan,
    /// Send the task to its agent.
    Start(Arc<Task>),
    /// Grant no further model call to an attempt whose work has become void: another has won, or the statement
    /// has changed under it. It ends at its next turn.
    Revoke {
        /// The attempt.
        attempt: String,
    },
    /// Write the extracted targets to `targets.yaml`.
    WriteTargets(Arc<Vec<Target>>),
    /// Submit the library's first files.
    Skeleton {
        /// The submission's id.
        id: String,
        /// What it is made of.
        spec: Arc<RunSpec>,
        /// The targets, in the book's order.
        targets: Arc<Vec<Target>>,
    },
    /// Submit empty regions for the parts of a decomposed target.
    MakeRoom {
        /// The submission's id.
        id: String,
        /// The target that was decomposed.
        parent: String,
        /// Its module.
        module: String,
        /// Label and title of each part, in an order in which each comes after what it depends on.
        parts: Vec<(String, String)>,
        /// Modules that the parts depend on.
        imports: Vec<String>,
        /// The library's newest commit.
        base_commit: String,
    },
    /// Send an approved submission to the merge queue.
    Merge(MergeOrder),
}

/// The id of the letter that an effect sends. Its key names the effect once in the run's life, so the receiver knows a letter
/// that comes again.
pub fn letter_id(key: &str) -> String {
    format!("{}/{key}", ActorKind::Plan)
}

/// What the ledger is told of a policy.
pub fn limits(policy: &Policy) -> Limits {
    Limits {
        budget_microdollars: policy.budget_microdollars,
        budget_tokens: policy.budget_tokens,
        deadline_unix_ms: policy.deadline_unix_ms,
    }
}
