//! What the journals, the ledger, git, the model's call log and the queues say afterwards, held to docs/semantics.md by the judge that
//! the simulation is held to as well.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use atlas_bus::Bus;
use atlas_domain::{ActorId, ActorKind};
use atlas_proto::{
    AgentEvent, LedgerEvent, MergeEvent, PlannerEvent, Record, Usage, agent_event, ledger_event, merge_event,
    merge_outcome, planner_event,
};
use atlas_simulator::{Actors, Fact, Judge, Promise, Violation};
use prost::Message as _;
use serde::Serialize;

use crate::fault::Happened;
use crate::outcome;
use crate::stage::Stage;

/// How long letters may lie in the queues after the run's end: acknowledgements that were lost come with a redelivery.
const QUEUES: Duration = Duration::from_secs(90);

/// All records of a run, in the order of the journals' stream, and what lies beside them.
#[derive(Debug)]
pub struct History {
    records: Vec<(u64, ActorId, Record)>,
    /// Answers by call: the record's sequence, cause and what the call used.
    answers: HashMap<String, (u64, String, Usage)>,
    /// Reservations by call, without those of calls that were not made.
    made: HashMap<String, Vec<u64>>,
    /// The dearest call that was ever asked for.
    dearest: u64,
    /// What landed, in order, as the merge queue has it.
    landed: Vec<String>,
    /// Attempts that the planner began, and that it knows the end of; submissions that it knows to have landed.
    begun: HashSet<String>,
    reported: HashSet<String>,
    told: HashSet<String>,
    /// Attempts whose report the planner must have.
    finished: Vec<String>,
    /// Calls as the provider has them, with how often it answered.
    billed: BTreeMap<String, usize>,
    dead: Vec<String>,
}

/// What was judged.
#[derive(Debug, Serialize)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    pub exit_code: i32,
    pub actors: usize,
    pub records: usize,
    pub records_read_meanwhile: usize,
    pub calls: usize,
    /// Calls that were made again: their hosts were interrupted in them.
    pub repeated: u64,
    pub landings: usize,
    pub paid_microdollars: u64,
    pub targets: BTreeMap<String, usize>,
    pub dead_letters: usize,
}

impl History {
    /// Reads all of it.
    pub async fn read(stage: &Stage) -> Self {
        let (bus, run) = (&stage.bus, &stage.run);
        let mut history = Self {
            records: vec![],
            answers: HashMap::new(),
            made: HashMap::new(),
            dearest: 0,
            landed: vec![],
            begun: HashSet::new(),
            reported: HashSet::new(),
            told: HashSet::new(),
            finished: vec![],
            billed: BTreeMap::new(),
            dead: vec![],
        };
        for kind in [ActorKind::Plan, ActorKind::Ledger, ActorKind::Merge, ActorKind::Agent] {
            for actor in bus.actors(run, kind, None).await.unwrap() {
                let records = read(bus, &actor).await;
                history.records.extend(records.into_iter().map(|(at, record)| (at, actor.clone(), record)));
            }
        }
        history.records.sort_by_key(|(sequence, ..)| *sequence);
        let records = std::mem::take(&mut history.records);
        for (sequence, actor, record) in &records {
            for event in &record.events {
                history.take_in(*sequence, actor, record, event);
            }
        }
        history.records = records;
        for (key, times) in outcome::calls(&stage.home) {
            // role, target, attempt, turn
            let parts: Vec<&str> = key.split(' ').collect();
            let [role, target, attempt, turn] = parts[..] else { panic!("a call `{key}`") };
            history.billed.insert(format!("{target}.{role}.{attempt}/{turn}"), times);
        }
        let dead = bus.dead_letters(run).await.unwrap();
        history.dead =
            dead.into_iter().map(|(_, letter)| format!("{}: {}", letter.id, letter.reason)).collect();
        history
    }

    fn take_in(&mut self, sequence: u64, actor: &ActorId, record: &Record, event: &[u8]) {
        match actor.kind {
            ActorKind::Agent => match AgentEvent::decode(event).unwrap().event {
                Some(agent_event::Event::ModelAnswered(answer)) => {
                    let call = format!("{}/{}", actor.id, answer.turn);
                    let usage = answer.usage.unwrap_or_default();
                    self.answers.insert(call, (sequence, record.cause.clone(), usage));
                }
                Some(agent_event::Event::Finished(_)) => self.finished.push(actor.id.clone()),
                _ => {}
            },
            ActorKind::Ledger => match LedgerEvent::decode(event).unwrap().event {
                Some(ledger_event::Event::Reserved(reserve)) => {
                    let estimate = reserve.estimate.unwrap_or_default();
                    self.dearest = self.dearest.max(estimate.cost_microdollars);
                    self.made.entry(reserve.call).or_default().push(sequence);
                }
                Some(ledger_event::Event::Settled(settle))
                    if settle.usage.unwrap_or_default().model_calls == 0 =>
                {
                    self.made.get_mut(&settle.call).and_then(Vec::pop);
                }
                _ => {}
            },
            ActorKind::Merge => {
                if let Some(merge_event::Event::Landed(landed)) = MergeEvent::decode(event).unwrap().event {
                    self.landed.extend(landed.outcomes.into_iter().map(|outcome| outcome.submission));
                }
            }
            ActorKind::Plan => match PlannerEvent::decode(event).unwrap().event {
                Some(planner_event::Event::Started(started)) => drop(self.begun.insert(started.attempt)),
                Some(planner_event::Event::Reported(report)) => drop(self.reported.insert(report.attempt)),
                Some(planner_event::Event::Merged(outcome)) => {
                    if let Some(merge_outcome::Result::Landed(_)) = outcome.result {
                        self.told.insert(outcome.submission);
                    }
                }
                _ => {}
            },
        }
    }

