//! The planner as a process of its own; `atlas run` links the same service in.

use std::path::PathBuf;

use anyhow::Context as _;
use atlas_bus::Bus;
use atlas_planner::Options;
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Plans a run and keeps its budget.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// JSON file with the service's options: run, host, targetsFile.
    #[arg(long, env = "ATLAS_CONFIG")]
    config: PathBuf,
    /// Where NATS is.
    #[arg(long, env = "ATLAS_NATS_URL", default_value = "nats://127.0.0.1:4222")]
    nats: String,
    /// User on NATS.
    #[arg(long, env = "ATLAS_NATS_USER", requires = "nats_password")]
    nats_user: Option<String>,
    /// The user's password.
    #[arg(long, env = "ATLAS_NATS_PASSWORD", hide_env_values = true)]
    nats_password: Option<String>,
    /// Address of `/healthz`, `/readyz` and `/metrics`.
    #[arg(long, env = "ATLAS_HEALTH_ADDRESS", default_value = "127.0.0.1:0")]
    health: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _telemetry = atlas_telemetry::init("planner", &atlas_telemetry::Options::default())?;
    let path = arguments.config.display();
    let text = std::fs::read_to_string(&arguments.config).with_context(|| format!("cannot read the options from {path}"))?;
    let options: Options = serde_json::from_str(&text).with_context(|| format!("{path} does not hold the options of a planner"))?;
    let shutdown = CancellationToken::new();
    tokio::spawn(stop_on_signal(shutdown.clone()));
    let (metrics, readiness) = (options.metrics.clone(), options.readiness.clone());
    readiness.waiting("nats", "not connected yet");
    let (address, server) = atlas_telemetry::serve(&arguments.health, metrics, readiness.clone(), shutdown.clone()).await?;
    tokio::spawn(server);
    tracing::info!(%address, "health and metrics");
    let user = arguments.nats_user.zip(arguments.nats_password);
    let bus = Bus::connect(&atlas_bus::Options { url: arguments.nats, user, name: "planner".to_owned() }).await?;
    readiness.ready("nats");
    atlas_planner::run(options, bus, shutdown).await?;
    Ok(())
}

/// Ends the service on SIGTERM and SIGINT; the run goes on wherever it is hosted next.
async fn stop_on_signal(shutdown: CancellationToken) {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            // Without it an interrupt still ends the service.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    shutdown.cancel();
}
