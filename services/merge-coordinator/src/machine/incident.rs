//! Contradictions between kernels: nothing lands until a person has looked.
//!
//! One of two kernels has a mistake, and until somebody knows which, and what it lets through, no verdict is worth a landing. Checks and
//! refusals go on; what is good waits.

use atlas_proto::{ClearIncident, MergeVerdict};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{MergeQueue, Standing};

/// Bytes of an incident's id.
const ID: usize = 6;

/// A contradiction that a verifier reported.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Incident {
    /// Names it: hex, of what it says.
    pub id: String,
    /// Module, declaration, and what the kernels say.
    pub what: String,
    /// When it was first reported, Unix ms.
    pub since_ms: u64,
    /// The submissions that were being checked.
    pub submissions: Vec<String>,
    /// What the person found who cleared it; `None`: nobody has.
    pub cleared: Option<String>,
}

fn id_of(what: &str) -> String {
    hex::encode(&Sha256::digest(what)[..ID])
}

impl MergeQueue {
    /// All contradictions so far.
    pub fn incidents(&self) -> impl Iterator<Item = &Incident> {
        self.incidents.values()
    }

    /// Whether landings are stopped.
    pub(super) fn is_stopped(&self) -> bool {
        self.incidents().any(|incident| incident.cleared.is_none())
    }

    /// The same again, of the same declarations, is known: when it is cleared, it stops nothing any more.
    pub(super) fn fold_incidents(&mut self, verdict: &MergeVerdict, time_ms: u64) {
        for what in &verdict.incidents {
            let checked = self.candidates.values().filter(|candidate| {
                matches!(&candidate.standing, Standing::Assembled(assembly) if assembly.key == verdict.key)
            });
            let mut submissions: Vec<String> =
                checked.flat_map(|candidate| candidate.submissions.iter().cloned()).collect();
            submissions.sort();
            submissions.dedup();
            let id = id_of(what);
            self.incidents.entry(id.clone()).or_insert_with(|| Incident {
                id,
                what: what.clone(),
                since_ms: time_ms,
                submissions,
                cleared: None,
            });
        }
    }

    pub(super) fn fold_cleared(&mut self, cleared: &ClearIncident) {
        if let Some(incident) = self.incidents.get_mut(&cleared.incident) {
            incident.cleared = Some(cleared.note.clone());
        }
    }
}
