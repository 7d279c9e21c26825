//! Processes: planners with the ledger, merge coordinators, agent runners, verifiers. They die, stand still and start again.

use std::collections::BTreeMap;
use std::sync::Arc;

use atlas_agent_runner::Agent;
use atlas_domain::ActorKind;
use atlas_merge_coordinator::MergeQueue;
use atlas_planner::Planner;
use atlas_proto::Letter;
use atlas_proto::letter::Letter as Written;

use crate::clock::{Micros, SECOND};
use crate::desk::Desk;
use crate::host::Host;
use crate::net::{Addr, Body, Cont, Delivered, Event, Net, Op, Queue, Said, What};
use crate::world;

/// Certifications that a verifier does at once.
const SLOTS: usize = 4;
/// How often a process asks again for what it wants delivered: a server that starts again forgets.
const REOPEN: Micros = 5 * SECOND;
/// How often a verifier says that it is still at it.
const ALIVE: Micros = 20 * SECOND;
/// Pause before a certification is handed back whose verdict could not be sent.
const AGAIN: Micros = 5 * SECOND;

/// What a process does.
pub enum Role {
    /// Hosts the planner and serves the ledger.
    Planner(Box<Host<Planner>>, Box<Desk>),
    /// Hosts the merge queue.
    Merger(Box<Host<MergeQueue>>),
    /// Hosts agents.
    Runner(Box<Host<Agent>>),
    /// Certifies.
    Verifier(BTreeMap<u64, Work>),
    /// It is dead.
    Down,
}

/// A certification under way.
pub struct Work {
    delivered: Delivered,
    /// Its verdict is on the way.
    sent: bool,
}

/// A process.
pub struct Process {
    /// What it is when it lives.
    pub kind: Kind,
    /// What it does now.
    pub role: Role,
    /// Which of its lives.
    pub life: u32,
    /// It stands still; what reaches it waits.
    pub paused: bool,
    /// What has reached it meanwhile.
    pub waiting: Vec<Event>,
}

/// What a process is started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// See [`Role::Planner`].
    Planner,
    /// See [`Role::Merger`].
    Merger,
    /// See [`Role::Runner`].
    Runner,
    /// See [`Role::Verifier`].
    Verifier,
}

fn cont(what: What) -> Cont {
    Cont { partition: 0, tenure: 0, what }
}

impl Process {
    /// One that has not started.
    pub fn new(kind: Kind) -> Self {
        Self { kind, role: Role::Down, life: 0, paused: false, waiting: Vec::new() }
    }

    /// Starts it.
    pub fn start(&mut self, net: &mut Net, process: usize) -> Addr {
        self.life += 1;
        let me = Addr { process, life: self.life };
        self.role = match self.kind {
            Kind::Planner => Role::Planner(Box::new(Host::start(net, me, 1)), Box::default()),
            Kind::Merger => Role::Merger(Box::new(Host::start(net, me, 1))),
            Kind::Runner => Role::Runner(Box::new(Host::start(net, me, net.options.partitions))),
            Kind::Verifier => Role::Verifier(BTreeMap::new()),
        };
        let first = net.chance.range(0, SECOND);
        net.timer(me, first, cont(What::Nothing));
        me
    }

    /// Kills it.
    pub fn die(&mut self, net: &mut Net) {
        match &mut self.role {
            Role::Planner(host, _) => host.die(net),
            Role::Merger(host) => host.die(net),
            Role::Runner(host) => host.die(net),
            Role::Verifier(_) | Role::Down => {}
        }
        self.role = Role::Down;
        self.paused = false;
        self.waiting.clear();
    }

