//! The planner's state and how events change it. No I/O: `host.rs` runs what `effects` asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use atlas_actor::Machine;
use atlas_domain::{ActorId, ActorKind, Blueprint, RunId, Standing, Target, TargetIx, Usage};
use atlas_proto::planner_event::Event as Kind;
use atlas_proto::{
    Escalated, HumanReply, LedgerOpened, MergeOutcome, PlannerEvent, Policy, Report, RunSpec, Started,
    Stopped, Submission, Task, report,
};

use crate::extraction::Extraction;
use crate::landing::{Layout, MergeOrder};
use crate::role::Role;
use crate::skeleton;
use crate::status::TargetStatus;
use crate::track::{Stage, Track};
use crate::work::{ReadyKey, Work};

/// Lines of [`crate::Status::recent`].
const RECENT: usize = 20;

/// What the planner is told.
#[derive(Debug, Clone)]
pub enum Command {
    /// The run, or the same run again, perhaps with other limits.
    Open(Box<RunSpec>),
    /// An attempt ended.
    Report(Box<Report>),
    /// The merge queue answered.
    Merged(Box<MergeOutcome>),
    /// A person answered.
    Reply(HumanReply),
    /// Time to decide what starts.
    Plan,
    /// The ledger knows the limits of the policy of this number.
    LedgerOpened(u32),
    /// targets.yaml is written.
    TargetsWritten,
    /// Nothing more may be started.
    Stop {
        /// budget or deadline.
        kind: &'static str,
        /// In words.
        reason: String,
    },
}

/// What the planner wants done.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Tell the ledger the run's limits.
    OpenLedger {
        /// Of the policy.
        number: u32,
        /// The limits.
        policy: Arc<Policy>,
    },
    /// Wait until the ledger refuses a reservation.
    WatchBudget,
    /// Wait for the deadline.
    Deadline {
        /// Unix milliseconds.
        at_ms: u64,
    },
    /// Come back at once with [`Command::Plan`].
    Plan,
    /// Send the task to its agent.
    Start(Arc<Task>),
    /// Grant no further model call to an attempt whose work has become void: another has won, or the statement
    /// has changed under it. It ends at its next turn.
    Revoke {
        /// The attempt.
        attempt: String,
    },
    /// Write the extracted targets to `targets.yaml`.
    WriteTargets(Arc<Vec<Target>>),
    /// Submit the library's first files.
    Skeleton {
        /// The submission's id.
        id: String,
        /// What it is made of.
        spec: Arc<RunSpec>,
        /// The targets, in the book's order.
        targets: Arc<Vec<Target>>,
    },
    /// Submit empty regions for the parts of a decomposed target.
    MakeRoom {
        /// The submission's id.
        id: String,
        /// The target that was decomposed.
        parent: String,
        /// Its module.
        module: String,
        /// Label and title of each part, in an order in which each comes after what it depends on.
        parts: Vec<(String, String)>,
        /// Modules that the parts depend on.
        imports: Vec<String>,
        /// The library's newest commit.
        base_commit: String,
    },
    /// Send an approved submission to the merge queue.
    Merge(MergeOrder),
}

/// An attempt at work.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub role: Role,
    pub number: u32,
    pub subject: Subject,
    pub task: Arc<Task>,
    /// The target's revision that it works on.
    pub revision: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    Target(TargetIx),
    /// A piece of the book, by its place among them.
    Chunk(usize),
}

/// Why the run cannot go on at all.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub reason: String,
    pub exit_code: u8,
}

/// The planner of one run.
#[derive(Debug, Clone)]
pub struct Planner {
    pub(crate) run: RunId,
    pub(crate) spec: Option<Arc<RunSpec>>,
    pub(crate) policy: Arc<Policy>,
    /// Counts policies; the ledger has taken up those up to `ledger_policy`.
    policy_number: u32,
    ledger_policy: u32,
    pub(crate) opened_ms: u64,
    pub(crate) now_ms: u64,
    pub(crate) blueprint: Blueprint,
    pub(crate) tracks: Vec<Track>,
    pub(crate) declarations: HashMap<String, TargetIx>,
    pub(crate) extraction: Option<Extraction>,
    /// Extracted targets that are not written to their file yet.
    unwritten: Option<Arc<Vec<Target>>>,
    pub(crate) initial: Arc<Vec<Target>>,
    pub(crate) layouts: Vec<Layout>,
    pub(crate) running: BTreeMap<String, Running>,
    pub(crate) head: String,
    pub(crate) head_sequence: u64,
    pub(crate) landings: u64,
    pub(crate) usage: BTreeMap<Role, Usage>,
    pub(crate) stopped: Option<Stopped>,
    pub(crate) fault: Option<Fault>,
    pub(crate) recent: VecDeque<String>,
    plans: u64,
    was_due: bool,
    // Indices over the above, kept up to date target by target.
    pub(crate) ready: BTreeMap<ReadyKey, (TargetIx, Work)>,
    pub(crate) ready_keys: Vec<Option<ReadyKey>>,
    pub(crate) merging: BTreeSet<TargetIx>,
    pub(crate) to_escalate: BTreeSet<TargetIx>,
    pub(crate) entries: Vec<Arc<TargetStatus>>,
    dirty: BTreeSet<TargetIx>,
}

