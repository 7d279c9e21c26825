//! The sandbox holds, and each of its layers is one that holds: taken out on purpose, its canary gets out and is named.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use atlas_sandbox::canary::{self, Targets};
use atlas_sandbox::{Error, Guest, Layer, Plan, Process, Report, Sandbox};
use atlas_testkit::{Watched, children, groups_of_launcher};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

const PROGRAM: &str = env!("CARGO_BIN_EXE_atlas-canary");
const BUILD: &str = concat!("atlas-canary ", env!("CARGO_PKG_VERSION"));
const PATIENCE: Duration = Duration::from_secs(20);

/// What confined a canary, and what it found, with some layers left out.
fn without(layers: &[Layer]) -> (Report, BTreeSet<String>) {
    planned(Plan { without: layers.iter().copied().collect(), ..Plan::default() })
}

fn planned(plan: Plan) -> (Report, BTreeSet<String>) {
    let task = |targets: Targets| serde_json::to_string(&targets).unwrap();
    let (report, found) = canary::run(Path::new(PROGRAM), BUILD, &plan, task, PATIENCE).unwrap();
    (report, found.into_iter().map(|finding| finding.attempt).collect())
}

#[test]
fn nothing_gets_out() {
    let (report, found) = without(&[]);
    assert_eq!(found, BTreeSet::new());
    let (group, others): (Vec<&Layer>, Vec<&Layer>) =
        report.layers.iter().partition(|layer| **layer == Layer::Group);
    assert_eq!(others.len(), 9, "{report:?}");
    assert!(group.len() == 1 || !report.unlimited.is_empty(), "{report:?}");
    assert_eq!(report.missing, [""; 0]);
}

/// A plan of a process that starts a program.
fn starting(without: &[Layer]) -> Plan {
    let guest = Guest { program: "/bin/sh".into(), scratch: 1 << 20, memory: 1 << 30 };
    let readable = ["/bin", "/lib", "/usr"].map(std::path::PathBuf::from).to_vec();
    let without = without.iter().copied().collect();
    Plan { without, readable, threads: 48, guest: Some(guest), ..Plan::default() }
}

#[test]
fn nothing_gets_out_of_a_program_that_is_started_either() {
    let (report, found) = planned(starting(&[]));
    assert_eq!((found, report.layers), (BTreeSet::new(), without(&[]).0.layers));
    // That it starts no process does not hang on limits, groups and namespaces.
    let processes = ["fork without end", "leave a daemon behind"].map(str::to_owned);
    let (_, found) = planned(starting(&[Layer::Limits, Layer::Processes, Layer::Group]));
    assert!(!processes.iter().any(|attempt| found.contains(attempt)), "{found:?}");
    let (_, found) = planned(starting(&[Layer::Limits, Layer::Processes, Layer::Group, Layer::Seccomp]));
    assert!(processes.iter().all(|attempt| found.contains(attempt)), "{found:?}");
}

#[test]
fn each_layer_is_what_holds_its_canary() {
    use Layer::{Environment, Group, Landlock, Limits, Mounts, Network, Privileges, Processes, Seccomp};
    // Against most attempts stand two layers or more; all but the last are left out to see the last one hold, then that too.
    let cases: &[(&[Layer], &str)] = &[
        (&[Environment], "read the environment"),
        (&[Mounts, Landlock], "read a secret"),
        (&[Mounts, Landlock], "write outside"),
        (&[Seccomp, Mounts, Landlock], "follow a link outside"),
        (&[Seccomp, Network, Landlock], "open a TCP connection"),
        (&[Seccomp, Network, Landlock], "open an abstract socket"),
        (&[Seccomp, Mounts], "open a UNIX socket"),
        (&[Seccomp, Limits, Group], "fork without end"),
        (&[Group], "take memory without end"),
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
    let group = without(&[]).0.layers.contains(&Group);
    for (layers, attempt) in cases {
        // Where nobody is an administrator, none becomes nobody.
        let root = nix::unistd::Uid::effective().is_root();
        if !root && *attempt == "trace the parent" {
            continue; // not out of a user namespace, which an ordinary user's sandbox always is
        }
        let there = |layer: &Layer| (root || *layer != Privileges) && (group || *layer != Group);
        let layers: Vec<Layer> = layers.iter().copied().filter(there).collect();
        if layers.is_empty() {
            continue;
        }
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

/// A canary that has tried what it can, and waits to be told to go on; and its end.
fn waiting() -> (Process, Watched) {
    let targets = r#"{"folder": "/", "secret": "/", "socket": "/", "abstract_socket": "", "port": 1, "parent": 1, "memory": 0}"#;
    let (process, _) =
        Process::start(Path::new(PROGRAM), BUILD, &Plan::default(), targets, 0, PATIENCE).unwrap();
    let worker = Watched::begin(children(process.id())[0]).unwrap();
    (process, worker)
}

#[test]
fn a_group_goes_with_its_worker_and_the_next_launcher_takes_away_what_a_killed_one_left() {
    let (process, worker) = waiting();
    let limited = process.report().layers.contains(&Layer::Group);
    assert_eq!(!groups_of_launcher(process.id()).is_empty(), limited);
    process.end();
    assert!(worker.ends_within(Duration::ZERO));
    assert_eq!(groups_of_launcher(process.id()), [""; 0].map(PathBuf::from));

    let (process, worker) = waiting();
    kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGKILL).unwrap();
    assert!(worker.ends_within(PATIENCE), "a worker outlives its launcher");
    process.end();
    let (_next, _) = waiting();
    assert_eq!(groups_of_launcher(process.id()), [""; 0].map(PathBuf::from));
}

#[test]
fn a_program_of_another_build_is_told_with_both_names() {
    let started = Process::start(Path::new(PROGRAM), "another build", &Plan::default(), "", 0, PATIENCE);
    let Err(error) = started else { panic!("it was started") };
    assert!(
        matches!(&error, Error::Build { its, own, .. } if its == BUILD && own == "another build"),
        "{error}"
    );
}
