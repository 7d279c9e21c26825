//! A host of actors of one kind: drives the product's own decisions ([`Life`], [`Roster`], [`Term`], [`Vigil`], [`Append`]) over the modelled
//! bus, as `atlas_actor::host` drives them over NATS.

mod effects;
mod lease;
mod load;
mod steps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use atlas_actor::life::{End, Given, Life, Step};
use atlas_actor::roster::{Fate, Found, Idle, Roster, Woken};
use atlas_actor::{Journaled, Machine};
use atlas_bus::append::{Append, Attempt, Next};
use atlas_bus::{Term, Vigil};
use atlas_proto::{Record, Snapshot};

use crate::clock::{MS, Micros, SECOND};
use crate::fact::Fact;
use crate::machines::{Modelled, Stage, kept, readable, recalled, written};
use crate::net::{
    ActorIx, Addr, Asked, Body, Cont, Delivered, Entry, Key, LEASE, Net, Op, Place, Queue, Said, Verify, What,
};
use crate::run::Sabotage;
use crate::server::MAX_PENDING;

/// Pause before a partition is tried again that could not be taken.
const TRY_AGAIN: Micros = 5 * SECOND;
/// How long an append is tried.
const APPEND_PATIENCE: Micros = 60 * SECOND;
/// Pause before an effect that failed runs again, and before the bus is asked again.
const PAUSE: Micros = SECOND / 2;
/// Deliveries after which a letter is buried.
const MAX_DELIVERIES: u32 = 10;

struct Running<M: Machine> {
    /// Of what it waits for now: an answer to anything else comes too late.
    ticket: u32,
    effect: M::Effect,
    stages: VecDeque<Stage<M::Command>>,
}

struct Live<M: Machine> {
    life: Life<M>,
    /// Tells this life from earlier ones of the actor.
    number: u32,
    mailbox: VecDeque<Delivered>,
    letters: u64,
    letter: Option<Delivered>,
    /// A step is under way: letters and ends wait.
    busy: bool,
    append: Option<(Append, Arc<Record>, u64, Micros)>,
    ended: VecDeque<(String, Option<M::Command>)>,
    effects: BTreeMap<Rc<str>, Running<M>>,
    /// Model calls that were made and whose answers are not journaled.
    paid: BTreeSet<Rc<str>>,
}

impl<M: Machine> Live<M> {
    /// Whether an effect that costs is under way, or its result on its way into the journal. One that failed is tried again elsewhere.
    fn costs(&self) -> bool {
        let fails = |running: &Running<M>| matches!(running.stages.get(1), Some(Stage::Never));
        let result = |key: &str| self.paid.contains(key);
        self.effects.values().any(|running| M::is_costly(&running.effect) && !fails(running))
            || self.ended.iter().any(|(key, _)| result(key))
            || self.append.as_ref().is_some_and(|(_, record, ..)| result(&record.cause))
    }
}

/// A partition as this host sees it.
struct Seat<M: Machine> {
    tenure: u32,
    held: bool,
    /// A claim is on its way.
    reaching: bool,
    /// Its journals are folded: letters may come.
    open: bool,
    /// It is to be handed over to this session, once what costs has ended.
    leaving: Option<u64>,
    epoch: u64,
    roster: Roster<ActorIx>,
    lives: BTreeMap<ActorIx, Live<M>>,
}

/// The session under which a host holds its partitions.
struct Session {
    number: u64,
    revision: u64,
    term: Term,
    /// When the first of those renewals was sent whose answers did not come.
    unanswered: Option<Micros>,
}

/// A host.
pub struct Host<M: Modelled> {
    seats: Vec<Seat<M>>,
    session: Option<Session>,
    /// The session that is being begun.
    beginning: Option<u64>,
    vigil: Vigil<u64>,
    /// What it asks others for once its session has begun.
    wanted: Option<Asked>,
    /// Where its sessions' numbers begin: its place among the hosts.
    ring: u64,
    sessions: u64,
    lives: u32,
    tickets: u32,
    tenures: u32,
    /// The actor that takes what has come for it.
    turning: Option<ActorIx>,
}

fn duration(micros: Micros) -> Duration {
    Duration::from_micros(micros)
}

