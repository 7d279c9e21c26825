//! The gallery's exhibits, each shown to Lean alone, to the gate, and beside its twin.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use atlas_lean::Toolchain as _;
use atlas_proto::{CheckLevel, CheckReply, CheckRequest, Expectation, ModuleSource, Outcome};

use crate::common::{certify, lean, messages};
use crate::exhibit::{Exhibit, Expected};
use crate::layer::{Layer, says};

/// Axioms of the toolchain's that no proof may rest on.
const COMPILER: [&str; 4] = ["sorryAx", "Lean.ofReduceBool", "Lean.ofReduceNat", "Lean.trustCompiler"];

/// What became of an exhibit.
struct Shown {
    name: String,
    tries: String,
    source: String,
    layer: Layer,
    verdict: String,
    took: Duration,
    false_accept: bool,
    false_reject: bool,
    /// What is not as the label says.
    wrong: Vec<String>,
}

#[test]
fn every_attack_is_real_is_stopped_by_the_layer_on_its_label_and_its_honest_twin_passes() {
    let only = std::env::var("ATLAS_ATTACK").unwrap_or_default();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/attacks/gallery");
    let exhibits: Vec<Exhibit> =
        Exhibit::gallery(&folder).into_iter().filter(|e| e.name.contains(&only)).collect();
    let (next, shown) = (AtomicUsize::new(0), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(exhibit) = exhibits.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = show(exhibit);
                    shown.lock().unwrap().push(done);
                }
            });
        }
    });
    let mut shown = shown.into_inner().unwrap();
    shown.sort_by(|a, b| a.name.cmp(&b.name));
    println!("{:<44} {:<14} {:>6}  verdict", "attack", "stopped by", "ms");
    for s in &shown {
        println!("{:<44} {:<14} {:>6}  {}", s.name, s.layer.name(), s.took.as_millis(), s.verdict);
    }
    let count = |of: fn(&Shown) -> bool| shown.iter().filter(|s| of(s)).count();
    let (accepts, rejects) = (count(|s| s.false_accept), count(|s| s.false_reject));
    println!("{} attacks: false accepts {accepts}, false rejects {rejects}", shown.len());
    for s in shown.iter().filter(|s| !s.wrong.is_empty()) {
        println!("{}: {}\n  known from: {}", s.name, s.tries, s.source);
    }
    let wrong: Vec<String> =
        shown.iter().flat_map(|s| s.wrong.iter().map(|w| format!("{}: {w}", s.name))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((accepts, rejects), (0, 0));
    assert!(!shown.is_empty());
}

fn show(exhibit: &Exhibit) -> Shown {
    let mut shown = Shown {
        name: exhibit.name.clone(),
        tries: exhibit.tries.clone(),
        source: exhibit.source.clone(),
        layer: exhibit.layer,
        verdict: String::new(),
        took: Duration::ZERO,
        false_accept: false,
        false_reject: false,
        wrong: vec![],
    };
    let frozen = match freeze(exhibit) {
        Ok(frozen) => frozen,
        Err(why) => {
            shown.wrong.push(why);
            return shown;
        }
    };
    let attack = exhibit.modules("attack").unwrap();
    shown.wrong.extend(alone(exhibit, &attack));
    let started = Instant::now();
    let reply = lean().check(&submission(exhibit, attack, frozen.clone()));
    shown.took = started.elapsed();
    shown.verdict = verdict(&reply);
    let harmless = exhibit.layer == Layer::Sandbox && !says(&reply, "REACHED");
    shown.false_accept = reply.outcome() == Outcome::Accepted && !harmless;
    if !exhibit.layer.spoke(&reply) {
        shown.wrong.push(format!("not stopped by {}: {}", exhibit.layer.name(), told(&reply)));
    }
    if let Some(words) = exhibit.says.as_ref().filter(|words| !says(&reply, words)) {
        shown.wrong.push(format!("does not say {words:?}: {}", told(&reply)));
    }
    if let Some(twin) = exhibit.modules("twin") {
        let may = |e| Expectation { may_sorry: true, ..e };
        let frozen = if exhibit.twin_stated { frozen.into_iter().map(may).collect() } else { frozen };
        let reply = lean().check(&submission(exhibit, twin, frozen));
        if reply.outcome() != Outcome::Accepted {
            shown.false_reject = true;
            shown.wrong.push(format!("the honest twin is refused: {}", told(&reply)));
        } else if reply.receipts.is_empty() {
            shown.wrong.push("the honest twin has no receipt".into());
        }
    }
    shown
}

