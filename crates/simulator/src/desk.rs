//! The ledger in a process: the product's own desk, its journal written by compare-and-set, each answer given after its record
//! is stored. Any planner process may serve it, with or without the planner's lease.

use std::collections::VecDeque;
use std::sync::Arc;

use atlas_bus::append::{Append, Attempt, Next};
use atlas_domain::ActorKind;
use atlas_planner::desk::{self, BATCH, Batch};
use atlas_planner::{Ledger, LedgerCommand};
use atlas_proto::Record;

use crate::clock::{MS, Micros};
use crate::machines::{kept, readable, recalled, written};
use crate::net::{Addr, Cont, Net, Op, Said, What};

/// Pause after the bus failed, and before those that wait for room are looked at again.
const PAUSE: Micros = 200 * MS;

struct Asker {
    addr: Addr,
    cont: Cont,
    until: Micros,
}

type Question = desk::Question<Asker>;

#[derive(Default)]
enum Doing {
    #[default]
    Nothing,
    Recalling,
    Loading,
    Appending(Box<Appending>),
    Pausing,
}

struct Appending {
    append: Append,
    record: Arc<Record>,
    batch: Batch<Asker>,
}

/// The ledger's desk in a process.
#[derive(Default)]
pub struct Desk {
    desk: desk::Desk,
    queue: VecDeque<Question>,
    doing: Doing,
    /// It was looked for a snapshot.
    recalled: bool,
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
        (addr, cont): (Addr, Cont),
        until: Micros,
    ) {
        self.queue.push_back(Question { command, asker: Asker { addr, cont, until } });
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
        if !self.recalled && net.options.snapshot_every > 0 {
            self.doing = Doing::Recalling;
            return net.ask(me, Op::Recall(actor), cont());
        }
        if !self.desk.is_current() {
            self.doing = Doing::Loading;
            return net.ask(me, Op::ReadAfter(actor, self.desk.after()), cont());
        }
        let (now, take) = (net.clock.now(), self.queue.len().min(BATCH));
        let questions = self.queue.drain(..take).collect();
        let mut batch = self.desk.decide(questions, net.now_ms(me.process), |asker| now < asker.until);
        self.queue.extend(std::mem::take(&mut batch.waiting));
        let Some(record) = batch.record.take() else {
            Self::reply(net, me, batch);
            return self.pause(net, me);
        };
        let record = written::<Ledger>(net, me, Arc::new(record));
        let append = Append::default();
        self.doing = Doing::Appending(Box::new(Appending { append, record: record.clone(), batch }));
        net.ask(me, Op::Append { actor, record, after: Some(self.desk.last()) }, cont());
    }

    fn reply(net: &mut Net, me: Addr, batch: Batch<Asker>) {
        for (question, refusal) in batch.answers {
            let Asker { addr, cont, .. } = question.asker;
            let said = refusal.map_or(Said::Stored(0), |refusal| Said::Denied(refusal.reason));
            // Of another process: else the asker gives up by itself.
            if addr == me || !net.lost(addr.process) {
                net.answer(addr, cont, said, 0);
            }
        }
    }

    /// Has a snapshot stored when one is due.
    fn keep(&mut self, net: &mut Net, me: Addr) {
        let every = net.options.snapshot_every;
        if let Some(snapshot) = (every > 0).then(|| self.desk.snapshot(every)).flatten() {
            let actor = net.actors.singleton(ActorKind::Ledger);
            let snapshot = kept::<Ledger>(net, me, snapshot);
            net.ask(me, Op::Keep { actor, snapshot }, Cont { what: What::Nothing, ..cont() });
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
        match (std::mem::take(&mut self.doing), said) {
            (Doing::Recalling, said) => {
                self.recalled = true;
                if let Said::Snapshot(Some(snapshot)) = said {
                    // One of another program is of no use; then the journal is read whole.
                    let _ = self.desk.restore(recalled::<Ledger>(net, me, &snapshot));
                }
                self.work(net, me);
            }
            (Doing::Loading, Said::Records(records)) => {
                for (sequence, record) in &records {
                    if self.desk.read(*sequence, readable::<Ledger>(net, me, record)).is_err() {
                        return self.pause(net, me);
                    }
                }
                self.desk.caught_up();
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
                        return net.ask(
                            me,
                            Op::Append { actor, record, after: Some(self.desk.last()) },
                            cont(),
                        );
                    }
                    _ => doing.append.tried(Attempt::Unknown),
                };
                match next {
                    Next::Stored(sequence) => {
                        self.desk.stored(sequence, readable::<Ledger>(net, me, &doing.record));
                        self.keep(net, me);
                        Self::reply(net, me, doing.batch);
                        self.work(net, me);
                    }
                    Next::Conflict => {
                        // Another process wrote: everything is asked again of what the journal says now.
                        let again = self.desk.not_stored(doing.batch, true);
                        again.into_iter().rev().for_each(|question| self.queue.push_front(question));
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
