//! `atlas audit`: a whole library certified from nothing, compared with the receipts that it came with, and written as one export.

mod compare;
mod export;

use std::path::PathBuf;
use std::time::Instant;

use atlas_judge::{KeyError, KeyRing, RING_FILE, SigningKey};
use atlas_lean::{Embedded, Toolchain as _};
use atlas_library::layout::imports;
use atlas_proto::Outcome;
use serde_json::json;

use self::compare::{Compared, compare};
use self::export::{Combined, EXPORT, GIVEN, Written};
use super::certify;
use super::check::{self, Answer, Module};
use crate::args::{AuditArgs, CheckArgs, Output};
use crate::attach::cache_folder;
use crate::failure::{Exit, Failure, Result};
use crate::format::{count, duration, now_ms, plural};
use crate::print::{self, FAINT, STRONG, WRONG, style_of, styled};
use crate::toolchain::{Memory, embedded};

/// Audits a library.
pub fn audit(args: &AuditArgs) -> Result<Exit> {
    let begun = Instant::now();
    let asked = CheckArgs {
        file: None,
        library: Some(args.library.clone()),
        toolchain: "embedded".to_owned(),
        limits: args.limits.clone(),
        cache: args.cache.clone(),
        output: args.output,
    };
    let modules = check::modules(&asked)?;
    let folder =
        args.keys.clone().unwrap_or_else(|| cache_folder(args.cache.as_deref()).join("receipt-keys"));
    let unsigned = |e: KeyError| Failure::fault(format!("receipts cannot be signed: {e}"));
    let key = SigningKey::open_or_make(&folder, now_ms()).map_err(unsigned)?;
    let ring = KeyRing::read(&folder.join(RING_FILE)).map_err(unsigned)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|e| Failure::input(format!("cannot make the folder {}: {e}", args.out.display())))?;

    let lean = embedded(args.cache.as_deref(), Memory::Fresh)?;
    let answer = check::ask_of(&lean, &asked, &modules)?;
    let receipts = certify::receipts(&answer.results, &key)?;
    let files = certify::write(&receipts, &ring, &args.out.join("receipts"))?;
    let compared = compare(&receipts, theirs(args)?.as_deref())?;
    let stated = unproved(&answer);
    let written =
        match answer.results.iter().all(|checked| check::outcome(&checked.reply) == Outcome::Accepted) {
            true => Some(export(args, &lean, &modules, &receipts, stated.clone())?),
            false => None,
        };
    let exit = match answer.exit {
        Exit::Done if compared.iter().any(Compared::differs) => Exit::Open,
        exit => exit,
    };
    let ms = begun.elapsed().as_millis() as u64;
    match args.output.output {
        Output::Json => {
            let mut value = certify::as_json(&answer, &receipts, &files)?;
            value["accepted"] = (exit == Exit::Done).into();
            value["ms"] = ms.into();
            value["sorry"] = stated.into();
            value["compared"] = compared.iter().map(Compared::as_json).collect();
            value["export"] = match &written {
                None => serde_json::Value::Null,
                Some(written) => json!({
                    "file": args.out.join(EXPORT),
                    "given_file": args.out.join(GIVEN),
                    "bytes": written.bytes,
                    "declarations": written.declarations,
                    "given": written.given,
                    "axioms": written.axioms,
                }),
            };
            print::json(&value)?;
        }
        Output::Text => tell(args, &answer, &receipts, &compared, written.as_ref(), ms),
    }
    Ok(exit)
}

/// Receipts to compare with: those that were named, or those that lie beside the library.
fn theirs(args: &AuditArgs) -> Result<Option<PathBuf>> {
    match &args.against {
        Some(folder) if !folder.is_dir() => {
            Err(Failure::input(format!("there are no receipts at {}", folder.display()))
                .hint("name a folder with MODULE.json files; of a run it is runs/NAME/receipts"))
        }
        Some(folder) => Ok(Some(folder.clone())),
        None => {
            let library = args.library.canonicalize();
            let beside = library.ok().and_then(|path| Some(path.parent()?.join("receipts")));
            Ok(beside.filter(|folder| folder.is_dir()))
        }
    }
}

