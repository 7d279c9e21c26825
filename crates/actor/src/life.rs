//! One live actor without I/O: what is decided, in which order things are written, sent, acknowledged and begun.
//!
//! A driver does what [`Step`] says, one step at a time, and gives back what came of it. The host on the bus is one driver,
//! the simulator another, so that both obey the same orders:
//!
//! * a record is stored before its effects begin and before its letter is acknowledged;
//! * a letter whose id, or an effect whose key, is in the journal is never acted on again;
//! * a letter is acknowledged only while the lease holds: whoever has the partition then has read, or will read, what was
//!   stored of it, and a host that stood still decides nothing away on the strength of what it remembers;
//! * an append names the last record that was seen; after any but a plain success the actor is forgotten, the lease
//!   asked for, and the journal read again.

use std::sync::Arc;

use atlas_proto::{Record, Snapshot};

use crate::Machine;
use crate::agenda::Agenda;
use crate::journaled::Journaled;

/// What a driver is to do next.
pub enum Step<M: Machine> {
    /// Drop the effects `cancel`, begin the effects `start`; then wait for a letter ([`Given::Letter`]), the end of an effect
    /// ([`Given::Ended`]) or the end of all letters ([`Given::Closed`]).
    Wait {
        /// Effects by key.
        start: Vec<(String, M::Effect)>,
        /// Keys.
        cancel: Vec<String>,
        /// The state waits for letters alone.
        idle: bool,
    },
    /// Append to the journal if `after` is its last sequence (0: it has none): [`Given::Stored`], [`Given::Conflict`], [`Given::Failed`].
    Append {
        /// What.
        record: Arc<Record>,
        /// The last sequence seen.
        after: u64,
    },
    /// Memory may differ from the journal. Drop all effects and ask by a write whether the lease still holds: [`Given::Held`].
    Verify,
    /// Read the journal, or the archive: [`Given::Loaded`], [`Given::Unreadable`], or after a pause [`Given::Failed`].
    Load,
    /// Acknowledge the letter at hand if the lease holds: [`Given::Done`]. Else leave it, and the partition: it comes again, to
    /// whoever has the partition now.
    Ack,
    /// Hand the letter at hand in again: [`Given::Letter`].
    Again,
    /// Bury the letter at hand: [`Given::Done`].
    Bury {
        /// Why.
        reason: String,
    },
    /// Put down that an effect failed for good: [`Given::Done`].
    BuryEffect {
        /// Which.
        key: String,
        /// Why.
        reason: String,
    },
    /// Drop all effects and move the journal into the object store, however long that takes: [`Given::Done`].
    Archive,
    /// There is no next step.
    End(End),
}

/// What came of a step.
pub enum Given<M: Machine> {
    /// A letter, kept at hand by the driver.
    Letter {
        /// Its id, unique among the actor's letters.
        id: String,
        /// Trace context of acting on it.
        traceparent: String,
        /// What it says; `None`: nothing for this kind of actor.
        command: Option<M::Command>,
    },
    /// An effect ended.
    Ended {
        /// Which.
        key: String,
        /// Trace context of the effect.
        traceparent: String,
        /// What it found out, if anything; or why it failed for good.
        result: Result<Option<M::Command>, String>,
    },
    /// There will be no letter any more.
    Closed,
    /// The record is stored, as this sequence.
    Stored(u64),
    /// Somebody else wrote the journal.
    Conflict,
    /// The bus failed; an append may or may not have been stored.
    Failed,
    /// Whether the lease holds.
    Held(bool),
    /// The journal as it is.
    Loaded(Box<Journaled<M>>),
    /// The journal is not this program's.
    Unreadable(String),
    /// It is done.
    Done,
}

/// How an actor's life on a host ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is finished and archived.
    Finished,
    /// It was idle, and its letters ended.
    Passivated,
    /// An effect failed for good, or its journal cannot be read.
    Stopped(String),
    /// The partition is another's.
    Lost,
}

/// Who made the actor decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Letter,
    Effect,
}

enum Doing<M: Machine> {
    Resting,
    Appending {
        source: Source,
        record: Arc<Record>,
        events: Vec<M::Event>,
    },
    Verifying(Source),
    Loading(Source),
    /// The letter at hand is being acknowledged or buried.
    Closing,
    Stopping(String),
    Archiving,
}

/// A live actor on one host, from its journal on.
pub struct Life<M: Machine> {
    epoch: u64,
    journaled: Journaled<M>,
    agenda: Agenda,
    doing: Doing<M>,
}

impl<M: Machine> Life<M> {
    /// An actor as its journal tells it, hosted under the lease of this epoch.
    pub fn new(journaled: Journaled<M>, epoch: u64) -> Self {
        Self { epoch, journaled, agenda: Agenda::default(), doing: Doing::Resting }
    }

    /// The machine as the journal tells it.
    pub fn machine(&self) -> &M {
        &self.journaled.machine
    }

    /// Trace context of the last record.
    pub fn traceparent(&self) -> &str {
        self.journaled.traceparent()
    }

