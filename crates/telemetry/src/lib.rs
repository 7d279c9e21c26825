//! Logs, traces and metrics, set up the same way in every service and in the command line.
//!
//! [`init`] installs the process's subscriber once; [`trace`] carries W3C trace contexts across the
//! bus; [`Metrics`] is the Prometheus registry and [`serve`] answers `/healthz`, `/readyz` and
//! `/metrics`. Ids of runs, targets and agents belong into spans and logs, never into metric labels.

mod health;
mod json;
mod metrics;
mod setup;
pub mod trace;

pub use health::{Readiness, serve};
pub use metrics::Metrics;
pub use setup::{Format, Guard, LogOptions, Options, init};

/// Why telemetry could not be set up or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log file cannot be opened.
    #[error("cannot open the log file {path}: {source}; choose another with --log-file")]
    LogFile {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The filter of log levels does not parse.
    #[error("`{filter}` is not a log level: {cause}; use e.g. `info` or `info,atlas_bus=debug`")]
    Level {
        /// As given.
        filter: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The OTLP exporter cannot be built.
    #[error("cannot export traces to {endpoint}: {cause}; unset OTEL_EXPORTER_OTLP_ENDPOINT to run without")]
    Otlp {
        /// The collector's address.
        endpoint: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A subscriber is already installed in this process.
    #[error("telemetry is already set up in this process: call `init` once, in `main`")]
    Twice,
    /// The address for health and metrics cannot be had.
    #[error("cannot serve health and metrics on {address}: {source}; choose another address")]
    Listen {
        /// `host:port`.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
}
