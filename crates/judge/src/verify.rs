//! Whether a receipt holds: it is of a known key and as it was signed, and what it records is what the policy asks for today.

use std::collections::BTreeSet;
use std::fmt;

use ed25519_dalek::Signature;

use crate::receipt::{AXIOMS, KERNELS, Malformed, Receipt, SORRY};
use crate::ring::KeyRing;

/// What a verdict must have been made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The judge's name and version; `None`: any.
    pub judge: Option<String>,
    /// Lean's name and version; `None`: any.
    pub toolchain: Option<String>,
    /// Axioms that a declaration may rest on.
    pub axioms: BTreeSet<String>,
    /// Kernels that must have accepted, at least.
    pub kernels: usize,
}

impl Default for Policy {
    /// Lean's three axioms, two kernels, any judge, any toolchain.
    fn default() -> Self {
        Self {
            judge: None,
            toolchain: None,
            axioms: AXIOMS.iter().map(|&axiom| axiom.to_owned()).collect(),
            kernels: KERNELS,
        }
    }
}

/// Why a receipt does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// It is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The ring does not have its key.
    #[error("it is signed with a key that the ring does not have: {key}")]
    UnknownKey {
        /// The key's id.
        key: String,
    },
    /// Its key had gone out of use when it was made.
    #[error(
        "its key {key} went out of use before it was made (until {until_ms}, made {made_ms}, in milliseconds since 1970)"
    )]
    KeyOutOfUse {
        /// The key's id.
        key: String,
        /// When it went out of use.
        until_ms: u64,
        /// When the receipt was made.
        made_ms: u64,
    },
    /// Something in it was changed after it was signed, or it never was.
    #[error("its signature is not of what it says: it has been changed, or was signed with another key")]
    BadSignature,
    /// It was true and is not enough any more.
    #[error("it is stale: {}", list(.0))]
    Stale(Vec<Stale>),
}

/// What a policy asks and a receipt does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// Another judge.
    Judge {
        /// The policy's.
        wanted: String,
        /// The receipt's.
        found: String,
    },
    /// Another Lean.
    Toolchain {
        /// The policy's.
        wanted: String,
        /// The receipt's.
        found: String,
    },
    /// The judge allowed an axiom that the policy does not.
    Allowed {
        /// The axiom.
        axiom: String,
    },
    /// A declaration rests on an axiom that the policy does not allow.
    Axiom {
        /// The declaration.
        declaration: String,
        /// The axiom.
        axiom: String,
    },
    /// Too few kernels.
    Kernels {
        /// The policy's.
        wanted: usize,
        /// The receipt's.
        found: usize,
    },
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judge { wanted, found } => {
                write!(f, "the judge was `{found}`, the policy asks for `{wanted}`")
            }
            Self::Toolchain { wanted, found } => {
                write!(f, "the toolchain was `{found}`, the policy asks for `{wanted}`")
            }
            Self::Allowed { axiom } => {
                write!(f, "the judge allowed the axiom `{axiom}`, the policy does not")
            }
            Self::Axiom { declaration, axiom } => {
                write!(f, "`{declaration}` rests on the axiom `{axiom}`, which the policy does not allow")
            }
            Self::Kernels { wanted, found } => {
                write!(f, "{found} different kernels accepted, the policy asks for {wanted}")
            }
        }
    }
}

fn list(stale: &[Stale]) -> String {
    stale.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Verifies a receipt: its form, its key, its signature, then whether it is what `policy` asks for.
///
/// # Errors
/// [`Invalid`]: the first of these that fails; of a policy, all that it misses.
pub fn verify(receipt: &Receipt, ring: &KeyRing, policy: &Policy) -> Result<(), Invalid> {
    verify_signature(receipt, ring)?;
    let stale = policy.misses(receipt);
    if stale.is_empty() { Ok(()) } else { Err(Invalid::Stale(stale)) }
}

/// Verifies a receipt as far as no policy matters: its form, its key, its signature.
///
/// # Errors
/// [`Invalid`], never [`Invalid::Stale`].
pub fn verify_signature(receipt: &Receipt, ring: &KeyRing) -> Result<(), Invalid> {
    receipt.well_formed()?;
    let key = ring.get(&receipt.key).ok_or_else(|| Invalid::UnknownKey { key: receipt.key.clone() })?;
    let mut bytes = [0; 64];
    hex::decode_to_slice(&receipt.signature, &mut bytes).map_err(|_| Invalid::BadSignature)?;
    // Strictly: no other signature of the same content passes, nor one by a key of small order.
    key.public
        .0
        .verify_strict(&receipt.signed_bytes(), &Signature::from_bytes(&bytes))
        .map_err(|_| Invalid::BadSignature)?;
    match key.until_ms {
        Some(until_ms) if receipt.made_ms > until_ms => {
            Err(Invalid::KeyOutOfUse { key: receipt.key.clone(), until_ms, made_ms: receipt.made_ms })
        }
        _ => Ok(()),
    }
}

impl Policy {
    /// What it asks and a receipt does not have.
    pub fn misses(&self, receipt: &Receipt) -> Vec<Stale> {
        let mut stale = Vec::new();
        if let Some(wanted) = self.judge.as_ref().filter(|judge| **judge != receipt.judge) {
            stale.push(Stale::Judge { wanted: wanted.clone(), found: receipt.judge.clone() });
        }
        if let Some(wanted) = self.toolchain.as_ref().filter(|toolchain| **toolchain != receipt.toolchain) {
            stale.push(Stale::Toolchain { wanted: wanted.clone(), found: receipt.toolchain.clone() });
        }
        let foreign = receipt.allowed_axioms.iter().filter(|axiom| !self.axioms.contains(*axiom));
        stale.extend(foreign.map(|axiom| Stale::Allowed { axiom: axiom.clone() }));
        for declaration in &receipt.declarations {
            let inherits = !declaration.sorry_from.is_empty();
            let allowed = |axiom: &String| self.axioms.contains(axiom) || (inherits && axiom == SORRY);
            stale.extend(
                declaration.axioms.iter().filter(|axiom| !allowed(axiom)).map(|axiom| Stale::Axiom {
                    declaration: declaration.name.clone(),
                    axiom: axiom.clone(),
                }),
            );
        }
        // One kernel that is named twice is one kernel.
        let kernels: BTreeSet<&str> = receipt.kernels.iter().map(|verdict| verdict.kernel.as_str()).collect();
        if kernels.len() < self.kernels {
            stale.push(Stale::Kernels { wanted: self.kernels, found: kernels.len() });
        }
        stale
    }
}
