//! `atlas audit` on a small library, by real Lean, and its export by `atlas-kernel`, a program of its own. Needs the image: `scripts/setup lean`.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{atlas, json};
use serde_json::Value;

const PARITY: &str = "module\n\npublic import Init\n\n@[expose] public noncomputable section\n\nnamespace Pair\n\ndef Even (n : Nat) : Prop := ∃ m, n = 2 * m\n\ntheorem even_add (m n : Nat) (hm : Even m) (hn : Even n) : Even (m + n) := by\n  obtain ⟨a, ha⟩ := hm\n  obtain ⟨b, hb⟩ := hn\n  exact ⟨a + b, by omega⟩\n\nend Pair\n";
const GCD: &str = "module\n\npublic import Pair.Parity\n\n@[expose] public noncomputable section\n\nnamespace Pair\n\ntheorem even_gcd : Even (Nat.gcd 12 18) := ⟨3, by decide⟩\n\ntheorem even_four : Even 4 := even_add 2 2 ⟨1, rfl⟩ ⟨1, rfl⟩\n\nend Pair\n";

fn library(folder: &Path) {
    std::fs::create_dir_all(folder.join("library/Pair")).unwrap();
    std::fs::write(
        folder.join("library/Pair.lean"),
        "module\n\npublic import Pair.Parity\npublic import Pair.Gcd\n",
    )
    .unwrap();
    std::fs::write(folder.join("library/Pair/Parity.lean"), PARITY).unwrap();
    std::fs::write(folder.join("library/Pair/Gcd.lean"), GCD).unwrap();
}

/// The exit code and the JSON of an audit of the library in `folder`.
fn audit(folder: &Path, out: &str) -> (i32, Value) {
    let at = |name: &str| folder.join(name).display().to_string();
    let (library, out, keys) = (at("library"), at(out), at("keys"));
    let output = atlas(&["audit", &library, "--out", &out, "--keys", &keys, "-o", "json"]).output().unwrap();
    let value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code().unwrap(), value)
}

/// The exit code of `atlas-kernel` on an audit's export.
fn kernel(folder: &Path) -> i32 {
    let kernel = Path::new(env!("CARGO_BIN_EXE_atlas")).with_file_name("atlas-kernel");
    let mut command = Command::new(&kernel);
    command
        .arg("--trust-arithmetic")
        .arg("--given")
        .arg(folder.join("library.given"))
        .arg(folder.join("library.ndjson"));
    let status =
        command.status().unwrap_or_else(|e| panic!("{}: {e}; build the workspace", kernel.display()));
    status.code().unwrap()
}

#[test]
fn a_library_becomes_one_export_that_the_kernel_accepts_and_a_changed_one_it_does_not() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path());
    let (code, told) = audit(folder.path(), "audit");
    assert_eq!(code, 0, "{told:#}");
    assert_eq!(
        (&told["accepted"], &told["sorry"], &told["compared"]),
        (&true.into(), &Value::Array(vec![]), &Value::Array(vec![]))
    );
    let audit_folder = folder.path().join("audit");
    assert_eq!(kernel(&audit_folder), 0);
    let receipt = json(&audit_folder.join("receipts/Pair.Gcd.json"));
    assert_eq!(receipt["kernels"].as_array().unwrap().len(), 2);

    // One proof taken for another's: two theorems' values change places.
    let file = audit_folder.join("library.ndjson");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("{\"meta\":") && text.lines().next().unwrap().contains("3.1.0"));
    let theorems: Vec<&str> = text.lines().filter(|line| line.starts_with("{\"thm\":")).collect();
    let value = |line: &str| serde_json::from_str::<Value>(line).unwrap()["thm"]["value"].to_string();
    let (first, last) = (theorems[0], theorems[theorems.len() - 1]);
    let changed = last.replace(&format!("\"value\":{}", value(last)), &format!("\"value\":{}", value(first)));
    assert_ne!(changed, last);
    std::fs::write(&file, text.replace(last, &changed)).unwrap();
    assert_eq!(kernel(&audit_folder), 1);
}

#[test]
fn an_audit_says_what_differs_from_earlier_receipts_and_what_is_not_proved() {
    let folder = tempfile::tempdir().unwrap();
    library(folder.path());
    assert_eq!(audit(folder.path(), "first").0, 0);
    std::fs::rename(folder.path().join("first/receipts"), folder.path().join("receipts")).unwrap();
    let (code, same) = audit(folder.path(), "audit");
    assert_eq!(code, 0, "{same:#}");
    let compared = |told: &Value, module: &str| {
        let all = told["compared"].as_array().unwrap();
        all.iter().find(|one| one["module"] == module).unwrap_or_else(|| panic!("{told:#}")).clone()
    };
    assert_eq!(compared(&same, "Pair.Gcd")["same"], true, "{same:#}");
    // A definition changes: what is stated with it states something else, wherever it is stated.
    std::fs::write(folder.path().join("library/Pair/Parity.lean"), PARITY.replace("n = 2 * m", "n = m + m"))
        .unwrap();
    std::fs::write(folder.path().join("library/Pair/Gcd.lean"), GCD.replace("⟨3, by decide⟩", "sorry"))
        .unwrap();
    let (code, other) = audit(folder.path(), "audit");
    assert_eq!(code, 3, "{other:#}");
    let differences = compared(&other, "Pair.Gcd")["differences"].to_string();
    assert!(differences.contains("`Pair.even_four` states something else"), "{differences}");
    assert_eq!(other["sorry"], serde_json::json!(["Pair.even_gcd"]), "{other:#}");
    assert!(other["export"]["axioms"].as_array().unwrap().contains(&"sorryAx".into()));
}
