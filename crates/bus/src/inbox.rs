//! Inboxes: letters to actors, one durable consumer per partition.

use std::time::Duration;

use async_nats::Subscriber;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Letter;
use bytes::Bytes;
use futures::StreamExt as _;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::connect::{header, trace_headers};
use crate::dead::{ACTOR, MAX_DELIVERIES, message_id};
use crate::spec::WORK;
use crate::{Bus, Error, subject};

/// How long a letter may lie with a host before it is delivered again. Short, for a letter is
/// acknowledged as soon as one record is stored, and a dead host's letters should follow its partitions
/// closely; a letter that comes twice is known by its id.
const ACK_WAIT: Duration = Duration::from_secs(15);
/// Letters that may lie with a host unacknowledged, per partition. The server's default of 1,000 would do
/// for 64 partitions of 30,000 agents; a planner has but one.
const MAX_PENDING: i64 = 4096;
/// Letters asked for at once.
const PREFETCH: usize = 128;
/// How long one pull waits at the server. Long, for there is one for each partition, and each costs messages whether letters come or not:
/// 64 partitions 0.75 a second. The client pulls again by itself when its connection was broken, or when the server says that it
/// cannot serve the pull any more; we do when another server of a cluster leads the consumer, which knows nothing of it.
const PULL: Duration = Duration::from_secs(600);
/// How often the server says that a pull still waits, should it have been forgotten without a word.
const HEARTBEAT: Duration = Duration::from_secs(120);
/// Pauses before a broken pull is taken up again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl Bus {
    /// Puts a letter into an actor's inbox; returns once it is on disk. `id` names the letter for
    /// ever: the actor acts on it once however often it is sent.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Failed`]. After the latter send it again, with the same id.
    pub async fn send(&self, to: &ActorId, letter: Letter, id: &str) -> Result<(), Error> {
        let subject = subject::work(&to.run, to.kind.as_str(), to.partition(self.partitions().await?))?;
        subject::token(&to.id)?;
        let payload = Bytes::from(letter.encode_to_vec());
        self.fits(|| format!("letter {id} to {to}"), payload.len())?;
        let mut headers = trace_headers();
        headers.insert(ACTOR, to.id.as_str());
        // The server's own dedup (2 minutes) only spares traffic. Ids are unique per receiver.
        headers.insert(async_nats::header::NATS_MESSAGE_ID, format!("{to}:{id}"));
        headers.insert(LETTER, id);
        let stored = self.work_group().store(subject, headers, payload).await;
        stored.map(drop).map_err(|error| Error::failed(format!("send letter {id} to {to}"), error))
    }

    /// Opens the inbox of a partition. Only the holder of its lease should.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn inbox(&self, run: &RunId, kind: ActorKind, partition: u16) -> Result<Inbox, Error> {
        let puller = Puller { bus: self.clone(), run: run.clone(), kind, partition };
        let messages = puller.open().await?;
        let (sender, deliveries) = mpsc::channel(PREFETCH);
        Ok(Inbox { deliveries, puller: tokio::spawn(puller.pull(messages, sender)) })
    }

    /// Creates or finds the durable consumer of one work subject.
    pub(crate) async fn consumer(
        &self,
        run: &RunId,
        queue: &str,
        partition: u16,
        ack_wait: Duration,
        max_ack_pending: i64,
    ) -> Result<PullConsumer, Error> {
        let name = subject::consumer(run, queue, partition);
        let failed = |cause: crate::error::Cause| {
            Error::failed(format!("open consumer {name} of stream {WORK}"), cause)
        };
        let config = pull::Config {
            durable_name: Some(name.clone()),
            filter_subject: subject::work(run, queue, partition)?,
            deliver_policy: DeliverPolicy::All,
            ack_policy: AckPolicy::Explicit,
            ack_wait,
            // We count ourselves, and bury: the server would leave the message in the stream for ever.
            max_deliver: -1,
            max_ack_pending,
            ..pull::Config::default()
        };
        self.js().create_consumer_on_stream(config, WORK).await.map_err(|error| failed(error.into()))
    }
}

/// The header with a letter's id as its sender gave it.
pub(crate) const LETTER: &str = "Atlas-Letter";

/// A partition's inbox, open. A task of its own pulls, so that nothing is lost when [`Inbox::next`] is
/// dropped half-way; it ends with the inbox.
#[derive(Debug)]
pub struct Inbox {
    deliveries: mpsc::Receiver<Delivery>,
    puller: JoinHandle<()>,
}

