//! W3C trace contexts: what is written into the header `traceparent` of every message and record.

use std::cell::Cell;
use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

pub use crate::setup::spans as layer;

/// The header, in lower case: NATS tells header names apart by case.
pub const HEADER: &str = "traceparent";

/// The current span as a W3C `traceparent`; empty when no subscriber gives spans their ids.
pub fn current_traceparent() -> String {
    traceparent(&Span::current())
}

/// `span` as a W3C `traceparent`; empty when it has no ids.
pub fn traceparent(span: &Span) -> String {
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&span.context(), &mut carrier);
    carrier.remove(HEADER).unwrap_or_default()
}

/// Makes `span` a child of what `traceparent` names and returns it. An empty or malformed
/// `traceparent` leaves it as it is. Call it before the span is entered.
pub fn with_parent(traceparent: &str, span: Span) -> Span {
    if !traceparent.is_empty() {
        let carrier = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
        // Fails only where no OpenTelemetry layer is installed: then there is nothing to join.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
    span
}

/// Makes `span` the very span that `traceparent` names: the root of a trace whose ids are derived and kept by nobody. Call
/// it before the span is entered. Where the process's ids are not [`Ids`], the span begins a trace of its own.
pub fn root(traceparent: &str, span: Span) -> Span {
    let named = context(traceparent);
    if named.is_valid() {
        NEXT.set(Some((named.trace_id(), named.span_id())));
        // A span's ids are made when they are first asked for.
        let _ = span.context();
        NEXT.set(None);
    }
    span
}

/// One span for each of `traceparents`, for a piece of work that belongs to all of them. The first one is the work's own; the
/// others refer to it by a link.
pub fn shared<'a>(traceparents: impl IntoIterator<Item = &'a str>, make: impl Fn() -> Span) -> Vec<Span> {
    let spans: Vec<Span> =
        traceparents.into_iter().map(|traceparent| with_parent(traceparent, make())).collect();
    if let [first, others @ ..] = spans.as_slice() {
        for span in others {
            span.add_link(first.context().span().span_context().clone());
        }
    }
    spans
}

fn context(traceparent: &str) -> SpanContext {
    let carrier = HashMap::from([(HEADER.to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract(&carrier).span().span_context().clone()
}

/// Random ids, but for the spans that [`root`] makes.
#[derive(Debug, Default)]
pub struct Ids(RandomIdGenerator);

thread_local! {
    /// The ids of the span that this thread is making.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// The trace id in a `traceparent`, 32 hex digits, for logs and reports.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}
