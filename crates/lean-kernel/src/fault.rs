//! Why a declaration was not accepted.

use serde::Serialize;

use crate::limits::Limit;

macro_rules! rules { ($($(#[$doc:meta])* $name:ident,)*) => {
    /// The rule that a declaration breaks.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Rule { $($(#[$doc])* $name,)* }
} }

rules! {
    /// A constant that is not declared before.
    UnknownConstant,
    /// A constant at a wrong number of universe levels.
    UniverseArity,
    /// A universe parameter that is not declared, or declared twice.
    UniverseParameter,
    /// A bound variable without a binder.
    LooseVariable,
    /// An application of what is no function, or to an argument of another type.
    Application,
    /// What must be a type is none.
    NotAType,
    /// A local definition whose value has another type.
    Let,
    /// A projection.
    Projection,
    /// A literal without the type that it belongs to.
    Literal,
    /// A value of another type than declared.
    ValueType,
    /// A theorem whose statement is no proposition.
    TheoremNotProposition,
    /// A declaration out of its place, or anonymous.
    Declaration,
    /// A name that is declared already, differently.
    Redeclaration,
    /// A quotient constant that is not the real one.
    Quotient,
    /// An operation on numbers that does not compute as its name says.
    Arithmetic,
    /// An inductive type: its parameters, indices, universe or flags.
    InductiveType,
    /// A constructor.
    Constructor,
    /// A field in a universe too big for its type.
    FieldUniverse,
    /// An occurrence of an inductive type that is not strictly positive.
    Positivity,
    /// A nested occurrence of an inductive type.
    Nested,
    /// A recursor: its type, its numbers, its rule K.
    Recursor,
    /// A computation rule of a recursor.
    RecursorRule,
    /// An axiom that the policy does not allow, or one whose statement is not the known one.
    Axiom,
}

impl Rule {
    /// Its name: `unknown-constant`.
    pub fn name(self) -> String {
        let mut name = String::new();
        for (i, c) in format!("{self:?}").char_indices() {
            if c.is_ascii_uppercase() && i > 0 {
                name.push('-');
            }
            name.push(c.to_ascii_lowercase());
        }
        name
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// Why checking stopped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The declaration is wrong.
    Wrong(Rule, String),
    /// It may be right, but a limit was hit.
    Limit(Limit),
}

impl From<Limit> for Fault {
    fn from(l: Limit) -> Fault {
        Fault::Limit(l)
    }
}

pub(crate) type Checked<T> = Result<T, Fault>;

/// Refuses.
pub(crate) fn wrong<T>(rule: Rule, reason: impl Into<String>) -> Checked<T> {
    Err(Fault::Wrong(rule, reason.into()))
}