impl<M: Modelled> Host<M> {
    /// A host that has just started and reaches for every partition.
    pub fn start(net: &mut Net, me: Addr, partitions: u16) -> Self {
        let seat = |_| Seat {
            tenure: 0,
            held: false,
            reaching: false,
            open: false,
            leaving: None,
            epoch: 0,
            roster: Roster::default(),
            lives: BTreeMap::new(),
        };
        let ring = net.number() << 32;
        let host = Self {
            seats: (0..partitions).map(seat).collect(),
            session: None,
            beginning: None,
            vigil: Vigil::new(ring, duration(LEASE)),
            wanted: None,
            ring,
            sessions: 0,
            lives: 0,
            tickets: 0,
            tenures: 0,
            turning: None,
        };
        let after = net.chance.range(0, SECOND);
        net.timer(me, after, Self::wide(What::Look));
        host
    }

    /// The machines that live here.
    pub fn machines(&self) -> impl Iterator<Item = &M> {
        self.seats.iter().flat_map(|seat| seat.lives.values()).map(|live| live.life.machine())
    }

    /// What waits here, for people.
    pub fn waits(&self, net: &Net) -> String {
        let mut text = String::new();
        for (partition, seat) in self.seats.iter().enumerate().filter(|(_, seat)| seat.held) {
            for (actor, live) in &seat.lives {
                let name = net.actors.name(*actor);
                let wanted = live.life.machine().effects();
                let effects: Vec<&str> = wanted.iter().map(|(key, _)| key.as_str()).collect();
                text.push_str(&format!(
                    "\n{name} in {partition}: {} letters wait, effects {effects:?}, {} of them under way{}",
                    live.mailbox.len(),
                    live.effects.len(),
                    if live.busy { ", in the middle of a step" } else { "" },
                ));
            }
        }
        text
    }

    /// Letters in mailboxes.
    fn held_letters(&self, partition: u16) -> usize {
        self.seats[usize::from(partition)].lives.values().map(|live| live.mailbox.len()).sum()
    }

    /// The process dies: what was under way is interrupted.
    pub fn die(&mut self, net: &mut Net) {
        for partition in 0..self.seats.len() {
            self.drop_lives(net, partition as u16);
        }
    }

    fn place(partition: u16) -> Place {
        (M::KIND, partition)
    }

    fn cont(&self, partition: u16, what: What) -> Cont {
        Cont { partition, tenure: self.seats[usize::from(partition)].tenure, what }
    }

    fn drop_lives(&mut self, net: &mut Net, partition: u16) {
        let seat = &mut self.seats[usize::from(partition)];
        for (actor, live) in std::mem::take(&mut seat.lives) {
            for key in live.paid {
                net.note(Fact::Interrupted { actor, key: &key });
            }
        }
        seat.roster = Roster::default();
        (seat.held, seat.open, seat.leaving) = (false, false, None);
        self.tenures += 1;
        seat.tenure = self.tenures;
    }

    /// An answer, or a moment that was waited for.
    pub fn tell(&mut self, net: &mut Net, me: Addr, cont: Cont, said: Said) {
        let Some(what) = self.tell_session(net, me, cont.what, &said) else { return };
        let partition = cont.partition;
        if self.seats[usize::from(partition)].tenure != cont.tenure {
            return;
        }
        match what {
            What::Try => self.reach(net, me, partition),
            What::Reached => self.reached(net, me, partition, &said),
            What::Claimed(session) => self.claimed(net, me, partition, session, &said),
            What::Verified(actor, number) => self.verified(net, me, partition, (actor, number), &said),
            What::Swept => self.swept(net, me, partition, said),
            What::Recalled(actor, then) => self.recalled(net, me, partition, actor, *then, said),
            What::Read(actor, snapshot, then) => {
                self.read(net, me, partition, actor, (snapshot, *then), said)
            }
            What::Step(actor, number) => self.stepped(net, me, partition, (actor, number), said),
            What::Stage(actor, number, key, ticket) => {
                self.staged(net, me, partition, (actor, number), (key, ticket), said)
            }
            _ => {}
        }
        self.settle(net, me, partition);
    }

