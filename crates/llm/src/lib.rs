//! Models: who answers an agent's turn, what it costs, and how to go on when it does not answer.
//!
//! [`Models`] holds the models of a run by the names that its AtlasRun gives them. [`Models::call`] asks one: it waits for the
//! model's limits, sends the [`Call`] to Anthropic, to a server that speaks OpenAI's API or to a [`Recording`], tries again
//! what may pass, and gives an [`Answer`] with its usage and cost, or a [`ModelError`] that says what to do.

mod call;
mod convert;
mod error;
mod fault;
mod journal;
mod limit;
mod models;
mod recorded;
mod recorder;
mod recording;
mod remote;
mod scripted;
pub mod semconv;

pub use atlas_api::{KeySource, Limits, Model as ModelOptions, Price, Provider, SecretKey};
pub use call::{Answer, Call, CallKey, Content, Message, Speaker, Stop, ToolSpec};
pub use error::{Error, ModelError};
pub use models::Models;
pub use recorder::Recorder;
pub use recording::{Fault, FaultKind, Recording, Turn};
pub use scripted::Script;