    /// Holds it to the promise.
    pub async fn judge(&self, stage: &Stage, faults: &[Happened], exit_code: i32) -> Verdict {
        let seen = stage.observer.seen();
        let (mut judge, mut actors) = (Judge::default(), Actors::new(stage.run.clone(), 1));
        self.replay(&mut judge, &mut actors, faults);
        for (&sequence, record) in &seen {
            let actor = actors.of(record.actor.kind, &record.actor.id);
            judge.see(0, &Fact::Told { actor, sequence, cause: &record.cause }, &actors);
        }
        let mut there: HashMap<_, Vec<u64>> = HashMap::new();
        for (sequence, actor, _) in &self.records {
            there.entry(actors.of(actor.kind, &actor.id)).or_default().push(*sequence);
        }
        there.values_mut().for_each(|sequences| sequences.sort_unstable());
        judge.survived(0, &actors, |actor| there.get(&actor).cloned().unwrap_or_default());
        self.check_what_follows(&mut judge);
        self.check_landings(&mut judge, &actors, stage);
        self.check_end(&mut judge, stage, exit_code).await;
        let (repeated, paid_microdollars) = judge.repeated();
        let report = outcome::report(&stage.home);
        let mut targets = BTreeMap::new();
        for state in outcome::states(&report).into_values() {
            *targets.entry(state).or_default() += 1;
        }
        Verdict {
            violations: judge.violations().to_vec(),
            exit_code,
            actors: self.records.iter().map(|(_, actor, _)| actor).collect::<BTreeSet<_>>().len(),
            records: self.records.len(),
            records_read_meanwhile: seen.len(),
            calls: self.billed.values().sum(),
            repeated,
            landings: judge.landed(),
            paid_microdollars,
            targets,
            dead_letters: self.dead.len(),
        }
    }

    /// Has the judge see every record in the order of the stream, and every call where it was reserved.
    fn replay(&self, judge: &mut Judge, actors: &mut Actors, faults: &[Happened]) {
        let begun = self.records.first().map_or(0, |(_, _, record)| record.time_ms);
        // Of each call, the reservation before.
        let mut last: HashMap<String, u64> = HashMap::new();
        for (at, (sequence, actor, record)) in self.records.iter().enumerate() {
            let time = record.time_ms.saturating_sub(begun) * 1000;
            for event in record.events.iter().filter(|_| actor.kind == ActorKind::Ledger) {
                match LedgerEvent::decode(event.as_slice()).unwrap().event {
                    Some(ledger_event::Event::Limits(limits)) => {
                        let (microdollars, call) = (limits.budget_microdollars, self.dearest);
                        judge.see(time, &Fact::Budget { microdollars, call }, actors);
                    }
                    Some(ledger_event::Event::Reserved(reserve))
                        if self.was_made(&reserve.call, *sequence) =>
                    {
                        let before = last.insert(reserve.call.clone(), *sequence);
                        let estimate = reserve.estimate.unwrap_or_default();
                        let (agent, key, used) = self.call(&reserve.call, estimate);
                        let actor = actors.of(ActorKind::Agent, agent);
                        if let Some(before) = before {
                            // By what was written when, not by clocks: those are apart.
                            let meanwhile = faults.iter().filter(|fault| {
                                let (from, to) = fault.records;
                                fault.kind.interrupts() && from <= *sequence && before <= to
                            });
                            for _ in meanwhile {
                                judge.see(time, &Fact::Interrupted { actor, key }, actors);
                            }
                        }
                        // Which lease it was made under, the host's next record says.
                        let epoch = self.records[at..]
                            .iter()
                            .find(|(_, other, _)| other.kind == ActorKind::Agent && other.id == agent)
                            .map_or(0, |(_, _, record)| record.epoch);
                        let microdollars = used.cost_microdollars;
                        judge.see(time, &Fact::Paid { actor, key, epoch, microdollars }, actors);
                    }
                    _ => {}
                }
            }
            let (actor, cause, epoch) = (actors.of(actor.kind, &actor.id), &record.cause, record.epoch);
            judge.see(time, &Fact::Stored { actor, sequence: *sequence, cause, epoch }, actors);
        }
        for (call, &times) in &self.billed {
            let made = self.made.get(call).map_or(0, Vec::len);
            if times > made {
                let what = format!("{call} was answered {times} times and reserved {made} times");
                judge.broken(Promise::PaidOnce, 0, what);
            }
        }
    }

