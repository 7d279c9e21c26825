//! The service: options in, agents hosted until shutdown.

use std::path::PathBuf;
use std::sync::Arc;

use atlas_actor::HostOptions;
use atlas_api::Agents;
use atlas_bus::Bus;
use atlas_domain::RunId;
use atlas_llm::{ModelOptions, Models, Recorder};
use atlas_telemetry::{Metrics, Readiness};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::executor::AgentExecutor;
use crate::machine::Agent;
use crate::metrics::AgentMetrics;
use crate::role::{RoleError, Roles};

/// Name of the service's status documents, one a process.
pub const STATUS: &str = "agents";

fn default_partitions() -> u16 {
    64
}

/// What an agent runner needs to know of its run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The run.
    pub run: RunId,
    /// Name of this process among the run's hosts, for leases and logs.
    pub host: String,
    /// Partitions of the run's agents, fixed for its life.
    #[serde(default = "default_partitions")]
    pub partitions: u16,
    /// The run's models, as in the AtlasRun.
    pub models: Vec<ModelOptions>,
    /// The run's `agents`, as in the AtlasRun: roles with their models and prompts.
    #[serde(default)]
    pub agents: Agents,
    /// Where relative paths of prompts start: the AtlasRun's folder.
    #[serde(default)]
    pub folder: PathBuf,
    /// A file that every model turn is recorded in, to be played back later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<PathBuf>,
    /// The process's metrics.
    #[serde(skip)]
    pub metrics: Metrics,
    /// What the process waits for before it is ready.
    #[serde(skip)]
    pub readiness: Readiness,
}

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A role is wrong.
    #[error(transparent)]
    Role(#[from] RoleError),
    /// A model is wrong, or the recording cannot be read or written.
    #[error(transparent)]
    Model(#[from] atlas_llm::Error),
    /// The run gives a role a model that it does not have.
    #[error("role `{role}` is to use model `{model}`, which the run does not have; its models are: {}", known.join(", "))]
    NoModel {
        /// The role.
        role: String,
        /// The model as given.
        model: String,
        /// The run's models.
        known: Vec<String>,
    },
    /// The host of the actors failed.
    #[error(transparent)]
    Host(#[from] atlas_actor::Error),
}

/// Hosts the run's agents until `shutdown`. Agents that were at work when an earlier host died go on where their journals end.
///
/// # Errors
/// [`Error`]; all but [`Error::Host`] before anything is hosted.
pub async fn run(options: Options, bus: Bus, shutdown: CancellationToken) -> Result<(), Error> {
    let roles = Roles::load(&options.agents, &options.folder)?;
    let known: Vec<String> = options.models.iter().map(|model| model.name.clone()).collect();
    for (role, set) in &options.agents.roles {
        if let Some(model) = set.model.as_ref().filter(|model| !known.contains(model)) {
            return Err(Error::NoModel { role: role.clone(), model: model.clone(), known });
        }
    }
    let recorder = options.record.as_deref().map(Recorder::open).transpose()?;
    let models = Models::new(options.models.clone(), recorder)?;
    host(options, roles, models, bus, shutdown).await
}

/// As [`run`], with models that the caller has made: of them `options.models` says name and limits, and `options.record` nothing.
///
/// # Errors
/// [`Error`].
pub async fn run_with(
    options: Options,
    models: Models,
    bus: Bus,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let roles = Roles::load(&options.agents, &options.folder)?;
    host(options, roles, models, bus, shutdown).await
}

async fn host(
    options: Options,
    roles: Roles,
    models: Models,
    bus: Bus,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let metrics = AgentMetrics::new(&options.metrics);
    let executor = Arc::new(AgentExecutor::new(bus.clone(), roles, models, options.models, metrics));
    let writer = bus.process_status(&options.run, STATUS, &options.host);
    let host = HostOptions { run: options.run, partitions: options.partitions, host: options.host };
    let hosted =
        atlas_actor::host::<Agent, AgentExecutor>(bus, host, Arc::clone(&executor), shutdown.clone());
    let over = shutdown.child_token();
    let (hosted, ()) = tokio::join!(
        async {
            let hosted = hosted.await;
            over.cancel();
            hosted
        },
        executor.board.publish(writer, over.clone()),
    );
    Ok(hosted?)
}
