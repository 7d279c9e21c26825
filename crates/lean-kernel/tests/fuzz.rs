//! Mutations of right files. Nothing may panic; what is still accepted must be justified.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

use std::collections::BTreeMap;
use std::io::Cursor;

use atlas_lean_kernel::ndjson::{Bounds, Reader};
use atlas_lean_kernel::{
    AllowedAxioms, Base, Declaration, Declarations, Limit, Limits, Policy, Terms, Verdict, check,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{}/tests/data/{name}.ndjson", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn limits() -> Limits {
    Limits { steps: 20_000_000, ..Limits::default() }
}

fn read(text: &str) -> Option<(Terms, Declarations)> {
    let mut reader = Reader::new(&Base::empty(), &Bounds::default());
    reader.read(&mut Cursor::new(text)).ok()?;
    Some(reader.finish())
}

fn verdict(terms: &mut Terms, declarations: &Declarations) -> Verdict {
    let policy = Policy { axioms: AllowedAxioms::Any, trust_arithmetic: true, ..Policy::default() };
    let v = check(terms, declarations, &policy, &limits());
    assert!(!matches!(&v, Verdict::Undecided(u) if u.limit == Limit::Fault), "the checker panicked: {v}");
    v
}

/// All places in a value where there is a number, a truth value or a list.
fn places(v: &mut Value) -> Vec<&mut Value> {
    match v {
        Value::Object(o) => o.values_mut().flat_map(places).collect(),
        Value::Array(a) if a.is_empty() => vec![],
        Value::Array(a) => a.iter_mut().flat_map(places).collect(),
        Value::Number(_) | Value::Bool(_) => vec![v],
        _ => vec![],
    }
}

/// One change to one line: an id moved, a flag turned, a line gone, two lines swapped, a list cut or turned round.
fn mutate(r: &mut StdRng, lines: &mut Vec<String>) {
    // Declarations are few and matter most.
    let declarations: Vec<usize> = (1..lines.len())
        .filter(|i| !["\"in\":", "\"il\":", "\"ie\":"].iter().any(|k| lines[*i].contains(k)))
        .collect();
    let at = if r.random_bool(0.5) {
        declarations[r.random_range(0..declarations.len())]
    } else {
        r.random_range(1..lines.len())
    };
    let mut v: Value = serde_json::from_str(&lines[at]).unwrap();
    match r.random_range(0..12) {
        0 => {
            lines.remove(at);
            return;
        }
        1 if at + 1 < lines.len() => {
            lines.swap(at, at + 1);
            return;
        }
        2 | 3 => reorder(r, &mut v),
        _ => {}
    }
    let places = places(&mut v);
    let n = places.len();
    if let Some(p) = places.into_iter().nth(r.random_range(0..n.max(1))) {
        *p = match &*p {
            Value::Bool(b) => (!*b).into(),
            Value::Number(n) => {
                let n = n.as_u64().unwrap();
                match r.random_range(0..4) {
                    0 => n + 1,
                    1 => n.saturating_sub(1),
                    2 => r.random_range(0..n + 2),
                    _ => n.saturating_sub(r.random_range(0..40)),
                }
                .into()
            }
            other => other.clone(),
        };
    }
    lines[at] = v.to_string();
}

fn reorder(r: &mut StdRng, v: &mut Value) {
    match v {
        Value::Object(o) => o.values_mut().for_each(|v| reorder(r, v)),
        Value::Array(a) if r.random_bool(0.3) => {
            if r.random_bool(0.5) {
                a.reverse();
            } else {
                a.pop();
            }
        }
        Value::Array(a) => a.iter_mut().for_each(|v| reorder(r, v)),
        _ => {}
    }
}

/// What an accepted mutant changed: for every name the declaration, without what means nothing.
fn meanings(terms: &Terms, declarations: &Declarations) -> BTreeMap<String, Declaration> {
    declarations
        .names()
        .filter_map(|n| {
            let d = match declarations.get(n)? {
                // How eagerly something unfolds means nothing, nor the order of recursors.
                Declaration::Definition { signature, value, .. } => {
                    Declaration::Definition { signature, value, height: atlas_lean_kernel::Height::Opaque }
                }
                Declaration::Inductive(mut b) => {
                    b.recursors.sort_by_key(|r| r.signature.name);
                    Declaration::Inductive(b)
                }
                d => d,
            };
            Some((terms.show(n), d))
        })
        .collect()
}

