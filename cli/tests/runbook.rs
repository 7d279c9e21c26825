//! What docs/runbook.md has people do at night, done to a real run; its words are those that are shown.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{atlas, git, json};

const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// Runs a command in the folder of runs; exit code and all that it says.
fn said(arguments: &[&str], dir: &Path) -> (i32, String) {
    let output = atlas(arguments).arg("--dir").arg(dir).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// The runbook quotes these words, and they are shown.
fn assert_quoted(words: &str, shown: &str) {
    assert!(RUNBOOK.contains(words), "docs/runbook.md does not quote `{words}`");
    assert!(shown.contains(words), "`{words}` is not shown:\n{shown}");
}

fn run(dir: &Path) -> (i32, String) {
    said(&["run", "-f", "examples/dominoes/atlasrun.yaml", "--ui", "plain"], dir)
}

/// A file of the repository that `main` needs.
fn needed(repository: &Path) -> PathBuf {
    let tree = git(repository, &["rev-parse", "main^{tree}"]);
    let tree = tree.trim();
    repository.join("objects").join(&tree[..2]).join(&tree[2..])
}

#[test]
fn a_damaged_repository_and_a_lost_disk_cost_nothing_that_was_backed_up_or_journaled() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, backup) = (folder.path().join("runs"), folder.path().join("backup"));
    let home = runs.join("dominoes");
    let repository = home.join("library.git");
    let (code, told) = run(&runs);
    assert_eq!(code, 0, "{told}");
    let history = git(&repository, &["rev-list", "main"]);
    let report = json(&home.join("report/report.json"));

    let to = backup.to_str().unwrap();
    let (code, told) = said(&["backup", "dominoes", "--to", to], &runs);
    assert_eq!(code, 0, "{told}");
    let (code, told) = said(&["backup", "dominoes", "--to", to], &runs);
    assert!(code == 2 && told.contains("is there already"), "{told}");

    // The disk gives other bytes back than were written.
    let file = needed(&repository);
    let mode = fs::metadata(&file).unwrap().permissions();
    fs::remove_file(&file).unwrap();
    fs::write(&file, "other bytes").unwrap();
    fs::set_permissions(&file, mode).unwrap();
    let (code, told) = run(&runs);
    assert_eq!(code, 1, "{told}");
    assert_quoted("is not what the merge queue's journal says", &told);
    assert_quoted("`atlas repair` builds it anew from the journal", &told);
    let (code, told) = said(&["repair"], &runs);
    assert_eq!(code, 0, "{told}");
    assert_quoted("is built anew from the journal", &told);
    assert_quoted("what was there is kept in", &told);
    assert_eq!(git(&repository, &["rev-list", "main"]), history);
    git(&repository, &["fsck", "--strict"]);
    let (code, told) = run(&runs);
    assert_eq!(code, 0, "{told}");

    // All of it is gone.
    fs::remove_dir_all(&runs).unwrap();
    let (code, told) = said(&["restore", to], &runs);
    assert_eq!(code, 0, "{told}");
    assert_quoted("go on with the same `atlas run` as before", &told);
    let (code, told) = said(&["restore", to], &runs);
    assert!(code == 2 && told.contains("is there already"), "{told}");
    let (code, told) = run(&runs);
    assert_eq!(code, 0, "{told}");
    assert_eq!(git(&repository, &["rev-list", "main"]), history);
    let again = json(&home.join("report/report.json"));
    assert_eq!(again["targets"], report["targets"]);
    assert_eq!(again["model_calls"], report["model_calls"], "nothing is paid again");

    // A backup that is damaged itself is no backup, and says so before anything is there.
    let file = needed(&backup.join("files/library.git"));
    fs::remove_file(&file).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    let (code, told) = said(&["restore", to], &elsewhere);
    assert_eq!(code, 1, "{told}");
    assert_quoted("is missing or has other bytes", &told);
    assert!(!elsewhere.join("dominoes").exists());
}
