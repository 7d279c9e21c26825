//! What a certified verdict takes beyond an elaboration: the judge's word on the text that left the guest, that of both kernels, and the receipt.

use std::time::SystemTime;

use atlas_judge::{AXIOMS, Bound, Ground, JUDGE, Refusal, Settled, Spoken, Wanted, Word, settle};
use atlas_proto::{DeclarationFacts, Receipt, receipt};
use sha2::{Digest as _, Sha256};

use super::{Below, Failure, Pipeline, Run, is_error, names};
use crate::answer::{self, Shown};
use crate::cache::Artefact;
use crate::graph::Module;

impl Run<'_> {
    /// Judges a module by `export`, its declarations as text; `replayed` is the word of Lean's kernel. Only names and types as they are
    /// shown to people are the guest's.
    pub(super) fn certify(
        &self,
        module: &Module<'_>,
        export: &[u8],
        shown: &Shown,
        replayed: Option<Spoken>,
        artefact: &mut Artefact,
    ) -> Result<(), Failure> {
        let ground = self.ground(module)?;
        let Pipeline { judge, cache, .. } = self.pipeline;
        let mut failed = None;
        let mut fetch = |wanted: Wanted<'_>| {
            let fetched = match wanted {
                Wanted::Toolchain(names) => {
                    self.engine.foundation(names, cache, self.budget).map(Into::into)
                }
                Wanted::Export(digest) => cache.export(digest).map_err(Failure::from),
            };
            fetched.map_err(|failure| {
                let fault = failure.fault.clone();
                failed = Some(failure);
                fault
            })
        };
        let asked = self.asked.auxiliary();
        let judged = judge.examine(&ground, export, &asked, &Bound::default(), &mut fetch);
        let judged = judged
            .map_err(|groundless| failed.unwrap_or_else(|| Failure::environment(groundless.to_string())))?;
        artefact.declarations = answer::described(&judged.declarations, module.name, shown);
        artefact.forbidden.extend(judged.refusals);
        if artefact.diagnostics.iter().any(is_error) {
            return Ok(());
        }
        let mut words: Vec<Spoken> = replayed.into_iter().collect();
        // What Lean's kernel rejects in the guest is not in the text.
        if !words.iter().any(|spoken| matches!(spoken.word, Word::Rejected { .. })) {
            words.push(judged.kernel);
        }
        let mut incident = judged.incident;
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

    /// The record of a module's certified verdict; `None` when two kernels have not been asked.
    pub(super) fn receipt(&self, name: &str) -> Result<Option<Receipt>, Failure> {
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
            allowed_axioms: AXIOMS.map(str::to_owned).to_vec(),
            judge: JUDGE.to_owned(),
            made_ms: now.as_millis().try_into().unwrap_or(u64::MAX),
            ..Receipt::default()
        }))
    }
}

/// The kind without what only Lean's attributes tell, which no judge has seen.
fn judged_kind(kind: &str) -> &str {
    match kind {
        "structure" | "class" => "inductive",
        "instance" => "def",
        kind => kind,
    }
}
