//! The structured answers that end an attempt without a submission, checked and put into the wire's words. A wrong one is
//! told to the model and asked for again; none is ever guessed.

use std::collections::BTreeSet;

use atlas_domain::{TargetId, TargetKind};
use atlas_proto::report::Result as Outcome;
use atlas_proto::triage::Action;
use atlas_proto::{Decision, Decompose, Extraction, Review, Target, Task, Triage};

use crate::tool::{self, ExtractedTarget, ProposedTarget, Request, TriageAction, VerdictDecision};

/// New targets that one decomposition may propose; more is no decomposition but another book.
const MAX_PARTS: usize = 12;

/// The outcome that `request` gives `task`; `None` when the request is no ending.
///
/// # Errors
/// What is wrong with it, for the model.
pub fn outcome(request: &Request, task: &Task) -> Option<Result<Outcome, String>> {
    Some(match request {
        Request::GiveUp(tool::GiveUp { reason }) if reason.trim().is_empty() => {
            Err("`reason` is empty. Say what you tried and where it got stuck.".to_owned())
        }
        Request::GiveUp(tool::GiveUp { reason }) => Ok(Outcome::GaveUp(reason.clone())),
        Request::Verdict(verdict) => review(verdict, task),
        Request::Triage(decision) => triage(decision, task),
        Request::Extract(extract) => extraction(extract, task),
        _ => return None,
    })
}

fn review(verdict: &tool::Verdict, task: &Task) -> Result<Outcome, String> {
    let reasons: Vec<String> = verdict.reasons.iter().filter(|r| !r.trim().is_empty()).cloned().collect();
    let decision = match verdict.decision {
        VerdictDecision::Approve => Decision::Approve,
        VerdictDecision::RequestChanges => Decision::RequestChanges,
        VerdictDecision::Reject => Decision::Reject,
    };
    if decision != Decision::Approve && reasons.is_empty() {
        return Err("`reasons` is empty. A verdict other than `approve` needs at least one: where, what is wrong, what it should be.".to_owned());
    }
    let submission = task.subject.as_ref().map(|s| s.id.clone()).unwrap_or_default();
    Ok(Outcome::Review(Review { submission, decision: decision.into(), reasons, noticed: Vec::new() }))
}

fn triage(triage: &tool::Triage, task: &Task) -> Result<Outcome, String> {
    let text = triage.text.trim().to_owned();
    if triage.action != TriageAction::Decompose && text.is_empty() {
        return Err("`text` is empty. Every action but `decompose` needs it.".to_owned());
    }
    let action = match triage.action {
        TriageAction::Decompose => {
            Action::Decompose(Decompose { targets: parts(&triage.targets, task)?, reason: text })
        }
        TriageAction::CorrectStatement => Action::CorrectStatement(text),
        TriageAction::Escalate => Action::Escalate(text),
        TriageAction::Refute => Action::Refute(text),
        TriageAction::Retry => Action::Retry(text),
    };
    Ok(Outcome::Triage(Triage { action: Some(action) }))
}

/// The new targets of a decomposition. What they rest on that is a definition belongs to their statement, all else to their
/// proof; and each may speak of what the parent speaks of.
fn parts(proposed: &[ProposedTarget], task: &Task) -> Result<Vec<Target>, String> {
    let parent = task.target.clone().unwrap_or_default();
    if proposed.is_empty() {
        return Err(
            "`targets` is empty. `decompose` needs the lemmas that the proof is to be made of.".to_owned()
        );
    }
    if proposed.len() > MAX_PARTS {
        return Err(format!("{} targets are too many; give at most {MAX_PARTS}.", proposed.len()));
    }
    let new = labels(proposed.iter().map(|p| p.id.as_str()))?;
    let is_definition =
        |id: &str| task.context.iter().any(|t| t.id == id && t.kind == TargetKind::Definition.as_str());
    let mut parts = Vec::with_capacity(proposed.len());
    for part in proposed {
        if part.id == parent.id || task.context.iter().any(|t| t.id == part.id) {
            return Err(format!("There is a target `{}` already; give the new one another id.", part.id));
        }
        if part.statement.trim().is_empty() || part.declaration.trim().is_empty() {
            return Err(format!("Target `{}` needs a `statement` and a `declaration`.", part.id));
        }
        if let Some(bad) = part.depends_on.iter().find(|d| **d == part.id || **d == parent.id) {
            return Err(format!(
                "Target `{}` cannot depend on `{bad}`: the parent's proof will rest on it.",
                part.id
            ));
        }
        let mut statement_depends_on = parent.statement_depends_on.clone();
        let mut proof_depends_on = Vec::new();
        for id in &part.depends_on {
            if !new.contains(id.as_str()) && is_definition(id) {
                if !statement_depends_on.contains(id) {
                    statement_depends_on.push(id.clone());
                }
            } else if !statement_depends_on.contains(id) {
                proof_depends_on.push(id.clone());
            }
        }
        parts.push(Target {
            id: part.id.clone(),
            kind: TargetKind::Lemma.to_string(),
            chapter: parent.chapter.clone(),
            title: part.title.clone(),
            statement: part.statement.clone(),
            statement_depends_on,
            proof_depends_on,
            declaration: part.declaration.clone(),
            module: parent.module.clone(),
            line: parent.line,
            source: parent.source.clone(),
            parent: parent.id.clone(),
            ..Target::default()
        });
    }
    Ok(parts)
}

