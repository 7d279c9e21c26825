//! The ledger in a process: the product's ledger machine, its journal written by compare-and-set, each answer given after its
//! record is stored. Any planner process may serve it, with or without the planner's lease.

use std::collections::VecDeque;
use std::sync::Arc;

use atlas_actor::Machine as _;
use atlas_bus::append::{Append, Attempt, Next};
use atlas_domain::ActorKind;
use atlas_planner::{Ledger, LedgerCommand, LedgerUndo as Undo};
use atlas_proto::{LedgerEvent, Record};
use prost::Message as _;

use crate::clock::{MS, Micros};
use crate::net::{Addr, Cont, Net, Op, Said, What};

/// Questions that one record may answer.
const BATCH: usize = 256;
/// Pause after the bus failed, and before those that wait for room are looked at again.
const PAUSE: Micros = 200 * MS;

struct Question {
    command: LedgerCommand,
    asker: Addr,
    cont: Cont,
    until: Micros,
}

enum Doing {
    Nothing,
    Loading,
    Appending(Box<Appending>),
    Pausing,
}

struct Appending {
    append: Append,
    record: Arc<Record>,
    answers: Vec<(Addr, Cont, Said)>,
    batch: Vec<Question>,
    undos: Vec<Undo>,
}

/// The ledger's desk.
pub struct Desk {
    ledger: Ledger,
    /// Up to which record the ledger is what the journal says.
    last: u64,
    /// Another process may have written since.
    current: bool,
    queue: VecDeque<Question>,
    doing: Doing,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            last: 0,
            current: false,
            queue: VecDeque::new(),
            doing: Doing::Nothing,
        }
    }
}

fn cont() -> Cont {
    Cont { partition: 0, tenure: 0, what: What::Desk }
}

impl Desk {
    /// A question.
    pub fn ask(
        &mut self,
        net: &mut Net,
        me: Addr,
        command: LedgerCommand,
        asker: (Addr, Cont),
        until: Micros,
    ) {
        self.queue.push_back(Question { command, asker: asker.0, cont: asker.1, until });
        if matches!(self.doing, Doing::Nothing) {
            self.work(net, me);
        }
    }

    fn work(&mut self, net: &mut Net, me: Addr) {
        self.doing = Doing::Nothing;
        if self.queue.is_empty() {
            return;
        }
        let actor = net.actors.singleton(ActorKind::Ledger);
        if !self.current {
            self.doing = Doing::Loading;
            return net.ask(me, Op::ReadAfter(actor, self.last), cont());
        }
        let (now, now_ms, last) = (net.clock.now(), net.now_ms(me.process), self.last);
        let take = self.queue.len().min(BATCH);
        let mut batch: Vec<Question> = self.queue.drain(..take).collect();
        // Settlements first: they make room.
        batch.sort_by_key(|question| matches!(question.command, LedgerCommand::Reserve(_)));
        let (mut events, mut answers, mut answered) = (Vec::<LedgerEvent>::new(), Vec::new(), Vec::new());
        let mut undos = Vec::new();
        for question in batch {
            let refusal = match &question.command {
                LedgerCommand::Reserve(reserve) => self.ledger.refusal(reserve, now_ms),
                _ => None,
            };
            let said = match refusal {
                Some(refusal) if refusal.may_pass && now < question.until => {
                    self.queue.push_back(question);
                    continue;
                }
                Some(refusal) => Said::Denied(refusal.reason),
                None => {
                    for event in self.ledger.decide(question.command.clone(), now_ms) {
                        undos.extend(self.ledger.foresee(&event));
                        events.push(event);
                    }
                    Said::Stored(0)
                }
            };
            answers.push((question.asker, question.cont.clone(), said));
            answered.push(question);
        }
        if events.is_empty() {
            self.reply(net, me, answers);
            return self.pause(net, me);
        }
        let record = Arc::new(Record {
            version: Ledger::VERSION,
            cause: format!("batch/{last}"),
            time_ms: now_ms,
            events: events.iter().map(prost::Message::encode_to_vec).collect(),
            ..Record::default()
        });
        let (append, batch) = (Append::default(), answered);
        self.doing =
            Doing::Appending(Box::new(Appending { append, record: record.clone(), answers, batch, undos }));
        net.ask(me, Op::Append { actor, record, after: Some(last) }, cont());
    }

    fn reply(&mut self, net: &mut Net, me: Addr, answers: Vec<(Addr, Cont, Said)>) {
        for (to, cont, said) in answers {
            // Of another process: else the asker gives up by itself.
            if to == me || !net.lost(to.process) {
                net.answer(to, cont, said, 0);
            }
        }
    }

    fn pause(&mut self, net: &mut Net, me: Addr) {
        if self.queue.is_empty() {
            self.doing = Doing::Nothing;
        } else {
            self.doing = Doing::Pausing;
            net.timer(me, PAUSE, cont());
        }
    }

    /// An answer of the server, or the end of a pause.
    pub fn tell(&mut self, net: &mut Net, me: Addr, said: Said) {
        let actor = net.actors.singleton(ActorKind::Ledger);
        match (std::mem::replace(&mut self.doing, Doing::Nothing), said) {
            (Doing::Loading, Said::Records(records)) => {
                for (sequence, record) in &records {
                    let Ok(events) =
                        record.events.iter().map(|bytes| LedgerEvent::decode(&bytes[..])).collect()
                    else {
                        return self.pause(net, me);
                    };
                    let events: Vec<LedgerEvent> = events;
                    events.iter().for_each(|event| self.ledger.apply(event, record.time_ms));
                    self.last = *sequence;
                }
                self.current = true;
                self.work(net, me);
            }
            (Doing::Appending(mut doing), said) => {
                let record = doing.record.clone();
                let next = match said {
                    Said::Stored(sequence) => doing.append.tried(Attempt::Stored(sequence)),
                    Said::Refused => doing.append.tried(Attempt::Outdated),
                    Said::Last(same) => doing.append.found(same),
                    Said::Tick => {
                        self.doing = Doing::Appending(doing);
                        return net.ask(me, Op::Append { actor, record, after: Some(self.last) }, cont());
                    }
                    _ => doing.append.tried(Attempt::Unknown),
                };
                match next {
                    Next::Stored(sequence) => {
                        self.last = sequence;
                        self.reply(net, me, doing.answers);
                        self.work(net, me);
                    }
                    Next::Conflict => {
                        // Another process wrote: everything is asked again of what the journal says now.
                        doing.undos.into_iter().rev().for_each(|undo| self.ledger.undo(undo));
                        self.current = false;
                        doing.batch.into_iter().rev().for_each(|question| self.queue.push_front(question));
                        self.work(net, me);
                    }
                    Next::LookUp => {
                        self.doing = Doing::Appending(doing);
                        net.ask(me, Op::Last { actor, record }, cont());
                    }
                    Next::Again => {
                        self.doing = Doing::Appending(doing);
                        net.timer(me, PAUSE, cont());
                    }
                }
            }
            (Doing::Pausing, Said::Tick) => self.work(net, me),
            (Doing::Loading, _) => self.pause(net, me),
            (doing, _) => self.doing = doing,
        }
    }
}
