//! A whole run: a book's targets, processes, faults, until the planner says that it is over and no work is left.

use std::collections::BTreeSet;
use std::io::Write;
use std::str::FromStr;
use std::sync::Arc;

use atlas_domain::{ActorId, ActorKind, Blueprint, RunId, Target, TargetId, TargetKind};
use atlas_planner::Planner;
use atlas_proto::letter::Letter as Written;
use atlas_proto::{CheckReply, Letter, Policy, RunSpec};

use crate::clock::{Chance, Micros, SECOND};
use crate::fact::Fact;
use crate::fault::{Fault, FaultKind, Faults, schedule};
use crate::judge::{Promise, Violation};
use crate::net::{ActorIx, Body, Event, Journal, Net, Queue};
use crate::process::{Kind, Process};
use crate::server::Server;
use crate::world::CALL_MICRODOLLARS;

/// Events that a run may take; more is a loop.
const MOST_EVENTS: u64 = 4_000_000_000;

/// What the server does not sync before it acknowledges it syncs this often: nats-server's default.
const SYNC_INTERVAL: Micros = 120 * SECOND;
/// Virtual time after the last fault that a run gets which has lost records: git, the model and people know of them, and the run may need
/// a person.
const PATIENCE_AFTER_LOSS: Micros = 3_600 * SECOND;

/// When the server writes to disk what it acknowledges (nats-server's `sync_interval`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sync {
    /// Before it acknowledges.
    Always,
    /// Every two minutes. When its machine loses its power, what was acknowledged since is lost.
    Interval,
}

impl Sync {
    /// Whether what is acknowledged is on disk.
    pub fn is_always(self) -> bool {
        self == Self::Always
    }
}

impl FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "always" => Ok(Self::Always),
            "interval" => Ok(Self::Interval),
            _ => Err(format!("the server syncs `always` or at an `interval`, not `{text}`")),
        }
    }
}

/// A rule of the host that is broken on purpose, to see that the judge notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sabotage {
    /// Appends name no sequence.
    Fencing,
    /// A letter has another id each time that it is delivered.
    IdempotencyKey,
    /// Letters are acknowledged before what they make happen is stored.
    AcknowledgementOrder,
    /// A host does not look at its clock before it begins an effect.
    LeaseClock,
    /// A host does not look at its clock again before an effect that has begun pays for a model call.
    LeaseAtCall,
    /// A host does not look at its clock before it acknowledges a letter.
    LeaseAtAck,
    /// A host ends another's session as soon as it sees it.
    EarlyEnd,
    /// Snapshots do not say which letters and effects were acted on.
    SnapshotCauses,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Fencing,
        Self::IdempotencyKey,
        Self::AcknowledgementOrder,
        Self::LeaseClock,
        Self::LeaseAtCall,
        Self::LeaseAtAck,
        Self::EarlyEnd,
        Self::SnapshotCauses,
    ];
}

/// What is simulated.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Options {
    /// Decides everything.
    pub seed: u64,
    /// Attempts at work at once.
    pub agents: u32,
    /// Targets of the book.
    pub targets: u32,
    /// Turns of an author's attempt, on average: 55 in the published run.
    pub turns: u32,
    /// Kinds of fault.
    #[serde(skip)]
    pub faults: Faults,
    /// How many faults.
    pub fault_count: u32,
    /// Of those that the seed gives, these alone; `None`: all.
    pub only: Option<BTreeSet<usize>>,
    /// Model money, microdollars; 0: no limit.
    pub budget: u64,
    /// Partitions that agents lie in.
    pub partitions: u16,
    /// How often a person changes the run's limits.
    pub changes: u32,
    /// Processes: planners, merge coordinators, runners, verifiers.
    pub processes: (usize, usize, usize, usize),
    /// Records between two snapshots of an actor, at least; 0: none are taken.
    pub snapshot_every: usize,
    /// When the server syncs.
    pub sync: Sync,
    /// A rule to break.
    pub sabotage: Option<Sabotage>,
}

