//! Whole runs on one thread from one seed: the services' own machines, driven by the host's own decisions, against a
//! modelled bus, git, Lean, model and clock.
//!
//! What is the product's: the planner, the ledger, the merge queue and the agents ([`atlas_actor::Machine`]); what a host decides
//! about an actor ([`atlas_actor::life`]), a partition ([`atlas_actor::roster`]), an append ([`atlas_bus::append`]) and its lease
//! ([`atlas_bus::Term`]). What is modelled: the nats-server (`server`), processes that die, sleep and are cut off
//! (`process`), what effects do in the world (`world`). `judge` looks at every fact and says which promise was broken.

mod actors;
mod archive;
mod clock;
mod desk;
mod fact;
mod fault;
mod host;
mod judge;
mod machines;
pub mod model;
mod net;
mod process;
mod run;
mod server;
mod shrink;
mod table;
mod world;

pub use actors::{ActorIx, Actors, Place};
pub use clock::Micros;
pub use fact::Fact;
pub use fault::{Fault, FaultKind, Faults};
pub use judge::{Judge, Promise, Violation};
pub use net::Journal;
pub use run::{Mark, Options, Outcome, Sabotage, Sync, simulate, simulate_watched};
pub use shrink::shrink;
