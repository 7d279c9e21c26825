//! Reading streams in batches by JetStream's direct get (ADR-31): no consumer is created, so 30,000
//! actors can be read without a consumer each. (The crate `jetstream-extra` has it for an older async-nats.)
//!
//! On a cluster a follower may answer, and lag. What acts on a reading before it writes must not have it so: a host that wakes an
//! actor from a journal without its last record would make a paid call again. There the stream's leader is asked for the last
//! message first, and the reading goes on until it has that ([`Bus::read_whole`]). Where a reading is shown to people, or only says
//! what to try next, `Bus::read` is enough.

use async_nats::HeaderMap;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::connect::{ABSENCE, BETWEEN, PATIENCE, header, is_passing};
use crate::error::Cause;
use crate::{Bus, Error};

/// Messages a page.
const PAGE: usize = 512;
/// Bytes a page, so that one reader cannot swamp the connection.
const PAGE_BYTES: usize = 8 << 20;
/// Pages that may fail in a row where there is but one server.
const ATTEMPTS: u32 = 3;
/// Questions to leaders under way at once: they share a queue of the server's, which drops all when it is full (10,000).
static LEADERS: Semaphore = Semaphore::const_new(512);

/// A message as it lies in a stream.
pub(crate) struct Stored {
    pub subject: String,
    pub sequence: u64,
    pub headers: HeaderMap,
    pub payload: Bytes,
}

/// How a page ended.
enum Page {
    /// More may follow.
    More,
    /// The filter matches nothing beyond.
    End,
}

impl Bus {
    /// Hands every message of `stream` that matches `filter` to `visit`, in order.
    pub(crate) async fn read(
        &self,
        stream: &str,
        filter: &str,
        visit: impl FnMut(Stored) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.read_after(stream, filter, 0, visit).await
    }

    /// The same of the messages whose sequence is greater than `after`.
    pub(crate) async fn read_after(
        &self,
        stream: &str,
        filter: &str,
        after: u64,
        mut visit: impl FnMut(Stored) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut next = after + 1;
        let (mut failures, mut progress) = (0, Instant::now());
        loop {
            let before = next;
            let page = self.page(stream, filter, &mut next, &mut visit).await;
            // A page that brought something counts as progress.
            if next > before {
                (failures, progress) = (0, Instant::now());
            }
            match page {
                Ok(Page::End) => return Ok(()),
                Ok(Page::More) => {}
                Err(Ended::Visitor(error)) => return Err(error),
                Err(Ended::Connection(cause)) => {
                    failures += 1;
                    let passes = self.is_clustered() && progress.elapsed() < ABSENCE;
                    if failures >= ATTEMPTS && !passes {
                        return Err(Error::failed(format!("read {filter} of stream {stream}"), cause));
                    }
                    sleep(BETWEEN).await;
                }
            }
        }
    }

    /// As [`Bus::read_after`], with everything that was acknowledged before this call, whichever node answers.
    pub(crate) async fn read_whole(
        &self,
        stream: &str,
        filter: &str,
        after: u64,
        mut visit: impl FnMut(Stored) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.is_clustered() {
            return self.read_after(stream, filter, after, visit).await;
        }
        let mut seen = after;
        let deadline = Instant::now() + PATIENCE;
        while let Some(last) = self.last(stream, filter).await?.filter(|last| last.sequence > seen) {
            self.read_after(stream, filter, seen, |stored| {
                seen = stored.sequence;
                visit(stored)
            })
            .await?;
            if seen >= last.sequence {
                return Ok(());
            }
            if Instant::now() > deadline {
                let seconds = PATIENCE.as_secs();
                let cause = format!("what answers has not got to {} within {seconds} s", last.sequence);
                return Err(Error::failed(format!("read {filter} of stream {stream}"), cause));
            }
            sleep(BETWEEN).await;
        }
        Ok(())
    }

    /// The last message on a subject, or on any that a filter matches, from the stream's leader.
    pub(crate) async fn last(&self, stream: &str, filter: &str) -> Result<Option<Stored>, Error> {
        let failed = |cause: Cause| {
            Error::failed(format!("read the last message on {filter} of stream {stream}"), cause)
        };
        // The semaphore is never closed.
        let _asking = LEADERS.acquire().await.map_err(|error| failed(error.into()))?;
        let handle = self.js().get_stream_no_info(stream).await.map_err(|error| failed(error.into()))?;
        let deadline = Instant::now() + ABSENCE;
        loop {
            let error = match handle.get_last_raw_message_by_subject(filter).await {
                Ok(message) => {
                    return Ok(Some(Stored {
                        subject: message.subject.to_string(),
                        sequence: message.sequence,
                        headers: message.headers,
                        payload: message.payload,
                    }));
                }
                Err(error) => error,
            };
            // Between leaders nobody answers, or somebody says so.
            let passes = match error.kind() {
                LastRawMessageErrorKind::NoMessageFound => return Ok(None),
                LastRawMessageErrorKind::Other => true,
                LastRawMessageErrorKind::JetStream(ref why) => is_passing(why),
                LastRawMessageErrorKind::InvalidSubject => false,
            };
            if !passes || Instant::now() > deadline {
                return Err(failed(error.into()));
            }
            sleep(BETWEEN).await;
        }
    }

    /// Whether several nodes may answer.
    fn is_clustered(&self) -> bool {
        self.client().server_info().cluster.is_some()
    }

    async fn page(
        &self,
        stream: &str,
        filter: &str,
        next: &mut u64,
        visit: &mut impl FnMut(Stored) -> Result<(), Error>,
    ) -> Result<Page, Ended> {
        let client = self.client();
        let inbox = client.new_inbox();
        let mut replies =
            client.subscribe(inbox.clone()).await.map_err(|e| Ended::Connection(e.to_string()))?;
        let question = serde_json::json!({ "seq": *next, "next_by_subj": filter, "batch": PAGE, "max_bytes": PAGE_BYTES });
        client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, question.to_string().into())
            .await
            .map_err(|e| Ended::Connection(e.to_string()))?;
        loop {
            let reply = tokio::time::timeout(PATIENCE, replies.next())
                .await
                .map_err(|_| Ended::Connection(format!("no answer within {} s", PATIENCE.as_secs())))?
                .ok_or_else(|| Ended::Connection("the connection was closed".to_owned()))?;
            let headers = reply.headers.unwrap_or_default();
            match reply.status.map_or(200, |status| status.as_u16()) {
                // End of batch: the server says how many more match.
                204 => {
                    return Ok(if header(Some(&headers), "Nats-Num-Pending") == "0" {
                        Page::End
                    } else {
                        Page::More
                    });
                }
                404 => return Ok(Page::End),
                200 => {}
                status => {
                    let why = reply.description.unwrap_or_default();
                    return Err(Ended::Connection(format!("the server answered {status} {why}")));
                }
            }
            let sequence = header(Some(&headers), "Nats-Sequence")
                .parse::<u64>()
                .map_err(|e| Ended::Connection(e.to_string()))?;
            // A page that was asked for again may bring what is known.
            if sequence < *next {
                continue;
            }
            *next = sequence + 1;
            let subject = header(Some(&headers), "Nats-Subject").to_owned();
            visit(Stored { subject, sequence, headers, payload: reply.payload }).map_err(Ended::Visitor)?;
        }
    }
}

enum Ended {
    Connection(String),
    Visitor(Error),
}
