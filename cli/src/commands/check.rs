//! `atlas check`: one Lean file, or a whole library from nothing, by real Lean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use atlas_lean::Toolchain;
use atlas_library::layout::{ImportGraph, imports, module_name};
use atlas_proto::tag::Weight;
use atlas_proto::{
    Axioms, CheckLevel, CheckReply, CheckRequest, DeclarationFacts, Diagnostic, ModuleSource, Outcome,
    Severity,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::args::{Allowed, CheckArgs, Output};
use crate::failure::{Exit, Failure, Result};
use crate::format::{duration, plural};
use crate::print::{self, ASK, FAINT, STRONG, WRONG, style_of, styled};
use crate::toolchain::Memory;

/// The largest Lean file that is read, in bytes.
const MOST_BYTES: u64 = 4 << 20;
/// Axioms that a certified declaration may rest on.
const AXIOMS: [&str; 3] = ["propext", "Classical.choice", "Quot.sound"];

/// A module to check.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) source: String,
}

/// What came of one module.
pub(super) struct Checked<'a> {
    pub(super) module: &'a Module,
    pub(super) reply: CheckReply,
    pub(super) ms: u64,
}

/// What came of all that was asked about.
pub(super) struct Answer<'a> {
    pub(super) toolchain: String,
    pub(super) results: Vec<Checked<'a>>,
    pub(super) ms: u64,
    pub(super) exit: Exit,
}

/// Checks a file or a library.
pub fn check(args: &CheckArgs) -> Result<Exit> {
    let modules = modules(args)?;
    let answer = ask(args, &modules)?;
    match args.output.output {
        Output::Json => print::json(&as_json(&answer))?,
        Output::Text => summary(&answer),
    }
    Ok(answer.exit)
}

/// The modules that the arguments name.
pub(super) fn modules(args: &CheckArgs) -> Result<Vec<Module>> {
    match (&args.file, &args.library) {
        (Some(file), _) => Ok(vec![read(file, file_module(file))?]),
        (None, Some(library)) => library_modules(library),
        (None, None) => Err(Failure::input("name a Lean file, or a library with `--library DIR`")),
    }
}

/// Asks Lean about them, each from nothing, and tells what it says as it does.
pub(super) fn ask<'a>(args: &CheckArgs, which: &'a [Module]) -> Result<Answer<'a>> {
    let toolchain =
        crate::toolchain::open(&args.toolchain.clone().into(), args.cache.as_deref(), Memory::Fresh)?;
    ask_of(&*toolchain, args, which)
}

/// [`ask`] of a toolchain that is open already and has no memory of earlier checks.
pub(super) fn ask_of<'a>(
    toolchain: &dyn Toolchain,
    args: &CheckArgs,
    which: &'a [Module],
) -> Result<Answer<'a>> {
    let order = order(which)?;
    let text = args.output.output == Output::Text;
    if text {
        print::line(styled(FAINT, format!("{} by {}", plural(order.len(), "module"), toolchain.name())));
    }
    let begun = Instant::now();
    let results = side_by_side(toolchain, which, &order, args, |checked| {
        if text {
            tell(checked);
        }
    });
    let (exit, ms) = (verdict(&results), begun.elapsed().as_millis() as u64);
    Ok(Answer { toolchain: toolchain.name(), results, ms, exit })
}

/// Checks modules, as many at once as there are processors and each after those that it imports; `told` hears of them in their `order`.
fn side_by_side<'a>(
    toolchain: &dyn Toolchain,
    modules: &'a [Module],
    order: &[usize],
    args: &CheckArgs,
    mut told: impl FnMut(&Checked<'a>),
) -> Vec<Checked<'a>> {
    let known: BTreeSet<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let below =
        |at: usize| imports(&modules[at].source).into_iter().filter(|name| known.contains(name.as_str()));
    let mut waiting: Vec<(usize, Vec<String>)> = order.iter().map(|&at| (at, below(at).collect())).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut done: BTreeMap<usize, Checked<'a>> = BTreeMap::new();
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        let (ended, end) = std::sync::mpsc::channel();
        let mut running = 0;
        while results.len() < order.len() {
            while running < cores
                && let Some(ready) = waiting.iter().position(|(_, below)| below.is_empty())
            {
                let (at, _) = waiting.remove(ready);
                let ended = ended.clone();
                scope.spawn(move || {
                    // Who listens waits for all of them.
                    let _ = ended.send((at, one(toolchain, modules, at, args)));
                });
                running += 1;
            }
            // An order has no cycle: something runs as long as something waits.
            let Ok((at, checked)) = end.recv() else { break };
            running -= 1;
            for (_, below) in &mut waiting {
                below.retain(|name| *name != modules[at].name);
            }
            done.insert(at, checked);
            while let Some(next) = order.get(results.len()).and_then(|at| done.remove(at)) {
                told(&next);
                results.push(next);
            }
        }
    });
    results
}

