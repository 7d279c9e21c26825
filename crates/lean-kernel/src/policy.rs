//! Which axioms are allowed.

/// The axioms that ordinary Lean mathematics rests on.
pub const STANDARD_AXIOMS: [&str; 3] = ["propext", "Classical.choice", "Quot.sound"];

/// The axioms that a set of declarations may bring and rest on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AllowedAxioms {
    /// Any: for libraries whose axioms are judged elsewhere.
    Any,
    /// These, by full name. The standard ones must also say what they always say: a declaration `propext : False` is refused.
    /// Of others only the name is known.
    Listed(Vec<String>),
}

impl AllowedAxioms {
    /// The three standard ones.
    pub fn standard() -> AllowedAxioms {
        AllowedAxioms::Listed(STANDARD_AXIOMS.map(str::to_owned).to_vec())
    }
}

/// What a check allows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Axioms.
    pub axioms: AllowedAxioms,
    /// Declarations, by full name, that may rest on `sorryAx`: stated and not yet proved. They are reported as such.
    pub stated: Vec<String>,
    /// Compute `Nat.div`, `Nat.gcd`, … with big numbers whatever their definitions are. Only for libraries that are trusted anyway.
    pub trust_arithmetic: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { axioms: AllowedAxioms::standard(), stated: Vec::new(), trust_arithmetic: false }
    }
}
