//! Power failures under a real nats-server: what it acknowledged is there afterwards, if it was told to sync always.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod common;

use std::path::Path;

use common::atlas;
use serde_json::Value;

#[test]
fn what_was_acknowledged_survives_a_power_failure_when_it_is_synced_always() {
    if !Path::new("/dev/fuse").exists() {
        eprintln!("not tested: there is no /dev/fuse");
        return;
    }
    let output =
        atlas(&["bench", "power", "--failures", "2", "--time", "1s", "-o", "json"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut settings = 0;
    for row in told["rows"].as_array().unwrap() {
        let number = |key: &str| row[key].as_u64().unwrap();
        assert!(number("acknowledged") > 50, "{row}");
        // One append of each writer may be stored and not yet acknowledged.
        assert!(number("unasked") <= told["writers"].as_u64().unwrap(), "{row}");
        match (row["sync"].as_str().unwrap(), row["names"].as_str().unwrap()) {
            ("always", "journal") => {
                assert_eq!(number("lost"), 0, "{row}");
                assert!(number("syncs") > 0, "{row}");
            }
            // nats-server syncs files and no folders.
            ("always", _) => assert!(number("lost") == 0 || number("folder_syncs") == 0, "{row}"),
            // That the disk forgets shows where it is allowed to.
            _ if row["fails"] != "leader" => assert!(number("lost") > 0, "{row}"),
            _ => {}
        }
        settings += 1;
    }
    assert_eq!(settings, 12);
}
