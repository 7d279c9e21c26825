//! The bucket that says who hosts what. A host's process has a **session**, `session.<id>`, which it renews; each partition that it
//! hosts has a **claim**, `<run>.<kind>.<partition>`, which names the session and is written once. Every write is a compare-and-set on the
//! key's revision; what is read is a hint.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL};
use async_nats::jetstream::kv::Operation;
use atlas_domain::RunId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::connect::StoreError;
use crate::read::Stored;
use crate::spec::HOSTS;
use crate::{Bus, Error};

/// When the server forgets a session that nobody renews, and the mark of a key that was deleted. Only sweeps up: what it forgets has long
/// been dead, as long as its clock does not jump so far.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// What a claim says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The session under which it was made.
    pub session: String,
    /// The host as it calls itself, for people to read.
    pub holder: String,
}

/// A key as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Of the last write, deletions included; 0: there is no trace of the key.
    pub revision: u64,
    /// `None`: deleted.
    pub value: Option<Bytes>,
}

/// What becomes of a key.
pub(crate) enum Write {
    /// A claim: stays until it is deleted.
    Claim(Claim),
    /// A session's next renewal.
    Session,
    Delete,
}

/// The key of a session.
pub(crate) fn session(id: &str) -> String {
    format!("session.{id}")
}

impl Bus {
    /// Reads a key. A hint: on a cluster a follower may answer with what was.
    pub(crate) async fn look(&self, key: &str) -> Result<Entry, Error> {
        let read = self.hosts().await?.entry(key).await;
        let entry = read.map_err(|error| Error::failed(format!("read who hosts what, {key}"), error))?;
        Ok(entry.map_or(Entry { revision: 0, value: None }, |entry| Entry {
            revision: entry.revision,
            value: (entry.operation == Operation::Put).then_some(entry.value),
        }))
    }

    /// Writes a key if its revision is `after`; returns the new one.
    pub(crate) async fn write(&self, key: &str, after: u64, write: Write) -> Result<u64, StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, after.to_string());
        if !matches!(write, Write::Claim(_)) {
            headers.insert(NATS_MESSAGE_TTL, format!("{}s", FORGOTTEN.as_secs()));
        }
        let payload = match write {
            Write::Claim(claim) => {
                serde_json::to_vec(&claim).map_err(|error| StoreError::Unknown(error.into()))?.into()
            }
            Write::Session => Bytes::from_static(b"{}"),
            Write::Delete => {
                headers.insert("KV-Operation", "DEL");
                Bytes::new()
            }
        };
        self.store_in_hosts(format!("$KV.{HOSTS}.{key}"), headers, payload).await
    }

    /// The sessions that are there: alive, or dead and not found to be yet. A hint.
    pub(crate) async fn sessions(&self) -> Result<HashSet<String>, Error> {
        let prefix = format!("$KV.{HOSTS}.session.");
        let mut sessions = HashSet::new();
        self.read(&format!("KV_{HOSTS}"), &format!("{prefix}*"), |stored| {
            if !is_deleted(&stored) {
                sessions.extend(stored.subject.strip_prefix(&prefix).map(ToOwned::to_owned));
            }
            Ok(())
        })
        .await?;
        Ok(sessions)
    }

    /// Visits the claims of a run, of one kind or all, each with key, revision and what it says; deleted ones say nothing.
    pub(crate) async fn each_claim(
        &self,
        run: &RunId,
        kind: Option<atlas_domain::ActorKind>,
        mut visit: impl FnMut(&str, u64, Option<Claim>),
    ) -> Result<(), Error> {
        let prefix = format!("$KV.{HOSTS}.");
        let kind = kind.map_or("*", |kind| kind.as_str());
        self.read(&format!("KV_{HOSTS}"), &format!("{prefix}{run}.{kind}.*"), |stored| {
            if let Some(key) = stored.subject.strip_prefix(&prefix) {
                let claim = (!is_deleted(&stored)).then(|| parse_claim(&stored.payload)).flatten();
                visit(key, stored.sequence, claim);
            }
            Ok(())
        })
        .await
    }
}

fn is_deleted(stored: &Stored) -> bool {
    stored.headers.get("KV-Operation").is_some()
}

/// What is no claim claims nothing.
pub(crate) fn parse_claim(value: &[u8]) -> Option<Claim> {
    serde_json::from_slice(value).ok()
}
