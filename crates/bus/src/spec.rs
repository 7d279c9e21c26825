//! What lies on the server: every stream and bucket, in one place.

use std::collections::HashMap;
use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError, RequestErrorKind,
};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::connect::{BETWEEN, PATIENCE, is_passing};
use crate::{Bus, Error, subject};

pub(crate) const JOURNAL: &str = "ATLAS_JOURNAL";
pub(crate) const WORK: &str = "ATLAS_WORK";
pub(crate) const DEAD: &str = "ATLAS_DEAD";
pub(crate) const HOSTS: &str = "ATLAS_HOSTS";
pub(crate) const STATUS: &str = "ATLAS_STATUS";
pub(crate) const OBJECTS: &str = "ATLAS_OBJECTS";

/// In the journal stream's metadata: how many partitions agents lie in. Fixed for the life of a NATS
/// system, for it decides the subjects.
const PARTITIONS: &str = "atlas.partitions";

/// In the metadata of the bucket of hosts: how long a session holds without renewal, milliseconds. Hosts must agree on it: one that
/// gives up late would meet one that takes early.
const SESSION_TTL: &str = "atlas.session_ttl_ms";

/// How far back JetStream knows message ids. A help only: receivers know causes from their journals.
const DUPLICATES: Duration = Duration::from_secs(120);

/// How the streams are laid out on a NATS system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Partitions that agents lie in.
    pub partitions: u16,
    /// Copies of each stream: 1, or 3 on a cluster.
    pub replicas: usize,
    /// How long a host's session holds without renewal. Renewed at a third of it.
    pub lease_ttl: Duration,
}

impl Spec {
    /// One copy, sessions of 3 s: a small write a second for each host, and a dead host's partitions are taken over within 5 s.
    pub fn new(partitions: u16) -> Self {
        Self { partitions: partitions.max(1), replicas: 1, lease_ttl: Duration::from_secs(3) }
    }

    /// The same in so many copies. With more than one, sessions of 10 s: a cluster that has lost a leader takes some seconds to elect
    /// another, and hosts that cannot renew meanwhile should not give everything up.
    pub fn in_copies(self, replicas: usize) -> Self {
        let lease_ttl = if replicas > 1 { Duration::from_secs(10) } else { self.lease_ttl };
        Self { replicas, lease_ttl, ..self }
    }

    /// Every stream; buckets are streams too (ADR-8 and ADR-20 of NATS give their form).
    pub(crate) fn streams(&self) -> Vec<Config> {
        let base = |name: &str, subjects: &[&str]| Config {
            name: name.to_owned(),
            subjects: subjects.iter().map(|&s| s.to_owned()).collect(),
            storage: StorageType::File,
            retention: RetentionPolicy::Limits,
            // Full means refuse, never forget.
            discard: DiscardPolicy::New,
            max_messages: -1,
            max_bytes: -1,
            max_messages_per_subject: -1,
            duplicate_window: DUPLICATES,
            num_replicas: self.replicas,
            allow_direct: true,
            ..Config::default()
        };
        let bucket = |name: &str| Config {
            max_messages_per_subject: 1,
            allow_rollup: true,
            deny_delete: true,
            ..base(&format!("KV_{name}"), &[&format!("$KV.{name}.>")])
        };
        vec![
            Config {
                deny_delete: true,
                allow_atomic_publish: true,
                metadata: HashMap::from([(PARTITIONS.to_owned(), self.partitions.to_string())]),
                ..base(JOURNAL, &[subject::JOURNALS])
            },
            Config {
                retention: RetentionPolicy::WorkQueue,
                allow_atomic_publish: true,
                ..base(WORK, &[subject::WORK])
            },
            base(DEAD, &[subject::DEAD]),
            Config {
                // Keys of dead sessions, and the marks of deleted keys, go by themselves.
                allow_message_ttl: true,
                metadata: HashMap::from([(SESSION_TTL.to_owned(), self.lease_ttl.as_millis().to_string())]),
                ..bucket(HOSTS)
            },
            bucket(STATUS),
            Config {
                allow_rollup: true,
                ..base(
                    &format!("OBJ_{OBJECTS}"),
                    &[&format!("$O.{OBJECTS}.C.>"), &format!("$O.{OBJECTS}.M.>")],
                )
            },
        ]
    }
}

