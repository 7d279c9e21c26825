//! One layer of syntax: what an id stands for.

use super::{ExprId, LevelId, LevelsId, NameId, NatId, StrId};

/// A hierarchical name: a prefix and one more part.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Name {
    /// The empty name.
    Anonymous,
    /// A prefix and a text.
    Str(NameId, StrId),
    /// A prefix and a number. It differs from the text that shows the same digits.
    Num(NameId, u64),
}

/// A universe level, read as a function from assignments of natural numbers (to its parameters) to a natural number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Level {
    /// 0, the level of `Prop`.
    Zero,
    /// One more.
    Succ(LevelId),
    /// The larger one.
    Max(LevelId, LevelId),
    /// The impredicative maximum: 0 where the second is 0, else the maximum.
    IMax(LevelId, LevelId),
    /// A parameter of the declaration.
    Param(NameId),
}

/// An expression of the calculus, locally nameless. Names and kinds of binders mean nothing to a kernel and are not kept, so
/// terms that are equal up to the names of bound variables have the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expr {
    /// A bound variable: the number of binders between it and its own.
    BVar(u32),
    /// The variable of the `k`-th binder that the checker has opened, with its type. No context has to be looked up, and the
    /// same binder opened twice at the same depth gives the same term. Only the checker makes these.
    FVar(u32, ExprId),
    /// The universe of a level.
    Sort(LevelId),
    /// A constant at universe levels.
    Const(NameId, LevelsId),
    /// A function and its argument.
    App(ExprId, ExprId),
    /// A function: the type of its argument, and its body.
    Lam(ExprId, ExprId),
    /// A dependent function type: domain, codomain.
    Pi(ExprId, ExprId),
    /// A local definition: type, value, body.
    Let(ExprId, ExprId, ExprId),
    /// A field of a structure: the structure's name, the field's position, the value.
    Proj(NameId, u32, ExprId),
    /// A literal of type `Nat`.
    Nat(NatId),
    /// A literal of type `String`.
    Str(StrId),
}
