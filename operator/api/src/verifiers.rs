//! The Lean verifiers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Quantity};

/// The Lean verifiers of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Verifiers {
    /// Processes, each with its own warm Lean.
    #[schemars(range(min = 1))]
    pub replicas: u32,
    /// Checks at once in each; as many as it has processors when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub concurrency: Option<u32>,
    /// The longest that one check may take.
    pub deadline: Duration,
    /// The most memory that one check may use.
    pub memory: Quantity,
    /// The most memory that a verifier keeps for results and module data.
    pub cache: Quantity,
    /// The axioms that declarations of the library may rest on: all of Lean's three, or fewer. When this changes, what is in the library is
    /// certified again.
    pub axioms: Vec<Axiom>,
}

impl Default for Verifiers {
    fn default() -> Self {
        Self {
            replicas: 1,
            concurrency: None,
            deadline: Duration::from_secs(120),
            memory: Quantity::gibibytes(2),
            cache: Quantity::gibibytes(1),
            axioms: Axiom::ALL.to_vec(),
        }
    }
}

/// An axiom that mathematics rests on in Lean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Axiom {
    /// Propositions that follow from each other are equal.
    #[serde(rename = "propext")]
    Propext,
    /// From a type that is not empty an element can be chosen.
    #[serde(rename = "Classical.choice")]
    Choice,
    /// Related elements are equal in the quotient.
    #[serde(rename = "Quot.sound")]
    QuotSound,
}

impl Axiom {
    /// Lean's three.
    pub const ALL: [Self; 3] = [Self::Propext, Self::Choice, Self::QuotSound];

    /// Its Lean name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Propext => "propext",
            Self::Choice => "Classical.choice",
            Self::QuotSound => "Quot.sound",
        }
    }
}
