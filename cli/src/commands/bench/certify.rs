//! `atlas bench certify`: what certification of a library costs beyond its elaboration, and how fast the second kernel is.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use atlas_lean::{Embedded, EmbeddedOptions, Toolchain};
use atlas_lean_kernel::ndjson::{Bounds, Reader};
use atlas_lean_kernel::{AllowedAxioms, Base, Limits, Policy, examine};
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, ModuleSource, Outcome};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::machine;
use crate::args::{BenchCertifyArgs, Output};
use crate::commands::check::{self, Module};
use crate::failure::{Exit, Failure, Result};
use crate::print;

/// The longest that anything may take.
const DEADLINE: Duration = Duration::from_secs(600);

/// What a check of the whole library took.
struct Pass {
    elapsed: Duration,
    /// Milliseconds that each kernel says it took, by its name; declarations that it accepted.
    kernels: BTreeMap<String, (u64, u64)>,
}

/// The second kernel's speed on the toolchain's library.
struct Throughput {
    threads: usize,
    declarations: usize,
    /// Declarations that it does not accept: those that need what the toolchain does not ship.
    refused: usize,
    elapsed: Duration,
}

/// Everything that was measured.
struct Figures {
    modules: usize,
    /// From opening Lean to a certified verdict on one theorem, with nothing kept: the toolchain's declarations are exported and read.
    first: Duration,
    /// The same again, with those kept and the theorem new.
    next: Duration,
    elaborated: Vec<Pass>,
    certified: Vec<Pass>,
    /// Reading the toolchain's export as text, writing it frozen, reading that.
    read: Duration,
    frozen: (Duration, usize),
    thawed: Duration,
    library: Vec<Throughput>,
}

/// Measures.
pub fn certify(args: &BenchCertifyArgs) -> Result<Exit> {
    let modules = check::library_modules(&args.library)?;
    let figures = measured(args, &modules)?;
    if let Some(path) = &args.csv {
        write_csv(path, &figures)?;
    }
    match args.output.output {
        Output::Json => print::json(&as_json(&figures))?,
        Output::Text => tables(&figures),
    }
    Ok(Exit::Done)
}

fn say(args: &BenchCertifyArgs, what: &str) {
    if args.output.output == Output::Text {
        print::error_line(print::styled(print::FAINT, format!("measuring {what} …")));
    }
}

fn measured(args: &BenchCertifyArgs, modules: &[Module]) -> Result<Figures> {
    let image = crate::toolchain::image(args.cache.as_deref());
    let folder =
        || tempfile::tempdir().map_err(|e| Failure::fault(format!("cannot make a temporary folder: {e}")));
    let (kept, verdicts) = (folder()?, folder()?);
    let open = || {
        let options = EmbeddedOptions::new(&image, verdicts.path());
        let options = options.map(|options| EmbeddedOptions { foundation: kept.path().into(), ..options });
        options
            .and_then(|options| Embedded::with_options(&options))
            .map_err(|e| Failure::fault(format!("cannot open the embedded Lean: {e}")))
    };
    say(args, "a first certified verdict");
    let trivial = "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\ntheorem first : 1 + 1 = 2 := rfl\n";
    let verdict = |mark: &str| -> Result<Duration> {
        let begun = Instant::now();
        let module = Module { name: "First".into(), path: PathBuf::new(), source: trivial.to_owned() + mark };
        pass(&open()?, &[module], CheckLevel::Certified)?;
        Ok(begun.elapsed())
    };
    let (first, next) = (verdict("")?, verdict("-- again\n")?);
    let lean = open()?;

    let (mut elaborated, mut certified) = (vec![], vec![]);
    for round in 1..=args.rounds.max(1) {
        say(args, &format!("the library, round {round}"));
        // A marker in each source makes it new to the cache; Lean sees a comment.
        let fresh = |level: &str| -> Vec<Module> {
            let mark = format!("\n-- {level}, round {round}\n");
            let with_mark = |module: &Module| Module {
                name: module.name.clone(),
                path: module.path.clone(),
                source: module.source.clone() + &mark,
            };
            modules.iter().map(with_mark).collect()
        };
        elaborated.push(pass(&lean, &fresh("elaborated"), CheckLevel::Elaborated)?);
        certified.push(pass(&lean, &fresh("certified"), CheckLevel::Certified)?);
    }
    say(args, "the second kernel on the toolchain's library");
    let wrong = |e: &dyn std::fmt::Display| Failure::fault(format!("the toolchain's export: {e}"));
    let text = lean.foundation(&[], DEADLINE).map_err(|e| wrong(&e))?;
    let begun = Instant::now();
    let base = Base::load_statements(&mut &text[..], &[], &Bounds::default()).map_err(|e| wrong(&e))?;
    let read = begun.elapsed();
    let begun = Instant::now();
    let mut bytes = vec![];
    base.write_frozen(&mut bytes).map_err(|e| wrong(&e))?;
    let frozen = (begun.elapsed(), bytes.len());
    drop(base);
    let begun = Instant::now();
    drop(Base::read_frozen(&bytes).map_err(|e| wrong(&e))?);
    let thawed = begun.elapsed();
    let library = [1, 2].into_iter().map(|threads| throughput(&text, threads)).collect::<Result<_>>()?;
    let modules = modules.len();
    Ok(Figures { modules, first, next, elaborated, certified, read, frozen, thawed, library })
}

