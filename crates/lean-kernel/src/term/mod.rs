//! Names, universe levels and expressions.

mod build;
mod facts;
mod id;
mod node;
mod show;
mod substitute;
mod table;
mod terms;
mod walk;

pub use build::TermError;
pub use id::{ExprId, LevelId, LevelsId, NameId, NatId, StrId};
pub use node::{Expr, Level, Name};
pub use terms::Terms;

pub(crate) use facts::Facts;
pub(crate) use id::{ANONYMOUS, ZERO};
pub(crate) use table::Tables;
pub(crate) use terms::merge_layers;

/// Maps keyed by ids. The hash is seeded anew in every process: an input cannot be made to collide.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V>;
/// Sets of ids; see [`Map`].
pub(crate) type Set<K> = hashbrown::HashSet<K>;