impl Options {
    /// A run of a seed with so many agents, all kinds of fault, in the published proportions.
    pub fn new(seed: u64, agents: u32) -> Self {
        Self {
            seed,
            agents,
            targets: agents.max(4),
            turns: 55,
            faults: Faults(FaultKind::ALL.to_vec()),
            fault_count: 24,
            only: None,
            budget: 0,
            partitions: 64,
            changes: 4,
            snapshot_every: 16,
            sync: Sync::Always,
            processes: (2, 2, if agents < 100 { 3 } else { 8 }, (agents as usize / 64).clamp(2, 64)),
            sabotage: None,
        }
    }

    /// A small run for tests: short attempts, few partitions, a budget every third time.
    pub fn small(seed: u64) -> Self {
        let mut chance = Chance::new(seed ^ 0x5ea1);
        let agents = chance.range(3, 24) as u32;
        let targets = chance.range(4, 16) as u32;
        let turns = chance.range(2, 8) as u32;
        let budget = if chance.hit(333) { CALL_MICRODOLLARS * chance.range(20, 300) } else { 0 };
        Self { targets, turns, budget, partitions: 8, ..Self::new(seed, agents) }
    }

    /// Whether a process serves the ledger.
    pub fn is_planner(&self, process: usize) -> bool {
        process < self.processes.0
    }

    /// The merge queue's largest window.
    pub fn window(&self) -> u32 {
        (self.agents / 16).clamp(4, 64)
    }

    /// Virtual time after the last fault within which a run must end: far longer than any takes.
    fn patience(&self) -> Micros {
        let attempt = u64::from(self.turns + 10) * 30 * SECOND;
        let rounds = u64::from(self.targets / self.agents.max(1) + 1) * 40;
        12 * 3600 * SECOND + attempt * rounds
    }

    fn kinds(&self) -> Vec<Kind> {
        let (planners, mergers, runners, verifiers) = self.processes;
        let of = |kind, count| std::iter::repeat_n(kind, count);
        of(Kind::Planner, planners)
            .chain(of(Kind::Merger, mergers))
            .chain(of(Kind::Runner, runners))
            .chain(of(Kind::Verifier, verifiers))
            .collect()
    }

    /// The faults that happen, with their numbers.
    pub fn scheduled(&self) -> Vec<(usize, Fault)> {
        let attempt = u64::from(self.turns) * 15 * SECOND;
        let window = 60 * SECOND + attempt * 4;
        let all = schedule(self.seed, &self.faults, self.fault_count, window);
        let chosen =
            |(number, _): &(usize, Fault)| self.only.as_ref().is_none_or(|only| only.contains(number));
        all.into_iter().enumerate().filter(chosen).collect()
    }
}

/// What came of it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Outcome {
    /// What was broken; empty: the promise holds.
    pub violations: Vec<Violation>,
    /// Events.
    pub events: u64,
    /// Virtual time, microseconds.
    pub virtual_us: Micros,
    /// Records stored.
    pub records: u64,
    /// Facts, and the SHA-256 of their history.
    pub facts: u64,
    /// See `facts`.
    pub history: String,
    /// Faults by kind.
    pub faults: Vec<(FaultKind, u32)>,
    /// Attempts that began.
    pub attempts: usize,
    /// Submissions that landed.
    pub landed: usize,
    /// Partitions that hosts handed over to others.
    pub handed_over: u64,
    /// Model calls that were made more than once, each after an interruption.
    pub repeated_calls: u64,
    /// What all model calls cost, microdollars.
    pub paid: u64,
    /// Dead letters.
    pub dead: usize,
    /// Acknowledged records that went with the server's power.
    pub lost: u64,
    /// It was stopped from outside: what was not broken so far may still be.
    pub stopped: bool,
    /// Actors that came back from a snapshot.
    pub restored: u64,
    /// What the planner says of the end.
    pub end: String,
    /// Of the planner, the ledger and the merge queue.
    #[serde(skip)]
    pub journals: Vec<(ActorId, Journal)>,
}

