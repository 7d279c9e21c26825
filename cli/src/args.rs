//! The arguments of `atlas`: what `--help` says.

mod bench;
mod check;

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Effects, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub use bench::*;
pub use check::*;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
    .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
    .placeholder(AnsiColor::Cyan.on_default());

/// Turns mathematics books into Lean 4 libraries that a kernel has checked.
#[derive(Debug, Parser)]
#[command(
    name = "atlas",
    version,
    styles = STYLES,
    propagate_version = true,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Begin with:
  atlas run -f examples/numbers/atlasrun.yaml   formalize the example; needs no key and no network
  atlas validate -f my-book/atlasrun.yaml       look over an AtlasRun and its books
  atlas status                                  see how far the newest run is

Exit codes:
  0 done; 3 finished with targets open; 4 budget or deadline reached;
  5 two kernels contradict each other; 2 bad input; 1 fault; 130 stopped by Ctrl-C

docs/cli.md explains each command, docs/troubleshooting.md each message."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Formalize the books of an AtlasRun; run again to go on where it was
    Run(RunArgs),
    /// Say how far a run is
    Status(StatusArgs),
    /// Print a run's report and where its page lies
    Report(ReportArgs),
    /// Check a Lean file, or a whole library from nothing, with real Lean
    Check(CheckArgs),
    /// Certify a Lean file or a whole library from nothing, and write signed receipts
    Certify(CertifyArgs),
    /// Certify a whole library from nothing and write it as one export for outside kernels
    Audit(AuditArgs),
    /// Answer checks over HTTP, also in the shapes of Kimina's server
    Verify(VerifyArgs),
    /// Look at receipts of certified verdicts
    Receipt(ReceiptArgs),
    /// Answer a question that a run has asked you
    Reply(ReplyArgs),
    /// Look at contradictions between kernels, and let landings go on
    Incident(IncidentArgs),
    /// List the agents of a run
    Agents(AgentsArgs),
    /// Show what an agent said and did
    Logs(LogsArgs),
    /// Show an agent's journal: when, what, at what cost, and why it ended
    Trace(TraceArgs),
    /// Look at dead letters: what nobody could take; send them again, or drop them
    Dlq(DlqArgs),
    /// Have a host give its partitions back and take no more; list the hosts
    Drain(DrainArgs),
    /// Show what lies on a run's NATS and what waits there, for when nothing moves
    Queues(QueuesArgs),
    /// Build the library's git repository anew from the journal, should it be damaged
    Repair(RepairArgs),
    /// Copy a stopped run, with the digest of each file
    Backup(BackupArgs),
    /// Bring a run back from its backup
    Restore(RestoreArgs),
    /// List the models of an AtlasRun: price, limits, whether the key is found
    Models(ModelsArgs),
    /// Look over an AtlasRun and its books without running it
    Validate(ValidateArgs),
    /// Print the JSON schema of the AtlasRun, for editors
    Schema,
    /// Measure: the merge queue, checks, a whole run
    Bench(BenchArgs),
    /// Simulate whole runs with faults, and hold them to what Atlas promises
    Simulate(SimulateArgs),
    /// Print a completion script for your shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// How a command prints what it found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text and tables.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// `-o`.
#[derive(Debug, Clone, Copy, Args)]
pub struct OutputArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Output,
}

/// Which run on this machine.
#[derive(Debug, Clone, Args)]
pub struct WhichRun {
    /// The run's name; the newest one when absent
    #[arg(value_name = "RUN")]
    pub run: Option<String>,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// How `atlas run` shows progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ui {
    /// One line per event, and a line of progress every few seconds.
    Plain,
    /// A full-screen view; the default on a terminal.
    Tui,
    /// One JSON object per line.
    Json,
}

/// `atlas run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
The run lives in DIR/NAME; its nats/ and library.git hold all that must last. After Ctrl-C, a
crash or a power cut the same command goes on where it was and makes no journaled call again.
The first Ctrl-C stops softly, the second at once; neither loses work.

Exit codes:
  0   every target is certified, or refuted (its negation is certified)
  3   finished with targets open
  4   budget or deadline reached: raise it in the AtlasRun and run again
  5   two kernels contradict each other: see `atlas incident`
  2   bad input
  1   fault
  130 stopped by Ctrl-C")]
