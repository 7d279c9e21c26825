//! `atlas certify`: a certified check from nothing, and a signed receipt of each module that passed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use atlas_judge::{KeyError, KeyRing, RING_FILE, Receipt, SigningKey};
use atlas_proto::Outcome;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::args::{CertifyArgs, Output};
use crate::attach::cache_folder;
use crate::commands::check::{self, Answer, Checked};
use crate::failure::{Exit, Failure, Result};
use crate::format::{now_ms, plural};
use crate::print::{self, ASK};

/// Receipts by module.
pub(super) type Receipts = BTreeMap<String, Receipt>;

/// Certifies a file or a library and writes receipts.
pub fn certify(args: &CertifyArgs) -> Result<Exit> {
    let modules = check::modules(&args.check)?;
    let folder =
        args.keys.clone().unwrap_or_else(|| cache_folder(args.check.cache.as_deref()).join("receipt-keys"));
    let unsigned = |e: KeyError| Failure::fault(format!("receipts cannot be signed: {e}"));
    // Before Lean is asked: a key that cannot be had is told at once.
    let key = SigningKey::open_or_make(&folder, now_ms()).map_err(unsigned)?;
    let ring = KeyRing::read(&folder.join(RING_FILE)).map_err(unsigned)?;
    let answer = check::ask(&args.check, &modules)?;
    let receipts = receipts(&answer.results, &key)?;
    let files = write(&receipts, &ring, &args.receipts)?;
    let without: Vec<&str> = answer
        .results
        .iter()
        .filter(|checked| check::outcome(&checked.reply) == Outcome::Accepted)
        .map(|checked| checked.module.name.as_str())
        .filter(|module| !receipts.contains_key(*module))
        .collect();
    match args.check.output.output {
        Output::Json => print::json(&as_json(&answer, &receipts, &files)?)?,
        Output::Text => {
            check::summary(&answer);
            if !files.is_empty() {
                let (n, folder) = (plural(files.len(), "receipt"), args.receipts.display());
                print::line(format!(
                    "{n} in {folder}; verify with `atlas receipt verify FILE --library DIR`"
                ));
            }
        }
    }
    if without.is_empty() {
        return Ok(answer.exit);
    }
    let title = print::styled(ASK, "no receipt:");
    let of = if without.len() == answer.results.len() { "any module".to_owned() } else { without.join(", ") };
    print::error_line(format!("{title} {} gave none of {of} with its verdict", answer.toolchain));
    Ok(if answer.exit == Exit::Done { Exit::Fault } else { answer.exit })
}

/// The signed receipts of what was accepted, by module.
pub(super) fn receipts(results: &[Checked<'_>], key: &SigningKey) -> Result<BTreeMap<String, Receipt>> {
    let mut receipts = BTreeMap::new();
    for checked in results.iter().filter(|checked| check::outcome(&checked.reply) == Outcome::Accepted) {
        let module = &checked.module.name;
        let wrong = |why: String| Failure::fault(format!("Lean's receipt of {module} {why}"));
        for message in checked.reply.receipts.iter().filter(|message| message.module == *module) {
            let receipt = Receipt::unsigned(message.clone()).map_err(|e| wrong(format!("is none: {e}")))?;
            if receipt.source_sha256 != hex::encode(Sha256::digest(checked.module.source.as_bytes())) {
                return Err(wrong("is of another source".to_owned()));
            }
            receipts.insert(module.clone(), key.sign(receipt));
        }
    }
    Ok(receipts)
}

/// Writes them and the public keys; the files, by module.
pub(super) fn write(
    receipts: &BTreeMap<String, Receipt>,
    ring: &KeyRing,
    folder: &Path,
) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    if receipts.is_empty() {
        return Ok(files);
    }
    let failed = |e: &dyn std::fmt::Display| {
        Failure::fault(format!("cannot write receipts to {}: {e}", folder.display()))
            .hint("make it writable, or name another folder with `--receipts`")
    };
    std::fs::create_dir_all(folder).map_err(|e| failed(&e))?;
    for (module, receipt) in receipts {
        let file = folder.join(format!("{module}.json"));
        if file.file_name().is_some_and(|name| name == RING_FILE) {
            return Err(Failure::input(format!(
                "a receipt of module `{module}` would lie where the keys do"
            ))
            .hint("give the file another name"));
        }
        let bytes = receipt.to_json().map_err(|e| failed(&e))?;
        std::fs::write(&file, bytes).map_err(|e| failed(&e))?;
        files.insert(module.clone(), file);
    }
    ring.write(&folder.join(RING_FILE)).map_err(|e| failed(&e))?;
    Ok(files)
}

