//! Group commit. What a process wants stored in one stream while it still waits for the stream's last word goes as one atomic batch
//! (NATS's ADR-50): the server syncs once for all of it, and not once for each. A few go one by one.
//!
//! A batch is stored as a whole or not at all, so when the server refuses it for one of its messages (another host has written
//! a journal, a letter is known) each goes again by itself.

use async_nats::client::RequestErrorKind;
use async_nats::{HeaderMap, Request};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};

use crate::connect::{BROKEN, PATIENCE, StoreError, Wire};

/// Messages that are worth a batch: the server syncs four times for one, whatever its size.
const LEAST: usize = 8;
/// Messages of a batch; the server takes up to 1,000.
const MOST: usize = 512;
/// Bytes of a batch, so that it is sent in little time.
const MOST_BYTES: usize = 4 << 20;

const BATCH: &str = "Nats-Batch-Id";
const NUMBER: &str = "Nats-Batch-Sequence";
const COMMIT: &str = "Nats-Batch-Commit";

/// A message that is to be stored.
struct Wanted {
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
    stored: oneshot::Sender<Result<u64, StoreError>>,
}

/// A process's way into one stream.
#[derive(Debug)]
pub(crate) struct Group(mpsc::UnboundedSender<Wanted>);

impl Group {
    /// Begins to commit; ends when it is dropped. Call inside the tokio runtime.
    pub fn new(wire: Wire) -> Self {
        let (sender, mut queue) = mpsc::unbounded_channel::<Wanted>();
        tokio::spawn(async move {
            let mut waiting = Vec::new();
            while queue.recv_many(&mut waiting, MOST).await > 0 {
                while !waiting.is_empty() {
                    let mut bytes = 0;
                    let fits = waiting.iter().take_while(|wanted| {
                        bytes += wanted.payload.len();
                        bytes <= MOST_BYTES
                    });
                    let rest = waiting.split_off(fits.count().max(1));
                    commit(&wire, std::mem::replace(&mut waiting, rest)).await;
                }
            }
        });
        Self(sender)
    }

    /// Stores a message; returns its sequence once it is on disk. What is sent stays sent when the future is dropped.
    pub async fn store(
        &self,
        subject: String,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, StoreError> {
        let gone = || StoreError::Unknown("the connection is gone".into());
        let (stored, answered) = oneshot::channel();
        self.0.send(Wanted { subject, headers, payload, stored }).map_err(|_| gone())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// Stores all, and tells each.
async fn commit(wire: &Wire, group: Vec<Wanted>) {
    let all = if group.len() < LEAST { Batch::Refused } else { batch(wire, &group).await };
    match all {
        Batch::Stored(first) => {
            for (wanted, sequence) in group.into_iter().zip(first..) {
                // Whoever asked may be gone.
                let _ = wanted.stored.send(Ok(sequence));
            }
        }
        Batch::Refused => {
            let each = group.into_iter().map(|Wanted { subject, headers, payload, stored }| async move {
                let _ = stored.send(wire.store(subject, headers, payload).await);
            });
            futures::future::join_all(each).await;
        }
        Batch::Unknown(cause) => {
            for wanted in group {
                let _ = wanted.stored.send(Err(StoreError::Unknown(cause.clone().into())));
            }
        }
    }
}

/// What became of a batch.
enum Batch {
    /// It is stored, the first message as this sequence, the others right after it.
    Stored(u64),
    /// Nothing of it is.
    Refused,
    /// All of it may be stored, or nothing.
    Unknown(String),
}

/// What the server says of a batch.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    count: u64,
}

async fn batch(wire: &Wire, group: &[Wanted]) -> Batch {
    let id = format!("{:032x}", rand::random::<u128>());
    let broken = wire.broken();
    let numbered = |at: usize, wanted: &Wanted| {
        let mut headers = wanted.headers.clone();
        headers.insert(BATCH, id.as_str());
        headers.insert(NUMBER, (at + 1).to_string());
        headers
    };
    let Some((last, others)) = group.split_last() else { return Batch::Refused };
    for (at, wanted) in others.iter().enumerate() {
        let (subject, payload) = (wanted.subject.clone(), wanted.payload.clone());
        if let Err(error) = wire.client.publish_with_headers(subject, numbered(at, wanted), payload).await {
            // Without its last message the server forgets it.
            return Batch::Unknown(error.to_string());
        }
    }
    let mut headers = numbered(others.len(), last);
    headers.insert(COMMIT, "1");
    let request = Request::new().headers(headers).payload(last.payload.clone()).timeout(Some(PATIENCE));
    let answer = tokio::select! {
        answer = wire.client.send_request(last.subject.clone(), request) => answer,
        () = broken => return Batch::Unknown(BROKEN.to_owned()),
    };
    match answer {
        Ok(answer) => match serde_json::from_slice::<Answer>(&answer.payload) {
            Ok(Answer { seq, count }) if count == group.len() as u64 => Batch::Stored(seq + 1 - count),
            _ => Batch::Refused,
        },
        Err(error) if error.kind() == RequestErrorKind::NoResponders => Batch::Refused,
        Err(error) => Batch::Unknown(error.to_string()),
    }
}