impl Bus {
    /// Creates what is missing for agents in `partitions` partitions and checks what is there.
    ///
    /// # Errors
    /// [`Error::Drift`] when a stream exists that is not as it should be.
    pub async fn ensure(&self, partitions: u16) -> Result<(), Error> {
        self.ensure_spec(&Spec::new(partitions)).await
    }

    /// As [`Bus::ensure`], with every choice open.
    ///
    /// # Errors
    /// As [`Bus::ensure`].
    pub async fn ensure_spec(&self, spec: &Spec) -> Result<(), Error> {
        let first = self.close_former_leases().await?;
        for mut wanted in spec.streams() {
            let name = wanted.name.clone();
            if name == format!("KV_{HOSTS}") {
                wanted.first_sequence = first;
            }
            let Some(found) = self.create_or_find(&wanted).await? else { continue };
            let differences = differences(&wanted, &found);
            if !differences.is_empty() {
                return Err(Error::Drift { stream: name, differences });
            }
            if wanted.allow_atomic_publish && !found.allow_atomic_publish {
                // Of a version that did not commit in groups.
                let config = Config { allow_atomic_publish: true, ..found };
                let updated = self.js().update_stream(config).await;
                updated.map_err(|error| Error::failed(format!("let stream {name} take batches"), error))?;
            }
        }
        // Set before only if it was read from this very stream, with which `spec` agrees.
        let _ = self.partition_cell().set(spec.partitions);
        Ok(())
    }

