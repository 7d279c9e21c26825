//! The arguments of `atlas check`, `certify` and `audit`.

use std::path::PathBuf;
use std::str::FromStr;

use atlas_api::Axiom;
use clap::{Args, ValueHint};

use super::OutputArgs;

/// What declarations may rest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed(pub Vec<Axiom>);

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let one = |name: &str| {
            Axiom::ALL.into_iter().find(|axiom| axiom.name() == name).ok_or_else(|| {
                let names = Axiom::ALL.map(Axiom::name).join(", ");
                format!("`{name}` can be allowed to nothing; there are {names}, or none")
            })
        };
        match text {
            "none" => Ok(Self(Vec::new())),
            list => list.split(',').map(|name| one(name.trim())).collect::<Result<_, _>>().map(Self),
        }
    }
}

/// What each module that is checked must keep to.
#[derive(Debug, Clone, Args)]
pub struct ModuleLimits {
    /// The axioms that declarations may rest on, of Lean's three, separated by commas, or `none` [default: all three]
    #[arg(long, value_name = "AXIOMS")]
    pub axioms: Option<Allowed>,
    /// The longest that one module may take
    #[arg(long, default_value = "10m", value_name = "DURATION")]
    pub deadline: atlas_api::Duration,
    /// The most memory that one module may take
    #[arg(long, default_value = "3Gi", value_name = "BYTES")]
    pub memory: atlas_api::Quantity,
}

/// `atlas check`.
#[derive(Debug, Clone, Args)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["file", "library"]),
    after_help = "Exit codes: 0 accepted; 3 Lean refuses it or it uses `sorry`; 5 two kernels contradict each other; \
                  2 bad input; 1 fault."
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
    /// What a module must keep to.
    #[command(flatten)]
    pub limits: ModuleLimits,
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
get their receipts, which say whose `sorry`); 5 two kernels contradict each other; 2 bad input;
1 fault, or this Lean gives no receipts.")]
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

/// `atlas audit`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
DIR then holds
  library.ndjson   all declarations of the library and everything that they rest on, in lean4export's
                   format 3.1.0, for atlas-kernel, nanoda, lean4lean
  library.given    which of its axiom lines are theorems and hidden values of Lean's own library: that
                   ships without proofs, so their statements are taken as given
  receipts/        a signed receipt of each accepted module, and keys.json

`atlas-kernel --trust-arithmetic --given DIR/library.given DIR/library.ndjson` checks it again.

Exit codes: 0 certified, and as the receipts that were there say; 3 Lean or a kernel refuses it, it
uses `sorry`, or it differs from those receipts; 2 bad input; 1 fault.")]
pub struct AuditArgs {
    /// The library's folder; of a run it is runs/NAME/library
    #[arg(value_name = "LIBRARY", value_hint = ValueHint::DirPath)]
    pub library: PathBuf,
    /// Where to write what comes of it
    #[arg(long, default_value = "audit", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: PathBuf,
    /// Receipts to compare with [default: receipts beside LIBRARY, where a run has them]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub against: Option<PathBuf>,
    /// The folder of the key that signs, made on first use [default: receipt-keys of the cache]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keys: Option<PathBuf>,
    /// What a module must keep to.
    #[command(flatten)]
    pub limits: ModuleLimits,
    /// Where the embedded Lean is [default: .cache of the project]
    #[arg(long, value_name = "DIR", env = "ATLAS_CACHE", value_hint = ValueHint::DirPath)]
    pub cache: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: OutputArgs,
}
