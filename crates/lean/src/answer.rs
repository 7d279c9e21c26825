//! Requests to the session, and its answers as artefacts.

use std::collections::{BTreeMap, BTreeSet};

use atlas_judge::{Facts, Kind, Refusal, SORRY, is_auxiliary_text};
use atlas_proto::{CheckLevel, CheckRequest, DeclarationFacts, Diagnostic, Position, Severity};
use serde::{Deserialize, Serialize};

use crate::cache::Artefact;
use crate::frame::{Frame, frames};
use crate::graph::error;
use crate::handed::{Described, Handed};
use crate::pipeline::Work;

/// What a check asks of each module.
pub(crate) struct Asked<'a> {
    pub(crate) certified: bool,
    /// Declarations that are asked for by name.
    pub(crate) described: BTreeSet<&'a str>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(request: &'a CheckRequest) -> Self {
        let named = request.declarations.iter().chain(request.expectations.iter().map(|e| &e.declaration));
        Self {
            certified: request.level() == CheckLevel::Certified,
            described: named.map(String::as_str).filter(|n| !n.contains(char::is_whitespace)).collect(),
        }
    }

    /// Declarations that are described although Lean made them up.
    pub(crate) fn auxiliary(&self) -> BTreeSet<String> {
        self.described.iter().filter(|name| is_auxiliary_text(name)).map(|&name| name.to_owned()).collect()
    }

    /// The request to the session that elaborates a module or a snippet; the compiled form goes to `compiled`.
    pub(crate) fn request(&self, work: &Work<'_>, compiled: &str) -> String {
        let mut text = format!("check\nmodule {}\n", work.name);
        if work.facts {
            text += "facts\n";
            for name in self.auxiliary() {
                text += &format!("describe {name}\n");
            }
        }
        for name in work.library.iter().copied().chain(work.toolchain.iter().map(String::as_str)) {
            text += &format!("use {name}\n");
        }
        for below in &work.below {
            text += &format!("library {}\n", below.name);
        }
        if work.compile {
            text += &format!("olean {compiled}\n");
        }
        if let Some(at) = work.goals {
            text += &format!("goals {} {}\n", at.line, at.column);
        }
        text + "---\n" + work.source
    }
}

/// What an answer says of a module, beside what was handed over.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) artefact: Artefact,
    pub(crate) shown: Shown,
}

/// How Lean shows declarations, by name: what else they are (structure, class, instance), and their types as text. For the eye: whoever
/// elaborates decides how things are printed.
pub(crate) type Shown = BTreeMap<String, (String, String)>;

/// What an answer says; `None` when it is malformed.
pub(crate) fn read(answer: &str, module: &str, handed: Option<&Handed>, asked: &Asked<'_>) -> Option<Answer> {
    let Answer { mut artefact, mut shown } = Answer::default();
    for frame in frames(answer)? {
        match frame.tag {
            "message" => artefact.diagnostics.push(diagnostic(&frame, module)),
            "goals" => artefact.goals = frame.text(0).to_owned(),
            "mark" => artefact.forbidden.push(Refusal {
                declaration: frame.text(0).to_owned(),
                why: format!("`{}` is not allowed in a library", frame.text(1)),
            }),
            "declaration" => {
                let name = handed?.names.get(frame.number::<usize>(0))?.clone();
                shown.insert(name, (frame.text(1).to_owned(), frame.text(2).to_owned()));
            }
            _ => {}
        }
    }
    for declaration in handed.iter().flat_map(|h| h.unchecked.clone()) {
        let why = "`unsafe` and `partial` are not allowed in a library".to_owned();
        artefact.forbidden.push(Refusal { declaration, why });
    }
    if let Some(Handed { declarations: Described::Facts(facts), .. }) = handed {
        artefact.declarations = described(facts, module, &shown);
        let axioms = facts.iter().filter(|facts| facts.kind == Kind::Axiom);
        artefact.forbidden.extend(axioms.map(|facts| Refusal {
            declaration: facts.name.clone(),
            why: "a library declares no axioms".to_owned(),
        }));
    }
    artefact.forbidden.sort();
    artefact.forbidden.dedup();
    if !asked.certified {
        // Nothing is refused yet, but who writes it is to know before a landing fails.
        let warnings = artefact.forbidden.iter().map(|no| Diagnostic {
            severity: Severity::Warning.into(),
            ..error(module, 0, format!("`{}`: {}", no.declaration, no.why))
        });
        artefact.diagnostics.extend(warnings);
    }
    Some(Answer { artefact, shown })
}

/// Facts as others are told them, by name.
pub(crate) fn described(facts: &[Facts], module: &str, shown: &Shown) -> Vec<DeclarationFacts> {
    let none = (String::new(), String::new());
    let mut described: Vec<DeclarationFacts> = (facts.iter())
        .map(|facts| {
            let (better, statement) = shown.get(&facts.name).unwrap_or(&none);
            let kind = match (facts.kind, better.as_str()) {
                (Kind::Inductive, better @ ("structure" | "class")) => better,
                (Kind::Definition, better @ "instance") => better,
                (kind, _) => kind.as_str(),
            };
            DeclarationFacts {
                name: facts.name.clone(),
                kind: kind.to_owned(),
                module: module.to_owned(),
                statement: statement.clone(),
                statement_hash: facts.statement_hash.clone(),
                negation_hash: facts.negation_hash.clone(),
                axioms: facts.axioms.clone(),
                uses_sorry: facts.axioms.iter().any(|axiom| axiom == SORRY),
                sorry_from: facts.sorry_from.clone(),
                statement_sorry_from: facts.statement_sorry_from.clone(),
                statement_constants: facts.statement_constants.clone(),
                proof_constants: facts.proof_constants.clone(),
                tags: vec![],
            }
        })
        .collect();
    described.sort_by(|a, b| a.name.cmp(&b.name));
    described
}

fn diagnostic(frame: &Frame<'_>, module: &str) -> Diagnostic {
    let severity = match frame.text(0) {
        "error" => Severity::Error,
        "warning" => Severity::Warning,
        _ => Severity::Information,
    };
    let position = |line, column| Some(Position { line: frame.number(line), column: frame.number(column) });
    let message = frame.text(5).trim_end().to_owned();
    let unsolved_goals = message.starts_with("unsolved goals");
    Diagnostic {
        severity: severity.into(),
        module: module.to_owned(),
        start: position(1, 2),
        end: position(3, 4),
        message,
        unsolved_goals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_become_diagnostics_with_places() {
        let answer = "message 5 1 1 1 1 20\nerror2345unsolved goals\n⊢ P";
        let diagnostics =
            read(answer, "N.A", None, &Asked::new(&CheckRequest::default())).unwrap().artefact.diagnostics;
        let d = &diagnostics[0];
        assert_eq!((d.severity(), d.start.unwrap().line, d.end.unwrap().column), (Severity::Error, 2, 5));
        assert!(d.unsolved_goals && d.message.ends_with("⊢ P"));
    }
}
