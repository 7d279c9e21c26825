//! What all parts of a simulated run share: the clock, chance, the weather on the network, names, the judge.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use atlas_domain::{ActorKind, RunId};
use atlas_planner::LedgerCommand;
use atlas_proto::{Letter, Record, Snapshot};
use sha2::{Digest as _, Sha256};

pub use crate::actors::{ActorIx, Actors, Place};
use crate::clock::{Chance, Clock, MS, Micros, SECOND};
use crate::fact::Fact;
use crate::judge::Judge;
use crate::run::{Options, Sabotage};
use crate::world::{Check, World};

/// How long a session holds without renewal.
pub const LEASE: Micros = 3 * SECOND;
/// Unix time at which runs begin, milliseconds.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Bytes of facts that are hashed and written at once.
const LINES: usize = 16 << 10;
/// How long a client waits for the server's word.
const PATIENCE: Micros = 5 * SECOND;
/// The same for the ledger's.
const LEDGER_PATIENCE: Micros = 15 * SECOND;

/// One life of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addr {
    /// Which process.
    pub process: usize,
    /// Which of its lives.
    pub life: u32,
}

/// A key of the bucket that says who hosts what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A process's session.
    Session(u64),
    /// Who has a partition.
    Claim(Place),
}

/// A key as it is read: the revision of its last write, 0 without any, and the session that it names; `None`: it was deleted.
pub type Entry = (u64, Option<u64>);

/// Of whose session how many partitions.
pub type Asked = BTreeMap<u64, u16>;

/// A queue of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Queue {
    /// Letters to actors.
    Inbox(Place),
    /// Certifications.
    Certify,
}

/// What lies in a queue.
#[derive(Debug, Clone)]
pub enum Body {
    /// To an actor.
    Letter(ActorIx, Arc<Letter>),
    /// For a verifier.
    Check(Arc<Check>),
    /// Bytes that nobody understands.
    Garbage(ActorIx),
}

impl Body {
    /// Whom it is for; certifications are for whoever asks.
    pub fn to(&self) -> ActorIx {
        match self {
            Self::Letter(actor, _) | Self::Garbage(actor) => *actor,
            Self::Check(_) => ActorIx::MAX,
        }
    }
}

/// A message as it was delivered.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// Where it lies.
    pub queue: Queue,
    /// Its number there.
    pub number: u64,
    /// Its id, as the sender gave it.
    pub id: Rc<str>,
    /// What it is.
    pub body: Body,
    /// How often it was delivered, this time included.
    pub deliveries: u32,
}

/// What a process asks of the server.
#[derive(Debug, Clone)]
pub enum Op {
    /// Append if `after` is the last sequence; `None`: whatever is.
    Append { actor: ActorIx, record: Arc<Record>, after: Option<u64> },
    /// Is this the journal's last record?
    Last { actor: ActorIx, record: Arc<Record> },
    /// The journal, or the archive.
    Read(ActorIx),
    /// The journal's records after a sequence.
    ReadAfter(ActorIx, u64),
    /// All journals of a partition.
    Sweep(Place),
    /// Store a snapshot in place of the actor's last one.
    Keep { actor: ActorIx, snapshot: Arc<Snapshot> },
    /// The actor's last snapshot.
    Recall(ActorIx),
    /// Have letters delivered from now on, for this tenure.
    Open { place: Place, tenure: u32 },
    /// Have no more letters delivered.
    Close(Place),
    /// Have so much work delivered.
    Pull { slots: usize },
    /// Put something into a queue.
    Send { queue: Queue, body: Body, id: Rc<str> },
    /// It is done.
    Ack { queue: Queue, number: u64 },
    /// Deliver it again after a pause.
    Nak { queue: Queue, number: u64, pause: Micros },
    /// It is still being worked on.
    Alive { queue: Queue, number: u64 },
    /// Keep it with a reason, and take it off its queue if it lies in one.
    Bury { message: Option<(Queue, u64)>, what: String },
    /// Write a key if its revision is `after`.
    Write { key: Key, after: u64, names: Option<u64>, process: usize },
    /// Have a claim name the session of another host, if its revision is `after`.
    HandOver { place: Place, after: u64, names: u64 },
    /// Ask the hosts of a kind for partitions, to be handed over to the session `by`.
    Ask { kind: ActorKind, by: u64, of: Rc<Asked> },
    /// Read a key.
    Look(Key),
    /// Read the claims on all partitions of a kind.
    Claims(ActorKind),
    /// Move a finished actor's journal away.
    Archive(ActorIx),
    /// Ask the ledger.
    Ledger(Box<LedgerCommand>),
}

/// The records of a journal with their sequences.
pub type Journal = Vec<(u64, Arc<Record>)>;

