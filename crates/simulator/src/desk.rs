//! The ledger in a process: the product's ledger machine, its journal written by compare-and-set, each answer given after its
//! record is stored. Any planner process may serve it, with or without the planner's lease.

use std::collections::VecDeque;
use std::sync::Arc;

use atlas_actor::{Journaled, Machine as _};
use atlas_bus::append::{Append, Attempt, Next};
use atlas_domain::ActorKind;
use atlas_planner::{Ledger, LedgerCommand};
use atlas_proto::{LedgerEvent, Record};

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
    Appending { append: Append, record: Arc<Record>, answers: Vec<(Addr, Cont, Said)>, batch: Vec<Question> },
    Pausing,
}

/// The ledger's desk.
pub struct Desk {
    ledger: Option<(Ledger, u64)>,
    queue: VecDeque<Question>,
    doing: Doing,
}

impl Default for Desk {
    fn default() -> Self {
        Self { ledger: None, queue: VecDeque::new(), doing: Doing::Nothing }
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
        // In place: after a failure it is read again.
        let Some((ledger, last)) = &mut self.ledger else {
            self.doing = Doing::Loading;
            return net.ask(me, Op::Read(actor), cont());
        };
        let (now, now_ms, last) = (net.clock.now(), net.now_ms(me.process), *last);
        let take = self.queue.len().min(BATCH);
        let mut batch: Vec<Question> = self.queue.drain(..take).collect();
        // Settlements first: they make room.
        batch.sort_by_key(|question| matches!(question.command, LedgerCommand::Reserve(_)));
        let (mut events, mut answers, mut answered) = (Vec::<LedgerEvent>::new(), Vec::new(), Vec::new());
        for question in batch {
            let refusal = match &question.command {
                LedgerCommand::Reserve(reserve) => ledger.refusal(reserve, now_ms),
                _ => None,
            };
            let said = match refusal {
                Some(refusal) if refusal.may_pass && now < question.until => {
                    self.queue.push_back(question);
                    continue;
                }
                Some(refusal) => Said::Denied(refusal.reason),
                None => {
                    for event in ledger.decide(question.command.clone(), now_ms) {
                        ledger.apply(&event, now_ms);
                        events.push(event);
                    }
                    Said::Stored(0)
                }
            };
            answers.push((question.asker, question.cont.clone(), said));
            answered.push(question);
        }
        if events.is_empty() {
            self.reply(net, answers);
            return self.pause(net, me);
        }
        let record = Arc::new(Record {
            version: Ledger::VERSION,
            cause: format!("batch/{last}"),
            time_ms: now_ms,
            events: events.iter().map(prost::Message::encode_to_vec).collect(),
            ..Record::default()
        });
        self.doing =
            Doing::Appending { append: Append::default(), record: record.clone(), answers, batch: answered };
        net.ask(me, Op::Append { actor, record, after: Some(last) }, cont());
    }

    fn reply(&mut self, net: &mut Net, answers: Vec<(Addr, Cont, Said)>) {
        for (to, cont, said) in answers {
            // Else the asker gives up by itself.
            if !net.lost(to.process) {
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
                let id = net.actors.id(actor);
                let mut journaled: Journaled<Ledger> = Journaled::new(id);
                let mut last = 0;
                for (sequence, record) in &records {
                    if journaled.fold(id, *sequence, Record::clone(record)).is_err() {
                        return self.pause(net, me);
                    }
                    last = *sequence;
                }
                self.ledger = Some((journaled.machine().clone(), last));
                self.work(net, me);
            }
            (Doing::Appending { mut append, record, answers, batch }, said) => {
                let after = self.ledger.as_ref().map_or(0, |(_, last)| *last);
                let next = match said {
                    Said::Stored(sequence) => append.tried(Attempt::Stored(sequence)),
                    Said::Refused => append.tried(Attempt::Outdated),
                    Said::Last(same) => append.found(same),
                    Said::Tick => {
                        let op = Op::Append { actor, record: record.clone(), after: Some(after) };
                        self.doing = Doing::Appending { append, record, answers, batch };
                        return net.ask(me, op, cont());
                    }
                    _ => append.tried(Attempt::Unknown),
                };
                match next {
                    Next::Stored(sequence) => {
                        if let Some((_, last)) = &mut self.ledger {
                            *last = sequence;
                        }
                        self.reply(net, answers);
                        if self.queue.is_empty() { self.doing = Doing::Nothing } else { self.work(net, me) }
                    }
                    Next::Conflict => {
                        // Another process wrote: everything is asked again of what the journal says now.
                        self.ledger = None;
                        batch.into_iter().rev().for_each(|question| self.queue.push_front(question));
                        self.pause(net, me);
                    }
                    Next::LookUp => {
                        self.doing = Doing::Appending { append, record: record.clone(), answers, batch };
                        net.ask(me, Op::Last { actor, record }, cont());
                    }
                    Next::Again => {
                        self.doing = Doing::Appending { append, record, answers, batch };
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
