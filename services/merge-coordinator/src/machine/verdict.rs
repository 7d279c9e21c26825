//! What Lean's answer means for the queue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atlas_judge::{AXIOMS, Policy, SORRY};
use atlas_proto::{CheckReply, DeclarationFacts, Diagnostic, Expectation, MergeVerdict, Outcome, Severity};

use super::shared::Shared;
use super::{Check, Footprint, receipts};

/// Diagnostics of a refusal that are journaled and sent back, and how long each may be. An agent reads no more.
const MAX_DIAGNOSTICS: usize = 20;
const MAX_MESSAGE_BYTES: usize = 2_000;

/// Landed declarations, by the hash of their names, with their modules.
pub type Known = Shared<u64, Arc<str>>;

/// Whether the content was judged at all. Everything else may be the environment's fault.
pub fn is_judgement(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Accepted | Outcome::Rejected)
}

/// FNV-1a of a declaration's name: enough to see that two modules declare the same.
pub fn name_hash(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Reduces a reply to what the queue needs: of declarations, those that are expected and those that `known` lacks.
pub fn verdict(
    key: &str,
    mut reply: CheckReply,
    check: &Check,
    known: &Known,
    policy: &Policy,
) -> MergeVerdict {
    let (footprint, expectations) = (&*check.footprint, &check.expectations[..]);
    let mut outcome = reply.outcome();
    let twice = (outcome == Outcome::Accepted).then(|| declared_twice(&reply, footprint, known)).flatten();
    let founded = receipts::founded(&reply, &check.sources, policy);
    let (kind, reason) = match (outcome, twice, founded) {
        (Outcome::Accepted, Some(reason), _) => {
            outcome = Outcome::Rejected;
            ("build".to_owned(), reason)
        }
        // Lean said yes, and what says so cannot be kept: as if it had said nothing.
        (Outcome::Accepted, None, Err(reason)) => {
            outcome = Outcome::EnvironmentFault;
            ("environment".to_owned(), reason)
        }
        (outcome, _, _) => judged(outcome, &reply, expectations),
    };
    let expected: BTreeSet<&str> = expectations.iter().map(|e| e.declaration.as_str()).collect();
    let accepted = outcome == Outcome::Accepted;
    let written = |facts: &&DeclarationFacts| footprint.writes.contains(&facts.module);
    let mut names: Vec<u64> = Vec::new();
    if accepted {
        names = reply.declarations.iter().filter(written).map(|facts| name_hash(&facts.name)).collect();
        names.sort_unstable();
        names.dedup();
    }
    let receipts = if accepted { std::mem::take(&mut reply.receipts) } else { Vec::new() };
    let declarations = reply
        .declarations
        .into_iter()
        .filter(|facts| {
            let new =
                footprint.writes.contains(&facts.module) && !known.contains_key(&name_hash(&facts.name));
            accepted && (new || expected.contains(facts.name.as_str()))
        })
        .collect();
    let diagnostics = if accepted { Vec::new() } else { shortened(reply.diagnostics) };
    MergeVerdict {
        key: key.to_owned(),
        outcome: outcome.into(),
        kind,
        reason,
        diagnostics,
        declarations,
        names,
        lean_ms: reply.lean_ms,
        receipts,
        incidents: reply.incidents,
    }
}

fn judged(outcome: Outcome, reply: &CheckReply, expectations: &[Expectation]) -> (String, String) {
    match outcome {
        Outcome::Accepted => (String::new(), String::new()),
        Outcome::Rejected if !reply.incidents.is_empty() => {
            let reason = format!("the kernels contradict each other: {}", reply.incidents.join("; "));
            ("incident".to_owned(), reason)
        }
        Outcome::Rejected => rejection(reply, expectations),
        _ => ("environment".to_owned(), fault(reply)),
    }
}

/// Two modules that do not import each other may both declare a name and both build; the root, which imports both, does not.
fn declared_twice(reply: &CheckReply, footprint: &Footprint, known: &Known) -> Option<String> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for facts in &reply.declarations {
        let landed = known.get(&name_hash(&facts.name)).map(AsRef::as_ref);
        // A module that the candidate writes may have lost the name.
        let landed = landed.filter(|module| !footprint.writes.contains(*module));
        let landed = landed.filter(|_| footprint.writes.contains(&facts.module));
        let other =
            seen.insert(&facts.name, &facts.module).or(landed).filter(|module| *module != facts.module);
        if let Some(other) = other {
            return Some(format!(
                "`{}` is declared in {} and in {other}: no file could import both; give one another name",
                facts.name, facts.module
            ));
        }
    }
    None
}

/// What a reply that judged nothing says of why.
pub fn fault(reply: &CheckReply) -> String {
    let what = match reply.outcome() {
        Outcome::TimedOut => "the check ran out of time",
        Outcome::OutOfMemory => "the check ran out of memory",
        Outcome::Crashed => "the Lean process died",
        _ => "the verifier could not check",
    };
    if reply.fault.is_empty() { what.to_owned() } else { format!("{what}: {}", reply.fault) }
}

