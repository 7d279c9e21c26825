//! What the effects of the product's machines do in the modelled world, stage by stage. Ids of letters and calls, and what the
//! ledger is told, come from the services.

use std::rc::Rc;
use std::sync::Arc;

use atlas_actor::Machine;
use atlas_agent_runner::Agent;
use atlas_agent_runner::command as agent;
use atlas_domain::ActorKind;
use atlas_merge_coordinator as merge;
use atlas_merge_coordinator::MergeQueue;
use atlas_planner::{self as planner, LedgerCommand, Planner};
use atlas_proto::letter::Letter as Written;
use atlas_proto::{BudgetRefused, Letter, MergeRequest, ModelAnswered, Record, Snapshot, Submission, Task};

use crate::clock::{MS, Micros, SECOND};
use crate::fact::Fact;
use crate::net::{ActorIx, Addr, Body, Net, Op, Queue};
use crate::run::Sabotage;
use crate::world::{self, Check};

/// How long the merge queue waits for a verdict.
const VERDICT_PATIENCE: Micros = 1800 * SECOND;

/// Computes what an effect comes to, in the end.
pub type End<C> = Box<dyn FnOnce(&mut Net) -> Option<C>>;

/// A stage of an effect.
pub enum Stage<C> {
    /// Ask the server; `None`: it was asked.
    Ask(Option<Op>),
    /// Right after an [`Stage::Ask`] of the ledger: what its refusal means.
    Denied(Box<dyn FnOnce(String) -> C>),
    /// Ask the ledger in this process.
    Local(Box<LedgerCommand>),
    /// Let time pass.
    Wait(Micros),
    /// A model call is made.
    Pay(u64),
    /// Change the world now; what that came to ends the effect after the stages that follow.
    Act(End<C>),
    /// It is done.
    End(Option<End<C>>),
    /// It does not end by itself.
    Never,
}

/// A machine whose effects the world is modelled for.
pub trait Modelled: Machine {
    /// A letter as a command; `None`: not for this kind of actor.
    fn read(letter: &Letter) -> Option<Self::Command>;

    /// What an effect does.
    fn stages(
        net: &mut Net,
        me: Addr,
        actor: ActorIx,
        key: &Rc<str>,
        effect: &Self::Effect,
    ) -> Vec<Stage<Self::Command>>;
}

fn end<C>(command: impl FnOnce(&mut Net) -> Option<C> + 'static) -> Stage<C> {
    Stage::End(Some(Box::new(command)))
}

fn send<C>(net: &Net, to: ActorIx, letter: Written, id: String) -> Stage<C> {
    let letter = Arc::new(Letter { letter: Some(letter) });
    let queue = Queue::Inbox(net.actors.place(to));
    Stage::Ask(Some(Op::Send { queue, body: Body::Letter(to, letter), id: id.into() }))
}

/// Asks the ledger, wherever it is served.
fn ledger<C>(command: LedgerCommand) -> Stage<C> {
    Stage::Ask(Some(Op::Ledger(Box::new(command))))
}

/// A record as a process of a newer version writes it.
pub fn written<M: Machine>(net: &Net, me: Addr, record: Arc<Record>) -> Arc<Record> {
    match net.newer[me.process] {
        0 => record,
        newer => Arc::new(Record { version: M::VERSION + newer, ..Record::clone(&record) }),
    }
}

/// A record as a process reads it: one of a version that it knows says what it says, one of a newer version stays foreign.
pub fn readable<M: Machine>(net: &Net, me: Addr, record: &Record) -> Record {
    let mut record = record.clone();
    if record.version <= M::VERSION + net.newer[me.process] {
        record.version = record.version.min(M::VERSION);
    }
    record
}

/// A snapshot as a process of a newer version writes it.
pub fn kept<M: Machine>(net: &Net, me: Addr, mut snapshot: Snapshot) -> Arc<Snapshot> {
    snapshot.version = M::VERSION + net.newer[me.process];
    if net.sabotaged(Sabotage::SnapshotCauses) {
        snapshot.causes.clear();
    }
    Arc::new(snapshot)
}

/// A snapshot as a process reads it: one of its own version says what it says, any other stays foreign.
pub fn recalled<M: Machine>(net: &Net, me: Addr, snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    let own = snapshot.version == M::VERSION + net.newer[me.process];
    snapshot.version = if own { M::VERSION } else { 0 };
    snapshot
}

