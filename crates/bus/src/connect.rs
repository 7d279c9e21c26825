//! The connection.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::context::{AccountErrorKind, ContextBuilder, PublishError, PublishErrorKind};
use async_nats::jetstream::object_store::ObjectStore;
use async_nats::jetstream::{self, ErrorCode, kv};
use async_nats::{Client, ConnectOptions, Event, HeaderMap};
use bytes::Bytes;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep};

use crate::error::Cause;
use crate::group::Group;
use crate::object::FileCache;
use crate::session::Slot;
use crate::spec::{HOSTS, OBJECTS, STATUS};
use crate::{Error, subject};

/// The oldest nats-server that has all that the bus uses, and does it: in 2.12.0 and 2.12.1 a batch that is read from a stream while that is
/// written to may lock the stream up for good (`getDirectRequest` takes the stream's lock for reading twice, a writer comes between).
pub(crate) const MINIMUM: (u64, u64, u64) = (2, 12, 2);
pub(crate) const MINIMUM_TEXT: &str = "2.12.2";

/// How long the server may take over one JetStream operation. Generous: each is on disk, by fsync,
/// before it is acknowledged.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// How often a server that says nothing is asked whether it is there; after the third time without an answer the connection counts as
/// broken, and another server is tried. A machine that lost its power says no goodbye: a lease (10 s) must outlast finding that out.
const PING: Duration = Duration::from_secs(1);

/// How long a server may take to greet; then the next is tried.
const GREETING: Duration = Duration::from_secs(2);

/// How long a cluster, or one of its streams, may be without a leader, or without a node that answers.
pub(crate) const ABSENCE: Duration = Duration::from_secs(30);

/// Pause before what a cluster cannot do yet is asked for again.
pub(crate) const BETWEEN: Duration = Duration::from_millis(50);

/// Pause before a message goes again whose predecessor is being stored.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// How long an acknowledgement may take after the connection was made anew.
const AFTER_RECONNECT: Duration = Duration::from_secs(1);

/// Where NATS is and who asks.
#[derive(Clone)]
pub struct Options {
    /// E.g. `nats://127.0.0.1:4222`; several, comma-separated, for a cluster.
    pub url: String,
    /// User and password.
    pub user: Option<(String, String)>,
    /// The service's name, for the server's monitoring.
    pub name: String,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.user.as_ref().map(|(user, _)| user);
        f.debug_struct("Options")
            .field("url", &self.url)
            .field("user", &user)
            .field("name", &self.name)
            .finish()
    }
}

/// A connection to the bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

struct Inner {
    wire: Wire,
    /// The ways into the journal and into the work, which thousands of actors go at once.
    journal: Group,
    work: Group,
    partitions: OnceCell<u16>,
    /// For the bucket of hosts: it has its own limit on writes under way, so that no renewal waits behind thousands of records.
    hosts_wire: Wire,
    hosts: OnceCell<kv::Store>,
    status: OnceCell<kv::Store>,
    objects: OnceCell<ObjectStore>,
    files: FileCache,
    session: Slot,
    /// Names this connection's sessions, with a number.
    host: String,
    sessions: AtomicU64,
}

/// The connection itself.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub client: Client,
    js: jetstream::Context,
    /// Counts how often a connection came about.
    connections: watch::Receiver<u64>,
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("state", &self.client().connection_state()).finish_non_exhaustive()
    }
}

