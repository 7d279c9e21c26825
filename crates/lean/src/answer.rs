//! Requests to the session, and its answers as artefacts.

use std::collections::BTreeSet;

use atlas_proto::{CheckLevel, CheckRequest, DeclarationFacts, Diagnostic, Position, Severity};

use atlas_proto::receipt::KernelVerdict;

use crate::cache::Artefact;
use crate::facts::Handed;
use crate::frame::{Frame, frames};
use crate::gate::SORRY;
use crate::graph::error;
use crate::name::is_auxiliary_text;
use crate::pipeline::Work;
use crate::terms::Kind;

/// What a check asks of each module.
pub(crate) struct Asked<'a> {
    pub(crate) certified: bool,
    /// Declarations that are asked for by name.
    pub(crate) described: BTreeSet<&'a str>,
}

/// Whether a declaration of this name is only described when it is asked for.
pub(crate) fn is_auxiliary(name: &str) -> bool {
    is_auxiliary_text(name)
}

impl<'a> Asked<'a> {
    pub(crate) fn new(request: &'a CheckRequest) -> Self {
        let named = request.declarations.iter().chain(request.expectations.iter().map(|e| &e.declaration));
        Self {
            certified: request.level() == CheckLevel::Certified,
            described: named.map(String::as_str).filter(|n| !n.contains(char::is_whitespace)).collect(),
        }
    }

    /// The request to the session that elaborates a module or a snippet; the compiled form goes to `compiled`.
    pub(crate) fn request(&self, work: &Work<'_>, compiled: &str) -> String {
        let mut text = format!("check\nmodule {}\n", work.name);
        if work.facts {
            text += "facts\n";
            if self.certified {
                text += "replay\n";
            }
            for name in self.described.iter().filter(|n| is_auxiliary(n)) {
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

/// The artefact that an answer describes; `None` when it is malformed.
pub(crate) fn read(
    answer: &str,
    module: &str,
    handed: Option<&Handed>,
    asked: &Asked<'_>,
) -> Option<Artefact> {
    let mut artefact = Artefact::default();
    for frame in frames(answer)? {
        match frame.tag {
            "message" => artefact.diagnostics.push(diagnostic(&frame, module)),
            // Its fields: milliseconds of elaboration, of kernel replay, of what came after.
            "end" if asked.certified => artefact.kernels.push(KernelVerdict {
                kernel: "Lean".to_owned(),
                declarations: handed.map_or(0, |h| h.new.len()).try_into().unwrap_or(u32::MAX),
                milliseconds: frame.number(1),
            }),
            "goals" => artefact.goals = frame.text(0).to_owned(),
            "rejected" => {
                let (name, why) = (frame.text(0), frame.text(1));
                artefact.diagnostics.push(error(module, 0, format!("`{name}`: {why}")));
            }
            "mark" => artefact
                .forbidden
                .push((frame.text(0).to_owned(), format!("`{}` is not allowed in a library", frame.text(1)))),
            "declaration" => {
                let facts = handed?.new.get(frame.number::<usize>(0))?;
                if facts.auxiliary && !asked.described.contains(facts.name.as_str()) {
                    continue;
                }
                let kind = match (facts.kind, frame.text(1)) {
                    (Kind::Inductive, better @ ("structure" | "class")) => better,
                    (Kind::Definition | Kind::Theorem, better @ "instance") => better,
                    (kind, _) => kind.as_str(),
                };
                artefact.declarations.push(DeclarationFacts {
                    name: facts.name.clone(),
                    kind: kind.to_owned(),
                    module: module.to_owned(),
                    statement: frame.text(2).to_owned(),
                    statement_hash: facts.statement_hash.clone(),
                    negation_hash: facts.negation_hash.clone(),
                    axioms: facts.axioms.clone(),
                    uses_sorry: facts.axioms.iter().any(|a| a == SORRY),
                    sorry_from: facts.sorry_from.clone(),
                    statement_sorry_from: facts.statement_sorry_from.clone(),
                    statement_constants: facts.statement_constants.clone(),
                    proof_constants: facts.proof_constants.clone(),
                    tags: vec![],
                });
            }
            _ => {}
        }
    }
    artefact.declarations.sort_by(|a, b| a.name.cmp(&b.name));
    for facts in handed.iter().flat_map(|h| &h.new) {
        if facts.kind == Kind::Axiom {
            artefact.forbidden.push((facts.name.clone(), "a library declares no axioms".to_owned()));
        } else if facts.is_unsafe && asked.certified {
            artefact
                .forbidden
                .push((facts.name.clone(), "`unsafe` and `partial` are not allowed in a library".to_owned()));
        }
        artefact.whole.insert(facts.key.clone(), facts.whole.clone());
    }
    artefact.forbidden.sort();
    artefact.forbidden.dedup();
    Some(artefact)
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
        let request = CheckRequest::default();
        let answer = "message 5 1 1 1 1 20\nerror2345unsolved goals\n⊢ P";
        let artefact = read(answer, "N.A", None, &Asked::new(&request));
        let diagnostics = artefact.unwrap().diagnostics;
        let d = &diagnostics[0];
        assert_eq!((d.severity(), d.start.unwrap().line, d.end.unwrap().column), (Severity::Error, 2, 5));
        assert!(d.unsolved_goals && d.message.ends_with("⊢ P"));
    }
}
