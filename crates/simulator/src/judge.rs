//! The promise, line by line, held against every fact of a history as it happens.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use crate::clock::Micros;

/// A line of the promise (docs/semantics.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// A letter or an effect's result acts on an actor once.
    TaskOnce,
    /// What was acknowledged is in the journal.
    AcknowledgedSurvives,
    /// A paid call is not made again once its answer is journaled, and otherwise once more for each time that its host was
    /// interrupted.
    PaidOnce,
    /// Of two hosts of one actor only the one with the newest lease begins effects or writes.
    OneHost,
    /// A submission lands at most once.
    LandsOnce,
    /// The budget is overdrawn by no more than what was in flight.
    Budget,
    /// The run comes to an end.
    Progress,
    /// What a process keeps is bounded.
    Bounded,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// When, virtual microseconds.
    pub at_us: Micros,
    /// How.
    pub what: String,
}

/// An actor in a history: `<kind>/<id>`.
pub type Name = Rc<str>;

/// Something that happened. `epoch`: of the lease under which it did; `key`: of an effect; `cause`: a letter's id or an effect's key.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // each field is what its name says
pub enum Fact {
    /// A process won the lease of a partition.
    Won { place: Name, epoch: u64, process: usize },
    /// A process began an effect.
    Begun { actor: Name, place: Name, key: Rc<str>, epoch: u64, process: usize },
    /// A model call was made, of which the provider keeps a bill.
    Paid { actor: Name, place: Name, key: Rc<str>, epoch: u64, microdollars: u64 },
    /// A host was interrupted in the middle of an effect.
    Interrupted { actor: Name, key: Rc<str> },
    /// The server stored a record.
    Stored { actor: Name, sequence: u64, cause: Rc<str>, epoch: u64 },
    /// A host was told so.
    Told { actor: Name, sequence: u64, cause: Rc<str> },
    /// A letter made nothing happen, or was buried.
    Passed { actor: Name, letter: Rc<str> },
    /// A host acknowledged a letter.
    Acknowledged { actor: Name, letter: Rc<str> },
    /// A submission became part of `main`.
    Landed { submission: Rc<str> },
    /// What the ledger grants at most, 0: no limit; and what one call may cost.
    Budget { microdollars: u64, call: u64 },
    /// Letters that a process holds in the mailboxes of one partition, and how many it may.
    Held { process: usize, letters: usize, most: usize },
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Won { place, epoch, process } => write!(f, "p{process} won {place} epoch {epoch}"),
            Self::Begun { actor, key, epoch, process, .. } => {
                write!(f, "p{process} began {actor} {key} epoch {epoch}")
            }
            Self::Paid { actor, key, epoch, microdollars, .. } => {
                write!(f, "paid {actor} {key} {microdollars} epoch {epoch}")
            }
            Self::Interrupted { actor, key } => write!(f, "interrupted {actor} {key}"),
            Self::Stored { actor, sequence, cause, epoch } => {
                write!(f, "stored {actor} {sequence} {cause} epoch {epoch}")
            }
            Self::Told { actor, sequence, cause } => write!(f, "told {actor} {sequence} {cause}"),
            Self::Passed { actor, letter } => write!(f, "passed {actor} {letter}"),
            Self::Acknowledged { actor, letter } => write!(f, "acknowledged {actor} {letter}"),
            Self::Landed { submission } => write!(f, "landed {submission}"),
            Self::Budget { microdollars, call } => write!(f, "budget {microdollars} call {call}"),
            Self::Held { process, letters, most } => write!(f, "p{process} holds {letters} of {most}"),
        }
    }
}

#[derive(Debug, Default)]
struct Call {
    /// Under which lease it was last made.
    epoch: u64,
    paid: u32,
    interrupted: u32,
}

/// Looks at one fact after the other.
#[derive(Debug, Default)]
pub struct Judge {
    violations: Vec<Violation>,
    epochs: HashMap<Name, u64>,
    written: HashMap<Name, u64>,
    /// What acted on an actor, and under which lease that was stored.
    causes: HashMap<Name, HashMap<Rc<str>, u64>>,
    passed: HashSet<(Name, Rc<str>)>,
    calls: HashMap<(Name, Rc<str>), Call>,
    told: HashMap<Name, Vec<u64>>,
    landed: HashSet<Rc<str>>,
    budget: u64,
    call_cost: u64,
    paid: u64,
    repeated: u64,
}

/// Violations that are kept; one is enough to fail, more are for people.
const KEPT: usize = 20;