/// Is the difference one that must be accepted? Definitions, axioms, opaque constants and names may say something else and be
/// right. A theorem may have another statement, with a proof of that. But a block's flags, numbers and recursors follow from its types
/// and constructors, so they cannot differ alone.
fn justified(old: &Declaration, new: &Declaration) -> Result<(), String> {
    let (Declaration::Inductive(a), Declaration::Inductive(b)) = (old, new) else { return Ok(()) };
    let names = |b: &atlas_lean_kernel::Inductive| {
        (
            b.types.iter().map(|t| t.signature.clone()).collect::<Vec<_>>(),
            b.constructors.iter().map(|c| c.signature.clone()).collect::<Vec<_>>(),
        )
    };
    if names(a) != names(b) || a.types.iter().zip(&b.types).any(|(x, y)| x.num_params != y.num_params) {
        return Ok(());
    }
    for (x, y) in a.types.iter().zip(&b.types) {
        if x != y {
            return Err("a type's flags or numbers differ".into());
        }
    }
    if a.constructors != b.constructors {
        return Err("a constructor's numbers differ".into());
    }
    for (x, y) in a.recursors.iter().zip(&b.recursors) {
        let facts = |r: &atlas_lean_kernel::Recursor| {
            (r.num_params, r.num_indices, r.num_motives, r.num_minors, r.k, r.rules.len())
        };
        let rules = |r: &atlas_lean_kernel::Recursor| {
            r.rules.iter().map(|r| (r.constructor, r.num_fields)).collect::<Vec<_>>()
        };
        if facts(x) != facts(y) || rules(x) != rules(y) {
            return Err("a recursor's numbers or rules differ".into());
        }
    }
    Ok(())
}

fn hunt(name: &str, seed: u64, cases: u32) -> (u32, u32) {
    let original = file(name);
    let lines: Vec<String> = original.lines().map(str::to_owned).collect();
    let mut r = StdRng::seed_from_u64(seed);
    let (mut accepted, mut other) = (0, 0);
    for case in 0..cases {
        let mut mutant = lines.clone();
        for _ in 0..r.random_range(1..3) {
            mutate(&mut r, &mut mutant);
        }
        let text = mutant.join("\n") + "\n";
        let Some((terms, declarations)) = read(&text) else {
            other += 1;
            continue;
        };
        // The original in the same terms, so that equal things have equal ids.
        let mut reader = Reader::into_terms(terms, Declarations::over(&Base::empty()), &Bounds::default());
        reader.read(&mut Cursor::new(&original)).unwrap();
        let (mut terms, right) = reader.finish();
        // Declarations are over the base that the terms are over: `Base::empty` makes a new one each time.
        let (old, new) = (meanings(&terms, &right), meanings(&terms, &declarations));
        if verdict(&mut terms, &declarations).is_accepted() {
            accepted += 1;
            for (n, d) in &new {
                if let Some(o) = old.get(n)
                    && o != d
                    && let Err(e) = justified(o, d)
                {
                    panic!("{name}, seed {seed}, case {case}: {n}: {e}\n{o:?}\n{d:?}");
                }
            }
        } else {
            other += 1;
        }
    }
    (accepted, other)
}

#[test]
fn mutants_of_inductive_types() {
    let (accepted, other) = hunt("inductive", 11, 1500);
    println!("{accepted} accepted, {other} not");
    assert!(other > accepted && accepted > 0, "{accepted} accepted, {other} not");
}

#[test]
fn mutants_of_proofs() {
    hunt("proofs", 12, 600);
}

#[test]
fn mutants_of_axioms() {
    hunt("axioms", 13, 3000);
}

/// Bytes, not lines: the reader's side of the fuzz target in `fuzz/`.
#[test]
fn mutated_bytes_are_read_or_refused() {
    let original = file("axioms").into_bytes();
    let mut r = StdRng::seed_from_u64(14);
    for _ in 0..1500 {
        let mut bytes = original.clone();
        for _ in 0..r.random_range(1..5) {
            let at = r.random_range(0..bytes.len());
            match r.random_range(0..4) {
                0 => bytes[at] = r.random(),
                1 => bytes.truncate(at.max(1)),
                2 => drop(bytes.remove(at)),
                _ => {
                    let from = r.random_range(0..bytes.len());
                    let piece = bytes[from..(from + r.random_range(0..60)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        atlas_lean_kernel_entry(&bytes);
    }
}

/// What the fuzz target runs.
fn atlas_lean_kernel_entry(bytes: &[u8]) {
    include!("../fuzz/entry.rs");
}

#[test]
fn the_corpus_is_read_or_refused() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/parser");
    let mut n = 0;
    for f in std::fs::read_dir(dir).unwrap() {
        atlas_lean_kernel_entry(&std::fs::read(f.unwrap().path()).unwrap());
        n += 1;
    }
    assert!(n >= 5, "{n} files");
}
