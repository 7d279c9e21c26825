//! Names of things, valid by construction: each may stand as one token of a NATS subject.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A name that cannot be an id, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is not a valid {what}: use 1 to 128 of the characters a-z, A-Z, 0-9, `-` and `_`")]
pub struct InvalidId {
    /// What the name was to be, e.g. `run name`.
    pub what: &'static str,
    /// The name as given.
    pub name: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Parses a name of 1 to 128 characters out of `a-z A-Z 0-9 - _`.
            ///
            /// # Errors
            /// [`InvalidId`] when it is empty, too long or has another character.
            pub fn new(name: impl Into<String>) -> Result<Self, InvalidId> {
                let name = name.into();
                let valid = (1..=128).contains(&name.len())
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                if valid { Ok(Self(name)) } else { Err(InvalidId { what: $what, name }) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(name: String) -> Result<Self, InvalidId> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidId;
            fn from_str(name: &str) -> Result<Self, InvalidId> {
                Self::new(name)
            }
        }
    };
}

id!(
    /// Names a run; unique on one NATS system.
    RunId,
    "run name"
);
id!(
    /// Names a target; the book's label.
    TargetId,
    "target label"
);

/// The kinds of actor that the services host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// The planner of one run.
    Plan,
    /// The ledger of one run: its budget.
    Ledger,
    /// One attempt.
    Agent,
    /// The merge queue of one run.
    Merge,
}

impl ActorKind {
    /// The kind as a subject token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Ledger => "ledger",
            Self::Agent => "agent",
            Self::Merge => "merge",
        }
    }
}

impl fmt::Display for ActorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address of one actor. Agents' ids hold dots (`even-add.prover.1`); on subjects they are written with `~`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ActorId {
    /// The run that it works for.
    pub run: RunId,
    /// What it is.
    pub kind: ActorKind,
    /// Which one: the run's name for singletons, the attempt for agents.
    pub id: String,
}

impl ActorId {
    /// The one actor of `kind` that a run has.
    pub fn singleton(run: &RunId, kind: ActorKind) -> Self {
        Self { run: run.clone(), kind, id: run.to_string() }
    }

    /// The partition of `count` that this actor lies in: FNV-1a of its id, so that it never moves
    /// with the program's version. Singletons lie in partition 0.
    pub fn partition(&self, count: u16) -> u16 {
        if self.kind != ActorKind::Agent {
            return 0;
        }
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.id.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        (hash % u64::from(count.max(1))) as u16
    }

    /// Its id as one subject token.
    pub fn token(&self) -> String {
        self.id.replace('.', "~")
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.run, self.kind, self.id)
    }
}