struct Simulation {
    net: Net,
    server: Server,
    processes: Vec<Process>,
    faults: Vec<Fault>,
    open_faults: usize,
    counts: Vec<(FaultKind, u32)>,
    /// The server as its disk has it, where that is not as it acknowledged.
    disk: Option<Server>,
}

/// Where a run is, told now and then while it goes on.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    /// Events so far.
    pub events: u64,
    /// Virtual time so far, microseconds.
    pub virtual_us: Micros,
    /// Submissions that have landed, of about twice as many as there are targets.
    pub landed: usize,
}

/// Events between two marks.
const MARK: u64 = 1 << 16;

/// Runs a whole run. The history is written to `trace`, one fact a line.
pub fn simulate(options: &Options, trace: Option<Box<dyn Write>>) -> Outcome {
    simulate_watched(options, trace, &mut |_| true)
}

/// The same, telling `watch` every 65,536 events where it is; false stops it.
pub fn simulate_watched(
    options: &Options,
    trace: Option<Box<dyn Write>>,
    watch: &mut dyn FnMut(Mark) -> bool,
) -> Outcome {
    let kinds = options.kinds();
    let Ok(run) = RunId::new("simulated") else {
        // A constant that is a valid name.
        unreachable!()
    };
    let net = Net::new(options.clone(), run, kinds.len(), trace);
    let processes = kinds.into_iter().map(Process::new).collect();
    let mut simulation = Simulation {
        net,
        server: Server::default(),
        processes,
        faults: Vec::new(),
        open_faults: 0,
        counts: Vec::new(),
        disk: None,
    };
    simulation.begin(options);
    simulation.run(watch)
}

impl Simulation {
    fn begin(&mut self, options: &Options) {
        let net = &mut self.net;
        net.note(Fact::Budget { microdollars: options.budget, call: CALL_MICRODOLLARS });
        for (_, fault) in options.scheduled() {
            let at = self.faults.len();
            self.faults.push(fault);
            net.clock.plan(fault.at_us, Event::Fault(at));
        }
        self.open_faults = self.faults.len();
        for at in 0..self.processes.len() {
            let me = self.processes[at].start(net, at);
            self.server.connect(me);
        }
        let targets = targets(options, &mut net.chance);
        for target in &targets {
            net.world.target(target.id.as_str(), &target.module, target.kind.is_definition());
        }
        let mut at = 0;
        for change in 1..=options.changes {
            at += net.chance.range(5 * SECOND, 40 * SECOND);
            net.clock.plan(at, Event::Limits(change));
        }
        let targets = targets.iter().map(Into::into).collect();
        let spec = RunSpec { package: "N".to_owned(), targets, ..limits(options, 0) };
        let planner = net.actors.singleton(ActorKind::Plan);
        self.letter(planner, Written::RunSpec(spec), "open");
        if !options.sync.is_always() && options.faults.0.contains(&FaultKind::PowerFailure) {
            self.sync();
        }
    }

    /// All that the server has acknowledged is on disk now.
    fn sync(&mut self) {
        self.disk = Some(self.server.clone());
        if self.open_faults > 0 {
            self.net.clock.plan(SYNC_INTERVAL, Event::Sync);
        }
    }

    /// A person changes the limits, as the command line does: again and again until the letter is stored. An older change
    /// that is delivered again after a newer one would undo it.
    fn change(&mut self, number: u32) {
        let planner = self.net.actors.singleton(ActorKind::Plan);
        let spec = limits(&self.net.options, number);
        if !self.letter(planner, Written::RunSpec(spec), &format!("limits/{number}")) {
            self.net.clock.plan(SECOND, Event::Limits(number));
        }
    }

    /// Puts a letter in; whether it is stored.
    fn letter(&mut self, to: ActorIx, letter: Written, id: &str) -> bool {
        let body = Body::Letter(to, Arc::new(Letter { letter: Some(letter) }));
        self.put(to, body, id)
    }

    fn put(&mut self, to: ActorIx, body: Body, id: &str) -> bool {
        let queue = Queue::Inbox(self.net.actors.place(to));
        self.server.put(&mut self.net, queue, body, id.into())
    }

