//! The `chat` span carries OpenTelemetry's GenAI attributes.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::common::{Reply, Server, anthropic_events, call, models, options};
use atlas_llm::Provider;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

#[derive(Clone, Default)]
struct Fields(Arc<Mutex<BTreeMap<String, String>>>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.lock().insert(field.name().to_owned(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

impl<S: tracing::Subscriber> Layer<S> for Fields {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "chat" {
            attributes.record(&mut self.clone());
        }
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        values.record(&mut self.clone());
    }
}

#[tokio::test]
async fn the_chat_span_has_the_genai_attributes() {
    let fields = Fields::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(fields.clone()));
    let server =
        Server::start(vec![Reply::Status(500, vec![], String::new()), Reply::Events(anthropic_events("{}"))])
            .await;
    let mut options = options(Provider::Anthropic, &server.url, 1);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "k").unwrap();
    options.key = Some(atlas_llm::KeySource::File(folder.path().join("key")));
    models(options).call(&call()).await.unwrap();
    insta::assert_debug_snapshot!(fields.0.lock());
}