/// What was asked, with the hashes of its statements, as a merge coordinator has them.
fn freeze(exhibit: &Exhibit) -> Result<Vec<Expectation>, String> {
    let plain = |e: &Expected| Expectation {
        declaration: e.declaration.clone(),
        target: e.declaration.clone(),
        definition: e.definition,
        negated: e.negates.is_some(),
        may_sorry: e.stated,
        ..Expectation::default()
    };
    let Some(asked) = exhibit.modules("asked") else {
        return Ok(exhibit.expects.iter().map(plain).collect());
    };
    let stated = |e: &Expected| Expectation {
        declaration: e.negates.clone().unwrap_or(e.declaration.clone()),
        negated: false,
        may_sorry: !e.definition,
        ..plain(e)
    };
    let expectations = exhibit.expects.iter().map(stated).collect();
    let reply = lean().check(&CheckRequest { expectations, ..certify(asked) });
    if reply.outcome() != Outcome::Accepted {
        return Err(format!("what was asked is refused: {}", told(&reply)));
    }
    let frozen = |e: &Expected| {
        let name = e.negates.as_ref().unwrap_or(&e.declaration);
        let facts = reply.declarations.iter().find(|d| d.name == *name);
        let facts = facts.ok_or_else(|| format!("`{name}` was not asked"))?;
        let hash = if e.negates.is_some() { &facts.negation_hash } else { &facts.statement_hash };
        Ok(Expectation { statement_hash: hash.clone(), ..plain(e) })
    };
    exhibit.expects.iter().map(frozen).collect()
}

fn submission(exhibit: &Exhibit, modules: Vec<ModuleSource>, expectations: Vec<Expectation>) -> CheckRequest {
    CheckRequest {
        expectations,
        deadline_ms: exhibit.deadline_ms,
        memory_bytes: exhibit.memory_bytes,
        ..certify(modules)
    }
}

/// Asks Lean alone, without the gate: what is not as the label says.
fn alone(exhibit: &Exhibit, attack: &[ModuleSource]) -> Vec<String> {
    let mut wrong = vec![];
    let request =
        CheckRequest { level: CheckLevel::Elaborated.into(), ..submission(exhibit, attack.to_vec(), vec![]) };
    let reply = lean().check(&request);
    if outcome(&reply) != exhibit.alone.outcome {
        wrong.push(format!("Lean alone says {}", told(&reply)));
    }
    if let Some(axioms) = &exhibit.alone.axioms {
        let name = &exhibit.expects[0].declaration;
        let own: Vec<&str> = reply.declarations.iter().map(|d| d.name.as_str()).collect();
        let snippet = Some(format!("#print axioms {name}"));
        let main = attack.last().map(|m| m.name.clone()).into_iter().collect();
        let reply = lean().check(&CheckRequest { snippet, check: main, ..request });
        let told = match printed_axioms(&reply, name) {
            None => Err(()),
            // The toolchain's theorems come without proofs, so Lean lists them as axioms too.
            Some(listed) => {
                let counts = |a: &String| {
                    COMPILER.contains(&a.as_str()) || own.contains(&a.as_str()) || axioms.contains(a)
                };
                Ok(listed.into_iter().filter(counts).collect::<Vec<_>>())
            }
        };
        if told.as_ref() != Ok(axioms) {
            wrong.push(format!("`#print axioms {name}` says otherwise: {}", self::told(&reply)));
        }
    }
    wrong
}

/// What `#print axioms` lists.
fn printed_axioms(reply: &CheckReply, name: &str) -> Option<Vec<String>> {
    messages(reply).iter().find_map(|m| {
        let line = m.split_whitespace().collect::<Vec<_>>().join(" ");
        if line == format!("'{name}' does not depend on any axioms") {
            return Some(vec![]);
        }
        let listed = line.strip_prefix(&format!("'{name}' depends on axioms: ["))?.strip_suffix(']')?;
        Some(listed.split(", ").map(str::to_owned).collect())
    })
}

fn outcome(reply: &CheckReply) -> &'static str {
    match reply.outcome() {
        Outcome::Accepted => "accepted",
        Outcome::Rejected => "rejected",
        Outcome::TimedOut => "timed out",
        Outcome::OutOfMemory => "out of memory",
        Outcome::Crashed => "crashed",
        Outcome::EnvironmentFault => "environment fault",
        Outcome::Unspecified => "nothing",
    }
}

/// The outcome with the first reason, in a line.
fn verdict(reply: &CheckReply) -> String {
    let error = reply.diagnostics.iter().find(|d| d.severity() == atlas_proto::Severity::Error);
    let why = error.map_or(&reply.fault, |d| &d.message);
    let line: String = why.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(110).collect();
    format!("{}: {line}", outcome(reply))
}

fn told(reply: &CheckReply) -> String {
    format!("{} {:?} {}", outcome(reply), messages(reply), reply.fault)
}
