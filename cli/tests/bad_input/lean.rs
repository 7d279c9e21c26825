//! Lean that loops, eats its memory or dies: asked directly with `atlas check`, and by an agent in a run.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use atlas_testkit::{Watched, children, descendants, groups_of_launcher, ticks};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Project, Told, common, machine};

/// Loops for ever, in compiled code that no heartbeat of Lean's counts.
const SPIN: &str = "partial def spin (n : Nat) : IO Nat := spin (n + 1)\n#eval spin 0\n";
/// Takes memory until there is none.
const GROW: &str = "partial def grow (a : Array Nat) : IO Nat := grow (a.push a.size)\n#eval grow #[]\n";
/// Ends its own process in the middle of the file.
const DIE: &str = "#eval (IO.Process.exit 3 : IO Unit)\n";

fn check(text: &str, limits: &[&str]) -> Told {
    let _machine = machine();
    let project = Project::new();
    project.write("File.lean", text);
    let mut command = project.atlas(&["check", "File.lean"]);
    command.args(limits);
    Told::by(command)
}

#[test]
fn lean_loops_for_ever() {
    check(SPIN, &["--deadline", "2s"])
        .exits(3)
        .at("timed-out File")
        .way_out("--deadline")
        .documented("loops for ever");
}

#[test]
fn lean_eats_its_memory() {
    check(GROW, &["--memory", "300Mi"])
        .exits(3)
        .at("out-of-memory File")
        .way_out("--memory")
        .documented("eats its memory");
}

#[test]
fn lean_dies() {
    check(DIE, &[]).exits(3).at("crashed File").way_out("the next check").documented("dies");
}

#[test]
fn a_proof_rests_on_an_axiom_that_is_not_allowed() {
    let chosen = "theorem chosen (a : Prop) (h : Nonempty (PLift a)) : a := (Classical.choice h).down\n";
    check(chosen, &[]).exits(0);
    check(chosen, &["--axioms", "none"])
        .exits(3)
        .at("rejected File")
        .way_out("`chosen` rests on the axiom `Classical.choice`");
    check(chosen, &["--axioms", "propext,Classical.choice"]).exits(0);
    check(chosen, &["--axioms", "sorryAx"])
        .exits(2)
        .way_out("there are propext, Classical.choice, Quot.sound, or none");
}

#[test]
fn a_lean_file_that_cannot_be_read() {
    let project = Project::new();
    for (arguments, way) in [(["check", "nowhere.lean"], "No such file"), (["check", "."], "--library DIR")] {
        Told::by(project.atlas(&arguments)).exits(2).way_out(way).documented("a file for `atlas check`");
    }
    Told::by(project.atlas(&["check", "--library", "."])).exits(2).way_out("lakefile.toml");
}

#[test]
fn no_embedded_lean() {
    let project = Project::new();
    for arguments in [&["run", "--ui", "plain"][..], &["check", "File.lean"]] {
        project.write("File.lean", "theorem x : True := trivial\n");
        let mut command = project.atlas(arguments);
        command.env("ATLAS_LEAN_IMAGE", "/nonexistent/image");
        Told::by(command)
            .exits(1)
            .at("/nonexistent/image")
            .way_out("scripts/setup lean")
            .documented("no embedded Lean");
    }
}

#[test]
fn a_worker_of_another_build() {
    let project = Project::new();
    project.write("File.lean", "theorem x : True := trivial\n");
    let mut command = project.atlas(&["check", "File.lean"]);
    // Of the same convention, as an older `lean-worker` is, and of another build.
    command.env("ATLAS_LEAN_WORKER", Path::new(env!("CARGO_BIN_EXE_atlas")).with_file_name("atlas-canary"));
    Told::by(command)
        .exits(1)
        .at(env!("CARGO_PKG_VERSION"))
        .way_out("cargo build --workspace")
        .documented("a worker of another build");
}

#[test]
fn a_killed_atlas_takes_its_workers_along() {
    let _machine = machine();
    let project = Project::new();
    project.write("File.lean", SPIN);
    let mut command = project.atlas(&["check", "File.lean", "--deadline", "5m"]);
    let mut atlas = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Canaries have ended, and a worker elaborates.
    let begun = Instant::now();
    while !descendants(atlas.id()).into_iter().any(|process| ticks(process) > 100) {
        assert!(begun.elapsed() < Duration::from_secs(60) && atlas.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    let launchers = children(atlas.id());
    let all = descendants(atlas.id());
    // What is stopped does not end by itself when nobody speaks to it any more.
    let workers: Vec<&u32> = all.iter().filter(|process| !launchers.contains(process)).collect();
    assert!(!workers.is_empty());
    for worker in workers {
        kill(Pid::from_raw(worker.cast_signed()), Signal::SIGSTOP).unwrap();
    }
    let watched: Vec<Watched> = all.iter().map(|process| Watched::begin(*process).unwrap()).collect();
    atlas.kill().unwrap();
    atlas.wait().unwrap();
    for (process, watched) in all.iter().zip(watched) {
        assert!(watched.ends_within(Duration::from_secs(20)), "process {process} goes on");
    }
    let left: Vec<_> = launchers.into_iter().flat_map(groups_of_launcher).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn no_native_lean() {
    let project = Project::new();
    project.edit("package: Pair", "package: Pair\n    toolchain: native");
    let mut command = project.atlas(&["run", "--ui", "plain"]);
    // Git and the shell, but no Lean.
    command.env("PATH", "/usr/bin:/bin").env("HOME", project.folder());
    Told::by(command).exits(1).at("lean").way_out("toolchain: embedded").documented("no native Lean");
}

/// An agent meets all three, is told what happened, and its run goes on.
#[test]
fn an_agent_is_told_how_lean_ended_and_goes_on() {
    let _machine = machine();
    let project = Project::new();
    project.edit(
        "  models:",
        "  verifiers: {deadline: 12s, memory: 300Mi}\n  agents: {attemptsPerTask: 1}\n  models:",
    );
    let snippet = |text: &str| format!("    - call: {{check: {{snippet: {text:?}}}}}\n");
    project.write(
        "recording.yaml",
        format!(
            "- role: formalizer\n  target: even\n  turns:\n{}{}{}    - call: {{give_up: {{reason: three checks were enough}}}}\n\
             - role: triage\n  target: even\n  turns:\n    - call: {{triage: {{action: escalate, text: Now what?}}}}\n",
            snippet(SPIN),
            snippet(GROW),
            snippet(DIE)
        ),
    );
    project.run().exits(3).at("even").at("Now what?").way_out("atlas reply even");
    let story = Told::by(project.atlas(&["logs", "even.formalizer.1"])).exits(0);
    let story = story.documented("loops for ever").documented("eats its memory").documented("dies");
    let order = ["ended at the deadline", "ended at the memory limit", "three checks were enough"];
    let places: Vec<_> = order.iter().map(|words| story.text.find(words)).collect();
    assert!(places.is_sorted() && places[0].is_some(), "{places:?}:\n{}", story.text);
    let report = common::json(&project.folder().join("runs/pair/report/report.json"));
    assert_eq!(report["targets"][0]["state"], "escalated");
}