impl Machine for Planner {
    const KIND: ActorKind = ActorKind::Plan;
    const VERSION: u32 = 1;
    type Event = PlannerEvent;
    type Command = Command;
    type Effect = Effect;

    fn new(id: &ActorId) -> Self {
        Self {
            run: id.run.clone(),
            spec: None,
            policy: Arc::default(),
            policy_number: 0,
            ledger_policy: 0,
            opened_ms: 0,
            now_ms: 0,
            blueprint: Blueprint::default(),
            tracks: Vec::new(),
            declarations: HashMap::new(),
            extraction: None,
            unwritten: None,
            initial: Arc::default(),
            layouts: Vec::new(),
            running: BTreeMap::new(),
            head: String::new(),
            head_sequence: 0,
            landings: 0,
            usage: BTreeMap::new(),
            stopped: None,
            fault: None,
            recent: VecDeque::new(),
            plans: 0,
            was_due: false,
            ready: BTreeMap::new(),
            ready_keys: Vec::new(),
            merging: BTreeSet::new(),
            to_escalate: BTreeSet::new(),
            entries: Vec::new(),
            dirty: BTreeSet::new(),
        }
    }

    fn apply(&mut self, event: &PlannerEvent, time_ms: u64) {
        self.now_ms = time_ms;
        match &event.event {
            Some(Kind::Opened(spec)) => self.opened(spec),
            Some(Kind::PolicyChanged(policy)) => {
                self.set_policy(policy);
                self.stopped = None;
                self.say("goes on with other limits");
                self.touch_all();
            }
            Some(Kind::LedgerOpened(opened)) => self.ledger_policy = opened.policy,
            Some(Kind::Started(started)) => self.started(started),
            Some(Kind::Reported(report)) => self.reported(report),
            Some(Kind::Merged(outcome)) => self.merged(outcome),
            Some(Kind::HumanReplied(reply)) => self.human_replied(reply),
            Some(Kind::Escalated(escalated)) => self.escalate(&escalated.target, &escalated.question),
            Some(Kind::Extracted(extracted)) => {
                self.extraction = None;
                for note in &extracted.notes {
                    self.say(note);
                }
                let targets =
                    extracted.targets.iter().cloned().map(Target::try_from).collect::<Result<Vec<_>, _>>();
                match targets {
                    Ok(targets) => {
                        self.say(&format!("extraction found {} targets", targets.len()));
                        self.unwritten = Some(Arc::new(targets.clone()));
                        self.begin(targets);
                    }
                    Err(e) => self.fail(e.to_string(), 1),
                }
            }
            Some(Kind::TargetsWritten(_)) => self.unwritten = None,
            Some(Kind::Stopped(stopped)) => {
                self.say(&format!("stops: {}", stopped.reason));
                self.stopped = Some(stopped.clone());
            }
            None => {}
        }
        self.refresh();
        // A plan's key is new whenever planning becomes due, and again after each plan that leaves work.
        let due = self.plan_is_due();
        let planned = matches!(event.event, Some(Kind::Started(_) | Kind::Escalated(_) | Kind::Extracted(_)));
        if due && (planned || !self.was_due) {
            self.plans += 1;
        }
        self.was_due = due;
    }

