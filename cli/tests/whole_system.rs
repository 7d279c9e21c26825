//! The product as a user has it: the built `atlas`, a real nats-server, real git and real Lean; only the model's turns are
//! recorded.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use serde_json::Value;

/// Each run wants the whole machine: one at a time.
static MACHINE: Mutex<()> = Mutex::new(());

fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn cache() -> PathBuf {
    std::env::var_os("ATLAS_CACHE").map_or_else(|| root().join(".cache"), PathBuf::from)
}

fn atlas(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
    command
        .args(arguments)
        .env("ATLAS_CACHE", cache())
        .env("NO_COLOR", "1")
        .current_dir(root())
        .stdin(Stdio::null());
    command
}

fn run(example: &str, dir: &Path) -> Command {
    let file = format!("examples/{example}/atlasrun.yaml");
    atlas(&["run", "-f", &file, "--dir", dir.to_str().unwrap(), "--run", example, "--ui", "json"])
}

fn json(path: &Path) -> Value {
    serde_json::from_str(
        &std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())),
    )
    .unwrap()
}

/// Final states by target, without those that a triage agent added.
fn states(report: &Value) -> BTreeMap<String, String> {
    let text = |target: &Value, key: &str| target[key].as_str().unwrap_or_default().to_owned();
    report["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| (text(target, "id"), text(target, "state")))
        .collect()
}

fn expected(example: &str) -> BTreeMap<String, String> {
    serde_json::from_value(json(&root().join("examples").join(example).join("expected.json"))).unwrap()
}

fn assert_final_states(example: &str, report: &Value) {
    let states = states(report);
    for (target, state) in expected(example) {
        assert_eq!(states.get(&target), Some(&state), "final state of `{target}`");
    }
    assert!(states.values().all(|state| state == "certified" || state == "refuted"), "{states:#?}");
}

fn git(repository: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("--git-dir").arg(repository).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Nothing landed twice, and the repository is sound.
fn assert_landed_once(run: &Path) {
    let repository = run.join("library.git");
    git(&repository, &["fsck", "--strict"]);
    let log =
        git(&repository, &["log", "--format=%(trailers:key=Atlas-Submission,valueonly,separator=)", "main"]);
    let submissions: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    let distinct: BTreeSet<&str> = submissions.iter().copied().collect();
    assert_eq!(submissions.len(), distinct.len(), "a submission landed twice");
}

/// The provider's own count of the calls that it served, by (role, target, attempt, turn).
fn calls(run: &Path) -> HashMap<String, usize> {
    let mut calls = HashMap::new();
    for line in std::fs::read_to_string(run.join("logs/model-calls.jsonl")).unwrap().lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        let key = format!("{} {} {} {}", call["role"], call["target"], call["attempt"], call["turn"]);
        *calls.entry(key).or_default() += 1;
    }
    calls
}

#[test]
fn the_example_book_becomes_a_library_that_checks_again_from_nothing() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let output = run("numbers", dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let home = dir.path().join("numbers");
    let report = json(&home.join("report/report.json"));
    assert_final_states("numbers", &report);
    assert_landed_once(&home);

    assert!(report["totals"]["refuted"].as_u64().unwrap() >= 1);

    let library = home.join("library");
    let check = atlas(&["check", "--library", library.to_str().unwrap(), "-o", "json"]).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));

    let before = calls(&home);
    let again = run("numbers", dir.path()).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "the same command again finds nothing to do");
    assert_eq!(calls(&home), before, "and calls no model");
}

#[test]
fn a_second_book_with_a_recording_written_by_hand_works_too() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let output = run("dominoes", dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_final_states("dominoes", &json(&dir.path().join("dominoes/report/report.json")));
}

/// The smaller book: ten starts of it take about as long as one of the larger.
const BOOK: &str = "dominoes";

/// A run in a process group of its own, so that the whole tree can be killed.
fn start(dir: &Path) -> Child {
    run(BOOK, dir).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0).spawn().unwrap()
}

fn kill_tree(mut child: Child) {
    // The group holds every process that the run started.
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status().unwrap();
    child.wait().unwrap();
}

/// Kills after a number of progress lines, which come with what happens, not with the clock.
#[test]
fn kill_dash_nine_at_ten_moments_loses_nothing_pays_nothing_twice_and_lands_nothing_twice() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join(BOOK);
    // A linear congruential sequence from a seed that is printed: the moments are random and a failure can be run again.
    let seed = std::env::var("ATLAS_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("ATLAS_TEST_SEED={seed}");
    let mut state = seed;
    for kill in 0..10 {
        let mut child = start(dir.path());
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let moment = (state >> 33) % 24 + 1;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.take(usize::try_from(moment).unwrap()).count();
        println!("kill {kill} after {seen} lines");
        kill_tree(child);
    }
    let output = run(BOOK, dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert_final_states(BOOK, &json(&home.join("report/report.json")));
    assert_landed_once(&home);
    // A call whose answer was journaled is never made again. One that was under way at a kill may be: at most once per kill.
    let repeated: usize = calls(&home).values().map(|times| times - 1).sum();
    let report = json(&home.join("report/report.json"));
    let uncertain = report["repeated_calls"].as_u64().unwrap();
    assert!(
        repeated as u64 <= uncertain,
        "{repeated} calls were repeated, {uncertain} of them were unanswered at a kill"
    );
}
