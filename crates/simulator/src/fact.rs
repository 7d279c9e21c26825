//! What happens in a run, fact by fact: the lines of its history.

use std::fmt::{self, Write as _};

use crate::actors::{ActorIx, Actors, Place};

/// Something that happened. `epoch`: of the lease under which it did; `key`: of an effect; `cause`: a letter's id or an effect's key.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // each field is what its name says
pub enum Fact<'a> {
    /// A process won the lease of a partition.
    Won { place: Place, epoch: u64, process: usize },
    /// A process handed a partition that it had over to another, which will win its lease.
    HandedOver { place: Place, epoch: u64, process: usize },
    /// A process began an effect.
    Begun { actor: ActorIx, key: &'a str, epoch: u64, process: usize },
    /// A model call was made, of which the provider keeps a bill.
    Paid { actor: ActorIx, key: &'a str, epoch: u64, microdollars: u64 },
    /// A host was interrupted in the middle of an effect.
    Interrupted { actor: ActorIx, key: &'a str },
    /// The server stored a record.
    Stored { actor: ActorIx, sequence: u64, cause: &'a str, epoch: u64 },
    /// A host was told so.
    Told { actor: ActorIx, sequence: u64, cause: &'a str },
    /// A letter made nothing happen, or was buried.
    Passed { actor: ActorIx, letter: &'a str },
    /// A host acknowledged a letter.
    Acknowledged { actor: ActorIx, letter: &'a str },
    /// The server moved a finished actor's journal away.
    Archived { actor: ActorIx },
    /// A submission became part of `main`.
    Landed { submission: &'a str },
    /// What the ledger grants at most, 0: no limit; and what one call may cost.
    Budget { microdollars: u64, call: u64 },
    /// Letters that a process holds in the mailboxes of one partition, and how many it may.
    Held { process: usize, letters: usize, most: usize },
    /// The server's machine lost its power, and with it what was stored from `kept` on, if anything.
    PowerLost { kept: u64 },
    /// A process starts as a newer version of the program.
    Upgraded { process: usize, version: u32 },
}

impl Fact<'_> {
    /// Writes it as one line of a history, without its end.
    pub(crate) fn write(&self, line: &mut String, actors: &Actors) -> fmt::Result {
        let name = |actor: &ActorIx| actors.name(*actor);
        match self {
            Self::Won { place, epoch, process } => {
                write!(line, "p{process} won {}.{} epoch {epoch}", place.0, place.1)
            }
            Self::HandedOver { place, epoch, process } => {
                write!(line, "p{process} handed over {}.{} epoch {epoch}", place.0, place.1)
            }
            Self::Begun { actor, key, epoch, process } => {
                write!(line, "p{process} began {} {key} epoch {epoch}", name(actor))
            }
            Self::Paid { actor, key, epoch, microdollars } => {
                write!(line, "paid {} {key} {microdollars} epoch {epoch}", name(actor))
            }
            Self::Interrupted { actor, key } => write!(line, "interrupted {} {key}", name(actor)),
            Self::Stored { actor, sequence, cause, epoch } => {
                write!(line, "stored {} {sequence} {cause} epoch {epoch}", name(actor))
            }
            Self::Told { actor, sequence, cause } => write!(line, "told {} {sequence} {cause}", name(actor)),
            Self::Passed { actor, letter } => write!(line, "passed {} {letter}", name(actor)),
            Self::Acknowledged { actor, letter } => write!(line, "acknowledged {} {letter}", name(actor)),
            Self::Archived { actor } => write!(line, "archived {}", name(actor)),
            Self::Landed { submission } => write!(line, "landed {submission}"),
            Self::Budget { microdollars, call } => write!(line, "budget {microdollars} call {call}"),
            Self::Held { process, letters, most } => write!(line, "p{process} holds {letters} of {most}"),
            Self::PowerLost { kept } => write!(line, "power lost, kept up to {kept}"),
            Self::Upgraded { process, version } => write!(line, "p{process} is of version {version}"),
        }
    }
}
