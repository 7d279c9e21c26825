//! Status: small JSON documents for people to look at. A service that one process at a time holds for a run writes
//! `<run>.<service>`; of a service with many processes each writes its own, `<run>.<service>.<host>`, and readers sum them up.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::kv::Operation;
use atlas_domain::RunId;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::spec::STATUS;
use crate::{Bus, Error};

/// Pause between two writes of a service: at most 4 a second.
const PAUSE: Duration = Duration::from_millis(250);
/// Bytes of a status a second, at most: a document that lists thousands of targets comes less often.
const BYTES_PER_SECOND: f64 = 256.0 * 1024.0;
/// How often a process writes its document when nothing changes, so that readers know that it lives.
const BEAT: Duration = Duration::from_secs(20);
/// How long after its last write a process is taken for gone: four beats lost, and clocks that are apart.
const GONE_MS: u64 = 90_000;
/// In a process's document: whether it is at work still. False once it has ended.
const AT_WORK: &str = "at_work";
/// In a process's document: when it was written, Unix milliseconds.
const WRITTEN_MS: &str = "written_ms";

/// Writes a service's status document. Setting it is cheap and never waits; what is set while a write is
/// due replaces what was to be written. The last one is written also after the writer is dropped.
#[derive(Debug, Clone)]
pub struct StatusWriter {
    sender: std::sync::Arc<watch::Sender<Value>>,
}

impl StatusWriter {
    /// Sets the document.
    pub fn set(&self, status: &impl Serialize) {
        match serde_json::to_value(status) {
            Ok(json) => {
                self.sender.send_if_modified(|current| {
                    let changed = *current != json;
                    if changed {
                        *current = json;
                    }
                    changed
                });
            }
            Err(error) => tracing::warn!(%error, "a status cannot be written as JSON"),
        }
    }
}

/// Whose a status document is, from its key after the run: `planner`, or `agents.HOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusKey<'a> {
    /// The service.
    pub service: &'a str,
    /// The process, of a service with many.
    pub host: Option<&'a str>,
}

impl<'a> StatusKey<'a> {
    /// Takes a key apart.
    pub fn parse(key: &'a str) -> Self {
        match key.split_once('.') {
            Some((service, host)) => Self { service, host: Some(host) },
            None => Self { service: key, host: None },
        }
    }
}

/// Whether the process that wrote `document` is at work: it has not said that it ended, and it was heard of lately. Always
/// of a document that is not one process's.
pub fn is_at_work(document: &Value) -> bool {
    let at_work = document.get(AT_WORK).and_then(Value::as_bool).unwrap_or(true);
    let written = document.get(WRITTEN_MS).and_then(Value::as_u64);
    at_work && written.is_none_or(|written| now_ms().saturating_sub(written) < GONE_MS)
}

impl Bus {
    /// The status document of a service that one process holds at a time. Call inside the tokio runtime.
    pub fn status(&self, run: &RunId, service: &str) -> StatusWriter {
        let (sender, mut receiver) = watch::channel(Value::Null);
        let (bus, key) = (self.clone(), format!("{run}.{service}"));
        tokio::spawn(async move {
            while receiver.changed().await.is_ok() {
                let document = receiver.borrow_and_update().clone();
                let pause = bus.write_status(&key, &document).await;
                tokio::time::sleep(pause).await;
            }
        });
        StatusWriter { sender: std::sync::Arc::new(sender) }
    }

    /// The status document of one process, `host`, of a service that many processes serve. It is written now and then also
    /// when nothing changes, and says so when the process ends ([`is_at_work`]). Call inside the tokio runtime.
    pub fn process_status(&self, run: &RunId, service: &str, host: &str) -> StatusWriter {
        let (sender, mut receiver) = watch::channel(Value::Null);
        let (bus, key) = (self.clone(), format!("{run}.{service}.{}", token(host)));
        tokio::spawn(async move {
            loop {
                let over = tokio::select! {
                    changed = receiver.changed() => changed.is_err(),
                    () = tokio::time::sleep(BEAT) => false,
                };
                let document = receiver.borrow_and_update().clone();
                let mut pause = PAUSE;
                if let Value::Object(document) = document {
                    pause = bus.write_status(&key, &stamped(document, !over)).await;
                }
                if over {
                    return;
                }
                tokio::time::sleep(pause).await;
            }
        });
        StatusWriter { sender: std::sync::Arc::new(sender) }
    }

    /// Writes a document, and says how long to leave it at that.
    async fn write_status(&self, key: &str, document: &Value) -> Duration {
        let json = Bytes::from(document.to_string());
        let pause = Duration::from_secs_f64(json.len() as f64 / BYTES_PER_SECOND).max(PAUSE);
        let written = match self.statuses().await {
            Ok(store) => store.put(key, json).await.map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = written {
            // Status is a view: the next one will do.
            tracing::debug!(key, error, "a status was not written");
        }
        pause
    }

    /// Says of every process of the run that has a document that it is at work no more.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub(crate) async fn rest_processes(&self, run: &RunId) -> Result<(), Error> {
        for (key, document) in self.read_status(run).await? {
            if let (Some(_), Value::Object(document)) = (StatusKey::parse(&key).host, document) {
                self.write_status(&format!("{run}.{key}"), &stamped(document, false)).await;
            }
        }
        Ok(())
    }

    /// All status documents of a run, by service, or service and process ([`StatusKey`]).
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

    /// The status documents of a run as they are and as they change: key ([`StatusKey`]) and document.
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

fn stamped(mut document: Map<String, Value>, at_work: bool) -> Value {
    document.insert(AT_WORK.to_owned(), at_work.into());
    document.insert(WRITTEN_MS.to_owned(), now_ms().into());
    Value::Object(document)
}

/// `host` as one token of a key: what NATS does not take there becomes `_`.
fn token(host: &str) -> String {
    host.chars().map(|c| if c.is_ascii_alphanumeric() || "-_=".contains(c) { c } else { '_' }).collect()
}

fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_process_is_at_work_until_it_says_otherwise_or_is_not_heard_of() {
        let document = |written: u64, at_work| {
            let mut document = stamped(Map::new(), at_work);
            document[WRITTEN_MS] = written.into();
            document
        };
        assert!(is_at_work(&document(now_ms(), true)));
        assert!(!is_at_work(&document(now_ms(), false)));
        assert!(!is_at_work(&document(now_ms() - GONE_MS, true)));
        assert!(is_at_work(&json!({"phase": "working"})), "a document of a whole service");
    }

    #[test]
    fn keys_tell_service_and_process_apart() {
        assert_eq!(StatusKey::parse("planner"), StatusKey { service: "planner", host: None });
        assert_eq!(
            StatusKey::parse("agents.runner-0"),
            StatusKey { service: "agents", host: Some("runner-0") }
        );
        assert_eq!(token("runner.0 a"), "runner_0_a");
    }
}
