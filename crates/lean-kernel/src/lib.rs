//! An independent checker of Lean 4's declarations.
//!
//! Lean's own kernel is one program; a proof that only it has accepted rests on there being no mistake in it. This is a second one,
//! written from the theory and from Lean's published formats, in Rust without unsafe code. It is given declarations, by a file in
//! lean4export's format or built through [`Terms`], and says of each whether it follows from the rules of the calculus.
//!
//! | module | what |
//! |---|---|
//! | `term` | names, levels, expressions, hash-consed in layers; substitution |
//! | `declaration`, `declarations`, `constant`, `environment` | declarations as handed in, sets of them, and how others and the checker look them up |
//! | `universe` | the order of universe levels, decided exactly |
//! | `checker` | types, reduction, definitional equality |
//! | `inductive`, `rules` | what makes a declaration acceptable |
//! | `check`, `verdict`, `policy`, `axioms`, `limits` | checking sets of declarations; what is allowed; what it may cost |
//! | `base` | what declarations rest on: a trusted library, and what was certified on top of it |
//! | `closure`, `compare`, `digest`, `pinned` | is what was proved what was asked? |
//! | `inspect` | looking at declarations that were accepted, for facts about them |
//! | [`ndjson`] | the file format |
//!
//! Each rule has the argument for it beside it. What must be trusted, and what is not covered, is in `docs/kernel.md`.
#![forbid(unsafe_code)]

mod axioms;
mod base;
mod check;
mod checker;
mod closure;
mod compare;
mod constant;
mod declaration;
mod declarations;
mod digest;
mod environment;
mod fault;
mod frozen;
mod inductive;
mod inspect;
mod known;
mod limits;
pub mod ndjson;
mod pinned;
mod policy;
mod rules;
mod stack;
mod term;
mod universe;
mod verdict;

pub use base::{Base, complete};
pub use check::{Report, check, examine};
pub use closure::{closure, digest};
pub use compare::{Aspect, Difference, compare};
pub use constant::{Constant, ConstantKind};
pub use declaration::{
    Constructor, Declaration, Height, Inductive, InductiveType, QuotientPart, Recursor, RecursorRule,
    Signature,
};
pub use declarations::{Added, Declarations, DeclareError};
pub use digest::{Digest, Digests};
pub use fault::Rule;
pub use frozen::FrozenError;
pub use inspect::{Inspector, Nature, OutOfReach, Seen, Structure};
pub use limits::{Limit, Limits};
pub use policy::{AllowedAxioms, Policy, STANDARD_AXIOMS};
pub use term::{Expr, ExprId, Level, LevelId, LevelsId, Name, NameId, NatId, StrId, TermError, Terms};
pub use verdict::{Accepted, Certified, Rejected, Stands, Undecided, Verdict};
