//! What an audit finds, beside what earlier receipts say of the same modules.

use std::collections::BTreeMap;
use std::path::Path;

use atlas_judge::{Certified, Receipt};
use serde_json::{Value, json};

use crate::commands::certify::Receipts;
use crate::commands::receipt;
use crate::failure::Result;
use crate::print::{self, WRONG, style_of, styled};

/// A module whose receipt was there before.
pub struct Compared {
    module: String,
    /// In what they differ; nothing: they say the same.
    differences: Vec<String>,
}

/// Compares with the receipts in a folder. Modules without an earlier receipt are not compared; an earlier one whose module was not certified
/// now differs.
///
/// # Errors
/// When a file there is no receipt.
pub fn compare(ours: &Receipts, folder: Option<&Path>) -> Result<Vec<Compared>> {
    let Some(folder) = folder else { return Ok(Vec::new()) };
    let mut compared = Vec::new();
    for (module, own) in ours {
        let file = folder.join(format!("{module}.json"));
        if file.is_file() {
            let differences = differences(own, &receipt::read(&file)?);
            compared.push(Compared { module: module.clone(), differences });
        }
    }
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
