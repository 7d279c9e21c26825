//! Snapshots: what a journal up to one of its records says, stored beside it, so that a long one is not folded from its beginning.
//!
//! A snapshot is a cache. It names the last record that is in it, and is good only where the journal has that very record: one that is
//! missing, damaged, of another program or of another journal (restored from a backup, purged) costs a whole fold, and nothing else. An
//! older one in the place of a newer one costs a longer tail ([`Bookmark`]).

use std::sync::Arc;

use atlas_bus::Bus;
use atlas_domain::ActorId;
use atlas_proto::{Record, Snapshot};
use prost::Message as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::Machine;

/// Of [`Snapshot`].
const FORMAT: u32 = 1;

/// Records between two snapshots of an actor, at least: as many are folded in no time.
pub const EVERY: usize = 4096;

/// A state as [`Machine::snapshot`] gives it. `None`, and an error in the log, for what the encoding (postcard) has no form for.
pub fn encode<T: Serialize>(state: &T) -> Option<Vec<u8>> {
    postcard::to_allocvec(state)
        .inspect_err(|error| tracing::error!(%error, "a state cannot be encoded"))
        .ok()
}

/// The state of such bytes.
///
/// # Errors
/// They are of another type, in words.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    match postcard::take_from_bytes(bytes) {
        Ok((state, [])) => Ok(state),
        Ok((_, rest)) => Err(format!("{} bytes come after its state", rest.len())),
        Err(error) => Err(format!("its state does not parse: {error}")),
    }
}

/// Where a fold is in its journal, and how far it has come since the last snapshot.
#[derive(Debug, Default)]
pub struct Bookmark {
    sequence: u64,
    /// The last that is folded in; of a machine without snapshots its trace context alone.
    record: Arc<Record>,
    /// It was read from a snapshot, and the journal has not shown it yet.
    unproven: bool,
    /// Since the last snapshot.
    records: usize,
    /// The same in bytes.
    bytes: usize,
    /// Bytes of that snapshot.
    snapshot: usize,
}

impl Bookmark {
    /// Sequence of the last record that is folded in; 0: none is.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Trace context of that record.
    pub fn traceparent(&self) -> &str {
        &self.record.traceparent
    }

    /// The journal is to be read from the first record after this sequence. After a snapshot that is the snapshot's own last one.
    pub fn after(&self) -> u64 {
        self.sequence - u64::from(self.unproven)
    }

    /// False after a snapshot, until [`Bookmark::prove`].
    pub fn is_proven(&self) -> bool {
        !self.unproven
    }

    /// The first record of the journal from the snapshot's on: whether it is the snapshot's. If not, that is of another journal.
    pub fn prove(&mut self, sequence: u64, record: &Record) -> bool {
        self.unproven = sequence != self.sequence || *record != *self.record;
        !self.unproven
    }

    /// The next record is folded into a machine.
    pub fn advance<M: Machine>(&mut self, sequence: u64, record: Arc<Record>) {
        self.sequence = sequence;
        if M::SNAPSHOT.is_some() {
            self.records += 1;
            self.bytes += record.encoded_len();
            self.record = record;
        } else {
            // Of thousands of agents the last records would lie about in memory.
            let traceparent = record.traceparent.clone();
            self.record = Arc::new(Record { traceparent, ..Record::default() });
        }
    }

    /// A snapshot of the machine as of this record, if it is due: `every` records after the last one, and when their bytes are as many
    /// as that one's, so that all but the last write no more together than the journal does. `causes`: of all records that are folded in.
    pub fn snapshot<'a, M: Machine>(
        &mut self,
        machine: &M,
        causes: impl Iterator<Item = &'a String>,
        every: usize,
    ) -> Option<Snapshot> {
        let shape = M::SNAPSHOT?;
        if self.records < every || self.bytes < self.snapshot {
            return None;
        }
        (self.records, self.bytes) = (0, 0);
        let snapshot = Snapshot {
            format: FORMAT,
            version: M::VERSION,
            shape,
            sequence: self.sequence,
            record: Some(Record::clone(&self.record)),
            causes: causes.cloned().collect(),
            state: machine.snapshot()?,
        };
        self.snapshot = snapshot.encoded_len();
        Some(snapshot)
    }

    /// What a snapshot holds: the machine, where it is in the journal, which has yet to prove it, and the causes so far.
    ///
    /// # Errors
    /// This program cannot use it, in words.
    pub fn restore<M: Machine>(snapshot: Snapshot) -> Result<(M, Self, Vec<String>), String> {
        let size = snapshot.encoded_len();
        let Snapshot { format, version, shape, sequence, record, causes, state } = snapshot;
        let (found, known) = ((format, version, Some(shape)), (FORMAT, M::VERSION, M::SNAPSHOT));
        if found != known {
            return Err(format!("it has format, version and shape {found:?}, this program's are {known:?}"));
        }
        let record = record.filter(|_| sequence > 0).ok_or("it names no record")?;
        let machine = M::restore(&state)?;
        let bookmark =
            Self { sequence, record: Arc::new(record), unproven: true, snapshot: size, ..Self::default() };
        Ok((machine, bookmark, causes))
    }
}

/// Stores an actor's snapshots, each by a task of its own and one at a time.
#[derive(Debug)]
pub struct Keeper {
    bus: Bus,
    actor: ActorId,
    under_way: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Of one actor.
    pub fn new(bus: Bus, actor: ActorId) -> Self {
        Self { bus, actor, under_way: None }
    }

    /// Whether the last one is stored, or has failed.
    pub fn is_free(&self) -> bool {
        self.under_way.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Begins to store a snapshot. What comes of it is told in the log alone: the next one, or a longer tail, takes its place.
    pub fn keep(&mut self, snapshot: Snapshot) {
        let (bus, actor) = (self.bus.clone(), self.actor.clone());
        self.under_way = Some(tokio::spawn(async move {
            match bus.put_snapshot(&actor, &snapshot).await {
                Ok(()) => tracing::debug!(%actor, sequence = snapshot.sequence, "stored a snapshot"),
                Err(error) => tracing::warn!(%actor, %error, "a snapshot could not be stored"),
            }
        }));
    }
}