impl Judge {
    /// Takes a fact in.
    pub fn see(&mut self, at: Micros, fact: Fact) {
        match fact {
            Fact::Won { place, epoch, .. } => {
                let before = self.epochs.insert(place.clone(), epoch);
                if before.is_some_and(|before| before >= epoch) {
                    self.broken(
                        Promise::OneHost,
                        at,
                        format!("{place} was won with epoch {epoch} after {before:?}"),
                    );
                }
            }
            Fact::Begun { actor, place, key, epoch, process } => {
                let newest = self.epochs.get(&place).copied().unwrap_or(0);
                if epoch < newest {
                    self.broken(
                        Promise::OneHost,
                        at,
                        format!("process {process} began {key} of {actor} under epoch {epoch} when {newest} had been won"),
                    );
                }
            }
            Fact::Paid { actor, place, key, epoch, microdollars } => {
                let newest = self.epochs.get(&place).copied().unwrap_or(0);
                if epoch < newest {
                    self.broken(
                        Promise::OneHost,
                        at,
                        format!("{key} of {actor} was paid under epoch {epoch} when {newest} had been won"),
                    );
                }
                self.paid += microdollars;
                // An answer that a host stored when it had lost the partition already is one that whoever has it could not
                // know: that host was interrupted.
                let answered = self
                    .causes
                    .get(&actor)
                    .and_then(|causes| causes.get(&key))
                    .is_some_and(|&by| by >= epoch);
                let call = self.calls.entry((actor.clone(), key.clone())).or_default();
                // Whoever made it before has lost the partition: its call counts as interrupted.
                call.interrupted +=
                    u32::from(call.paid > 0 && epoch > call.epoch && call.interrupted < call.paid);
                call.epoch = epoch;
                call.paid += 1;
                self.repeated += u64::from(call.paid > 1);
                let (paid, interrupted) = (call.paid, call.interrupted);
                if answered {
                    self.broken(
                        Promise::PaidOnce,
                        at,
                        format!("{key} of {actor} was paid again after its answer was journaled"),
                    );
                } else if paid > 1 + interrupted {
                    self.broken(
                        Promise::PaidOnce,
                        at,
                        format!("{key} of {actor} was paid {paid} times and interrupted {interrupted} times"),
                    );
                }
                // What was repeated is beyond what the ledger could know: each such call was in flight when its host died.
                let most = self.budget + self.call_cost * self.repeated;
                if self.budget > 0 && self.paid > most {
                    self.broken(
                        Promise::Budget,
                        at,
                        format!(
                            "{} microdollars were paid of {}, {} calls repeated",
                            self.paid, self.budget, self.repeated
                        ),
                    );
                }
            }
            Fact::Interrupted { actor, key } => {
                let call = self.calls.entry((actor, key)).or_default();
                call.interrupted = (call.interrupted + 1).min(call.paid);
            }
            Fact::Stored { actor, cause, epoch, .. } => {
                let before = self.written.insert(actor.clone(), epoch).unwrap_or(0);
                if epoch < before {
                    self.broken(
                        Promise::OneHost,
                        at,
                        format!("{actor} was written under epoch {epoch} after {before}"),
                    );
                }
                if self.causes.entry(actor.clone()).or_default().insert(cause.clone(), epoch).is_some() {
                    self.broken(Promise::TaskOnce, at, format!("{cause} acted on {actor} twice"));
                }
            }
            Fact::Told { actor, sequence, .. } => self.told.entry(actor).or_default().push(sequence),
            Fact::Passed { actor, letter } => drop(self.passed.insert((actor, letter))),
            Fact::Acknowledged { actor, letter } => {
                let stored = self.causes.get(&actor).is_some_and(|causes| causes.contains_key(&letter));
                if !stored && !self.passed.contains(&(actor.clone(), letter.clone())) {
                    self.broken(
                        Promise::AcknowledgedSurvives,
                        at,
                        format!("letter {letter} to {actor} was acknowledged before what it made happen was stored"),
                    );
                }
            }
            Fact::Landed { submission } => {
                if !self.landed.insert(submission.clone()) {
                    self.broken(Promise::LandsOnce, at, format!("{submission} landed twice"));
                }
            }
            Fact::Budget { microdollars, call } => (self.budget, self.call_cost) = (microdollars, call),
            Fact::Held { process, letters, most } => {
                if letters > most {
                    self.broken(
                        Promise::Bounded,
                        at,
                        format!("process {process} holds {letters} letters, {most} at most"),
                    );
                }
            }
        }
    }

    /// Notes that a promise was broken.
    pub fn broken(&mut self, promise: Promise, at_us: Micros, what: String) {
        if self.violations.len() < KEPT {
            self.violations.push(Violation { promise, at_us, what });
        }
    }

    /// At the end: `holds` says whether an actor's journal, or its archive, has a record of that sequence.
    pub fn survived(&mut self, at: Micros, holds: impl Fn(&Name, u64) -> bool) {
        let mut lost: Vec<(Name, u64)> = Vec::new();
        for (actor, sequences) in &self.told {
            lost.extend(sequences.iter().filter(|&&s| !holds(actor, s)).map(|&s| (actor.clone(), s)));
        }
        lost.sort();
        for (actor, sequence) in lost {
            self.broken(
                Promise::AcknowledgedSurvives,
                at,
                format!("record {sequence} of {actor} was acknowledged and is lost"),
            );
        }
    }

    /// What was broken, in the order of time.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// Model calls that were made more than once, and what all of them cost, in microdollars.
    pub fn repeated(&self) -> (u64, u64) {
        (self.repeated, self.paid)
    }

    /// Submissions that landed.
    pub fn landed(&self) -> usize {
        self.landed.len()
    }
}
