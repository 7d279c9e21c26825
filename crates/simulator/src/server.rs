//! A modelled nats-server, as the bus uses it: journals by compare-and-set, work queues, who hosts what, archives, requests.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use crate::table::{Set, Table};
use atlas_bus::Bus;
use atlas_domain::ActorKind;
use atlas_proto::{Record, Snapshot};

use crate::archive::{Archives, Records, Shelved};
use crate::clock::{MS, Micros, SECOND};
use crate::fact::Fact;
use crate::net::{
    ActorIx, Addr, Body, Cont, Delivered, Entry, Event, Key, Net, Op, Place, Queue, Said, patience,
};

/// How long a letter may lie unacknowledged.
pub const LETTER_WAIT: Micros = 15 * SECOND;
/// The same of a certification.
pub const WORK_WAIT: Micros = 60 * SECOND;
/// Letters that may be unacknowledged at once, by partition.
pub const MAX_PENDING: usize = 4096;
/// How long a request for deliveries stands that nobody takes back.
const PULL: Micros = 30 * SECOND;
/// When a session that nobody renews, and the mark of a deleted key, are forgotten.
pub const FORGOTTEN: Micros = 60 * SECOND;
/// How far back message ids are known.
pub const DUPLICATES: Micros = 120 * SECOND;

#[derive(Debug, Default, Clone)]
struct Journal {
    records: Records,
    /// Where that is which was there before it was archived.
    archive: Option<Shelved>,
}

impl Journal {
    fn last(&self) -> u64 {
        self.records.last().map_or(0, |(sequence, _)| *sequence)
    }

    fn is_archived(&self) -> bool {
        self.records.last().is_some_and(|(_, last)| Bus::is_archived(last))
    }
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Delivered; until when it may stay unacknowledged.
    Out(Micros),
    /// Handed back, to be delivered again after a pause.
    Back,
}

#[derive(Debug, Clone)]
struct Message {
    id: Rc<str>,
    body: Body,
    deliveries: u32,
    state: State,
}

#[derive(Debug, Clone)]
struct Subscriber {
    addr: Addr,
    tenure: u32,
    slots: usize,
    /// Until when it asks.
    until: Micros,
}

#[derive(Debug, Default, Clone)]
struct Line {
    messages: BTreeMap<u64, Message>,
    /// In order of delivery; those that are not in that state, or gone, are passed over.
    waiting: VecDeque<u64>,
    out: usize,
    subscribers: Vec<Subscriber>,
    turn: usize,
}

/// What is left of what was acknowledged after the server's machine lost its power.
pub struct Loss {
    /// What was acknowledged so long before is on disk, microseconds.
    pub window: Micros,
    /// By actor: the last record that is left, and whether its journal was moved away.
    pub kept: Vec<(u64, bool)>,
}

/// The server.
#[derive(Debug, Default, Clone)]
pub struct Server {
    sequence: u64,
    journals: Vec<Journal>,
    archives: Archives,
    by_place: Table<Place, Vec<ActorIx>>,
    snapshots: Table<ActorIx, Arc<Snapshot>>,
    lines: BTreeMap<Queue, Line>,
    ids: Table<(ActorIx, Rc<str>), Micros>,
    /// The same by time, to forget them.
    ids_by_time: VecDeque<(Micros, (ActorIx, Rc<str>))>,
    /// Who hosts what.
    hosts: BTreeMap<Key, Entry>,
    /// As it was before the last change.
    stale: BTreeMap<Key, Entry>,
    dead: Vec<String>,
    records: u64,
    watchers: Vec<Addr>,
}

impl Server {
    /// A process connects.
    pub fn connect(&mut self, addr: Addr) {
        self.watchers.retain(|watcher| watcher.process != addr.process);
        self.watchers.push(addr);
    }

    /// A process's connection breaks.
    pub fn disconnect(&mut self, process: usize) {
        self.watchers.retain(|watcher| watcher.process != process);
        for line in self.lines.values_mut() {
            line.subscribers.retain(|subscriber| subscriber.addr.process != process);
        }
    }

    /// It starts again: what is on disk is there; of what was delivered some is not known to be, for that is written a little later;
    /// ids are known of what still lies in a queue; nobody asks for anything until he asks again.
    pub fn restart(&mut self, net: &mut Net) {
        let mut known: Set<(ActorIx, Rc<str>)> = Set::default();
        for line in self.lines.values_mut() {
            line.subscribers.clear();
            for (&number, message) in line.messages.iter_mut().rev() {
                known.insert((message.body.to(), message.id.clone()));
                if matches!(message.state, State::Out(_)) && net.chance.hit(500) {
                    message.state = State::Waiting;
                    message.deliveries -= 1;
                    line.out -= 1;
                    line.waiting.push_front(number);
                }
            }
        }
        self.ids.retain(|id, _| known.contains(id));
    }

