//! Many checks in one request: each with an answer of its own, told at once or together.

use std::task::{Context, Poll, Waker};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use serde::Serialize;
use tokio_util::task::AbortOnDropHandle;

use super::clients::Refusal;
use super::error::Problem;

/// Newline-delimited JSON.
pub(super) const NDJSON: &str = "application/x-ndjson";

/// An item of a batch: what will come of it.
pub(super) struct Item<T> {
    answer: BoxFuture<'static, T>,
    refused: Option<Refusal>,
}

impl<T: Send + 'static> Item<T> {
    /// One that is on its way, in a task of its own: who reads a stream slowly, or not at all, must not keep a turn that others wait for.
    /// The task ends with the item.
    pub(super) fn taken(answer: impl Future<Output = T> + Send + 'static) -> Self {
        let mut answer = answer.boxed();
        // Its place in the line is taken here, in the order of the request: tasks begin in any.
        if let Poll::Ready(known) = answer.poll_unpin(&mut Context::from_waker(Waker::noop())) {
            return Self::known(known);
        }
        let task = AbortOnDropHandle::new(tokio::spawn(answer));
        let answer =
            task.map(|ended| ended.unwrap_or_else(|died| std::panic::resume_unwind(died.into_panic())));
        Self { answer: answer.boxed(), refused: None }
    }

    /// One whose answer is known already, without Lean.
    pub(super) fn known(answer: T) -> Self {
        Self { answer: std::future::ready(answer).boxed(), refused: None }
    }

    /// One that was not taken on.
    pub(super) fn refused(refusal: Refusal, answer: T) -> Self {
        Self { refused: Some(refusal), ..Self::known(answer) }
    }
}

/// `results`, in the order of the items.
#[derive(Serialize)]
struct Results<T> {
    results: Vec<T>,
}

/// Answers with one JSON document or, if `headers` accept it, with a line for each item as soon as it is done. A batch of which nothing
/// was taken on is answered with 429 (or 503, where that is not the client's doing).
pub(super) async fn respond<T: Serialize + Send + 'static>(
    headers: &HeaderMap,
    items: Vec<Item<T>>,
) -> Response {
    if let Some(refusal) = none_taken(&items) {
        return Problem::Refused(refusal).into_response();
    }
    let answers = items.into_iter().map(|item| item.answer);
    if !accepts_lines(headers) {
        return Json(Results { results: join_all(answers).await }).into_response();
    }
    // Who goes away drops the stream, and with it whatever Lean has not begun.
    let lines = answers.collect::<FuturesUnordered<_>>().map(|answer| {
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        Ok::<_, serde_json::Error>(Bytes::from(line))
    });
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON))];
    (StatusCode::OK, kind, Body::from_stream(lines)).into_response()
}

/// Of a batch in which nothing was taken on, the refusal that asks to wait the longest.
fn none_taken<T>(items: &[Item<T>]) -> Option<Refusal> {
    let refusals: Option<Vec<Refusal>> = items.iter().map(|item| item.refused).collect();
    refusals?.into_iter().max_by_key(|refusal| refusal.again)
}

fn accepts_lines(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(header::ACCEPT);
    let mut kinds = accept.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    kinds.any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(NDJSON)))
}
