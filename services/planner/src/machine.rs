//! The planner's state and how events change it. No I/O: `host.rs` runs what `effects` asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use atlas_actor::{Machine, Part, Wanted, snapshot};
use atlas_domain::{ActorId, ActorKind, Blueprint, RunId, Standing, Target, TargetIx, TargetState, Usage};
use atlas_proto::planner_event::Event as Kind;
use atlas_proto::{
    HumanReply, LedgerOpened, PlannerEvent, Policy, Report, RunSpec, Stopped, Submission, Task, report,
};
use serde::{Deserialize, Serialize};

use crate::command::{Command, Effect};
use crate::extraction::Extraction;
use crate::landing::Layout;
use crate::role::Role;
use crate::status::TargetStatus;
use crate::tally::Tally;
use crate::track::Track;
use crate::work::{ReadyKey, Work};

/// Lines of [`crate::Status::recent`].
const RECENT: usize = 20;

/// An attempt at work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub role: Role,
    pub number: u32,
    pub subject: Subject,
    pub task: Arc<Task>,
    /// The target's revision that it works on.
    pub revision: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Subject {
    Target(TargetIx),
    /// A piece of the book, by its place among them.
    Chunk(usize),
}

/// Why the run cannot go on at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub reason: String,
    pub exit_code: u8,
}

/// The planner of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planner {
    pub(crate) run: RunId,
    pub(crate) spec: Option<Arc<RunSpec>>,
    pub(crate) policy: Arc<Policy>,
    /// Counts policies; the ledger has taken up those up to `ledger_policy`.
    pub(crate) policy_number: u32,
    pub(crate) ledger_policy: u32,
    pub(crate) opened_ms: u64,
    pub(crate) now_ms: u64,
    pub(crate) blueprint: Blueprint,
    pub(crate) tracks: Vec<Track>,
    #[serde(skip)]
    pub(crate) declarations: HashMap<String, TargetIx>,
    pub(crate) extraction: Option<Extraction>,
    /// The targets were extracted and are not written to their file yet.
    pub(crate) unwritten: bool,
    /// As the run began.
    #[serde(with = "wire")]
    pub(crate) initial: Arc<Vec<Target>>,
    pub(crate) layouts: Vec<Layout>,
    pub(crate) running: BTreeMap<String, Running>,
    /// Of these, those at pieces of the book; those at targets are in their tracks.
    #[serde(skip)]
    pub(crate) readers: BTreeSet<String>,
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
    #[serde(skip)]
    pub(crate) ready: BTreeMap<ReadyKey, (TargetIx, Work)>,
    #[serde(skip)]
    pub(crate) ready_keys: Vec<Option<ReadyKey>>,
    #[serde(skip)]
    pub(crate) merging: BTreeSet<TargetIx>,
    #[serde(skip)]
    pub(crate) to_escalate: BTreeSet<TargetIx>,
    #[serde(skip)]
    pub(crate) entries: Vec<Arc<TargetStatus>>,
    #[serde(skip)]
    pub(crate) tally: Tally,
    #[serde(skip)]
    dirty: BTreeSet<TargetIx>,
    /// See [`Machine::stirred`].
    #[serde(skip)]
    stirred: BTreeSet<TargetIx>,
}

/// The part of the run as a whole: limits, layouts, planning, attempts at pieces of the book. Each target is a part too.
const RUN: Part = 0;

fn part_of(ix: TargetIx) -> Part {
    // There are fewer targets than u32::MAX: their indices are of that type.
    ix.index() as Part + 1
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
            unwritten: false,
            initial: Arc::default(),
            layouts: Vec::new(),
            running: BTreeMap::new(),
            readers: BTreeSet::new(),
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
            tally: Tally::default(),
            dirty: BTreeSet::new(),
            stirred: BTreeSet::new(),
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
                        self.unwritten = true;
                        self.begin(targets);
                    }
                    Err(e) => self.fail(e.to_string(), 1),
                }
            }
            Some(Kind::TargetsWritten(_)) => self.unwritten = false,
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
            Command::Merged(outcome) if self.awaits(&outcome) || self.is_news(&outcome) => {
                vec![Kind::Merged(*outcome)]
            }
            Command::Reply(reply) if self.is_escalated(&reply.escalation) => vec![Kind::HumanReplied(reply)],
            Command::Plan => self.plan(),
            Command::LedgerOpened(policy) if policy == self.policy_number && policy > self.ledger_policy => {
                vec![Kind::LedgerOpened(LedgerOpened { policy })]
            }
            Command::TargetsWritten if self.unwritten => vec![Kind::TargetsWritten(true)],
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
        let mut effects = self.run_effects();
        for (ix, _) in self.blueprint.targets() {
            self.target_effects(ix, &mut effects);
        }
        effects
    }

    fn stirred(&mut self) -> Vec<(Part, Wanted<Effect>)> {
        let targets = std::mem::take(&mut self.stirred).into_iter().map(|ix| {
            let mut effects = Vec::new();
            self.target_effects(ix, &mut effects);
            (part_of(ix), effects)
        });
        std::iter::once((RUN, self.run_effects())).chain(targets).collect()
    }

    const SNAPSHOT: Option<u32> = Some(2);

    fn snapshot(&self) -> Option<Vec<u8>> {
        snapshot::encode(self)
    }

    fn restore(state: &[u8]) -> Result<Self, String> {
        snapshot::decode(state).map(Self::indexed)
    }

    /// Never: a reply or higher limits may make a run go on at any time, and its journal is one of a run's few.
    fn is_finished(&self) -> bool {
        false
    }
}

