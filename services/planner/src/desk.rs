//! The ledger's writer without I/O: which questions one record answers, and what is taken back when it was not stored.
//!
//! Any process that may host the planner serves the ledger; the journal's last sequence decides between them. A driver
//! reads what was written since ([`Desk::read`]), has a batch decided on ([`Desk::decide`]), appends its record and answers
//! after that ([`Desk::stored`]), or reads on and asks again ([`Desk::not_stored`]). The service on the bus is one driver, the
//! simulator another.

use std::collections::HashSet;
use std::sync::Arc;

use atlas_actor::Machine as _;
use atlas_actor::snapshot::Bookmark;
use atlas_domain::ActorKind;
use atlas_proto::ledger_event::Event as Kind;
use atlas_proto::{LedgerEvent, Record, Snapshot};
use prost::Message as _;

use crate::ledger::{Command, Ledger, Refusal, Undo};

/// Questions that one record may answer.
pub const BATCH: usize = 256;

/// A question to the ledger.
#[derive(Debug)]
pub struct Question<A> {
    /// What is asked.
    pub command: Command,
    /// Who asks.
    pub asker: A,
}

/// What was decided on questions, before it is stored.
#[derive(Debug)]
pub struct Batch<A> {
    /// To be appended after [`Desk::last`]; `None`: nothing changes.
    pub record: Option<Record>,
    /// Answers; `Some`: why it is refused.
    pub answers: Vec<(Question<A>, Option<Refusal>)>,
    /// Questions that wait for promises to be settled.
    pub waiting: Vec<Question<A>>,
    /// It changes the limits.
    pub limits: bool,
    undos: Vec<Undo>,
}

/// The ledger as one writer knows it.
#[derive(Debug, Default)]
pub struct Desk {
    ledger: Ledger,
    bookmark: Bookmark,
    current: bool,
    /// A conflict was met, and nothing has been read since.
    surprised: bool,
    revoked: HashSet<String>,
}

impl Desk {
    /// The ledger up to [`Desk::last`].
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Begins from a snapshot, in the place of a ledger of which nothing is known.
    ///
    /// # Errors
    /// It is not this program's, in words.
    pub fn restore(&mut self, snapshot: Snapshot) -> Result<(), String> {
        (self.ledger, self.bookmark, _) = Bookmark::restore(snapshot)?;
        Ok(())
    }

    /// A snapshot, if one is due ([`Bookmark::snapshot`]); to be asked for right after [`Desk::stored`].
    pub fn snapshot(&mut self, every: usize) -> Option<Snapshot> {
        // Nobody asks what made a batch.
        self.bookmark.snapshot(&self.ledger, std::iter::empty(), every)
    }

    /// Sequence of the last record that was read or written.
    pub fn last(&self) -> u64 {
        self.bookmark.sequence()
    }

    /// The journal's records after this sequence are to be read.
    pub fn after(&self) -> u64 {
        self.bookmark.after()
    }

    /// False before the journal was read, and after an append that was refused or whose outcome is unknown.
    pub fn is_current(&self) -> bool {
        self.current
    }

    /// Grants nothing more to this attempt.
    pub fn revoke(&mut self, attempt: String) {
        self.revoked.insert(attempt);
    }

    /// Folds in a record that another process wrote.
    ///
    /// # Errors
    /// It is not this program's, in words.
    pub fn read(&mut self, sequence: u64, record: Record) -> Result<(), String> {
        if !self.bookmark.is_proven() {
            // Where the snapshot is of another journal, `caught_up` says so.
            self.bookmark.prove(sequence, &record);
            return Ok(());
        }
        if record.version > Ledger::VERSION {
            return Err(format!(
                "the {}'s record {sequence} was written by a newer program (version {})",
                ActorKind::Ledger,
                record.version
            ));
        }
        let events = record.events.iter().map(|bytes| LedgerEvent::decode(bytes.as_slice()));
        let events = events.collect::<Result<Vec<_>, _>>();
        for event in events.map_err(|error| format!("record {sequence} does not parse: {error}"))? {
            self.ledger.apply(&event, record.time_ms);
        }
        self.bookmark.advance::<Ledger>(sequence, Arc::new(record));
        self.surprised = false;
        Ok(())
    }

    /// All that came after [`Desk::after`] has been read. False: that cannot be all, and everything is to be read from the beginning.
    pub fn caught_up(&mut self) -> bool {
        if self.surprised || !self.bookmark.is_proven() {
            // Somebody wrote, or so it seemed, and there is nothing: the journal is not the one that was read, or snapshotted.
            (self.ledger, self.bookmark, self.surprised) = (Ledger::default(), Bookmark::default(), false);
            return false;
        }
        self.current = true;
        true
    }

    /// Decides on questions, settlements first: they make room. `may_wait`: whether one that is refused only for what is
    /// promised to others would rather wait.
    pub fn decide<A>(
        &mut self,
        mut questions: Vec<Question<A>>,
        now_ms: u64,
        may_wait: impl Fn(&A) -> bool,
    ) -> Batch<A> {
        questions.sort_by_key(|question| matches!(question.command, Command::Reserve(_)));
        let mut batch = Batch {
            record: None,
            answers: Vec::new(),
            waiting: Vec::new(),
            limits: false,
            undos: Vec::new(),
        };
        let mut events: Vec<LedgerEvent> = Vec::new();
        for question in questions {
            let refusal = match &question.command {
                Command::Reserve(reserve) => {
                    self.void(&reserve.call).or_else(|| self.ledger.refusal(reserve, now_ms))
                }
                _ => None,
            };
            match refusal {
                Some(refusal) if refusal.may_pass && may_wait(&question.asker) => {
                    batch.waiting.push(question);
                    continue;
                }
                Some(refusal) => batch.answers.push((question, Some(refusal))),
                None => {
                    for event in self.ledger.decide(question.command.clone(), now_ms) {
                        batch.limits |= matches!(event.event, Some(Kind::Limits(_)));
                        batch.undos.extend(self.ledger.foresee(&event));
                        events.push(event);
                    }
                    batch.answers.push((question, None));
                }
            }
        }
        if !events.is_empty() {
            batch.record = Some(Record {
                version: Ledger::VERSION,
                cause: format!("batch/{}", self.last()),
                time_ms: now_ms,
                epoch: 0, // two writers are told apart by the sequence alone
                traceparent: String::new(),
                events: events.iter().map(prost::Message::encode_to_vec).collect(),
            });
        }
        batch
    }

    /// The batch's record is stored.
    pub fn stored(&mut self, sequence: u64, record: Record) {
        self.bookmark.advance::<Ledger>(sequence, Arc::new(record));
    }

    /// The batch's record was not stored, or nobody knows: gives its questions back, to be asked again of what is read then.
    /// `conflict`: another wrote.
    pub fn not_stored<A>(&mut self, batch: Batch<A>, conflict: bool) -> Vec<Question<A>> {
        batch.undos.into_iter().rev().for_each(|undo| self.ledger.undo(undo));
        (self.current, self.surprised) = (false, conflict);
        batch.answers.into_iter().map(|(question, _)| question).chain(batch.waiting).collect()
    }

    fn void(&self, call: &str) -> Option<Refusal> {
        let attempt = call.rsplit_once('/').map_or(call, |(attempt, _)| attempt);
        self.revoked.contains(attempt).then(|| Refusal {
            kind: "void",
            reason: "the attempt's work is not needed any more".to_owned(),
            may_pass: false,
            ends_run: false,
        })
    }
}
