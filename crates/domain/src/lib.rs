//! The words of Atlas as types: ids, targets, the blueprint, usage, money. No I/O, no async.

mod blueprint;
mod id;
mod target;
mod usage;

pub use blueprint::{Blueprint, BlueprintError, Holding, Standing, TargetIx, edit_distance};
pub use id::{ActorId, ActorKind, InvalidId, RunId, TargetId};
pub use target::{Target, TargetKind, TargetState, UnknownKind};
pub use usage::{Price, Usage};