    fn was_made(&self, call: &str, sequence: u64) -> bool {
        self.made.get(call).is_some_and(|made| made.contains(&sequence))
    }

    /// The agent of a call, the cause of its answer, and what it used, or was expected to.
    fn call<'s>(&'s self, call: &'s str, estimate: Usage) -> (&'s str, &'s str, Usage) {
        let agent = call.rsplit_once('/').map_or(call, |(attempt, _)| attempt);
        match self.answers.get(call) {
            Some((_, cause, used)) => (agent, cause, *used),
            None => (agent, call, estimate),
        }
    }

    /// What was done because of a record must find that record.
    fn check_what_follows(&self, judge: &mut Judge) {
        let mut lost = |what: String| judge.broken(Promise::AcknowledgedSurvives, 0, what);
        for call in self.billed.keys() {
            let (attempt, turn) = call.rsplit_once('/').unwrap();
            let turn: u32 = turn.parse().unwrap();
            if turn > 1 && !self.answers.contains_key(&format!("{attempt}/{}", turn - 1)) {
                lost(format!("{call} was asked and the answer before it is in no journal"));
            }
            if !self.begun.contains(attempt) {
                lost(format!("{attempt} was at work and the planner did not begin it"));
            }
        }
        for attempt in self.finished.iter().filter(|attempt| !self.reported.contains(*attempt)) {
            lost(format!("{attempt} has reported and the planner does not know"));
        }
        for submission in self.landed.iter().filter(|submission| !self.told.contains(*submission)) {
            if submission.contains('.') {
                lost(format!("{submission} has landed and the planner does not know"));
            }
        }
    }

    /// The repository, the merge queue's journal and the receipts say the same.
    fn check_landings(&self, judge: &mut Judge, actors: &Actors, stage: &Stage) {
        let commits = outcome::landed(&stage.home);
        for submission in &commits {
            judge.see(0, &Fact::Landed { submission }, actors);
        }
        if commits != self.landed {
            let what = format!("git has {commits:?}, the merge queue {:?}", self.landed);
            judge.broken(Promise::LandsOnce, 0, what);
        }
        let fsck = std::process::Command::new("git")
            .arg("--git-dir")
            .arg(stage.home.join("library.git"))
            .args(["fsck", "--strict"])
            .output()
            .unwrap();
        if !fsck.status.success() {
            let what = format!("the repository is broken: {}", String::from_utf8_lossy(&fsck.stderr));
            judge.broken(Promise::AcknowledgedSurvives, 0, what);
        }
        let report = outcome::report(&stage.home);
        if report["landings"] != report["landings_with_receipts"] {
            let what = format!(
                "of {} landings {} have receipts",
                report["landings"], report["landings_with_receipts"]
            );
            judge.broken(Promise::LandsOnce, 0, what);
        }
    }

    /// The run is over, and nothing waits or lies dead.
    async fn check_end(&self, judge: &mut Judge, stage: &Stage, exit_code: i32) {
        let mut stuck = |what: String| judge.broken(Promise::Progress, 0, what);
        if exit_code == 0 {
            let (states, expected) =
                (outcome::states(&outcome::report(&stage.home)), outcome::expected(&stage.example));
            if states != expected {
                stuck(format!("the run's targets are {states:?}, not {expected:?}"));
            }
        } else if exit_code != 4 {
            stuck(format!("the run ended with {exit_code}"));
        }
        self.dead.iter().for_each(|letter| stuck(format!("a dead letter: {letter}")));
        let drained = async {
            while stage.console.waiting("ATLAS_WORK").await != Ok(0) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        if exit_code == 0 && tokio::time::timeout(QUEUES, drained).await.is_err() {
            let left = stage.console.waiting("ATLAS_WORK").await;
            println!("{}", stage.console.explain("ATLAS_WORK").await.unwrap_or_else(|error| error));
            stuck(format!("{left:?} letters wait in the queues"));
        }
        println!("Messages in the queues, acknowledged: {:?}.", stage.console.messages("ATLAS_WORK").await);
    }
}

/// An actor's records, however long the servers take over them.
async fn read(bus: &Bus, actor: &ActorId) -> Vec<(u64, Record)> {
    let read = async {
        loop {
            match bus.records(actor).await {
                Ok(records) => return records,
                Err(error) => println!("{error}"),
            }
        }
    };
    tokio::time::timeout(QUEUES, read).await.unwrap_or_else(|_| panic!("{actor} cannot be read"))
}
