//! What a client of the verifier sees: processes, modules, the cache.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use atlas_lean::{Embedded, Toolchain};
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, ModuleSource, Outcome};
use sha2::{Digest, Sha256};

use super::measure::millis;
use crate::args::BenchCheckArgs;
use crate::commands::bench::{quantile, sorted};
use crate::failure::{Exit, Failure, Result};

/// Medians, milliseconds.
pub struct Product {
    pub toolchain: String,
    /// From a process's start to its end with its first verdict, at the elaborated level.
    pub first_ms: f64,
    pub open_ms: f64,
    pub module_ms: f64,
    pub hit_ms: f64,
}

/// Processes that are started for their first verdict.
const PROCESSES: usize = 5;

/// Measures them. Of modules, `args.checks`.
pub fn measure(args: &BenchCheckArgs, image: &Path) -> Result<Product> {
    let begun = Instant::now();
    let lean = open(image)?;
    let open_ms = millis(begun.elapsed());
    timed(&lean, 0)?;
    let modules: Vec<f64> =
        (1..=args.checks).map(|number| Ok(millis(timed(&lean, number)?.0))).collect::<Result<_>>()?;
    let hits: Vec<f64> = (0..200)
        .map(|_| {
            let (elapsed, reply) = timed(&lean, 0)?;
            if reply.cached {
                Ok(millis(elapsed))
            } else {
                Err(Failure::fault("a repeated check was not answered from the cache"))
            }
        })
        .collect::<Result<_>>()?;
    let processes: Vec<f64> = (0..PROCESSES).map(|_| process(image).map(millis)).collect::<Result<_>>()?;
    let median = |times: Vec<f64>| quantile(&sorted(times.into_iter()), 0.5);
    let (first_ms, module_ms, hit_ms) = (median(processes), median(modules), median(hits));
    Ok(Product { toolchain: lean.name(), first_ms, open_ms, module_ms, hit_ms })
}

/// What such a process does: one verdict.
pub fn first(image: &Path) -> Result<Exit> {
    let source = "theorem first (a b : Nat) (h : a < b) : a + 1 ≤ b := by omega\n";
    let header = "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\n";
    verdict(&open(image)?, &request(format!("{header}{source}"), 0))?;
    Ok(Exit::Done)
}

/// From the start of a process of this program to its end with a verdict.
fn process(image: &Path) -> Result<Duration> {
    let failed = |e: std::io::Error| Failure::fault(format!("cannot start this program once more: {e}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["bench", "check", "--first"]).env("ATLAS_LEAN_IMAGE", image);
    let begun = Instant::now();
    let output = command.output().map_err(failed)?;
    let elapsed = begun.elapsed();
    if output.status.success() {
        Ok(elapsed)
    } else {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failure::fault(format!("a process gave no verdict: {said}")))
    }
}

pub fn open(image: &Path) -> Result<Embedded> {
    Embedded::fresh(image).map_err(|e| {
        Failure::fault(format!("cannot open the embedded Lean in {}: {e}", image.display()))
            .hint("run `scripts/setup lean`: it fetches and prepares Lean once (about 2 minutes)")
    })
}

fn timed(lean: &Embedded, number: usize) -> Result<(Duration, CheckReply)> {
    let source = format!(
        "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\nnamespace Bench\n\n\
         def total : Nat → Nat\n  | 0 => {number}\n  | n + 1 => total n + (n + 1)\n\n\
         theorem total_closed (n : Nat) : 2 * total n = 2 * {number} + n * (n + 1) := by\n  \
         induction n with\n  | zero => simp [total]\n  | succ n ih => simp only [total]; grind\n\nend Bench\n"
    );
    let request = request(source, number);
    let begun = Instant::now();
    let reply = verdict(lean, &request)?;
    Ok((begun.elapsed(), reply))
}

fn verdict(lean: &Embedded, request: &CheckRequest) -> Result<CheckReply> {
    let reply = lean.check(request);
    if reply.outcome() != Outcome::Accepted {
        let words: Vec<&str> = reply.diagnostics.iter().map(|d| d.message.as_str()).collect();
        let (fault, words) = (&reply.fault, words.join("; "));
        return Err(Failure::fault(format!("Lean did not accept the benchmark's proof: {fault} {words}")));
    }
    Ok(reply)
}

fn request(source: String, number: usize) -> CheckRequest {
    CheckRequest {
        id: format!("bench-{number}"),
        level: CheckLevel::Elaborated.into(),
        modules: vec![ModuleSource {
            name: "Bench".into(),
            sha256: hex::encode(Sha256::digest(source.as_bytes())),
            source: Some(source.into_bytes()),
        }],
        check: vec!["Bench".into()],
        ..CheckRequest::default()
    }
}
