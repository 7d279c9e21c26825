//! The verifier over HTTP: Kimina's shapes for those who have its clients, and one of our own for all that a check can be asked.
//!
//! A batch's items are checks of their own: each is taken on or refused, waits, is answered, by itself. What a client that has gone away
//! still waits for is not asked of Lean. TLS is for a proxy to speak.

mod batch;
mod check;
mod clients;
mod desk;
mod error;
mod kimina;
mod pages;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use atlas_judge::{KeyError, RING_FILE, SigningKey};
use atlas_lean::Toolchain;
use atlas_telemetry::Metrics;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::clients::{Client, Clients};
pub use self::clients::{ClientLimits, Keys};
use self::desk::Desk;
use self::error::Problem;
use crate::lean::{Lean, Limits};
use crate::smoke::smoke_test;

/// How long a body may take to come.
const BODY_TIME: Duration = Duration::from_secs(60);

/// What a verifier that serves HTTP needs to know.
pub struct Options {
    /// Address and port; port 0: any.
    pub listen: SocketAddr,
    /// Checks in Lean at once.
    pub concurrency: usize,
    /// The longest that a check may take, whatever it asks for.
    pub deadline: Duration,
    /// Bytes of memory that a check may take, whatever it asks for.
    pub memory_bytes: u64,
    /// The largest body, in bytes.
    pub body_bytes: usize,
    /// Checks of all clients that may be open: in Lean or waiting for it.
    pub open: usize,
    /// What one client may have.
    pub client: ClientLimits,
    /// Who may ask; empty: everybody.
    pub keys: Keys,
    /// The folder of the key that signs receipts, made on first use.
    pub receipt_keys: PathBuf,
    /// How long requests under way may take when the verifier is stopped.
    pub grace: Duration,
}

/// Why the verifier cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be had.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The environment does not tell true from false.
    #[error("the Lean environment failed its smoke test: {0}")]
    Smoke(String),
    /// There is no key to sign receipts with.
    #[error("receipts cannot be signed: {0}")]
    Key(#[from] KeyError),
    /// The page about itself cannot be made.
    #[error("the documentation cannot be made: {0}")]
    Docs(#[from] askama::Error),
}

/// A verifier that listens; connections wait until it is run.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    desk: Arc<Desk>,
    router: Router,
    grace: Duration,
}

/// What all requests are answered from.
#[derive(Clone)]
struct Served {
    desk: Arc<Desk>,
    metrics: Metrics,
    body_bytes: usize,
    ring: Arc<PathBuf>,
    docs: Bytes,
    openapi: Bytes,
}

impl Server {
    /// Binds the address and asks the toolchain what it must know: it serves only a Lean that tells true from false. `stopping` ends
    /// [`Server::run`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn bind(
        options: Options,
        toolchain: Arc<dyn Toolchain>,
        stopping: CancellationToken,
    ) -> Result<Self, Error> {
        let address = options.listen;
        let listen = |cause| Error::Listen { address, cause };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let key = SigningKey::open_or_make(&options.receipt_keys, now_ms)?;
        let tested = Arc::clone(&toolchain);
        match tokio::task::spawn_blocking(move || smoke_test(&*tested)).await {
            Ok(told) => told.map_err(Error::Smoke)?,
            Err(error) => return Err(Error::Smoke(format!("its thread died: {error}"))),
        }
        let docs = pages::docs(&toolchain.name(), &limits(&options))?;
        let openapi = pages::openapi(&toolchain.name()).to_string();
        let limits = Limits { deadline: options.deadline, memory_bytes: options.memory_bytes };
        let lean = Lean::new(toolchain, key, options.concurrency, limits);
        let clients = Clients::new(options.keys, options.client, options.open);
        let metrics = Metrics::default();
        let desk = Arc::new(Desk::new(lean, clients, &metrics, stopping));
        let served = Served {
            desk: Arc::clone(&desk),
            metrics,
            body_bytes: options.body_bytes,
            ring: Arc::new(options.receipt_keys.join(RING_FILE)),
            docs: docs.into(),
            openapi: openapi.into(),
        };
        Ok(Self { listener, address, desk, router: router(served), grace: options.grace })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How verdicts name the Lean behind it.
    pub fn toolchain(&self) -> String {
        self.desk.lean.name()
    }

    /// Answers until it is told to stop; then takes nothing on any more, and gives what is under way its time of grace.
    pub async fn run(self) {
        let stopping = self.desk.stopping.clone();
        let service = self.router.into_make_service_with_connect_info::<SocketAddr>();
        let serve =
            axum::serve(self.listener, service).with_graceful_shutdown(stopping.clone().cancelled_owned());
        tokio::select! {
            // It never fails: errors of single connections end with them.
            _ = serve.into_future() => {}
            () = async { stopping.cancelled().await; tokio::time::sleep(self.grace).await } => {
                tracing::warn!("requests under way have had their time of grace and are dropped");
            }
        }
    }
}

