//! The AtlasRun: the file that `atlas run` and `kubectl apply` both take.
//!
//! Types ([`AtlasRun`] and below), their defaults, their checks (all mistakes of a file at once, each with its place and a
//! way out) and their JSON schema. There is no Kubernetes client here: [`AtlasRunSpec`] is a plain serde and schemars
//! type that `kube::CustomResource` can wrap.

mod agents;
mod book;
mod budget;
mod duration;
mod key;
mod library;
mod load;
mod model;
mod problem;
mod quantity;
mod rules;
mod run;
mod schema;
mod shape;
mod verifiers;
pub mod yaml;

pub use agents::{Agents, ROLES, Role};
pub use book::{Book, BookFormat};
pub use budget::Budget;
pub use duration::Duration;
pub use key::{Key, KeySource, SecretKey};
pub use library::{Dependency, Library, Toolchain};
pub use load::Loaded;
pub use model::{Limits, Model, Price, Provider};
pub use problem::{Problem, Problems, nearest};
pub use quantity::Quantity;
pub use run::{API_VERSION, AtlasRun, AtlasRunSpec, KIND, Metadata, Training};
pub use schema::json_schema;
pub use verifiers::{Axiom, Verifiers};
