//! Journals: one subject per actor, written by compare-and-set.

use std::collections::BTreeSet;
use std::time::Duration;

use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Record;
use backon::BackoffBuilder as _;
use bytes::Bytes;
use futures::TryStreamExt as _;
use prost::Message as _;

use crate::append::{Append, Attempt, Next};
use crate::connect::{StoreError, trace_headers};
use crate::read::Stored;
use crate::spec::JOURNAL;
use crate::{AppendError, Bus, Error, subject};

/// How long an append is tried while the server does not answer.
const APPEND_PATIENCE: Duration = Duration::from_secs(60);

/// What replaces the journal of an actor that was archived: it stays as the only record, so that a
/// late letter or a host that lost its lease finds the actor finished instead of unborn.
pub(crate) const ARCHIVED: &str = "atlas:archived";

impl Bus {
    /// How much all journals hold on the server: records, and bytes.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn journal_size(&self) -> Result<(u64, u64), Error> {
        let failed = |error: crate::error::Cause| Error::failed("ask for the journal's size", error);
        let stream = self.js().get_stream(JOURNAL).await.map_err(|e| failed(e.into()))?;
        let state = &stream.cached_info().state;
        Ok((state.messages, state.bytes))
    }

    /// Appends `record` to the actor's journal if `after` is the journal's last sequence (0: it has
    /// none). Returns the record's sequence, once it is on disk. Safe across a server that dies in the
    /// middle: what it may or may not have stored is looked up.
    ///
    /// # Errors
    /// [`AppendError::Conflict`] when somebody else has written: this host must not act for the actor
    /// before it has read the journal again. Any other error leaves open whether the record is stored.
    pub async fn append(&self, actor: &ActorId, record: &Record, after: u64) -> Result<u64, AppendError> {
        let subject = self.journal_subject(actor).await?;
        let payload = Bytes::from(record.encode_to_vec());
        self.fits(|| format!("a record of {actor}"), payload.len())?;
        let deadline = tokio::time::Instant::now() + APPEND_PATIENCE;
        let mut pauses = backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(50))
            .with_max_delay(Duration::from_secs(2))
            .without_max_times()
            .build();
        let mut append = Append::default();
        loop {
            let mut headers = trace_headers();
            headers.insert(
                async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE,
                async_nats::HeaderValue::from(after),
            );
            let tried = self.journal_group().store(subject.clone(), headers, payload.clone()).await;
            let mut next = append.tried(match &tried {
                Ok(sequence) => Attempt::Stored(*sequence),
                Err(StoreError::Outdated) => Attempt::Outdated,
                Err(StoreError::Unknown(_)) => Attempt::Unknown,
            });
            if next == Next::LookUp {
                let last = self.last(JOURNAL, &subject).await?;
                next = append.found(last.filter(|last| last.payload == payload).map(|last| last.sequence));
            }
            let error = match (next, tried) {
                (Next::Stored(sequence), _) | (_, Ok(sequence)) => return Ok(sequence),
                (Next::Conflict, _) => {
                    return Err(AppendError::Conflict { actor: actor.to_string(), after });
                }
                (Next::Again | Next::LookUp, Err(error)) => error,
            };
            if tokio::time::Instant::now() >= deadline {
                return Err(Error::failed(format!("append to the journal of {actor}"), error).into());
            }
            tracing::warn!(%actor, %error, "a record was not acknowledged; trying again");
            tokio::time::sleep(pauses.next().unwrap_or_default()).await;
        }
    }

    /// The actor's records with their sequences, oldest first, from its journal or its archive. Empty: there is no such actor.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that does not parse.
    pub async fn records(&self, actor: &ActorId) -> Result<Vec<(u64, Record)>, Error> {
        let mut records = Vec::new();
        self.follow(actor, 0, |sequence, record| records.push((sequence, record))).await?;
        match records.last() {
            Some((_, last)) if is_tombstone(last) => self.archived_records(actor).await,
            _ => Ok(records),
        }
    }

    /// Hands the records of an actor's live journal whose sequence is greater than `after` to `visit`, oldest first; of an archived
    /// actor comes what [`Bus::sweep`] gives.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a record that does not parse.
    pub async fn follow(
        &self,
        actor: &ActorId,
        after: u64,
        mut visit: impl FnMut(u64, Record),
    ) -> Result<(), Error> {
        let subject = self.journal_subject(actor).await?;
        self.read_whole(JOURNAL, &subject, after, |stored| {
            visit(stored.sequence, decode(&stored)?);
            Ok(())
        })
        .await
    }

    /// The ids of a run's actors of one kind, living and archived, in one partition or all.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn actors(
        &self,
        run: &RunId,
        kind: ActorKind,
        partition: Option<u16>,
    ) -> Result<Vec<ActorId>, Error> {
        let failed =
            |cause: crate::error::Cause| Error::failed(format!("list the {kind} actors of {run}"), cause);
        let stream = self.js().get_stream_no_info(JOURNAL).await.map_err(|e| failed(e.into()))?;
        let info = stream
            .info_with_subjects(subject::journals(run, kind, partition))
            .await
            .map_err(|e| failed(e.into()))?;
        let subjects: Vec<(String, usize)> = info.try_collect().await.map_err(|e| failed(e.into()))?;
        let actors: BTreeSet<ActorId> =
            subjects.iter().filter_map(|(subject, _)| subject::actor_of_journal(subject)).collect();
        Ok(actors.into_iter().collect())
    }

    /// How many actors of one kind a run has ever had, and how many records their journals hold now: as many, once all are archived.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn journal_lengths(&self, run: &RunId, kind: ActorKind) -> Result<(u64, u64), Error> {
        let failed =
            |cause: crate::error::Cause| Error::failed(format!("measure the journals of {run}"), cause);
        let stream = self.js().get_stream_no_info(JOURNAL).await.map_err(|e| failed(e.into()))?;
        let subjects = stream.info_with_subjects(subject::journals(run, kind, None)).await;
        let mut subjects = subjects.map_err(|e| failed(e.into()))?;
        let (mut actors, mut records) = (0, 0);
        while let Some((_, length)) = subjects.try_next().await.map_err(|e| failed(e.into()))? {
            (actors, records) = (actors + 1, records + length as u64);
        }
        Ok((actors, records))
    }

    /// Hands every record of a partition's live journals to `visit` in stream order; of archived actors
    /// comes one record for which [`is_archived`](Bus::is_archived) holds.
    ///
    /// # Errors
    /// Those of `visit`, and as [`Bus::records`].
    pub async fn sweep(
        &self,
        run: &RunId,
        kind: ActorKind,
        partition: u16,
        mut visit: impl FnMut(ActorId, u64, Record) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        self.read_whole(JOURNAL, &subject::journals(run, kind, Some(partition)), 0, |stored| {
            match subject::actor_of_journal(&stored.subject) {
                Some(actor) => visit(actor, stored.sequence, decode(&stored)?),
                None => Ok(()),
            }
        })
        .await
    }

    /// Is this the record that stands for a journal that was archived?
    pub fn is_archived(record: &Record) -> bool {
        is_tombstone(record)
    }

    /// Hands every record of all live journals of a run that comes after `after` in the stream to `visit`, in stream order: for those who
    /// read along. Of archived actors comes what [`Bus::sweep`] gives.
    ///
    /// # Errors
    /// As [`Bus::sweep`].
    pub async fn journals_after(
        &self,
        run: &RunId,
        after: u64,
        mut visit: impl FnMut(ActorId, u64, Record) -> Result<(), Error> + Send,
    ) -> Result<(), Error> {
        self.read_after(JOURNAL, &format!("atlas.journal.{run}.>"), after, |stored| {
            match subject::actor_of_journal(&stored.subject) {
                Some(actor) => visit(actor, stored.sequence, decode(&stored)?),
                None => Ok(()),
            }
        })
        .await
    }
}

pub(crate) fn is_tombstone(record: &Record) -> bool {
    record.cause == ARCHIVED
}

pub(crate) fn decode(stored: &Stored) -> Result<Record, Error> {
    Record::decode(stored.payload.clone()).map_err(|error| Error::Corrupt {
        what: format!("record {} of {}", stored.sequence, stored.subject),
        cause: error.to_string(),
    })
}
