//! The ledger: what a run may use, what is promised to calls under way, what they have used.

use std::collections::{BTreeMap, HashMap, HashSet};

use atlas_actor::{Machine, snapshot};
use atlas_domain::{ActorId, ActorKind, Usage};
use atlas_proto::ledger_event::Event as Kind;
use atlas_proto::{LedgerEvent, Limits, Reserve, Settle};
use serde::{Deserialize, Serialize};

/// What the ledger is asked.
#[derive(Debug, Clone)]
pub enum Command {
    /// The run's limits, again after each change of them.
    Limit(Limits),
    /// A call wants to be made.
    Reserve(Reserve),
    /// A call has been made.
    Settle(Settle),
}

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// budget, deadline or void.
    pub kind: &'static str,
    /// In words.
    pub reason: String,
    /// Calls under way may turn out to cost less than they promised, and make room.
    pub may_pass: bool,
    /// No further call of the run is worth asking for.
    pub ends_run: bool,
}

impl Refusal {
    fn budget(reason: String, may_pass: bool) -> Self {
        Self { kind: "budget", reason, may_pass, ends_run: true }
    }
}

/// What a reservation holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Reservation {
    role: String,
    target: String,
    estimate: Usage,
}

/// Reservations and settlements of one run. A reservation counts in full until it is settled, so calls under way
/// can never together pass the limit that each alone respects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    limits: Limits,
    outstanding: HashMap<String, Reservation>,
    promised: Usage,
    spent: Usage,
    by_role: BTreeMap<String, Usage>,
    by_target: BTreeMap<String, Usage>,
    settled: HashSet<String>,
    repeated: u64,
}

impl Machine for Ledger {
    const KIND: ActorKind = ActorKind::Ledger;
    const VERSION: u32 = 1;
    type Event = LedgerEvent;
    type Command = Command;
    /// The ledger answers and wants nothing done.
    type Effect = std::convert::Infallible;

    fn new(_: &ActorId) -> Self {
        Self::default()
    }

    fn apply(&mut self, event: &LedgerEvent, _time_ms: u64) {
        drop(self.foresee(event));
    }

    fn decide(&self, command: Command, now_ms: u64) -> Vec<LedgerEvent> {
        let event = match command {
            Command::Limit(limits) if limits != self.limits => Kind::Limits(limits),
            Command::Reserve(reserve) if self.refusal(&reserve, now_ms).is_none() => Kind::Reserved(reserve),
            Command::Settle(settle) if self.outstanding.contains_key(&settle.call) => Kind::Settled(settle),
            _ => return Vec::new(),
        };
        vec![LedgerEvent { event: Some(event) }]
    }

    fn effects(&self) -> Vec<(String, Self::Effect)> {
        Vec::new()
    }

    const SNAPSHOT: Option<u32> = Some(1);

    fn snapshot(&self) -> Option<Vec<u8>> {
        snapshot::encode(self)
    }

    fn restore(state: &[u8]) -> Result<Self, String> {
        snapshot::decode(state)
    }

    /// Never: a run that has ended may go on with other limits.
    fn is_finished(&self) -> bool {
        false
    }
}

/// What takes an event back whose record was not stored.
#[derive(Debug)]
pub struct Undo(Before);

#[derive(Debug)]
enum Before {
    Limits(Limits),
    Reserved {
        call: String,
        held: Option<Reservation>,
        settled: bool,
    },
    Settled {
        call: String,
        held: Reservation,
        spent: Usage,
        of_role: Option<Usage>,
        of_target: Option<Usage>,
    },
}

impl Ledger {
    /// Applies an event before its record is stored, so that what comes after it in the same record is decided on top of it.
    /// `None`: it changed nothing.
    pub fn foresee(&mut self, event: &LedgerEvent) -> Option<Undo> {
        match event.event.as_ref()? {
            Kind::Limits(limits) => Some(Undo(Before::Limits(std::mem::replace(&mut self.limits, *limits)))),
            Kind::Reserved(reserve) => {
                // The same call again: its first answer was lost with the host that made it, and may be billed twice.
                let settled = self.settled.remove(&reserve.call);
                let held = self.release(&reserve.call);
                self.repeated += u64::from(settled || held.is_some());
                let estimate = reserve.estimate.map(Usage::from).unwrap_or_default();
                let reservation =
                    Reservation { role: reserve.role.clone(), target: reserve.target.clone(), estimate };
                self.hold(reserve.call.clone(), reservation);
                Some(Undo(Before::Reserved { call: reserve.call.clone(), held, settled }))
            }
            Kind::Settled(settle) => {
                let held = self.release(&settle.call)?;
                self.settled.insert(settle.call.clone());
                let usage = settle.usage.map(Usage::from).unwrap_or_default();
                let (call, spent) = (settle.call.clone(), self.spent);
                let of_role = self.by_role.get(&held.role).copied();
                let of_target = self.by_target.get(&held.target).copied();
                self.spent += usage;
                *self.by_role.entry(held.role.clone()).or_default() += usage;
                *self.by_target.entry(held.target.clone()).or_default() += usage;
                Some(Undo(Before::Settled { call, held, spent, of_role, of_target }))
            }
        }
    }

