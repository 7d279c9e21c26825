//! The promise, line by line, held against every fact of a history as it happens.

use crate::actors::{ActorIx, Actors, Place};
use crate::clock::{Micros, SECOND};
use crate::fact::Fact;
use crate::server::Loss;
use crate::table::{Set, Table};

/// A line of the promise (docs/semantics.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// A letter or an effect's result acts on an actor once.
    TaskOnce,
    /// What was acknowledged is in the journal; where the server does not sync before it acknowledges, unless its machine lost its
    /// power within a sync interval.
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

#[derive(Debug, Default)]
struct Call {
    /// Under which lease it was last made.
    epoch: u64,
    paid: u32,
    interrupted: u32,
}

/// What is known of an actor.
#[derive(Debug, Default)]
struct Known {
    /// Of the last record.
    epoch: u64,
    /// What acted on it; the record that says so, and under which lease that was stored.
    causes: Table<Box<str>, (u64, u64)>,
    /// Letters that made nothing happen.
    passed: Set<Box<str>>,
    calls: Table<Box<str>, Call>,
    /// Records that a host was told of: sequence, and when.
    told: Vec<(u64, Micros)>,
    /// Its journal was moved away: nothing acts on it any more.
    archived: bool,
}

impl Known {
    /// Whether its journal has this record of this cause.
    fn has(&self, cause: &str, sequence: u64) -> bool {
        self.causes.get(cause).is_some_and(|(at, _)| *at == sequence)
    }
}

/// Looks at one fact after the other.
#[derive(Debug, Default)]
pub struct Judge {
    violations: Vec<Violation>,
    epochs: Table<Place, u64>,
    known: Vec<Known>,
    landed: Set<Box<str>>,
    budget: u64,
    call_cost: u64,
    paid: u64,
    repeated: u64,
    /// Calls that the ledger may have forgotten with the server's power, microdollars.
    forgotten: u64,
    lost: u64,
    /// Until then answers may come that were on their way when the server's machine lost its power.
    powerless_until: Micros,
    handed_over: u64,
}

/// How long an answer may be on its way.
const ON_THE_WAY: Micros = 10 * SECOND;
/// Violations that are kept; one is enough to fail, more are for people.
const KEPT: usize = 20;

impl Judge {
    fn of(&mut self, actor: ActorIx) -> &mut Known {
        let at = actor as usize;
        if self.known.len() <= at {
            self.known.resize_with(at + 1, Known::default);
        }
        &mut self.known[at]
    }