/// What came of it.
#[derive(Debug, Clone)]
pub enum Said {
    /// It is stored, or done; the sequence or revision.
    Stored(u64),
    /// Another last sequence, or another's lease.
    Refused,
    /// No answer, or a failure: it may be done or not.
    Unknown,
    /// Of [`Op::Last`].
    Last(Option<u64>),
    /// Of [`Op::Read`].
    Records(Journal),
    /// Of [`Op::Recall`].
    Snapshot(Option<Arc<Snapshot>>),
    /// Of [`Op::Sweep`].
    Journals(Vec<(ActorIx, Journal)>),
    /// Of [`Op::Look`].
    Entry(Entry),
    /// Of [`Op::Claims`].
    Claims(Vec<(u16, Entry)>),
    /// Of [`Op::Ledger`]: a refusal.
    Denied(String),
    /// Time has passed.
    Tick,
}

/// Where in a process an answer belongs.
#[derive(Debug, Clone)]
pub struct Cont {
    /// The partition.
    pub partition: u16,
    /// Of which tenure; answers to earlier ones are for nobody.
    pub tenure: u32,
    /// What was asked.
    pub what: What,
}

/// Whose life wants to know whether its lease still holds: partition, tenure, actor, number of the life.
pub type Verify = (u16, u32, ActorIx, u32);

/// What was asked.
#[derive(Debug, Clone)]
pub enum What {
    /// Nothing that anybody waits for.
    Nothing,
    /// Time to reach for a partition.
    Try,
    /// Its claim was looked at.
    Reached,
    /// It was claimed under a session.
    Claimed(u64),
    /// An actor's life wants to know whether the claim still holds.
    Verified(ActorIx, u32),
    /// A session was begun at this time.
    Began(u64, Micros),
    /// Time to renew it.
    Renew(u64),
    /// It was renewed at this time; for which life, if not by itself.
    Renewed { session: u64, sent: Micros, verify: Option<Verify> },
    /// It was looked at after its revision was another.
    RenewedSeen { session: u64, sent: Micros, verify: Option<Verify> },
    /// The claims.
    Claims,
    /// Time to look at other hosts' sessions.
    Look,
    /// One was looked at.
    Watched(u64),
    /// One was ended.
    Ended(u64),
    /// The partition's journals.
    Swept,
    /// An actor's snapshot, to read its journal from there on; for whom.
    Recalled(ActorIx, Box<Self>),
    /// An actor's journal, from a snapshot on or whole; for whom.
    Read(ActorIx, Option<Arc<Snapshot>>, Box<Self>),
    /// The journal of a letter's actor.
    LoadFor(Box<Delivered>),
    /// A step of an actor's life.
    Step(ActorIx, u32),
    /// A stage of an effect; the ticket of what it waits for.
    Stage(ActorIx, u32, Rc<str>, u32),
    /// A certification: which.
    Verify(u64),
    /// The ledger's own.
    Desk,
}

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A question reaches the server.
    Arrive { from: Addr, op: Op, cont: Cont, answered: bool, sent: Micros },
    /// An answer reaches a process.
    Tell { to: Addr, cont: Cont, said: Said },
    /// Work reaches a process.
    Push { to: Addr, tenure: u32, delivered: Box<Delivered> },
    /// The ledger in a process is asked.
    Asked { to: Addr, command: Box<LedgerCommand>, asker: Addr, cont: Cont, until: Micros },
    /// News of a claim.
    Heard { to: Addr, place: Place, entry: Entry },
    /// A host asks for partitions.
    Sought { to: Addr, kind: ActorKind, by: u64, of: Rc<Asked> },
    /// A message was not acknowledged in time.
    Expire { queue: Queue, number: u64, delivery: u32 },
    /// A message is to be delivered again.
    Again { queue: Queue, number: u64 },
    /// A process is replaced by one of a newer version: it ends.
    Replaced(usize),
    /// Its successor starts.
    Succeeds(usize),
    /// The server writes to disk what it has acknowledged.
    Sync,
    /// A person changes the run's limits; for the how manieth time.
    Limits(u32),
    /// A key is forgotten that was not written since.
    Forgotten { key: Key, revision: u64 },
    /// A fault begins.
    Fault(usize),
    /// It ends.
    Healed(usize),
}

/// What the network and the server's machine are like now. Counts: faults overlap.
#[derive(Debug, Default)]
pub struct Weather {
    pub loss: u32,
    pub duplicate: u32,
    pub delay: u32,
    pub slow_disk: u32,
    pub full_disk: u32,
    pub stale: u32,
    pub full_queue: u32,
    /// What lies in queues is handed out in any order.
    pub reorder: u32,
    /// What was delivered is delivered again before its time.
    pub redelivery: u32,
    /// The server's machine has no power.
    pub down: u32,
    pub slow_lean: u32,
    /// By process.
    pub cut: Vec<u32>,
}

/// What all parts share.
pub struct Net {
    pub clock: Clock<Event>,
    pub chance: Chance,
    pub weather: Weather,
    pub actors: Actors,
    pub world: World,
    pub judge: Judge,
    pub options: Options,
    /// Wall clocks' errors by process, milliseconds.
    pub skew_ms: Vec<i64>,
    /// By process: how many versions newer than this program it is.
    pub newer: Vec<u32>,
    /// Actors that came back from a snapshot.
    pub restored: u64,
    /// Facts that are neither hashed nor written yet, a line each.
    lines: String,
    digest: Sha256,
    trace: Option<Box<dyn Write>>,
    facts: u64,
    numbers: u64,
}

