//! An actor as its journal tells it.

use std::collections::HashSet;

use atlas_bus::Bus;
use atlas_domain::ActorId;
use atlas_proto::Record;
use prost::Message as _;

use crate::{Error, Machine};

/// A machine together with what its journal says beyond its events.
#[derive(Debug)]
pub struct Journaled<M> {
    pub(crate) machine: M,
    /// Sequence of the last record; 0: there is none.
    pub(crate) last: u64,
    /// Trace context of the last record.
    pub(crate) traceparent: String,
    /// The journal was moved into the object store.
    pub(crate) archived: bool,
    /// Ids of the letters and keys of the effects that were acted on.
    causes: HashSet<String>,
}

impl<M: Machine> Journaled<M> {
    /// Before the first record.
    pub fn new(actor: &ActorId) -> Self {
        Self {
            machine: M::new(actor),
            last: 0,
            traceparent: String::new(),
            archived: false,
            causes: HashSet::new(),
        }
    }

    /// The machine so far.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Whether the journal was moved into the object store.
    pub fn is_archived(&self) -> bool {
        self.archived
    }

    /// Folds the next record in.
    ///
    /// # Errors
    /// [`Error::Journal`] when the record is not this program's.
    pub fn fold(&mut self, actor: &ActorId, sequence: u64, record: Record) -> Result<(), Error> {
        self.last = sequence;
        if Bus::is_archived(&record) {
            self.archived = true;
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
        self.causes.insert(record.cause);
        self.traceparent = record.traceparent;
        Ok(())
    }

    /// Folds in what was just appended, whose events are at hand.
    pub(crate) fn applied(&mut self, sequence: u64, record: &Record, events: &[M::Event]) {
        self.last = sequence;
        for event in events {
            self.machine.apply(event, record.time_ms);
        }
        self.causes.insert(record.cause.clone());
        self.traceparent.clone_from(&record.traceparent);
    }

    /// Was this letter or effect acted on?
    pub fn knows(&self, cause: &str) -> bool {
        self.causes.contains(cause)
    }

    /// Reads an actor's journal, or its archive, and folds it.
    pub(crate) async fn load(bus: &Bus, actor: &ActorId) -> Result<Self, Error> {
        let mut journaled = Self::new(actor);
        for (sequence, record) in bus.records(actor).await? {
            journaled.fold(actor, sequence, record)?;
        }
        Ok(journaled)
    }
}

/// Folds a journal, live or archived, without hosting the actor: for reports, logs and tests.
///
/// # Errors
/// [`Error::Bus`], and [`Error::Journal`] when a record is not this program's.
pub async fn replay<M: Machine>(bus: &Bus, actor: &ActorId) -> Result<M, Error> {
    Journaled::load(bus, actor).await.map(|journaled| journaled.machine)
}