    /// Takes an event back; of several, the last first.
    pub fn undo(&mut self, Undo(before): Undo) {
        match before {
            Before::Limits(limits) => self.limits = limits,
            Before::Reserved { call, held, settled } => {
                self.release(&call);
                self.repeated -= u64::from(settled || held.is_some());
                if let Some(held) = held {
                    self.hold(call.clone(), held);
                }
                if settled {
                    self.settled.insert(call);
                }
            }
            Before::Settled { call, held, spent, of_role, of_target } => {
                self.spent = spent;
                restore(&mut self.by_role, &held.role, of_role);
                restore(&mut self.by_target, &held.target, of_target);
                self.settled.remove(&call);
                self.hold(call, held);
            }
        }
    }

    fn hold(&mut self, call: String, reservation: Reservation) {
        self.promised += reservation.estimate;
        self.outstanding.insert(call, reservation);
    }

    fn release(&mut self, call: &str) -> Option<Reservation> {
        let reservation = self.outstanding.remove(call)?;
        let (promised, estimate) = (&mut self.promised, &reservation.estimate);
        promised.input_tokens -= estimate.input_tokens;
        promised.output_tokens -= estimate.output_tokens;
        promised.cache_read_tokens -= estimate.cache_read_tokens;
        promised.cache_write_tokens -= estimate.cache_write_tokens;
        promised.cost_microdollars -= estimate.cost_microdollars;
        promised.model_calls -= estimate.model_calls;
        Some(reservation)
    }

    /// Why this reservation cannot be granted, if so.
    pub fn refusal(&self, reserve: &Reserve, now_ms: u64) -> Option<Refusal> {
        let estimate = reserve.estimate.map(Usage::from).unwrap_or_default();
        let before = self.outstanding.get(&reserve.call).map(|held| held.estimate).unwrap_or_default();
        let Limits { budget_microdollars, budget_tokens, deadline_unix_ms } = self.limits;
        if deadline_unix_ms > 0 && now_ms >= deadline_unix_ms {
            let reason = "the run's deadline has passed".to_owned();
            return Some(Refusal { kind: "deadline", reason, may_pass: false, ends_run: true });
        }
        let (spent, asked) = (self.spent.cost_microdollars, estimate.cost_microdollars);
        let promised = self.promised.cost_microdollars - before.cost_microdollars;
        if budget_microdollars > 0 && spent + promised + asked > budget_microdollars {
            let reason = format!(
                "the budget of {} is used up: {} spent, {} promised to calls under way, {} more asked for",
                dollars(budget_microdollars),
                dollars(spent),
                dollars(promised),
                dollars(asked),
            );
            return Some(Refusal::budget(reason, spent + asked <= budget_microdollars));
        }
        let (spent, asked) = (self.spent.tokens(), estimate.tokens());
        let promised = self.promised.tokens() - before.tokens();
        if budget_tokens > 0 && spent + promised + asked > budget_tokens {
            let reason = format!(
                "the budget of {budget_tokens} tokens is used up: {spent} spent, {promised} promised to calls under way, {asked} more asked for",
            );
            return Some(Refusal::budget(reason, spent + asked <= budget_tokens));
        }
        None
    }

    /// What settled calls have used.
    pub fn spent(&self) -> Usage {
        self.spent
    }

    /// What is promised to calls under way.
    pub fn promised(&self) -> Usage {
        self.promised
    }

    /// What settled calls have used, by role.
    pub fn by_role(&self) -> &BTreeMap<String, Usage> {
        &self.by_role
    }

    /// What settled calls have used, by target.
    pub fn by_target(&self) -> &BTreeMap<String, Usage> {
        &self.by_target
    }

    /// Calls that were reserved again after their first reservation.
    pub fn repeated(&self) -> u64 {
        self.repeated
    }
}

fn restore(usages: &mut BTreeMap<String, Usage>, of: &str, before: Option<Usage>) {
    match before {
        Some(usage) => drop(usages.insert(of.to_owned(), usage)),
        None => drop(usages.remove(of)),
    }
}

