//! The arguments of `atlas`: what `--help` says.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Effects, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

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
  2 bad input; 1 fault; 130 stopped by Ctrl-C

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
    /// Look at receipts of certified verdicts
    Receipt(ReceiptArgs),
    /// Answer a question that a run has asked you
    Reply(ReplyArgs),
    /// List the agents of a run, or show what one said and did
    Logs(LogsArgs),
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
    /// Use this NATS server (2.12 or newer, with JetStream) instead of starting one
    #[arg(long, value_name = "URL", env = "ATLAS_NATS_URL", value_hint = ValueHint::Url)]
    pub nats: Option<String>,
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

/// `atlas check`.
#[derive(Debug, Clone, Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["file", "library"]),
    after_help = "Exit codes: 0 accepted; 3 Lean refuses it or it uses `sorry`; 2 bad input; 1 fault."
)]
pub struct CheckArgs {
    /// A Lean file
    #[arg(value_name = "FILE.lean", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
    /// A library's folder: every module is elaborated in fresh state, nothing is taken from a cache
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub library: Option<PathBuf>,
    /// The Lean that checks: `embedded`, `native` (lean on PATH), or a native toolchain's folder
    #[arg(long, default_value = "embedded", value_name = "TOOLCHAIN")]
    pub toolchain: String,
    /// The longest that one module may take
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub deadline: atlas_api::Duration,
    /// The most memory that one module may take
    #[arg(long, default_value = "3Gi", value_name = "BYTES")]
    pub memory: atlas_api::Quantity,
    /// Where the embedded Lean is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `atlas certify`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Each accepted module gets DIR/MODULE.json; DIR/keys.json has the public keys. `atlas receipt
verify` looks at them anywhere, without Lean and without the network.

Exit codes: 0 accepted, receipts written; 3 Lean refuses it or it uses `sorry` (accepted modules
get their receipts, which say whose `sorry`); 2 bad input; 1 fault, or this Lean gives no receipts.")]
pub struct CertifyArgs {
    /// What, and by which Lean.
    #[command(flatten)]
    pub check: CheckArgs,
    /// Where to write the receipts
    #[arg(long, default_value = "receipts", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub receipts: PathBuf,
    /// The folder of the key that signs, made on first use [default: receipt-keys of the cache]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keys: Option<PathBuf>,
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
    /// How many seeds, one after the other
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    pub seeds: u64,
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
    /// Checks per second, cold and warm; memory per session; time of a cache hit
    Check(BenchCheckArgs),
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
    /// Checks per measurement
    #[arg(long, default_value_t = 20)]
    pub checks: usize,
    /// Checks at once [default: as many as there are processors]
    #[arg(long)]
    pub concurrency: Option<usize>,
    /// Where the embedded Lean is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}
