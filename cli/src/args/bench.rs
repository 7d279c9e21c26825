//! The arguments of `atlas bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use serde::Serialize;

use super::{OutputArgs, WhichRun};

/// `atlas bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// What to measure.
    #[command(subcommand)]
    pub what: Bench,
}

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Bench {
    /// Landed submissions per build time at 2 to 30 % bad: serial, batch-and-bisect, and this program's queue
    Merge(BenchMergeArgs),
    /// Checks from fresh state beside a pool of long-lived sessions: overhead, checks per second, memory, harm
    Check(BenchCheckArgs),
    /// What certification of a library costs beyond its elaboration
    Certify(BenchCertifyArgs),
    /// Agents that one machine carries: activation, turns, recovery, memory and disk for each
    Actors(BenchActorsArgs),
    /// Appends and turns a second through journal and bus: one copy and three, synced and not, small records and large
    Journal(BenchJournalArgs),
    /// Whole runs on one machine: planner, runners, merge queue and git, with a scripted model and a stand-in for Lean
    Fleet(BenchFleetArgs),
    /// A process of `bench fleet`: told on standard input what it is, it ends with it
    #[command(hide = true)]
    Part,
    /// From `kill -9` of a host to its agents at work elsewhere, and what was lost or done twice meanwhile
    Recovery(BenchRecoveryArgs),
    /// What was acknowledged and is gone when the power fails under nats-server
    Power(BenchPowerArgs),
    /// A host for `bench recovery` to kill: told on standard input where NATS is, it ends with it
    #[command(hide = true)]
    Runner,
    /// Where the time of a finished run went
    Run {
        /// Which run.
        #[command(flatten)]
        which: WhichRun,
        /// How to print.
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `atlas bench merge`.
#[derive(Debug, Clone, Args)]
pub struct BenchMergeArgs {
    /// Submissions per simulation
    #[arg(long, default_value_t = 1000)]
    pub submissions: usize,
    /// Seeds; the table shows their mean
    #[arg(long, default_value_t = 2)]
    pub seeds: u64,
    /// Submissions tried at once, at most
    #[arg(long, default_value_t = 20)]
    pub window: u32,
    /// Probability that two neighbours break only together
    #[arg(long, default_value_t = 0.0)]
    pub clash: f64,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas bench check`.
#[derive(Debug, Clone, Args)]
pub struct BenchCheckArgs {
    /// Snippets that every server checks
    #[arg(long, default_value_t = 1000)]
    pub snippets: usize,
    /// The seed that they are made from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Snippets, of those, that are checked in a fresh copy and in a session by turns
    #[arg(long, default_value_t = 300)]
    pub paired: usize,
    /// Modules that are checked for their median
    #[arg(long, default_value_t = 20)]
    pub checks: usize,
    /// Checks at once [default: as many as there are processors]
    #[arg(long)]
    pub concurrency: Option<usize>,
    /// Where to write each single measurement
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Give one verdict and end: what a process's first verdict is measured by
    #[arg(long, hide = true)]
    pub first: bool,
    /// Where the embedded Lean is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas bench certify`.
#[derive(Debug, Clone, Args)]
pub struct BenchCertifyArgs {
    /// A library's folder; of a run it is runs/NAME/library
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub library: PathBuf,
    /// How often everything is done; the tables show medians
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Where to write each single measurement
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Where the embedded Lean is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas bench actors`.
#[derive(Debug, Clone, Args)]
pub struct BenchActorsArgs {
    /// Agents at once; several numbers are measured one after the other, each on a server of its own
    #[arg(long, value_delimiter = ',', default_values_t = [300, 3_000, 30_000])]
    pub agents: Vec<u32>,
    /// Turns of each agent: an effect that costs nothing, a decision, an acknowledged append
    #[arg(long, default_value_t = 5)]
    pub turns: u32,
    /// Partitions that the agents lie in
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub partitions: u16,
    /// When nats-server has on disk what it acknowledges
    #[arg(long, value_enum, default_value_t)]
    pub sync: BenchSync,
    /// Where to write each single measurement
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Where nats-server is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas bench journal`.
#[derive(Debug, Clone, Args)]
pub struct BenchJournalArgs {
    /// Copies of each stream: 1 on one nats-server, 3 on a cluster of three on this machine
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3], value_parser = copies)]
    pub replicas: Vec<usize>,
    /// When nats-server has on disk what it acknowledges
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [BenchSync::Always, BenchSync::Interval])]
    pub sync: Vec<BenchSync>,
    /// Bytes of a record's event
    #[arg(long, value_delimiter = ',', default_values_t = [256, 4_096, 65_536])]
    pub bytes: Vec<usize>,
    /// Actors that write at once, each one record after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 256])]
    pub writers: Vec<u32>,
    /// Seconds for each measurement
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Agents whose turns are measured; 0: none
    #[arg(long, default_value_t = 1_000)]
    pub agents: u32,
    /// Where to write each single append
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Where nats-server is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Copies that a stream can have here.
fn copies(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("one copy or three".to_owned()),
    }
}

