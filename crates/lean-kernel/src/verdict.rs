//! What comes out of a check.

use std::sync::Arc;

use serde::Serialize;

use crate::base::BaseId;
use crate::environment::Environment;
use crate::fault::{Fault, Rule};
use crate::known::OpSet;
use crate::limits::Limit;
use crate::term::Tables;

/// The answer. Only [`Verdict::Accepted`] is a pass.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every declaration follows the rules and the policy.
    Accepted(Accepted),
    /// A declaration does not.
    Rejected(Rejected),
    /// Nothing was found wrong, but a limit was hit.
    Undecided(Undecided),
}

/// All is well.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// One entry a declaration, in order.
    pub declarations: Vec<Stands>,
    /// For [`Base::extend`](crate::Base::extend).
    pub certified: Certified,
}

/// A declaration that was accepted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Stands {
    /// Its name; of an inductive block the first type's.
    pub name: String,
    /// All axioms that it rests on, through the base too, by full name. `sorryAx` among them: it is stated, not proved.
    pub axioms: Vec<String>,
}

impl Stands {
    /// Does it rest on `sorryAx`?
    pub fn is_unproved(&self) -> bool {
        self.axioms.iter().any(|a| a == "sorryAx")
    }
}

/// What was found wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rejected {
    /// The declaration's name.
    pub declaration: String,
    /// The rule that it breaks.
    pub rule: Rule,
    /// In what way.
    pub reason: String,
}

/// What was not finished.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Undecided {
    /// The declaration's name.
    pub declaration: String,
    /// The limit that was hit.
    pub limit: Limit,
}

/// Declarations that were accepted, as a base can take them in. Only [`check`](crate::check) makes one.
#[derive(Clone)]
pub struct Certified {
    pub(crate) over: BaseId,
    pub(crate) tables: Vec<Arc<Tables>>,
    pub(crate) environment: Environment,
    pub(crate) ops: OpSet,
}

impl std::fmt::Debug for Certified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Certified({} declarations, those of the base included)", self.environment.len())
    }
}

impl Verdict {
    /// Is it a pass?
    pub fn is_accepted(&self) -> bool {
        matches!(self, Verdict::Accepted(_))
    }

    pub(crate) fn from_fault(declaration: String, fault: Fault) -> Verdict {
        match fault {
            Fault::Wrong(rule, reason) => Verdict::Rejected(Rejected { declaration, rule, reason }),
            Fault::Limit(limit) => undecided(declaration, limit),
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Accepted(a) => write!(f, "accepted: {} declarations", a.declarations.len()),
            Verdict::Rejected(r) => write!(f, "rejected: {}: {} ({})", r.declaration, r.reason, r.rule),
            Verdict::Undecided(u) => write!(f, "undecided: {}: {}", u.declaration, u.limit),
        }
    }
}

pub(crate) fn undecided(declaration: String, limit: Limit) -> Verdict {
    Verdict::Undecided(Undecided { declaration, limit })
}
