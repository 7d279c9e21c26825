//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use atlas_lean_kernel::ndjson::Bounds;
use atlas_lean_kernel::{AllowedAxioms, Limits, Policy};
use clap::{Parser, ValueEnum};

/// Checks Lean declarations, independently of Lean.
///
/// FILE is in lean4export's NDJSON format, version 3.1. Without --base it must hold all that its declarations rest on.
///
/// Exit status: 0 accepted, 1 rejected, 2 declined (a limit was hit, something in the file is not supported, the command line or
/// a file is wrong). Only 0 is a proof.
#[derive(Parser, Debug)]
#[command(name = "atlas-kernel", version, about, after_help = EXAMPLES)]
pub struct Options {
    /// The file to check; - for standard input.
    pub file: PathBuf,

    /// A trusted library that FILE rests on, in the same format. It is read, not checked.
    #[arg(long, value_name = "FILE", help_heading = "What is trusted")]
    pub base: Option<PathBuf>,

    /// What the base's axiom lines really are: lines "#base KIND ID NAME", as the exporter writes them.
    #[arg(long, value_name = "FILE", requires = "base", help_heading = "What is trusted")]
    pub base_kinds: Option<PathBuf>,

    /// The same list for FILE: its lines of kind thm, def and opaque are taken as given. For checking a library that was
    /// exported without proofs; no proof of what rests on it.
    #[arg(long, value_name = "FILE", help_heading = "What is trusted")]
    pub given: Option<PathBuf>,

    /// Allowed axioms: standard (propext, Classical.choice, Quot.sound), any, or names separated by commas.
    #[arg(long, default_value = "standard", value_name = "LIST", help_heading = "What is trusted")]
    pub axioms: String,

    /// Declarations that may rest on sorryAx: stated, not proved.
    #[arg(long, value_delimiter = ',', value_name = "NAMES", help_heading = "What is trusted")]
    pub stated: Vec<String>,

    /// Compute Nat.div, Nat.gcd and the like with big numbers whatever their definitions in FILE are.
    #[arg(long, help_heading = "What is trusted")]
    pub trust_arithmetic: bool,

    /// Declarations as they were asked for: those of --compare must say the same in FILE.
    #[arg(long, value_name = "FILE", requires = "compare", help_heading = "What was asked")]
    pub challenge: Option<PathBuf>,

    /// Names to compare with the challenge.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        requires = "challenge",
        help_heading = "What was asked"
    )]
    pub compare: Vec<String>,

    /// Steps for one declaration.
    #[arg(long, default_value_t = 1_000_000_000, value_name = "N", help_heading = "Limits")]
    pub steps: u64,

    /// Steps for all declarations together.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true, value_name = "N", help_heading = "Limits")]
    pub total_steps: u64,

    /// Expressions that checking one declaration may make.
    #[arg(long, default_value_t = 20_000_000, value_name = "N", help_heading = "Limits")]
    pub terms: u32,

    /// Nested calls of the checker.
    #[arg(long, default_value_t = 50_000, value_name = "N", help_heading = "Limits")]
    pub depth: u32,

    /// Height of a term as a tree.
    #[arg(long, default_value_t = 100_000, value_name = "N", help_heading = "Limits")]
    pub term_depth: u32,

    /// Decimal digits of a number literal.
    #[arg(long, default_value_t = 200_000, value_name = "N", help_heading = "Limits")]
    pub digits: usize,

    /// Bits of a number that is computed with.
    #[arg(long, default_value_t = 1 << 26, value_name = "N", help_heading = "Limits")]
    pub bits: u64,

    /// Bytes of a file.
    #[arg(long, default_value_t = 16 << 30, value_name = "N", help_heading = "Limits")]
    pub bytes: u64,

    /// Mebibytes of memory, stacks not counted, at least 256; 0: no limit.
    #[arg(long, default_value_t = 16_384, value_parser = memory, value_name = "MIB", help_heading = "Limits")]
    pub memory: u64,

    /// Seconds of CPU time, all threads together; 0: no limit.
    #[arg(long, default_value_t = 0, value_name = "S", help_heading = "Limits")]
    pub seconds: u64,

    /// Threads that check.
    #[arg(long, short = 'j', default_value = "1", value_name = "N")]
    pub threads: NonZeroUsize,

    /// Go on after the first declaration that is wrong, and list all that are.
    #[arg(long)]
    pub all: bool,

    /// Form of the answer.
    #[arg(long, short = 'o', default_value = "text", value_name = "FORM")]
    pub output: Output,

    /// This is the child that does the work.
    #[arg(long, hide = true)]
    pub worker: bool,
}

const EXAMPLES: &str = "\
Examples:
  atlas-kernel theorem.ndjson
  atlas-kernel --axioms any -j 4 init.ndjson            as an entrant of the kernel arena
  atlas-kernel --base init.ndjson --base-kinds init.kinds new.ndjson
  atlas-kernel --challenge asked.ndjson --compare Numbers.even_add proved.ndjson";

/// How the answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// A line or a few.
    Text,
    /// One JSON object.
    Json,
}

/// With less the allocator has no room for its arenas and asks the system for every block: a minute for what takes a second.
fn memory(text: &str) -> Result<u64, String> {
    match text.parse::<u64>() {
        Ok(n) if n == 0 || n >= 256 => Ok(n),
        _ => Err("0, or a number from 256 on, is expected".to_owned()),
    }
}

impl Options {
    /// What a check may use.
    pub fn limits(&self) -> Limits {
        Limits {
            steps: self.steps,
            total_steps: self.total_steps,
            terms: self.terms,
            depth: self.depth,
            term_depth: self.term_depth,
            bits: self.bits,
            threads: self.threads,
        }
    }

    /// What a file may hold.
    pub fn bounds(&self) -> Bounds {
        Bounds { bytes: self.bytes, digits: self.digits, term_depth: self.term_depth, ..Bounds::default() }
    }

    /// What is allowed.
    pub fn policy(&self) -> Policy {
        let axioms = match self.axioms.as_str() {
            "any" => AllowedAxioms::Any,
            "standard" => AllowedAxioms::standard(),
            list => {
                AllowedAxioms::Listed(list.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect())
            }
        };
        Policy { axioms, stated: self.stated.clone(), trust_arithmetic: self.trust_arithmetic }
    }
}
