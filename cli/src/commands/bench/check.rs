//! `atlas bench check`: how fast the embedded Lean answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atlas_lean::{Embedded, Toolchain};
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, ModuleSource, Outcome};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::{BenchCheckArgs, Output};
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// What others have published: who, on what, checks a second, cores, source.
const PEERS: [(&str, &str, f64, f64, &str); 3] = [
    (
        "Kimina Lean Server, 8 CPU",
        "Goedel workbook proofs, Mathlib",
        0.83,
        8.0,
        "its technical report, table 1",
    ),
    (
        "Kimina Lean Server, 60 CPU",
        "Goedel workbook proofs, Mathlib",
        4.33,
        60.0,
        "its technical report, table 1",
    ),
    (
        "Kimina Lean Server v2, M2",
        "1000 proofs, Mathlib, reuse on",
        1.71,
        10.0,
        "its repository, images/benchmark_results_reuse_true.png",
    ),
];

/// Measures cold, warm and cached checks.
pub fn check(args: &BenchCheckArgs) -> Result<Exit> {
    let image = crate::toolchain::image(args.cache.as_deref());
    let open = || {
        Embedded::fresh(&image).map_err(|e| {
            Failure::fault(format!("cannot open the embedded Lean in {}: {e}", image.display()))
                .hint("run `scripts/setup lean`: it fetches and prepares Lean once (about 2 minutes)")
        })
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.concurrency.unwrap_or(cores).max(1);
    let begun = Instant::now();
    let lean = open()?;
    let opened = begun.elapsed();
    let (cold, first) = timed(&lean, 0)?;
    let one = many(&lean, 1, 1..=args.checks)?;
    let all = many(&lean, threads, args.checks + 1..=args.checks * (1 + threads))?;
    let hits = 200;
    let begun = Instant::now();
    for _ in 0..hits {
        let reply = lean.check(&request(0));
        if !reply.cached {
            return Err(Failure::fault("a repeated check was not answered from the cache"));
        }
    }
    let hit = begun.elapsed() / hits;
    let memory = one.peak.max(all.peak).max(first.peak_memory_bytes);
    if args.output.output == Output::Json {
        print::json(&json!({
            "toolchain": lean.name(), "cores": cores,
            "open_ms": millis(opened), "cold_ms": millis(cold),
            "warm_ms": millis(one.each()), "checks_per_second_one_thread": one.rate(),
            "threads": threads, "checks_per_second": all.rate(), "checks_per_second_per_core": all.rate() / cores as f64,
            "memory_bytes_per_session": memory, "cache_hit_us": hit.as_micros() as u64,
            "peers": PEERS.iter().map(|(who, what, rate, cores, source)| json!({
                "who": who, "what": what, "checks_per_second": rate, "cores": cores, "checks_per_second_per_core": rate / cores, "source": source,
            })).collect::<Vec<_>>(),
        }))?;
        return Ok(Exit::Done);
    }
    let rows = vec![
        vec!["open the image".into(), format!("{:.0} ms", millis(opened))],
        vec!["first check, cold".into(), format!("{:.0} ms", millis(cold))],
        vec!["a check, warm, from a fresh clone".into(), format!("{:.0} ms", millis(one.each()))],
        vec!["checks a second, 1 thread".into(), format!("{:.2}", one.rate())],
        vec![format!("checks a second, {threads} threads"), format!("{:.2}", all.rate())],
        vec![format!("a second and core ({cores} cores)"), format!("{:.2}", all.rate() / cores as f64)],
        vec!["memory of a session, at most".into(), format!("{:.0} MB", memory as f64 / 1e6)],
        vec!["a cache hit".into(), format!("{:.2} ms", millis(hit))],
    ];
    print::line(print::table(&[&lean.name().to_uppercase(), ""], rows, &[1]));
    let peers = PEERS
        .iter()
        .map(|(who, what, rate, cores, source)| {
            vec![
                (*who).into(),
                (*what).into(),
                format!("{rate:.2}"),
                format!("{:.3}", rate / cores),
                (*source).into(),
            ]
        })
        .collect();
    print::line(print::table(&["PEERS", "WHAT", "CHECKS/S", "PER CORE", "SOURCE"], peers, &[2, 3]));
    print::line(
        "The loads differ: ours are small proofs over core Lean, theirs competition proofs over Mathlib.",
    );
    Ok(Exit::Done)
}

/// A number of checks, all different.
struct Many {
    checks: usize,
    elapsed: Duration,
    peak: u64,
}

impl Many {
    fn rate(&self) -> f64 {
        self.checks as f64 / self.elapsed.as_secs_f64()
    }

    fn each(&self) -> Duration {
        self.elapsed / u32::try_from(self.checks.max(1)).unwrap_or(u32::MAX)
    }
}

/// Runs the checks of these numbers on so many threads.
fn many(lean: &Embedded, threads: usize, numbers: std::ops::RangeInclusive<usize>) -> Result<Many> {
    let (next, last) = (AtomicUsize::new(*numbers.start()), *numbers.end());
    let begun = Instant::now();
    let peaks: Result<Vec<u64>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut peak = 0;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number > last {
                            return Ok(peak);
                        }
                        peak = peak.max(timed(lean, number)?.1.peak_memory_bytes);
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| {
                worker.join().unwrap_or_else(|_| Err(Failure::fault("a thread of the benchmark panicked")))
            })
            .collect()
    });
    let elapsed = begun.elapsed();
    Ok(Many {
        checks: (numbers.end() + 1).saturating_sub(*numbers.start()),
        elapsed,
        peak: peaks?.into_iter().max().unwrap_or(0),
    })
}

fn timed(lean: &Embedded, number: usize) -> Result<(Duration, CheckReply)> {
    let request = request(number);
    let begun = Instant::now();
    let reply = lean.check(&request);
    let elapsed = begun.elapsed();
    if reply.outcome() != Outcome::Accepted {
        let words: Vec<&str> = reply.diagnostics.iter().map(|d| d.message.as_str()).collect();
        return Err(Failure::fault(format!(
            "Lean did not accept the benchmark's proof: {} {}",
            reply.fault,
            words.join("; ")
        )));
    }
    Ok((elapsed, reply))
}

/// A small module that no other number shares: a definition, an induction and arithmetic.
fn request(number: usize) -> CheckRequest {
    let source = format!(
        "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\nnamespace Bench\n\n\
         def total : Nat → Nat\n  | 0 => {number}\n  | n + 1 => total n + (n + 1)\n\n\
         theorem total_closed (n : Nat) : 2 * total n = 2 * {number} + n * (n + 1) := by\n  \
         induction n with\n  | zero => simp [total]\n  | succ n ih => simp only [total]; grind\n\nend Bench\n"
    );
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

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
