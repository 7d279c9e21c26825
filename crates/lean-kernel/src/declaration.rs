//! Declarations as they are handed in. Nothing in them is believed.

use crate::term::{ExprId, NameId};

/// Name, universe parameters and type of a constant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signature {
    /// Its name.
    pub name: NameId,
    /// Its universe parameters.
    pub universe_params: Vec<NameId>,
    /// Its type.
    pub ty: ExprId,
}

/// How eagerly a definition is unfolded. It steers the search of a proof of equality and means nothing for what is true.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Height {
    /// Last.
    Opaque,
    /// Definitions that stand higher, on more others, before those that stand lower.
    Regular(u32),
    /// First.
    Abbreviation,
}

/// One of the four constants of quotient types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotientPart {
    /// `Quot`
    Type,
    /// `Quot.mk`
    Constructor,
    /// `Quot.lift`
    Lift,
    /// `Quot.ind`
    Induction,
}

/// A type of an inductive block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InductiveType {
    /// Name, universe parameters, type.
    pub signature: Signature,
    /// Parameters: arguments that are the same in the whole block.
    pub num_params: u32,
    /// Arguments that may vary, after the parameters.
    pub num_indices: u32,
    /// The names of the block's types.
    pub all: Vec<NameId>,
    /// Its constructors, in order.
    pub constructors: Vec<NameId>,
    /// How many auxiliary types the block's nested occurrences need.
    pub num_nested: u32,
    /// Does a constructor of the block take a value of the block?
    pub is_recursive: bool,
    /// Does one take a function into the block?
    pub is_reflexive: bool,
}

/// A constructor of an inductive block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Constructor {
    /// Name, universe parameters, type.
    pub signature: Signature,
    /// Its type's name.
    pub inductive: NameId,
    /// Its position among its type's constructors.
    pub index: u32,
    /// Parameters of the block.
    pub num_params: u32,
    /// Arguments after the parameters.
    pub num_fields: u32,
}

/// How a recursor computes on one constructor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecursorRule {
    /// The constructor.
    pub constructor: NameId,
    /// Its arguments after the parameters.
    pub num_fields: u32,
    /// What comes out: a function of parameters, motives, minor premises and the constructor's fields.
    pub value: ExprId,
}

/// The recursor of a type of an inductive block, or of a nested occurrence in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recursor {
    /// Name, universe parameters, type.
    pub signature: Signature,
    /// The names of the block's types.
    pub all: Vec<NameId>,
    /// Parameters of the block.
    pub num_params: u32,
    /// Indices of its type.
    pub num_indices: u32,
    /// Motives: one a type of the block, nested occurrences included.
    pub num_motives: u32,
    /// Minor premises: one a constructor.
    pub num_minors: u32,
    /// One rule a constructor of its type.
    pub rules: Vec<RecursorRule>,
    /// Does it compute on every proof, as if that were the constructor (rule K)?
    pub k: bool,
}

/// Mutually inductive types with their constructors and recursors.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inductive {
    /// The types.
    pub types: Vec<InductiveType>,
    /// The constructors of the first type in order, then those of the second, …
    pub constructors: Vec<Constructor>,
    /// The recursors, in any order.
    pub recursors: Vec<Recursor>,
}

/// A declaration, made of ids of one [`Terms`](crate::Terms).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Declaration {
    /// A constant without a value.
    Axiom(Signature),
    /// A constant that unfolds to its value.
    Definition {
        /// Name, universe parameters, type.
        signature: Signature,
        /// What it unfolds to.
        value: ExprId,
        /// How eagerly.
        height: Height,
    },
    /// A proof of a proposition.
    Theorem {
        /// Name, universe parameters, statement.
        signature: Signature,
        /// The proof.
        value: ExprId,
    },
    /// A constant with a value that it never unfolds to: the value only shows that there is one.
    Opaque {
        /// Name, universe parameters, type.
        signature: Signature,
        /// The value.
        value: ExprId,
    },
    /// A constant of quotient types.
    Quotient {
        /// Name, universe parameters, type.
        signature: Signature,
        /// Which one it says it is.
        part: QuotientPart,
    },
    /// Inductive types.
    Inductive(Inductive),
}
