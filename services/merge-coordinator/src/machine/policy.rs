//! The policy that certified verdicts must be of, as the journal has it: what the queue lands on, and which receipts are stale.

use std::collections::BTreeSet;

use atlas_judge::{AXIOMS, KERNELS, Receipt};
use atlas_proto::{Axioms, MergePolicy};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What certified verdicts must have been made with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Policy {
    /// The judge's name and version; `None`: any.
    pub judge: Option<String>,
    /// Lean's name and version, as verdicts have it; `None`: any.
    pub toolchain: Option<String>,
    /// What declarations may rest on, among Lean's three axioms.
    pub axioms: BTreeSet<String>,
}

impl Default for Policy {
    /// The judge that this program knows, Lean's three axioms, any toolchain.
    fn default() -> Self {
        Self {
            judge: Some(atlas_judge::JUDGE.to_owned()),
            toolchain: None,
            axioms: AXIOMS.iter().map(|&axiom| axiom.to_owned()).collect(),
        }
    }
}

impl Policy {
    /// As the journal has it; its keys are the host's to add.
    pub fn message(&self) -> MergePolicy {
        MergePolicy {
            judge: self.judge.clone().unwrap_or_default(),
            toolchain: self.toolchain.clone().unwrap_or_default(),
            axioms: self.axioms.iter().cloned().collect(),
            kernels: KERNELS as u32,
            keys: Vec::new(),
        }
    }
}

/// A policy that the queue was told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "(MergePolicy, BTreeSet<String>)", into = "(MergePolicy, BTreeSet<String>)")]
pub(super) struct Told {
    pub message: MergePolicy,
    /// As the message says.
    verdicts: atlas_judge::Policy,
    /// Ids of keys that were in use and are not known any more.
    dropped: BTreeSet<String>,
}

impl From<(MergePolicy, BTreeSet<String>)> for Told {
    fn from((message, dropped): (MergePolicy, BTreeSet<String>)) -> Self {
        let named = |name: &String| Some(name.clone()).filter(|name| !name.is_empty());
        let verdicts = atlas_judge::Policy {
            judge: named(&message.judge),
            toolchain: named(&message.toolchain),
            axioms: message.axioms.iter().cloned().collect(),
            kernels: message.kernels as usize,
        };
        Self { verdicts, dropped, message }
    }
}

impl From<Told> for (MergePolicy, BTreeSet<String>) {
    fn from(told: Told) -> Self {
        (told.message, told.dropped)
    }
}

impl Told {
    /// `used`: ids of keys that have signed receipts or could.
    pub fn new(message: MergePolicy, used: impl Iterator<Item = String>) -> Self {
        let known: BTreeSet<&String> = message.keys.iter().map(|key| &key.id).collect();
        let dropped = used.filter(|id| !known.is_empty() && !known.contains(id)).collect();
        Self::from((message, dropped))
    }

    /// Ids of all keys that it has heard of.
    pub fn keys(&self) -> impl Iterator<Item = String> {
        self.message.keys.iter().map(|key| key.id.clone()).chain(self.dropped.iter().cloned())
    }

    /// What verdicts must have been made with.
    pub fn verdicts(&self) -> &atlas_judge::Policy {
        &self.verdicts
    }

    /// Names what it asks of a verdict, whoever signs that.
    pub fn digest(&self) -> String {
        let asked = MergePolicy { keys: Vec::new(), ..self.message.clone() };
        hex::encode(Sha256::digest(asked.encode_to_vec()))
    }

    /// The axioms as a check is told them; `None`: Lean's three.
    pub fn axioms(&self) -> Option<Axioms> {
        let all = AXIOMS.iter().all(|&axiom| self.verdicts.axioms.contains(axiom));
        (!all).then(|| Axioms { names: self.message.axioms.clone() })
    }

    /// Why a receipt is not enough any more.
    pub fn misses(&self, receipt: &Receipt) -> Option<String> {
        if self.dropped.contains(&receipt.key) {
            return Some(format!("its key {} is known no longer", receipt.key));
        }
        let key = self.message.keys.iter().find(|key| key.id == receipt.key);
        if key.is_some_and(|key| key.until_ms > 0 && receipt.made_ms > key.until_ms) {
            return Some(format!("its key {} went out of use before it was made", receipt.key));
        }
        let misses = self.verdicts.misses(receipt);
        (!misses.is_empty()).then(|| misses.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}