/// Checks one module from fresh state, with the sources of all that it imports.
fn one<'a>(toolchain: &dyn Toolchain, modules: &'a [Module], at: usize, args: &CheckArgs) -> Checked<'a> {
    let module = &modules[at];
    let by_name: BTreeMap<&str, &Module> =
        modules.iter().map(|module| (module.name.as_str(), module)).collect();
    let mut wanted = vec![module.name.clone()];
    let mut closure: BTreeSet<String> = BTreeSet::new();
    while let Some(name) = wanted.pop() {
        if let Some(found) = by_name.get(name.as_str()).filter(|_| closure.insert(name.clone())) {
            wanted.extend(imports(&found.source));
        }
    }
    let sources = closure.iter().filter_map(|name| by_name.get(name.as_str())).map(|module| ModuleSource {
        name: module.name.clone(),
        sha256: hex::encode(Sha256::digest(module.source.as_bytes())),
        source: Some(module.source.clone().into_bytes()),
    });
    let request = CheckRequest {
        id: format!("check {}", module.name),
        level: CheckLevel::Certified.into(),
        modules: sources.collect(),
        check: vec![module.name.clone()],
        deadline_ms: u32::try_from(args.limits.deadline.get().as_millis()).unwrap_or(u32::MAX),
        memory_bytes: args.limits.memory.bytes(),
        axioms: args.limits.axioms.as_ref().map(|Allowed(axioms)| Axioms {
            names: axioms.iter().map(|axiom| axiom.name().to_owned()).collect(),
        }),
        ..CheckRequest::default()
    };
    let begun = Instant::now();
    let reply = toolchain.check(&request);
    Checked { module, reply, ms: begun.elapsed().as_millis() as u64 }
}

/// A lone file's module name: its stem when that can be one.
fn file_module(file: &Path) -> String {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let fits = stem.chars().next().is_some_and(|c| c.is_alphabetic())
        && stem.chars().all(|c| c.is_alphanumeric() || c == '_');
    if fits { stem } else { "File".into() }
}

/// All modules of a library: every `.lean` file but Lake's own.
pub(super) fn library_modules(library: &Path) -> Result<Vec<Module>> {
    let unreadable = |path: &Path, e: std::io::Error| {
        Failure::input(format!("cannot read the library at {}: {e}", path.display()))
            .hint("name the folder that holds lakefile.toml; of a run it is runs/NAME/library")
    };
    let mut folders = vec![library.to_owned()];
    let mut modules = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| unreadable(&folder, e))? {
            let path = entry.map_err(|e| unreadable(&folder, e))?.path();
            let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if hidden || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Some(name) =
                path.strip_prefix(library).ok().and_then(|path| module_name(&path.to_string_lossy()))
                && name != "lakefile"
            {
                modules.push(read(&path, name)?);
            }
        }
    }
    modules.sort_by(|a, b| a.name.cmp(&b.name));
    if modules.is_empty() {
        return Err(Failure::input(format!("there is no Lean module in {}", library.display()))
            .hint("name the folder that holds lakefile.toml; of a run it is runs/NAME/library"));
    }
    Ok(modules)
}

fn read(path: &Path, name: String) -> Result<Module> {
    let unreadable = |cause: String| Failure::input(format!("cannot read {}: {cause}", path.display()));
    let meta = path.metadata().map_err(|e| unreadable(e.to_string()))?;
    if meta.is_dir() {
        return Err(unreadable("it is a folder".into()).hint("check a whole library with `--library DIR`"));
    }
    if meta.len() > MOST_BYTES {
        return Err(unreadable(format!(
            "it has {} MB; at most {} MB are read",
            meta.len() >> 20,
            MOST_BYTES >> 20
        )));
    }
    let bytes = std::fs::read(path).map_err(|e| unreadable(e.to_string()))?;
    let source = String::from_utf8(bytes).map_err(|e| {
        unreadable(format!("byte {} is not UTF-8", e.utf8_error().valid_up_to()))
            .hint("save the file as UTF-8")
    })?;
    Ok(Module { name, path: path.to_owned(), source })
}