    fn run(mut self, watch: &mut dyn FnMut(Mark) -> bool) -> Outcome {
        let mut events = 0_u64;
        let mut end = String::new();
        let mut stopped = false;
        let mut last_fault = 0;
        let patience = self.net.options.patience();
        while let Some(event) = self.net.clock.advance() {
            events += 1;
            if self.open_faults > 0 {
                last_fault = self.net.clock.now();
            }
            self.happen(event);
            if events.is_multiple_of(MARK) {
                let (virtual_us, landed) = (self.net.clock.now(), self.net.judge.landed());
                if !watch(Mark { events, virtual_us, landed }) {
                    stopped = true;
                    break;
                }
            }
            if events.is_multiple_of(512) {
                if !self.net.judge.violations().is_empty() {
                    break;
                }
                if self.open_faults == 0
                    && let Some(reason) = self.over()
                {
                    end = reason;
                    break;
                }
                let lost = self.net.judge.lost() > 0;
                let patience = if lost { PATIENCE_AFTER_LOSS } else { patience };
                if self.net.clock.now() > last_fault + patience || events > MOST_EVENTS {
                    if lost {
                        "it did not end by itself after acknowledged records were lost".clone_into(&mut end);
                        break;
                    }
                    let (queued, first) = self.server.queued();
                    let waits: String =
                        self.processes.iter().map(|process| process.waits(&self.net)).collect();
                    let what = format!(
                        "the run does not end: {queued} messages wait, the first is {first:?}{waits}"
                    );
                    let now = self.net.clock.now();
                    self.net.judge.broken(Promise::Progress, now, what);
                    break;
                }
            }
        }
        let now = self.net.clock.now();
        let Net { judge, actors, .. } = &mut self.net;
        judge.survived(now, actors, |actor| self.server.sequences(actor));
        let (history, facts) = self.net.history();
        let (repeated_calls, paid) = self.net.judge.repeated();
        let journals = [ActorKind::Plan, ActorKind::Ledger, ActorKind::Merge].map(|kind| {
            let actor = self.net.actors.singleton(kind);
            (self.net.actors.id(actor).clone(), self.server.records_of(actor).to_vec())
        });
        Outcome {
            violations: self.net.judge.violations().to_vec(),
            events,
            virtual_us: now,
            records: self.server.records(),
            facts,
            history,
            faults: self.counts,
            attempts: self.net.actors.count(ActorKind::Agent),
            landed: self.net.judge.landed(),
            handed_over: self.net.judge.handed_over(),
            repeated_calls,
            paid,
            dead: self.server.dead().len(),
            lost: self.net.judge.lost(),
            restored: self.net.restored,
            stopped,
            end,
            journals: journals.into(),
        }
    }

    /// Why the run is over, if it is: the planner says so, no message waits and no agent is at work.
    fn over(&self) -> Option<String> {
        let finished = self.processes.iter().filter_map(Process::planner).find_map(Planner::finished)?;
        let (queued, _) = self.server.queued();
        let living = self.server.living(&self.net, ActorKind::Agent);
        (queued == 0 && living == 0).then_some(finished.reason)
    }

    fn happen(&mut self, event: Event) {
        let to = match &event {
            Event::Tell { to, .. }
            | Event::Push { to, .. }
            | Event::Asked { to, .. }
            | Event::Heard { to, .. }
            | Event::Sought { to, .. } => *to,
            _ => return self.serve(event),
        };
        let process = &mut self.processes[to.process];
        if process.life != to.life {
            return;
        }
        if process.paused {
            return process.waiting.push(event);
        }
        process.handle(&mut self.net, to, event);
    }

    fn serve(&mut self, event: Event) {
        let (net, server) = (&mut self.net, &mut self.server);
        match event {
            Event::Arrive { from, op, cont, answered, sent } => {
                server.arrive(net, from, op, cont, answered, sent)
            }
            Event::Expire { queue, number, delivery } => server.expire(net, queue, number, delivery),
            Event::Again { queue, number } => server.again(net, queue, number),
            Event::Sync => self.sync(),
            Event::Replaced(who) => self.replace(who),
            Event::Succeeds(who) => self.start(who),
            Event::Forgotten { key, revision } => server.forget(key, revision),
            Event::Limits(number) => self.change(number),
            Event::Fault(at) => self.fault(at),
            Event::Healed(at) => self.heal(at),
            _ => {}
        }
    }

