//! What a person looks at when nothing moves: how full the streams are, who has their copies, what waits in the queues.

use async_nats::jetstream::consumer::Info;
use atlas_domain::RunId;
use futures::TryStreamExt as _;
use serde::Serialize;

use crate::error::Cause;
use crate::spec::{Spec, WORK};
use crate::{Bus, Error, subject};

/// A stream as the server has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StreamState {
    /// Its name.
    pub stream: String,
    /// Messages that it holds.
    pub messages: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Copies that it is to have.
    pub copies: usize,
    /// The node that leads it. None: no half of its nodes can be reached, and nothing can be stored. A server alone names none.
    pub leader: Option<String>,
    /// Nodes that have not all of it: gone, or behind.
    pub behind: Vec<String>,
}

/// What a server gives to JetStream, and what is taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Bytes taken by all streams.
    pub used: u64,
    /// Bytes that they may take; `None`: as many as the disk has.
    pub limit: Option<u64>,
}

/// A queue of letters or work, in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueState {
    /// Kind of actor whose inbox it is, or the name of the work.
    pub queue: String,
    /// The partition.
    pub partition: u16,
    /// Messages that nobody has been given.
    pub waiting: u64,
    /// Messages that somebody has and has not acknowledged.
    pub taken: usize,
    /// Of those, given out more than once.
    pub again: usize,
    /// Takers that ask for the next one right now.
    pub takers: usize,
}

impl QueueState {
    fn of(info: &Info) -> Option<Self> {
        let mut parts = info.name.rsplitn(3, '-');
        let partition = parts.next()?.parse().ok()?;
        Some(Self {
            queue: parts.next()?.to_owned(),
            partition,
            waiting: info.num_pending,
            taken: info.num_ack_pending,
            again: info.num_redelivered,
            takers: info.num_waiting,
        })
    }
}

impl Bus {
    /// Every stream as it is.
    ///
    /// # Errors
    /// [`Error::Failed`] when one is not there or does not answer.
    pub async fn streams(&self) -> Result<Vec<StreamState>, Error> {
        let mut states = vec![];
        for stream in Spec::new(1).streams() {
            let found = self.js().get_stream(&stream.name).await;
            let found = found.map_err(|e| Error::failed(format!("look up stream {}", stream.name), e))?;
            let info = found.cached_info();
            let peers = info.cluster.iter().flat_map(|cluster| &cluster.replicas);
            states.push(StreamState {
                stream: stream.name,
                messages: info.state.messages,
                bytes: info.state.bytes,
                copies: info.config.num_replicas,
                leader: info.cluster.as_ref().and_then(|cluster| cluster.leader.clone()),
                behind: peers
                    .filter(|peer| peer.offline || !peer.current)
                    .map(|peer| peer.name.clone())
                    .collect(),
            });
        }
        Ok(states)
    }

    /// How much of what JetStream may take is taken.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn room(&self) -> Result<Room, Error> {
        let account = self.js().query_account().await;
        let account = account.map_err(|e| Error::failed("ask what JetStream may store", e))?;
        let limit = account.limits.max_storage.and_then(|limit| u64::try_from(limit).ok());
        Ok(Room { used: account.storage, limit })
    }

    /// The queues of a run that hold anything or that anybody takes from, by name and partition.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn queues(&self, run: &RunId) -> Result<Vec<QueueState>, Error> {
        let failed = |cause: Cause| Error::failed(format!("list the queues of {run}"), cause);
        let stream = self.js().get_stream_no_info(WORK).await.map_err(|e| failed(e.into()))?;
        let consumers: Vec<Info> = stream.consumers().try_collect().await.map_err(|e| failed(e.into()))?;
        let own = consumers.iter().filter(|info| subject::consumer_belongs(&info.name, run));
        let mut queues: Vec<QueueState> = own.filter_map(QueueState::of).collect();
        let prefix = format!("atlas.work.{run}.");
        let held = stream.info_with_subjects(format!("{prefix}>")).await.map_err(|e| failed(e.into()))?;
        let held: Vec<(String, usize)> = held.try_collect().await.map_err(|e| failed(e.into()))?;
        // The server forgets a taker that is long gone, and what lies there still would not be seen.
        for (subject, messages) in held {
            let place = subject.strip_prefix(&prefix).and_then(|place| place.split_once('.'));
            let Some((queue, Ok(partition))) = place.map(|(queue, partition)| (queue, partition.parse()))
            else {
                continue;
            };
            if queues.iter().all(|known| (known.queue.as_str(), known.partition) != (queue, partition)) {
                let queue = queue.to_owned();
                queues.push(QueueState {
                    queue,
                    partition,
                    waiting: messages as u64,
                    taken: 0,
                    again: 0,
                    takers: 0,
                });
            }
        }
        queues.sort_by(|a, b| (&a.queue, a.partition).cmp(&(&b.queue, b.partition)));
        Ok(queues)
    }
}
