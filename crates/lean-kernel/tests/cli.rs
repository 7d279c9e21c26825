//! The program as an entrant of the kernel arena: a file in, 0, 1 or 2 out.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a failed test is a panic

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use atlas_lean_kernel::ndjson::write;
use support::World;

fn kernel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_atlas-kernel")).args(arguments).output().unwrap()
}

fn data(name: &str) -> String {
    format!("{}/tests/data/{name}.ndjson", env!("CARGO_MANIFEST_DIR"))
}

/// Writes what `script` declares on top of the prelude into a file of `dir`.
fn file(dir: &Path, name: &str, script: &str) -> PathBuf {
    let w = World::new().with(script);
    let names: Vec<_> = w.declarations.names().collect();
    let path = dir.join(name);
    write(&w.terms, &w.declarations, &names, &mut std::fs::File::create(&path).unwrap()).unwrap();
    path
}

fn code(arguments: &[&str]) -> i32 {
    let out = kernel(arguments);
    out.status.code().unwrap_or_else(|| panic!("{out:?}"))
}

#[test]
fn accept_reject_decline() {
    let dir = tempfile::tempdir().unwrap();
    let right = file(dir.path(), "right", "theorem t : True := True.intro");
    let wrong = file(dir.path(), "wrong", "theorem t : False := True.intro");
    let axiom = file(dir.path(), "axiom", "axiom a : True");
    let slow = file(
        dir.path(),
        "slow",
        "theorem t : Eq.{1} Nat (Nat.rec.{1} (fun (n : Nat) => Nat) 0 (fun (n ih : Nat) => ih) 1000000000) 0 := Eq.refl.{1} Nat 0",
    );
    let [right, wrong, axiom, slow] = [&right, &wrong, &axiom, &slow].map(|p| p.to_str().unwrap());
    let cut = dir.path().join("cut");
    std::fs::write(&cut, &std::fs::read(right).unwrap()[..100]).unwrap();
    let newer = dir.path().join("newer");
    std::fs::write(&newer, std::fs::read_to_string(right).unwrap().replace("3.1.0", "4.0.0")).unwrap();
    assert_eq!(code(&[right]), 0);
    assert_eq!(code(&["-j", "3", right]), 0);
    assert_eq!(code(&[wrong]), 1);
    assert_eq!(code(&["--all", wrong]), 1);
    assert_eq!(code(&[axiom]), 1);
    assert_eq!(code(&["--axioms", "any", axiom]), 0);
    assert_eq!(code(&["--axioms", "a", axiom]), 0);
    assert_eq!(code(&["--axioms", "b,c", axiom]), 1);
    assert_eq!(code(&[cut.to_str().unwrap()]), 1);
    assert_eq!(code(&[newer.to_str().unwrap()]), 2);
    assert_eq!(code(&["--steps", "100000", slow]), 2);
    assert_eq!(code(&["/nowhere/at/all"]), 2);
    assert_eq!(code(&[]), 2);
    assert_eq!(code(&["--no-such-flag", right]), 2);
    assert_eq!(code(&["--axioms", "any", "--trust-arithmetic", &data("proofs")]), 0);
}

#[test]
fn standard_input() {
    let dir = tempfile::tempdir().unwrap();
    let right = std::fs::read(file(dir.path(), "right", "theorem t : True := True.intro")).unwrap();
    for (bytes, want) in [(&right[..], 0), (&right[..right.len() - 5], 1), (b"", 1)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_atlas-kernel"))
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(want));
    }
}

#[test]
fn help_answers() {
    let out = kernel(&["--help"]);
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(out.status.code(), Some(0));
    for word in
        ["Exit status: 0 accepted, 1 rejected, 2 declined", "--base", "--axioms", "--threads", "--memory"]
    {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn json() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = file(dir.path(), "wrong", "theorem t : False := True.intro theorem s : True := True.intro");
    let out = kernel(&["-o", "json", "--all", wrong.to_str().unwrap()]);
    let v: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(v["verdict"], "rejected");
    assert_eq!(v["rejected"][0]["declaration"], "t");
    assert_eq!(v["rejected"][0]["rule"], "value-type");
    assert_eq!(v["sound"], v["declarations"].as_u64().unwrap() - 1);
    let stated = file(
        dir.path(),
        "stated",
        "axiom sorryAx.{u} : (α : Sort u) -> α theorem t : False := sorryAx.{0} False",
    );
    let out = kernel(&["-o", "json", "--stated", "t,sorryAx", stated.to_str().unwrap()]);
    let v: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(v["verdict"], "accepted");
    let t = v["accepted"].as_array().unwrap().iter().find(|d| d["name"] == "t").unwrap();
    assert_eq!(t["axioms"][0], "sorryAx");
}

#[test]
fn a_base_and_what_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let base = file(dir.path(), "base", "");
    let asked = file(dir.path(), "asked", "def d : Nat := 1 theorem t : Eq.{1} Nat d 1 := Eq.refl.{1} Nat 1");
    let other = file(dir.path(), "other", "def d : Nat := 2 theorem t : Eq.{1} Nat d d := Eq.refl.{1} Nat d");
    let [base, asked, other] = [&base, &asked, &other].map(|p| p.to_str().unwrap());
    assert_eq!(code(&["--base", base, "--challenge", asked, "--compare", "t", asked]), 0);
    let out = kernel(&["--base", base, "--challenge", asked, "--compare", "t", other]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("t is not what was asked"), "{out:?}");
    // A file that declares anew what the base has, differently.
    let fake = file(dir.path(), "fake", "");
    let text = std::fs::read_to_string(&fake).unwrap().replacen("\"isRec\":true", "\"isRec\":false", 1);
    std::fs::write(&fake, text).unwrap();
    assert_eq!(code(&["--base", base, fake.to_str().unwrap()]), 1);
}

/// Whatever ends the checking process, the answer is "declined".
#[test]
fn limits_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let slow = file(
        dir.path(),
        "slow",
        "theorem t : Eq.{1} Nat (Nat.rec.{1} (fun (n : Nat) => Nat) 0 (fun (n ih : Nat) => ih) 1000000000) 0 := Eq.refl.{1} Nat 0",
    );
    let slow = slow.to_str().unwrap();
    let many = u64::MAX.to_string();
    let out = kernel(&["--memory", "256", "--steps", &many, slow]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stdout).contains("out of memory"), "{out:?}");
    let out = kernel(&["--seconds", "1", "--steps", &many, slow]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
    let out = kernel(&["--memory", "1", slow]);
    assert_eq!(out.status.code(), Some(2), "{out:?}");
}
