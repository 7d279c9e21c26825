//! An actor as its journal tells it.

use std::collections::HashSet;
use std::sync::Arc;

use atlas_bus::Bus;
use atlas_domain::ActorId;
use atlas_proto::{Record, Snapshot};
use prost::Message as _;

use crate::snapshot::Bookmark;
use crate::{Error, Machine};

/// A machine together with what its journal says beyond its events.
#[derive(Debug)]
pub struct Journaled<M> {
    pub(crate) machine: M,
    bookmark: Bookmark,
    /// The journal was moved into the object store.
    pub(crate) archived: bool,
    /// Ids of the letters and keys of the effects that were acted on.
    causes: HashSet<String>,
    /// Where the live journal's records lie; of a machine with snapshots, and of an archive, none.
    sequences: Vec<u64>,
}

impl<M: Machine> Journaled<M> {
    /// Before the first record.
    pub fn new(actor: &ActorId) -> Self {
        Self {
            machine: M::new(actor),
            bookmark: Bookmark::default(),
            archived: false,
            causes: HashSet::new(),
            sequences: Vec::new(),
        }
    }

    /// As a snapshot has it. What comes next is to be folded in from [`Journaled::after`] on, and must be there
    /// ([`Journaled::is_proven`]).
    ///
    /// # Errors
    /// [`Error::Snapshot`] when it is not this program's.
    pub fn restore(actor: &ActorId, snapshot: Snapshot) -> Result<Self, Error> {
        let (machine, bookmark, causes) = Bookmark::restore(snapshot)
            .map_err(|cause| Error::Snapshot { actor: actor.to_string(), cause })?;
        let causes = causes.into_iter().collect();
        Ok(Self { machine, bookmark, archived: false, causes, sequences: Vec::new() })
    }

    /// The machine so far.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Whether the journal was moved into the object store.
    pub fn is_archived(&self) -> bool {
        self.archived
    }

    /// Sequence of the last record; 0: there is none.
    pub(crate) fn last(&self) -> u64 {
        self.bookmark.sequence()
    }

    /// Trace context of the last record.
    pub(crate) fn traceparent(&self) -> &str {
        self.bookmark.traceparent()
    }

    /// The journal's records after this sequence are to be folded in.
    pub fn after(&self) -> u64 {
        self.bookmark.after()
    }

    /// Where the live journal's records lie, all of them; empty where that is not known.
    pub(crate) fn sequences(&self) -> &[u64] {
        &self.sequences
    }

    /// False after [`Journaled::restore`], until the journal has shown the record that the snapshot was taken at.
    pub fn is_proven(&self) -> bool {
        self.bookmark.is_proven()
    }

    /// Folds the next record in.
    ///
    /// # Errors
    /// [`Error::Journal`] when the record is not this program's, [`Error::Snapshot`] when the snapshot that this began with is of another journal.
    pub fn fold(&mut self, actor: &ActorId, sequence: u64, record: Record) -> Result<(), Error> {
        if !self.is_proven() {
            let proven = self.bookmark.prove(sequence, &record);
            return if proven { Ok(()) } else { Err(self.astray(actor)) };
        }
        if Bus::is_archived(&record) {
            self.archived = true;
            self.advance(sequence, Arc::new(record));
            return Ok(());
        }
        let unreadable = |cause: String| Error::Journal { actor: actor.to_string(), sequence, cause };
        if record.version > M::VERSION {
            let cause =
                format!("it has version {}, this program knows {}; upgrade it", record.version, M::VERSION);
            return Err(unreadable(cause));
        }
        for event in &record.events {
            let event = M::Event::decode(event.as_slice()).map_err(|error| unreadable(error.to_string()))?;
            self.machine.apply(&event, record.time_ms);
        }
        self.causes.insert(record.cause.clone());
        self.advance(sequence, Arc::new(record));
        Ok(())
    }

    /// Folds in what was just appended, whose events are at hand.
    pub(crate) fn applied(&mut self, sequence: u64, record: Arc<Record>, events: &[M::Event]) {
        for event in events {
            self.machine.apply(event, record.time_ms);
        }
        self.causes.insert(record.cause.clone());
        self.advance(sequence, record);
    }

    fn advance(&mut self, sequence: u64, record: Arc<Record>) {
        if M::SNAPSHOT.is_none() {
            self.sequences.push(sequence);
        }
        self.bookmark.advance::<M>(sequence, record);
    }

    /// Was this letter or effect acted on?
    pub fn knows(&self, cause: &str) -> bool {
        self.causes.contains(cause)
    }

    /// A snapshot, if one is due ([`Bookmark::snapshot`]).
    pub fn snapshot(&mut self, every: usize) -> Option<Snapshot> {
        self.bookmark.snapshot(&self.machine, self.causes.iter(), every)
    }

    /// Brings an actor back as a host does: from its snapshot and what came after it, where there is one of this journal; else whole.
    ///
    /// # Errors
    /// As [`replay`].
    pub async fn load(bus: &Bus, actor: &ActorId) -> Result<Self, Error> {
        if M::SNAPSHOT.is_some() {
            match Self::recall(bus, actor).await {
                Ok(Some(journaled)) => return Ok(journaled),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%actor, %error, "no use can be made of a snapshot; folding the whole journal");
                }
            }
        }
        Self::whole(bus, actor).await
    }

    /// From the snapshot, if there is one; an archived actor never.
    async fn recall(bus: &Bus, actor: &ActorId) -> Result<Option<Self>, Error> {
        let Some(snapshot) = bus.snapshot(actor).await? else { return Ok(None) };
        let mut journaled = Self::restore(actor, snapshot)?;
        journaled.follow(bus, actor).await?;
        if !journaled.is_proven() {
            return Err(journaled.astray(actor));
        }
        Ok((!journaled.archived).then_some(journaled))
    }

    /// From the journal alone, or the archive.
    async fn whole(bus: &Bus, actor: &ActorId) -> Result<Self, Error> {
        let mut journaled = Self::new(actor);
        journaled.follow(bus, actor).await?;
        if journaled.archived {
            journaled = Self::new(actor);
            for (sequence, record) in bus.records(actor).await? {
                journaled.fold(actor, sequence, record)?;
            }
            journaled.sequences.clear();
        }
        Ok(journaled)
    }

    /// Folds in what the live journal has beyond this.
    async fn follow(&mut self, bus: &Bus, actor: &ActorId) -> Result<(), Error> {
        let mut folded = Ok(());
        bus.follow(actor, self.after(), |sequence, record| {
            if folded.is_ok() {
                folded = self.fold(actor, sequence, record);
            }
        })
        .await?;
        folded
    }

    fn astray(&self, actor: &ActorId) -> Error {
        let cause = format!("the journal does not have its last record as {}", self.last());
        Error::Snapshot { actor: actor.to_string(), cause }
    }
}

/// Folds a journal, live or archived, from its beginning and without hosting the actor: for reports, logs and tests, which are to say what the
/// journal says, whatever was cached of it.
///
/// # Errors
/// [`Error::Bus`], and [`Error::Journal`] when a record is not this program's.
pub async fn replay<M: Machine>(bus: &Bus, actor: &ActorId) -> Result<M, Error> {
    Journaled::whole(bus, actor).await.map(|journaled| journaled.machine)
}
