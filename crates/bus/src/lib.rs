//! The one crate that knows NATS: subjects, stream specs, journal, inboxes, work queues, requests,
//! leases, objects, status, and the nats-server that a run owns.
//!
//! [`Bus`] is a cheap handle on one connection. What is stored where is in [`Spec`]; [`Bus::ensure`]
//! creates it and refuses a stream that differs. Every message and record carries a W3C trace context.

pub mod append;
mod archive;
pub mod bench;
mod claims;
mod connect;
mod dead;
mod drain;
mod error;
mod former;
mod group;
mod handover;
mod hosts;
mod inbox;
mod inspect;
mod journal;
mod lease;
mod object;
mod read;
mod request;
pub mod server;
mod session;
mod shares;
mod snapshot;
mod spec;
mod status;
mod subject;
mod term;
mod vigil;
mod work;

pub use claims::{Claims, News};
pub use connect::{Bus, Options};
pub use dead::is_effect;
pub use drain::Held;
pub use error::{AppendError, Error};
pub use handover::Ask;
pub use inbox::{Delivery, Inbox};
pub use inspect::{QueueState, Room, StreamState};
pub use lease::{Hold, Lease};
pub use request::{Asked, RequestError, ServeLimit};
pub use server::{Cluster, ClusterOptions, Server, ServerError, ServerOptions, SyncMode};
pub use spec::Spec;
pub use status::{StatusKey, StatusWriter, is_at_work};
pub use term::Term;
pub use vigil::Vigil;
pub use work::{KeepAlive, Work};