    fn fault(&mut self, at: usize) {
        let Fault { kind, lasts_us, bits, .. } = self.faults[at];
        match self.counts.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((kind, 1)),
        }
        let who = (bits % self.processes.len() as u64) as usize;
        let weather = &mut self.net.weather;
        match kind {
            FaultKind::Loss => weather.loss += 1,
            FaultKind::Duplicate => weather.duplicate += 1,
            FaultKind::Delay => weather.delay += 1,
            FaultKind::Partition => weather.cut[who] += 1,
            FaultKind::SlowDisk => weather.slow_disk += 1,
            FaultKind::FullDisk => weather.full_disk += 1,
            FaultKind::StaleRead => weather.stale += 1,
            FaultKind::FullQueue => weather.full_queue += 1,
            FaultKind::SlowLean => weather.slow_lean += 1,
            FaultKind::Reorder => weather.reorder += 1,
            FaultKind::Redelivery => weather.redelivery += 1,
            FaultKind::Kill => self.kill(who),
            FaultKind::Upgrade => self.upgrade(lasts_us, bits),
            FaultKind::PowerFailure => self.lose_power(),
            FaultKind::Pause => self.processes[who].paused = true,
            FaultKind::ClockJump => {
                let jump = (bits >> 8) as i64 % 3_600_000 - 1_800_000;
                self.net.skew_ms[who] += jump;
            }
            FaultKind::Poison => self.poison(bits),
            FaultKind::ServerRestart => self.server.restart(&mut self.net),
        }
        self.net.clock.plan(lasts_us, Event::Healed(at));
    }

    fn heal(&mut self, at: usize) {
        let Fault { kind, bits, .. } = self.faults[at];
        self.open_faults -= 1;
        let who = (bits % self.processes.len() as u64) as usize;
        let weather = &mut self.net.weather;
        match kind {
            FaultKind::Loss => weather.loss -= 1,
            FaultKind::Duplicate => weather.duplicate -= 1,
            FaultKind::Delay => weather.delay -= 1,
            FaultKind::Partition => weather.cut[who] -= 1,
            FaultKind::SlowDisk => weather.slow_disk -= 1,
            FaultKind::FullDisk => weather.full_disk -= 1,
            FaultKind::StaleRead => weather.stale -= 1,
            FaultKind::FullQueue => weather.full_queue -= 1,
            FaultKind::SlowLean => weather.slow_lean -= 1,
            FaultKind::Reorder => weather.reorder -= 1,
            FaultKind::Redelivery => weather.redelivery -= 1,
            FaultKind::PowerFailure => weather.down -= 1,
            FaultKind::Kill => self.start(who),
            FaultKind::Pause => self.wake(who),
            FaultKind::ClockJump | FaultKind::Poison | FaultKind::ServerRestart | FaultKind::Upgrade => {}
        }
    }

    fn kill(&mut self, who: usize) {
        self.processes[who].die(&mut self.net);
        self.processes[who].life += 1;
        self.server.disconnect(who);
    }

    /// Starts a process, unless it lives.
    fn start(&mut self, who: usize) {
        if matches!(self.processes[who].role, crate::process::Role::Down) {
            let me = self.processes[who].start(&mut self.net, who);
            self.server.connect(me);
        }
    }

    /// One process after the other is replaced, in any order.
    fn upgrade(&mut self, lasts: Micros, bits: u64) {
        let mut chance = Chance::new(bits);
        for who in 0..self.processes.len() {
            self.net.clock.plan(chance.range(0, lasts), Event::Replaced(who));
        }
    }

    fn replace(&mut self, who: usize) {
        self.kill(who);
        self.net.newer[who] += 1;
        let version = 1 + self.net.newer[who];
        self.net.note(Fact::Upgraded { process: who, version });
        let pause = self.net.chance.range(SECOND / 10, 20 * SECOND);
        self.net.clock.plan(pause, Event::Succeeds(who));
    }

    /// The server's machine loses its power.
    fn lose_power(&mut self) {
        self.net.weather.down += 1;
        let loss = match self.disk.clone() {
            Some(disk) => Some(self.server.lose_power(&mut self.net, disk, SYNC_INTERVAL)),
            None => {
                self.server.restart(&mut self.net);
                None
            }
        };
        self.net.note(Fact::PowerLost { kept: self.server.sequence() });
        if let Some(loss) = loss {
            let Net { judge, actors, clock, .. } = &mut self.net;
            judge.power_lost(clock.now(), &loss, actors);
        }
    }

    /// A process goes on: which of the things that waited for it it sees first, nobody knows.
    fn wake(&mut self, who: usize) {
        let process = &mut self.processes[who];
        process.paused = false;
        let mut waiting = std::mem::take(&mut process.waiting);
        for at in (1..waiting.len()).rev() {
            let other = self.net.chance.range(0, at as u64 + 1) as usize;
            waiting.swap(at, other);
        }
        for event in waiting {
            self.net.clock.plan(0, event);
        }
    }

    /// A letter that cannot be read, or one that is not for this kind of actor.
    fn poison(&mut self, bits: u64) {
        let kinds = [ActorKind::Plan, ActorKind::Merge, ActorKind::Agent];
        let kind = kinds[(bits >> 8) as usize % kinds.len()];
        let to = match kind {
            ActorKind::Agent => self.net.actors.of(kind, "nobody.prover.1"),
            kind => self.net.actors.singleton(kind),
        };
        let id = format!("poison/{bits:x}");
        if bits >> 16 & 1 == 0 {
            self.put(to, Body::Garbage(to), &id);
            return;
        }
        // Not the merge queue's question: the planner and agents take no answers of Lean.
        self.letter(to, Written::CheckReply(CheckReply::default()), &id);
    }
}

