//! The words of the kernels, and what follows from them together.
//!
//! Both must accept every declaration. *Undecided* is no pass. Where one accepts what the other rejects, one of the two has a mistake:
//! that is an incident, and nothing lands until a person has looked.

use atlas_proto::receipt::KernelVerdict;
use serde::{Deserialize, Serialize};

use crate::judge::Refusal;

/// What one kernel says of a module's declarations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// All of them follow from the rules.
    Accepted {
        /// How many they are.
        declarations: u32,
        /// How long it took.
        milliseconds: u32,
    },
    /// One does not.
    Rejected {
        /// Which, by full name.
        declaration: String,
        /// Why.
        reason: String,
    },
    /// Nothing was found wrong, but a limit was hit, or the declarations could not be read.
    Undecided {
        /// Where, by full name.
        declaration: String,
        /// Why.
        reason: String,
    },
}

/// A kernel and its word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spoken {
    /// The kernel's name and version, as receipts have it.
    pub kernel: String,
    /// What it says.
    pub word: Word,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// All accept: the verdicts for the receipt.
    Accepted(Vec<KernelVerdict>),
    /// At least one does not, and none contradicts another.
    Refused(Vec<Refusal>),
    /// One accepts what another rejects.
    Incident(Refusal),
}

/// Takes the kernels' words together.
pub fn settle(words: &[Spoken]) -> Settled {
    let accepts = words.iter().find(|spoken| matches!(spoken.word, Word::Accepted { .. }));
    let (mut verdicts, mut refusals) = (Vec::new(), Vec::new());
    for Spoken { kernel, word } in words {
        match word {
            Word::Accepted { declarations, milliseconds } => verdicts.push(KernelVerdict {
                kernel: kernel.clone(),
                declarations: *declarations,
                milliseconds: *milliseconds,
            }),
            Word::Rejected { declaration, reason } => {
                if let Some(Spoken { kernel: other, .. }) = accepts {
                    let why = format!("{kernel} rejects what {other} accepts: {reason}");
                    return Settled::Incident(Refusal { declaration: declaration.clone(), why });
                }
                let why = format!("{kernel} rejects it: {reason}");
                refusals.push(Refusal { declaration: declaration.clone(), why });
            }
            Word::Undecided { declaration, reason } => {
                let why = format!("{kernel} comes to no verdict: {reason}");
                refusals.push(Refusal { declaration: declaration.clone(), why });
            }
        }
    }
    if refusals.is_empty() { Settled::Accepted(verdicts) } else { Settled::Refused(refusals) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_all_accept_passes_and_a_contradiction_is_an_incident() {
        let spoken = |kernel: &str, word| Spoken { kernel: kernel.into(), word };
        let accepted = || Word::Accepted { declarations: 3, milliseconds: 1 };
        let rejected = || Word::Rejected { declaration: "N.a".into(), reason: "no proposition".into() };
        let undecided = || Word::Undecided { declaration: "N.b".into(), reason: "too many steps".into() };
        let settled = |lean, ours| settle(&[spoken("Lean", lean), spoken("ours", ours)]);
        let Settled::Accepted(verdicts) = settled(accepted(), accepted()) else { panic!() };
        assert_eq!(verdicts.iter().map(|v| v.kernel.as_str()).collect::<Vec<_>>(), ["Lean", "ours"]);
        for (lean, ours, kernel) in [
            (accepted(), rejected(), "ours rejects what Lean"),
            (rejected(), accepted(), "Lean rejects what ours"),
        ] {
            let Settled::Incident(incident) = settled(lean, ours) else { panic!() };
            assert!(incident.declaration == "N.a" && incident.why.starts_with(kernel), "{incident:?}");
        }
        for (lean, ours) in [(accepted(), undecided()), (undecided(), rejected()), (rejected(), rejected())] {
            assert!(matches!(settled(lean, ours), Settled::Refused(_)));
        }
    }
}