/// Checks all modules at once: each is elaborated once, in fresh state, after what it imports.
fn pass(lean: &Embedded, modules: &[Module], level: CheckLevel) -> Result<Pass> {
    let request = CheckRequest {
        id: "bench".into(),
        level: level.into(),
        modules: modules
            .iter()
            .map(|module| ModuleSource {
                name: module.name.clone(),
                sha256: hex::encode(Sha256::digest(module.source.as_bytes())),
                source: Some(module.source.clone().into_bytes()),
            })
            .collect(),
        check: modules.iter().map(|module| module.name.clone()).collect(),
        deadline_ms: DEADLINE.as_millis().try_into().unwrap_or(u32::MAX),
        memory_bytes: 1 << 30,
        ..CheckRequest::default()
    };
    let begun = Instant::now();
    let reply = lean.check(&request);
    let elapsed = begun.elapsed();
    if reply.outcome() != Outcome::Accepted {
        return Err(refusal(&reply));
    }
    let mut kernels: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for kernel in reply.receipts.iter().flat_map(|receipt| &receipt.kernels) {
        let all = kernels.entry(kernel.kernel.clone()).or_default();
        *all = (all.0 + u64::from(kernel.milliseconds), all.1 + u64::from(kernel.declarations));
    }
    Ok(Pass { elapsed, kernels })
}

fn refusal(reply: &CheckReply) -> Failure {
    let words: Vec<&str> = reply.diagnostics.iter().map(|d| d.message.as_str()).take(3).collect();
    Failure::input(format!("the library does not pass: {} {}", reply.fault, words.join("; ")))
        .hint("name a library that does, such as runs/NAME/library of a finished run")
}

fn throughput(text: &[u8], threads: usize) -> Result<Throughput> {
    let mut reader = Reader::new(&Base::empty(), &Bounds::default());
    let mut text = text;
    reader.read(&mut text).map_err(|e| Failure::fault(format!("the toolchain's export: {e}")))?;
    let (mut terms, declarations) = reader.finish();
    let policy = Policy { axioms: AllowedAxioms::Any, trust_arithmetic: true, ..Policy::default() };
    let limits =
        Limits { threads: NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN), ..Limits::default() };
    let begun = Instant::now();
    let report = examine(&mut terms, &declarations, &policy, &limits);
    let elapsed = begun.elapsed();
    let refused = report.rejected.len() + report.undecided.len();
    Ok(Throughput { threads, declarations: report.declarations, refused, elapsed })
}