    /// Sequence of the last record.
    pub fn last(&self) -> u64 {
        self.journaled.last()
    }

    /// Where the live journal's records lie; empty where that is not known.
    pub fn sequences(&self) -> &[u64] {
        self.journaled.sequences()
    }

    /// A snapshot of what the journal says so far, if one is due: `every` records after the last one at least. A driver asks after each
    /// record, while the lease holds, and stores it beside the actor's life: nothing waits for it.
    pub fn snapshot(&mut self, every: usize) -> Option<Snapshot> {
        self.journaled.snapshot(every)
    }

    /// The first step.
    pub fn begin(&mut self) -> Step<M> {
        self.rest()
    }

    /// The step after the one that `given` came of. `now_ms`: Unix time. What does not fit the step is ignored, as an answer
    /// that comes too late would be.
    pub fn next(&mut self, given: Given<M>, now_ms: u64) -> Step<M> {
        match (std::mem::replace(&mut self.doing, Doing::Resting), given) {
            (Doing::Resting, Given::Letter { id, traceparent, command }) => {
                if self.journaled.knows(&id) || self.journaled.archived {
                    return self.ack();
                }
                match command {
                    Some(command) => self.record(Source::Letter, command, id, traceparent, now_ms),
                    None => {
                        self.doing = Doing::Closing;
                        Step::Bury { reason: format!("{} actors take no such letter", M::KIND) }
                    }
                }
            }
            (Doing::Resting, Given::Ended { key, traceparent, result }) => {
                if !self.agenda.end(&key) {
                    return self.rest();
                }
                match result {
                    Ok(None) => self.rest(),
                    Ok(Some(command)) => self.record(Source::Effect, command, key, traceparent, now_ms),
                    Err(reason) => {
                        let reason = format!("effect {key} failed for good: {reason}");
                        self.doing = Doing::Stopping(reason.clone());
                        Step::BuryEffect { key, reason }
                    }
                }
            }
            (Doing::Resting, Given::Closed) => Step::End(End::Passivated),
            (Doing::Appending { source, record, events }, Given::Stored(sequence)) => {
                self.journaled.applied(sequence, record, &events);
                match source {
                    Source::Letter => self.ack(),
                    Source::Effect => self.rest(),
                }
            }
            (Doing::Appending { source, .. }, Given::Conflict | Given::Failed)
            | (Doing::Loading(source), Given::Failed) => {
                self.agenda = Agenda::default();
                self.doing = Doing::Verifying(source);
                Step::Verify
            }
            (Doing::Verifying(_), Given::Held(false)) => Step::End(End::Lost),
            (Doing::Verifying(source), Given::Held(true)) => {
                self.doing = Doing::Loading(source);
                Step::Load
            }
            (Doing::Loading(source), Given::Loaded(journaled)) => {
                self.journaled = *journaled;
                match source {
                    Source::Letter => Step::Again,
                    // If it was stored after all the journal knows the key; else the effect runs again.
                    Source::Effect => self.rest(),
                }
            }
            (Doing::Loading(_), Given::Unreadable(reason)) => Step::End(End::Stopped(reason)),
            (Doing::Closing, Given::Done) => self.rest(),
            (Doing::Stopping(reason), Given::Done) => Step::End(End::Stopped(reason)),
            (Doing::Archiving, Given::Done) => Step::End(End::Finished),
            (doing, _) => {
                self.doing = doing;
                Step::Wait { start: Vec::new(), cancel: Vec::new(), idle: false }
            }
        }
    }

    fn ack(&mut self) -> Step<M> {
        self.doing = Doing::Closing;
        Step::Ack
    }

    /// Decides on a command and has what it makes happen stored.
    fn record(
        &mut self,
        source: Source,
        command: M::Command,
        cause: String,
        traceparent: String,
        now_ms: u64,
    ) -> Step<M> {
        let events = self.journaled.machine.decide(command, now_ms);
        if events.is_empty() {
            return match source {
                Source::Letter => self.ack(),
                Source::Effect => self.rest(),
            };
        }
        let record = Arc::new(Record {
            version: M::VERSION,
            cause,
            time_ms: now_ms,
            epoch: self.epoch,
            traceparent,
            events: events.iter().map(prost::Message::encode_to_vec).collect(),
        });
        let step = Step::Append { record: record.clone(), after: self.journaled.last() };
        self.doing = Doing::Appending { source, record, events };
        step
    }

    /// Starts and cancels effects as the state says.
    fn rest(&mut self) -> Step<M> {
        if self.journaled.archived || self.journaled.machine.is_finished() {
            self.doing = Doing::Archiving;
            return Step::Archive;
        }
        let (mut start, mut cancel) = (Vec::new(), Vec::new());
        for (part, mut wanted) in self.journaled.machine.stirred() {
            let gone = self.agenda.reconcile(part, &mut wanted, |key| self.journaled.knows(key));
            start.append(&mut wanted);
            cancel.extend(gone);
        }
        Step::Wait { start, cancel, idle: self.agenda.is_idle() }
    }
}