/// The limits, for people to read.
fn limits(options: &Options) -> Vec<(&'static str, String)> {
    let client = options.client;
    let rate = match client.per_minute {
        0 => "any number a minute".to_owned(),
        rate => format!("{rate} a minute"),
    };
    vec![
        (
            "In Lean at once",
            format!("{} checks, of one client at most {}", options.concurrency, client.at_once),
        ),
        ("Open", format!("{} checks, of one client at most {}", options.open, client.open)),
        ("Of one client", rate),
        ("One check", format!("{} s, {} MiB", options.deadline.as_secs(), options.memory_bytes >> 20)),
        ("A body", format!("{} KiB", options.body_bytes >> 10)),
        (
            "A client is",
            if options.keys.is_empty() {
                "an address; no key is asked for"
            } else {
                "a key, which is asked for"
            }
            .to_owned(),
        ),
    ]
}

fn router(served: Served) -> Router {
    Router::new()
        .route("/verify", post(verify))
        .route("/api/check", post(api_check))
        .route("/api/check/", post(api_check))
        .route("/v1/check", post(v1_check))
        .route("/v1/keys", get(keys))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .route("/docs", get(|State(served): State<Served>| async { Html(served.docs) }))
        .fallback(|| async { Problem::NotFound })
        .method_not_allowed_fallback(|| async { Problem::Method })
        .layer(from_fn_with_state(served.clone(), count))
        .with_state(served)
}

/// Counts requests by path. Paths that are none have one name together.
async fn count(State(served): State<Served>, request: Request, next: Next) -> Response {
    let asked = request.uri().path().trim_end_matches('/');
    let path = pages::PATHS.iter().find(|path| path.path == asked).map_or("other", |path| path.path);
    let response = next.run(request).await;
    served.desk.answered(path, response.status().as_u16());
    response
}

async fn verify(State(served): State<Served>, from: ConnectInfo<SocketAddr>, request: Request) -> Response {
    let (headers, client, body) = match read::<kimina::VerifyBody>(&served, from, request).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    if body.codes.is_empty() {
        return Problem::Malformed("`codes` must not be empty".to_owned()).into_response();
    }
    batch::respond(&headers, body.items(&served.desk, client)).await
}

async fn api_check(
    State(served): State<Served>,
    from: ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (headers, client, body) = match read::<kimina::CheckBody>(&served, from, request).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    match body.items(&served.desk, client) {
        Ok(items) => batch::respond(&headers, items).await,
        Err(why) => Problem::Malformed(why).into_response(),
    }
}

async fn v1_check(State(served): State<Served>, from: ConnectInfo<SocketAddr>, request: Request) -> Response {
    let (_, client, question) = match read::<check::Question>(&served, from, request).await {
        Ok(read) => read,
        Err(problem) => return problem.into_response(),
    };
    let taken = match served.desk.take(client) {
        Ok(taken) => taken,
        Err(refusal) => return Problem::Refused(refusal).into_response(),
    };
    let request = question.into_request();
    let id = request.id.clone();
    let reply = served.desk.answer(taken, request).await;
    Json(check::Answer::of(atlas_proto::CheckReply { id, ..reply })).into_response()
}

/// Who asks, and what: the key first, so that nobody else's body is read.
async fn read<B: DeserializeOwned>(
    served: &Served,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Result<(HeaderMap, Client, B), Problem> {
    let (parts, body) = request.into_parts();
    let client = identify(served, &parts.headers, from.ip()).ok_or(Problem::Unknown)?;
    let bytes = body_of(served, &parts.headers, body).await?;
    let body = serde_json::from_slice(&bytes)
        .map_err(|error| Problem::Malformed(format!("the body is not what it must be: {error}")))?;
    Ok((parts.headers, client, body))
}

async fn body_of(served: &Served, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let most = served.body_bytes;
    let told = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if told.is_some_and(|length: usize| length > most) {
        // Read and forgotten, within reason: a client that still sends hears no answer.
        let rest = axum::body::to_bytes(body, 4 * most);
        drop(tokio::time::timeout(BODY_TIME, rest).await);
        return Err(Problem::TooLarge(most));
    }
    let read = tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, most)).await;
    read.map_err(|_| Problem::TooSlow)?.map_err(|_| Problem::TooLarge(most))
}

/// The client by its key, in `Authorization: Bearer` or, as Kimina's server has it, in `X-Auth-Token`.
fn identify(served: &Served, headers: &HeaderMap, address: IpAddr) -> Option<Client> {
    let named = |name: &str| headers.get(name)?.to_str().ok();
    let value = named("authorization").or_else(|| named("x-auth-token"));
    let token = value.map(|value| value.strip_prefix("Bearer ").unwrap_or(value).trim());
    served.desk.clients.identify(token, address)
}

async fn ready(State(served): State<Served>) -> impl IntoResponse {
    match served.desk.stopping.is_cancelled() {
        false => (StatusCode::OK, "ok\n"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "the verifier is being stopped\n"),
    }
}

async fn metrics(State(served): State<Served>) -> impl IntoResponse {
    let openmetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, openmetrics)], served.metrics.render())
}

async fn openapi(State(served): State<Served>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], served.openapi)
}

async fn keys(State(served): State<Served>) -> Response {
    match tokio::fs::read(&*served.ring).await {
        Ok(ring) => ([(header::CONTENT_TYPE, "application/json")], ring).into_response(),
        Err(error) => {
            tracing::error!(%error, file = %served.ring.display(), "the public keys cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