    /// Takes a fact in.
    pub fn see(&mut self, at: Micros, fact: &Fact<'_>, actors: &Actors) {
        match *fact {
            Fact::Won { place, epoch, .. } | Fact::HandedOver { place, epoch, .. } => {
                self.handed_over += u64::from(matches!(fact, Fact::HandedOver { .. }));
                let before = self.epochs.insert(place, epoch);
                if before.is_some_and(|before| before >= epoch) {
                    let (kind, partition) = place;
                    self.broken(
                        Promise::OneHost,
                        at,
                        format!("{kind}.{partition} was won with epoch {epoch} after {before:?}"),
                    );
                }
            }
            Fact::Begun { actor, key, epoch, process } => {
                let newest = self.newest(actors, actor);
                if epoch < newest {
                    let name = actors.name(actor);
                    self.broken(
                        Promise::OneHost,
                        at,
                        format!("process {process} began {key} of {name} under epoch {epoch} when {newest} had been won"),
                    );
                }
            }
            Fact::Paid { actor, key, epoch, microdollars } => {
                self.paid(at, actors, (actor, key), epoch, microdollars)
            }
            Fact::Interrupted { actor, key } => {
                if let Some(call) = self.of(actor).calls.get_mut(key) {
                    call.interrupted = (call.interrupted + 1).min(call.paid);
                }
            }
            Fact::Stored { actor, sequence, cause, epoch } => {
                let known = self.of(actor);
                let before = std::mem::replace(&mut known.epoch, epoch);
                let again = known.archived || known.causes.insert(cause.into(), (sequence, epoch)).is_some();
                let name = actors.name(actor);
                if epoch < before {
                    self.broken(
                        Promise::OneHost,
                        at,
                        format!("{name} was written under epoch {epoch} after {before}"),
                    );
                }
                if again {
                    self.broken(Promise::TaskOnce, at, format!("{cause} acted on {name} twice"));
                }
            }
            // The answer was on its way when the server's machine lost its power, and the record with it.
            Fact::Told { actor, sequence, cause }
                if at < self.powerless_until && !self.of(actor).has(cause, sequence) =>
            {
                self.lost += 1;
            }
            Fact::Told { actor, sequence, .. } => self.of(actor).told.push((sequence, at)),
            Fact::Passed { actor, letter } => {
                let known = self.of(actor);
                if !known.archived && !known.passed.contains(letter) {
                    known.passed.insert(letter.into());
                }
            }
            Fact::Acknowledged { actor, letter } => {
                let known = self.of(actor);
                let done =
                    known.archived || known.causes.contains_key(letter) || known.passed.contains(letter);
                if !done {
                    let name = actors.name(actor);
                    self.broken(
                        Promise::AcknowledgedSurvives,
                        at,
                        format!(
                            "letter {letter} to {name} was acknowledged before what it made happen was stored"
                        ),
                    );
                }
            }
            Fact::Archived { actor } => self.of(actor).archived = true,
            Fact::Landed { submission } => {
                if !self.landed.insert(submission.into()) {
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
            Fact::PowerLost { .. } | Fact::Upgraded { .. } => {}
        }
    }

    fn newest(&self, actors: &Actors, actor: ActorIx) -> u64 {
        self.epochs.get(&actors.place(actor)).copied().unwrap_or(0)
    }

    fn paid(
        &mut self,
        at: Micros,
        actors: &Actors,
        (actor, key): (ActorIx, &str),
        epoch: u64,
        microdollars: u64,
    ) {
        let (newest, name) = (self.newest(actors, actor), actors.name(actor));
        if epoch < newest {
            self.broken(
                Promise::OneHost,
                at,
                format!("{key} of {name} was paid under epoch {epoch} when {newest} had been won"),
            );
        }
        self.paid += microdollars;
        let known = self.of(actor);
        // An answer that a host stored when it had lost the partition already is one that whoever has it could not
        // know: that host was interrupted.
        let stored = known.causes.get(key).map(|&(_, by)| by).or(known.archived.then_some(known.epoch));
        let answered = stored.is_some_and(|by| by >= epoch);
        let call = known.calls.entry(key.into()).or_default();
        // Whoever made it before has lost the partition: its call counts as interrupted.
        call.interrupted += u32::from(call.paid > 0 && epoch > call.epoch && call.interrupted < call.paid);
        call.epoch = epoch;
        call.paid += 1;
        let (paid, interrupted) = (call.paid, call.interrupted);
        self.repeated += u64::from(paid > 1);
        if answered {
            self.broken(
                Promise::PaidOnce,
                at,
                format!("{key} of {name} was paid again after its answer was journaled"),
            );
        } else if paid > 1 + interrupted {
            self.broken(
                Promise::PaidOnce,
                at,
                format!("{key} of {name} was paid {paid} times and interrupted {interrupted} times"),
            );
        }
        // What was repeated is beyond what the ledger could know: each such call was in flight when its host died.
        let most = self.budget + self.call_cost * self.repeated + self.forgotten;
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

    /// Forgets what could only be held against a finished actor's redelivered letters and a journal that changes no more, once that
    /// journal, of these `sequences`, is found whole. Not where the archive itself may be lost.
    pub fn forget(&mut self, actor: ActorIx, at: Micros, actors: &Actors, sequences: &[u64]) {
        let known = self.of(actor);
        (known.causes, known.passed, known.calls) = Default::default();
        let told = std::mem::take(&mut known.told);
        self.missing(at, actors, actor, &told, sequences);
    }

    /// The server's power failed and what it had not synced is gone: what was told within the window before is excused, and
    /// what comes is held against what is left.
    pub fn power_lost(&mut self, at: Micros, loss: &Loss, actors: &Actors) {
        let mut broken = Vec::new();
        for (actor, known) in self.known.iter_mut().enumerate() {
            let (last, archived) = loss.kept.get(actor).copied().unwrap_or((0, false));
            known.archived = archived;
            let before = known.told.len();
            for &(sequence, told) in known.told.iter().filter(|(sequence, _)| *sequence > last) {
                if told + loss.window < at {
                    broken.push((actor as ActorIx, sequence, at - told));
                }
            }
            known.told.retain(|(sequence, _)| *sequence <= last);
            self.lost += (before - known.told.len()) as u64;
            // A letter that is acknowledged now was acted on before.
            let gone = known.causes.iter().filter(|(_, (sequence, _))| *sequence > last);
            known.passed.extend(gone.map(|(cause, _)| cause.clone()));
            known.causes.retain(|_, (sequence, _)| *sequence <= last);
            known.epoch = known.causes.values().map(|(_, epoch)| *epoch).max().unwrap_or(0);
            known.calls.values_mut().for_each(|call| call.interrupted = call.paid);
        }
        self.powerless_until = at + ON_THE_WAY;
        // Revisions of leases are given out anew.
        self.epochs.clear();
        self.forgotten = self.paid;
        for (actor, sequence, age) in broken {
            let (name, seconds) = (actors.name(actor), age / 1_000_000);
            self.broken(
                Promise::AcknowledgedSurvives,
                at,
                format!(
                    "record {sequence} of {name} is lost, {seconds} s after it was acknowledged; the window is {} s",
                    loss.window / 1_000_000
                ),
            );
        }
    }

    /// Notes that a promise was broken.
    pub fn broken(&mut self, promise: Promise, at_us: Micros, what: String) {
        if self.violations.len() < KEPT {
            self.violations.push(Violation { promise, at_us, what });
        }
    }

    /// At the end: `sequences` gives those of an actor's records, in order.
    pub fn survived(&mut self, at: Micros, actors: &Actors, sequences: impl Fn(ActorIx) -> Vec<u64>) {
        for actor in 0..self.known.len() {
            let told = std::mem::take(&mut self.known[actor].told);
            if !told.is_empty() {
                let actor = actor as ActorIx;
                self.missing(at, actors, actor, &told, &sequences(actor));
            }
        }
    }

    fn missing(
        &mut self,
        at: Micros,
        actors: &Actors,
        actor: ActorIx,
        told: &[(u64, Micros)],
        there: &[u64],
    ) {
        for (sequence, _) in told.iter().filter(|(sequence, _)| there.binary_search(sequence).is_err()) {
            let name = actors.name(actor);
            self.broken(
                Promise::AcknowledgedSurvives,
                at,
                format!("record {sequence} of {name} was acknowledged and is lost"),
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

    /// Acknowledged records that were lost with the server's power.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Partitions that hosts handed over to others.
    pub fn handed_over(&self) -> u64 {
        self.handed_over
    }
}
