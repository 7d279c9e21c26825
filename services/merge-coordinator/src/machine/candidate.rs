//! Candidates and the checks that certify them.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_proto::{Expectation, MergeVerdict};
use serde::{Deserialize, Serialize};

use super::{Entry, Footprint, Landing, MergeQueue};

/// What `main` would be with some submissions on top of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// In order.
    pub submissions: Vec<String>,
    /// The arrival of each.
    pub arrivals: Vec<u64>,
    /// The commit that they stand on; empty: the empty library.
    pub base: String,
    /// How many submissions had landed then.
    pub base_index: u64,
    /// How far it is.
    pub standing: Standing,
}

/// How far a candidate is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Standing {
    /// It is being put together.
    Waiting,
    /// Its tree is written; its check may have an answer.
    Assembled(Arc<Assembly>),
    /// It cannot be put together.
    Blocked {
        /// `conflict` or `policy`.
        kind: String,
        /// Why.
        reason: String,
    },
}

/// Digests of sources, by module.
pub type Sources = BTreeMap<String, String>;

/// A candidate's tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assembly {
    /// Git object id.
    pub tree: String,
    /// Its modules.
    pub footprint: Footprint,
    /// Digest of the sources that its check rests on.
    pub content: String,
    /// Of its check.
    pub key: String,
    /// SHA-256 (hex) of the source of each module that is checked.
    pub sources: Sources,
}

/// A question to Lean, named by what it asks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// The candidate that first asked it.
    pub serial: u64,
    /// Which time it is asked, from 1.
    pub attempt: u32,
    /// When it was first asked, Unix ms.
    pub asked_ms: u64,
    /// When it was answered, Unix ms.
    pub answered_ms: u64,
    /// What must hold.
    pub expectations: Arc<Vec<Expectation>>,
    /// Whose `sorry` its proofs may inherit.
    pub stated: Arc<Vec<String>>,
    /// Of that candidate.
    pub footprint: Arc<Footprint>,
    /// What its receipts must be of.
    pub sources: Arc<Sources>,
    /// The answer.
    pub verdict: Option<Arc<MergeVerdict>>,
    /// Counts events: which checks were used last.
    pub used: u64,
}

impl Candidate {
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.standing, Standing::Waiting)
    }

    pub(crate) fn is_single(&self, submission: &str) -> bool {
        self.submissions.len() == 1 && self.submissions[0] == submission
    }
}

/// What is known of a candidate.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate<'a> {
    /// Not yet anything.
    Open,
    /// Certified.
    Accepted,
    /// Refused by Lean, or not checked in spite of a second try.
    Failed(&'a MergeVerdict),
    /// Not to be merged.
    Blocked { kind: &'a str, reason: &'a str },
}

impl MergeQueue {
    pub(crate) fn fate<'a>(&'a self, candidate: &'a Candidate) -> Fate<'a> {
        match &candidate.standing {
            Standing::Waiting => Fate::Open,
            Standing::Blocked { kind, reason } => Fate::Blocked { kind, reason },
            Standing::Assembled(_) => match self.verdict_of(candidate) {
                None => Fate::Open,
                Some(verdict) if verdict.kind.is_empty() => Fate::Accepted,
                Some(verdict) => Fate::Failed(verdict),
            },
        }
    }

    /// Its submissions that still wait.
    pub(crate) fn remaining<'a>(&self, candidate: &'a Candidate) -> Vec<&'a str> {
        self.remains_of(candidate).collect()
    }

    /// The same, one by one.
    pub(crate) fn remains_of<'a>(&self, candidate: &'a Candidate) -> impl Iterator<Item = &'a str> {
        let arrived = candidate.submissions.iter().zip(&candidate.arrivals);
        arrived.filter(|(_, arrival)| self.entries.contains_key(*arrival)).map(|(id, _)| id.as_str())
    }

    /// Whether what is known of a candidate holds of the head with its remaining submissions: all that landed since it was
    /// put together is part of it or commutes with it.
    pub(crate) fn is_valid(&self, candidate: &Candidate) -> bool {
        let mut foreign = self
            .recent
            .iter()
            .rev()
            .take_while(|landing| landing.index >= candidate.base_index)
            .filter(|landing| !candidate.submissions.contains(&landing.submission));
        match &candidate.standing {
            Standing::Assembled(assembly) => {
                let names = self.verdict_of(candidate).map_or(&[][..], |verdict| &verdict.names);
                foreign.all(|landing| {
                    landing.footprint.commutes(&assembly.footprint) && disjoint_sorted(&landing.names, names)
                })
            }
            _ => foreign.next().is_none(),
        }
    }

    /// Whether a waiting submission has nothing to do with `footprint`. Unknown: no.
    pub(crate) fn commutes(entry: &Entry, footprint: &Footprint) -> bool {
        entry.footprint.as_ref().is_some_and(|own| own.commutes(footprint))
    }

    /// Landings since `index` that do not commute with `footprint`.
    pub(crate) fn met_since<'a>(
        &'a self,
        index: u64,
        footprint: Option<&'a Footprint>,
    ) -> impl Iterator<Item = &'a Landing> {
        self.recent.iter().filter(move |landing| {
            landing.index >= index && footprint.is_none_or(|own| !own.commutes(&landing.footprint))
        })
    }
}

/// Whether two modules that do not import each other declare something of the same name: both build, the root does not.
fn disjoint_sorted(one: &[u64], other: &[u64]) -> bool {
    let (few, many) = if one.len() < other.len() { (one, other) } else { (other, one) };
    few.iter().all(|name| many.binary_search(name).is_err())
}