/// Indices of the modules, each after those that it imports.
pub(super) fn order(modules: &[Module]) -> Result<Vec<usize>> {
    let known: BTreeSet<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let graph = ImportGraph::of(
        "",
        modules.iter().map(|module| {
            let own = imports(&module.source).into_iter().filter(|import| known.contains(import.as_str()));
            (module.name.clone(), own.collect())
        }),
    );
    let names = graph.and_then(|graph| graph.order()).map_err(|e| Failure::input(e.to_string()))?;
    let at: BTreeMap<&str, usize> =
        modules.iter().enumerate().map(|(at, module)| (module.name.as_str(), at)).collect();
    Ok(names.iter().filter_map(|name| at.get(name.as_str()).copied()).collect())
}

pub(super) fn outcome(reply: &CheckReply) -> Outcome {
    Outcome::try_from(reply.outcome).unwrap_or(Outcome::Unspecified)
}

pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "accepted",
        Outcome::Rejected => "rejected",
        Outcome::TimedOut => "timed-out",
        Outcome::OutOfMemory => "out-of-memory",
        Outcome::Crashed => "crashed",
        Outcome::EnvironmentFault | Outcome::Unspecified => "environment-fault",
    }
}

/// Declarations whose own proof is `sorry`.
pub(super) fn sorries(reply: &CheckReply) -> Vec<&str> {
    let own = |d: &&DeclarationFacts| d.sorry_from.contains(&d.name);
    reply.declarations.iter().filter(own).map(|d| d.name.as_str()).collect()
}

/// Declarations that rest on the `sorry` of others only, and on whose.
fn inheriting(reply: &CheckReply) -> Vec<(&str, String)> {
    let inherits = |d: &&DeclarationFacts| d.uses_sorry && !d.sorry_from.contains(&d.name);
    reply.declarations.iter().filter(inherits).map(|d| (d.name.as_str(), d.sorry_from.join(", "))).collect()
}

fn foreign_axioms(declaration: &DeclarationFacts) -> Vec<&str> {
    let foreign = declaration
        .axioms
        .iter()
        .map(String::as_str)
        .filter(|axiom| !AXIOMS.contains(axiom) && *axiom != "sorryAx");
    foreign.collect()
}

fn verdict(results: &[Checked<'_>]) -> Exit {
    let any = |test: &dyn Fn(&CheckReply) -> bool| results.iter().any(|checked| test(&checked.reply));
    if any(&|reply| !reply.incidents.is_empty()) {
        Exit::Incident
    } else if any(&|reply| matches!(outcome(reply), Outcome::EnvironmentFault | Outcome::Unspecified)) {
        Exit::Fault
    } else if any(&|reply| {
        outcome(reply) != Outcome::Accepted
            || reply.declarations.iter().any(|d| d.uses_sorry)
            || reply.declarations.iter().any(|d| !foreign_axioms(d).is_empty())
    }) {
        Exit::Open
    } else {
        Exit::Done
    }
}

fn tell(checked: &Checked<'_>) {
    let reply = &checked.reply;
    let outcome = outcome(reply);
    let style =
        if outcome == Outcome::Accepted { style_of(atlas_domain::TargetState::Certified) } else { WRONG };
    let time = styled(FAINT, duration(checked.ms));
    print::line(format!("{} {} {time}", styled(style, word(outcome)), styled(STRONG, &checked.module.name)));
    for diagnostic in &reply.diagnostics {
        print::line(format!("  {}", diagnostic_line(checked.module, diagnostic)));
    }
    if !reply.fault.is_empty() {
        print::line(format!("  {}", reply.fault));
    }
    for incident in &reply.incidents {
        print::line(format!(
            "  {} the kernels contradict each other: {incident}",
            styled(WRONG, "incident:")
        ));
        print::line("  help: one of two kernels has a mistake: believe neither, and report it with the file");
    }
    if let Some(way) = way_out(outcome) {
        print::line(format!("  help: {way}"));
    }
    for name in sorries(reply) {
        print::line(format!("  {} {name}", styled(ASK, "uses sorry:")));
    }
    for (name, from) in inheriting(reply) {
        print::line(format!("  {} {name}, which rests on {from}", styled(ASK, "proved, given what is not:")));
    }
    for declaration in &reply.declarations {
        let foreign = foreign_axioms(declaration);
        if !foreign.is_empty() {
            print::line(format!(
                "  {} {} rests on {}",
                styled(WRONG, "axioms:"),
                declaration.name,
                foreign.join(", ")
            ));
        }
        for tag in declaration.tags.iter().filter(|tag| tag.weight() > Weight::Information) {
            let (name, kind, evidence) = (&declaration.name, &tag.kind, &tag.evidence);
            let weight = styled(ASK, format!("noticed, {}:", tag.weight().word()));
            print::line(format!("  {weight} {name}, {kind}: {evidence}"));
        }
    }
}

/// What to do when Lean came to no verdict.
fn way_out(outcome: Outcome) -> Option<&'static str> {
    Some(match outcome {
        Outcome::TimedOut => {
            "if it is honest work, give it longer with `--deadline`; else look for what loops"
        }
        Outcome::OutOfMemory => {
            "if it is honest work, give it more with `--memory`; else look for what grows"
        }
        Outcome::Crashed => {
            "something in the file ended Lean itself: leave out parts until it does not; the next check is none the worse"
        }
        Outcome::EnvironmentFault | Outcome::Unspecified => {
            "not the file's fault: see that the disk has room, or prepare Lean anew with `scripts/setup lean`"
        }
        Outcome::Accepted | Outcome::Rejected => return None,
    })
}

