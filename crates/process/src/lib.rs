//! What the binary of every service does: arguments, logs, NATS, health and metrics, stopping on a signal. The service itself is
//! a library that `atlas run` links in.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use atlas_bus::Bus;
use atlas_telemetry::{Metrics, Readiness};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// JSON file with the service's options.
    #[arg(long, env = "ATLAS_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Where NATS is.
    #[arg(long, env = "ATLAS_NATS_URL", default_value = "nats://127.0.0.1:4222", value_name = "URL")]
    nats: String,
    /// User on NATS.
    #[arg(long, env = "ATLAS_NATS_USER", requires = "nats_password", value_name = "USER")]
    nats_user: Option<String>,
    /// The user's password.
    #[arg(
        long,
        env = "ATLAS_NATS_PASSWORD",
        hide_env_values = true,
        requires = "nats_user",
        value_name = "PASSWORD"
    )]
    nats_password: Option<String>,
    /// Address of `/healthz`, `/readyz` and `/metrics`; port 0: any.
    #[arg(long, env = "ATLAS_HEALTH_ADDRESS", default_value = "127.0.0.1:0", value_name = "HOST:PORT")]
    health: String,
}

/// What a service gets from its process.
pub struct Process {
    /// A connection to NATS.
    pub bus: Bus,
    /// Cancelled by SIGTERM and SIGINT.
    pub shutdown: CancellationToken,
    /// Served at `/metrics`.
    pub metrics: Metrics,
    /// Served at `/readyz`.
    pub readiness: Readiness,
}

/// Runs a service until it ends or is told to stop.
///
/// # Errors
/// Whatever keeps it from running, each with what was attempted.
pub async fn run<O, F, Fut, E>(name: &'static str, about: &'static str, service: F) -> anyhow::Result<()>
where
    O: DeserializeOwned,
    F: FnOnce(O, Process) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<anyhow::Error>,
{
    let arguments = Arguments::from_arg_matches(&Arguments::command().name(name).about(about).get_matches())?;
    let _telemetry = atlas_telemetry::init(name, &atlas_telemetry::Options::default())?;
    let path = arguments.config.display();
    let text = std::fs::read_to_string(&arguments.config)
        .with_context(|| format!("cannot read the options from {path}"))?;
    let options: O =
        serde_json::from_str(&text).with_context(|| format!("{path} does not hold the options of {name}"))?;

    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let (metrics, readiness) = (Metrics::default(), Readiness::default());
    readiness.waiting("nats", "not connected yet");
    let (address, server) =
        atlas_telemetry::serve(&arguments.health, metrics.clone(), readiness.clone(), shutdown.clone())
            .await?;
    tokio::spawn(server);
    tracing::info!(%address, "health and metrics");
    let user = arguments.nats_user.zip(arguments.nats_password);
    let bus = Bus::connect(&atlas_bus::Options { url: arguments.nats, user, name: name.to_owned() }).await?;
    if !prepared(&bus, &readiness, &shutdown).await? {
        return Ok(());
    }
    readiness.ready("nats");
    service(options, Process { bus, shutdown, metrics, readiness }).await.map_err(Into::into)
}

/// Waits for the streams, which `atlas run` makes: a service that is started before its run is not ready, but not at
/// fault. False: it was told to stop meanwhile.
async fn prepared(
    bus: &Bus,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> Result<bool, atlas_bus::Error> {
    const AGAIN: Duration = Duration::from_secs(2);
    let mut told = false;
    loop {
        match bus.partitions().await {
            Ok(_) => return Ok(true),
            Err(error @ atlas_bus::Error::NotPrepared { .. }) => {
                readiness.waiting("nats", error.to_string());
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "waiting for a run");
                }
            }
            Err(error) => return Err(error),
        }
        if shutdown.run_until_cancelled(tokio::time::sleep(AGAIN)).await.is_none() {
            return Ok(false);
        }
    }
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    shutdown.cancel();
}