pub struct RunArgs {
    /// The AtlasRun: books, library, models, budget
    #[arg(short, long, value_name = "ATLASRUN", default_value = "atlasrun.yaml", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How to show progress [default: tui on a terminal, else plain]
    #[arg(long, value_enum)]
    pub ui: Option<Ui>,
    /// Use this NATS server (2.12.2 or newer, with JetStream) instead of starting one; of a cluster, its servers separated by commas
    #[arg(long, value_name = "URL", env = "ATLAS_NATS_URL", value_hint = ValueHint::Url)]
    pub nats: Option<String>,
    /// Copies that the cluster keeps of each stream [default: 3 where --nats names three servers or more, else 1]
    #[arg(
        long,
        value_name = "COPIES",
        env = "ATLAS_NATS_REPLICAS",
        requires = "nats",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=5)
    )]
    pub nats_replicas: Option<usize>,
    /// User name for --nats
    #[arg(long, value_name = "USER", env = "ATLAS_NATS_USER", requires = "nats_password")]
    pub nats_user: Option<String>,
    /// Password for --nats; better in the environment than on the command line
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "ATLAS_NATS_PASSWORD",
        hide_env_values = true,
        requires = "nats_user"
    )]
    pub nats_password: Option<String>,
    /// The run's name, instead of the AtlasRun's; a new name is a new run
    #[arg(long = "run", value_name = "NAME")]
    pub name: Option<String>,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Write every model turn to this recording, to be played back later
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub record: Option<PathBuf>,
    /// Where nats-server and the embedded Lean are [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
}

/// `atlas status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Which run.
    #[command(flatten)]
    pub which: WhichRun,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Which run.
    #[command(flatten)]
    pub which: WhichRun,
    /// Open the page in the browser
    #[arg(long)]
    pub open: bool,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: VerifyCommand,
}

/// What a verifier can do.
#[derive(Debug, Clone, Subcommand)]
pub enum VerifyCommand {
    /// Answer checks over HTTP until stopped: /verify and /api/check as Kimina's server has them, /v1/check for all else
    Serve(ServeArgs),
}

/// `atlas verify serve`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
GET /docs is a page about every path, with examples; docs/verify-server.md shows how to switch
from Kimina's server. TLS is for a proxy in front of it.

Keys: one a line in --api-key-file, or in $ATLAS_API_KEYS separated by blanks. Without keys anybody
who reaches the address may ask, and a client is an address.

