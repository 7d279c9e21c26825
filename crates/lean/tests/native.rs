//! The native back end against a real Lean: where none is installed, the embedded one behind a native command line.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use atlas_lean::{Native, NativeOptions, Sandbox, Toolchain as _};
use atlas_proto::{CheckRequest, Expectation, Outcome, Position};
use common::{certify, elaborate, fact, image, lean, library, messages, module};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

/// A native Lean whose program `lean` is this shell script, with a cache of its own in `folder`. It sees the folders that the script's programs lie in.
fn scripted(folder: &Path, script: &str, readable: &[PathBuf], sandbox: Sandbox) -> Native {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::fs::write(bin.join("lean"), script).unwrap();
    std::fs::set_permissions(bin.join("lean"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let shell = ["/bin", "/usr/bin"].map(PathBuf::from);
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    Native::open(&NativeOptions {
        // Exported once for each toolchain and driver: it takes longer than all else.
        foundation: image().parent().unwrap().join("foundation-native"),
        readable: shell.iter().chain(readable).cloned().collect(),
        sandbox,
        ..NativeOptions::at(folder, &folder.join("cache")).unwrap()
    })
    .unwrap()
}

/// The command by which a script becomes the embedded Lean, and the folders that this takes.
fn embedded() -> (String, [PathBuf; 2]) {
    let tools = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
    let tool = tools.join("lean-image");
    assert!(tool.exists(), "build it first: cargo build -p atlas-lean-wasm");
    let image = image().canonicalize().unwrap();
    // What it would print of its folders is none of this machine's, and takes a cold start to say.
    (
        format!(
            "case \"$1\" in --print*) exit 1;; esac\nexec {} lean --image {} -- \"$@\"\n",
            tool.display(),
            image.display()
        ),
        [tools, image],
    )
}

/// The embedded Lean behind a native command line.
fn native() -> (tempfile::TempDir, Native) {
    let (lean, readable) = embedded();
    let folder = tempfile::tempdir().unwrap();
    let native = scripted(folder.path(), &format!("#!/bin/sh\n{lean}"), &readable, Sandbox::Required);
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
    assert_eq!(ours.declarations, theirs.declarations);
    assert_eq!(theirs.receipts.len(), 2);
    for (ours, theirs) in ours.receipts.iter().zip(&theirs.receipts) {
        let kernels: Vec<&str> = theirs.kernels.iter().map(|verdict| verdict.kernel.as_str()).collect();
        assert!(kernels.contains(&"Lean") && kernels.iter().any(|k| k.contains("atlas-lean-kernel")));
        // The text that both kernels were asked about is the same to the byte.
        assert_eq!(ours.export_sha256, theirs.export_sha256);
        assert_eq!((&ours.imports, &ours.declarations), (&theirs.imports, &theirs.declarations));
    }
    assert_eq!(fact(&theirs, "N.top").proof_constants, ["N.even_twice"]);
    assert!(native.check(&request).cached);
}

#[test]
fn a_native_lean_refuses_times_out_and_tells_goals() {
    let (_folder, native) = native();
    let skipped = "set_option debug.skipKernelTC true in\ntheorem x : (1 : Nat) = 2 := by decide +kernel\n";
    let reply = native.check(&certify(vec![module("N.X", skipped)]));
    assert_eq!(reply.outcome(), Outcome::Rejected, "{reply:#?}");
    let said = messages(&reply).join("\n");
    assert!(said.contains("Lean rejects it") && said.contains("atlas-lean-kernel"), "{said}");
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

/// A native Lean that is in a submission's hands from the first: asked to elaborate, it hands over a theorem `t : STATEMENT := True.intro` that no
/// Lean has seen; asked anything else, it is Lean.
fn taken_over(statement: &str) -> (tempfile::TempDir, Native) {
    let (lean, readable) = embedded();
    let length = statement.len();
    let script = format!(
        r#"#!/bin/bash
[ -e exchange/request ] && read -r command < exchange/request
if [ "$command" != check ]; then
{lean}fi
cat_objects() {{ printf '%s\n' "$@"; }}
cat_objects 's 1' t 'c 1 - #0 0' 's {length}' {statement} 'c 1 - #0 2' a 'c 4 - 3 4' 's 4' True 'c 1 - #0 6' 's 5' intro 'c 1 - 7 8' \
  'c 4 - 9 4' 'c 0 - 1 4 5' 'a 1' 'c 0 - 11 10 12' 'c 2 - 13' 'a 14' a 'c 0 - 15 16' > exchange/objects
printf 'declaration 1 0 {length}\n0{statement}end 1 1\n00' > exchange/answer
printf 'no module' > exchange/out.olean
"#
    );
    let folder = tempfile::tempdir().unwrap();
    let native = scripted(folder.path(), &script, &readable, Sandbox::Required);
    (folder, native)
}

#[test]
fn what_was_smuggled_past_the_elaborator_is_for_the_kernels() {
    let request = certify(vec![module("N.T", "theorem t : True := trivial\n")]);
    let (_folder, honest) = taken_over("True");
    let reply = honest.check(&request);
    assert_eq!((reply.outcome(), reply.receipts.len()), (Outcome::Accepted, 1), "{reply:#?}");
    let (_folder, hostile) = taken_over("False");
    let reply = hostile.check(&request);
    assert_eq!((reply.outcome(), reply.receipts.len()), (Outcome::Rejected, 0), "{reply:#?}");
    let said = messages(&reply).join("\n");
    assert!(said.contains("`t`: Lean rejects it") && said.contains("`t`: atlas-lean-kernel"), "{said}");
}

/// A "Lean" that tries to get out and tells in its answer, as a message, how far it came.
fn escaping(outside: &Path, port: u16) -> String {
    format!(
        r#"#!/bin/bash
case "$1" in --version) echo "Lean (version of its own)"; exit;; --print*) exit 1;; esac
exec 2> exchange/errors
tell() {{ printf 'message 11 1 1 1 1 %d\ninformation1010%s' ${{#1}} "$1" >> exchange/answer; }}
[ -n "$HOME" ] && tell "read the environment"
{{ : > {outside}/written; }} && tell "wrote outside"
{{ read -r line < {outside}/secret; }} && tell "read a secret"
{{ read -r line < /etc/passwd; }} && tell "read a file of the system"
{{ : > "${{0%/*}}/written"; }} && tell "wrote to its own toolchain"
{{ : 3<>/dev/tcp/127.0.0.1/{port}; }} && tell "opened a socket"
tell "tried everything"
( tell "started a process" )
"#,
        outside = outside.display()
    )
}

/// What the escaping Lean says in a sandbox.
fn in_the_sandbox(sandbox: Sandbox) -> Vec<String> {
    let (outside, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::set_permissions(outside.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    std::fs::write(outside.path().join("secret"), "secret\n").unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let script = escaping(outside.path(), listener.local_addr().unwrap().port());
    let native = scripted(folder.path(), &script, &[], sandbox);
    let reply = native.check(&elaborate(vec![module("N.T", "theorem t : True := trivial\n")]));
    assert_eq!(reply.outcome(), Outcome::Accepted, "{reply:#?}");
    assert!(!outside.path().join("written").exists());
    messages(&reply).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_native_program_reaches_nothing_from_the_sandbox() {
    assert_eq!(in_the_sandbox(Sandbox::Required), ["tried everything"]);
    // The same, where it is not held.
    let outside = tempfile::tempdir().unwrap();
    let at = |path: &str| outside.path().join(path);
    std::fs::write(at("secret"), "secret\n").unwrap();
    std::fs::create_dir(at("exchange")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(at("lean"), escaping(outside.path(), listener.local_addr().unwrap().port())).unwrap();
    let mut free = Command::new("bash");
    free.arg(at("lean")).current_dir(outside.path()).stdin(Stdio::null());
    assert!(free.status().unwrap().success());
    let said = std::fs::read_to_string(at("exchange/answer")).unwrap();
    assert_eq!(said.matches("message").count(), 8, "{said}");
}

#[test]
fn nor_where_namespaces_are_forbidden_and_a_person_has_said_reduced() {
    // As a container runtime's default profile does. The filter is this thread's and its children's.
    let rules = [(libc::SYS_unshare, vec![])].into();
    let eperm = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, eperm, arch).unwrap().try_into().unwrap();
    apply_filter(&filter).unwrap();
    assert_eq!(in_the_sandbox(Sandbox::Reduced), ["tried everything"]);
}

#[test]
fn a_missing_native_lean_is_an_error_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let error = NativeOptions::at(folder.path(), folder.path()).err().unwrap().to_string();
    assert!(error.contains("elan") && error.contains("embedded"), "{error}");
}