/// Kind and reason of a rejection: what Lean said of axioms and frozen statements, else that it does not build.
fn rejection(reply: &CheckReply, expectations: &[Expectation]) -> (String, String) {
    for facts in &reply.declarations {
        // Whose `sorry` it may rest on, the gate has judged by its expectation.
        let foreign = |axiom: &&String| !AXIOMS.contains(&axiom.as_str()) && axiom.as_str() != SORRY;
        if let Some(axiom) = facts.axioms.iter().find(foreign) {
            return ("axioms".to_owned(), format!("`{}` rests on the axiom `{axiom}`", facts.name));
        }
    }
    let facts_of = |name: &str| reply.declarations.iter().find(|facts| facts.name == name);
    for expected in expectations {
        let Some(facts) = facts_of(&expected.declaration) else { continue };
        let frozen = &expected.statement_hash;
        if !frozen.is_empty() && !facts.statement_hash.is_empty() && *frozen != facts.statement_hash {
            let should = if expected.negated { "the negation of the frozen one" } else { "the frozen one" };
            let reason = format!(
                "the statement of `{}` is not {should}; it now reads `{}`",
                facts.name, facts.statement
            );
            return ("statement".to_owned(), reason);
        }
    }
    let errors: Vec<&Diagnostic> =
        reply.diagnostics.iter().filter(|d| d.severity() == Severity::Error).collect();
    // What the gate says of a whole module has no place in it.
    let says = |word: &str| errors.iter().any(|d| d.start.is_none() && d.message.contains(word));
    let kind = if says("axiom") || says("`sorry`") {
        "axioms"
    } else if says("frozen") || says("is expected") || says("must be a ") {
        "statement"
    } else {
        "build"
    };
    let reason = match errors.first() {
        None => "Lean rejected it without a message".to_owned(),
        Some(first) => {
            let more = match errors.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            format!("{}{more}", line(first))
        }
    };
    (kind.to_owned(), reason)
}

fn line(diagnostic: &Diagnostic) -> String {
    let message: String = diagnostic.message.lines().next().unwrap_or_default().chars().take(300).collect();
    match &diagnostic.start {
        Some(at) => format!("{}:{}:{}: {message}", diagnostic.module, at.line, at.column),
        None if diagnostic.module.is_empty() => message,
        None => format!("{}: {message}", diagnostic.module),
    }
}

/// Errors first, each cut to a length that can be read.
fn shortened(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|d| d.severity);
    diagnostics.truncate(MAX_DIAGNOSTICS);
    for diagnostic in &mut diagnostics {
        if diagnostic.message.len() > MAX_MESSAGE_BYTES {
            let cut = diagnostic.message.floor_char_boundary(MAX_MESSAGE_BYTES);
            diagnostic.message.truncate(cut);
            diagnostic.message.push_str(" …");
        }
    }
    diagnostics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(declarations: &[(&str, &str)], messages: &[&str]) -> CheckReply {
        let facts = |&(name, module): &(&str, &str)| DeclarationFacts {
            name: name.to_owned(),
            module: module.to_owned(),
            ..DeclarationFacts::default()
        };
        let error = |message: &&str| Diagnostic {
            severity: Severity::Error.into(),
            module: "N.A".to_owned(),
            message: (*message).to_owned(),
            ..Diagnostic::default()
        };
        let outcome = if messages.is_empty() { Outcome::Accepted } else { Outcome::Rejected };
        CheckReply {
            outcome: outcome.into(),
            declarations: declarations.iter().map(facts).collect(),
            diagnostics: messages.iter().map(error).collect(),
            ..CheckReply::default()
        }
    }

    fn judge(reply: CheckReply, writes: &[&str], known: &[(&str, &str)]) -> MergeVerdict {
        let writes = writes.iter().map(|&module| module.to_owned()).collect();
        let footprint = Footprint { writes, ..Footprint::default() };
        let check = Check { footprint: Arc::new(footprint), ..Check::default() };
        let known = known.iter().map(|(name, module)| (name_hash(name), Arc::from(*module))).collect();
        verdict("key", reply, &check, &known, &Policy::default())
    }

    #[test]
    fn a_name_that_another_module_has_is_refused_before_the_root_breaks() {
        let twice = judge(reply(&[("N.x", "N.A")], &[]), &["N.A"], &[("N.x", "N.B")]);
        assert_eq!(twice.kind, "build");
        assert!(twice.reason.contains("`N.x` is declared in N.A and in N.B"), "{}", twice.reason);
        let moved = judge(reply(&[("N.x", "N.A")], &[]), &["N.A", "N.B"], &[("N.x", "N.B")]);
        assert_eq!(moved.kind, "", "the other module is rewritten and may have lost it");
        let same = judge(reply(&[("N.x", "N.A"), ("N.y", "N.A")], &[]), &["N.A"], &[("N.x", "N.A")]);
        assert_eq!((same.kind.as_str(), same.names.len(), same.declarations.len()), ("", 2, 1));
    }

    #[test]
    fn the_kind_of_a_refusal_is_what_the_gate_says() {
        let kind = |message: &str| judge(reply(&[], &[message]), &["N.A"], &[]).kind;
        assert_eq!(kind("`N.x` rests on the axiom `N.cheat`, outside of `propext`"), "axioms");
        assert_eq!(kind("`N.x` is not proved: it rests on `sorry`"), "axioms");
        assert_eq!(kind("`N.x` no longer states what was frozen"), "statement");
        assert_eq!(kind("`N.x` is expected (target x) and not declared"), "statement");
        assert_eq!(kind("unsolved goals"), "build");
    }
}
