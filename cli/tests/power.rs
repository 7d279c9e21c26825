//! Power failures under real nats-servers: what they acknowledged is there afterwards, if they were told to sync always.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::path::Path;

use common::atlas;
use serde_json::Value;

/// The rows of one power failure for each setting; `None`, with a word about it, where the machine has no FUSE.
fn rows(settings: &[&str]) -> Option<Vec<Value>> {
    if !Path::new("/dev/fuse").exists() {
        eprintln!("not tested: there is no /dev/fuse");
        return None;
    }
    let bench = ["bench", "power", "--failures", "1", "--time", "1s", "--writers", "8", "-o", "json"];
    let output = atlas(&bench).args(settings).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = told["rows"].as_array().unwrap().clone();
    for row in &rows {
        assert!(number(row, "acknowledged") > 50, "{row}");
        // One append of each writer may be stored and not yet acknowledged.
        assert!(number(row, "unasked") <= 8, "{row}");
    }
    Some(rows)
}

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_power_failure_when_it_is_synced_always() {
    let Some(rows) = rows(&["--fails", "alone", "--names", "folder,journal"]) else { return };
    for row in &rows {
        match (row["sync"].as_str().unwrap(), row["names"].as_str().unwrap()) {
            ("always", "journal") => assert!(number(row, "lost") == 0 && number(row, "syncs") > 0, "{row}"),
            // nats-server syncs files and no folders: should it begin to, there is one promise more to make.
            ("always", _) => assert_eq!(number(row, "lost") == 0, number(row, "folder_syncs") > 0, "{row}"),
            // That the disk forgets shows where it may.
            _ => assert!(number(row, "lost") > 0, "{row}"),
        }
    }
    assert_eq!(rows.len(), 4);
}

#[test]
fn three_servers_lose_nothing_when_the_power_of_one_or_all_fails() {
    let Some(rows) = rows(&["--fails", "leader,all", "--sync", "always"]) else { return };
    assert_eq!(rows.len(), 2);
    for row in &rows {
        assert_eq!(number(row, "lost"), 0, "{row}");
    }
}
