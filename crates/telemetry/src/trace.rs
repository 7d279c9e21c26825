//! W3C trace contexts: what is written into the header `traceparent` of every message and record.

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
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

/// The trace id in a `traceparent`, 32 hex digits, for logs and reports.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(id)
}
