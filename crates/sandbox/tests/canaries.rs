//! The sandbox holds, and each of its layers is one that holds: taken out on purpose, its canary gets out and is named.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use atlas_sandbox::canary::{self, Targets};
use atlas_sandbox::{Layer, Plan, Report, Sandbox};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const PROGRAM: &str = env!("CARGO_BIN_EXE_atlas-canary");

/// What confined a canary, and what it found, with some layers left out.
fn without(layers: &[Layer]) -> (Report, BTreeSet<String>) {
    let plan = Plan { without: layers.iter().copied().collect(), threads: 16, ..Plan::default() };
    let task = |targets: Targets| serde_json::to_string(&targets).unwrap();
    let (report, found) = canary::run(Path::new(PROGRAM), &plan, task, Duration::from_secs(20)).unwrap();
    (report, found.into_iter().map(|finding| finding.attempt).collect())
}

#[test]
fn nothing_gets_out() {
    let (report, found) = without(&[]);
    assert_eq!(found, BTreeSet::new());
    assert_eq!(report.layers.len(), 9, "{report:?}");
    assert_eq!(report.missing, [""; 0]);
}

#[test]
fn each_layer_is_what_holds_its_canary() {
    use Layer::{Environment, Landlock, Limits, Mounts, Network, Privileges, Processes, Seccomp};
    // Against most attempts stand two layers or more; all but the last are left out to see the last one hold, then that too.
    let cases: &[(&[Layer], &str)] = &[
        (&[Environment], "read the environment"),
        (&[Mounts, Landlock], "read a secret"),
        (&[Mounts, Landlock], "write outside"),
        (&[Seccomp, Mounts, Landlock], "follow a link outside"),
        (&[Seccomp, Network, Landlock], "open a TCP connection"),
        (&[Seccomp, Network, Landlock], "open an abstract socket"),
        (&[Seccomp, Mounts], "open a UNIX socket"),
        (&[Seccomp, Limits], "fork without end"),
        (&[Seccomp, Processes], "leave a daemon behind"),
        (&[Seccomp, Processes, Privileges, Landlock], "signal the parent"),
        (&[Seccomp, Processes, Privileges, Landlock], "trace the parent"),
        (&[Seccomp, Privileges, Landlock], "mount a file system"),
        (&[Seccomp], "make new code"),
        (&[Seccomp], "call io_uring_setup"),
        (&[Seccomp], "call keyctl"),
        (&[Seccomp], "call userfaultfd"),
        (&[Seccomp], "call execve"),
    ];
    for (layers, attempt) in cases {
        // Where nobody is an administrator, none becomes nobody.
        let root = nix::unistd::Uid::effective().is_root();
        if !root && *attempt == "trace the parent" {
            continue; // not out of a user namespace, which an ordinary user's sandbox always is
        }
        let layers: Vec<Layer> = layers.iter().copied().filter(|l| root || *l != Privileges).collect();
        let (_, found) = without(&layers);
        assert!(found.contains(*attempt), "without {layers:?}: {attempt} is not in {found:?}");
        for left in layers.iter().filter(|_| layers.len() > 1) {
            let others: Vec<Layer> = layers.iter().copied().filter(|layer| layer != left).collect();
            let (_, found) = without(&others);
            assert!(!found.contains(*attempt), "without {others:?}, but with {left:?}: {attempt}");
        }
    }
}

/// The canary as a person runs it, by an ordinary user where this is the administrator.
fn by_an_ordinary_user(sandbox: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env(Sandbox::VARIABLE, sandbox);
    if nix::unistd::Uid::effective().is_root() {
        command.uid(65534).gid(65534);
    }
    command.output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn it_holds_for_an_ordinary_user() {
    let output = by_an_ordinary_user("required");
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("Network"));
}

#[test]
fn where_namespaces_are_forbidden_it_refuses_by_name_or_says_what_is_missing() {
    // As a container runtime's default profile does. The filter is this thread's and its children's.
    let rules = [(libc::SYS_unshare, vec![])].into();
    let eperm = SeccompAction::Errno(libc::EPERM as u32);
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, eperm, arch).unwrap().try_into().unwrap();
    apply_filter(&filter).unwrap();
    let output = by_an_ordinary_user("required");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("namespace") && text(&output).contains("ATLAS_SANDBOX"),
        "{}",
        text(&output)
    );
    let output = by_an_ordinary_user("reduced");
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("missing: namespaces"), "{}", text(&output));
}
