//! The words of Atlas as types: ids, targets, usage, money. No I/O, no async.

mod id;
mod usage;

pub use id::{ActorId, ActorKind, InvalidId, RunId, TargetId};
pub use usage::{Price, Usage};