fn diagnostic_line(module: &Module, diagnostic: &Diagnostic) -> String {
    let start = diagnostic.start.unwrap_or_default();
    let severity = match diagnostic.severity() {
        Severity::Error => styled(WRONG, "error"),
        Severity::Warning => styled(ASK, "warning"),
        _ => "information".to_owned(),
    };
    let message = diagnostic.message.replace('\n', "\n    ");
    format!("{}:{}:{}: {severity}: {message}", module.path.display(), start.line, start.column)
}

pub(super) fn summary(answer: &Answer<'_>) {
    let Answer { results, ms, exit, .. } = answer;
    let declarations: usize = results.iter().map(|checked| checked.reply.declarations.len()).sum();
    let open: usize = results.iter().map(|checked| sorries(&checked.reply).len()).sum();
    let resting: usize = results.iter().map(|checked| inheriting(&checked.reply).len()).sum();
    let refused = results.iter().filter(|checked| outcome(&checked.reply) != Outcome::Accepted).count();
    let what = match exit {
        Exit::Done => "accepted from nothing: no `sorry`, no axiom beyond those allowed".to_owned(),
        _ if refused > 0 => format!("{} not accepted", plural(refused, "module")),
        _ => match resting {
            0 => format!("{} not proved yet", plural(open, "declaration")),
            _ => format!("{} not proved yet, {resting} more rest on them", plural(open, "declaration")),
        },
    };
    let (modules, declarations) = (plural(results.len(), "module"), plural(declarations, "declaration"));
    print::line(format!("{modules}, {declarations}, {}: {what}", duration(*ms)));
}

pub(super) fn as_json(answer: &Answer<'_>) -> Value {
    let Answer { toolchain, results, exit, .. } = answer;
    let modules: Vec<Value> = results
        .iter()
        .map(|checked| {
            let reply = &checked.reply;
            json!({
                "module": checked.module.name,
                "path": checked.module.path,
                "outcome": word(outcome(reply)),
                "ms": checked.ms,
                "peak_memory_bytes": reply.peak_memory_bytes,
                "fault": reply.fault,
                "incidents": reply.incidents,
                "diagnostics": reply.diagnostics.iter().map(|d| json!({
                    "severity": match d.severity() { Severity::Error => "error", Severity::Warning => "warning", _ => "information" },
                    "line": d.start.unwrap_or_default().line,
                    "column": d.start.unwrap_or_default().column,
                    "message": d.message,
                })).collect::<Vec<_>>(),
                "declarations": reply.declarations.iter().map(|d| json!({
                    "name": d.name, "kind": d.kind, "statement": d.statement, "statement_hash": d.statement_hash,
                    "axioms": d.axioms, "uses_sorry": d.uses_sorry, "sorry_from": d.sorry_from,
                    "tags": d.tags.iter().map(|tag| json!({
                        "kind": tag.kind, "weight": tag.weight().word(), "evidence": tag.evidence,
                    })).collect::<Vec<_>>(),
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({ "toolchain": toolchain, "accepted": *exit == Exit::Done, "modules": modules })
}