impl Modelled for Planner {
    fn read(letter: &Letter) -> Option<planner::Command> {
        match letter.letter.clone()? {
            Written::RunSpec(spec) => Some(planner::Command::Open(Box::new(spec))),
            Written::Report(report) => Some(planner::Command::Report(Box::new(report))),
            Written::MergeOutcome(outcome) => Some(planner::Command::Merged(Box::new(outcome))),
            Written::HumanReply(reply) => Some(planner::Command::Reply(reply)),
            _ => None,
        }
    }

    fn stages(
        net: &mut Net,
        me: Addr,
        _: ActorIx,
        key: &Rc<str>,
        effect: &planner::Effect,
    ) -> Vec<Stage<planner::Command>> {
        use planner::{Command, Effect};
        let id = planner::letter_id(key);
        let mut submit = |request: MergeRequest| {
            let queue = net.actors.singleton(ActorKind::Merge);
            vec![send(net, queue, Written::MergeRequest(request), id.clone()), end(|_| None)]
        };
        let own = |id: &str, base: &str| MergeRequest {
            submission: Some(Submission {
                id: id.to_owned(),
                base_commit: base.to_owned(),
                ..Submission::default()
            }),
            ..MergeRequest::default()
        };
        match effect {
            Effect::Plan => vec![end(|_| Some(Command::Plan))],
            Effect::OpenLedger { number, policy } => {
                let number = *number;
                vec![
                    Stage::Local(Box::new(LedgerCommand::Limit(planner::limits(policy)))),
                    end(move |_| Some(Command::LedgerOpened(number))),
                ]
            }
            // Agents tell the planner of refusals too.
            Effect::WatchBudget => vec![Stage::Never],
            Effect::Deadline { at_ms } => {
                let after = at_ms.saturating_sub(net.now_ms(me.process)) * MS;
                let stop =
                    Command::Stop { kind: "deadline", reason: "the run's deadline has passed".to_owned() };
                vec![Stage::Wait(after), end(|_| Some(stop))]
            }
            Effect::Start(task) => {
                let agent = net.actors.of(ActorKind::Agent, &task.attempt);
                vec![send(net, agent, Written::Task(Task::clone(task)), id), end(|_| None)]
            }
            // A ledger that has forgotten it lets a void attempt go on; that costs, and breaks nothing.
            Effect::Revoke { .. } => vec![end(|_| None)],
            Effect::WriteTargets(_) => vec![end(|_| Some(Command::TargetsWritten))],
            Effect::Skeleton { id, spec, .. } => submit(own(id, &spec.base_commit)),
            Effect::MakeRoom { id, base_commit, .. } => submit(own(id, base_commit)),
            Effect::Merge(order) => submit(order.request()),
        }
    }
}

impl Modelled for Agent {
    fn read(letter: &Letter) -> Option<agent::Command> {
        match &letter.letter {
            Some(Written::Task(task)) => Some(agent::Command::Start(Box::new(task.clone()))),
            _ => None,
        }
    }

    fn stages(
        net: &mut Net,
        _: Addr,
        _: ActorIx,
        _: &Rc<str>,
        effect: &agent::Effect,
    ) -> Vec<Stage<agent::Command>> {
        use agent::{Command, Effect};
        let settle = |settlement: &Option<agent::Settlement>| {
            settlement.as_ref().map(|settlement| ledger(LedgerCommand::Settle(settlement.message())))
        };
        match effect {
            Effect::Prepare { task } => {
                let task = task.clone();
                vec![
                    Stage::Wait(net.chance.range(5 * MS, 50 * MS)),
                    end(move |net| {
                        Some(Command::Prepared(Box::new(world::prepared(&task, net.options.turns))))
                    }),
                ]
            }
            Effect::Automate { .. } => {
                vec![Stage::Wait(world::lean(net)), end(|_| Some(Command::Automated(world::automated())))]
            }
            Effect::CallModel(call) => {
                let (turn, task) = (call.turn, call.task.clone());
                let reserve = agent::reservation(&task, turn, world::call_usage());
                let refused = move |reason| Command::Refused(BudgetRefused { turn, reason });
                let latency = world::model(net);
                let mut stages: Vec<_> = settle(&call.settle).into_iter().collect();
                stages.extend([
                    ledger(LedgerCommand::Reserve(reserve)),
                    Stage::Denied(Box::new(refused)),
                    Stage::Pay(world::CALL_MICRODOLLARS),
                    Stage::Wait(latency),
                    end(move |net| {
                        let answer: ModelAnswered = world::answer(&task, turn, net.options.turns);
                        Some(Command::Answered(Box::new(answer)))
                    }),
                ]);
                stages
            }
            Effect::RunTools(work) => {
                let mut stages: Vec<_> = settle(&work.settle).into_iter().collect();
                let answered = world::worked(work);
                stages.extend([Stage::Wait(world::lean(net)), end(move |_| Some(Command::Worked(answered)))]);
                stages
            }
            Effect::SendReport { task, report, settle: settlement } => {
                let planner = net.actors.singleton(ActorKind::Plan);
                let mut stages: Vec<_> = settle(settlement).into_iter().collect();
                let report = Written::Report(report.as_ref().clone());
                stages.extend([
                    send(net, planner, report, agent::report_id(&task.attempt)),
                    end(|_| Some(Command::Reported)),
                ]);
                stages
            }
        }
    }
}

