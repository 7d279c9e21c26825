//! The roles that agents play.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an attempt is for. `docs/architecture.md` has the table of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Tactics that cost no token.
    Automation,
    /// Finds targets in a piece of a book.
    Extractor,
    /// States a target, and writes definitions whole.
    Formalizer,
    /// Proves a stated target, or its negation.
    Prover,
    /// Repairs what the merge queue refused.
    Fixer,
    /// Compares statement and book.
    MathematicalReviewer,
    /// Reads proofs as code.
    EngineeringReviewer,
    /// Decides what to do about a target that keeps failing.
    Triage,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 8] = [
        Self::Automation,
        Self::Extractor,
        Self::Formalizer,
        Self::Prover,
        Self::Fixer,
        Self::MathematicalReviewer,
        Self::EngineeringReviewer,
        Self::Triage,
    ];

    /// The role as the wire writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Automation => "automation",
            Self::Extractor => "extractor",
            Self::Formalizer => "formalizer",
            Self::Prover => "prover",
            Self::Fixer => "fixer",
            Self::MathematicalReviewer => "mathematical-reviewer",
            Self::EngineeringReviewer => "engineering-reviewer",
            Self::Triage => "triage",
        }
    }

    /// The role of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// True of roles whose attempts count as attempts at a target in reports.
    pub fn is_author(self) -> bool {
        matches!(self, Self::Formalizer | Self::Prover | Self::Fixer)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
