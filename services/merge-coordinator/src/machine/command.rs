//! What the machine is told, and what it wants done.

use std::collections::BTreeSet;
use std::sync::Arc;

use atlas_proto::{
    Axioms, CheckReply, ClearIncident, Expectation, MergeOutcome, MergePolicy, MergeRequest, MergeVerdict,
    Receipt, merge_surveyed,
};

use super::Assembly;

/// What the machine is told.
#[derive(Debug, Clone)]
pub enum Command {
    /// The repository is there and empty.
    Opened {
        /// The library's root module.
        package: String,
        /// Bounds of both windows.
        window: (u32, u32),
    },
    /// An approved submission.
    Request(MergeRequest),
    /// A candidate is put together.
    Assembled {
        /// Which.
        candidate: u64,
        /// Its tree and modules.
        assembly: Assembly,
    },
    /// A candidate cannot be put together.
    Blocked {
        /// Which.
        candidate: u64,
        /// `conflict` or `policy`.
        kind: String,
        /// Why, for the submission's author.
        reason: String,
    },
    /// Lean's answer.
    Checked(CheckReply),
    /// No answer came.
    Silent {
        /// The check.
        key: String,
        /// Which time it was asked.
        attempt: u32,
        /// How long was waited.
        seconds: u64,
    },
    /// `main` holds the submissions of a candidate.
    Landed {
        /// Which.
        candidate: u64,
        /// The commit of each submission, in order.
        commits: Vec<(String, String)>,
    },
    /// The candidate is not what `main` would become.
    Stale {
        /// Which.
        candidate: u64,
        /// What differs.
        cause: String,
    },
    /// The planner's inbox has an outcome.
    Reported {
        /// Of which submission.
        submission: String,
    },
    /// A person has read an incident.
    Clear(ClearIncident),
    /// A submission that waits for an older one has waited long enough.
    Waited,
    /// What certified verdicts must be made with from now on.
    Policy(MergePolicy),
    /// What certifying modules of `main` again takes.
    Surveyed {
        /// The commit that was looked at.
        head: String,
        /// Its tree.
        tree: String,
        /// Those that come first, each after those that it imports.
        modules: Vec<merge_surveyed::Module>,
    },
    /// The new receipt of a module is stored.
    Kept {
        /// The module.
        module: String,
        /// SHA-256 of the receipt's file.
        sha256: String,
    },
}

/// What the machine wants done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Open or create the repository.
    Open,
    /// Put a candidate together.
    Assemble {
        /// Which.
        candidate: u64,
        /// The commit to build on; empty: the empty library.
        base: String,
        /// In order.
        submissions: Vec<Arc<MergeRequest>>,
    },
    /// Have a candidate certified; the answer comes as a letter.
    Certify {
        /// What the check is asked and answered under.
        id: String,
        /// The check.
        key: String,
        /// Which time it is asked, from 1.
        attempt: u32,
        /// The candidate's tree.
        tree: String,
        /// Modules to elaborate.
        check: Vec<String>,
        /// What must hold.
        expectations: Arc<Vec<Expectation>>,
        /// Stated theorems whose `sorry` proofs may inherit.
        stated: Arc<Vec<String>>,
        /// What declarations may rest on; `None`: Lean's three axioms.
        axioms: Option<Axioms>,
        /// To wait before it is asked: of a module that is certified again and could not be judged before.
        pause_ms: u64,
        /// The submissions' traces, newest submission first: the check is chiefly about that one.
        traceparents: Vec<String>,
    },
    /// Move `main`.
    Land {
        /// Which.
        candidate: u64,
        /// Where `main` is.
        head: String,
        /// What to commit, in order.
        submissions: Vec<Arc<MergeRequest>>,
        /// What was certified.
        assembly: Arc<Assembly>,
        /// Its certified verdict, with the receipts to be stored and named.
        verdict: Arc<MergeVerdict>,
        /// The commits' time, Unix ms: the same landing has the same commits whenever it runs.
        time_ms: u64,
    },
    /// Tell the planner.
    Report {
        /// What became of a submission.
        outcome: Arc<MergeOutcome>,
    },
    /// Wait until then; a result is [`Command::Waited`].
    Wait {
        /// Unix ms.
        until_ms: u64,
    },
    /// Say when the policy is another; a result is [`Command::Policy`].
    WatchPolicy {
        /// The one that the queue goes by; `None`: it was told none.
        known: Option<MergePolicy>,
    },
    /// Look how modules of `main` that are to be certified again import each other.
    Survey {
        /// Where `main` is.
        head: String,
        /// Which.
        modules: BTreeSet<String>,
    },
    /// Store the new receipt of a module.
    Keep {
        /// The module.
        module: String,
        /// Its receipt, alone.
        receipt: Receipt,
    },
}
