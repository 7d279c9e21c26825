//! What an audit finds, beside what earlier receipts say of the same modules.

use std::collections::BTreeMap;
use std::path::Path;

use atlas_judge::{Certified, RING_FILE, Receipt};
use serde_json::{Value, json};

use crate::commands::certify::Receipts;
use crate::commands::receipt;
use crate::failure::{Failure, Result};
use crate::print::{self, WRONG, style_of, styled};

/// A module whose receipt was there before.
pub struct Compared {
    module: String,
    /// In what they differ; nothing: they say the same.
    differences: Vec<String>,
}

/// Compares with the receipts in a folder. A module without an earlier receipt is not compared; one that has an earlier receipt and was not
/// certified now differs.
///
/// # Errors
/// When the folder cannot be read, or a file there is no receipt.
pub fn compare(ours: &Receipts, folder: Option<&Path>) -> Result<Vec<Compared>> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let unreadable =
        |e: std::io::Error| Failure::input(format!("cannot read the receipts in {}: {e}", folder.display()));
    let mut compared = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let is_receipt = file.extension().is_some_and(|extension| extension == "json")
            && file.file_name().is_some_and(|name| name != RING_FILE);
        if is_receipt {
            let before = receipt::read(&file)?;
            let differences = match ours.get(&before.module) {
                Some(now) => differences(now, &before),
                None => vec!["it is not certified now".to_owned()],
            };
            compared.push(Compared { module: before.module, differences });
        }
    }
    compared.sort_by(|a, b| a.module.cmp(&b.module));
    Ok(compared)
}

fn differences(now: &Receipt, before: &Receipt) -> Vec<String> {
    let mut found = Vec::new();
    for (what, now, before) in [
        ("its source", &now.source_sha256, &before.source_sha256),
        ("its export", &now.export_sha256, &before.export_sha256),
        ("the toolchain", &now.toolchain, &before.toolchain),
    ] {
        if now != before {
            found.push(format!("{what} was {before} and is {now}"));
        }
    }
    let (is, was) = (by_name(now), by_name(before));
    for (name, declaration) in &is {
        match was.get(name) {
            None => found.push(format!("`{name}` was not there")),
            Some(before) => {
                let same =
                    |a: &Certified, b: &Certified| (a.axioms == b.axioms, a.sorry_from == b.sorry_from);
                if before.statement_hash != declaration.statement_hash {
                    found.push(format!("`{name}` states something else"));
                } else if same(before, declaration) != (true, true) {
                    found.push(format!("`{name}` rests on other axioms or another `sorry`"));
                }
            }
        }
    }
    found.extend(was.keys().filter(|name| !is.contains_key(*name)).map(|name| format!("`{name}` is gone")));
    found
}

fn by_name(receipt: &Receipt) -> BTreeMap<&str, &Certified> {
    receipt.declarations.iter().map(|declaration| (declaration.name.as_str(), declaration)).collect()
}

impl Compared {
    /// Whether there is a difference.
    pub fn differs(&self) -> bool {
        !self.differences.is_empty()
    }

    /// For people.
    pub fn tell(&self) {
        if self.differs() {
            print::line(format!("{} {} from its earlier receipt", styled(WRONG, "differs"), self.module));
            self.differences.iter().for_each(|difference| print::line(format!("  {difference}")));
        } else {
            let same = styled(style_of(atlas_domain::TargetState::Certified), "same");
            print::line(format!("{same} {} as its earlier receipt: source, statements, export", self.module));
        }
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        json!({ "module": self.module, "same": !self.differs(), "differences": self.differences })
    }
}
