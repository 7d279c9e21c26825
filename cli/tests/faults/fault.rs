//! What goes wrong, and when.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_testkit::Wire;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::now_ms;
use crate::options::Options;
use crate::stage::{NODES, SMALL, Stage};

/// Longer than a lease lives.
const PAST_THE_LEASE: Duration = Duration::from_secs(12);
/// A moment: nobody loses a lease.
const SHORT: Duration = Duration::from_secs(3);
/// Long enough for a raft group to choose another leader.
const ELECTION: Duration = Duration::from_secs(6);
/// Faults at once: one of the nodes, the others of services.
const AT_ONCE: usize = 3;
/// A run at work writes so many records between one fault and the next, ...
const RECORDS: usize = 8;
/// ... or has come to nothing for so long.
const STILL: Duration = Duration::from_secs(4);
/// A lease may be lost so long after a fault that shortened it.
const GRACE: Duration = Duration::from_secs(15);
/// How long copies of streams may take to be whole again after a fault.
const WHOLE: Duration = Duration::from_secs(120);

/// Where faults of nodes happen, of which there is one at a time.
const NODE: &str = "a node";

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// `kill -9` of a process and its workers; started again at once.
    ServiceKilled,
    /// It stands still for longer than a lease lives, and wakes up.
    ServiceStopped,
    /// Its connections break, and no new ones come about for a moment.
    ServiceCut,
    /// Nothing passes between it and the servers for longer than a lease lives.
    ServiceSilent,
    /// It is heard and hears nothing for longer than a lease lives.
    ServiceDeaf,
    /// Each message takes 200 ms each way.
    ServiceSlow,
    /// 4 KiB/s pass: a consumer that does not keep up.
    SlowConsumer,
    /// `kill -9`, and its wall clock is ten minutes off afterwards.
    ClockApart,
    /// `kill -9` of a nats-server.
    NodeKilled,
    /// A nats-server stands still.
    NodeStopped,
    /// A nats-server is cut off from all others and from the services.
    NodeCut,
    /// From the other servers only: services that it serves stay with it.
    NodeIsolated,
    /// Leaders of all streams step down.
    LeadersMoved,
    /// A nats-server's disk is full; it is started again when there is room.
    DiskFull,
    /// A nats-server loses all that it has stored, and is caught up by the others.
    DiskWiped,
    /// Two nats-servers are killed: there is no quorum.
    QuorumLost,
    /// All nats-servers are killed.
    ClusterKilled,
}

pub const OF_SERVICES: [Kind; 8] = [
    Kind::ServiceKilled,
    Kind::ServiceStopped,
    Kind::ServiceCut,
    Kind::ServiceSilent,
    Kind::ServiceDeaf,
    Kind::ServiceSlow,
    Kind::SlowConsumer,
    Kind::ClockApart,
];

const OF_NODES: [Kind; 9] = [
    Kind::NodeKilled,
    Kind::NodeStopped,
    Kind::NodeCut,
    Kind::NodeIsolated,
    Kind::LeadersMoved,
    Kind::DiskFull,
    Kind::DiskWiped,
    Kind::QuorumLost,
    Kind::ClusterKilled,
];

impl Kind {
    /// By its name.
    pub fn named(name: &str) -> Self {
        let all = OF_SERVICES.into_iter().chain(OF_NODES);
        let named = all.clone().find(|kind| kind.to_string() == name);
        named.unwrap_or_else(|| {
            panic!("no fault `{name}`; there are {:?}", all.map(|k| k.to_string()).collect::<Vec<_>>())
        })
    }

    fn is_of_nodes(self) -> bool {
        OF_NODES.contains(&self)
    }

    /// Whether calls may be under way on a host that this takes its leases from.
    pub fn interrupts(self) -> bool {
        !matches!(self, Self::LeadersMoved | Self::ServiceCut | Self::ServiceSlow)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = serde_json::to_value(self).unwrap();
        f.pad(name.as_str().unwrap())
    }
}

/// A fault that has happened.
#[derive(Debug, Clone, Serialize)]
pub struct Happened {
    pub kind: Kind,
    pub victim: String,
    /// Unix time.
    pub from_ms: u64,
    pub to_ms: u64,
    /// The longest time meanwhile in which nothing was written.
    pub silence_ms: u64,
    #[serde(skip)]
    span: (Instant, Instant),
    /// The journals' stream when it began, and when all that it can have interrupted had to be found out.
    #[serde(skip)]
    pub records: (u64, u64),
}

