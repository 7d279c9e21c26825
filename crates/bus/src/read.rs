//! Reading streams in batches by JetStream's direct get (ADR-31): no consumer is created, so 30,000
//! actors can be read without a consumer each. (The crate `jetstream-extra` has it for an older async-nats.)
//!
//! On a cluster a follower may answer, and lag. That is safe here: what is decided on such a reading is
//! written by compare-and-set.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::StreamExt as _;

use crate::connect::header;
use crate::{Bus, Error};

/// Messages a page.
const PAGE: usize = 512;
/// Bytes a page, so that one reader cannot swamp the connection.
const PAGE_BYTES: usize = 8 << 20;
/// How long the next message of a page may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pages that may fail in a row.
const ATTEMPTS: u32 = 3;

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
        let mut failures = 0;
        loop {
            let before = next;
            match self.page(stream, filter, &mut next, &mut visit).await {
                Ok(Page::End) => return Ok(()),
                Ok(Page::More) => failures = 0,
                Err(Ended::Visitor(error)) => return Err(error),
                Err(Ended::Connection(cause)) => {
                    // A page that brought something counts as progress.
                    failures = if next > before { 0 } else { failures + 1 };
                    if failures == ATTEMPTS {
                        return Err(Error::failed(format!("read {filter} of stream {stream}"), cause));
                    }
                }
            }
        }
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