/// `atlas bench fleet`.
#[derive(Debug, Clone, Args)]
pub struct BenchFleetArgs {
    /// Agents at once, one for each target of a book; several numbers are measured one after the other, each on a server of its own
    #[arg(long, value_delimiter = ',', default_values_t = [300, 3_000, 30_000])]
    pub agents: Vec<u32>,
    /// Turns of each author; published agents took 55
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(4..=500))]
    pub turns: u32,
    /// Of these, the turns that are measured while nobody ends
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub steady: u32,
    /// End when all are back after everything was killed, before anybody submits
    #[arg(long)]
    pub short: bool,
    /// Processes that host agents
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(3..=64))]
    pub runners: u16,
    /// Checks that the stand-in for Lean answers at once
    #[arg(long, default_value_t = 256)]
    pub places: usize,
    /// Partitions that the agents lie in
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub partitions: u16,
    /// Seconds that a phase may take
    #[arg(long, default_value_t = 1_800)]
    pub patience: u64,
    /// When nats-server has on disk what it acknowledges
    #[arg(long, value_enum, default_value_t)]
    pub sync: BenchSync,
    /// Where to write each single measurement
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Where to draw what an agent takes by their number
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub svg: Option<PathBuf>,
    /// Where nats-server is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas bench recovery`.
#[derive(Debug, Clone, Args)]
pub struct BenchRecoveryArgs {
    /// Hosts that are killed
    #[arg(long, default_value_t = 100)]
    pub kills: usize,
    /// Runs at once on the one nats-server, of two hosts each
    #[arg(long, default_value_t = 8)]
    pub runs: usize,
    /// Partitions of each run, with an agent in each
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: u16,
    /// Where to write each single measurement
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Where nats-server is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas bench power`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
nats-server's store lies on a disk in memory that forgets what was not synced when it is killed:
needs /dev/fuse, and root or fusermount3. Exit codes: 0; 1 something that was acknowledged under
`sync always` was lost on a disk with a journal of names.")]
pub struct BenchPowerArgs {
    /// Power failures for each setting, each on new disks
    #[arg(long, default_value_t = 3)]
    pub failures: usize,
    /// How long records are appended before the power fails
    #[arg(long, default_value = "2s", value_name = "DURATION")]
    pub time: atlas_api::Duration,
    /// Journals that are written at once
    #[arg(long, default_value_t = 16)]
    pub writers: usize,
    /// Whose power fails
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [BenchFails::Alone, BenchFails::Leader, BenchFails::All])]
    pub fails: Vec<BenchFails>,
    /// When nats-server has on disk what it acknowledges
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [BenchSync::Always, BenchSync::Interval])]
    pub sync: Vec<BenchSync>,
    /// Which names of files the disk keeps
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [BenchNames::Journal])]
    pub names: Vec<BenchNames>,
    /// Where to write each single measurement
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub csv: Option<PathBuf>,
    /// Where nats-server is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Whose power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchFails {
    /// A server alone, streams of one copy
    Alone,
    /// Of three servers, streams of three copies, the one that leads; the others go on
    Leader,
    /// All three of those at once
    All,
}

/// Which names of files a power failure leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchNames {
    /// Those that a folder had when it was synced itself: all that POSIX says
    Folder,
    /// Those that there were when anything was synced, as on ext4 and XFS
    Journal,
}

/// When nats-server syncs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchSync {
    /// Before it acknowledges, as Atlas starts it
    #[default]
    Always,
    /// Every two minutes, its own default
    Interval,
}
