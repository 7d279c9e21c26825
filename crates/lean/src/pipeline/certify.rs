//! What a certified verdict takes beyond an elaboration: the word of both kernels, and the receipt.

use std::time::SystemTime;

use atlas_proto::{DeclarationFacts, Receipt, receipt};
use sha2::{Digest as _, Sha256};

use super::{Below, Failure, Pipeline, Run, names};
use crate::cache::Artefact;
use crate::gate;
use crate::graph::Module;
use crate::replay::Replayed;
use crate::second::Ground;

/// Names the code that judges, in receipts; another version may judge otherwise.
const JUDGE: &str = concat!("atlas-lean ", env!("CARGO_PKG_VERSION"), " judge 2");

impl Run<'_> {
    /// The verdicts of Lean's kernel and of the second one on the same text. Each is asked whatever the other says: what one accepts and the
    /// other does not is an incident, for one of them has a mistake.
    pub(super) fn ask_kernels(
        &self,
        module: &Module<'_>,
        export: &[u8],
        artefact: &mut Artefact,
    ) -> Result<(), Failure> {
        let below = self.below(&names(module))?;
        let mut ground = Ground { toolchain: module.toolchain.clone(), exports: vec![] };
        for below in &below {
            ground.toolchain.extend(self.graph.get(below.name).into_iter().flat_map(|m| m.toolchain.clone()));
            ground.exports.extend(self.artefacts.get(below.name).and_then(|a| a.export.clone()));
        }
        ground.toolchain.sort();
        ground.toolchain.dedup();
        let Pipeline { second, cache, .. } = self.pipeline;
        let lean = self.engine.replay(&ground, export, cache, self.budget)?.map(Replayed::verdict);
        let ours =
            second.judge(self.engine, &ground, export, &mut artefact.declarations, cache, self.budget)?;
        if let (Some(lean), Some(ours)) = (&lean, &ours)
            && lean.is_ok() != ours.is_ok()
            && let Some((declaration, why)) = lean.as_ref().err().or(ours.as_ref().err())
        {
            tracing::error!(incident = true, declaration, why, "the kernels do not agree");
        }
        let both = matches!((&lean, &ours), (Some(Ok(_)), Some(Ok(_))));
        for answer in lean.into_iter().chain(ours) {
            match answer {
                Ok(verdict) => artefact.kernels.push(verdict),
                Err(refused) => artefact.forbidden.push(refused),
            }
        }
        if both {
            artefact.export = Some(cache.put_export(export)?);
        }
        Ok(())
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
            kind: facts.kind.clone(),
            statement_hash: facts.statement_hash.clone(),
            axioms: facts.axioms.clone(),
            sorry_from: facts.sorry_from.clone(),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(Some(Receipt {
            version: 1,
            toolchain: self.engine.name(),
            module: name.to_owned(),
            source_sha256: hex::encode(Sha256::digest(module.source.as_bytes())),
            imports: self.below(&names(module))?.into_iter().map(import).collect(),
            export_sha256: export,
            declarations: artefact.declarations.iter().map(certified).collect(),
            kernels: artefact.kernels.clone(),
            allowed_axioms: gate::ALLOWED_AXIOMS.map(str::to_owned).to_vec(),
            judge: JUDGE.to_owned(),
            made_ms: now.as_millis().try_into().unwrap_or(u64::MAX),
            ..Receipt::default()
        }))
    }
}