/// Declarations that rest on a `sorry`.
fn unproved(answer: &Answer<'_>) -> Vec<String> {
    let all = answer.results.iter().flat_map(|checked| &checked.reply.declarations);
    all.filter(|facts| facts.uses_sorry).map(|facts| facts.name.clone()).collect()
}

/// Puts the modules' certified exports together and writes them.
fn export(
    args: &AuditArgs,
    lean: &Embedded,
    modules: &[Module],
    receipts: &certify::Receipts,
    stated: Vec<String>,
) -> Result<Written> {
    if args.output.output == Output::Text {
        print::line(styled(FAINT, "putting the exports together and checking them as one"));
    }
    let library: Vec<&str> = modules.iter().map(|module| module.name.as_str()).collect();
    let mut toolchain: Vec<String> = modules
        .iter()
        .flat_map(|module| imports(&module.source))
        .filter(|name| !library.contains(&name.as_str()) && name != "Init" && !name.starts_with("Init."))
        .collect();
    toolchain.sort();
    toolchain.dedup();
    let foundation = lean
        .foundation(&toolchain, args.limits.deadline.get())
        .map_err(|e| Failure::fault(format!("Lean's own library cannot be exported: {e}")))?;
    let mut combined = Combined::over(&foundation)?;
    // Each after those that it imports.
    for at in check::order(modules)? {
        let module = &modules[at].name;
        let receipt = receipts
            .get(module)
            .ok_or_else(|| Failure::fault(format!("{} gave no receipt of {module}", lean.name())))?;
        let text = lean.export(&receipt.export_sha256).map_err(|e| Failure::fault(e.to_string()))?;
        combined.add(module, &text)?;
    }
    combined.write(&args.out, stated)
}

fn tell(
    args: &AuditArgs,
    answer: &Answer<'_>,
    receipts: &certify::Receipts,
    compared: &[Compared],
    written: Option<&Written>,
    ms: u64,
) {
    let rows = answer.results.iter().map(|checked| {
        let reply = &checked.reply;
        let mut axioms: Vec<&str> =
            reply.declarations.iter().flat_map(|d| d.axioms.iter().map(String::as_str)).collect();
        axioms.sort_unstable();
        axioms.dedup();
        let kernels = receipts.get(&checked.module.name).map_or(0, |receipt| receipt.kernels.len());
        vec![
            checked.module.name.clone(),
            check::word(check::outcome(reply)).to_owned(),
            reply.declarations.len().to_string(),
            check::sorries(reply).len().to_string(),
            kernels.to_string(),
            duration(checked.ms),
            if axioms.is_empty() { "none".to_owned() } else { axioms.join(", ") },
        ]
    });
    let head = ["module", "verdict", "declarations", "sorry", "kernels", "time", "axioms"];
    print::line("");
    for line in print::table(&head, rows.collect(), &[2, 3, 4, 5]).lines() {
        print::line(line);
    }
    print::line("");
    check::summary(answer);
    for told in compared {
        told.tell();
    }
    if let Some(written) = written {
        let file = args.out.join(EXPORT);
        print::line(format!(
            "{} {}: {}, {} KB; the second kernel accepts the file as a whole",
            styled(style_of(atlas_domain::TargetState::Certified), "export"),
            styled(STRONG, file.display()),
            plural(written.declarations, "declaration"),
            count(written.bytes >> 10),
        ));
        print::line(format!(
            "  {} of these are statements of Lean's own library, which ships without proofs: they are taken as given, and listed in {GIVEN}",
            count(written.given as u64),
        ));
        print::line(format!(
            "  check it elsewhere: atlas-kernel --trust-arithmetic --given {} {}",
            args.out.join(GIVEN).display(),
            file.display()
        ));
    } else {
        print::line(format!(
            "{} no export: not every module was accepted",
            styled(WRONG, "nothing written:")
        ));
    }
    if !receipts.is_empty() {
        let n = plural(receipts.len(), "receipt");
        print::line(format!("{n} in {}", args.out.join("receipts").display()));
    }
    if compared.is_empty() {
        print::line(styled(FAINT, "no earlier receipts to compare with"));
    }
    print::line(styled(FAINT, format!("audited in {}", duration(ms))));
}
