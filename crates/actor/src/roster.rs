//! The actors of one partition for one tenure, without I/O: who lives, who is finished, where a letter goes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use crate::Machine;
use crate::journaled::Journaled;
use crate::life::End;

/// Actors of a partition kept in memory although they wait for nothing but letters.
const IDLE_ACTORS: usize = 1024;
/// When a letter to a stopped actor comes again. After ten times it is buried.
const STOPPED_PAUSE: Duration = Duration::from_secs(30);
/// When a letter comes again whose actor could not be loaded.
const UNLOADED_PAUSE: Duration = Duration::from_secs(1);

/// An actor as the partition knows it. Those it does not know are in their journals, or not born.
#[derive(Debug)]
enum Slot<H> {
    Live {
        mailbox: H,
        letters: u64,
    },
    /// It will not act before the next activation.
    Stopped,
}

/// An actor waits for nothing but letters, having taken `letters` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idle {
    /// Which.
    pub actor: String,
    /// How many it has taken since it woke up.
    pub letters: u64,
}

/// Where a letter goes.
#[derive(Debug, PartialEq, Eq)]
pub enum Fate<'a, H> {
    /// Into this mailbox.
    Deliver(&'a mut H),
    /// Nothing will come of it: acknowledge it.
    Ack,
    /// It comes again after a pause.
    Retry(Duration),
    /// The actor's journal has to be read first ([`Roster::loaded`]).
    Load,
}

/// What an attempt to read a journal came to.
pub enum Found<M: Machine> {
    /// The actor.
    Journal(Box<Journaled<M>>),
    /// It is not this program's.
    Unreadable,
    /// The bus failed.
    Nothing,
}

/// What follows from it.
pub enum Woken<M: Machine> {
    /// It is to live: begin it, then [`Roster::woke`], then deliver.
    Wake(Box<Journaled<M>>),
    /// Nothing will come of the letter: acknowledge it.
    Ack,
    /// The letter comes again after a pause.
    Retry(Duration),
}

/// Who lives in a partition; `H`: how letters reach a live actor.
#[derive(Debug)]
pub struct Roster<H> {
    slots: HashMap<String, Slot<H>>,
    /// Archived actors.
    finished: HashSet<String>,
    /// Idle actors, longest idle first; entries of actors that woke up since are stale.
    idle: VecDeque<Idle>,
}

impl<H> Default for Roster<H> {
    fn default() -> Self {
        Self { slots: HashMap::new(), finished: HashSet::new(), idle: VecDeque::new() }
    }
}

impl<H> Roster<H> {
    /// Takes in what activation found of an actor, whose journal holds `records`. `Some`: it is to be begun.
    pub fn activated<M: Machine>(
        &mut self,
        id: &str,
        found: Option<Journaled<M>>,
        records: u32,
    ) -> Option<Journaled<M>> {
        match found {
            // More than the closing record: it was killed before the purge, which the actor's end repeats.
            Some(journaled) if journaled.archived && records == 1 => {
                self.finished.insert(id.to_owned());
                None
            }
            Some(journaled) => Some(journaled),
            None => {
                self.slots.insert(id.to_owned(), Slot::Stopped);
                None
            }
        }
    }

    /// An actor was begun.
    pub fn woke(&mut self, id: String, mailbox: H) {
        self.slots.insert(id, Slot::Live { mailbox, letters: 0 });
    }

    /// Where a letter to `id` goes. What is delivered counts as taken.
    pub fn fate(&mut self, id: &str) -> Fate<'_, H> {
        if self.finished.contains(id) {
            return Fate::Ack;
        }
        match self.slots.get_mut(id) {
            Some(Slot::Stopped) => Fate::Retry(STOPPED_PAUSE),
            Some(Slot::Live { mailbox, letters }) => {
                *letters += 1;
                Fate::Deliver(mailbox)
            }
            None => Fate::Load,
        }
    }

    /// What reading the journal of `id` came to.
    pub fn loaded<M: Machine>(&mut self, id: &str, found: Found<M>) -> Woken<M> {
        match found {
            Found::Journal(journaled) if journaled.machine.is_finished() => {
                self.finished.insert(id.to_owned());
                Woken::Ack
            }
            Found::Journal(journaled) => Woken::Wake(journaled),
            Found::Unreadable => {
                self.slots.insert(id.to_owned(), Slot::Stopped);
                Woken::Retry(STOPPED_PAUSE)
            }
            Found::Nothing => Woken::Retry(UNLOADED_PAUSE),
        }
    }

    /// An actor's life ended.
    pub fn ended(&mut self, id: String, end: &End) {
        match end {
            End::Finished => {
                self.slots.remove(&id);
                self.finished.insert(id);
            }
            // The slot went when the mailbox was closed.
            End::Passivated | End::Lost => {}
            End::Stopped(_) => {
                self.slots.insert(id, Slot::Stopped);
            }
        }
    }

    /// An actor waits for nothing but letters. When too many do, those go that did so for the longest time: the
    /// mailboxes that come back are to be closed.
    pub fn rest(&mut self, idler: Idle) -> Vec<H> {
        self.idle.push_back(idler);
        let mut closed = Vec::new();
        while self.idle.len() > IDLE_ACTORS {
            let Some(Idle { actor, letters }) = self.idle.pop_front() else { break };
            // It has taken all that it was sent, so that nothing is lost with its mailbox.
            let unchanged =
                matches!(self.slots.get(&actor), Some(Slot::Live { letters: sent, .. }) if *sent == letters);
            if unchanged && let Some(Slot::Live { mailbox, .. }) = self.slots.remove(&actor) {
                closed.push(mailbox);
            }
        }
        closed
    }

    /// Actors that live or are stopped.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether none lives or is stopped.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Actors that are known to be finished.
    pub fn finished(&self) -> usize {
        self.finished.len()
    }
}
