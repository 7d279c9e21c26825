//! The native back end against a real Lean: where none is installed, the embedded one behind a native command line.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use atlas_lean::{Native, Toolchain as _};
use atlas_proto::{CheckReply, CheckRequest, DeclarationFacts, Expectation, Outcome, Position};
use common::{certify, elaborate, fact, image, lean, library, messages, module};

/// A folder with a `lean` that passes its command line to the embedded Lean.
fn toolchain(folder: &Path) -> PathBuf {
    let tool = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().join("lean-image");
    assert!(tool.exists(), "build it first: cargo build -p atlas-lean-wasm");
    let script = format!(
        "#!/bin/sh\nexec {} lean --image {} -- \"$@\"\n",
        tool.display(),
        image().canonicalize().unwrap().display()
    );
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("lean"), script).unwrap();
    std::fs::set_permissions(bin.join("lean"), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.to_owned()
}

fn native() -> (tempfile::TempDir, Native) {
    let folder = tempfile::tempdir().unwrap();
    let native = Native::at(&toolchain(folder.path()), &folder.path().join("cache")).unwrap();
    (folder, native)
}

const EVEN: &str = "\
namespace N
inductive Even : Nat → Prop where
  | zero : Even 0
  | step (n : Nat) (h : Even n) : Even (n + 2)
def twice (n : Nat) : Nat := match n with | 0 => 0 | k + 1 => twice k + 2
theorem even_twice (n : Nat) : Even (twice n) := by
  induction n with
  | zero => exact .zero
  | succ k ih => exact .step _ ih
theorem big : 123456789012345678901234567890 % 7 = 123456789012345678901234567890 % 7 := rfl
end N
";

#[test]
fn both_leans_say_the_same() {
    let (_folder, native) = native();
    assert!(native.name().contains("4.28.0"), "{}", native.name());
    let modules = library(&[
        ("N.Even", &[], EVEN),
        ("N.Top", &["N.Even"], "theorem N.top : N.Even (N.twice 7) := N.even_twice 7\n"),
    ]);
    let mut request = certify(modules);
    request.expectations = vec![Expectation { declaration: "N.top".into(), ..Expectation::default() }];
    let (ours, theirs) = (lean().check(&request), native.check(&request));
    assert_eq!(theirs.outcome(), Outcome::Accepted, "{theirs:#?}");
    // What is noticed besides is the judge's, which a native Lean's declarations do not reach.
    let told = |reply: CheckReply| {
        let plain = |facts: DeclarationFacts| DeclarationFacts { tags: vec![], ..facts };
        reply.declarations.into_iter().map(plain).collect::<Vec<_>>()
    };
    assert_eq!(told(ours), told(theirs.clone()));
    assert_eq!(fact(&theirs, "N.top").proof_constants, ["N.even_twice"]);
    assert!(native.check(&request).cached);
}

#[test]
fn a_native_lean_refuses_times_out_and_tells_goals() {
    let (_folder, native) = native();
    let skipped = "set_option debug.skipKernelTC true in\ntheorem x : (1 : Nat) = 2 := by decide +kernel\n";
    let reply = native.check(&certify(vec![module("N.X", skipped)]));
    assert_eq!(reply.outcome(), Outcome::Rejected, "{reply:#?}");
    assert!(messages(&reply).iter().any(|m| m.contains("`x`")), "{reply:#?}");
    let spin = "end\npartial def spin (n : Nat) : IO Nat := spin (n + 1)\n#eval spin 0\n";
    let reply =
        native.check(&CheckRequest { deadline_ms: 12_000, ..elaborate(vec![module("N.Spin", spin)]) });
    assert_eq!(reply.outcome(), Outcome::TimedOut, "{reply:#?}");
    let mut request = elaborate(vec![module(
        "N.G",
        "theorem t (p q : Prop) (hp : p) (hq : q) : p ∧ q := by\n  constructor\n  · exact hp\n  · exact hq\n",
    )]);
    request.goals_at = Some(Position { line: 9, column: 4 });
    let reply = native.check(&request);
    assert!(reply.goals.contains("⊢ p"), "{reply:#?}");
}

#[test]
fn a_missing_native_lean_is_an_error_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let error = Native::at(folder.path(), folder.path()).err().unwrap().to_string();
    assert!(error.contains("elan") && error.contains("embedded"), "{error}");
}
