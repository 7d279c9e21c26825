//! Durable actors: pure state machines whose events lie in journals on the bus, and the host that runs them.
//!
//! A [`Machine`] decides and folds; an [`Executor`] does its effects; [`host`] joins the two: it owns
//! partitions by lease, folds journals, appends what was decided by compare-and-set, and runs the effects
//! that a state asks for. `kill -9` at any point loses nothing that was acknowledged; an effect whose result is journaled is
//! not run again.

mod agenda;
pub mod bench;
mod host;
mod journaled;
mod live;
mod machine;
mod partition;

pub use host::{HostOptions, host};
pub use journaled::replay;
pub use machine::{EffectError, Executor, Machine, Scope};

/// Why a host ended, or a journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] atlas_bus::Error),
    /// A journal holds what this program cannot read.
    #[error("the journal of {actor} cannot be read at record {sequence}: {cause}")]
    Journal {
        /// The actor.
        actor: String,
        /// The record's sequence in the stream.
        sequence: u64,
        /// What is wrong with it.
        cause: String,
    },
    /// A machine or an executor panicked, outside of any one actor.
    #[error("the host of {kind} actors panicked: {cause}")]
    Panicked {
        /// The kind of actor.
        kind: &'static str,
        /// What the panic said.
        cause: String,
    },
}