impl Modelled for MergeQueue {
    fn read(letter: &Letter) -> Option<merge::Command> {
        match letter.letter.clone()? {
            Written::MergeRequest(request) => Some(merge::Command::Request(request)),
            Written::CheckReply(reply) => Some(merge::Command::Checked(reply)),
            _ => None,
        }
    }

    fn stages(
        net: &mut Net,
        me: Addr,
        _: ActorIx,
        _: &Rc<str>,
        effect: &merge::Effect,
    ) -> Vec<Stage<merge::Command>> {
        use merge::{Command, Effect};
        let git = Stage::Wait(net.chance.range(2 * MS, 30 * MS));
        match effect {
            Effect::Open => {
                let window = (1, net.options.window());
                vec![git, end(move |_| Some(Command::Opened { package: "N".to_owned(), window }))]
            }
            Effect::Assemble { candidate, base, submissions } => {
                let (candidate, base, submissions) = (*candidate, base.clone(), submissions.clone());
                vec![git, end(move |net| Some(net.world.assemble(candidate, &base, &submissions)))]
            }
            Effect::Certify { id, key, attempt, tree, .. } => {
                let check = Check { id: id.clone(), tree: tree.clone() };
                let work = Op::Send {
                    queue: Queue::Certify,
                    body: Body::Check(Arc::new(check)),
                    id: merge::certification_id(id).into(),
                };
                let silent = Command::Silent {
                    key: key.clone(),
                    attempt: *attempt,
                    seconds: VERDICT_PATIENCE / SECOND,
                };
                vec![Stage::Ask(Some(work)), Stage::Wait(VERDICT_PATIENCE), end(|_| Some(silent))]
            }
            Effect::Land { candidate, head, submissions, assembly, .. } => {
                let (candidate, head, submissions, assembly) =
                    (*candidate, head.clone(), submissions.clone(), assembly.clone());
                // First git, then what agents read; then the queue is told.
                let publish = Stage::Wait(net.chance.range(5 * MS, 60 * MS));
                let moved = Stage::Act(Box::new(move |net: &mut Net| {
                    let (command, landed) = net.world.land(candidate, &head, &submissions, &assembly);
                    for submission in landed {
                        net.note(Fact::Landed { submission: &submission });
                    }
                    Some(command)
                }));
                vec![git, moved, publish]
            }
            Effect::Report { outcome } => {
                let planner = net.actors.singleton(ActorKind::Plan);
                let submission = outcome.submission.clone();
                let id = merge::outcome_id(&submission);
                let letter = Written::MergeOutcome(outcome.as_ref().clone());
                vec![send(net, planner, letter, id), end(|_| Some(Command::Reported { submission }))]
            }
            Effect::Wait { until_ms } => {
                let after = until_ms.saturating_sub(net.now_ms(me.process)) * MS;
                vec![Stage::Wait(after), end(|_| Some(Command::Waited))]
            }
            Effect::WatchPolicy { known: None } => {
                vec![end(|_| Some(Command::Policy(merge::Policy::default().message())))]
            }
            // The modelled Lean gives no receipts that could become stale.
            Effect::WatchPolicy { .. } | Effect::Survey { .. } | Effect::Keep { .. } => vec![Stage::Never],
        }
    }
}
