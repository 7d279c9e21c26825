//! The modelled nats-server alone, in the hands of clients that ask and wait: so that it can be held to a real one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use atlas_domain::{ActorKind, RunId};
use atlas_proto::Record;

use crate::clock::{Micros, SECOND};
use crate::fault::Faults;
use crate::net::{Addr, Body, Cont, Delivered, Entry, Event, Key, Net, Op, Queue, Said, What};
use crate::run::Options;
use crate::server::{DUPLICATES, FORGOTTEN, LETTER_WAIT, Server, WORK_WAIT};

/// How often a client asks again for what it wants delivered.
const REOPEN: Micros = 5 * SECOND;

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It is stored, under this number.
    Stored(u64),
    /// The last number is another than the one expected.
    Refused,
    /// The server failed.
    Failed,
}

/// Which queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Letters to the planner.
    Letters,
    /// Certifications.
    Work,
}

/// Which key of the bucket that says who hosts what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// One that stays until it is deleted, as a claim.
    Stays(u16),
    /// One that is forgotten unless it is written again, as a session.
    Passes(u16),
}

/// A message as a client got it.
#[derive(Debug, Clone)]
pub struct Got {
    /// Its id, as the sender gave it.
    pub id: String,
    /// How often it was delivered, this time included.
    pub deliveries: u64,
    at: (Queue, u64),
}

/// The server and its clients, numbered from 0.
pub struct Model {
    net: Net,
    server: Server,
    clients: Vec<Client>,
}

#[derive(Default)]
struct Client {
    got: VecDeque<Delivered>,
    heard: VecDeque<(u16, Entry)>,
}

impl Model {
    /// A server on which nothing lies, and so many clients.
    pub fn new(run: RunId, clients: usize) -> Self {
        let options = Options { faults: Faults(Vec::new()), ..Options::small(0) };
        let mut server = Server::default();
        (0..clients).for_each(|client| server.connect(addr(client)));
        let clients: Vec<Client> = (0..clients).map(|_| Client::default()).collect();
        Self { net: Net::new(options, run, clients.len(), None), server, clients }
    }