/// All faults of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Storm {
    pub seed: u64,
    pub happened: Vec<Happened>,
    /// By process, what it said each time that it ended by itself and was started again.
    pub failures: Vec<(String, Vec<String>)>,
    pub versions: Vec<String>,
    pub older: bool,
    /// Milliseconds that each node took to give a journal afterwards.
    pub reads_ms: Vec<Option<u64>>,
}

impl Storm {
    /// Has faults happen to a run at work until there were enough of them or it has ended; all is whole again then.
    pub async fn over(stage: &Arc<Stage>, options: &Options) -> Self {
        println!("ATLAS_TEST_SEED={}", options.seed);
        let mut chance = StdRng::seed_from_u64(options.seed);
        let (mut deck, mut started, mut happened) = (vec![], 0, Vec::<Happened>::new());
        let mut busy = BTreeSet::new();
        let mut under_way = JoinSet::new();
        loop {
            while started < options.faults && under_way.len() < AT_ONCE && !stage.services[0].has_ended() {
                if deck.is_empty() {
                    deck = kinds(stage, options);
                    deck.shuffle(&mut chance);
                }
                let free = |kind: &Kind| !kind.is_of_nodes() || !busy.contains(NODE);
                let Some(at) = deck.iter().rposition(free) else { break };
                let kind = deck.remove(at);
                let victim = victim(stage, kind, &busy, &mut chance);
                busy.insert(place(kind, &victim));
                let seen = stage.observer.count();
                under_way.spawn(happen(Arc::clone(stage), kind, victim));
                started += 1;
                // The run goes on a little before the next.
                let _ = timeout(STILL, stage.observer.reach(seen + RECORDS)).await;
            }
            let Some(ended) = under_way.join_next().await else { break };
            let one = ended.unwrap();
            busy.remove(&place(one.kind, &one.victim));
            let seconds = (one.to_ms - one.from_ms) as f64 / 1e3;
            println!("{:3} {:15} {:16} {seconds:5.1} s", happened.len() + 1, one.kind, one.victim);
            happened.push(one);
        }
        timeout(WHOLE, stage.is_whole()).await.expect("all copies of all streams are whole again");
        // The first record after the last fault ends its silence.
        if !stage.services[0].has_ended() {
            let _ = timeout(WHOLE, stage.observer.reach(stage.observer.count() + 1)).await;
        }
        for one in &mut happened {
            one.records =
                (stage.observer.written(one.span.0).0, stage.observer.written(one.span.1 + GRACE).1);
            let silence = stage.observer.silence(one.span.0, one.span.1);
            one.silence_ms = u64::try_from(silence.as_millis()).unwrap();
        }
        let failures = stage.services.iter().map(|service| (service.name.to_owned(), service.failures()));
        Self {
            seed: options.seed,
            happened,
            failures: failures.collect(),
            versions: stage.versions.clone(),
            older: stage.older,
            reads_ms: stage.reads().await,
        }
    }
}

fn kinds(stage: &Stage, options: &Options) -> Vec<Kind> {
    let all = OF_SERVICES.into_iter().chain(OF_NODES);
    let wanted = |kind: &Kind| options.only.is_empty() || options.only.contains(kind);
    let can = |kind: &Kind| match kind {
        Kind::DiskFull => stage.disk.is_some(),
        Kind::ClockApart => stage.clocks,
        _ => true,
    };
    all.filter(wanted).filter(can).collect()
}

/// What cannot be hit by two faults at once: all nodes together, and each service.
fn place(kind: Kind, victim: &str) -> String {
    if kind.is_of_nodes() { NODE.to_owned() } else { victim.to_owned() }
}

fn victim(stage: &Stage, kind: Kind, busy: &BTreeSet<String>, chance: &mut StdRng) -> String {
    if kind == Kind::DiskFull {
        return format!("n{SMALL}");
    }
    if kind.is_of_nodes() {
        return format!("n{}", chance.random_range(0..NODES));
    }
    let free: Vec<&str> =
        stage.services.iter().map(|service| service.name).filter(|name| !busy.contains(*name)).collect();
    (*free.choose(chance).unwrap()).to_owned()
}

