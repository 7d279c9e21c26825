//! The process's one subscriber: logs to stderr and file, spans to OpenTelemetry.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::Subscriber;
use tracing_subscriber::fmt::{self, format::JsonFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::Error;
use crate::json::JsonLines;

/// The environment variable that overrides [`LogOptions::level`].
const LEVEL_VARIABLE: &str = "ATLAS_LOG";

/// How log lines look on stderr.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; coloured on a terminal unless `NO_COLOR` is set.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
    /// Nothing: a terminal interface owns the screen.
    Off,
}

/// What is logged, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LogOptions {
    /// Levels in `tracing`'s filter syntax, e.g. `info,atlas_bus=debug`; the environment variable
    /// `ATLAS_LOG` wins over it.
    pub level: String,
    /// Lines on stderr.
    pub stderr: Format,
    /// A file that JSON lines are appended to as well.
    pub file: Option<PathBuf>,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: "info".to_owned(), stderr: Format::default(), file: None }
    }
}

/// Options of [`init`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Options {
    /// Logs.
    pub log: LogOptions,
    /// OTLP collector (gRPC), e.g. `http://localhost:4317`; else `OTEL_EXPORTER_OTLP_ENDPOINT`; else
    /// spans get ids, so that logs and journals can be joined by them, and go nowhere.
    pub otlp: Option<String>,
}

/// Keeps telemetry running; flushes spans when it is dropped at the end of `main`.
#[must_use = "spans are flushed when the guard is dropped: keep it until the end of main"]
#[derive(Debug)]
pub struct Guard {
    provider: SdkTracerProvider,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown() {
            tracing::debug!(%error, "some spans were not exported");
        }
    }
}

/// Sets logs and traces up for this process. Call once, in `main`, inside the tokio runtime when
/// traces are exported.
///
/// # Errors
/// [`Error::Level`], [`Error::LogFile`], [`Error::Otlp`], [`Error::Twice`].
pub fn init(service: &str, options: &Options) -> Result<Guard, Error> {
    let endpoint = options
        .otlp
        .clone()
        .or_else(|| std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").ok())
        .filter(|endpoint| !endpoint.is_empty());
    let provider = provider(service, endpoint.as_deref())?;
    let stderr: Option<Box<dyn Layer<_> + Send + Sync>> = match options.log.stderr {
        Format::Off => None,
        Format::Json => Some(json_layer().with_writer(std::io::stderr).boxed()),
        Format::Human => {
            let colour =
                std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
            Some(fmt::layer().with_ansi(colour).with_writer(std::io::stderr).boxed())
        }
    };
    let file = match &options.log.file {
        None => None,
        Some(path) => {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|source| Error::LogFile { path: path.clone(), source })?;
            Some(json_layer().with_writer(Arc::new(file)))
        }
    };
    tracing_subscriber::registry()
        .with(spans(provider.tracer(service.to_owned())))
        .with(stderr.with_filter(filter(&options.log.level)?))
        .with(file.with_filter(filter(&options.log.level)?))
        .try_init()
        .map_err(|_| Error::Twice)?;
    Ok(Guard { provider })
}

/// The layer that gives spans their OpenTelemetry ids and hands them to `tracer`'s provider: our
/// own at `info` and above, so that the libraries' do not drown them.
pub fn spans<S>(tracer: SdkTracer) -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let ours = tracing_subscriber::filter::filter_fn(|metadata| {
        metadata.is_span()
            && metadata.target().starts_with("atlas")
            && *metadata.level() <= tracing::Level::INFO
    });
    tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_filter(ours)
}

fn json_layer<S>() -> fmt::Layer<S, JsonFields, JsonLines>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fmt::layer().fmt_fields(JsonFields::new()).event_format(JsonLines)
}

fn provider(service: &str, endpoint: Option<&str>) -> Result<SdkTracerProvider, Error> {
    let builder = SdkTracerProvider::builder()
        .with_id_generator(crate::trace::Ids::default())
        .with_resource(Resource::builder().with_service_name(service.to_owned()).build());
    let Some(endpoint) = endpoint else { return Ok(builder.build()) };
    let exporter =
        opentelemetry_otlp::SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| Error::Otlp { endpoint: endpoint.to_owned(), cause: error.to_string() })?;
    Ok(builder.with_batch_exporter(exporter).build())
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    let filter =
        std::env::var(LEVEL_VARIABLE).ok().filter(|v| !v.is_empty()).unwrap_or_else(|| level.to_owned());
    // Chatty libraries are held to warnings unless the filter names them.
    let quiet = ["async_nats", "h2", "hyper", "tonic", "tower", "opentelemetry", "opentelemetry_sdk"];
    let mut full = filter.clone();
    for library in quiet {
        if !filter.contains(library) {
            full.push_str(&format!(",{library}=warn"));
        }
    }
    EnvFilter::try_new(&full).map_err(|error| Error::Level { filter, cause: error.to_string() })
}