fn median(times: impl Iterator<Item = f64>) -> f64 {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Figures {
    fn elaborated_ms(&self) -> f64 {
        median(self.elaborated.iter().map(|pass| millis(pass.elapsed)))
    }

    fn certified_ms(&self) -> f64 {
        median(self.certified.iter().map(|pass| millis(pass.elapsed)))
    }

    /// Of each kernel: name, milliseconds (median of the rounds), declarations.
    fn kernels(&self) -> Vec<(&str, f64, u64)> {
        let names = self.certified.first().into_iter().flat_map(|pass| pass.kernels.keys());
        names
            .map(|name| {
                let of = |pass: &Pass| pass.kernels.get(name).copied().unwrap_or_default();
                let times = median(self.certified.iter().map(|pass| of(pass).0 as f64));
                (name.as_str(), times, self.certified.first().map_or(0, |pass| of(pass).1))
            })
            .collect()
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn per_second(of: &Throughput) -> f64 {
    of.declarations as f64 / of.elapsed.as_secs_f64()
}

fn tables(figures: &Figures) {
    let ms = |value: f64| format!("{value:.0} ms");
    let (elaborated, certified) = (figures.elaborated_ms(), figures.certified_ms());
    let mut rows = vec![
        vec!["elaboration alone".into(), ms(elaborated)],
        vec!["certification".into(), ms(certified)],
        vec!["ratio".into(), format!("{:.2}", certified / elaborated)],
    ];
    let mut rest = certified - elaborated;
    for (kernel, took, declarations) in figures.kernels() {
        rest -= took;
        rows.push(vec![format!("of it, kernel of {kernel}, {declarations} declarations"), ms(took)]);
    }
    rows.push(vec!["of it, all else beyond elaboration".into(), ms(rest)]);
    rows.push(vec!["a process's first certified verdict, nothing kept".into(), ms(millis(figures.first))]);
    let next = "the same, the toolchain's declarations kept";
    rows.push(vec![next.into(), ms(millis(figures.next))]);
    let title = format!("{} MODULES, EACH FROM FRESH STATE", figures.modules);
    print::line(print::table(&[&title, ""], rows, &[1]));
    let rows = figures.library.iter().map(|of| {
        vec![
            of.threads.to_string(),
            of.declarations.to_string(),
            of.refused.to_string(),
            ms(millis(of.elapsed)),
            format!("{:.0}", per_second(of)),
        ]
    });
    let head =
        ["SECOND KERNEL ON THE TOOLCHAIN'S LIBRARY: THREADS", "DECLARATIONS", "REFUSED", "TIME", "A SECOND"];
    print::line(print::table(&head, rows.collect(), &[0, 1, 2, 3, 4]));
    let rows = vec![
        vec!["read as text".into(), ms(millis(figures.read))],
        vec![
            format!("written frozen, {:.0} MB", figures.frozen.1 as f64 / 1e6),
            ms(millis(figures.frozen.0)),
        ],
        vec!["read frozen".into(), ms(millis(figures.thawed))],
    ];
    print::line(print::table(&["THE TOOLCHAIN'S LIBRARY AS A BASE", ""], rows, &[1]));
    print::line(format!("Medians of {} rounds. Machine: {}.", figures.certified.len(), machine::line()));
}

fn as_json(figures: &Figures) -> serde_json::Value {
    let (elaborated, certified) = (figures.elaborated_ms(), figures.certified_ms());
    json!({
        "machine": machine::line(), "modules": figures.modules, "rounds": figures.certified.len(),
        "elaborated_ms": elaborated, "certified_ms": certified, "ratio": certified / elaborated,
        "first_certified_verdict_ms": millis(figures.first),
        "first_certified_verdict_kept_ms": millis(figures.next),
        "kernels": figures.kernels().iter().map(|(kernel, took, declarations)| json!({
            "kernel": kernel, "ms": took, "declarations": declarations,
        })).collect::<Vec<_>>(),
        "base": {
            "read_text_ms": millis(figures.read), "write_frozen_ms": millis(figures.frozen.0),
            "frozen_bytes": figures.frozen.1, "read_frozen_ms": millis(figures.thawed),
        },
        "second_kernel": figures.library.iter().map(|of| json!({
            "threads": of.threads, "declarations": of.declarations, "refused": of.refused, "ms": millis(of.elapsed), "declarations_per_second": per_second(of),
        })).collect::<Vec<_>>(),
    })
}

fn write_csv(path: &Path, figures: &Figures) -> Result<()> {
    let mut text = "measure,round,milliseconds\n".to_owned();
    for (name, passes) in [("elaborated", &figures.elaborated), ("certified", &figures.certified)] {
        for (round, pass) in passes.iter().enumerate() {
            text += &format!("{name},{},{:.1}\n", round + 1, millis(pass.elapsed));
            for (kernel, (took, _)) in &pass.kernels {
                text += &format!("\"{name}, kernel of {kernel}\",{},{took}\n", round + 1);
            }
        }
    }
    for of in &figures.library {
        text += &format!("\"second kernel, {} threads\",1,{:.1}\n", of.threads, millis(of.elapsed));
    }
    std::fs::write(path, text).map_err(|e| Failure::fault(format!("cannot write {}: {e}", path.display())))
}