fn extraction(extract: &tool::Extract, task: &Task) -> Result<Outcome, String> {
    labels(extract.targets.iter().map(|t| t.id.as_str()))?;
    let chunk = task.target.clone().unwrap_or_default();
    let targets = extract.targets.iter().map(|t| extracted(t, &chunk)).collect::<Result<_, _>>()?;
    Ok(Outcome::Extraction(Extraction { targets }))
}

fn extracted(found: &ExtractedTarget, chunk: &Target) -> Result<Target, String> {
    let kind: TargetKind = found.kind.parse().map_err(|error| format!("Target `{}`: {error}.", found.id))?;
    if found.statement.trim().is_empty() {
        return Err(format!("Target `{}` has an empty `statement`. Give the book's words.", found.id));
    }
    let depends = found.statement_depends_on.iter().chain(&found.proof_depends_on);
    if depends.into_iter().any(|id| *id == found.id) {
        return Err(format!("Target `{}` depends on itself.", found.id));
    }
    Ok(Target {
        id: found.id.clone(),
        kind: kind.to_string(),
        chapter: chunk.chapter.clone(),
        title: found.title.clone(),
        statement: found.statement.clone(),
        proof: found.proof.clone().unwrap_or_default(),
        statement_depends_on: found.statement_depends_on.clone(),
        proof_depends_on: found.proof_depends_on.clone(),
        module: chunk.module.clone(),
        line: found.line,
        source: chunk.source.clone(),
        ..Target::default()
    })
}

/// The labels, all valid and each once.
fn labels<'a>(ids: impl Iterator<Item = &'a str>) -> Result<BTreeSet<&'a str>, String> {
    let mut seen = BTreeSet::new();
    for id in ids {
        TargetId::new(id).map_err(|error| format!("{error}."))?;
        if !seen.insert(id) {
            return Err(format!("Target `{id}` is given twice."));
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(tool: &str, arguments: serde_json::Value) -> Result<Outcome, String> {
        let definition = Target { id: "even".into(), kind: "definition".into(), ..Target::default() };
        let target = Target {
            id: "big".into(),
            module: "N.A".into(),
            statement_depends_on: vec!["even".into()],
            ..Target::default()
        };
        let task = Task { target: Some(target), context: vec![definition], ..Task::default() };
        let request = Request::parse(tool, &arguments, &[tool.to_owned()])?;
        outcome(&request, &task).unwrap()
    }

    #[test]
    fn a_refusal_without_reasons_is_no_verdict() {
        assert!(ask("verdict", json!({"decision": "request_changes", "reasons": [" "]})).is_err());
        assert!(ask("verdict", json!({"decision": "NOT APPROVED"})).unwrap_err().contains("approve"));
        let Ok(Outcome::Review(review)) = ask("verdict", json!({"decision": "approve"})) else { panic!() };
        assert_eq!(review.decision(), Decision::Approve);
    }

    #[test]
    fn a_decomposition_gives_targets_with_their_edges() {
        let part = |id: &str, on: &[&str]| json!({"id": id, "statement": "s", "declaration": "N.x", "depends_on": on});
        let Ok(Outcome::Triage(Triage { action: Some(Action::Decompose(d)) })) = ask(
            "triage",
            json!({"action": "decompose", "targets": [part("one", &["even"]), part("two", &["one"])]}),
        ) else {
            panic!()
        };
        assert_eq!(d.targets[0].statement_depends_on, ["even"]);
        assert_eq!(
            (d.targets[1].proof_depends_on.as_slice(), d.targets[1].parent.as_str()),
            (&["one".to_owned()][..], "big")
        );
        for wrong in [
            json!([]),
            json!([part("big", &[])]),
            json!([part("a b", &[])]),
            json!([part("a", &[]), part("a", &[])]),
            json!([part("a", &["big"])]),
        ] {
            ask("triage", json!({"action": "decompose", "targets": wrong})).unwrap_err();
        }
        assert!(ask("triage", json!({"action": "retry"})).unwrap_err().contains("`text` is empty"));
    }

    #[test]
    fn an_extraction_names_what_is_wrong_with_a_target() {
        let target = |id: &str, kind: &str| json!({"targets": [{"id": id, "kind": kind, "statement": "s", "line": 3}]});
        assert!(ask("extract", target("even-add", "Theorem")).is_ok());
        assert!(
            ask("extract", target("even-add", "fact"))
                .unwrap_err()
                .contains("`fact` is not a kind of target")
        );
        assert!(ask("extract", json!({"targets": []})).is_ok());
    }
}