    /// Creates a stream if it is missing; what is there otherwise.
    async fn create_or_find(&self, wanted: &Config) -> Result<Option<Config>, Error> {
        let name = &wanted.name;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.look_up(name).await {
                Ok(stream) => return Ok(Some(stream.cached_info().config.clone())),
                Err(error) if missing(&error) => {}
                Err(error) => return Err(Error::failed(format!("look up stream {name}"), error)),
            }
            match self.js().create_stream(wanted).await {
                Ok(_) => return Ok(None),
                // Another service was faster, or will be; or a cluster's nodes do not all know each other yet.
                Err(error) if Instant::now() < deadline && may_be_there_soon(&error) => sleep(BETWEEN).await,
                Err(error) => return Err(Error::failed(format!("create stream {name}"), error)),
            }
        }
    }

    /// A stream as it is. A cluster that is between leaders is asked again.
    async fn look_up(&self, name: &str) -> Result<Stream, GetStreamError> {
        // One question takes as long to fail.
        let deadline = Instant::now() + PATIENCE * 2;
        loop {
            match self.js().get_stream(name).await {
                Err(error) if Instant::now() < deadline && may_pass(&error) => sleep(BETWEEN).await,
                found => return found,
            }
        }
    }

    /// Whether every stream has a leader and all its copies are up to date: a cluster in this state can lose any one node of three.
    ///
    /// # Errors
    /// [`Error::Failed`] when a stream has no leader, or none that answers in time.
    pub async fn is_whole(&self) -> Result<bool, Error> {
        for stream in Spec::new(1).streams() {
            let found = self.js().get_stream(&stream.name).await;
            let found = found.map_err(|e| Error::failed(format!("look up stream {}", stream.name), e))?;
            // One that stands alone says nothing of a cluster.
            if let Some(cluster) = &found.cached_info().cluster
                && (cluster.leader.is_none()
                    || cluster.replicas.iter().any(|peer| peer.offline || !peer.current))
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Messages that all streams and buckets have ever stored.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn stored(&self) -> Result<u64, Error> {
        let mut stored = 0;
        for stream in Spec::new(1).streams() {
            let found = self.js().get_stream(&stream.name).await;
            let found =
                found.map_err(|error| Error::failed(format!("look up stream {}", stream.name), error))?;
            stored += found.cached_info().state.last_sequence;
        }
        Ok(stored)
    }

    /// How many partitions agents lie in, as the journal stream says.
    ///
    /// # Errors
    /// [`Error::NotPrepared`] before the first [`Bus::ensure`] on this NATS system.
    pub async fn partitions(&self) -> Result<u16, Error> {
        self.partition_cell()
            .get_or_try_init(|| async {
                let stream = self.look_up(JOURNAL).await.map_err(|error| match missing(&error) {
                    true => Error::NotPrepared { stream: JOURNAL.to_owned() },
                    false => Error::failed(format!("look up stream {JOURNAL}"), error),
                })?;
                let metadata = &stream.cached_info().config.metadata;
                metadata.get(PARTITIONS).and_then(|count| count.parse().ok()).ok_or_else(|| Error::Drift {
                    stream: JOURNAL.to_owned(),
                    differences: vec![format!("metadata `{PARTITIONS}` is missing")],
                })
            })
            .await
            .copied()
    }

    /// How long a session holds without renewal, as the bucket of hosts says.
    pub(crate) async fn session_ttl(&self) -> Result<Duration, Error> {
        let hosts = self.hosts().await?;
        let ttl = hosts.stream.cached_info().config.metadata.get(SESSION_TTL);
        let ttl = ttl.and_then(|ttl| ttl.parse().ok()).filter(|ttl| *ttl > 0);
        ttl.map(Duration::from_millis).ok_or_else(|| Error::Drift {
            stream: hosts.stream_name.clone(),
            differences: vec![format!("metadata `{SESSION_TTL}` is missing")],
        })
    }
}

pub(crate) fn missing(error: &GetStreamError) -> bool {
    matches!(error.kind(), GetStreamErrorKind::JetStream(ref e) if e.error_code() == ErrorCode::STREAM_NOT_FOUND)
}

fn may_pass(error: &GetStreamError) -> bool {
    match error.kind() {
        // Who was asked may have died over it.
        GetStreamErrorKind::Request => error
            .source()
            .and_then(|source| source.downcast_ref::<RequestError>())
            .is_some_and(|error| error.kind() == RequestErrorKind::TimedOut),
        GetStreamErrorKind::JetStream(ref error) => is_passing(error),
        _ => false,
    }
}

fn may_be_there_soon(error: &async_nats::jetstream::context::CreateStreamError) -> bool {
    match error.kind() {
        CreateStreamErrorKind::TimedOut => true,
        CreateStreamErrorKind::JetStream(ref error) => {
            error.error_code() == ErrorCode::STREAM_NAME_EXIST || is_passing(error)
        }
        _ => false,
    }
}

/// What of `found` is not as `wanted`. More replicas than wanted, and fields that the server added, are fine.
fn differences(wanted: &Config, found: &Config) -> Vec<String> {
    const FIELDS: [&str; 13] = [
        "subjects",
        "retention",
        "storage",
        "discard",
        "max_msgs",
        "max_bytes",
        "max_age",
        "max_msgs_per_subject",
        "duplicate_window",
        "allow_direct",
        "allow_rollup_hdrs",
        "deny_delete",
        "subject_delete_marker_ttl",
    ];
    let json = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    let (wanted_json, found_json) = (json(wanted), json(found));
    // The server leaves out what is false or zero.
    let field = |config: &Value, name: &str| match &config[name] {
        Value::Bool(false) => Value::Null,
        Value::Number(n) if n.as_i64() == Some(0) => Value::Null,
        other => other.clone(),
    };
    let mut differences: Vec<String> = FIELDS
        .into_iter()
        .map(|name| (name, field(&found_json, name), field(&wanted_json, name)))
        .filter(|(_, found, wanted)| found != wanted)
        .map(|(name, found, wanted)| format!("{name} is {found}, not {wanted}"))
        .collect();
    for (key, value) in &wanted.metadata {
        let there = found.metadata.get(key);
        if there != Some(value) {
            differences.push(format!("{key} is {}, not {value}", there.map_or("missing", String::as_str)));
        }
    }
    if found.num_replicas < wanted.num_replicas {
        differences.push(format!("num_replicas is {}, not {}", found.num_replicas, wanted.num_replicas));
    }
    differences
}
