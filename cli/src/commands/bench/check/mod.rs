//! `atlas bench check`: how fast the embedded Lean answers from fresh state, beside a pool of long-lived sessions of the same Lean.

mod measure;
mod product;
mod servers;
mod snippets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use atlas_lean_wasm::Image;
use serde_json::{Value, json};

use crate::args::{BenchCheckArgs, Output};
use crate::commands::bench::{machine, quantile, sorted};
use crate::failure::{Exit, Failure, Result};
use crate::print;
use measure::{Row, millis};
use servers::{Certified, Fresh, Judged, Lean, Limits, Pool, Restart, Server, fault};
use snippets::{Kind, Snippet, generate, plain};

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

/// Blocks in which servers take turns, so that all meet the same hours of a shared machine.
const BLOCKS: usize = 4;

/// One server's run over all snippets.
#[derive(Default)]
struct Run {
    rows: Vec<Row>,
    elapsed: Duration,
    /// Processor time of other processes, which rows leave out.
    elsewhere: Duration,
    /// Sessions that had to be started, where there are any.
    starts: Option<usize>,
}

impl Run {
    fn rate(&self) -> f64 {
        self.rows.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn times(&self) -> Vec<f64> {
        sorted(self.rows.iter().map(|row| millis(row.took.wall)))
    }

    /// Processor time of a check, mean, milliseconds.
    fn cpu_ms(&self) -> f64 {
        let own: Duration = self.rows.iter().map(|row| row.took.cpu).sum();
        millis(own + self.elsewhere) / self.rows.len() as f64
    }

    /// Snippets that this server judges otherwise than `other`, though both came to an end with them.
    fn differs_from(&self, other: &Self) -> usize {
        let ended = |judged| matches!(judged, Judged::Accepted | Judged::Rejected);
        let pairs = self.rows.iter().zip(&other.rows);
        pairs.filter(|(a, b)| ended(a.judged) && ended(b.judged) && a.judged != b.judged).count()
    }
}

/// Everything that was measured.
struct Figures {
    product: product::Product,
    /// Of each kind and of all: name, and of a copy's cost beyond elaboration p50 and p99 on the clock, p50 and p99 of the processor,
    /// milliseconds.
    overhead: Vec<(&'static str, [f64; 4])>,
    /// By the load's name and the server's.
    runs: Vec<(&'static str, &'static str, Run)>,
    /// Of each server: name, an honest client's checks a second among honest ones and beside one that does harm.
    harm: Vec<(&'static str, f64, f64)>,
    /// Bytes.
    per_check: u64,
}

/// Measures.
pub fn check(args: &BenchCheckArgs) -> Result<Exit> {
    let image = crate::toolchain::image(args.cache.as_deref());
    if args.first {
        return product::first(&image);
    }
    let threads = args.concurrency.unwrap_or_else(machine::cores).max(1);
    let limits = Limits { deadline: Duration::from_secs(1), memory: 1 << 30 };
    let (figures, rows) = measured(args, &image, threads, limits)?;
    if let Some(path) = &args.csv {
        write_csv(path, &rows)?;
    }
    match args.output.output {
        Output::Json => print::json(&as_json(&figures, args, threads))?,
        Output::Text => tables(&figures, args, threads, limits),
    }
    Ok(Exit::Done)
}

fn say(args: &BenchCheckArgs, what: &str) {
    if args.output.output == Output::Text {
        print::error_line(print::styled(print::FAINT, format!("measuring {what} …")));
    }
}

fn measured(
    args: &BenchCheckArgs,
    image: &Path,
    threads: usize,
    limits: Limits,
) -> Result<(Figures, Vec<Row>)> {
    say(args, "a process's first verdict, modules, the cache");
    let product = product::measure(args, image)?;
    let lean = Lean::new(Image::open(image).map_err(fault)?);
    let mut rows = vec![];
    let snippets = generate(args.seed, args.snippets, false);
    let honest: Vec<Snippet> =
        snippets.iter().filter(|s| !s.kind.is_hostile()).take(args.paired).cloned().collect();
    let fresh = Fresh { lean: &lean, limits };

    // Before anything else: what earlier checks have left is no part of it.
    say(args, "memory");
    let most = |threads| measure::memory(&fresh, &honest, threads);
    let (one, four) = (most(1)?, most(4)?);
    let per_check = four.saturating_sub(one) / 3;

    say(args, "fresh copies against one session");
    let generous = Limits { deadline: Duration::from_secs(30), ..limits };
    // What a machine does once in a process's life is no part of the figure: pages of code, a slot's first pages.
    let warm: Vec<Snippet> = generate(args.seed + 1, 40, false);
    measure::overhead(&lean, &warm, generous, &mut vec![])?;
    let few = &snippets[..snippets.len().min(args.paired)];
    let differences = measure::overhead(&lean, few, generous, &mut rows)?;
    let of = |kind: Option<Kind>| {
        let own = differences.iter().filter(|(of, _)| kind.is_none_or(|kind| *of == kind));
        let (wall, cpu): (Vec<f64>, Vec<f64>) = own.map(|(_, [wall, cpu])| (*wall, *cpu)).unzip();
        let (wall, cpu) = (sorted(wall.into_iter()), sorted(cpu.into_iter()));
        let figures =
            [quantile(&wall, 0.5), quantile(&wall, 0.99), quantile(&cpu, 0.5), quantile(&cpu, 0.99)];
        (kind.map_or("all", Kind::name), figures)
    };
    let kinds = Kind::SHARES.iter().map(|(kind, _)| *kind).filter(|kind| !kind.is_hostile());
    let overhead = kinds.map(Some).chain([None]).map(of).collect();

    let mut runs = vec![];
    let loads = [
        ("one header", generate(args.seed, args.snippets, false)),
        ("one in fifty under another header", generate(args.seed, args.snippets, true)),
        ("plain", plain(args.snippets)),
    ];
    for (load, snippets) in loads {
        say(args, &format!("checks per second, {load}"));
        let certified = Certified { lean: product::open(image)?, limits };
        let cold = Pool::new(&lean, limits, Restart::Cold, threads);
        let warm = Pool::new(&lean, limits, Restart::Warm, threads);
        let servers: [(&'static str, &dyn Server, Option<&Pool<'_>>); 4] = [
            ("a fresh copy each", &fresh, None),
            ("certified: both kernels, sandboxed", &certified, None),
            ("pool of sessions", &cold, Some(&cold)),
            ("pool, restarted from our warm state", &warm, Some(&warm)),
        ];
        let ran = in_turn(load, &servers, &snippets, threads)?;
        rows.extend(ran.iter().flat_map(|(_, run)| run.rows.clone()));
        runs.extend(ran.into_iter().map(|(server, run)| (load, server, run)));
    }

    say(args, "honest clients beside one that does harm");
    let pool = Pool::new(&lean, limits, Restart::Cold, 4);
    let mut harm = vec![];
    for (name, server) in [("a fresh copy each", &fresh as &dyn Server), ("pool of sessions", &pool)] {
        let among = measure::beside_harm(server, &honest, false)?;
        harm.push((name, among, measure::beside_harm(server, &honest, true)?));
    }
    Ok((Figures { product, overhead, runs, harm, per_check }, rows))
}

/// Lets the servers take turns, block by block.
fn in_turn(
    load: &'static str,
    servers: &[(&'static str, &dyn Server, Option<&Pool<'_>>)],
    snippets: &[Snippet],
    threads: usize,
) -> Result<Vec<(&'static str, Run)>> {
    let mut runs: Vec<(&'static str, Run)> =
        servers.iter().map(|(name, ..)| (*name, Run::default())).collect();
    let block = snippets.len().div_ceil(BLOCKS);
    for (number, block_of) in snippets.chunks(block).enumerate() {
        for ((name, server, _), (_, run)) in servers.iter().zip(&mut runs) {
            let before = server.elsewhere();
            let (rows, elapsed) =
                measure::throughput(*server, (load, name), block_of, number * block, threads)?;
            run.rows.extend(rows);
            run.elapsed += elapsed;
            run.elsewhere += server.elsewhere().saturating_sub(before);
        }
    }
    for ((_, _, pool), (_, run)) in servers.iter().zip(&mut runs) {
        run.starts = pool.map(Pool::starts);
    }
    Ok(runs)
}

fn write_csv(path: &PathBuf, rows: &[Row]) -> Result<()> {
    let mut text = "measure,server,kind,number,milliseconds,cpu_milliseconds,judged\n".to_owned();
    for row in rows {
        let Row { measure, server, kind, number, took, judged } = row;
        let (kind, judged, ms, cpu) = (kind.name(), judged.name(), millis(took.wall), millis(took.cpu));
        text += &format!("{measure},\"{server}\",{kind},{number},{ms:.3},{cpu:.3},{judged}\n");
    }
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}

/// The share of an honest client's checks that is lost, percent.
fn loss(among: f64, beside: f64) -> f64 {
    (1.0 - beside / among) * 100.0
}

fn tables(figures: &Figures, args: &BenchCheckArgs, threads: usize, limits: Limits) {
    let ms = |value: f64| if value.is_nan() { "–".to_owned() } else { format!("{value:.1} ms") };
    let product = &figures.product;
    let rows = vec![
        vec!["first verdict after a process's start".into(), ms(product.first_ms)],
        vec!["open the image".into(), ms(product.open_ms)],
        vec!["a chapter's module, from fresh state".into(), ms(product.module_ms)],
        vec!["a cache hit".into(), format!("{:.2} ms", product.hit_ms)],
        vec![
            "memory per additional check at once".into(),
            format!("{:.0} MB", figures.per_check as f64 / 1e6),
        ],
    ];
    print::line(print::table(&[&product.toolchain.to_uppercase(), ""], rows, &[1]));
    let rows = figures.overhead.iter().map(|(kind, of)| {
        let cells = of.iter().map(|value| ms(*value));
        std::iter::once((*kind).to_owned()).chain(cells).collect()
    });
    print::line(print::table(
        &["A FRESH COPY BEYOND ELABORATION", "P50", "P99", "CPU P50", "CPU P99"],
        rows.collect(),
        &[1, 2, 3, 4],
    ));
    let fresh: BTreeMap<&str, &Run> = figures
        .runs
        .iter()
        .filter(|(_, server, _)| *server == "a fresh copy each")
        .map(|(l, _, r)| (*l, r))
        .collect();
    let rows = figures.runs.iter().map(|(load, server, run)| {
        let times = run.times();
        let other = fresh.get(load).map_or(0, |fresh| run.differs_from(fresh));
        vec![
            (*load).into(),
            (*server).into(),
            format!("{:.1}", run.rate()),
            format!("{:.1}", quantile(&times, 0.5)),
            format!("{:.1}", quantile(&times, 0.99)),
            format!("{:.1}", run.cpu_ms()),
            run.starts.map_or("–".into(), |starts| starts.to_string()),
            other.to_string(),
        ]
    });
    let head = ["SNIPPETS", "SERVER", "CHECKS/S", "P50 MS", "P99 MS", "CPU MS", "STARTS", "JUDGED OTHERWISE"];
    print::line(print::table(&head, rows.collect(), &[2, 3, 4, 5, 6, 7]));
    let rows = figures.harm.iter().map(|(server, among, beside)| {
        vec![
            (*server).into(),
            format!("{among:.1}"),
            format!("{beside:.1}"),
            format!("{:.0} %", loss(*among, *beside)),
        ]
    });
    let head = ["AN HONEST CLIENT OF FOUR", "CHECKS/S", "BESIDE ONE THAT DOES HARM", "LOSS"];
    print::line(print::table(&head, rows.collect(), &[1, 2, 3]));
    let peers = PEERS.iter().map(|(who, what, rate, cores, source)| {
        vec![
            (*who).into(),
            (*what).into(),
            format!("{rate:.2}"),
            format!("{:.3}", rate / cores),
            (*source).into(),
        ]
    });
    print::line(print::table(&["PEERS", "WHAT", "CHECKS/S", "PER CORE", "SOURCE"], peers.collect(), &[2, 3]));
    let shares: Vec<String> =
        Kind::SHARES.iter().map(|(kind, share)| format!("{} {}", share, kind.name())).collect();
    print::line(format!(
        "{} snippets (seed {}) on {threads} threads; of 1000: {}; plain: a quarter each omega, simp, grind, failing. Limits: {} s, {} MB. The peers' loads are others: competition proofs \
         over Mathlib.",
        args.snippets,
        args.seed,
        shares.join(", "),
        limits.deadline.as_secs(),
        limits.memory >> 20,
    ));
    print::line(format!(
        "False accepts and rejects: `cargo test --workspace --test attacks`. Machine: {}.",
        machine::line()
    ));
}

fn as_json(figures: &Figures, args: &BenchCheckArgs, threads: usize) -> Value {
    let product = &figures.product;
    json!({
        "toolchain": product.toolchain, "machine": machine::line(), "cores": machine::cores(),
        "seed": args.seed, "snippets": args.snippets, "threads": threads,
        "first_verdict_ms": product.first_ms, "open_ms": product.open_ms,
        "module_ms": product.module_ms, "cache_hit_ms": product.hit_ms,
        "memory_bytes_per_additional_check": figures.per_check,
        "overhead_ms": figures.overhead.iter().map(|(kind, [p50, p99, cpu_p50, cpu_p99])| json!({
            "kind": kind, "p50": p50, "p99": p99, "cpu_p50": cpu_p50, "cpu_p99": cpu_p99,
        })).collect::<Vec<_>>(),
        "throughput": figures.runs.iter().map(|(load, server, run)| {
            let times = run.times();
            let mut judged: BTreeMap<&str, usize> = BTreeMap::new();
            for row in &run.rows {
                *judged.entry(row.judged.name()).or_default() += 1;
            }
            json!({
                "load": load, "server": server, "checks_per_second": run.rate(),
                "p50_ms": quantile(&times, 0.5), "p99_ms": quantile(&times, 0.99), "cpu_ms_mean": run.cpu_ms(), "sessions_started": run.starts, "judged": judged,
            })
        }).collect::<Vec<_>>(),
        "beside_harm": figures.harm.iter().map(|(server, among, beside)| json!({
            "server": server, "checks_per_second_among_honest": among, "checks_per_second_beside_harm": beside, "loss_percent": loss(*among, *beside),
        })).collect::<Vec<_>>(),
        "peers": PEERS.iter().map(|(who, what, rate, cores, source)| json!({
            "who": who, "what": what, "checks_per_second": rate, "cores": cores, "checks_per_second_per_core": rate / cores, "source": source,
        })).collect::<Vec<_>>(),
    })
}
