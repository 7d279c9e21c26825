//! Finished actors: their journals move into the object store.

use async_nats::jetstream::message::StreamMessage;
use atlas_domain::ActorId;
use atlas_proto::{Archive, ArchivedRecord, Record};
use bytes::Bytes;
use futures::StreamExt as _;
use prost::Message as _;
use tokio::sync::Semaphore;

use crate::journal::{ARCHIVED, decode, is_tombstone};
use crate::read::Stored;
use crate::spec::JOURNAL;
use crate::{AppendError, Bus, Error};

/// Records of a journal that are fetched at once.
const FETCHES: usize = 16;
/// Journals that are archived at once. A purge looks at every record of the stream between the journal's first and last, and thousands
/// of agents may end together: what others ask of the server must not wait behind all of them.
static ARCHIVING: Semaphore = Semaphore::const_new(16);

impl Bus {
    /// Moves a finished actor's journal into the object store. Safe to kill at any point and to run
    /// again: first the archive is stored, then a last record closes the journal (fenced like any
    /// other), then what lies before it is purged. Does nothing for an actor without a journal.
    ///
    /// `sequences`: where its records lie, if the host knows. They are fetched one by one then; by a filter the server looks at every
    /// record that lies between them, of thousands of agents.
    ///
    /// # Errors
    /// [`Error::Failed`], also when another host writes the journal at the same time.
    pub async fn archive(&self, actor: &ActorId, sequences: &[u64]) -> Result<(), Error> {
        let subject = self.journal_subject(actor).await?;
        let _turn = ARCHIVING.acquire().await.map_err(|e| Error::failed(format!("archive {actor}"), e))?;
        let records = match self.records_at(&subject, sequences).await? {
            Some(records) => records,
            None => self.whole_journal(&subject).await?,
        };
        let Some((last, record)) = records.last() else { return Ok(()) };
        let closed = if is_tombstone(record) {
            *last
        } else {
            let closing = Self::closing(record);
            let after = *last;
            let archive = Archive {
                records: records
                    .into_iter()
                    .map(|(sequence, record)| ArchivedRecord { sequence, record: Some(record) })
                    .collect(),
            };
            self.put_object(&name(actor), Bytes::from(archive.encode_to_vec())).await?;
            self.append(actor, &closing, after).await.map_err(|error| match error {
                AppendError::Bus(error) => error,
                conflict @ AppendError::Conflict { .. } => {
                    Error::failed(format!("archive {actor}"), conflict)
                }
            })?
        };
        let stream = self
            .js()
            .get_stream_no_info(JOURNAL)
            .await
            .map_err(|e| Error::failed(format!("archive {actor}"), e))?;
        let purge = stream.purge().filter(subject).sequence(closed);
        purge
            .await
            .map_err(|error| Error::failed(format!("purge the archived journal of {actor}"), error))?;
        Ok(())
    }

    /// The records at `sequences`, if the last of them is the last of the journal, and all can be had.
    async fn records_at(
        &self,
        subject: &str,
        sequences: &[u64],
    ) -> Result<Option<Vec<(u64, Record)>>, Error> {
        let Some(newest) = sequences.last() else { return Ok(None) };
        if self.last(JOURNAL, subject).await?.is_none_or(|last| last.sequence != *newest) {
            return Ok(None);
        }
        let failed = |error| Error::failed(format!("read {subject} of stream {JOURNAL}"), error);
        let stream = self.js().get_stream_no_info(JOURNAL).await.map_err(failed)?;
        let fetches = futures::stream::iter(sequences.to_vec()).map(|sequence| {
            let stream = stream.clone();
            async move { stream.direct_get(sequence).await }
        });
        let mut fetched = fetches.buffered(FETCHES);
        let mut records = Vec::with_capacity(sequences.len());
        // A node that lags does not have all.
        while let Some(Ok(message)) = fetched.next().await {
            let StreamMessage { subject: of, sequence, headers, payload, .. } = message;
            if of.as_str() == subject {
                let stored = Stored { subject: subject.to_owned(), sequence, headers, payload };
                records.push((sequence, decode(&stored)?));
            }
        }
        Ok((records.len() == sequences.len()).then_some(records))
    }

    /// Whole: a shorter one would be put in the place of what another host has archived.
    async fn whole_journal(&self, subject: &str) -> Result<Vec<(u64, Record)>, Error> {
        let mut records = Vec::new();
        self.read_whole(JOURNAL, subject, 0, |stored| {
            records.push((stored.sequence, decode(&stored)?));
            Ok(())
        })
        .await?;
        Ok(records)
    }

    /// The record that closes a journal whose last record is `last`, once its archive is stored: for it [`Bus::is_archived`] holds.
    pub fn closing(last: &Record) -> Record {
        Record { cause: ARCHIVED.to_owned(), events: Vec::new(), ..last.clone() }
    }

    pub(crate) async fn archived_records(&self, actor: &ActorId) -> Result<Vec<(u64, Record)>, Error> {
        let name = name(actor);
        let bytes = self.object(&name).await?;
        let archive = Archive::decode(bytes)
            .map_err(|error| Error::Corrupt { what: name, cause: error.to_string() })?;
        Ok(archive
            .records
            .into_iter()
            .map(|entry| (entry.sequence, entry.record.unwrap_or_default()))
            .collect())
    }
}

fn name(actor: &ActorId) -> String {
    format!("archive/{actor}")
}
