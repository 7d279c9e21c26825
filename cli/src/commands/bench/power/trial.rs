//! One power failure: servers on disks that forget, writers until it happens, and what is there afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use atlas_bus::{
    Bus, Cluster, ClusterOptions, Error, Options, Server, ServerError, ServerOptions, Spec, SyncMode,
};
use atlas_disk::{LossyDisk, Names, Traffic};
use atlas_domain::{ActorId, ActorKind, RunId};
use atlas_proto::Record;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{Setting, fault};
use crate::args::{BenchFails, BenchNames, BenchPowerArgs, BenchSync};
use crate::attach::nats_server;
use crate::failure::{Failure, Result};
use crate::print;

/// Bytes of a record's event.
pub(super) const EVENT: usize = 256;
/// How long copies may take to be whole again.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between looks whether they are.
const LOOK: Duration = Duration::from_millis(100);

/// What one power failure did.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Failed {
    pub acknowledged: u64,
    pub lost: u64,
    /// Of the lost ones, those after which another of the same journal survived.
    pub holes: u64,
    /// Records that survived though nobody had been told of them, or in another form.
    pub unasked: u64,
    /// From the acknowledgement of the oldest that is lost to the failure.
    pub window: Duration,
    /// From the first append to the failure, and how many were acknowledged in that time.
    pub took: Duration,
    pub before: u64,
    /// Files and folders that the servers synced in that time.
    pub syncs: u64,
    pub folder_syncs: u64,
}

/// Acknowledged records of one journal: its sequence in the stream, and when that was known.
type Acknowledged = Arc<Mutex<Vec<(u64, Instant)>>>;

/// Has the power fail once, on new disks.
pub(super) async fn failure(args: &BenchPowerArgs, setting: Setting) -> Result<Failed> {
    let folder = tempfile::tempdir().map_err(fault)?;
    let mut machines = Machines::start(args, setting, folder.path()).await?;
    let bus = Bus::connect(&machines.options()?).await.map_err(fault)?;
    let copies = if setting.fails == BenchFails::Alone { 1 } else { 3 };
    bus.ensure_spec(&Spec { replicas: copies, ..Spec::new(4) }).await.map_err(fault)?;
    whole(&bus).await?;

    let (begun, idle) = (Instant::now(), machines.traffic());
    let run = RunId::new("power").map_err(fault)?;
    let mut journals: Vec<(ActorId, Acknowledged)> = vec![];
    let mut writers = JoinSet::new();
    for number in 0..args.writers {
        let actor = ActorId { run: run.clone(), kind: ActorKind::Agent, id: format!("writer-{number}") };
        let acknowledged = Acknowledged::default();
        journals.push((actor.clone(), Arc::clone(&acknowledged)));
        writers.spawn(write(bus.clone(), actor, acknowledged));
    }
    tokio::time::sleep(args.time.get()).await;
    let leader = match setting.fails {
        BenchFails::Leader => Some(leader(&bus).await?),
        BenchFails::Alone | BenchFails::All => None,
    };
    // Writers go on until there is nobody to write to.
    machines.kill(leader).await;
    let failed = Instant::now();
    let busy = machines.traffic();
    let mut found = Failed {
        took: failed - begun,
        syncs: busy.syncs - idle.syncs,
        folder_syncs: busy.folder_syncs - idle.folder_syncs,
        ..Failed::default()
    };
    if leader.is_none() {
        writers.shutdown().await;
    }
    let back = machines.power_fails_and_is_back(leader).await?;
    let bus = match back {
        Ok(()) if leader.is_some() => bus,
        Ok(()) => Bus::connect(&machines.options()?).await.map_err(fault)?,
        // Servers that do not come back have nothing.
        Err(error) => {
            print::error_line(error.to_string());
            journals.iter().for_each(|(actor, known)| found.count(actor, &known.lock(), &[], failed));
            return Ok(found);
        }
    };
    if leader.is_some() {
        whole(&bus).await?;
        writers.shutdown().await;
    } else if prepared(&bus, copies).await {
        whole(&bus).await?;
    }
    for (actor, acknowledged) in &journals {
        let survived = bus.records(actor).await.unwrap_or_else(|error| {
            print::error_line(format!("{actor}: {error}"));
            vec![]
        });
        found.count(actor, &acknowledged.lock(), &survived, failed);
    }
    machines.kill(None).await;
    Ok(found)
}

