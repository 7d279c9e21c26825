//! The AtlasRun: the file that `atlas run` and `kubectl apply` both take.
//!
//! Types ([`AtlasRun`] and below), their defaults, their checks (all mistakes of a file at once, each with its place and a
//! way out) and their JSON schema. There is no Kubernetes client here: [`AtlasRunSpec`] is a plain serde and schemars
//! type that `kube::CustomResource` can wrap.

mod agents;
mod book;
mod budget;
mod duration;
mod library;
mod model;
mod quantity;
mod run;
mod verifiers;

pub use agents::{Agents, Role, ROLES};
pub use book::{Book, BookFormat};
pub use budget::Budget;
pub use duration::Duration;
pub use library::{Dependency, Library, Toolchain};
pub use model::{KeySource, Limits, Model, Price, Provider, SecretKey};
pub use quantity::Quantity;
pub use run::{API_VERSION, AtlasRun, AtlasRunSpec, KIND, Metadata, Training};
pub use verifiers::Verifiers;