    fn decide(&self, command: Command, now_ms: u64) -> Vec<PlannerEvent> {
        let kinds = match command {
            Command::Open(spec) => self.decide_open(*spec),
            Command::Report(report) => self.decide_report(*report, now_ms),
            Command::Merged(outcome) if self.awaits(&outcome) => vec![Kind::Merged(*outcome)],
            Command::Reply(reply) if self.is_escalated(&reply.escalation) => vec![Kind::HumanReplied(reply)],
            Command::Plan => self.plan(),
            Command::LedgerOpened(policy) if policy == self.policy_number && policy > self.ledger_policy => {
                vec![Kind::LedgerOpened(LedgerOpened { policy })]
            }
            Command::TargetsWritten if self.unwritten.is_some() => vec![Kind::TargetsWritten(true)],
            Command::Stop { kind, reason } if self.stopped.is_none() && self.finished().is_none() => {
                vec![Kind::Stopped(Stopped { kind: kind.to_owned(), reason })]
            }
            Command::Merged(_)
            | Command::Reply(_)
            | Command::LedgerOpened(_)
            | Command::TargetsWritten
            | Command::Stop { .. } => Vec::new(),
        };
        kinds.into_iter().map(|event| PlannerEvent { event: Some(event) }).collect()
    }

    fn effects(&self) -> Vec<(String, Effect)> {
        let Some(spec) = &self.spec else { return Vec::new() };
        let mut effects = Vec::new();
        if self.fault.is_some() {
            return effects;
        }
        if self.ledger_policy < self.policy_number {
            let number = self.policy_number;
            effects.push((
                format!("ledger/{number}"),
                Effect::OpenLedger { number, policy: self.policy.clone() },
            ));
        } else if self.stopped.is_none() {
            effects.push((format!("budget/{}", self.policy_number), Effect::WatchBudget));
            if self.policy.deadline_unix_ms > 0 {
                let at_ms = self.policy.deadline_unix_ms;
                effects.push((format!("deadline/{at_ms}"), Effect::Deadline { at_ms }));
            }
        }
        if let Some(targets) = &self.unwritten {
            effects.push(("targets".to_owned(), Effect::WriteTargets(targets.clone())));
        }
        for (attempt, running) in &self.running {
            // Sent also when its work is void by now: an agent that never heard of it could not report its end.
            effects.push((format!("start/{attempt}"), Effect::Start(running.task.clone())));
            if self.is_void(running) {
                effects.push((format!("revoke/{attempt}"), Effect::Revoke { attempt: attempt.clone() }));
            }
        }
        self.landing_effects(spec, &mut effects);
        if self.plan_is_due() {
            effects.push((format!("plan/{}", self.plans), Effect::Plan));
        }
        effects
    }

    /// Never: a reply or higher limits may make a run go on at any time, and its journal is one of a run's few.
    fn is_finished(&self) -> bool {
        false
    }
}

impl Planner {
    /// The commit that new attempts start from: the newest known.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// The blueprint as it stands.
    pub fn blueprint(&self) -> &Blueprint {
        &self.blueprint
    }

    /// What the run was opened with.
    pub fn spec(&self) -> Option<&RunSpec> {
        self.spec.as_deref()
    }

    pub(crate) fn track(&self, ix: TargetIx) -> &Track {
        &self.tracks[ix.index()]
    }

    pub(crate) fn track_mut(&mut self, ix: TargetIx) -> &mut Track {
        self.dirty.insert(ix);
        &mut self.tracks[ix.index()]
    }

    pub(crate) fn touch(&mut self, targets: impl IntoIterator<Item = TargetIx>) {
        self.dirty.extend(targets);
    }

    pub(crate) fn touch_all(&mut self) {
        self.dirty = self.blueprint.targets().map(|(ix, _)| ix).collect();
    }

