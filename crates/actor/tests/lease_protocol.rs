//! The protocol of leases and fencing as a specification that a model checker goes through completely: two hosts, one partition, one
//! actor that wants two effects, one after the other.
//!
//! It is named like the code that follows it: [`Action::Take`], [`Action::Renew`], [`Action::GiveUp`] are `Bus::try_lease` and `Lease` in
//! `crates/bus/src/lease.rs`; [`Action::Start`], [`Action::Perform`], [`Action::Record`] are `Live` in `crates/actor/src/live.rs`, with the
//! compare-and-set of `Bus::append`; the receiver knows an effect by actor and key.
//!
//! Time goes in thirds of a lease's life. A host that runs renews after one, and gives up by its own clock after two; the server forgets the
//! lease after three. A host that is paused (SIGSTOP, a virtual machine that stands still) does nothing while time passes, and wakes with
//! its tasks ready to run in any order.
#![allow(clippy::unwrap_used, missing_docs)]

use stateright::{Checker as _, Model, Property};

/// Effects that the actor wants, one after the other.
const GOAL: u8 = 2;
/// Tenures that are looked at.
const TENURES: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Tenure {
    epoch: u8,
    /// Thirds of a life since the last renewal was sent, by the host's own clock.
    age: u8,
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

#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Host {
    paused: bool,
    tenure: Option<Tenure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    hosts: [Host; 2],
    /// At the server: epoch and thirds of a life since its last renewal.
    lease: Option<(u8, u8)>,
    epochs: u8,
    /// The epoch that wrote each record; record k holds the result of effect k.
    journal: Vec<u8>,
    /// Of each effect: how often it was acted on by its receiver.
    applied: [u8; GOAL as usize],
    /// Somebody began an effect while another had the lease.
    trespassed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Action {
    /// A third of a lease's life passes.
    Tick,
    Take(usize),
    Renew(usize),
    GiveUp(usize),
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
    /// An effect begins without a look at the lease's age.
    Freshness,
    /// The receiver does not know an effect by its key.
    Idempotency,
}

struct Protocol {
    without: Without,
}

impl Protocol {
    /// Renews by compare-and-set on the lease's own entry: says whether it still holds.
    fn renew(state: &mut State, host: usize) -> bool {
        let Some(tenure) = &mut state.hosts[host].tenure else { return false };
        match &mut state.lease {
            Some((epoch, age)) if *epoch == tenure.epoch => {
                (tenure.age, *age) = (0, 0);
                true
            }
            _ => {
                state.hosts[host].tenure = None;
                false
            }
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            hosts: [Host::default(), Host::default()],
            lease: None,
            epochs: 0,
            journal: vec![],
            applied: [0; GOAL as usize],
            trespassed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let runs = |host: &Host| !host.paused;
        // A host that runs gives up in time: its timer is not two thirds of a life late.
        let overdue = |host: &Host| runs(host) && host.tenure.as_ref().is_some_and(|t| t.age >= 2);
        if !state.hosts.iter().any(overdue) {
            actions.push(Action::Tick);
        }
        for (at, host) in state.hosts.iter().enumerate() {
            if host.paused {
                actions.push(Action::Wake(at));
                continue;
            }
            let Some(tenure) = &host.tenure else {
                if state.lease.is_none() && state.epochs < TENURES {
                    actions.push(Action::Take(at));
                }
                continue;
            };
            actions.extend([Action::Pause(at), Action::Kill(at)]);
            if tenure.age == 1 {
                actions.push(Action::Renew(at));
            }
            if tenure.age >= 2 {
                actions.push(Action::GiveUp(at));
            }
            match tenure.effect {
                Effect::Idle if tenure.seen < GOAL => {
                    if tenure.age < 2 || self.without == Without::Freshness {
                        actions.push(Action::Start(at));
                    }
                }
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
                for tenure in state.hosts.iter_mut().filter_map(|host| host.tenure.as_mut()) {
                    tenure.age = (tenure.age + 1).min(3);
                }
                state.lease = state.lease.map(|(epoch, age)| (epoch, age + 1)).filter(|(_, age)| *age < 3);
            }
            Action::Take(at) => {
                state.epochs += 1;
                state.lease = Some((state.epochs, 0));
                let seen = u8::try_from(state.journal.len()).unwrap();
                state.hosts[at].tenure =
                    Some(Tenure { epoch: state.epochs, age: 0, seen, effect: Effect::Idle });
            }
            Action::Renew(at) => drop(Self::renew(&mut state, at)),
            Action::GiveUp(at) | Action::Kill(at) => state.hosts[at].tenure = None,
            Action::Pause(at) => state.hosts[at].paused = true,
            Action::Wake(at) => state.hosts[at].paused = false,
            Action::Start(at) => {
                let tenure = state.hosts[at].tenure.as_mut()?;
                tenure.effect = Effect::Started;
                state.trespassed |= state.lease.is_some_and(|(epoch, _)| epoch != tenure.epoch);
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
                let follows = usize::from(tenure.seen) == state.journal.len();
                if follows || self.without == Without::Fencing {
                    state.journal.push(tenure.epoch);
                    tenure.seen += 1;
                } else if Self::renew(&mut state, at) {
                    let seen = u8::try_from(state.journal.len()).unwrap();
                    state.hosts[at].tenure.as_mut()?.seen = seen;
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
            Property::always("nobody begins an effect while another has the lease", |_, state: &State| {
                !state.trespassed
            }),
            Property::always("an effect is acted on once", |_, state: &State| {
                state.applied.iter().all(|applied| *applied <= 1)
            }),
            Property::sometimes(
                "the actor comes to its goal over two tenures",
                |_, state: &State| matches!(state.journal[..], [first, second] if first != second),
            ),
            Property::sometimes("a host wakes up after its lease was taken", |_, state: &State| {
                state.hosts.iter().any(|host| {
                    !host.paused
                        && matches!((&host.tenure, state.lease), (Some(t), Some((epoch, _))) if t.epoch != epoch)
                })
            }),
        ]
    }
}

/// The first property that does not hold.
fn broken(without: Without) -> Option<&'static str> {
    let checker = Protocol { without }.checker().threads(2).spawn_bfs().join();
    let always = |name: &&str| !name.starts_with("the actor") && !name.starts_with("a host");
    let discoveries = checker.discoveries();
    let mut found: Vec<&'static str> = discoveries.keys().copied().filter(always).collect();
    found.sort_unstable();
    if without == Without::Nothing {
        assert_eq!(discoveries.len() - found.len(), 2, "the model never gets to what it is about");
        println!("{} states", checker.unique_state_count());
    }
    found.first().copied()
}

#[test]
fn the_protocol_holds_in_every_state_that_can_be_reached() {
    assert_eq!(broken(Without::Nothing), None);
}

#[test]
fn each_part_of_the_protocol_is_needed() {
    let needed = [
        (Without::Fencing, "each effect has one result in the journal"),
        (Without::Freshness, "nobody begins an effect while another has the lease"),
        (Without::Idempotency, "an effect is acted on once"),
    ];
    for (without, property) in needed {
        assert_eq!(broken(without), Some(property), "without {without:?}");
    }
}