    /// Its machine lost its power, and what was not on `disk` is gone.
    /// `window`: how far back that may reach.
    pub fn lose_power(&mut self, net: &mut Net, disk: Self, window: Micros) -> Loss {
        let watchers = std::mem::take(&mut self.watchers);
        // Another stream than the journals', and synced at another time: a snapshot may be of records that are lost.
        let snapshots = std::mem::take(&mut self.snapshots);
        *self = Self { watchers, snapshots, ..disk };
        // Clocks of what was delivered before that ran out long ago.
        for line in self.lines.values_mut() {
            line.out = 0;
            for (&number, message) in line.messages.iter_mut().rev() {
                if message.state != State::Waiting {
                    message.state = State::Waiting;
                    line.waiting.push_front(number);
                }
            }
        }
        self.restart(net);
        let kept = self.journals.iter().map(|journal| (journal.last(), journal.archive.is_some()));
        Loss { window, kept: kept.collect() }
    }

    /// Sequence of the last record or message stored.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    fn journal(&mut self, actor: ActorIx) -> &mut Journal {
        if self.journals.len() <= actor as usize {
            self.journals.resize_with(actor as usize + 1, Journal::default);
        }
        &mut self.journals[actor as usize]
    }

    /// A question arrives.
    pub fn arrive(&mut self, net: &mut Net, from: Addr, op: Op, cont: Cont, answered: bool, sent: Micros) {
        let given_up = sent + patience(&op);
        if net.weather.down > 0 {
            if !matches!(cont.what, crate::net::What::Nothing) {
                let wait = given_up.saturating_sub(net.clock.now());
                net.clock.plan(wait, Event::Tell { to: from, cont, said: Said::Unknown });
            }
            return;
        }
        if let Op::Ledger(command) = op {
            let (options, cut) = (&net.options, &net.weather.cut);
            let serves = |addr: &&Addr| options.is_planner(addr.process) && cut[addr.process] == 0;
            let desks = self.watchers.iter().filter(serves).count() as u64;
            let chosen = if answered && desks > 0 { net.chance.range(0, desks) as usize } else { usize::MAX };
            let (options, cut) = (&net.options, &net.weather.cut);
            let serves = |addr: &&Addr| options.is_planner(addr.process) && cut[addr.process] == 0;
            let Some(&to) = self.watchers.iter().filter(serves).nth(chosen) else {
                let wait = given_up.saturating_sub(net.clock.now());
                return net.clock.plan(wait, Event::Tell { to: from, cont, said: Said::Unknown });
            };
            let after = net.latency();
            // Whoever asks gives up by itself: the process that was asked may die, or stand still. What comes second finds that
            // the effect waits for something else.
            let wait = given_up.saturating_sub(net.clock.now());
            net.clock.plan(wait, Event::Tell { to: from, cont: cont.clone(), said: Said::Unknown });
            let until = given_up.saturating_sub(SECOND);
            net.clock.plan(after, Event::Asked { to, command, asker: from, cont, until });
            return;
        }
        let stores = matches!(
            op,
            Op::Append { .. }
                | Op::Send { .. }
                | Op::Write { .. }
                | Op::HandOver { .. }
                | Op::Archive(_)
                | Op::Keep { .. }
        );
        let disk = if stores { net.disk() } else { 0 };
        let said = self.take(net, from, op);
        let back = answered && net.weather.cut[from.process] == 0 && !matches!(said, Said::Unknown);
        if matches!(cont.what, crate::net::What::Nothing) {
            return;
        }
        if back && net.clock.now() + disk < given_up {
            net.answer(from, cont, said, disk);
        } else {
            let wait = given_up.saturating_sub(net.clock.now());
            net.clock.plan(wait, Event::Tell { to: from, cont, said: Said::Unknown });
        }
    }

    fn take(&mut self, net: &mut Net, from: Addr, op: Op) -> Said {
        match op {
            Op::Append { actor, record, after } => self.append(net, actor, record, after),
            Op::Last { actor, record } => {
                let last = self.journal(actor).records.last();
                Said::Last(last.filter(|(_, last)| *last == record).map(|(sequence, _)| *sequence))
            }
            Op::Read(actor) => {
                let journal = self.journal(actor);
                match journal.archive.filter(|_| journal.is_archived()) {
                    None => Said::Records(journal.records.clone()),
                    Some(shelved) => self.archives.get(shelved).map_or(Said::Unknown, Said::Records),
                }
            }
            Op::ReadAfter(actor, after) => {
                let records = &self.journal(actor).records;
                let from = records.partition_point(|(sequence, _)| *sequence <= after);
                Said::Records(records[from..].to_vec())
            }
            Op::Keep { actor, snapshot } => {
                if net.weather.full_disk > 0 {
                    return Said::Unknown;
                }
                self.snapshots.insert(actor, snapshot);
                Said::Stored(0)
            }
            Op::Recall(actor) => Said::Snapshot(self.snapshots.get(&actor).cloned()),
            Op::Sweep(place) => {
                let actors = self.by_place.get(&place).cloned().unwrap_or_default();
                let all = actors.into_iter().map(|actor| (actor, self.journal(actor).records.clone()));
                Said::Journals(all.collect())
            }
            Op::Open { place, tenure } => {
                self.subscribe(net, Queue::Inbox(place), from, tenure, usize::MAX);
                Said::Stored(0)
            }
            Op::Close(place) => {
                if let Some(line) = self.lines.get_mut(&Queue::Inbox(place)) {
                    line.subscribers.retain(|subscriber| subscriber.addr.process != from.process);
                }
                Said::Stored(0)
            }
            Op::Pull { slots } => {
                self.subscribe(net, Queue::Certify, from, 0, slots);
                Said::Stored(0)
            }
            Op::Send { queue, body, id } => self.send(net, queue, body, id),
            Op::Ack { queue, number } => {
                self.remove(queue, number);
                self.deliver(net, queue);
                Said::Stored(0)
            }
            Op::Nak { queue, number, pause } => {
                if let Some(line) = self.lines.get_mut(&queue)
                    && let Some(message) = line.messages.get_mut(&number)
                    && matches!(message.state, State::Out(_))
                {
                    message.state = State::Back;
                    line.out -= 1;
                    net.clock.plan(pause, Event::Again { queue, number });
                }
                Said::Stored(0)
            }
            Op::Alive { queue, number } => {
                let until = net.clock.now() + WORK_WAIT;
                let message = self.lines.get_mut(&queue).and_then(|line| line.messages.get_mut(&number));
                if let Some(message) = message.filter(|message| matches!(message.state, State::Out(_))) {
                    message.state = State::Out(until);
                }
                Said::Stored(0)
            }
            Op::Bury { message, what } => {
                if let Some((queue, number)) = message {
                    self.remove(queue, number);
                }
                self.dead.push(what);
                Said::Stored(0)
            }
            Op::Write { key, after, names, process } => {
                let said = self.write(net, (key, after), names);
                if let (Key::Claim(place), Some(_), &Said::Stored(epoch)) = (key, names, &said) {
                    net.note(Fact::Won { place, epoch, process });
                }
                said
            }
            Op::HandOver { place, after, names } => {
                let said = self.write(net, (Key::Claim(place), after), Some(names));
                if let Said::Stored(epoch) = said {
                    net.note(Fact::HandedOver { place, epoch, process: from.process });
                }
                said
            }
            Op::Ask { kind, by, of } => {
                for to in self.watchers.clone() {
                    if !net.lost(to.process) {
                        let after = net.latency();
                        net.clock.plan(after, Event::Sought { to, kind, by, of: of.clone() });
                    }
                }
                Said::Stored(0)
            }
            Op::Look(key) => Said::Entry(self.entry(net, key)),
            Op::Claims(kind) => {
                let of = |key: &Key| matches!(key, Key::Claim(place) if place.0 == kind);
                let keys: Vec<Key> = self.hosts.keys().copied().filter(of).collect();
                let read = |key| match key {
                    Key::Claim((_, partition)) => Some((partition, self.entry(net, key))),
                    Key::Session(_) => None,
                };
                Said::Claims(keys.into_iter().filter_map(read).collect())
            }
            Op::Archive(actor) => {
                if net.weather.full_disk > 0 {
                    return Said::Unknown;
                }
                self.archive(net, actor);
                Said::Stored(0)
            }
            Op::Ledger(_) => Said::Unknown,
        }
    }

    fn subscribe(&mut self, net: &mut Net, queue: Queue, addr: Addr, tenure: u32, slots: usize) {
        let until = net.clock.now() + PULL;
        let line = self.lines.entry(queue).or_default();
        line.subscribers.retain(|subscriber| subscriber.addr.process != addr.process);
        line.subscribers.push(Subscriber { addr, tenure, slots, until });
        self.deliver(net, queue);
    }

    fn append(&mut self, net: &mut Net, actor: ActorIx, record: Arc<Record>, after: Option<u64>) -> Said {
        if net.weather.full_disk > 0 {
            return Said::Unknown;
        }
        let next = self.sequence + 1;
        let journal = self.journal(actor);
        if after.is_some_and(|after| after != journal.last()) {
            return Said::Refused;
        }
        let born = journal.records.is_empty();
        journal.records.push((next, record.clone()));
        self.sequence = next;
        self.records += 1;
        if born {
            self.by_place.entry(net.actors.place(actor)).or_default().push(actor);
        }
        let cause = net.cause(&record);
        net.note(Fact::Stored { actor, sequence: next, cause, epoch: record.epoch });
        Said::Stored(next)
    }

    fn archive(&mut self, net: &mut Net, actor: ActorIx) {
        let (next, archives) = (self.sequence + 1, self.archives.clone());
        let journal = self.journal(actor);
        if let Some((_, last)) = journal.records.last()
            && !Bus::is_archived(last)
        {
            let closing = Arc::new(Bus::closing(last));
            let records = std::mem::replace(&mut journal.records, vec![(next, closing)]);
            journal.archive = Some(archives.put(&records));
            self.sequence = next;
            net.note(Fact::Archived { actor });
            if net.options.sync.is_always() {
                let Net { judge, actors, clock, .. } = net;
                judge.forget(actor, clock.now(), actors, &sequences(&records));
            }
        }
    }

    fn send(&mut self, net: &mut Net, queue: Queue, body: Body, id: Rc<str>) -> Said {
        if net.weather.full_queue > 0 || net.weather.full_disk > 0 {
            return Said::Unknown;
        }
        let now = net.clock.now();
        let named = (body.to(), id.clone());
        while let Some((at, old)) = self.ids_by_time.pop_front_if(|(at, _)| *at + DUPLICATES <= now) {
            // Not where a server that has forgotten an id has taken it again since.
            if self.ids.get(&old) == Some(&at) {
                self.ids.remove(&old);
            }
        }
        // To be sent again does not make an id younger.
        if self.ids.contains_key(&named) {
            return Said::Stored(0);
        }
        self.ids.insert(named.clone(), now);
        self.ids_by_time.push_back((now, named));
        self.sequence += 1;
        let number = self.sequence;
        let line = self.lines.entry(queue).or_default();
        line.messages.insert(number, Message { id, body, deliveries: 0, state: State::Waiting });
        line.waiting.push_back(number);
        self.deliver(net, queue);
        Said::Stored(number)
    }

    /// Puts a message in from outside of the simulated processes.
    /// Whether it is stored.
    pub fn put(&mut self, net: &mut Net, queue: Queue, body: Body, id: Rc<str>) -> bool {
        matches!(self.send(net, queue, body, id), Said::Stored(_))
    }

    fn remove(&mut self, queue: Queue, number: u64) {
        if let Some(line) = self.lines.get_mut(&queue)
            && let Some(message) = line.messages.remove(&number)
        {
            line.out -= usize::from(matches!(message.state, State::Out(_)));
        }
    }

    /// Hands out what waits.
    fn deliver(&mut self, net: &mut Net, queue: Queue) {
        let Some(line) = self.lines.get_mut(&queue) else { return };
        let now = net.clock.now();
        line.subscribers.retain(|subscriber| subscriber.until > now);
        while line.out < MAX_PENDING && line.subscribers.iter().any(|subscriber| subscriber.slots > 0) {
            let at = if net.weather.reorder > 0 { net.chance.range(0, line.waiting.len() as u64) } else { 0 };
            let Some(number) = line.waiting.swap_remove_front(at as usize) else { return };
            let Some(message) = line.messages.get_mut(&number) else { continue };
            if message.state != State::Waiting {
                continue;
            }
            line.turn += 1;
            while line.subscribers[line.turn % line.subscribers.len()].slots == 0 {
                line.turn += 1;
            }
            let at = line.turn % line.subscribers.len();
            let subscriber = &mut line.subscribers[at];
            subscriber.slots = subscriber.slots.saturating_sub(usize::from(queue == Queue::Certify));
            let mut wait = if queue == Queue::Certify { WORK_WAIT } else { LETTER_WAIT };
            if net.weather.redelivery > 0 && net.chance.hit(300) {
                wait = net.chance.range(MS, 2 * SECOND);
            }
            message.deliveries += 1;
            message.state = State::Out(net.clock.now() + wait);
            line.out += 1;
            let delivery = message.deliveries;
            net.clock.plan(wait, Event::Expire { queue, number, delivery });
            let to = subscriber.addr;
            if net.lost(to.process) {
                continue;
            }
            let delivered = Delivered {
                queue,
                number,
                id: message.id.clone(),
                body: message.body.clone(),
                deliveries: delivery,
            };
            let after = net.latency();
            net.clock
                .plan(after, Event::Push { to, tenure: subscriber.tenure, delivered: Box::new(delivered) });
        }
    }

    /// A message was not acknowledged in time.
    pub fn expire(&mut self, net: &mut Net, queue: Queue, number: u64, delivery: u32) {
        let Some(line) = self.lines.get_mut(&queue) else { return };
        let Some(message) = line.messages.get_mut(&number) else { return };
        let State::Out(until) = message.state else { return };
        if message.deliveries != delivery {
            return;
        }
        if until > net.clock.now() {
            return net.clock.plan(until - net.clock.now(), Event::Expire { queue, number, delivery });
        }
        message.state = State::Waiting;
        line.out -= 1;
        line.waiting.push_front(number);
        self.deliver(net, queue);
    }

    /// A message that was handed back is to be delivered again.
    pub fn again(&mut self, net: &mut Net, queue: Queue, number: u64) {
        if let Some(line) = self.lines.get_mut(&queue)
            && let Some(message) = line.messages.get_mut(&number)
            && message.state == State::Back
        {
            message.state = State::Waiting;
            line.waiting.push_front(number);
            self.deliver(net, queue);
        }
    }

    /// What a key holds, or held.
    fn entry(&self, net: &mut Net, key: Key) -> Entry {
        let hosts = if net.weather.stale > 0 && net.chance.hit(500) { &self.stale } else { &self.hosts };
        hosts.get(&key).copied().unwrap_or_default()
    }

    fn write(&mut self, net: &mut Net, (key, after): (Key, u64), names: Option<u64>) -> Said {
        let before = self.hosts.get(&key).copied().unwrap_or_default();
        if before.0 != after {
            return Said::Refused;
        }
        self.sequence += 1;
        let revision = self.sequence;
        self.stale.insert(key, before);
        self.hosts.insert(key, (revision, names));
        // A claim stays until it is deleted.
        if names.is_none() || matches!(key, Key::Session(_)) {
            net.clock.plan(FORGOTTEN, Event::Forgotten { key, revision });
        }
        if let Key::Claim(place) = key {
            for to in self.watchers.clone() {
                if !net.lost(to.process) {
                    let after = net.latency();
                    net.clock.plan(after, Event::Heard { to, place, entry: (revision, names) });
                }
            }
        }
        Said::Stored(revision)
    }

    /// A key that was not written since goes without a trace.
    pub fn forget(&mut self, key: Key, revision: u64) {
        if self.hosts.get(&key).is_some_and(|entry| entry.0 == revision) {
            self.hosts.remove(&key);
            self.stale.remove(&key);
        }
    }

    /// The sequences of an actor's records, in its journal and in its archive, in order.
    pub fn sequences(&self, actor: ActorIx) -> Vec<u64> {
        let Some(journal) = self.journals.get(actor as usize) else { return Vec::new() };
        let archived = journal.archive.map(|shelved| self.archives.get(shelved).unwrap_or_default());
        let mut all = sequences(&archived.unwrap_or_default());
        all.extend(sequences(&journal.records));
        all
    }

    /// An actor's live journal.
    pub fn records_of(&self, actor: ActorIx) -> &[(u64, Arc<Record>)] {
        self.journals.get(actor as usize).map_or(&[], |journal| &journal.records)
    }

    /// Records stored.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Dead letters, with the reasons.
    pub fn dead(&self) -> &[String] {
        &self.dead
    }

    /// Messages that lie in queues, and which of them is oldest, for people.
    pub fn queued(&self) -> (usize, Option<String>) {
        let count = self.lines.values().map(|line| line.messages.len()).sum();
        let first = self.lines.iter().find_map(|(queue, line)| {
            let message = line.messages.values().next()?;
            Some(format!("{queue:?}: {} delivered {} times", message.id, message.deliveries))
        });
        (count, first)
    }

    /// Actors with journals that are not archived, of a kind.
    pub fn living(&self, net: &Net, kind: ActorKind) -> usize {
        let living = |journal: &Journal| !journal.records.is_empty() && !journal.is_archived();
        (self.journals.iter().enumerate())
            .filter(|(at, journal)| living(journal) && net.actors.place(*at as ActorIx).0 == kind)
            .count()
    }
}

fn sequences(records: &[(u64, Arc<Record>)]) -> Vec<u64> {
    records.iter().map(|(sequence, _)| *sequence).collect()
}