    /// Adds a line to what people see of the run.
    pub(crate) fn say(&mut self, line: &str) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(line.lines().next().unwrap_or_default().chars().take(300).collect());
    }

    pub(crate) fn fail(&mut self, reason: String, exit_code: u8) {
        self.say(&reason);
        self.fault = Some(Fault { reason, exit_code });
    }

    /// True until there is something to plan with: targets, a place for them in the library, a ledger.
    pub(crate) fn is_starting(&self) -> bool {
        self.ledger_policy < self.policy_number
            || self.unwritten.is_some()
            || self.layouts.first().is_some_and(|layout| !layout.landed)
    }

    pub(crate) fn plan_is_due(&self) -> bool {
        if self.stopped.is_some() || self.fault.is_some() || self.ledger_policy < self.policy_number {
            return false;
        }
        let free = self.free_agents();
        match &self.extraction {
            Some(extraction) => extraction.is_complete() || (free > 0 && extraction.has_work()),
            None => !self.to_escalate.is_empty() || (free > 0 && !self.ready.is_empty()),
        }
    }

    pub(crate) fn free_agents(&self) -> usize {
        (self.policy.max_agents.max(1) as usize).saturating_sub(self.running.len())
    }

    fn decide_open(&self, spec: RunSpec) -> Vec<Kind> {
        match &self.spec {
            None => vec![Kind::Opened(spec)],
            Some(_) => match spec.policy {
                Some(policy) if policy != *self.policy => vec![Kind::PolicyChanged(policy)],
                _ => Vec::new(),
            },
        }
    }

    fn decide_report(&self, report: Report, now_ms: u64) -> Vec<Kind> {
        let Some(running) = self.running.get(&report.attempt) else {
            return Vec::new(); // told before, or not ours
        };
        let stop = match &report.result {
            // To void attempts the ledger grants nothing, which says nothing about the run's budget.
            Some(report::Result::OutOfBudget(reason)) if self.stopped.is_none() && !self.is_void(running) => {
                let past = self.policy.deadline_unix_ms > 0 && now_ms >= self.policy.deadline_unix_ms;
                let kind = if past { "deadline" } else { "budget" };
                Some(Kind::Stopped(Stopped { kind: kind.to_owned(), reason: reason.clone() }))
            }
            _ => None,
        };
        std::iter::once(Kind::Reported(report)).chain(stop).collect()
    }

    fn plan(&self) -> Vec<Kind> {
        if !self.plan_is_due() {
            return Vec::new();
        }
        if let Some(extraction) = &self.extraction {
            if extraction.is_complete() {
                let package = self.spec.as_ref().map(|spec| spec.package.as_str()).unwrap_or_default();
                return vec![Kind::Extracted(extraction.result(package))];
            }
            return extraction.starts(self.free_agents()).into_iter().map(Kind::Started).collect();
        }
        let mut events: Vec<Kind> = Vec::new();
        for &ix in &self.to_escalate {
            let target = self.blueprint.target(ix).id.to_string();
            events.push(Kind::Escalated(Escalated { target, question: self.standing_question(ix) }));
        }
        for &(ix, work) in self.ready.values().take(self.free_agents()) {
            let role = self.role_for(ix, work);
            let target = self.blueprint.target(ix).id.as_str();
            let number = self.track(ix).numbers[role.index()] + 1;
            events.push(Kind::Started(Started {
                attempt: format!("{target}.{role}.{number}"),
                role: role.to_string(),
                target: target.to_owned(),
                number,
                refute: work == Work::Prove && self.track(ix).refuting,
            }));
        }
        events
    }

    fn set_policy(&mut self, policy: &Policy) {
        self.policy = Arc::new(policy.clone());
        self.policy_number += 1;
    }

    fn opened(&mut self, spec: &RunSpec) {
        self.opened_ms = self.now_ms;
        self.set_policy(&spec.policy.clone().unwrap_or_default());
        self.head.clone_from(&spec.base_commit);
        self.spec = Some(Arc::new(spec.clone()));
        if spec.targets.is_empty() {
            self.say("looks for targets in the book");
            self.extraction = Some(Extraction::new(&spec.chapters, &self.policy));
            return;
        }
        match spec.targets.iter().cloned().map(Target::try_from).collect::<Result<Vec<_>, _>>() {
            Ok(targets) => self.begin(targets),
            Err(e) => self.fail(e.to_string(), 2),
        }
    }

    /// Takes up the run's targets and asks for the skeleton.
    fn begin(&mut self, targets: Vec<Target>) {
        if targets.is_empty() {
            return;
        }
        match Blueprint::new(targets.clone()) {
            Ok(blueprint) => self.blueprint = blueprint,
            Err(errors) => {
                let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
                return self.fail(words.join("\n"), 2);
            }
        }
        if let Some(circle) = skeleton::module_circle(&self.blueprint) {
            return self.fail(circle.to_string(), 2);
        }
        self.initial = Arc::new(targets);
        for (place, ix) in self.blueprint.in_dependency_order().into_iter().enumerate() {
            let track = Track { place: u32::try_from(place).unwrap_or(u32::MAX), ..Track::default() };
            if self.tracks.len() <= ix.index() {
                self.tracks.resize(ix.index() + 1, Track::default());
            }
            self.tracks[ix.index()] = track;
        }
        self.declarations =
            self.blueprint.targets().map(|(ix, target)| (target.declaration.clone(), ix)).collect();
        self.ready_keys = vec![None; self.blueprint.len()];
        for (ix, _) in self.blueprint.clone().targets() {
            self.refresh_entry(ix);
        }
        self.say(&format!("{} targets in the blueprint", self.blueprint.len()));
        self.layouts.push(Layout::skeleton());
        self.touch_all();
    }

    fn started(&mut self, started: &Started) {
        let Some(role) = Role::named(&started.role) else { return };
        let running = match self.blueprint.find(&started.target) {
            Some(ix) => {
                let task = Arc::new(self.task(ix, started));
                let track = self.track_mut(ix);
                track.numbers[role.index()] = started.number;
                track.running.insert(started.attempt.clone());
                match role {
                    Role::Prover | Role::Automation => track.authors += 1,
                    Role::MathematicalReviewer | Role::EngineeringReviewer => {
                        if let Some(front) = track.candidates.front_mut() {
                            front.stage = Stage::InReview;
                        }
                    }
                    Role::Fixer => {
                        if let Some(front) = track.candidates.front_mut() {
                            front.stage = Stage::Fixing;
                        }
                    }
                    _ => {}
                }
                let revision = track.revision;
                Running { role, number: started.number, subject: Subject::Target(ix), task, revision }
            }
            None => {
                let Some((run, policy)) =
                    self.extraction.as_ref().map(|_| (self.run.clone(), self.policy.clone()))
                else {
                    return;
                };
                let Some(extraction) = &mut self.extraction else { return };
                let Some((chunk, task)) = extraction.started(started, run.as_str(), &policy) else { return };
                let task = Arc::new(task);
                Running { role, number: started.number, subject: Subject::Chunk(chunk), task, revision: 0 }
            }
        };
        self.running.insert(started.attempt.clone(), running);
    }

    /// True of attempts whose work no one waits for any more.
    pub(crate) fn is_void(&self, running: &Running) -> bool {
        match running.subject {
            Subject::Target(ix) => {
                let settled = matches!(self.blueprint.standing(ix), Standing::Certified | Standing::Refuted);
                settled || running.revision != self.track(ix).revision
            }
            Subject::Chunk(_) => self.extraction.is_none(),
        }
    }

    fn is_escalated(&self, target: &str) -> bool {
        self.blueprint.find(target).is_some_and(|ix| self.track(ix).escalation.is_some())
    }

    pub(crate) fn escalate(&mut self, target: &str, question: &str) {
        let Some(ix) = self.blueprint.find(target) else { return };
        self.say(&format!("{target} asks: {question}"));
        self.track_mut(ix).escalation = Some(question.to_owned());
    }

    fn human_replied(&mut self, reply: &HumanReply) {
        let Some(ix) = self.blueprint.find(&reply.escalation) else { return };
        self.say(&format!("{} is answered: {}", reply.escalation, reply.text));
        self.forget_refuted(ix);
        self.retry_room(ix);
        let stated = self.blueprint.standing(ix) == Standing::Stated;
        let track = self.track_mut(ix);
        track.escalation = None;
        track.human_reply.clone_from(&reply.text);
        track.begin_anew();
        track.triages = 0;
        // What the answer means for the statement is triage's to judge; an unstated target just goes on.
        track.consult = stated;
    }

    /// Goes on without dependencies that were refuted.
    pub(crate) fn forget_refuted(&mut self, ix: TargetIx) {
        for edge in self.refuted_edges(ix) {
            self.blueprint.unlink(ix, edge);
        }
        self.dirty.insert(ix);
    }

    pub(crate) fn refuted_edges(&self, ix: TargetIx) -> Vec<TargetIx> {
        let edges = self.blueprint.statement_edges(ix).iter().chain(self.blueprint.proof_edges(ix));
        edges.copied().filter(|&edge| self.blueprint.standing(edge) == Standing::Refuted).collect()
    }

    fn refresh(&mut self) {
        for ix in std::mem::take(&mut self.dirty) {
            self.refresh_work(ix);
            self.refresh_entry(ix);
        }
    }

    /// The submission that a reviewer or fixer is to look at.
    pub(crate) fn subject_of(&self, ix: TargetIx) -> Option<Arc<Submission>> {
        self.track(ix).candidates.front().map(|candidate| candidate.submission.clone())
    }
}