impl Planner {
    /// Builds the indices anew, which snapshots leave out.
    fn indexed(mut self) -> Self {
        let declared = self.blueprint.targets().map(|(ix, target)| (target.declaration.clone(), ix));
        self.declarations = declared.collect();
        for (attempt, running) in &self.running {
            self.tally.began(running.role);
            if matches!(running.subject, Subject::Chunk(_)) {
                self.readers.insert(attempt.clone());
            }
        }
        let targets: BTreeSet<TargetIx> = self.blueprint.targets().map(|(ix, _)| ix).collect();
        // A run whose targets made no library has none that is followed.
        self.ready_keys = vec![None; self.tracks.len()];
        for &ix in targets.iter().take(self.tracks.len()) {
            self.index_work(ix, self.work(ix));
            self.refresh_entry(ix);
        }
        self.stirred = targets;
        self
    }

    /// What the run as a whole waits for.
    fn run_effects(&self) -> Vec<(String, Effect)> {
        let mut effects = Vec::new();
        let Some(spec) = self.spec.as_ref().filter(|_| self.fault.is_none()) else { return effects };
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
        if self.unwritten {
            effects.push(("targets".to_owned(), Effect::WriteTargets(self.initial.clone())));
        }
        self.attempt_effects(&self.readers, &mut effects);
        self.layout_effects(spec, &mut effects);
        if self.plan_is_due() {
            effects.push((format!("plan/{}", self.plans), Effect::Plan));
        }
        effects
    }

    /// What a target waits for.
    fn target_effects(&self, ix: TargetIx, effects: &mut Vec<(String, Effect)>) {
        if self.fault.is_some() {
            return;
        }
        self.attempt_effects(&self.track(ix).running, effects);
        self.merge_effect(ix, effects);
    }

    fn attempt_effects(&self, attempts: &BTreeSet<String>, effects: &mut Vec<(String, Effect)>) {
        for attempt in attempts {
            let Some(running) = self.running.get(attempt) else { continue };
            // Sent also when its work is void by now: an agent that never heard of it could not report its end.
            effects.push((format!("start/{attempt}"), Effect::Start(running.task.clone())));
            if self.is_void(running) {
                effects.push((format!("revoke/{attempt}"), Effect::Revoke { attempt: attempt.clone() }));
            }
        }
    }

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
        // Nobody waits for anything any more.
        self.stirred.extend(self.blueprint.targets().map(|(ix, _)| ix));
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
            let touched = self.blueprint.unlink(ix, edge);
            self.touch(touched);
        }
        self.dirty.insert(ix);
    }

    pub(crate) fn refuted_edges(&self, ix: TargetIx) -> Vec<TargetIx> {
        let edges = self.blueprint.statement_edges(ix).iter().chain(self.blueprint.proof_edges(ix));
        edges.copied().filter(|&edge| self.blueprint.standing(edge) == Standing::Refuted).collect()
    }

    fn refresh(&mut self) {
        for ix in std::mem::take(&mut self.dirty) {
            self.stirred.insert(ix);
            self.refresh_work(ix);
            let before = self.entries.get(ix.index()).map(|entry| entry.state);
            self.refresh_entry(ix);
            // Nothing landed for it: the last of what it rests on has been certified.
            if before == Some(TargetState::Proved) && self.state(ix) == TargetState::Certified {
                let label = self.blueprint.target(ix).id.clone();
                self.say(&format!("{label} is certified: all that it rests on is"));
            }
        }
    }

    /// The submission that a reviewer or fixer is to look at.
    pub(crate) fn subject_of(&self, ix: TargetIx) -> Option<Arc<Submission>> {
        self.track(ix).candidates.front().map(|candidate| candidate.submission.clone())
    }
}

/// Targets as messages: their own form leaves out what is empty, which snapshots cannot.
mod wire {
    use std::sync::Arc;

    use atlas_domain::Target;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(targets: &[Target], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(targets.iter().map(atlas_proto::Target::from))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Vec<Target>>, D::Error> {
        let messages = Vec::<atlas_proto::Target>::deserialize(deserializer)?;
        let targets: Result<Vec<_>, _> = messages.into_iter().map(Target::try_from).collect();
        targets.map(Arc::new).map_err(D::Error::custom)
    }
}
