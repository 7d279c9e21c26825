//! A process's telemetry, as a service uses it.
#![allow(clippy::unwrap_used)]

use atlas_telemetry::{Error, Format, LogOptions, Metrics, Options, Readiness, init, serve, trace};
use prometheus_client::metrics::counter::Counter;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_util::sync::CancellationToken;

#[test]
fn log_lines_are_json_and_carry_their_trace() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("atlas.jsonl");
    let log = LogOptions { level: "info".to_owned(), stderr: Format::Off, file: Some(path.clone()) };
    let options = Options { log, otlp: None };

    let nowhere = LogOptions { file: Some("/no/such/folder/log".into()), ..options.log.clone() };
    let refused = init("test", &Options { log: nowhere, otlp: None });
    assert!(
        matches!(&refused, Err(error @ Error::LogFile { .. }) if error.to_string().contains("/no/such/folder/log"))
    );
    let wrong = LogOptions { level: "info,=loud=".to_owned(), ..options.log.clone() };
    assert!(matches!(init("test", &Options { log: wrong, otlp: None }), Err(Error::Level { .. })));

    let guard = init("test", &options).unwrap();
    assert!(matches!(init("test", &options), Err(Error::Twice)));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let span = tracing::info_span!(target: "atlas_test", "effect", agent = "a.prover.1");
    trace::with_parent(parent, span).in_scope(|| {
        assert_eq!(trace::trace_id(&trace::current_traceparent()), trace::trace_id(parent));
        tracing::info!(target: "atlas_test", turns = 3, "it ended");
        tracing::debug!(target: "atlas_test", "too much detail");
    });
    tracing::info!(target: "atlas_test", "without a span");
    drop(guard);
    let lines: Vec<serde_json::Value> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let ended = &lines[0];
    assert_eq!(
        (&ended["message"], &ended["turns"], &ended["agent"]),
        (&"it ended".into(), &3.into(), &"a.prover.1".into())
    );
    assert_eq!((&ended["level"], &ended["span"]), (&"INFO".into(), &"effect".into()));
    assert_eq!(ended["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert!(lines[1]["trace_id"].is_null());
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served_until_shutdown() {
    let (metrics, readiness, shutdown) = (Metrics::default(), Readiness::default(), CancellationToken::new());
    let landed: Counter = metrics.register("landings", "Submissions that became part of main");
    landed.inc_by(7);
    readiness.waiting("nats", "not connected yet");
    let (address, server) = serve("127.0.0.1:0", metrics, readiness.clone(), shutdown.clone()).await.unwrap();
    let server = tokio::spawn(server);
    let get = |path: &'static str| async move {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: atlas\r\nConnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    assert!(get("/healthz").await.starts_with("HTTP/1.1 200"));
    let waiting = get("/readyz").await;
    assert!(waiting.starts_with("HTTP/1.1 503") && waiting.contains("nats: not connected yet"), "{waiting}");
    readiness.ready("nats");
    assert!(get("/readyz").await.starts_with("HTTP/1.1 200"));
    let text = get("/metrics").await;
    assert!(text.contains("atlas_landings_total 7") && text.contains("openmetrics-text"), "{text}");
    let taken = serve(&address.to_string(), Metrics::default(), readiness, shutdown.clone()).await;
    assert!(matches!(taken.err(), Some(Error::Listen { .. })));
    shutdown.cancel();
    server.await.unwrap();
}
