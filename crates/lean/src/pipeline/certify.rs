//! What a certified verdict takes beyond an elaboration: the judge's word on the text that left the guest, that of both kernels, and the receipt.

use std::panic::resume_unwind;
use std::time::SystemTime;

use atlas_judge::{Ground, JUDGE, Outline, Refusal, Settled, allowed_axioms, settle};
use atlas_proto::{CheckRequest, DeclarationFacts, Diagnostic, Expectation, Receipt, receipt};
use sha2::{Digest as _, Sha256};

use super::{Below, Failure, Run, is_error, names};
use crate::answer::{self, Shown};
use crate::cache::Artefact;
use crate::graph::{Module, error};
use crate::key::Key;

impl Run<'_> {
    /// Judges a module by `export`, its declarations as text, which both kernels are asked about. Only names and types as they are shown to
    /// people are the guest's.
    pub(super) fn certify(
        &self,
        module: &Module<'_>,
        export: &[u8],
        shown: &Shown,
        artefact: &mut Artefact,
    ) -> Result<(), Failure> {
        let ground = self.ground(module)?;
        let cache = &self.pipeline.cache;
        let judge = || self.engine.examine(&ground, export, &self.asked.auxiliary(), cache, self.budget);
        let ask_lean = || self.engine.replay(&ground, export, cache, self.budget);
        // What was not elaborated, or may not be in a library at all, is no question for Lean's kernel.
        let asks_lean = artefact.forbidden.is_empty() && !artefact.diagnostics.iter().any(is_error);
        // Side by side: neither rests on the other's word.
        let (judged, replayed) = std::thread::scope(|scope| {
            let replayed = asks_lean.then(|| scope.spawn(ask_lean));
            let judged = judge();
            (judged, replayed.map(|asked| asked.join().unwrap_or_else(|died| resume_unwind(died))))
        });
        let judged = judged?;
        artefact.declarations = answer::described(&judged.declarations, module.name, shown);
        for facts in &mut artefact.declarations {
            facts.tags = judged.tags.get(&facts.name).into_iter().flatten().map(Into::into).collect();
        }
        let said = judged.declarations.into_iter().map(|facts| (facts.name, facts.said));
        artefact.said = said.collect();
        artefact.forbidden.extend(judged.refusals);
        if artefact.diagnostics.iter().any(is_error) {
            return Ok(());
        }
        let mut incident = judged.incident;
        // What Lean's kernel said of a text that the judge does not take as one counts for nothing.
        let words = match replayed.filter(|_| artefact.forbidden.is_empty()) {
            Some(replayed) => vec![replayed?.spoken(), judged.kernel],
            None => vec![judged.kernel],
        };
        match settle(&words) {
            Settled::Accepted(verdicts) => artefact.kernels = verdicts,
            Settled::Refused(refusals) => artefact.forbidden.extend(refusals),
            Settled::Incident(refusal) => incident = Some(refusal),
        }
        if let Some(Refusal { declaration, why }) = incident {
            artefact.incident = format!("{}: `{declaration}`: {why}", module.name);
            tracing::error!(incident = artefact.incident, "the kernels do not agree");
            artefact.forbidden.push(Refusal { declaration, why });
        }
        artefact.forbidden.sort();
        artefact.forbidden.dedup();
        if artefact.forbidden.is_empty() {
            artefact.export = Some(cache.put_export(export)?);
        }
        Ok(())
    }

    /// What a module's verdict rests on.
    fn ground(&self, module: &Module<'_>) -> Result<Ground, Failure> {
        let mut toolchain = module.toolchain.clone();
        let mut exports = vec![];
        for below in self.below(&names(module))? {
            toolchain.extend(self.graph.get(below.name).into_iter().flat_map(|m| m.toolchain.clone()));
            exports.extend(self.artefacts.get(below.name).and_then(|a| a.export.clone()));
        }
        toolchain.sort();
        toolchain.dedup();
        Ok(Ground { identity: self.engine.identity(), toolchain, exports })
    }

    /// Keeps what the accepted statements of a request are made of: they may be frozen now.
    pub(super) fn keep_outlines(&self, request: &CheckRequest) -> Result<(), Failure> {
        for (_, facts) in self.expected(request) {
            let text =
                serde_json::to_vec(&self.outline(facts)).map_err(|e| Failure::environment(e.to_string()))?;
            self.pipeline.cache.put_text(&outline_key(&facts.statement_hash), &text)?;
        }
        Ok(())
    }

    /// What has changed in statements that are no longer those that were frozen, where it was kept what those were made of.
    pub(super) fn changes(&self, request: &CheckRequest) -> Vec<Diagnostic> {
        let mut told = vec![];
        for (expectation, facts) in self.expected(request) {
            let frozen = &expectation.statement_hash;
            if frozen.is_empty() || expectation.negated || *frozen == facts.statement_hash {
                continue;
            }
            let before = self.pipeline.cache.text(&outline_key(frozen));
            let before = before.and_then(|text| serde_json::from_slice::<Outline>(&text).ok());
            let changes = before.map(|before| self.outline(facts).changes(&before)).unwrap_or_default();
            if !changes.is_empty() {
                let why = format!("since `{}` was frozen: {}", facts.name, changes.join("; "));
                told.push(error(&facts.module, 0, why));
            }
        }
        told
    }

    /// What a request expects, with the facts of it.
    fn expected<'s>(
        &'s self,
        request: &'s CheckRequest,
    ) -> impl Iterator<Item = (&'s Expectation, &'s DeclarationFacts)> {
        let checked = || request.check.iter().filter_map(|name| self.artefacts.get(name));
        request.expectations.iter().filter_map(move |expectation| {
            let mut declared = checked().flat_map(|artefact| &artefact.declarations);
            Some((expectation, declared.find(|facts| facts.name == expectation.declaration)?))
        })
    }

    fn outline(&self, facts: &DeclarationFacts) -> Outline {
        let said = |name: &String| self.artefacts.values().find_map(|artefact| artefact.said.get(name));
        let names = std::iter::once(&facts.name).chain(&facts.statement_constants);
        Outline(names.filter_map(|name| Some((name.clone(), said(name)?.clone()))).collect())
    }

    /// The record of a module's certified verdict; `None` when it has no export that both kernels accepted.
    pub(super) fn receipt(&self, request: &CheckRequest, name: &str) -> Result<Option<Receipt>, Failure> {
        let (Some(module), Some(artefact)) = (self.graph.get(name), self.artefacts.get(name)) else {
            return Ok(None);
        };
        let Some(export) = artefact.export.clone() else { return Ok(None) };
        let import = |below: Below<'_>| receipt::Import {
            module: below.name.to_owned(),
            export_sha256: self.artefacts.get(below.name).and_then(|a| a.export.clone()).unwrap_or_default(),
        };
        let certified = |facts: &DeclarationFacts| receipt::Certified {
            name: facts.name.clone(),
            kind: judged_kind(&facts.kind).to_owned(),
            statement_hash: facts.statement_hash.clone(),
            axioms: facts.axioms.clone(),
            sorry_from: facts.sorry_from.clone(),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Some(Receipt {
            version: atlas_judge::VERSION,
            toolchain: self.engine.name(),
            module: name.to_owned(),
            source_sha256: hex::encode(Sha256::digest(module.source.as_bytes())),
            imports: self.below(&names(module))?.into_iter().map(import).collect(),
            export_sha256: export,
            declarations: artefact.declarations.iter().map(certified).collect(),
            kernels: artefact.kernels.clone(),
            allowed_axioms: allowed_axioms(request).into_iter().map(str::to_owned).collect(),
            judge: JUDGE.to_owned(),
            made_ms: now.as_millis().try_into().unwrap_or(u64::MAX),
            ..Receipt::default()
        }))
    }
}

/// The key of what a statement is made of.
fn outline_key(statement_hash: &str) -> String {
    Key::new("outline 1").with(statement_hash).finish()
}

/// The kind without what only Lean's attributes tell, which no judge has seen.
fn judged_kind(kind: &str) -> &str {
    match kind {
        "structure" | "class" => "inductive",
        "instance" => "def",
        kind => kind,
    }
}
