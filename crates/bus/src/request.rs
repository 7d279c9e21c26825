//! Request and reply with typed errors, deadlines and back-pressure.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Request};
use bytes::Bytes;
use futures::StreamExt as _;
use prost::Message;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::connect::{header, trace_headers};
use crate::{Bus, Error};

/// Milliseconds that the asker still waits; relative, so that clocks need not agree.
const DEADLINE: &str = "Atlas-Deadline-Ms";
/// `busy`, `failed`, `invalid` or `late`; the payload then says why.
const FAULT: &str = "Atlas-Fault";
/// With `busy`: when to ask again, in milliseconds.
const RETRY_AFTER: &str = "Atlas-Retry-After-Ms";
/// What `busy` advises.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// How long requests under way may take to finish at shutdown.
const DRAIN: Duration = Duration::from_secs(2);

/// How many requests a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimit {
    /// Handled at once.
    pub concurrency: usize,
    /// Waiting beyond those; more are told at once that the server is busy.
    pub waiting: usize,
}

/// A request as it reached its server.
#[derive(Debug)]
pub struct Asked<Q> {
    /// The question.
    pub message: Q,
    /// When the asker gives up. The handler is dropped then.
    pub deadline: Instant,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The server has enough to do.
    #[error("{subject} is busy; ask again in {} ms", retry_after.as_millis())]
    Busy {
        /// Whom was asked.
        subject: String,
        /// When to ask again.
        retry_after: Duration,
    },
    /// Nobody serves the subject.
    #[error("nobody serves {subject}: check that its service runs")]
    NoResponders {
        /// Whom was asked.
        subject: String,
    },
    /// No answer before the deadline.
    #[error("{subject} did not answer within {} ms", deadline.as_millis())]
    TimedOut {
        /// Whom was asked.
        subject: String,
        /// How long was waited.
        deadline: Duration,
    },
    /// The handler failed, and says why.
    #[error("{0}")]
    Remote(String),
    /// The connection failed, or the message does not fit, or the answer does not parse.
    #[error(transparent)]
    Bus(#[from] Error),
}

impl RequestError {
    /// May the same request be answered later?
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Busy { .. }
                | Self::NoResponders { .. }
                | Self::TimedOut { .. }
                | Self::Bus(Error::Failed { .. })
        )
    }
}

impl Bus {
    /// Asks whoever serves `subject` and waits up to `deadline`.
    ///
    /// # Errors
    /// See [`RequestError`]; nothing is tried twice.
    pub async fn request<Q: Message, R: Message + Default>(
        &self,
        subject: &str,
        question: &Q,
        deadline: Duration,
    ) -> Result<R, RequestError> {
        let payload = Bytes::from(question.encode_to_vec());
        self.fits(|| format!("a request to {subject}"), payload.len())?;
        let mut headers = trace_headers();
        headers.insert(DEADLINE, deadline.as_millis().to_string());
        let request = Request::new().payload(payload).headers(headers).timeout(Some(deadline));
        let answer = self.client().send_request(subject.to_owned(), request).await.map_err(|error| {
            match error.kind() {
                RequestErrorKind::NoResponders => RequestError::NoResponders { subject: subject.to_owned() },
                RequestErrorKind::TimedOut => {
                    RequestError::TimedOut { subject: subject.to_owned(), deadline }
                }
                _ => Error::failed(format!("ask {subject}"), error).into(),
            }
        })?;
        let why = || String::from_utf8_lossy(&answer.payload).into_owned();
        match header(answer.headers.as_ref(), FAULT) {
            "" => R::decode(answer.payload.clone()).map_err(|error| {
                Error::Corrupt { what: format!("the answer of {subject}"), cause: error.to_string() }.into()
            }),
            "busy" => {
                let pause = header(answer.headers.as_ref(), RETRY_AFTER)
                    .parse()
                    .map_or(BUSY_PAUSE, Duration::from_millis);
                Err(RequestError::Busy { subject: subject.to_owned(), retry_after: pause })
            }
            "late" => Err(RequestError::TimedOut { subject: subject.to_owned(), deadline }),
            _ => Err(RequestError::Remote(why())),
        }
    }

