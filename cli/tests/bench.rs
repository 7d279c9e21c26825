//! `atlas bench journal`, small: what it prints for programs, and its raw file.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::atlas;
use serde_json::Value;

#[test]
fn a_journals_figures_are_said_for_each_setting_with_what_stands_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("appends.csv");
    let output =
        atlas(&["bench", "journal", "--replicas", "1", "--sync", "always,interval", "--bytes", "100"])
            .args(["--writers", "1,8", "--seconds", "0.3", "--agents", "20", "-o", "json", "--csv"])
            .arg(&csv)
            .output()
            .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let list = |name: &str| told[name].as_array().unwrap().clone();
    let of = |row: &Value, name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"));

    let rows = list("appends");
    let settings: Vec<(&str, u64)> =
        rows.iter().map(|row| (row["sync"].as_str().unwrap(), row["writers"].as_u64().unwrap())).collect();
    assert_eq!(settings, [("always", 1), ("always", 8), ("interval", 1), ("interval", 8)]);
    for row in &rows {
        assert_eq!((of(row, "replicas"), of(row, "bytes")), (1.0, 100.0));
        assert!(of(row, "appends_per_second") > 0.0 && of(row, "p50_ms") <= of(row, "p99_ms"), "{row}");
        // No fewer bytes than the record has.
        assert!(row["bytes_written_per_append"].as_f64().is_none_or(|bytes| bytes > 100.0), "{row}");
    }
    let floors = list("floors");
    let kinds: Vec<&str> = floors.iter().map(|floor| floor["what"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["file", "request", "request"]);
    assert!(list("turns").iter().all(|turns| of(turns, "turns_per_second") > 0.0), "{told}");
    assert_eq!(list("turns").len(), 2);

    let text = std::fs::read_to_string(&csv).unwrap();
    let counted: u64 = rows.iter().map(|row| row["appends"].as_u64().unwrap()).sum();
    assert_eq!(text.lines().next().unwrap(), "replicas,sync,bytes,writers,microseconds");
    assert_eq!(text.lines().count() as u64, counted + 1);
}

#[test]
fn copies_that_cannot_be_had_are_refused() {
    let output = atlas(&["bench", "journal", "--replicas", "2"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("one copy or three"));
}
