//! The service: options in, planner and ledger of one run hosted until shutdown.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use atlas_actor::HostOptions;
use atlas_bus::{Bus, StatusWriter};
use atlas_domain::RunId;
use atlas_telemetry::{Metrics, Readiness};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::host::PlannerExecutor;
use crate::ledger_service::{self, Account};
use crate::machine::Planner;
use crate::metrics::PlannerMetrics;
use crate::status::Status;

/// Name of the service's status document.
pub const STATUS: &str = "planner";

/// Pause between two status documents; the bus writes no more often.
const PUBLISH_PAUSE: Duration = Duration::from_millis(250);

/// What a planner needs to know of its run; all else comes with the run's first letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Options {
    /// The run.
    pub run: RunId,
    /// Name of this process among the run's hosts, for leases and logs.
    pub host: String,
    /// Where extracted targets are written, usually `targets.yaml` in the run's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets_file: Option<PathBuf>,
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
    /// The bus failed.
    #[error(transparent)]
    Bus(#[from] atlas_bus::Error),
    /// The host of the planner failed.
    #[error(transparent)]
    Host(#[from] atlas_actor::Error),
}

/// Hosts the planner and the ledger of `options.run` until `shutdown`.
///
/// # Errors
/// [`Error`]: the bus or the host of the planner failed.
pub async fn run(options: Options, bus: Bus, shutdown: CancellationToken) -> Result<(), Error> {
    options.readiness.waiting(STATUS, "the ledger is not served yet");
    let over = shutdown.child_token();
    let ledger = ledger_service::start(&bus, &options.run, &over).await?;
    let (status, observed) = watch::channel(Status::default());
    let publish = publish(
        bus.status(&options.run, STATUS),
        observed,
        ledger.account(),
        PlannerMetrics::new(&options.metrics),
        over.clone(),
    );
    let executor = Arc::new(PlannerExecutor {
        bus: bus.clone(),
        run: options.run.clone(),
        ledger,
        targets_file: options.targets_file,
        status,
    });
    options.readiness.ready(STATUS);
    let host = HostOptions { run: options.run, partitions: 1, host: options.host };
    let hosted = async {
        let hosted = atlas_actor::host::<Planner, PlannerExecutor>(bus, host, executor, shutdown).await;
        over.cancel();
        hosted
    };
    let (hosted, ()) = tokio::join!(hosted, publish);
    Ok(hosted?)
}

/// Writes the newest status, with the ledger's figures in the place of those of ended attempts.
async fn publish(
    writer: StatusWriter,
    mut observed: watch::Receiver<Status>,
    mut account: watch::Receiver<Account>,
    metrics: PlannerMetrics,
    over: CancellationToken,
) {
    loop {
        let last = over.is_cancelled();
        let mut status = observed.borrow_and_update().clone();
        let used = account.borrow_and_update().by_role.clone();
        if !status.run.is_empty() {
            if !used.is_empty() {
                status.usage = used;
            }
            metrics.set(&status);
            writer.set(&status);
        }
        if last {
            return;
        }
        tokio::select! {
            () = over.cancelled() => continue,
            changed = observed.changed() => if changed.is_err() { return },
            changed = account.changed() => if changed.is_err() { return },
        }
        // What changes meanwhile is seen at the next turn.
        tokio::select! {
            () = over.cancelled() => {}
            () = tokio::time::sleep(PUBLISH_PAUSE) => {}
        }
    }
}