    fn wake(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx, journaled: Journaled<M>) {
        self.lives += 1;
        let number = self.lives;
        let seat = &mut self.seats[usize::from(partition)];
        let mut life = Life::new(journaled, seat.epoch);
        let step = life.begin();
        let live = Live {
            life,
            number,
            mailbox: VecDeque::new(),
            letters: 0,
            letter: None,
            busy: false,
            append: None,
            ended: VecDeque::new(),
            effects: BTreeMap::new(),
            paid: BTreeSet::new(),
        };
        seat.roster.woke(net.actors.id(actor).id.clone(), actor);
        seat.lives.insert(actor, live);
        self.keep(net, me, partition, actor);
        self.follow(net, me, partition, actor, step);
    }

    /// A letter.
    pub fn push(&mut self, net: &mut Net, me: Addr, tenure: u32, delivered: Delivered) {
        let Queue::Inbox((_, partition)) = delivered.queue else { return };
        let seat = &mut self.seats[usize::from(partition)];
        if !seat.held || seat.tenure != tenure || seat.leaving.is_some() {
            return;
        }
        let (Body::Letter(actor, _) | Body::Garbage(actor)) = delivered.body else { return };
        let garbage = matches!(delivered.body, Body::Garbage(_));
        if garbage || delivered.deliveries > MAX_DELIVERIES {
            let why = if garbage { "is not a letter" } else { "was delivered too often" };
            let what = format!("{} to {}: {why}", delivered.id, net.actors.name(actor));
            let cont = self.cont(partition, What::Nothing);
            return net.ask(me, Op::Bury { message: Some((delivered.queue, delivered.number)), what }, cont);
        }
        match seat.roster.fate(&net.actors.id(actor).id) {
            Fate::Deliver(&mut actor) => self.deliver(net, me, partition, actor, delivered),
            Fate::Ack => self.ack(net, me, partition, actor, &delivered, true),
            Fate::Retry(pause) => self.nak(net, me, partition, &delivered, pause),
            Fate::Load => {
                let cont = self.cont(partition, What::LoadFor(Box::new(delivered)));
                self.load(net, me, actor, cont);
            }
        }
    }

    fn deliver(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx, delivered: Delivered) {
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        live.mailbox.push_back(delivered);
        if !live.busy {
            self.turn(net, me, partition, actor);
        }
    }

    fn loaded_for(&mut self, net: &mut Net, me: Addr, partition: u16, delivered: Delivered, found: Found<M>) {
        let Body::Letter(actor, _) = delivered.body else { return };
        let id = net.actors.id(actor).id.clone();
        // Another letter may have woken it meanwhile; the real partition takes one letter at a time.
        if !matches!(self.seats[usize::from(partition)].roster.fate(&id), Fate::Load) {
            let tenure = self.seats[usize::from(partition)].tenure;
            return self.push(net, me, tenure, delivered);
        }
        match self.seats[usize::from(partition)].roster.loaded(&id, found) {
            Woken::Ack => self.ack(net, me, partition, actor, &delivered, true),
            Woken::Retry(pause) => self.nak(net, me, partition, &delivered, pause),
            Woken::Wake(journaled) => {
                self.wake(net, me, partition, actor, *journaled);
                let tenure = self.seats[usize::from(partition)].tenure;
                self.push(net, me, tenure, delivered);
            }
        }
    }

    /// `passed`: nothing came of it.
    fn ack(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        actor: ActorIx,
        delivered: &Delivered,
        passed: bool,
    ) {
        if passed {
            net.note(Fact::Passed { actor, letter: &delivered.id });
        }
        net.note(Fact::Acknowledged { actor, letter: &delivered.id });
        let cont = self.cont(partition, What::Nothing);
        net.ask(me, Op::Ack { queue: delivered.queue, number: delivered.number }, cont);
    }

    fn nak(&mut self, net: &mut Net, me: Addr, partition: u16, delivered: &Delivered, pause: Duration) {
        let cont = self.cont(partition, What::Nothing);
        let pause = pause.as_micros() as Micros;
        net.ask(me, Op::Nak { queue: delivered.queue, number: delivered.number, pause }, cont);
    }
}

fn read<M: Modelled>(net: &mut Net, delivered: &Delivered) -> Given<M> {
    let command = match &delivered.body {
        Body::Letter(_, letter) => M::read(letter),
        _ => None,
    };
    let id = if net.sabotaged(Sabotage::IdempotencyKey) {
        format!("{}#{}", delivered.id, net.number())
    } else {
        delivered.id.to_string()
    };
    Given::Letter { id, traceparent: String::new(), command }
}
