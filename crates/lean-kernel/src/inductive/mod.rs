//! Inductive types: are they allowed, and what are their recursors?
//!
//! The rules are those of Dybjer's inductive families with Lean's additions (mutual and nested types, `Prop`):
//!
//! | module | rule |
//! |---|---|
//! | `block` | the types of a block share parameters and universe; what is handed in is consistent |
//! | `nested` | `List T` inside `T` is replaced by an auxiliary type of the same block, which is then checked like the rest |
//! | `constructor` | strict positivity; fields live in no bigger universe; results are the type itself |
//! | `elimination` | into which universes a recursor may go |
//! | `recursor` | type and computation rules of the recursors, made anew |
//!
//! Nothing in the recursors that are handed in is used: they are compared with those made here.

mod block;
mod constructor;
mod elimination;
mod nested;
mod recursor;

pub(crate) use block::{check, complete};
