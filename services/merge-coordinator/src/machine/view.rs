//! What people see of the queue.

use std::collections::VecDeque;

use atlas_domain::RunId;
use atlas_proto::{MergeOutcome, MergePolicy, merge_outcome};
use serde::{Deserialize, Serialize};

use super::{Entry, Frozen, Incident, Lapsed, MergeQueue, ReceiptCounts, Totals};

/// Modules that do not certify any more that the status shows.
const LAPSED: usize = 20;
/// Outcomes that the status shows.
const RECENT: usize = 20;

/// A submission's end, for the status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecentLanding {
    /// The submission.
    pub submission: String,
    /// Its title.
    pub title: String,
    /// `landed`, or the kind of refusal.
    pub outcome: String,
    /// The commit, or the reason of the refusal.
    pub detail: String,
    /// Unix ms.
    pub time_ms: u64,
    /// From its arrival to its end, ms.
    pub waited_ms: u64,
}

/// The queue at one moment: the document `<run>.merge`. What a document of another version lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// Submissions that wait.
    pub queue: usize,
    /// Submissions certified alone at once, at most.
    pub window: u32,
    /// Unproven submissions that a prefix may hold.
    pub depth: u32,
    /// Checks that wait for an answer.
    pub verifying: usize,
    /// Submissions received, ever.
    pub received: u64,
    /// Submissions landed, ever.
    pub landed: u64,
    /// Of those, landed with receipts of what was certified.
    pub receipted: u64,
    /// Submissions refused, by kind.
    pub refused: std::collections::BTreeMap<String, u64>,
    /// Checks asked for, ever.
    pub checks: u64,
    /// Checks asked again because the environment failed.
    pub retried: u64,
    /// Mean time that Lean took for an accepted check, ms.
    pub check_ms: u64,
    /// Contradictions between kernels; while one is not cleared, nothing lands.
    pub incidents: Vec<Incident>,
    /// How the receipts of `main` stand.
    pub receipts: ReceiptCounts,
    /// Modules of `main` that do not certify any more: nothing lands on them. The first of them; `receipts` counts all.
    pub lapsed: Vec<Lapsed>,
    /// What certified verdicts must have been made with; `null` before the queue is told.
    pub policy: Option<MergePolicy>,
    /// Frozen statements.
    pub frozen: usize,
    /// The commit of `main`; empty: none yet.
    pub head: String,
    /// The latest ends, newest first.
    pub recent: Vec<RecentLanding>,
}

impl View {
    /// The contradictions that no person has cleared: nothing lands.
    pub fn open_incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.iter().filter(|incident| incident.cleared.is_none())
    }
}

/// What the view needs beyond the queue's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Memory {
    recent: VecDeque<RecentLanding>,
    accepted: u64,
    lean_ms: u64,
}

impl Memory {
    pub fn checked(&mut self, lean_ms: u32) {
        self.accepted += 1;
        self.lean_ms += u64::from(lean_ms);
    }

    pub fn landed(&mut self, outcome: &MergeOutcome, entry: &Entry, time_ms: u64) {
        let commit = match &outcome.result {
            Some(merge_outcome::Result::Landed(landed)) => landed.commit.clone(),
            _ => String::new(),
        };
        self.push(entry, "landed".to_owned(), commit, time_ms);
    }

    pub fn refused(&mut self, outcome: &MergeOutcome, entry: &Entry, time_ms: u64) {
        if let Some(merge_outcome::Result::Refused(refused)) = &outcome.result {
            self.push(entry, refused.kind.clone(), refused.reason.chars().take(300).collect(), time_ms);
        }
    }

    fn push(&mut self, entry: &Entry, outcome: String, detail: String, time_ms: u64) {
        self.recent.push_front(RecentLanding {
            submission: entry.id().to_owned(),
            title: entry.title().to_owned(),
            outcome,
            detail,
            time_ms,
            waited_ms: time_ms.saturating_sub(entry.received_ms),
        });
        self.recent.truncate(RECENT);
    }
}

impl MergeQueue {
    /// The run that it works for.
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The commit of `main`; empty: none yet.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The library's root module, once the repository is open.
    pub fn package(&self) -> Option<&str> {
        self.package.as_deref()
    }

    /// The receipt of each landed module that has one: SHA-256 (hex) of its file, which is `receipt/<sha256>` in the object store.
    pub fn receipts(&self) -> &std::collections::BTreeMap<String, String> {
        &self.receipts
    }

    /// How the receipts of `main` stand.
    pub fn receipt_counts(&self) -> ReceiptCounts {
        self.renewals.counts()
    }

    /// Modules of `main` that do not certify any more under the present policy.
    pub fn lapsed(&self) -> impl Iterator<Item = &Lapsed> {
        self.renewals.lapsed()
    }

    /// Totals since the run began.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Submissions that wait.
    pub fn waiting(&self) -> usize {
        self.entries.len()
    }

    /// The frozen statement of a declaration.
    pub fn frozen(&self, declaration: &str) -> Option<&Frozen> {
        self.registry.get(declaration)
    }

    /// The queue as people see it.
    pub fn view(&self) -> View {
        View {
            queue: self.entries.len(),
            window: self.window.singles,
            depth: self.window.prefixes,
            verifying: self.checks.values().filter(|check| check.verdict.is_none()).count(),
            received: self.totals.received,
            landed: self.totals.landed,
            receipted: self.totals.receipted,
            refused: self.totals.refused.clone(),
            checks: self.totals.checks,
            retried: self.totals.retried,
            check_ms: self.view.lean_ms.checked_div(self.view.accepted).unwrap_or(0),
            incidents: self.incidents().cloned().collect(),
            receipts: self.receipt_counts(),
            lapsed: self.lapsed().take(LAPSED).cloned().collect(),
            policy: self.renewals.policy().map(|told| told.message.clone()),
            frozen: self.registry.len(),
            head: self.head.clone(),
            recent: self.view.recent.iter().cloned().collect(),
        }
    }
}