    /// Answers requests on `subject` until `shutdown`, shared with all others of the same `queue`. Each
    /// runs in a span that continues the asker's trace; `Err` of the handler reaches the asker as [`RequestError::Remote`].
    ///
    /// # Errors
    /// [`Error::Failed`] when the subject cannot be subscribed to.
    pub async fn serve<Q, R, F, Fut>(
        &self,
        subject: &str,
        queue: &str,
        limit: ServeLimit,
        handler: F,
        shutdown: CancellationToken,
    ) -> Result<(), Error>
    where
        Q: Message + Default + 'static,
        R: Message + 'static,
        F: Fn(Asked<Q>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, String>> + Send + 'static,
    {
        let mut requests = self
            .client()
            .queue_subscribe(subject.to_owned(), queue.to_owned())
            .await
            .map_err(|error| Error::failed(format!("serve {subject}"), error))?;
        // Known to the server before we say that we serve.
        self.flush().await?;
        let handler = Arc::new(handler);
        let running = Arc::new(Semaphore::new(limit.concurrency.max(1)));
        let admitted = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        loop {
            let request = tokio::select! {
                request = requests.next() => request,
                Some(_) = tasks.join_next() => continue,
                () = shutdown.cancelled() => None,
            };
            let Some(request) = request else { break };
            let Some(asker) = request.reply.clone() else { continue };
            let arrived = Instant::now();
            let admission = Admission::ask(&admitted, limit.concurrency.max(1) + limit.waiting);
            let Some(admission) = admission else {
                let mut headers = fault("busy");
                headers.insert(RETRY_AFTER, BUSY_PAUSE.as_millis().to_string());
                self.answer(asker, headers, Bytes::new()).await;
                continue;
            };
            let patience = header(request.headers.as_ref(), DEADLINE)
                .parse()
                .map_or(Duration::from_secs(60), Duration::from_millis);
            let traceparent = header(request.headers.as_ref(), atlas_telemetry::trace::HEADER).to_owned();
            let span =
                tracing::info_span!("serve", otel.name = format!("serve {subject}"), otel.kind = "server");
            let span = atlas_telemetry::trace::with_parent(&traceparent, span);
            let (bus, handler, running) = (self.clone(), handler.clone(), running.clone());
            let task = async move {
                let _admission = admission;
                let deadline = arrived + patience;
                let answered = tokio::time::timeout_at(deadline, async {
                    // The semaphore is never closed.
                    let _running =
                        running.acquire_owned().await.map_err(|error| ("failed", error.to_string()))?;
                    let message = Q::decode(request.payload)
                        .map_err(|error| ("invalid", format!("the request does not parse: {error}")))?;
                    handler(Asked { message, deadline }).await.map_err(|why| ("failed", why))
                })
                .await;
                let (headers, payload) = match answered {
                    Ok(Ok(answer)) => (HeaderMap::new(), Bytes::from(answer.encode_to_vec())),
                    Ok(Err((kind, why))) => (fault(kind), Bytes::from(why)),
                    Err(_) => (fault("late"), Bytes::new()),
                };
                let fits = bus.fits(|| "the answer".to_owned(), payload.len());
                match fits {
                    Ok(()) => bus.answer(asker, headers, payload).await,
                    Err(error) => bus.answer(asker, fault("failed"), Bytes::from(error.to_string())).await,
                }
            };
            tasks.spawn(task.instrument(span));
        }
        // Others of the queue take over at once; what is under way may finish.
        if let Err(error) = requests.unsubscribe().await {
            tracing::debug!(subject, %error, "the subscription ended with the connection");
        }
        let drained = tokio::time::timeout(DRAIN, async { while tasks.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::info!(subject, unanswered = tasks.len(), "stopped with requests under way");
        }
        Ok(())
    }

    async fn answer(&self, asker: async_nats::Subject, headers: HeaderMap, payload: Bytes) {
        if let Err(error) = self.client().publish_with_headers(asker, headers, payload).await {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }
}

/// A request's place among those running and waiting.
struct Admission(Arc<AtomicUsize>);

impl Admission {
    fn ask(admitted: &Arc<AtomicUsize>, limit: usize) -> Option<Self> {
        // Only one task admits, so nobody else raises it in between.
        if admitted.load(Ordering::Acquire) >= limit {
            return None;
        }
        admitted.fetch_add(1, Ordering::AcqRel);
        Some(Self(admitted.clone()))
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn fault(kind: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(FAULT, kind);
    headers
}
