//! `atlas receipt verify`: whether a receipt holds, offline: its signature, the policy, and the sources that it is of.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use atlas_judge::{KeyRing, Policy, RING_FILE, Receipt, verify};
use atlas_library::LibraryPath;
use atlas_library::layout::module_path;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::args::{Output, ReceiptCommand, ReceiptVerifyArgs};
use crate::failure::{Exit, Failure, Result};
use crate::format::{commit, plural};
use crate::print::{self, ASK, FAINT, STRONG, WRONG, style_of, styled};

/// The largest receipt or key ring that is read, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// `atlas receipt`.
pub fn receipt(what: &ReceiptCommand) -> Result<Exit> {
    match what {
        ReceiptCommand::Verify(args) => verify_file(args),
    }
}

/// What was found of a receipt and, with a library, of those below it.
#[derive(Default)]
struct Findings {
    /// Why it does not hold, each with the module.
    problems: Vec<String>,
    /// Modules whose source in the library is what was certified.
    sources: BTreeSet<String>,
}

fn verify_file(args: &ReceiptVerifyArgs) -> Result<Exit> {
    let receipt = read(&args.file)?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let keys = args.keys.clone().unwrap_or_else(|| folder.join(RING_FILE));
    let ring = KeyRing::from_json(&bytes(&keys, "the keys", |failure| {
        failure.hint("name the public keys that count with `--keys FILE`")
    })?)
    .map_err(|cause| Failure::input(format!("cannot use the keys {}: {cause}", keys.display())))?;
    let policy = Policy {
        judge: args.judge.clone(),
        toolchain: args.toolchain.clone(),
        kernels: args.kernels,
        ..Policy::default()
    };
    let mut findings = Findings::default();
    if let Err(invalid) = verify(&receipt, &ring, &policy) {
        findings.problems.push(format!("{}: {invalid}", receipt.module));
    } else if let Some(library) = &args.library {
        if !library.is_dir() {
            return Err(Failure::input(format!("there is no library at {}", library.display()))
                .hint("name the folder that holds lakefile.toml; of a run it is runs/NAME/library"));
        }
        findings = of_library(&receipt, folder, library, |receipt| {
            verify(receipt, &ring, &policy).map_err(|invalid| invalid.to_string())
        })?;
    }
    match args.output.output {
        Output::Json => print::json(&json!({
            "valid": findings.problems.is_empty(),
            "problems": findings.problems,
            "sources": args.library.as_ref().map(|_| &findings.sources),
            "sha256": receipt.digest().map_err(|e| Failure::fault(e.to_string()))?,
            "receipt": receipt,
        }))?,
        Output::Text => tell(&receipt, &findings)?,
    }
    Ok(if findings.problems.is_empty() { Exit::Done } else { Exit::Open })
}

/// Looks at the module's source in a library, and at all that it rests on: a statement means what the definitions below it say, so
/// those must be the certified ones too.
fn of_library(
    receipt: &Receipt,
    folder: &Path,
    library: &Path,
    holds: impl Fn(&Receipt) -> std::result::Result<(), String>,
) -> Result<Findings> {
    let mut findings = Findings::default();
    // What each module must be, as the one above it says.
    let mut wanted: BTreeMap<String, String> = BTreeMap::new();
    let mut next = vec![receipt.clone()];
    let mut seen: BTreeSet<String> = BTreeSet::from([receipt.module.clone()]);
    while let Some(receipt) = next.pop() {
        let module = &receipt.module;
        match source(library, module)? {
            Some(source) if hex::encode(Sha256::digest(&source)) == receipt.source_sha256 => {
                findings.sources.insert(module.clone());
            }
            Some(_) => findings
                .problems
                .push(format!("{module}: its source in the library is not what was certified")),
            None => findings.problems.push(format!("{module}: the library does not have it")),
        }
        for import in &receipt.imports {
            let below = &import.module;
            match wanted.insert(below.clone(), import.export_sha256.clone()) {
                Some(other) if other != import.export_sha256 => {
                    findings
                        .problems
                        .push(format!("{below}: {module} rests on another version of it than others do"));
                }
                _ => {}
            }
            if !seen.insert(below.clone()) {
                continue;
            }
            let file = folder.join(format!("{below}.json"));
            if path_of(below).is_none() || !file.is_file() {
                findings
                    .problems
                    .push(format!("{below}: its receipt, on which {module} rests, is not beside the other"));
                continue;
            }
            let below_receipt = read(&file)?;
            let wrong = if below_receipt.module != *below {
                Err(format!("its receipt is of {}", below_receipt.module))
            } else {
                holds(&below_receipt)
            };
            match wrong {
                Ok(()) => next.push(below_receipt),
                Err(why) => findings.problems.push(format!("{below}: {why}")),
            }
        }
        if wanted.get(module).is_some_and(|export| *export != receipt.export_sha256) {
            findings
                .problems
                .push(format!("{module}: what rests on it was certified on another version of it"));
        }
    }
    Ok(findings)
}