impl Net {
    /// Before anything has happened.
    pub fn new(options: Options, run: RunId, processes: usize, trace: Option<Box<dyn Write>>) -> Self {
        Self {
            clock: Clock::default(),
            chance: Chance::new(options.seed),
            weather: Weather { cut: vec![0; processes], ..Weather::default() },
            actors: Actors::new(run, options.partitions),
            world: World::new(&options),
            judge: Judge::default(),
            skew_ms: vec![0; processes],
            newer: vec![0; processes],
            restored: 0,
            lines: String::new(),
            options,
            digest: Sha256::new(),
            trace,
            facts: 0,
            numbers: 0,
        }
    }

    /// Notes that something happened.
    pub fn note(&mut self, fact: Fact<'_>) {
        self.facts += 1;
        // Writing to a String cannot fail.
        let _ = write!(self.lines, "{} ", self.clock.now());
        let _ = fact.write(&mut self.lines, &self.actors);
        self.lines.push('\n');
        if self.lines.len() > LINES {
            self.flush();
        }
        self.judge.see(self.clock.now(), &fact, &self.actors);
    }

    fn flush(&mut self) {
        self.digest.update(self.lines.as_bytes());
        if let Some(trace) = &mut self.trace {
            // A trace that cannot be written is short; the run is the same.
            let _ = trace.write_all(self.lines.as_bytes());
        }
        self.lines.clear();
    }

    /// SHA-256 of the history so far, and how many facts it has.
    pub fn history(&mut self) -> (String, u64) {
        self.flush();
        (hex::encode(self.digest.clone().finalize()), self.facts)
    }

    /// A number that was not given before.
    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Unix time by a process's clock, milliseconds.
    pub fn now_ms(&self, process: usize) -> u64 {
        (EPOCH_MS + self.clock.now() / MS).saturating_add_signed(self.skew_ms[process])
    }

    /// Whether a rule is broken on purpose.
    pub fn sabotaged(&self, rule: Sabotage) -> bool {
        self.options.sabotage == Some(rule)
    }

    /// What made a record: a letter by the id that its sender gave it, whatever a sabotaged host made of that, or an effect's key.
    pub fn cause<'a>(&self, record: &'a Record) -> &'a str {
        let cause = record.cause.as_str();
        let sent = if self.sabotaged(Sabotage::IdempotencyKey) { cause.split('#').next() } else { None };
        sent.unwrap_or(cause)
    }

    /// From one machine to another.
    pub fn latency(&mut self) -> Micros {
        let usual = 100 + self.chance.bits() % 400;
        if self.weather.delay > 0 && self.chance.hit(300) {
            usual + self.chance.range(0, 4 * SECOND)
        } else {
            usual
        }
    }

    /// Whether a message on the way to or from `process` is lost.
    pub fn lost(&mut self, process: usize) -> bool {
        self.weather.down > 0
            || self.weather.cut[process] > 0
            || (self.weather.loss > 0 && self.chance.hit(100))
    }

    /// Asks the server.
    pub fn ask(&mut self, from: Addr, op: Op, cont: Cont) {
        let sent = self.clock.now();
        if self.lost(from.process) {
            return self.clock.plan(patience(&op), Event::Tell { to: from, cont, said: Said::Unknown });
        }
        let answered = !self.lost(from.process);
        let latency = self.latency();
        if self.weather.duplicate > 0 && self.chance.hit(200) {
            let again = self.latency() + self.chance.range(0, SECOND);
            let cont = Cont { what: What::Nothing, ..cont };
            self.clock.plan(again, Event::Arrive { from, op: op.clone(), cont, answered: false, sent });
        }
        self.clock.plan(latency, Event::Arrive { from, op, cont, answered, sent });
    }

    /// Answers a process, if the answer finds its way.
    pub fn answer(&mut self, to: Addr, cont: Cont, said: Said, disk: Micros) {
        let after = self.latency() + disk;
        self.clock.plan(after, Event::Tell { to, cont, said });
    }

    /// How long the server takes to store something.
    pub fn disk(&mut self) -> Micros {
        if self.weather.slow_disk > 0 {
            self.chance.range(50 * MS, 2 * SECOND)
        } else {
            30 + self.chance.bits() % 100
        }
    }

    /// Wakes a process up after a time.
    pub fn timer(&mut self, to: Addr, after: Micros, cont: Cont) {
        self.clock.plan(after, Event::Tell { to, cont, said: Said::Tick });
    }
}

/// How long an asker waits.
pub fn patience(op: &Op) -> Micros {
    match op {
        Op::Ledger(_) => LEDGER_PATIENCE,
        Op::Write { key: Key::Session(_), .. } => LEASE / 6,
        _ => PATIENCE,
    }
}