fn dollars(microdollars: u64) -> String {
    format!("${:.2}", microdollars as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use atlas_domain::RunId;
    use proptest::prelude::*;

    fn ledger(microdollars: u64) -> Ledger {
        let mut ledger = Ledger::new(&ActorId::singleton(&RunId::new("r").unwrap(), ActorKind::Ledger));
        run(&mut ledger, Command::Limit(Limits { budget_microdollars: microdollars, ..Limits::default() }));
        ledger
    }

    fn run(ledger: &mut Ledger, command: Command) -> bool {
        let events = ledger.decide(command, 0);
        events.iter().for_each(|event| ledger.apply(event, 0));
        !events.is_empty()
    }

    fn usage(cost: u64) -> Option<atlas_proto::Usage> {
        Some(Usage { cost_microdollars: cost, input_tokens: cost, model_calls: 1, ..Usage::default() }.into())
    }

    fn reserve(call: &str, cost: u64) -> Command {
        Command::Reserve(Reserve {
            call: call.into(),
            role: "prover".into(),
            target: "even".into(),
            estimate: usage(cost),
        })
    }

    fn settle(call: &str, cost: u64) -> Command {
        Command::Settle(Settle { call: call.into(), usage: usage(cost) })
    }

    #[test]
    fn reservations_count_until_they_are_settled() {
        let mut ledger = ledger(100);
        assert!(run(&mut ledger, reserve("a/1", 60)));
        assert!(!run(&mut ledger, reserve("b/1", 60)), "60 are promised already");
        assert!(run(&mut ledger, settle("a/1", 30)));
        assert!(run(&mut ledger, reserve("b/1", 60)));
        assert_eq!((ledger.spent().cost_microdollars, ledger.promised().cost_microdollars), (30, 60));
    }

    #[test]
    fn a_repeated_call_holds_one_reservation_and_settles_what_it_cost_each_time() {
        let mut ledger = ledger(100);
        run(&mut ledger, reserve("a/1", 60));
        assert!(run(&mut ledger, reserve("a/1", 70)), "it replaces its own reservation");
        assert_eq!(ledger.promised().cost_microdollars, 70);
        run(&mut ledger, settle("a/1", 20));
        assert!(!run(&mut ledger, settle("a/1", 20)), "told twice, counted once");
        run(&mut ledger, reserve("a/1", 60));
        run(&mut ledger, settle("a/1", 20));
        assert_eq!((ledger.spent().cost_microdollars, ledger.repeated()), (40, 2));
    }

    proptest! {
        /// What is foreseen and taken back, in the opposite order, leaves the ledger as it was.
        #[test]
        fn what_was_not_stored_is_taken_back(
            before in proptest::collection::vec((0u8..6, 1u64..40, 0u8..3), 0..40),
            after in proptest::collection::vec((0u8..6, 1u64..40, 0u8..3), 0..40),
        ) {
            let command = |(call, cost, what): (u8, u64, u8)| match what {
                0 => settle(&format!("c{call}/1"), cost),
                1 => Command::Limit(Limits { budget_microdollars: 100 + cost, ..Limits::default() }),
                _ => reserve(&format!("c{call}/1"), cost),
            };
            let mut ledger = ledger(200);
            for step in before {
                run(&mut ledger, command(step));
            }
            let was = ledger.clone();
            let mut undos = Vec::new();
            for step in after {
                for event in ledger.decide(command(step), 0) {
                    undos.extend(ledger.foresee(&event));
                }
            }
            undos.into_iter().rev().for_each(|undo| ledger.undo(undo));
            prop_assert_eq!(ledger, was);
        }

        /// Whatever the calls do, what is spent stays within the limit as long as no call costs more than it
        /// reserved, and what is promised is the sum of what is outstanding.
        #[test]
        fn the_limit_holds(calls in proptest::collection::vec((0u8..12, 1u64..40, any::<bool>()), 0..200)) {
            let mut ledger = ledger(200);
            for (call, cost, settles) in calls {
                let call = format!("c{call}/1");
                if settles {
                    let held = ledger.outstanding.get(&call).map_or(0, |r| r.estimate.cost_microdollars);
                    run(&mut ledger, settle(&call, cost.min(held)));
                } else {
                    run(&mut ledger, reserve(&call, cost));
                }
                let outstanding: u64 = ledger.outstanding.values().map(|r| r.estimate.cost_microdollars).sum();
                prop_assert_eq!(ledger.promised().cost_microdollars, outstanding);
                prop_assert!(ledger.spent().cost_microdollars + outstanding <= 200);
            }
        }
    }
}
