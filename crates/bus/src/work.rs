//! Plain work queues: one message, one worker, acknowledged when it is done.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message as JsMessage};
use atlas_domain::RunId;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::connect::{header, trace_headers};
use crate::dead::{MAX_DELIVERIES, message_id};
use crate::{Bus, Error, subject};

/// How long work may lie with a worker that gives no sign of life ([`Work::keep_alive`]).
const ACK_WAIT: Duration = Duration::from_secs(60);
/// Work under way at once over all workers of a queue: more than any fleet of verifiers has slots.
const MAX_PENDING: i64 = 20_000;
/// How long one pull waits at the server. Short, because a server that restarts forgets the pull. No heartbeats
/// instead: after one, a batch of async-nats 0.51 is no longer woken by the next message
/// (`Batch::poll_next` returns pending without a waker), and what comes then waits for `ACK_WAIT`.
const PULL: Duration = Duration::from_secs(5);

impl Bus {
    /// Puts work into a run's queue; returns once it is on disk. The same `id` within two minutes is dropped.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Failed`].
    pub async fn send_work<Q: Message>(
        &self,
        run: &RunId,
        queue: &str,
        message: &Q,
        id: &str,
    ) -> Result<(), Error> {
        let subject = subject::work(run, queue, 0)?;
        let payload = Bytes::from(message.encode_to_vec());
        self.fits(|| format!("work {id} for {queue}"), payload.len())?;
        let mut headers = trace_headers();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id);
        let stored = self.store(subject, headers, payload).await;
        stored.map(drop).map_err(|error| Error::failed(format!("queue work {id} for {queue}"), error))
    }

    /// Work from a run's queue, at most `slots` pieces at a time: a piece occupies a slot until it is
    /// dropped, and nothing is fetched for which there is no slot. Ends never, across a server that restarts.
    ///
    /// # Errors
    /// [`Error::Failed`] when the queue cannot be opened.
    pub async fn work<Q>(
        &self,
        run: &RunId,
        queue: &str,
        slots: usize,
    ) -> Result<impl Stream<Item = Work<Q>> + Send + Unpin + use<Q>, Error>
    where
        Q: Message + Default + 'static,
    {
        let consumer = self.consumer(run, queue, 0, ACK_WAIT, MAX_PENDING).await?;
        let slots = slots.clamp(1, 512);
        let (sender, receiver) = mpsc::channel(slots);
        let puller = Puller {
            bus: self.clone(),
            run: run.clone(),
            queue: queue.to_owned(),
            slots: Arc::new(Semaphore::new(slots)),
        };
        tokio::spawn(puller.pull(consumer, sender));
        Ok(Box::pin(futures::stream::unfold(receiver, |mut receiver| async {
            receiver.recv().await.map(|work| (work, receiver))
        })))
    }
}

struct Puller {
    bus: Bus,
    run: RunId,
    queue: String,
    slots: Arc<Semaphore>,
}

impl Puller {
    async fn pull<Q: Message + Default + 'static>(
        self,
        mut consumer: PullConsumer,
        sender: mpsc::Sender<Work<Q>>,
    ) {
        let mut pause = Duration::from_millis(100);
        loop {
            let outcome = tokio::select! {
                outcome = self.fill(&consumer, &sender) => outcome,
                () = sender.closed() => return,
            };
            let Err(error) = outcome else {
                pause = Duration::from_millis(100);
                continue;
            };
            tracing::debug!(queue = self.queue, error, "pulling again");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
            match self.bus.consumer(&self.run, &self.queue, 0, ACK_WAIT, MAX_PENDING).await {
                Ok(opened) => consumer = opened,
                Err(error) => tracing::debug!(queue = self.queue, %error, "the queue cannot be opened yet"),
            }
        }
    }

    /// Waits for free slots and pulls as many pieces as there are.
    async fn fill<Q: Message + Default + 'static>(
        &self,
        consumer: &PullConsumer,
        sender: &mpsc::Sender<Work<Q>>,
    ) -> Result<(), String> {
        // The semaphore is never closed.
        let first = self.slots.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let mut free = vec![first];
        while let Ok(permit) = self.slots.clone().try_acquire_owned() {
            free.push(permit);
        }
        let batch = consumer.batch().max_messages(free.len()).expires(PULL).messages().await;
        let mut batch = batch.map_err(|error| error.to_string())?;
        while let Some(message) = batch.next().await {
            let message = message.map_err(|error| error.to_string())?;
            let Some((body, deliveries)) = self.parse(&message).await else { continue };
            let Some(slot) = free.pop() else { return Ok(()) };
            let id = message_id(&message);
            let traceparent = header(message.headers.as_ref(), atlas_telemetry::trace::HEADER).to_owned();
            let handle = Arc::new(message);
            let work = Work {
                message: body,
                id,
                traceparent,
                deliveries,
                handle,
                bus: self.bus.clone(),
                _slot: slot,
            };
            if sender.send(work).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn parse<Q: Message + Default>(&self, message: &JsMessage) -> Option<(Q, u64)> {
        let deliveries = message.info().map_or(1, |info| info.delivered.unsigned_abs());
        let reason = if deliveries > MAX_DELIVERIES {
            format!("it was delivered {MAX_DELIVERIES} times and never finished")
        } else {
            match Q::decode(message.payload.clone()) {
                Ok(body) => return Some((body, deliveries)),
                Err(error) => format!("it does not parse: {error}"),
            }
        };
        self.bus.bury_message(message, reason).await;
        None
    }
}

/// A piece of work. Dropped without a word, it is delivered again after a minute.
#[derive(Debug)]
pub struct Work<Q> {
    /// What to do.
    pub message: Q,
    /// Its id, as the sender gave it.
    pub id: String,
    /// The sender's trace context; may be empty.
    pub traceparent: String,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    handle: Arc<JsMessage>,
    bus: Bus,
    _slot: OwnedSemaphorePermit,
}

impl<Q> Work<Q> {
    /// It is done, and its result is stored. Waits for the server's word.
    ///
    /// # Errors
    /// [`Error::Failed`]: it may be delivered again.
    pub async fn ack(&self) -> Result<(), Error> {
        self.handle
            .double_ack()
            .await
            .map_err(|error| Error::failed(format!("acknowledge work {}", self.id), error))
    }

    /// Tells the server that work goes on, every third of the time it waits, until the guard is dropped.
    pub fn keep_alive(&self) -> KeepAlive {
        let handle = self.handle.clone();
        let beat = tokio::spawn(async move {
            loop {
                tokio::time::sleep(ACK_WAIT / 3).await;
                if let Err(error) = handle.ack_with(AckKind::Progress).await {
                    tracing::debug!(%error, "a sign of life was not sent");
                }
            }
        });
        KeepAlive(beat)
    }

    /// Hands it back, to be delivered again after `pause`.
    pub async fn retry(self, pause: Duration) {
        if let Err(error) = self.handle.ack_with(AckKind::Nak(Some(pause))).await {
            tracing::debug!(id = self.id, %error, "work was not handed back; it will come again later");
        }
    }

    /// Buries it with `reason`.
    pub async fn bury(self, reason: impl Into<String>) {
        self.bus.bury_message(&self.handle, reason.into()).await;
    }
}

/// Keeps work from being delivered to another while this one is at it.
#[derive(Debug)]
pub struct KeepAlive(tokio::task::JoinHandle<()>);

impl Drop for KeepAlive {
    fn drop(&mut self) {
        self.0.abort();
    }
}