    /// Virtual time since it began.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.net.clock.now())
    }

    /// How long what was delivered may stay unacknowledged.
    pub fn ack_wait(line: Line) -> Duration {
        Duration::from_micros(if line == Line::Work { WORK_WAIT } else { LETTER_WAIT })
    }

    /// How far back message ids are known.
    pub fn duplicates() -> Duration {
        Duration::from_micros(DUPLICATES)
    }

    /// When a key that passes is forgotten if it is not written again, and the mark of a deleted one.
    pub fn ttl() -> Duration {
        Duration::from_micros(FORGOTTEN)
    }

    /// Appends a record of this cause to an agent's journal if `after` is its last sequence.
    pub fn append(&mut self, agent: &str, cause: &str, after: u64) -> Written {
        let actor = self.net.actors.of(ActorKind::Agent, agent);
        let record = Arc::new(Record { cause: cause.to_owned(), ..Record::default() });
        self.write(Op::Append { actor, record, after: Some(after) })
    }

    /// An agent's records, from its journal or its archive, by sequence and cause.
    pub fn records(&mut self, agent: &str) -> Vec<(u64, String)> {
        let actor = self.net.actors.of(ActorKind::Agent, agent);
        match self.ask(0, Op::Read(actor)) {
            Said::Records(records) => {
                records.into_iter().map(|(n, record)| (n, record.cause.clone())).collect()
            }
            said => unreachable!("a journal was read and {said:?} came of it"),
        }
    }

    /// Archives an agent.
    pub fn archive(&mut self, agent: &str) -> Written {
        let actor = self.net.actors.of(ActorKind::Agent, agent);
        self.write(Op::Archive(actor))
    }

    /// Puts a message into a queue. A message whose id is known is [`Written::Stored`] too, under any number.
    pub fn send(&mut self, line: Line, id: &str) -> Written {
        let queue = self.queue(line);
        let to = self.net.actors.singleton(ActorKind::Plan);
        self.write(Op::Send { queue, body: Body::Garbage(to), id: id.into() })
    }

    /// The next message of a queue for a client, which of work has at most one at a time on its way. `None`: nothing came for so long.
    pub fn next(&mut self, client: usize, line: Line, patience: Duration) -> Option<Got> {
        let queue = self.queue(line);
        let end = self.net.clock.now() + patience.as_micros() as Micros;
        loop {
            let of_line = self.clients[client].got.iter().position(|got| got.queue == queue);
            if let Some(got) = of_line.and_then(|at| self.clients[client].got.remove(at)) {
                let Delivered { queue, number, id, deliveries, .. } = got;
                return Some(Got { id: id.to_string(), deliveries: deliveries.into(), at: (queue, number) });
            }
            if self.net.clock.now() >= end {
                return None;
            }
            self.ask(
                client,
                match queue {
                    Queue::Inbox(place) => Op::Open { place, tenure: 0 },
                    Queue::Certify => Op::Pull { slots: 1 },
                },
            );
            let again = self.wake_at((self.net.clock.now() + REOPEN).min(end));
            let before = self.clients[client].got.len();
            while self.clients[client].got.len() == before && self.net.clock.now() < again {
                self.step();
            }
        }
    }

    /// Takes a message off its queue.
    pub fn ack(&mut self, got: &Got) {
        let (queue, number) = got.at;
        self.ask(0, Op::Ack { queue, number });
    }

    /// Has a message delivered again after a pause.
    pub fn nak(&mut self, got: &Got, pause: Duration) {
        let (queue, number) = got.at;
        self.ask(0, Op::Nak { queue, number, pause: pause.as_micros() as Micros });
    }

    /// Says that a message is still being worked on.
    pub fn alive(&mut self, got: &Got) {
        let (queue, number) = got.at;
        self.ask(0, Op::Alive { queue, number });
    }

    /// Takes a message off its queue and keeps it with a reason.
    pub fn bury(&mut self, got: &Got, reason: &str) {
        self.ask(0, Op::Bury { message: Some(got.at), what: reason.to_owned() });
    }

    /// The reasons of what was buried.
    pub fn buried(&self) -> Vec<String> {
        self.server.dead().to_vec()
    }

    /// Writes a key whose revision must be `after`; no value deletes it.
    pub fn put(&mut self, key: Named, after: u64, value: Option<u64>) -> Written {
        self.write(Op::Write { key: key.into(), after, names: value, process: 0 })
    }

    /// A key as it is read.
    pub fn look(&mut self, key: Named) -> Entry {
        match self.ask(0, Op::Look(key.into())) {
            Said::Entry(entry) => entry,
            said => unreachable!("a key was read and {said:?} came of it"),
        }
    }

    /// The next key that stays of which a client is told how it is. `None`: nothing was for so long.
    pub fn heard(&mut self, client: usize, patience: Duration) -> Option<(u16, Entry)> {
        let end = self.wake_at(self.net.clock.now() + patience.as_micros() as Micros);
        while self.clients[client].heard.is_empty() && self.net.clock.now() < end {
            self.step();
        }
        self.clients[client].heard.pop_front()
    }

    /// Whether its disk is full.
    pub fn fill(&mut self, full: bool) {
        self.net.weather.full_disk = u32::from(full);
    }

    /// It is killed and starts again.
    pub fn restart(&mut self) {
        self.server.restart(&mut self.net);
        self.clients.iter_mut().for_each(|client| client.got.clear());
    }

    /// Sees to it that something happens then, and be it nothing.
    fn wake_at(&mut self, time: Micros) -> Micros {
        self.net.clock.plan(time.saturating_sub(self.net.clock.now()), Event::Healed(usize::MAX));
        time
    }

    fn queue(&mut self, line: Line) -> Queue {
        let planner = self.net.actors.singleton(ActorKind::Plan);
        match line {
            Line::Letters => Queue::Inbox(self.net.actors.place(planner)),
            Line::Work => Queue::Certify,
        }
    }

    fn write(&mut self, op: Op) -> Written {
        match self.ask(0, op) {
            Said::Stored(number) => Written::Stored(number),
            Said::Refused => Written::Refused,
            _ => Written::Failed,
        }
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, client: usize, op: Op) -> Said {
        // Anything that has an answer.
        let cont = Cont { partition: 0, tenure: 0, what: What::Swept };
        self.net.ask(addr(client), op, cont);
        loop {
            if let Some(said) = self.step() {
                return said;
            }
        }
    }

    /// The next thing happens; an answer, if it is one.
    fn step(&mut self) -> Option<Said> {
        let Self { net, server, clients } = self;
        match net.clock.advance()? {
            Event::Tell { said, .. } => return Some(said),
            Event::Push { to, delivered, .. } => clients[to.process].got.push_back(*delivered),
            Event::Heard { to, place, entry } => clients[to.process].heard.push_back((place.1, entry)),
            Event::Arrive { from, op, cont, answered, sent } => {
                server.arrive(net, from, op, cont, answered, sent)
            }
            Event::Expire { queue, number, delivery } => server.expire(net, queue, number, delivery),
            Event::Again { queue, number } => server.again(net, queue, number),
            Event::Forgotten { key, revision } => server.forget(key, revision),
            Event::Asked { .. }
            | Event::Sought { .. }
            | Event::Limits(_)
            | Event::Fault(_)
            | Event::Healed(_)
            | Event::Sync
            | Event::Replaced(_)
            | Event::Succeeds(_) => {}
        }
        None
    }
}

fn addr(client: usize) -> Addr {
    Addr { process: client, life: 1 }
}

impl From<Named> for Key {
    fn from(key: Named) -> Self {
        match key {
            Named::Stays(key) => Self::Claim((ActorKind::Agent, key)),
            Named::Passes(key) => Self::Session(key.into()),
        }
    }
}