async fn happen(stage: Arc<Stage>, kind: Kind, victim: String) -> Happened {
    let (from, from_ms) = (Instant::now(), now_ms());
    match victim.strip_prefix('n').and_then(|number| number.parse().ok()) {
        Some(node) => to_node(&stage, kind, node).await,
        None => to_service(&stage, kind, &victim).await,
    }
    let span = (from, Instant::now());
    Happened { kind, victim, from_ms, to_ms: now_ms(), silence_ms: 0, span, records: (0, u64::MAX) }
}

async fn to_service(stage: &Stage, kind: Kind, name: &str) {
    let service = stage.services.iter().find(|service| service.name == name).unwrap();
    let wire = async |wire, span| {
        service.set_wires(wire);
        sleep(span).await;
        service.set_wires(Wire::Whole);
    };
    match kind {
        Kind::ServiceKilled => drop(service.signal(Signal::SIGKILL)),
        Kind::ClockApart => {
            service.turn_clock();
            service.signal(Signal::SIGKILL);
        }
        Kind::ServiceStopped => {
            service.signal(Signal::SIGSTOP);
            sleep(PAST_THE_LEASE).await;
            service.signal(Signal::SIGCONT);
        }
        Kind::ServiceCut => wire(Wire::Cut, SHORT).await,
        Kind::ServiceSilent => wire(Wire::Silent, PAST_THE_LEASE).await,
        Kind::ServiceDeaf => wire(Wire::Deaf, PAST_THE_LEASE).await,
        Kind::ServiceSlow => wire(Wire::Slow(Duration::from_millis(200)), ELECTION).await,
        Kind::SlowConsumer => wire(Wire::Narrow(4 << 10), ELECTION).await,
        _ => unreachable!("{kind} is no fault of a service"),
    }
}

async fn to_node(stage: &Stage, kind: Kind, node: usize) {
    match kind {
        Kind::NodeKilled => {
            stage.cluster.lock().await.kill_node(node).await;
            sleep(SHORT).await;
            stage.cluster.lock().await.start_node(node).await.unwrap();
        }
        Kind::NodeStopped => {
            let pid = Pid::from_raw(stage.cluster.lock().await.pid(node).unwrap().cast_signed());
            kill(pid, Signal::SIGSTOP).unwrap();
            sleep(PAST_THE_LEASE).await;
            kill(pid, Signal::SIGCONT).unwrap();
        }
        Kind::NodeCut => {
            stage.set_routes(node, Wire::Silent);
            stage.set_clients(node, Wire::Silent);
            sleep(PAST_THE_LEASE).await;
            stage.set_routes(node, Wire::Whole);
            stage.set_clients(node, Wire::Whole);
        }
        Kind::NodeIsolated => {
            stage.set_routes(node, Wire::Cut);
            sleep(PAST_THE_LEASE).await;
            stage.set_routes(node, Wire::Whole);
        }
        Kind::LeadersMoved => {
            for stream in stage.console.streams().await.unwrap_or_default() {
                // Where no other node could lead, nothing moves.
                let _ = stage.console.step_down(&stream).await;
            }
        }
        Kind::DiskFull => {
            let disk = stage.disk.as_ref().unwrap();
            disk.fill().unwrap();
            sleep(ELECTION).await;
            stage.cluster.lock().await.kill_node(node).await;
            disk.free().unwrap();
            stage.cluster.lock().await.start_node(node).await.unwrap();
        }
        Kind::DiskWiped => {
            let mut cluster = stage.cluster.lock().await;
            cluster.kill_node(node).await;
            empty(&cluster.dir(node).join("jetstream"));
            cluster.start_node(node).await.unwrap();
        }
        Kind::QuorumLost => down(stage, &[node, (node + 1) % NODES]).await,
        Kind::ClusterKilled => down(stage, &[0, 1, 2]).await,
        _ => unreachable!("{kind} is no fault of a node"),
    }
    // The next fault of a node must not meet a copy that is not whole: that would be two at once.
    timeout(WHOLE, stage.is_whole()).await.unwrap_or_else(|_| panic!("not whole after {kind} of n{node}"));
}

async fn down(stage: &Stage, nodes: &[usize]) {
    let mut cluster = stage.cluster.lock().await;
    for &node in nodes {
        cluster.kill_node(node).await;
    }
    sleep(SHORT).await;
    for &node in nodes {
        cluster.start_node(node).await.unwrap();
    }
}

/// Takes away what is in a folder, and not the folder: it may be where a disk is.
fn empty(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
    }
}
