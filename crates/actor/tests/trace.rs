//! One trace runs from a letter through its effect to the letter that the effect sends.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use atlas_actor::{EffectError, Executor, HostOptions, Machine, Scope, host};
use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::{HumanReply, Letter, letter};
use atlas_telemetry::trace;
use atlas_testkit::TestNats;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The plan actor's one letter makes it write to the merge actor.
#[derive(Default)]
struct Relay<const MERGE: bool> {
    got: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Got {}

impl<const MERGE: bool> Machine for Relay<MERGE> {
    const KIND: ActorKind = if MERGE { ActorKind::Merge } else { ActorKind::Plan };
    const VERSION: u32 = 1;
    type Event = Got;
    type Command = ();
    type Effect = ();

    fn new(_: &ActorId) -> Self {
        Self::default()
    }
    fn apply(&mut self, _: &Got, _: u64) {
        self.got = true;
    }
    fn decide(&self, (): (), _: u64) -> Vec<Got> {
        vec![Got {}]
    }
    fn effects(&self) -> Vec<(String, ())> {
        if self.got && !MERGE { vec![("pass on".to_owned(), ())] } else { Vec::new() }
    }
    fn is_finished(&self) -> bool {
        false
    }
}

struct Post {
    bus: Bus,
    got: watch::Sender<u32>,
}

fn note() -> Letter {
    Letter { letter: Some(letter::Letter::HumanReply(HumanReply::default())) }
}

impl<const MERGE: bool> Executor<Relay<MERGE>> for Post {
    fn command(&self, _: Letter) -> Option<()> {
        Some(())
    }
    async fn execute(&self, scope: Scope, (): ()) -> Result<Option<()>, EffectError> {
        assert_eq!(trace::current_traceparent(), scope.traceparent);
        let to = ActorId::singleton(&scope.actor.run, ActorKind::Merge);
        self.bus
            .send(&to, note(), &scope.key)
            .await
            .map_err(|error| EffectError::Fatal(error.to_string()))?;
        Ok(None)
    }
    fn observed(&self, _: &ActorId, machine: &Relay<MERGE>) {
        if MERGE && machine.got {
            self.got.send_modify(|got| *got += 1);
        }
    }
}

#[tokio::test]
async fn one_trace_runs_from_letter_through_effect_to_letter() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    tracing_subscriber::registry().with(trace::layer(provider.tracer("test"))).init();
    let nats = TestNats::start().await;
    let bus = nats.bus().await;
    let run = RunId::new("r").unwrap();
    let (got, mut seen) = watch::channel(0);
    let post = Arc::new(Post { bus: bus.clone(), got });
    let shutdown = CancellationToken::new();
    let options = HostOptions { run: run.clone(), partitions: 1, host: "test".to_owned() };
    let plan = tokio::spawn(host::<Relay<false>, Post>(
        bus.clone(),
        options.clone(),
        post.clone(),
        shutdown.clone(),
    ));
    let merge = tokio::spawn(host::<Relay<true>, Post>(bus.clone(), options, post, shutdown.clone()));

    let root = tracing::info_span!(target: "atlas_test", "root");
    let traceparent = trace::traceparent(&root);
    let planner = ActorId::singleton(&run, ActorKind::Plan);
    bus.send(&planner, note(), "first").instrument(root).await.unwrap();
    seen.wait_for(|&got| got > 0).await.unwrap();
    shutdown.cancel();
    plan.await.unwrap().unwrap();
    merge.await.unwrap().unwrap();

    let id = trace::trace_id(&traceparent).unwrap();
    let spans = exporter.get_finished_spans().unwrap();
    let span =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no span {name}"));
    let (first, effect, second) = (span("letter plan"), span("effect plan"), span("letter merge"));
    for span in [first, effect, second] {
        assert_eq!(span.span_context.trace_id().to_string(), id, "{}", span.name);
    }
    let child = |child: &SpanData, parent: &SpanData| child.parent_span_id == parent.span_context.span_id();
    assert!(child(effect, first) && child(second, effect));
    for kind in [ActorKind::Plan, ActorKind::Merge] {
        let records = bus.records(&ActorId::singleton(&run, kind)).await.unwrap();
        assert!(records.iter().all(|(_, record)| trace::trace_id(&record.traceparent) == Some(id)));
    }
}