impl Inbox {
    /// The next letter. Waits for ever, across a server that restarts. May be dropped and called again.
    pub async fn next(&mut self) -> Delivery {
        match self.deliveries.recv().await {
            Some(delivery) => delivery,
            // The puller ends only with the inbox, or with the runtime.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.puller.abort();
    }
}

struct Puller {
    bus: Bus,
    run: RunId,
    kind: ActorKind,
    partition: u16,
}

impl Puller {
    async fn open(&self) -> Result<pull::Stream, Error> {
        let consumer =
            self.bus.consumer(&self.run, self.kind.as_str(), self.partition, ACK_WAIT, MAX_PENDING).await?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(PREFETCH)
            .expires(PULL)
            .heartbeat(HEARTBEAT)
            .messages()
            .await;
        messages.map_err(|error| {
            Error::failed(
                format!("pull letters to {} actors of {}, partition {}", self.kind, self.run, self.partition),
                error,
            )
        })
    }

    /// News that another server leads the consumer: an advisory of JetStream. Without it the heartbeat tells, late.
    async fn elections(&self) -> Option<Subscriber> {
        let consumer = subject::consumer(&self.run, self.kind.as_str(), self.partition);
        let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.LEADER_ELECTED.{WORK}.{consumer}");
        self.bus.client().subscribe(subject).await.ok()
    }

    /// Passes letters on. What is no letter, or was delivered too often, is buried.
    async fn pull(self, mut messages: pull::Stream, deliveries: mpsc::Sender<Delivery>) {
        let mut pause = SHORTEST_PAUSE;
        let mut elected = self.elections().await;
        loop {
            let next = tokio::select! {
                next = messages.next() => next.map(|next| next.map_err(|error| error.to_string())),
                () = happens(&mut elected) => Some(Err("another server leads the consumer".to_owned())),
            };
            let error = match next {
                Some(Ok(message)) => {
                    pause = SHORTEST_PAUSE;
                    if let Some(delivery) = self.parse(message).await
                        && deliveries.send(delivery).await.is_err()
                    {
                        return;
                    }
                    continue;
                }
                Some(Err(error)) => error,
                None => "closed".to_owned(),
            };
            tracing::debug!(kind = %self.kind, partition = self.partition, error, "pulling again");
            messages = loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                match self.open().await {
                    Ok(messages) => break messages,
                    Err(error) => tracing::debug!(%error, "the inbox cannot be opened yet"),
                }
            };
        }
    }

    async fn parse(&self, message: Message) -> Option<Delivery> {
        let headers = message.headers.as_ref();
        let actor = header(headers, ACTOR);
        let deliveries = message.info().map_or(1, |info| info.delivered.unsigned_abs());
        let reason = if actor.is_empty() {
            format!("it has no header {ACTOR}")
        } else if deliveries > MAX_DELIVERIES {
            format!("it was delivered {MAX_DELIVERIES} times and never acknowledged")
        } else {
            match Letter::decode(message.payload.clone()) {
                Ok(letter) => {
                    let actor = ActorId { run: self.run.clone(), kind: self.kind, id: actor.to_owned() };
                    let id = match header(headers, LETTER) {
                        "" => message_id(&message),
                        id => id.to_owned(),
                    };
                    let traceparent = header(headers, atlas_telemetry::trace::HEADER).to_owned();
                    return Some(Delivery {
                        actor,
                        letter,
                        id,
                        traceparent,
                        deliveries,
                        message,
                        bus: self.bus.clone(),
                    });
                }
                Err(error) => format!("it is not a letter: {error}"),
            }
        };
        self.bus.bury_message(&message, reason).await;
        None
    }
}

/// Waits for the next message, for ever if there will be none.
async fn happens(news: &mut Option<Subscriber>) {
    if let Some(subscriber) = news
        && subscriber.next().await.is_some()
    {
        return;
    }
    *news = None;
    std::future::pending().await
}

/// A letter as it was delivered. Dropped without a word, it comes again.
pub struct Delivery {
    /// Whom it is for.
    pub actor: ActorId,
    /// What it says.
    pub letter: Letter,
    /// Its id, as the sender gave it.
    pub id: String,
    /// The sender's trace context; may be empty.
    pub traceparent: String,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    message: Message,
    bus: Bus,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("actor", &self.actor).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Delivery {
    /// Takes it off the inbox. Once is enough: an acknowledgement that gets lost means one more
    /// delivery of a letter whose id is known.
    pub async fn ack(self) {
        if let Err(error) = self.message.ack().await {
            tracing::debug!(id = self.id, %error, "a letter was not acknowledged; it will come again");
        }
    }

    /// Has it delivered again after `pause`.
    pub async fn retry(self, pause: Duration) {
        if let Err(error) = self.message.ack_with(AckKind::Nak(Some(pause))).await {
            tracing::debug!(id = self.id, %error, "a letter was not handed back; it will come again later");
        }
    }

    /// Buries it with `reason`.
    pub async fn bury(self, reason: impl Into<String>) {
        self.bus.bury_message(&self.message, reason.into()).await;
    }
}