impl Bus {
    /// Connects, and checks that the server is nats-server 2.12.2 or newer with JetStream. A connection
    /// that breaks later is taken up again for ever.
    ///
    /// # Errors
    /// [`Error::Connect`], [`Error::TooOld`], [`Error::NoJetStream`].
    pub async fn connect(options: &Options) -> Result<Self, Error> {
        let (connected, connections) = watch::channel(0);
        let mut connect = ConnectOptions::new()
            .name(&options.name)
            .connection_timeout(GREETING)
            .ping_interval(PING)
            .request_timeout(Some(PATIENCE))
            .reconnect_delay_callback(|attempts| Duration::from_millis(50 * attempts.min(20) as u64))
            .event_callback(move |event| {
                match event {
                    Event::Connected => {
                        connected.send_modify(|count| *count += 1);
                        tracing::debug!("connected to NATS");
                    }
                    Event::Closed | Event::Draining => tracing::debug!(%event, "NATS connection"),
                    _ => tracing::warn!(%event, "NATS connection"),
                }
                std::future::ready(())
            });
        if let Some((user, password)) = &options.user {
            connect = connect.user_and_password(user.clone(), password.clone());
        }
        let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
        let client = connect
            .connect(servers)
            .await
            .map_err(|error| Error::Connect { url: options.url.clone(), cause: error.to_string() })?;
        let info = client.server_info();
        if version(&info.version).is_none_or(|found| found < MINIMUM) {
            return Err(Error::TooOld {
                url: options.url.clone(),
                found: info.version,
                minimum: MINIMUM_TEXT,
            });
        }
        let js = context(&client);
        let deadline = Instant::now() + ABSENCE;
        while let Err(error) = js.query_account().await {
            // The nodes of a cluster may be choosing their leader.
            let passes = match error.kind() {
                AccountErrorKind::JetStream(ref error) => is_passing(error),
                AccountErrorKind::TimedOut => true,
                AccountErrorKind::JetStreamUnavailable | AccountErrorKind::Other => false,
            };
            if !passes || Instant::now() > deadline {
                return Err(Error::NoJetStream { url: options.url.clone(), cause: error.to_string() });
            }
            tokio::time::sleep(BETWEEN).await;
        }
        let wire = Wire { client: client.clone(), js, connections };
        let inner = Inner {
            journal: Group::new(wire.clone()),
            work: Group::new(wire.clone()),
            hosts_wire: Wire { js: context(&client), ..wire.clone() },
            wire,
            partitions: OnceCell::new(),
            hosts: OnceCell::new(),
            status: OnceCell::new(),
            objects: OnceCell::new(),
            files: FileCache::new(),
            session: Slot::default(),
            host: format!("{:032x}", rand::random::<u128>()),
            sessions: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Waits until all that was published has left this process.
    ///
    /// # Errors
    /// [`Error::Failed`] when the connection is down.
    pub async fn flush(&self) -> Result<(), Error> {
        self.client().flush().await.map_err(|error| Error::failed("flush the connection", error))
    }

    /// Messages that this connection has sent and received.
    pub fn messages(&self) -> u64 {
        let of = self.client().statistics();
        of.in_messages.load(Ordering::Relaxed) + of.out_messages.load(Ordering::Relaxed)
    }

    /// Bytes that this connection has sent and received.
    pub fn bytes(&self) -> u64 {
        let of = self.client().statistics();
        of.in_bytes.load(Ordering::Relaxed) + of.out_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.inner.wire.client
    }

    pub(crate) fn js(&self) -> &jetstream::Context {
        &self.inner.wire.js
    }

    pub(crate) fn partition_cell(&self) -> &OnceCell<u16> {
        &self.inner.partitions
    }

    pub(crate) fn files(&self) -> &FileCache {
        &self.inner.files
    }

    pub(crate) fn session_slot(&self) -> &Slot {
        &self.inner.session
    }

    /// What this connection's place among the hosts is called: what its sessions' names begin with.
    pub(crate) fn host(&self) -> &str {
        &self.inner.host
    }

    pub(crate) fn next_session_id(&self) -> String {
        format!("{}-{}", self.inner.host, self.inner.sessions.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) async fn hosts(&self) -> Result<&kv::Store, Error> {
        self.inner.hosts.get_or_try_init(|| Self::bucket(&self.inner.hosts_wire.js, HOSTS)).await
    }

    pub(crate) async fn statuses(&self) -> Result<&kv::Store, Error> {
        self.inner.status.get_or_try_init(|| Self::bucket(self.js(), STATUS)).await
    }

    pub(crate) async fn objects(&self) -> Result<&ObjectStore, Error> {
        let open = || async {
            let opened = self.js().get_object_store(OBJECTS).await;
            opened.map_err(|error| Error::failed(format!("open object store {OBJECTS}"), error))
        };
        self.inner.objects.get_or_try_init(open).await
    }

    async fn bucket(js: &jetstream::Context, name: &str) -> Result<kv::Store, Error> {
        js.get_key_value(name).await.map_err(|error| Error::failed(format!("open bucket {name}"), error))
    }

    /// The journal subject of `actor`.
    pub(crate) async fn journal_subject(&self, actor: &atlas_domain::ActorId) -> Result<String, Error> {
        subject::journal(actor, self.partitions().await?)
    }

    /// Publishes into a stream and waits until it is stored. Returns the sequence.
    pub(crate) async fn store(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, StoreError> {
        self.inner.wire.store(subject, headers, payload).await
    }

    /// The same for the bucket of hosts.
    pub(crate) async fn store_in_hosts(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, StoreError> {
        self.inner.hosts_wire.store(subject, headers, payload).await
    }

    /// The way into the journal.
    pub(crate) fn journal_group(&self) -> &Group {
        &self.inner.journal
    }

    /// The way into the work.
    pub(crate) fn work_group(&self) -> &Group {
        &self.inner.work
    }

    /// Refuses what NATS would refuse, with a message that helps. `what` names it. Headers get 64 KiB.
    pub(crate) fn fits(&self, what: impl FnOnce() -> String, size: usize) -> Result<(), Error> {
        let limit = self.client().max_payload().saturating_sub(64 << 10);
        if size > limit { Err(Error::TooLarge { what: what(), size, limit }) } else { Ok(()) }
    }
}

fn context(client: &Client) -> jetstream::Context {
    ContextBuilder::new().timeout(PATIENCE).ack_timeout(PATIENCE).build(client.clone())
}

impl Wire {
    /// As [`Bus::store`].
    pub async fn store(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, StoreError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let broken = self.broken();
            // Awaited twice: the first sends, the second waits for the acknowledgement.
            let sent = self.js.publish_with_headers(subject.clone(), headers.clone(), payload.clone());
            let acknowledgement = sent.await?;
            let acknowledged = tokio::select! {
                acknowledged = acknowledgement.into_future() => acknowledged,
                () = broken => return Err(StoreError::Unknown(BROKEN.into())),
            };
            match acknowledged {
                Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
                acknowledged => return Ok(acknowledged?.sequence),
            }
        }
    }

    /// Ends when the connection has been made anew since the call: an acknowledgement that was on its way when it broke
    /// never comes, and there is no need to wait for all our patience to run out.
    pub fn broken(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut connections = self.connections.clone();
        connections.mark_unchanged();
        async move {
            match connections.changed().await {
                Ok(()) => tokio::time::sleep(AFTER_RECONNECT).await,
                Err(_) => std::future::pending().await,
            }
        }
    }
}

/// Why an acknowledgement never came.
pub(crate) const BROKEN: &str = "the connection broke before the acknowledgement came";

/// Why a message is not in its stream, or may not be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// Refused: the subject has another last sequence than the one expected.
    #[error("wrong last sequence")]
    Outdated,
    /// It may be stored or not.
    #[error("{0}")]
    Unknown(Cause),
}

impl From<PublishError> for StoreError {
    fn from(error: PublishError) -> Self {
        if error.kind() == PublishErrorKind::WrongLastSequence {
            Self::Outdated
        } else {
            Self::Unknown(error.into())
        }
    }
}

/// Whether a message was refused because another of its subject is being stored (error 10164, younger than the client's list). On a
/// cluster that can be the very one expected, for a moment after it was acknowledged: nats-server 2.15.1 said so of 27 in 42,081
/// appends by 64 writers, each alone on its subject.
fn is_busy(error: &PublishError) -> bool {
    error.kind() != PublishErrorKind::WrongLastSequence && error.to_string().contains("wrong last sequence")
}

/// Whether a cluster says that it is between leaders, or that nodes which it needs are not there yet.
pub(crate) fn is_passing(error: &jetstream::Error) -> bool {
    [
        ErrorCode::CLUSTER_NOT_AVAILABLE,
        ErrorCode::CLUSTER_NO_PEERS,
        ErrorCode::CLUSTER_NOT_LEADER,
        ErrorCode::INSUFFICIENT_RESOURCES,
    ]
    .contains(&error.error_code())
}

/// Major, minor and patch of a version like `2.15.1` or `v2.12.0-beta.1`.
pub(crate) fn version(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.trim().trim_start_matches('v').split(['.', '-']);
    let mut number = || parts.next()?.parse().ok();
    Some((number()?, number()?, number()?))
}

/// Headers that carry the current span's trace context.
pub(crate) fn trace_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let traceparent = atlas_telemetry::trace::current_traceparent();
    if !traceparent.is_empty() {
        headers.insert(atlas_telemetry::trace::HEADER, traceparent);
    }
    headers
}

/// A header as text; empty when it is missing.
pub(crate) fn header<'a>(headers: Option<&'a HeaderMap>, name: &str) -> &'a str {
    headers.and_then(|headers| headers.get(name)).map_or("", async_nats::HeaderValue::as_str)
}