/// The run's limits after so many changes of them; the spec's other fields are only for the first letter.
fn limits(options: &Options, changes: u32) -> RunSpec {
    let policy = Policy {
        max_agents: options.agents,
        racing: 2,
        attempts_per_task: 8,
        triage_limit: 2,
        automation: true,
        max_turns: options.turns * 2 + changes,
        budget_microdollars: options.budget,
        ..Policy::default()
    };
    RunSpec { run: "simulated".to_owned(), policy: Some(policy), ..RunSpec::default() }
}

fn targets(options: &Options, chance: &mut Chance) -> Vec<Target> {
    let valid = |n: u32| TargetId::new(format!("t{n}")).ok();
    let mut targets = Vec::new();
    for n in 0..options.targets {
        let Some(id) = valid(n) else { continue };
        let definition = chance.hit(200);
        // Chapters of twenty; what is spoken of lies near.
        let near = |chance: &mut Chance, most: u64| -> Vec<TargetId> {
            let from = n.saturating_sub(20);
            let count = if n == 0 { 0 } else { chance.range(0, most + 1) };
            let picked: BTreeSet<u32> =
                (0..count).map(|_| chance.range(u64::from(from), u64::from(n)) as u32).collect();
            picked.into_iter().filter_map(valid).collect()
        };
        targets.push(Target {
            id,
            kind: if definition { TargetKind::Definition } else { TargetKind::Theorem },
            chapter: format!("{:02}", n / 20),
            title: String::new(),
            statement: format!("Statement {n}."),
            proof: String::new(),
            statement_depends_on: near(chance, 1),
            proof_depends_on: if definition { Vec::new() } else { near(chance, 2) },
            declaration: format!("N.t{n}"),
            module: format!("N.C{}", n / 20),
            line: n + 1,
            source: "book.md".to_owned(),
            parent: None,
        });
    }
    if Blueprint::new(targets.clone()).is_err() {
        targets.iter_mut().for_each(|target| target.proof_depends_on.clear());
    }
    targets
}