    /// Something reaches it.
    pub fn handle(&mut self, net: &mut Net, me: Addr, event: Event) {
        match event {
            Event::Tell { cont: Cont { what: What::Nothing, .. }, said: Said::Tick, .. } => {
                self.beat(net, me)
            }
            Event::Tell { cont, said, .. } => match &mut self.role {
                Role::Planner(_, desk) if matches!(cont.what, What::Desk) => desk.tell(net, me, said),
                Role::Planner(host, _) => host.tell(net, me, cont, said),
                Role::Merger(host) => host.tell(net, me, cont, said),
                Role::Runner(host) => host.tell(net, me, cont, said),
                Role::Verifier(_) => self.verified(net, me, &cont, &said),
                Role::Down => {}
            },
            Event::Push { tenure, delivered, .. } => match &mut self.role {
                Role::Planner(host, _) => host.push(net, me, tenure, *delivered),
                Role::Merger(host) => host.push(net, me, tenure, *delivered),
                Role::Runner(host) => host.push(net, me, tenure, *delivered),
                Role::Verifier(_) => self.verify(net, me, *delivered),
                Role::Down => {}
            },
            Event::Asked { command, asker, cont, until, .. } => {
                if let Role::Planner(_, desk) = &mut self.role {
                    desk.ask(net, me, *command, (asker, cont), until);
                }
            }
            Event::Heard { place: (kind, partition), entry, .. } => match &mut self.role {
                Role::Planner(host, _) if kind == ActorKind::Plan => host.heard(net, me, partition, entry),
                Role::Merger(host) if kind == ActorKind::Merge => host.heard(net, me, partition, entry),
                Role::Runner(host) if kind == ActorKind::Agent => host.heard(net, me, partition, entry),
                _ => {}
            },
            Event::Sought { kind: ActorKind::Agent, by, of, .. } => {
                if let Role::Runner(host) = &mut self.role {
                    host.sought(net, me, by, &of);
                }
            }
            _ => {}
        }
    }

    fn beat(&mut self, net: &mut Net, me: Addr) {
        match &mut self.role {
            Role::Planner(host, _) => host.reopen(net, me),
            Role::Merger(host) => host.reopen(net, me),
            Role::Runner(host) => host.reopen(net, me),
            Role::Verifier(work) => pull(net, me, work.len()),
            Role::Down => return,
        }
        net.timer(me, REOPEN, cont(What::Nothing));
    }

    fn verify(&mut self, net: &mut Net, me: Addr, delivered: Delivered) {
        let Role::Verifier(work) = &mut self.role else { return };
        if work.len() >= SLOTS || work.contains_key(&delivered.number) {
            return;
        }
        let number = delivered.number;
        work.insert(number, Work { delivered, sent: false });
        let after = world::certification(net);
        net.timer(me, after, Cont { partition: 1, ..cont(What::Verify(number)) });
        net.timer(me, ALIVE, Cont { partition: 2, ..cont(What::Verify(number)) });
    }

    /// Partition 1: Lean is done. 2: a sign of life is due. 0: the verdict was sent, or not.
    fn verified(&mut self, net: &mut Net, me: Addr, at: &Cont, said: &Said) {
        let Role::Verifier(work) = &mut self.role else { return };
        let What::Verify(number) = at.what else { return };
        let Some(one) = work.get_mut(&number) else { return };
        let queue = Queue::Certify;
        match (at.partition, said) {
            (1, _) => {
                let Body::Check(check) = &one.delivered.body else { return };
                one.sent = true;
                let merge = net.actors.singleton(ActorKind::Merge);
                let letter = Arc::new(Letter { letter: Some(Written::CheckReply(net.world.check(check))) });
                let id = atlas_merge_coordinator::certification_id(&check.id).into();
                let queue = Queue::Inbox(net.actors.place(merge));
                net.ask(
                    me,
                    Op::Send { queue, body: Body::Letter(merge, letter), id },
                    cont(What::Verify(number)),
                );
            }
            (2, _) => {
                net.ask(me, Op::Alive { queue, number }, cont(What::Nothing));
                net.timer(me, ALIVE, Cont { partition: 2, ..cont(What::Verify(number)) });
            }
            // The verdict is with the merge queue before its work is acknowledged.
            (_, Said::Stored(_)) if one.sent => {
                net.ask(me, Op::Ack { queue, number }, cont(What::Nothing));
                work.remove(&number);
                pull(net, me, work.len());
            }
            _ => {
                net.ask(me, Op::Nak { queue, number, pause: AGAIN }, cont(What::Nothing));
                work.remove(&number);
                pull(net, me, work.len());
            }
        }
    }

    /// What waits here, for people.
    pub fn waits(&self, net: &Net) -> String {
        match &self.role {
            Role::Planner(host, _) => host.waits(net),
            Role::Merger(host) => host.waits(net),
            Role::Runner(host) => host.waits(net),
            Role::Verifier(work) => format!("\n{} certifications", work.len()),
            Role::Down => "\ndown".to_owned(),
        }
    }

    /// The planner, where it lives.
    pub fn planner(&self) -> Option<&Planner> {
        match &self.role {
            Role::Planner(host, _) => host.machines().next(),
            _ => None,
        }
    }
}

fn pull(net: &mut Net, me: Addr, busy: usize) {
    net.ask(me, Op::Pull { slots: SLOTS.saturating_sub(busy) }, cont(What::Nothing));
}