/// Waits until all copies are there.
async fn whole(bus: &Bus) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !bus.is_whole().await.unwrap_or(false) {
        if Instant::now() > deadline {
            return Err(Failure::fault(format!(
                "the streams' copies were not whole within {} s",
                PATIENCE.as_secs()
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Whether the streams have survived. Of a cluster whose nodes all were away that is not known at once.
async fn prepared(bus: &Bus, copies: usize) -> bool {
    let deadline = Instant::now() + if copies > 1 { PATIENCE / 4 } else { Duration::ZERO };
    while let Err(error) = bus.partitions().await {
        if Instant::now() >= deadline {
            print::error_line(error.to_string());
            return false;
        }
        tokio::time::sleep(LOOK).await;
    }
    true
}

/// The node that leads the journals' stream.
async fn leader(bus: &Bus) -> Result<usize> {
    let streams = bus.streams().await.map_err(fault)?;
    let leader =
        streams.first().and_then(|journal| journal.leader.as_deref()?.strip_prefix('n')?.parse().ok());
    leader.ok_or_else(|| Failure::fault("the journals' stream has no leader"))
}

/// Appends records to a journal, one after the other, for as long as they are acknowledged.
async fn write(bus: Bus, actor: ActorId, acknowledged: Acknowledged) {
    let mut after = 0;
    for number in 0.. {
        let Ok(sequence) = bus.append(&actor, &record(&actor, number), after).await else { return };
        acknowledged.lock().push((sequence, Instant::now()));
        after = sequence;
    }
}

/// The `number`th record of a journal: no two are alike.
fn record(actor: &ActorId, number: usize) -> Record {
    let cause = format!("{actor}:{number}");
    let event = cause.bytes().cycle().take(EVENT).collect();
    Record { version: 1, cause, events: vec![event], ..Record::default() }
}

impl Failed {
    fn count(
        &mut self,
        actor: &ActorId,
        acknowledged: &[(u64, Instant)],
        survived: &[(u64, Record)],
        failed: Instant,
    ) {
        let last = survived.last().map_or(0, |(sequence, _)| *sequence);
        let mut known = 0;
        for (number, (sequence, at)) in acknowledged.iter().enumerate() {
            self.acknowledged += 1;
            self.before += u64::from(*at <= failed);
            let there = survived.binary_search_by_key(sequence, |(sequence, _)| *sequence);
            if there.is_ok_and(|at| survived[at].1 == record(actor, number)) {
                known += 1;
                continue;
            }
            self.lost += 1;
            self.holes += u64::from(*sequence < last);
            self.window = self.window.max(failed.saturating_duration_since(*at));
        }
        self.unasked += survived.len() as u64 - known;
    }
}

/// nats-servers, and the disk under each one's store. Their logs lie elsewhere, to be read afterwards.
struct Machines {
    // Dropped before the disks that they work on.
    servers: Servers,
    disks: Vec<LossyDisk>,
}

enum Servers {
    Alone { options: ServerOptions, running: Option<Server> },
    Three(Cluster),
}

impl Machines {
    async fn start(args: &BenchPowerArgs, setting: Setting, folder: &Path) -> Result<Self> {
        let sync = match setting.sync {
            BenchSync::Always => SyncMode::Always,
            BenchSync::Interval => SyncMode::Interval,
        };
        let binary = nats_server(args.cache.as_deref());
        let (servers, folders) = if setting.fails == BenchFails::Alone {
            let options = ServerOptions { sync, ..ServerOptions::new(binary, folder.to_owned()) };
            (Servers::Alone { options, running: None }, vec![folder.to_owned()])
        } else {
            let options = ClusterOptions { sync, ..ClusterOptions::new(binary, folder.to_owned()) };
            let cluster = Cluster::prepare(&options).map_err(fault)?;
            let folders = (0..cluster.len()).map(|node| cluster.dir(node).to_owned()).collect();
            (Servers::Three(cluster), folders)
        };
        let names = match setting.names {
            BenchNames::Folder => Names::ByFolder,
            BenchNames::Journal => Names::Journaled,
        };
        let mut machines = Self { servers, disks: vec![] };
        for folder in folders {
            let store = folder.join("jetstream");
            std::fs::create_dir_all(&store).map_err(fault)?;
            machines.disks.push(LossyDisk::mount(&store, names).map_err(fault)?);
        }
        machines.servers.start().await.map_err(fault)?;
        Ok(machines)
    }

    fn options(&self) -> Result<Options> {
        match &self.servers {
            Servers::Alone { running: Some(server), .. } => Ok(server.options("bench")),
            Servers::Alone { running: None, .. } => Err(Failure::fault("nats-server does not run")),
            Servers::Three(cluster) => Ok(cluster.options("bench")),
        }
    }

    fn traffic(&self) -> Traffic {
        self.disks.iter().map(LossyDisk::traffic).fold(Traffic::default(), |sum, of| Traffic {
            writes: sum.writes + of.writes,
            bytes: sum.bytes + of.bytes,
            syncs: sum.syncs + of.syncs,
            folder_syncs: sum.folder_syncs + of.folder_syncs,
        })
    }

    /// Kills a node, or all.
    async fn kill(&mut self, node: Option<usize>) {
        match &mut self.servers {
            Servers::Alone { running, .. } => {
                if let Some(server) = running.take() {
                    server.kill().await;
                }
            }
            Servers::Three(cluster) => match node {
                Some(node) => cluster.kill_node(node).await,
                None => {
                    // All at once, before any is waited for.
                    for pid in (0..cluster.len()).filter_map(|node| cluster.pid(node)) {
                        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
                    }
                    for node in 0..cluster.len() {
                        cluster.kill_node(node).await;
                    }
                }
            },
        }
    }

    /// The disks of those that were killed forget, and their servers are started again.
    async fn power_fails_and_is_back(
        &mut self,
        node: Option<usize>,
    ) -> Result<std::result::Result<(), ServerError>> {
        for (number, disk) in self.disks.iter_mut().enumerate() {
            if node.is_none_or(|node| node == number) {
                disk.power_fail().map_err(fault)?;
            }
        }
        Ok(self.servers.start().await)
    }
}

impl Servers {
    /// Starts those that do not run.
    async fn start(&mut self) -> std::result::Result<(), ServerError> {
        match self {
            Self::Alone { options, running } => *running = Some(Server::start(options.clone()).await?),
            Self::Three(cluster) => cluster.start_all().await?,
        }
        Ok(())
    }
}