Ctrl-C or SIGTERM: nothing more is taken on, what is under way gets --grace; again: at once.
Exit codes: 0 stopped; 2 bad input; 1 fault: no address, a Lean that does not tell true from false.")]
pub struct ServeArgs {
    /// Where to listen; port 0: any
    #[arg(long, default_value = "127.0.0.1:8000", value_name = "ADDRESS")]
    pub listen: std::net::SocketAddr,
    /// Checks in Lean at once [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub threads: Option<std::num::NonZeroUsize>,
    /// The Lean that checks: `embedded`, `native` (lean on PATH), or a native toolchain's folder
    #[arg(long, default_value = "embedded", value_name = "TOOLCHAIN")]
    pub toolchain: String,
    /// Where the embedded Lean and results by content are [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// The folder of the key that signs receipts, made on first use [default: receipt-keys of the cache]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keys: Option<PathBuf>,
    /// Keys of clients, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub api_key_file: Option<PathBuf>,
    /// The longest that one check may take, whatever it asks for
    #[arg(long, default_value = "5m", value_name = "DURATION", help_heading = "Limits")]
    pub deadline: atlas_api::Duration,
    /// The most memory that one check may take
    #[arg(long, default_value = "2Gi", value_name = "BYTES", help_heading = "Limits")]
    pub memory: atlas_api::Quantity,
    /// The largest body of a request
    #[arg(long, default_value = "8Mi", value_name = "BYTES", help_heading = "Limits")]
    pub body: atlas_api::Quantity,
    /// Checks that may be open (in Lean, or waiting for it)
    #[arg(long, default_value_t = 8192, value_name = "N", help_heading = "Limits")]
    pub open: usize,
    /// Checks that one client may have open
    #[arg(long, default_value_t = 2048, value_name = "N", help_heading = "Limits")]
    pub client_open: usize,
    /// Checks of one client in Lean at once [default: --threads]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub client_threads: Option<std::num::NonZeroUsize>,
    /// Checks of one client in a minute; 0: any number
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Limits")]
    pub client_rate: u32,
    /// What requests under way may still take after a stop
    #[arg(long, default_value = "30s", value_name = "DURATION", help_heading = "Limits")]
    pub grace: atlas_api::Duration,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas receipt`.
#[derive(Debug, Clone, Args)]
pub struct ReceiptArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub what: ReceiptCommand,
}

/// What can be done with a receipt.
#[derive(Debug, Clone, Subcommand)]
pub enum ReceiptCommand {
    /// Verify a receipt: signature, policy and, with --library, that it is of the sources there
    Verify(ReceiptVerifyArgs),
}

/// `atlas receipt verify`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Works offline and without Lean. Keys that lie beside a receipt show that it is whole, not whose
it is: take --keys from somebody you trust.

Exit codes: 0 it holds; 3 it does not: changed, unknown key, stale, other sources; 2 bad input:
no receipt, no keys.")]
pub struct ReceiptVerifyArgs {
    /// The receipt, as a run's receipts/ or `atlas certify` has it
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// The public keys that count [default: keys.json beside FILE]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub keys: Option<PathBuf>,
    /// A library's folder: the module there, and all that it imports, must be what was certified; the receipts of what it imports are
    /// looked for beside FILE
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub library: Option<PathBuf>,
    /// The Lean that must have checked, by its full name [default: any]
    #[arg(long, value_name = "NAME")]
    pub toolchain: Option<String>,
    /// The judge that must have judged, by its full name [default: any]
    #[arg(long, value_name = "NAME")]
    pub judge: Option<String>,
    /// How many independent kernels must have accepted
    #[arg(long, default_value_t = atlas_judge::KERNELS, value_name = "N")]
    pub kernels: usize,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas reply`.
#[derive(Debug, Clone, Args)]
pub struct ReplyArgs {
    /// The target that was escalated, as `atlas status` names it
    #[arg(value_name = "ESCALATION")]
    pub escalation: String,
    /// Your answer, in your own words
    #[arg(value_name = "TEXT")]
    pub text: String,
    /// The run's name; the newest one when absent
    #[arg(long = "run", value_name = "NAME")]
    pub run: Option<String>,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// Which run on this machine, where the first argument is another.
#[derive(Debug, Clone, Args)]
pub struct NamedRun {
    /// The run's name; the newest one when absent
    #[arg(long = "run", value_name = "NAME", global = true)]
    pub name: Option<String>,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", value_hint = ValueHint::DirPath, global = true)]
    pub dir: PathBuf,
}

/// `atlas agents`.
#[derive(Debug, Clone, Args)]
pub struct AgentsArgs {
    /// Which run.
    #[command(flatten)]
    pub which: WhichRun,
    /// Only agents of this role, e.g. `prover`
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Only agents at work on this target
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Only agents that have not ended
    #[arg(long)]
    pub live: bool,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas trace`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
One row a record: when it was written, what it took, the fencing epoch of the host that wrote it
(another epoch: the agent changed hosts), questions to Lean, tokens, cost.")]
pub struct TraceArgs {
    /// An agent, e.g. `even-add.prover.1`; `atlas agents` lists them
    #[arg(value_name = "AGENT")]
    pub agent: String,
    /// The run's name; the newest one when absent
    #[arg(long = "run", value_name = "NAME")]
    pub run: Option<String>,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas dlq`.
#[derive(Debug, Clone, Args)]
pub struct DlqArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: DlqCommand,
    /// Which run.
    #[command(flatten)]
    pub which: NamedRun,
    /// How to print
    #[command(flatten)]
    pub output: GlobalOutputArgs,
}

/// `-o` of a command with commands of its own.
#[derive(Debug, Clone, Copy, Args)]
pub struct GlobalOutputArgs {
    /// How to print
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT", global = true)]
    pub output: Output,
}

/// What can be done with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub enum DlqCommand {
    /// List them, oldest first
    List,
    /// Show one with all that was sent
    Show {
        /// Its number
        #[arg(value_name = "NUMBER")]
        number: u64,
    },
    /// Send them again as they were sent; mend the cause first
    Replay(DlqPickArgs),
    /// Take them away for good
    Drop(DlqPickArgs),
}

/// Which dead letters.
#[derive(Debug, Clone, Args)]
#[command(group = clap::ArgGroup::new("pick").required(true).args(["numbers", "all"]))]
pub struct DlqPickArgs {
    /// Their numbers
    #[arg(value_name = "NUMBER")]
    pub numbers: Vec<u64>,
    /// All of the run
    #[arg(long)]
    pub all: bool,
}

/// `atlas drain`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Model calls under way there are let end, other work is dropped, and nothing new begins. Other hosts
of the run take each partition over at once, and repeat nothing that is journaled. The drained
process stays, idle, until it is stopped; started again, it works again.")]
pub struct DrainArgs {
    /// The host, as it calls itself; the hosts are listed when absent
    #[arg(value_name = "HOST")]
    pub host: Option<String>,
    /// Also when no other host is there to go on
    #[arg(long)]
    pub force: bool,
    /// How long to wait until it has given everything back
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub timeout: atlas_api::Duration,
    /// Which run.
    #[command(flatten)]
    pub which: NamedRun,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas queues`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
WAITING: given to nobody yet. TAKEN: given to somebody who has not acknowledged it. TAKEN AGAIN: of
those, given out more than once, as when a taker died or is too slow; after ten times it is a dead
letter. TAKERS: who asks for the next one right now; those at work do not.")]
pub struct QueuesArgs {
    /// Which run.
    #[command(flatten)]
    pub which: WhichRun,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas repair`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Every landing is done again from what the journal has of it and must come to the same commit, or
nothing is changed. The repository that was there is kept beside the new one.

Exit codes: 0 built; 2 the run is at work; 1 the journal does not lead to the same commits.")]
pub struct RepairArgs {
    /// Which run.
    #[command(flatten)]
    pub which: WhichRun,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas backup`.
#[derive(Debug, Clone, Args)]
pub struct BackupArgs {
    /// Which run.
    #[command(flatten)]
    pub which: WhichRun,
    /// Where to: a folder that is not there yet
    #[arg(long, value_name = "BACKUP", value_hint = ValueHint::DirPath)]
    pub to: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas restore`.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// What `atlas backup` has made
    #[arg(value_name = "BACKUP", value_hint = ValueHint::DirPath)]
    pub backup: PathBuf,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas incident`.
#[derive(Debug, Clone, Args)]
pub struct IncidentArgs {
    /// What to do.
    #[command(subcommand)]
    pub what: IncidentCommand,
    /// The run's name; the newest one when absent
    #[arg(long = "run", value_name = "NAME", global = true)]
    pub run: Option<String>,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", global = true, value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// The commands under `atlas incident`.
#[derive(Debug, Clone, Subcommand)]
pub enum IncidentCommand {
    /// List what two kernels have contradicted each other about
    List {
        /// How to print.
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say that you have read one: landings go on, what it is about stays refused
    Clear {
        /// The incident, as the list names it
        #[arg(value_name = "INCIDENT")]
        incident: String,
        /// What you found, for those who come after you
        #[arg(value_name = "NOTE")]
        note: String,
    },
}

/// `atlas logs`.
#[derive(Debug, Clone, Args)]
pub struct LogsArgs {
    /// An agent, e.g. `even-add.prover.1`; all agents are listed when absent
    #[arg(value_name = "AGENT")]
    pub agent: Option<String>,
    /// Stay and print what the agent says and does next, until it ends
    #[arg(long, short = 'F', requires = "agent")]
    pub follow: bool,
    /// The run's name; the newest one when absent
    #[arg(long = "run", value_name = "NAME")]
    pub run: Option<String>,
    /// The folder that holds the runs
    #[arg(long, default_value = "runs", value_name = "DIR", env = "ATLAS_RUNS", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas models`.
#[derive(Debug, Clone, Args)]
pub struct ModelsArgs {
    /// The AtlasRun
    #[arg(short, long, value_name = "ATLASRUN", default_value = "atlasrun.yaml", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas validate`.
#[derive(Debug, Clone, Args)]
pub struct ValidateArgs {
    /// The AtlasRun
    #[arg(short, long, value_name = "ATLASRUN", default_value = "atlasrun.yaml", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas simulate`.
#[derive(Debug, Clone, Args)]
pub struct SimulateArgs {
    /// The seed that decides everything: the same one gives the same history
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub seeds: u64,
    /// Seeds at once, a thread each [default: as many as there are processors; with --trace always 1]
    #[arg(long, value_name = "COUNT")]
    pub jobs: Option<NonZeroU16>,
    /// Agents at work at once, at most
    #[arg(long, default_value_t = 64)]
    pub agents: u32,
    /// Targets of the book [default: as many as agents]
    #[arg(long)]
    pub targets: Option<u32>,
    /// Mean turns of an author's attempt [default: 55]
    #[arg(long)]
    pub turns: Option<u32>,
    /// Kinds of fault: all, none, or a list
    #[arg(long, default_value = "all", value_name = "KINDS")]
    pub faults: atlas_simulator::Faults,
    /// How many faults a run has [default: 24]
    #[arg(long, value_name = "COUNT")]
    pub fault_count: Option<u32>,
    /// When the modelled server syncs what it acknowledges: always, or at an interval of two minutes, as nats-server does by default
    #[arg(long, default_value = "always", value_name = "WHEN")]
    pub sync: atlas_simulator::Sync,
    /// Of the faults that the seed gives, these alone, by number
    #[arg(long, value_delimiter = ',', value_name = "NUMBERS")]
    pub only: Vec<usize>,
    /// Model money of a run, US dollars; none: no limit
    #[arg(long, value_name = "DOLLARS")]
    pub budget: Option<u64>,
    /// Where to write the history, one fact a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub trace: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}
