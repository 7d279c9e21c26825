//! The protocol of leases and fencing as a specification that a model checker goes through completely: two hosts, one partition, one
//! actor that wants two effects, one after the other.
//!
//! It is named like the code that follows it: [`Action::Begin`], [`Action::Renew`], [`Action::GiveUp`] are `Session` and `Term` in
//! `crates/bus/src`; [`Action::Take`], [`Action::GiveBack`] are `Bus::try_lease` and `Lease::release`; [`Action::Look`], [`Action::End`],
//! [`Action::Free`] are `Claims` with `Vigil`; [`Action::HandOver`], [`Action::Hear`], [`Action::Accept`], [`Action::Refuse`] are `Lease::hand_over`,
//! `Bus::heard_of_claim`, `Bus::accept`, `Bus::refuse`; [`Action::Start`], [`Action::Perform`], [`Action::Record`] are `Live` in
//! `crates/actor/src/live.rs`, with the compare-and-set of `Bus::append`; the receiver knows an effect by actor and key.
//!
//! Time goes in thirds of a session's life. A host that runs renews after one, and gives up by its own clock after two; another host
//! ends the session when it has seen it as it is for three, by its own. The server has no clock. A host that is paused (SIGSTOP, a
//! virtual machine that stands still) does nothing while time passes, and wakes with its tasks ready to run in any order.
#![allow(clippy::unwrap_used, missing_docs)]

use stateright::{Checker as _, HasDiscoveries, Model, Property};

