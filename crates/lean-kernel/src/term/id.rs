//! Ids of interned things. Equal things of one [`Terms`](super::Terms) have equal ids.

macro_rules! ids { ($($(#[$doc:meta])* $name:ident;)*) => { $(
    $(#[$doc])*
    #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
    pub struct $name(pub(crate) u32);
)* } }

ids! {
    /// A hierarchical name.
    NameId;
    /// A universe level.
    LevelId;
    /// A list of universe levels.
    LevelsId;
    /// An expression.
    ExprId;
    /// A natural number of a literal.
    NatId;
    /// A text: the part of a name, or of a string literal.
    StrId;
}

/// The anonymous name; the first of every table.
pub(crate) const ANONYMOUS: NameId = NameId(0);
/// The universe level 0; the first of every table.
pub(crate) const ZERO: LevelId = LevelId(0);
