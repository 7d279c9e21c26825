//! Hosts agents: one durable actor per attempt, which talks to a model, runs its tools and reports to the planner.
//!
//! [`Agent`] is the attempt as a machine without I/O; [`run`] hosts all of a run. Roles are Markdown files ([`Roles`], docs/roles.md);
//! tools are typed requests ([`tool::Request`]); an agent's edits live in a [`draft::Draft`] that is derived from its journal.
//! [`transcript()`] tells an attempt's story, [`timeline`] lays its journal out.

pub mod automation;
mod check;
pub mod command;
pub mod comments;
mod conversation;
pub mod draft;
mod executor;
mod library;
pub mod machine;
mod metrics;
mod money;
mod prepare;
mod probe;
pub mod prompt;
pub mod role;
mod search;
mod semconv;
mod service;
mod status;
mod submit;
pub mod timeline;
pub mod tool;
mod tools;
mod transcript;
mod verdict;

pub use executor::AgentExecutor;
pub use machine::Agent;
pub use role::{Role, RoleError, Roles};
pub use service::{Error, Options, STATUS, run, run_with};
pub use status::{Document, Failure, Row, describe};
pub use transcript::{Story, ToolUse, TranscriptError, Turn, ending, tell, transcript};