/// Effects that the actor wants, one after the other.
const GOAL: u8 = 2;
/// Claims that are written.
const CLAIMS: u8 = 3;
/// Sessions that are begun.
const SESSIONS: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tenure {
    epoch: u8,
    /// Records of the journal that are folded.
    seen: u8,
    effect: Effect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Effect {
    Idle,
    /// It has begun; nothing has left the host.
    Started,
    /// The receiver has it; its result is not journaled.
    Performed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Session {
    id: u8,
    /// Thirds of a life since the last renewal was sent, by the host's own clock.
    age: u8,
}

/// What a host has seen of another's session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Sighting {
    session: u8,
    /// Thirds of a life since it was first seen so, by the observer's clock.
    age: u8,
    /// It has not been renewed since.
    current: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Host {
    paused: bool,
    session: Option<Session>,
    tenure: Option<Tenure>,
    sighting: Option<Sighting>,
    /// A claim that named its session, by its epoch: as it was, and as one may go on hearing from a server that lags.
    heard: Option<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    hosts: [Host; 2],
    /// At the server: of each session that was begun, whether its key is there.
    sessions: Vec<bool>,
    /// At the server: the session that has the partition, and its epoch.
    claim: Option<(u8, u8)>,
    epochs: u8,
    /// The epoch of a claim by which the partition was handed over.
    handed: Option<u8>,
    /// The epoch that wrote each record; record k holds the result of effect k.
    journal: Vec<u8>,
    /// Of each effect: how often it was acted on by its receiver.
    applied: [u8; GOAL as usize],
    /// Somebody began an effect while another had the partition.
    trespassed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Action {
    /// A third of a session's life passes.
    Tick,
    Begin(usize),
    Renew(usize),
    GiveUp(usize),
    Take(usize),
    /// The partition alone, its effects dropped.
    GiveBack(usize),
    /// To the other host, which has asked.
    HandOver(usize),
    /// Of a claim that names its session.
    Hear(usize),
    Accept(usize),
    Refuse(usize),
    Look(usize),
    End(usize),
    Free(usize),
    Pause(usize),
    Wake(usize),
    Kill(usize),
    Start(usize),
    Perform(usize),
    Record(usize),
}

/// What is left out of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// An append does not say which record it follows.
    Fencing,
    /// An effect begins without a look at the host's own clock.
    OwnClock,
    /// A session is ended when it was seen as it is for one third of its life.
    Patience,
    /// A session is ended whether or not it was renewed since it was seen.
    CompareAndSet,
    /// A partition is freed without that the session that has it is ended first.
    SessionEnd,
    /// Who hears that the partition was handed over to it acts, without writing the claim itself.
    OwnClaim,
    /// The receiver does not know an effect by its key.
    Idempotency,
}

struct Protocol {
    without: Without,
}

impl Protocol {
    /// Renews by compare-and-set on the session's own key: says whether it still holds.
    fn renew(state: &mut State, at: usize) -> bool {
        let Some(session) = &mut state.hosts[at].session else { return false };
        let id = session.id;
        if !state.sessions[usize::from(id)] {
            Self::give_up(state, at);
            return false;
        }
        session.age = 0;
        if let Some(sighting) = state.hosts[1 - at].sighting.as_mut().filter(|seen| seen.session == id) {
            sighting.current = false;
        }
        true
    }

    fn give_up(state: &mut State, at: usize) {
        let Host { session, tenure, heard, .. } = &mut state.hosts[at];
        (*session, *tenure, *heard) = (None, None, None);
    }

    /// A tenure begins.
    fn tend(state: &mut State, at: usize, epoch: u8) {
        let seen = u8::try_from(state.journal.len()).unwrap();
        state.hosts[at].tenure = Some(Tenure { epoch, seen, effect: Effect::Idle });
    }

    /// Since when a session must have been seen as it is to be ended.
    fn patience(&self) -> u8 {
        if self.without == Without::Patience { 1 } else { 3 }
    }

    /// What a host that runs may do about the session of another that has the partition.
    fn watch(&self, state: &State, at: usize, actions: &mut Vec<Action>) {
        let host = &state.hosts[at];
        let Some((session, _)) = state.claim else { return };
        if host.session.as_ref().is_some_and(|own| own.id == session) {
            return;
        }
        if !state.sessions[usize::from(session)] {
            actions.push(Action::Free(at));
            return;
        }
        match host.sighting.as_ref().filter(|seen| seen.session == session) {
            Some(seen) if seen.age >= self.patience() => match self.without {
                Without::SessionEnd => actions.push(Action::Free(at)),
                Without::CompareAndSet => actions.push(Action::End(at)),
                _ if seen.current => actions.push(Action::End(at)),
                _ => actions.push(Action::Look(at)),
            },
            Some(seen) if seen.current => {}
            _ => actions.push(Action::Look(at)),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            hosts: [Host::default(), Host::default()],
            sessions: vec![],
            claim: None,
            epochs: 0,
            handed: None,
            journal: vec![],
            applied: [0; GOAL as usize],
            trespassed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // A host that runs gives up in time: its timer is not two thirds of a life late.
        let overdue = |host: &Host| !host.paused && host.session.as_ref().is_some_and(|own| own.age >= 2);
        if !state.hosts.iter().any(overdue) {
            actions.push(Action::Tick);
        }
        for (at, host) in state.hosts.iter().enumerate() {
            if host.paused {
                actions.push(Action::Wake(at));
                continue;
            }
            self.watch(state, at, actions);
            let Some(session) = &host.session else {
                // Also to ask for a share of what another has.
                if state.sessions.len() < usize::from(SESSIONS) {
                    actions.push(Action::Begin(at));
                }
                continue;
            };
            actions.extend([Action::Pause(at), Action::Kill(at)]);
            if session.age >= 1 {
                actions.push(Action::Renew(at));
            }
            if session.age >= 2 {
                actions.push(Action::GiveUp(at));
            }
            let may_act = session.age < 2 || self.without == Without::OwnClock;
            let may_claim = state.epochs < CLAIMS;
            let Some(tenure) = &host.tenure else {
                if state.claim.is_none() && may_claim && may_act {
                    actions.push(Action::Take(at));
                }
                if let Some((_, epoch)) = state.claim.filter(|(named, _)| *named == session.id)
                    && host.heard != Some(epoch)
                {
                    actions.push(Action::Hear(at));
                }
                if host.heard.is_some() && may_claim && may_act {
                    actions.push(Action::Accept(at));
                }
                if host.heard.is_some() {
                    actions.push(Action::Refuse(at));
                }
                continue;
            };
            actions.push(Action::GiveBack(at));
            if state.hosts[1 - at].session.is_some() && may_claim {
                actions.push(Action::HandOver(at));
            }
            match tenure.effect {
                Effect::Idle if tenure.seen < GOAL && may_act => actions.push(Action::Start(at)),
                Effect::Idle => {}
                Effect::Started => actions.push(Action::Perform(at)),
                Effect::Performed => actions.push(Action::Record(at)),
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Tick => {
                for host in &mut state.hosts {
                    let own = host.session.as_mut().map(|session| &mut session.age);
                    for age in own.into_iter().chain(host.sighting.as_mut().map(|seen| &mut seen.age)) {
                        *age = (*age + 1).min(3);
                    }
                }
            }
            Action::Begin(at) => {
                let id = u8::try_from(state.sessions.len()).unwrap();
                state.sessions.push(true);
                state.hosts[at].session = Some(Session { id, age: 0 });
            }
            Action::Renew(at) => drop(Self::renew(&mut state, at)),
            // The claims stay, with the session that nobody renews.
            Action::GiveUp(at) | Action::Kill(at) => {
                Self::give_up(&mut state, at);
                if matches!(action, Action::Kill(_)) {
                    state.hosts[at].sighting = None;
                }
            }
            Action::Take(at) => {
                let session = state.hosts[at].session.as_ref()?.id;
                state.epochs += 1;
                state.claim = Some((session, state.epochs));
                let epoch = state.epochs;
                Self::tend(&mut state, at, epoch);
            }
            Action::GiveBack(at) => {
                let tenure = state.hosts[at].tenure.take()?;
                state.claim = state.claim.filter(|(_, epoch)| *epoch != tenure.epoch);
            }
            Action::HandOver(at) => {
                let tenure = state.hosts[at].tenure.take()?;
                let session = state.hosts[1 - at].session.as_ref()?.id;
                if state.claim.is_some_and(|(_, epoch)| epoch == tenure.epoch) {
                    state.epochs += 1;
                    state.handed = Some(state.epochs);
                    state.claim = Some((session, state.epochs));
                }
            }
            Action::Hear(at) => state.hosts[at].heard = state.claim.map(|(_, epoch)| epoch),
            Action::Accept(at) => {
                let heard = state.hosts[at].heard?;
                let session = state.hosts[at].session.as_ref()?.id;
                if self.without == Without::OwnClaim {
                    Self::tend(&mut state, at, heard);
                } else if state.claim.is_some_and(|(_, epoch)| epoch == heard) {
                    state.epochs += 1;
                    let epoch = state.epochs;
                    state.claim = Some((session, epoch));
                    Self::tend(&mut state, at, epoch);
                } else {
                    state.hosts[at].heard = None;
                }
            }
            Action::Refuse(at) => {
                let heard = state.hosts[at].heard?;
                state.claim = state.claim.filter(|(_, epoch)| *epoch != heard);
            }
            Action::Look(at) => {
                let (session, _) = state.claim?;
                state.hosts[at].sighting = Some(Sighting { session, age: 0, current: true });
            }
            Action::End(at) => {
                let seen = state.hosts[at].sighting.take()?;
                state.sessions[usize::from(seen.session)] = false;
            }
            Action::Free(_) => state.claim = None,
            Action::Pause(at) => state.hosts[at].paused = true,
            Action::Wake(at) => state.hosts[at].paused = false,
            Action::Start(at) => {
                let tenure = state.hosts[at].tenure.as_mut()?;
                tenure.effect = Effect::Started;
                state.trespassed |= state.claim.is_some_and(|(_, epoch)| epoch != tenure.epoch);
            }
            Action::Perform(at) => {
                let tenure = state.hosts[at].tenure.as_mut()?;
                tenure.effect = Effect::Performed;
                let applied = &mut state.applied[usize::from(tenure.seen)];
                if *applied == 0 || self.without == Without::Idempotency {
                    *applied = (*applied + 1).min(2);
                }
            }
            Action::Record(at) => {
                let tenure = state.hosts[at].tenure.as_mut()?;
                tenure.effect = Effect::Idle;
                let (epoch, claimed) = (tenure.epoch, state.claim.map(|(_, epoch)| epoch));
                let follows = usize::from(tenure.seen) == state.journal.len();
                if follows || self.without == Without::Fencing {
                    state.journal.push(epoch);
                    tenure.seen += 1;
                } else if Self::renew(&mut state, at) && claimed == Some(epoch) {
                    let seen = u8::try_from(state.journal.len()).unwrap();
                    state.hosts[at].tenure.as_mut()?.seen = seen;
                } else {
                    state.hosts[at].tenure = None;
                }
            }
        }
        Some(state)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.journal.len() <= usize::from(GOAL) + 1
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("epochs in a journal never fall", |_, state: &State| {
                state.journal.windows(2).all(|pair| pair[0] <= pair[1])
            }),
            Property::always("each effect has one result in the journal", |_, state: &State| {
                state.journal.len() <= usize::from(GOAL)
            }),
            Property::always(
                "nobody begins an effect while another has the partition",
                |_, state: &State| !state.trespassed,
            ),
            Property::always("an effect is acted on once", |_, state: &State| {
                state.applied.iter().all(|applied| *applied <= 1)
            }),
            Property::sometimes(
                "the actor comes to its goal over two tenures",
                |_, state: &State| matches!(state.journal[..], [first, second] if first != second),
            ),
            Property::sometimes(
                "the actor goes on where it was handed over to",
                |_, state: &State| matches!((&state.journal[..], state.handed), ([first, second], Some(handed)) if (first + 1..*second).contains(&handed)),
            ),
            Property::sometimes("a host wakes up after its partition was taken", |_, state: &State| {
                state.hosts.iter().any(|host| {
                    !host.paused
                        && matches!((&host.tenure, state.claim), (Some(t), Some((_, epoch))) if t.epoch != epoch)
                })
            }),
        ]
    }
}

const TRESPASS: &str = "nobody begins an effect while another has the partition";

#[test]
fn the_protocol_holds_in_every_state_that_can_be_reached() {
    let checker = Protocol { without: Without::Nothing }.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn each_part_of_the_protocol_is_needed() {
    let needed = [
        (Without::Fencing, "each effect has one result in the journal"),
        (Without::OwnClock, TRESPASS),
        (Without::Patience, TRESPASS),
        (Without::CompareAndSet, TRESPASS),
        (Without::SessionEnd, TRESPASS),
        (Without::OwnClaim, TRESPASS),
        (Without::Idempotency, "an effect is acted on once"),
    ];
    for (without, property) in needed {
        let found = HasDiscoveries::AnyOf([property].into());
        let checker = Protocol { without }.checker().threads(2).finish_when(found).spawn_bfs().join();
        assert!(checker.discovery(property).is_some(), "without {without:?}");
    }
}
