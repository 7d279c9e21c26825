//! One trace runs from a target through its agents' model turns, checks and reviews to its landing: asked of a real
//! OTLP collector's end, a gRPC server that takes what a real run exports.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use common::{atlas, git, json};

/// What a collector keeps.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<Vec<String>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            for attribute in resource.resource.unwrap_or_default().attributes {
                if let Some(Any::StringValue(name)) = attribute.value.and_then(|value| value.value)
                    && attribute.key == "service.name"
                {
                    self.services.lock().unwrap().push(name);
                }
            }
            self.spans.lock().unwrap().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// The spans of one trace, with their parents.
struct Trace<'a> {
    spans: HashMap<&'a [u8], &'a Span>,
}

impl<'a> Trace<'a> {
    fn all(spans: &'a [Span]) -> HashMap<&'a [u8], Self> {
        let mut traces: HashMap<&[u8], Self> = HashMap::new();
        for span in spans {
            let trace = traces.entry(&span.trace_id).or_insert_with(|| Self { spans: HashMap::new() });
            let twice = trace.spans.insert(&span.span_id, span);
            assert!(twice.is_none(), "two spans have one id: {} and {:?}", span.name, twice.map(|s| &s.name));
        }
        traces
    }

    fn named(&self, name: &str) -> Vec<&'a Span> {
        self.spans.values().copied().filter(|span| span.name == name).collect()
    }

    fn parent(&self, span: &Span) -> Option<&'a Span> {
        self.spans.get(span.parent_span_id.as_slice()).copied()
    }

    /// The names from `span` up to the root.
    fn way_up(&self, span: &'a Span) -> Vec<&'a str> {
        std::iter::successors(Some(span), |span| self.parent(span)).map(|span| span.name.as_str()).collect()
    }
}

fn attribute(span: &Span, key: &str) -> Option<String> {
    let value = span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value?;
    Some(match value {
        Any::StringValue(text) => text,
        Any::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

#[test]
fn one_trace_runs_from_a_target_through_turns_checks_and_reviews_to_its_landing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let collector = Collector::default();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = TraceServiceServer::new(collector.clone()).max_decoding_message_size(64 << 20);
    let serving = {
        let _inside = runtime.enter();
        Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener))
    };
    runtime.spawn(serving);

    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("dominoes");
    let output = atlas(&["run", "-f", "examples/dominoes/atlasrun.yaml", "--ui", "json", "--dir"])
        .arg(dir.path())
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    // The exporter is flushed before the process ends.
    let spans = collector.spans.lock().unwrap().clone();
    assert_eq!(collector.services.lock().unwrap().first().map(String::as_str), Some("atlas"));
    let traces = Trace::all(&spans);

    let report = json(&home.join("report/report.json"));
    for target in report["targets"].as_array().unwrap() {
        let id = target["id"].as_str().unwrap();
        let root = spans.iter().find(|span| span.name == format!("target {id}"));
        let root = root.unwrap_or_else(|| panic!("`{id}` has no root span"));
        assert!(root.parent_span_id.is_empty(), "`{id}`: its root has a parent");
        let trace = &traces[root.trace_id.as_slice()];
        for span in trace.spans.values().filter(|span| span.span_id != root.span_id) {
            assert!(trace.parent(span).is_some(), "`{id}`: the parent of `{}` was never exported", span.name);
            assert_eq!(trace.way_up(span).last(), Some(&root.name.as_str()), "`{id}`: {}", span.name);
        }

        // Planner, agents and their turns, by the GenAI conventions.
        for name in ["start formalizer", "invoke_agent formalizer", "chat recorded", "execute_tool submit"] {
            assert!(!trace.named(name).is_empty(), "`{id}` has no span `{name}`");
        }
        let chat = trace.named("chat recorded")[0];
        for (key, value) in [("gen_ai.operation.name", "chat"), ("gen_ai.provider.name", "recorded")] {
            assert_eq!(attribute(chat, key).as_deref(), Some(value), "{key}");
        }
        for key in [
            "gen_ai.agent.name",
            "gen_ai.request.model",
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.output_tokens",
        ] {
            assert!(attribute(chat, key).is_some(), "`{id}`: the turn has no `{key}`");
        }
        assert!(
            trace.way_up(chat).iter().any(|name| name.starts_with("invoke_agent ")),
            "{:?}",
            trace.way_up(chat)
        );

        // Checks, in the verifier, under the tool that asked.
        let served = trace.named("serve atlas.check");
        let under_tool =
            |span: &&Span| trace.way_up(span).iter().any(|name| name.starts_with("execute_tool "));
        assert!(served.iter().any(under_tool), "`{id}`: no tool's check reached the verifier");

        // Review, certificate, landing.
        for name in [
            "invoke_agent mathematical-reviewer",
            "submit to the merge queue",
            "ask for a certificate",
            "land",
        ] {
            assert!(!trace.named(name).is_empty(), "`{id}` has no span `{name}`");
        }

        // What landed says which trace it came by.
        let commit = target["landed_commit"].as_str().unwrap();
        let trailer = ["log", "-1", "--format=%(trailers:key=Atlas-Trace,valueonly,separator=)", commit];
        assert_eq!(git(&home.join("library.git"), &trailer).trim(), hex::encode(&root.trace_id), "`{id}`");
    }
    // A check that is shared by several submissions is one span of the verifier, in the trace of one of them.
    let certified = spans.iter().filter(|span| span.name == "certify");
    for span in certified {
        let trace = &traces[span.trace_id.as_slice()];
        assert!(trace.way_up(span).contains(&"ask for a certificate"), "{:?}", trace.way_up(span));
    }
}