/// The path of a module, when its name can be one's.
fn path_of(module: &str) -> Option<String> {
    let path = module_path(module);
    LibraryPath::parse(&path).is_ok().then_some(path)
}

fn source(library: &Path, module: &str) -> Result<Option<Vec<u8>>> {
    let Some(path) = path_of(module) else { return Ok(None) };
    let file = library.join(path);
    if !file.is_file() {
        return Ok(None);
    }
    bytes(&file, "the library's", |failure| failure).map(Some)
}

/// A receipt's file.
///
/// # Errors
/// When it cannot be read or is none.
pub(super) fn read(file: &Path) -> Result<Receipt> {
    let bytes = bytes(file, "the receipt", |failure| {
        failure.hint("name a receipt: of a run, runs/NAME/receipts/MODULE.json")
    })?;
    Receipt::from_json(&bytes)
        .map_err(|malformed| Failure::input(format!("{} is no receipt: {malformed}", file.display())))
}

fn bytes(file: &Path, what: &str, hint: impl Fn(Failure) -> Failure) -> Result<Vec<u8>> {
    let unreadable =
        |cause: String| hint(Failure::input(format!("cannot read {what} {}: {cause}", file.display())));
    let meta = file.metadata().map_err(|e| unreadable(e.to_string()))?;
    if meta.len() > MOST_BYTES {
        return Err(unreadable(format!(
            "it has {} MB; at most {} MB are read",
            meta.len() >> 20,
            MOST_BYTES >> 20
        )));
    }
    std::fs::read(file).map_err(|e| unreadable(e.to_string()))
}

fn tell(receipt: &Receipt, findings: &Findings) -> Result<()> {
    let holds = findings.problems.is_empty();
    let word = if holds {
        styled(style_of(atlas_domain::TargetState::Certified), "holds")
    } else {
        styled(WRONG, "does not hold")
    };
    let sha256 = receipt.digest().map_err(|e| Failure::fault(e.to_string()))?;
    print::line(format!("{word} {} {}", styled(STRONG, &receipt.module), styled(FAINT, commit(&sha256))));
    for problem in &findings.problems {
        print::line(format!("  {} {problem}", styled(WRONG, "problem:")));
    }
    // What a receipt says that does not hold is not worth reading.
    if !holds {
        return Ok(());
    }
    let made = UNIX_EPOCH.checked_add(Duration::from_millis(receipt.made_ms));
    print::line(format!(
        "  made       {}",
        made.map_or_else(|| "at no time".to_owned(), crate::format::date)
    ));
    print::line(format!("  toolchain  {}", receipt.toolchain));
    print::line(format!("  judge      {}", receipt.judge));
    for verdict in &receipt.kernels {
        print::line(format!(
            "  kernel     {}: {} accepted in {} ms",
            verdict.kernel,
            plural(verdict.declarations as usize, "declaration"),
            verdict.milliseconds
        ));
    }
    print::line(format!("  axioms     {}", some(&receipt.allowed_axioms, "none allowed")));
    print::line(format!("  source     {}", receipt.source_sha256));
    print::line(format!("  key        {}", receipt.key));
    let imports: Vec<String> = receipt.imports.iter().map(|import| import.module.clone()).collect();
    print::line(format!("  rests on   {}", some(&imports, "Lean's own library alone")));
    for declaration in &receipt.declarations {
        let axioms = some(&declaration.axioms, "no axioms");
        print::line(format!("  {} {}: {axioms}", declaration.kind, styled(STRONG, &declaration.name)));
        if !declaration.sorry_from.is_empty() {
            let from = declaration.sorry_from.join(", ");
            print::line(format!("    {} it rests on the sorry of {from}", styled(ASK, "not proved:")));
        }
    }
    if !findings.sources.is_empty() {
        let n = plural(findings.sources.len(), "module");
        print::line(format!("the library's sources of {n} are what was certified"));
    }
    Ok(())
}

fn some(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}
