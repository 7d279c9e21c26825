//! Finished actors: their journals move into the object store.

use atlas_domain::ActorId;
use atlas_proto::{Archive, ArchivedRecord, Record};
use bytes::Bytes;
use prost::Message as _;

use crate::journal::{ARCHIVED, is_tombstone};
use crate::spec::JOURNAL;
use crate::{AppendError, Bus, Error};

impl Bus {
    /// Moves a finished actor's journal into the object store. Safe to kill at any point and to run
    /// again: first the archive is stored, then a last record closes the journal (fenced like any
    /// other), then what lies before it is purged. Does nothing for an actor without a journal.
    ///
    /// # Errors
    /// [`Error::Failed`], also when another host writes the journal at the same time.
    pub async fn archive(&self, actor: &ActorId) -> Result<(), Error> {
        let subject = self.journal_subject(actor).await?;
        let mut records = Vec::new();
        // Whole: a shorter one would be put in the place of what another host has archived.
        self.read_whole(JOURNAL, &subject, 0, |stored| {
            let record = Record::decode(stored.payload.clone()).map_err(|error| Error::Corrupt {
                what: format!("record {} of {}", stored.sequence, stored.subject),
                cause: error.to_string(),
            })?;
            records.push((stored.sequence, record));
            Ok(())
        })
        .await?;
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
