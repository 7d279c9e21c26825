//! `/healthz`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use parking_lot::RwLock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Error, Metrics};

/// What a process waits for before it is ready, by name. Cheap to clone; empty is ready.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    waiting: Arc<RwLock<BTreeMap<String, String>>>,
}

impl Readiness {
    /// `part` is not ready, and why.
    pub fn waiting(&self, part: &str, why: impl Into<String>) {
        self.waiting.write().insert(part.to_owned(), why.into());
    }

    /// `part` is ready.
    pub fn ready(&self, part: &str) {
        self.waiting.write().remove(part);
    }

    /// What is not ready, one line each; `None` when all is.
    pub fn report(&self) -> Option<String> {
        let waiting = self.waiting.read();
        (!waiting.is_empty()).then(|| waiting.iter().map(|(part, why)| format!("{part}: {why}\n")).collect())
    }
}

/// Binds `address` (port 0: any) and returns where it listens and the server, which answers until
/// `shutdown`: `/healthz` (200 while the process lives), `/readyz` (200, or 503 with the reasons) and `/metrics`.
///
/// # Errors
/// [`Error::Listen`] when the address cannot be had.
pub async fn serve(
    address: &str,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> Result<(SocketAddr, impl Future<Output = ()> + Send + 'static), Error> {
    let failed = |source| Error::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state((metrics, readiness));
    let server = async move {
        // `axum::serve` itself never fails: errors of single connections end with them.
        let _ = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    };
    Ok((bound, server))
}

async fn ready(State((_, readiness)): State<(Metrics, Readiness)>) -> impl IntoResponse {
    match readiness.report() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(waiting) => (StatusCode::SERVICE_UNAVAILABLE, waiting),
    }
}

async fn render(State((metrics, _)): State<(Metrics, Readiness)>) -> impl IntoResponse {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, openmetrics)], metrics.render())
}