/// As `atlas check` has it, and of each module its receipt.
pub(super) fn as_json(
    answer: &Answer<'_>,
    receipts: &BTreeMap<String, Receipt>,
    files: &BTreeMap<String, PathBuf>,
) -> Result<Value> {
    let mut value = check::as_json(answer);
    for module in value["modules"].as_array_mut().into_iter().flatten() {
        let name = module["module"].as_str().unwrap_or_default().to_owned();
        module["receipt"] = match (receipts.get(&name), files.get(&name)) {
            (Some(receipt), Some(file)) => {
                let sha256 = receipt.digest().map_err(|e| Failure::fault(e.to_string()))?;
                json!({ "sha256": sha256, "file": file, "key": receipt.key })
            }
            _ => Value::Null,
        };
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use atlas_judge::{KERNELS, Policy, VERSION, verify};
    use atlas_proto::{CheckReply, Receipt as Message, receipt::KernelVerdict};

    use super::*;
    use crate::commands::check::Module;

    fn module(name: &str, source: &str) -> Module {
        Module { name: name.into(), path: format!("{name}.lean").into(), source: source.into() }
    }

    /// A verdict as the toolchain gives it: with a receipt that nobody has signed yet.
    fn accepted(module: &Module) -> Checked<'_> {
        let message = Message {
            version: VERSION,
            toolchain: "lean4".into(),
            module: module.name.clone(),
            source_sha256: hex::encode(Sha256::digest(module.source.as_bytes())),
            export_sha256: "ab".repeat(32),
            kernels: (0..KERNELS)
                .map(|at| KernelVerdict { kernel: format!("kernel {at}"), ..KernelVerdict::default() })
                .collect(),
            judge: "judge 1".into(),
            ..Message::default()
        };
        let mut reply = CheckReply { receipts: vec![message], ..CheckReply::default() };
        reply.set_outcome(Outcome::Accepted);
        Checked { module, reply, ms: 1 }
    }

    #[test]
    fn what_was_accepted_is_signed_and_written_with_the_keys_that_verify_it() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (module("A", "theorem a : 1 = 1 := rfl"), module("B", "theorem b : 1 = 2 := rfl"));
        let mut refused = accepted(&two);
        refused.reply.set_outcome(Outcome::Rejected);
        let key = SigningKey::open_or_make(&folder.path().join("keys"), 1).unwrap();
        let signed = receipts(&[accepted(&one), refused], &key).unwrap();
        let ring = KeyRing::read(&folder.path().join("keys").join(RING_FILE)).unwrap();
        let out = folder.path().join("receipts");
        let files = write(&signed, &ring, &out).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["A"]);
        let read = Receipt::from_json(&std::fs::read(&files["A"]).unwrap()).unwrap();
        verify(&read, &KeyRing::read(&out.join(RING_FILE)).unwrap(), &Policy::default()).unwrap();
    }

    #[test]
    fn a_receipt_of_another_source_is_not_signed() {
        let (asked, other) = (module("A", "theorem a : 1 = 1 := rfl"), module("A", "axiom a : 1 = 2"));
        let checked = Checked { module: &asked, ..accepted(&other) };
        let wrong = receipts(&[checked], &SigningKey::from_seed(&[1; 32])).unwrap_err();
        assert!(wrong.to_string().contains("is of another source"), "{wrong}");
    }

    #[test]
    fn a_module_that_would_lie_where_the_keys_do_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = module("keys", "");
        let signed = receipts(&[accepted(&keys)], &SigningKey::from_seed(&[1; 32])).unwrap();
        let refused = write(&signed, &KeyRing::default(), folder.path()).unwrap_err();
        assert_eq!(refused.exit, Exit::Input);
    }
}
