//! A host of actors of one kind: drives the product's own decisions ([`Life`], [`Roster`], [`Term`], [`Append`]) over the modelled
//! bus, as `atlas_actor::host` drives them over NATS.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use atlas_actor::life::{End, Given, Life, Step};
use atlas_actor::roster::{Fate, Found, Idle, Roster, Woken};
use atlas_actor::{Journaled, Machine};
use atlas_bus::Term;
use atlas_bus::append::{Append, Attempt, Next};
use atlas_proto::Record;

use crate::clock::{MS, Micros, SECOND};
use crate::judge::Fact;
use crate::machines::{Modelled, Stage};
use crate::net::{ActorIx, Addr, Body, Cont, Delivered, LEASE, Net, Op, Place, Queue, Said, What};
use crate::run::Sabotage;
use crate::server::MAX_PENDING;

/// How often a partition that another hosts is tried.
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

/// A partition as this host sees it.
struct Seat<M: Machine> {
    tenure: u32,
    /// Held; and open for letters.
    held: bool,
    term: Term,
    value: u64,
    revision: u64,
    epoch: u64,
    roster: Roster<ActorIx>,
    lives: BTreeMap<ActorIx, Live<M>>,
}

/// A host.
pub struct Host<M: Modelled> {
    seats: Vec<Seat<M>>,
    lives: u32,
    tickets: u32,
    tenures: u32,
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
            term: Term::new(duration(LEASE), Duration::ZERO),
            value: 0,
            revision: 0,
            epoch: 0,
            roster: Roster::default(),
            lives: BTreeMap::new(),
        };
        for partition in 0..partitions {
            let after = net.chance.range(0, SECOND) + u64::from(partition % 32) * 20 * MS;
            net.timer(me, after, Cont { partition, tenure: 0, what: What::Try });
        }
        Self { seats: (0..partitions).map(seat).collect(), lives: 0, tickets: 0, tenures: 0 }
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
                let actor = net.actors.name(actor);
                net.note(Fact::Interrupted { actor, key });
            }
        }
        seat.roster = Roster::default();
        seat.held = false;
        self.tenures += 1;
        seat.tenure = self.tenures;
    }

    /// The partition is, or may be, another's.
    fn lose(&mut self, net: &mut Net, me: Addr, partition: u16) {
        self.drop_lives(net, partition);
        net.ask(me, Op::Close(Self::place(partition)), self.cont(partition, What::Nothing));
        let what = self.cont(partition, What::Try);
        net.timer(me, TRY_AGAIN + u64::from(partition % 32) * 20 * MS, what);
    }

    /// News that a lease is free.
    pub fn freed(&mut self, net: &mut Net, me: Addr, partition: u16) {
        if !self.seats[usize::from(partition)].held {
            self.reach(net, me, partition);
        }
    }

    fn reach(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let value = net.number();
        let cont = self.cont(partition, What::Tried(net.clock.now(), value));
        net.ask(me, Op::Take { place: Self::place(partition), value, process: me.process }, cont);
    }

    fn renew(&mut self, net: &mut Net, me: Addr, partition: u16, met: u8, verify: Option<(ActorIx, u32)>) {
        let seat = &self.seats[usize::from(partition)];
        let op = Op::Renew { place: Self::place(partition), value: seat.value, revision: seat.revision };
        let cont = self.cont(partition, What::Renewed { sent: net.clock.now(), met, verify });
        net.ask(me, op, cont);
    }

    /// An answer, or a moment that was waited for.
    pub fn tell(&mut self, net: &mut Net, me: Addr, cont: Cont, said: Said) {
        let partition = cont.partition;
        let seat = &mut self.seats[usize::from(partition)];
        if seat.tenure != cont.tenure {
            return;
        }
        match cont.what {
            What::Try if !seat.held => self.reach(net, me, partition),
            What::Tried(sent, value) if !seat.held => match said {
                Said::Stored(revision) => {
                    self.tenures += 1;
                    seat.tenure = self.tenures;
                    (seat.held, seat.value, seat.revision, seat.epoch) = (true, value, revision, revision);
                    seat.term = Term::new(duration(LEASE), duration(sent));
                    self.plan_renewal(net, me, partition);
                    let cont = self.cont(partition, What::Swept);
                    net.ask(me, Op::Sweep(Self::place(partition)), cont);
                }
                _ => {
                    let cont = self.cont(partition, What::Try);
                    net.timer(me, TRY_AGAIN + u64::from(partition % 32) * 20 * MS, cont);
                }
            },
            What::Renew => self.renew(net, me, partition, 0, None),
            What::Renewed { sent, met, verify } => {
                self.renewed(net, me, partition, said, (sent, met, verify))
            }
            What::Looked { sent, met, verify } => match said {
                Said::Lease(Some((value, revision))) if value == seat.value => {
                    seat.revision = revision;
                    self.renew(net, me, partition, met + 1, verify);
                }
                Said::Lease(_) => self.lose(net, me, partition),
                _ => self.renewed(net, me, partition, Said::Unknown, (sent, met, verify)),
            },
            What::Swept => self.activate(net, me, partition, said),
            What::LoadFor(delivered) => self.loaded_for(net, me, partition, *delivered, said),
            What::Step(actor, number) => self.stepped(net, me, partition, (actor, number), said),
            What::Stage(actor, number, key, ticket) => {
                self.staged(net, me, partition, (actor, number), (key, ticket), said)
            }
            _ => {}
        }
    }

    fn plan_renewal(&mut self, net: &mut Net, me: Addr, partition: u16) {
        let at = self.seats[usize::from(partition)].term.renewal().as_micros() as Micros;
        let cont = self.cont(partition, What::Renew);
        net.timer(me, at.saturating_sub(net.clock.now()), cont);
    }

    fn renewed(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        said: Said,
        of: (Micros, u8, Option<(ActorIx, u32)>),
    ) {
        let (sent, met, verify) = of;
        let now = net.clock.now();
        let seat = &mut self.seats[usize::from(partition)];
        match (said, verify) {
            (Said::Stored(revision), verify) => {
                seat.revision = seat.revision.max(revision);
                match verify {
                    None => {
                        seat.term.renew(duration(sent));
                        self.plan_renewal(net, me, partition);
                    }
                    Some((actor, number)) => {
                        self.give(net, me, partition, (actor, number), Given::Held(true))
                    }
                }
            }
            (Said::Refused, verify) if met < 1 => {
                let cont = self.cont(partition, What::Looked { sent, met, verify });
                net.ask(me, Op::Look(Self::place(partition)), cont);
            }
            (Said::Unknown, None) if seat.term.holds(duration(now)) => {
                let cont = self.cont(partition, What::Renew);
                net.timer(me, 200 * MS, cont);
            }
            (_, Some((actor, number))) => {
                self.give(net, me, partition, (actor, number), Given::Held(false));
                self.lose(net, me, partition);
            }
            (_, None) => self.lose(net, me, partition),
        }
    }

    fn activate(&mut self, net: &mut Net, me: Addr, partition: u16, said: Said) {
        let Said::Journals(journals) = said else {
            let seat = &self.seats[usize::from(partition)];
            let op = Op::Free { place: Self::place(partition), revision: seat.revision };
            let cont = self.cont(partition, What::Nothing);
            net.ask(me, op, cont);
            return self.lose(net, me, partition);
        };
        for (actor, records) in journals {
            let id = net.actors.id(actor).id.clone();
            let found = self.fold(net, actor, &records);
            let seat = &mut self.seats[usize::from(partition)];
            if let Some(journaled) = seat.roster.activated(&id, found, records.len() as u32) {
                self.wake(net, me, partition, actor, journaled);
            }
        }
        let tenure = self.seats[usize::from(partition)].tenure;
        let cont = self.cont(partition, What::Nothing);
        // The real inbox opens again and again until it is open; so is this one asked for with each renewal.
        net.ask(me, Op::Open { place: Self::place(partition), tenure }, cont);
    }

    /// Asks again for letters; the server may have forgotten.
    pub fn reopen(&mut self, net: &mut Net, me: Addr) {
        for partition in 0..self.seats.len() as u16 {
            let seat = &self.seats[usize::from(partition)];
            if seat.held {
                let op = Op::Open { place: Self::place(partition), tenure: seat.tenure };
                let cont = self.cont(partition, What::Nothing);
                net.ask(me, op, cont);
                let letters = self.held_letters(partition);
                net.note(Fact::Held { process: me.process, letters, most: MAX_PENDING * 2 });
            }
        }
    }

    fn fold(&self, net: &Net, actor: ActorIx, records: &[(u64, Arc<Record>)]) -> Option<Journaled<M>> {
        let id = net.actors.id(actor);
        let mut journaled = Journaled::new(id);
        for (sequence, record) in records {
            journaled.fold(id, *sequence, Record::clone(record)).ok()?;
        }
        Some(journaled)
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
        self.follow(net, me, partition, actor, step);
    }

    /// A letter.
    pub fn push(&mut self, net: &mut Net, me: Addr, tenure: u32, delivered: Delivered) {
        let Queue::Inbox((_, partition)) = delivered.queue else { return };
        let seat = &mut self.seats[usize::from(partition)];
        if !seat.held || seat.tenure != tenure {
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
                net.ask(me, Op::Read(actor), cont);
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

    fn loaded_for(&mut self, net: &mut Net, me: Addr, partition: u16, delivered: Delivered, said: Said) {
        let Body::Letter(actor, _) = delivered.body else { return };
        let id = net.actors.id(actor).id.clone();
        // Another letter may have woken it meanwhile; the real partition takes one letter at a time.
        if !matches!(self.seats[usize::from(partition)].roster.fate(&id), Fate::Load) {
            let tenure = self.seats[usize::from(partition)].tenure;
            return self.push(net, me, tenure, delivered);
        }
        let found = match said {
            Said::Records(records) => match self.fold(net, actor, &records) {
                Some(journaled) => Found::Journal(Box::new(journaled)),
                None => Found::Unreadable,
            },
            _ => Found::Nothing,
        };
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
        let (actor, letter) = (net.actors.name(actor), delivered.id.clone());
        if passed {
            net.note(Fact::Passed { actor: actor.clone(), letter: letter.clone() });
        }
        net.note(Fact::Acknowledged { actor, letter });
        let cont = self.cont(partition, What::Nothing);
        net.ask(me, Op::Ack { queue: delivered.queue, number: delivered.number }, cont);
    }

    fn nak(&mut self, net: &mut Net, me: Addr, partition: u16, delivered: &Delivered, pause: Duration) {
        let cont = self.cont(partition, What::Nothing);
        let pause = pause.as_micros() as Micros;
        net.ask(me, Op::Nak { queue: delivered.queue, number: delivered.number, pause }, cont);
    }

    /// An actor that rests takes what has come meanwhile.
    fn turn(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx) {
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        // What begins in a step may end at once and be acted on before the step itself is through.
        if live.busy {
            return;
        }
        // As unbiased as the real host's choice.
        let effect_first = live.mailbox.is_empty() || (!live.ended.is_empty() && net.chance.hit(500));
        let number = live.number;
        // What is not taken now stays where it is: an end that is dropped here never happened.
        let given = match effect_first.then(|| live.ended.pop_front()).flatten() {
            Some((key, command)) => Given::Ended { key, traceparent: String::new(), result: Ok(command) },
            None => match live.mailbox.pop_front() {
                Some(delivered) => {
                    live.letters += 1;
                    let given = read::<M>(net, &delivered);
                    live.letter = Some(delivered);
                    given
                }
                None => return,
            },
        };
        self.give(net, me, partition, (actor, number), given);
    }

    /// Gives a life what came of its step, and follows its next ones.
    fn give(&mut self, net: &mut Net, me: Addr, partition: u16, of: (ActorIx, u32), given: Given<M>) {
        let (actor, number) = of;
        let now_ms = net.now_ms(me.process);
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        if live.number != number {
            return;
        }
        live.busy = false;
        let letter = matches!(given, Given::Letter { .. });
        let step = live.life.next(given, now_ms);
        if letter
            && matches!(step, Step::Ack | Step::Bury { .. })
            && let Some(delivered) = &live.letter
        {
            let (actor, letter) = (net.actors.name(actor), delivered.id.clone());
            net.note(Fact::Passed { actor, letter });
        }
        if letter
            && matches!(step, Step::Append { .. })
            && net.sabotaged(Sabotage::AcknowledgementOrder)
            && let Some(delivered) = live.letter.clone()
        {
            self.ack(net, me, partition, actor, &delivered, false);
        }
        self.follow(net, me, partition, actor, step);
    }

    fn follow(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx, step: Step<M>) {
        let seat = &mut self.seats[usize::from(partition)];
        let Some(live) = seat.lives.get_mut(&actor) else { return };
        let number = live.number;
        live.busy = true;
        let again = Cont { partition, tenure: seat.tenure, what: What::Step(actor, number) };
        match step {
            Step::Wait { start, cancel, idle } => {
                for key in cancel {
                    live.effects.remove(key.as_str());
                    live.paid.remove(key.as_str());
                }
                live.busy = false;
                let letters = live.letters;
                if idle {
                    let id = net.actors.id(actor).id.clone();
                    for gone in seat.roster.rest(Idle { actor: id, letters }) {
                        seat.lives.remove(&gone);
                    }
                }
                for (key, effect) in start {
                    self.begin(net, me, partition, (actor, number), key.into(), effect);
                }
                self.turn(net, me, partition, actor);
            }
            Step::Append { record, after } => {
                live.append = Some((Append::default(), record.clone(), after, net.clock.now()));
                self.append(net, me, partition, actor, record, after);
            }
            Step::Verify => {
                self.forget(net, partition, actor);
                self.renew(net, me, partition, 0, Some((actor, number)));
            }
            Step::Load => net.ask(me, Op::Read(actor), again),
            Step::Again => {
                if let Some(delivered) = &live.letter {
                    let given = read::<M>(net, delivered);
                    self.give(net, me, partition, (actor, number), given);
                }
            }
            Step::Ack => {
                let delivered = live.letter.take();
                if !self.may_act(net, partition, Sabotage::LeaseAtAck) {
                    return self.lose(net, me, partition);
                }
                if let Some(delivered) = delivered {
                    self.ack(net, me, partition, actor, &delivered, false);
                }
                self.give(net, me, partition, (actor, number), Given::Done);
            }
            Step::Bury { reason } => {
                if let Some(delivered) = live.letter.take() {
                    let what = format!("{} to {}: {reason}", delivered.id, net.actors.name(actor));
                    let cont = Cont { what: What::Nothing, ..again };
                    net.ask(me, Op::Bury { message: Some((delivered.queue, delivered.number)), what }, cont);
                }
                self.give(net, me, partition, (actor, number), Given::Done);
            }
            Step::BuryEffect { key, reason } => {
                let what = format!("{key} of {}: {reason}", net.actors.name(actor));
                net.ask(me, Op::Bury { message: None, what }, Cont { what: What::Nothing, ..again });
                self.give(net, me, partition, (actor, number), Given::Done);
            }
            Step::Archive => {
                self.forget(net, partition, actor);
                net.ask(me, Op::Archive(actor), again);
            }
            Step::End(end) => self.end(net, me, partition, actor, &end),
        }
    }

    fn end(&mut self, net: &mut Net, me: Addr, partition: u16, actor: ActorIx, end: &End) {
        let seat = &mut self.seats[usize::from(partition)];
        seat.roster.ended(net.actors.id(actor).id.clone(), end);
        if let Some(live) = seat.lives.remove(&actor)
            && *end == End::Finished
        {
            for delivered in live.mailbox {
                self.ack(net, me, partition, actor, &delivered, true);
            }
        }
    }

    fn append(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        actor: ActorIx,
        record: Arc<Record>,
        after: u64,
    ) {
        let Some(live) = self.seats[usize::from(partition)].lives.get(&actor) else { return };
        let cont = self.cont(partition, What::Step(actor, live.number));
        let after = (!net.sabotaged(Sabotage::Fencing)).then_some(after);
        net.ask(me, Op::Append { actor, record, after }, cont);
    }

    /// Drops an actor's effects: what was under way is interrupted.
    fn forget(&mut self, net: &mut Net, partition: u16, actor: ActorIx) {
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        live.effects.clear();
        live.ended.clear();
        for key in std::mem::take(&mut live.paid) {
            let actor = net.actors.name(actor);
            net.note(Fact::Interrupted { actor, key });
        }
    }

    /// What came of a step that the server was asked for.
    fn stepped(&mut self, net: &mut Net, me: Addr, partition: u16, of: (ActorIx, u32), said: Said) {
        let (actor, number) = of;
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        if live.number != number {
            return;
        }
        let again = Cont {
            partition,
            tenure: self.seats[usize::from(partition)].tenure,
            what: What::Step(actor, number),
        };
        let Some(live) = self.seats[usize::from(partition)].lives.get_mut(&actor) else { return };
        if let Some((append, record, after, since)) = &mut live.append {
            let (record, after, since) = (record.clone(), *after, *since);
            let next = match said {
                Said::Stored(sequence) => append.tried(Attempt::Stored(sequence)),
                Said::Refused => append.tried(Attempt::Outdated),
                Said::Last(same) => append.found(same),
                Said::Tick => return self.append(net, me, partition, actor, record, after),
                _ => append.tried(Attempt::Unknown),
            };
            let given = match next {
                Next::Stored(sequence) => {
                    live.paid.remove(record.cause.as_str());
                    let (actor, cause) = (net.actors.name(actor), net.cause(&record));
                    net.note(Fact::Told { actor, sequence, cause });
                    Given::Stored(sequence)
                }
                Next::Conflict => Given::Conflict,
                Next::LookUp => return net.ask(me, Op::Last { actor, record }, again),
                Next::Again if net.clock.now() < since + APPEND_PATIENCE => {
                    return net.timer(me, PAUSE, again);
                }
                Next::Again => Given::Failed,
            };
            live.append = None;
            return self.give(net, me, partition, of, given);
        }
        match said {
            Said::Records(records) => {
                let given = match self.fold(net, actor, &records) {
                    Some(journaled) => Given::Loaded(Box::new(journaled)),
                    None => Given::Unreadable("the journal is not this program's".to_owned()),
                };
                self.give(net, me, partition, of, given);
            }
            // The archive is stored.
            Said::Stored(_) => self.give(net, me, partition, of, Given::Done),
            Said::Tick if live.life.machine().is_finished() => net.ask(me, Op::Archive(actor), again),
            Said::Tick => self.give(net, me, partition, of, Given::Failed),
            _ => net.timer(me, PAUSE, again),
        }
    }

    fn begin(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        key: Rc<str>,
        effect: M::Effect,
    ) {
        let (actor, number) = of;
        if !self.may_act(net, partition, Sabotage::LeaseClock) {
            return self.lose(net, me, partition);
        }
        let seat = &mut self.seats[usize::from(partition)];
        let epoch = seat.epoch;
        let Some(live) = seat.lives.get_mut(&actor).filter(|live| live.number == number) else { return };
        let stages = M::stages(net, me, actor, &key, &effect).into();
        live.effects.insert(key.clone(), Running { ticket: 0, effect, stages });
        let place = net.actors.place_name(Self::place(partition));
        let name = net.actors.name(actor);
        net.note(Fact::Begun { actor: name, place, key: key.clone(), epoch, process: me.process });
        self.advance(net, me, partition, (actor, number), key);
    }

    /// Whether the lease holds by this process's clock, unless looking at it is what is sabotaged.
    fn may_act(&self, net: &Net, partition: u16, unless: Sabotage) -> bool {
        self.seats[usize::from(partition)].term.holds(duration(net.clock.now())) || net.sabotaged(unless)
    }

    /// Does the next stage of an effect.
    fn advance(&mut self, net: &mut Net, me: Addr, partition: u16, of: (ActorIx, u32), key: Rc<str>) {
        let (actor, number) = of;
        let may_pay = self.may_act(net, partition, Sabotage::LeaseAtCall);
        let seat = &mut self.seats[usize::from(partition)];
        let (tenure, epoch) = (seat.tenure, seat.epoch);
        let Some(live) = seat.lives.get_mut(&actor).filter(|live| live.number == number) else { return };
        let Some(running) = live.effects.get_mut(&key) else { return };
        self.tickets += 1;
        running.ticket = self.tickets;
        let cont = Cont { partition, tenure, what: What::Stage(actor, number, key.clone(), running.ticket) };
        match running.stages.front_mut() {
            None | Some(Stage::Never) => {}
            Some(Stage::Ask(op)) => net.ask(me, op.clone(), cont),
            Some(Stage::Local(command)) => {
                let until = net.clock.now() + SECOND;
                let event =
                    crate::net::Event::Asked { to: me, command: command.clone(), asker: me, cont, until };
                net.clock.plan(0, event);
            }
            Some(Stage::Wait(after)) => net.timer(me, *after, cont),
            Some(Stage::Pay(_)) if !may_pay => self.lose(net, me, partition),
            Some(Stage::Pay(microdollars)) => {
                let microdollars = *microdollars;
                live.paid.insert(key.clone());
                running.stages.pop_front();
                let (name, place) = (net.actors.name(actor), net.actors.place_name(Self::place(partition)));
                net.note(Fact::Paid { actor: name, place, key: key.clone(), epoch, microdollars });
                self.advance(net, me, partition, of, key);
            }
            Some(Stage::End(end)) => {
                let command = end.take().and_then(|end| end(net));
                live.effects.remove(&key);
                live.ended.push_back((key.to_string(), command));
                if !live.busy {
                    self.turn(net, me, partition, actor);
                }
            }
            Some(Stage::Act(_)) => {
                if let Some(Stage::Act(act)) = running.stages.pop_front() {
                    let command = act(net);
                    running.stages.push_back(Stage::End(Some(Box::new(move |_| command))));
                }
                self.advance(net, me, partition, of, key);
            }
            Some(Stage::Denied(_)) => {
                running.stages.pop_front();
                self.advance(net, me, partition, of, key);
            }
        }
    }

    fn staged(
        &mut self,
        net: &mut Net,
        me: Addr,
        partition: u16,
        of: (ActorIx, u32),
        (key, ticket): (Rc<str>, u32),
        said: Said,
    ) {
        let (actor, number) = of;
        let seat = &mut self.seats[usize::from(partition)];
        let Some(live) = seat.lives.get_mut(&actor).filter(|live| live.number == number) else { return };
        let Some(running) = live.effects.get_mut(&key).filter(|running| running.ticket == ticket) else {
            return;
        };
        match said {
            Said::Unknown => {
                running.stages = VecDeque::from([Stage::Wait(PAUSE), Stage::Never]);
                self.advance(net, me, partition, of, key);
            }
            Said::Denied(why) => {
                running.stages.pop_front();
                let denied = running.stages.pop_front();
                running.stages.clear();
                if let Some(Stage::Denied(command)) = denied {
                    running.stages.push_back(Stage::End(Some(Box::new(move |_| Some(command(why))))));
                }
                self.advance(net, me, partition, of, key);
            }
            _ if matches!(running.stages.get(1), Some(Stage::Never)) => {
                // It failed, and the pause is over: from the beginning.
                let effect = running.effect.clone();
                live.effects.remove(&key);
                self.begin(net, me, partition, of, key, effect);
            }
            _ => {
                running.stages.pop_front();
                self.advance(net, me, partition, of, key);
            }
        }
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
