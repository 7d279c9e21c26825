//! Status: one JSON document per service, for people to look at.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream::kv::Operation;
use atlas_domain::RunId;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::spec::STATUS;
use crate::{Bus, Error};

/// Pause between two writes of a service: at most 4 a second.
const PAUSE: Duration = Duration::from_millis(250);

/// Writes a service's status document. Setting it is cheap and never waits; what is set while a write is
/// due replaces what was to be written. The last one is written also after the writer is dropped.
#[derive(Debug, Clone)]
pub struct StatusWriter {
    sender: std::sync::Arc<watch::Sender<Bytes>>,
}

impl StatusWriter {
    /// Sets the document.
    pub fn set(&self, status: &impl Serialize) {
        match serde_json::to_vec(status) {
            Ok(json) => {
                self.sender.send_if_modified(|current| {
                    let changed = current[..] != json[..];
                    if changed {
                        *current = Bytes::from(json);
                    }
                    changed
                });
            }
            Err(error) => tracing::warn!(%error, "a status cannot be written as JSON"),
        }
    }
}

impl Bus {
    /// The status document of a service of a run. Call inside the tokio runtime.
    pub fn status(&self, run: &RunId, service: &str) -> StatusWriter {
        let (sender, mut receiver) = watch::channel(Bytes::new());
        let (bus, key) = (self.clone(), format!("{run}.{service}"));
        tokio::spawn(async move {
            while receiver.changed().await.is_ok() {
                let json = receiver.borrow_and_update().clone();
                let written = match bus.statuses().await {
                    Ok(store) => store.put(&key, json).await.map(drop).map_err(|error| error.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                if let Err(error) = written {
                    // Status is a view: the next one will do.
                    tracing::debug!(key, error, "a status was not written");
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
        StatusWriter { sender: std::sync::Arc::new(sender) }
    }

    /// All status documents of a run, by service.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn read_status(&self, run: &RunId) -> Result<BTreeMap<String, Value>, Error> {
        let mut documents = BTreeMap::new();
        let prefix = format!("$KV.{STATUS}.{run}.");
        self.read(&format!("KV_{STATUS}"), &format!("{prefix}>"), |stored| {
            if let (Some(service), Ok(document)) =
                (stored.subject.strip_prefix(&prefix), serde_json::from_slice(&stored.payload))
            {
                documents.insert(service.to_owned(), document);
            }
            Ok(())
        })
        .await?;
        Ok(documents)
    }

    /// The status documents of a run as they are and as they change: service and document.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn watch_status(
        &self,
        run: &RunId,
    ) -> Result<impl Stream<Item = (String, Value)> + Send + Unpin + use<>, Error> {
        let prefix = format!("{run}.");
        let watch = self.statuses().await?.watch_with_history(format!("{prefix}>")).await;
        let watch = watch.map_err(|error| Error::failed(format!("watch the status of {run}"), error))?;
        Ok(Box::pin(watch.filter_map(move |entry| {
            let parsed = entry.ok().filter(|entry| entry.operation == Operation::Put).and_then(|entry| {
                let service = entry.key.strip_prefix(&prefix)?.to_owned();
                Some((service, serde_json::from_slice(&entry.value).ok()?))
            });
            async move { parsed }
        })))
    }
}
