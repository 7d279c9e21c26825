//! What a run leaves behind, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::common::git;
pub use crate::common::json;
use crate::start::example;

/// `report.json` of the run that lies in `home`.
pub fn report(home: &Path) -> Value {
    json(&home.join("report/report.json"))
}

pub fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

pub fn target<'a>(report: &'a Value, id: &str) -> &'a Value {
    list(report, "targets")
        .iter()
        .find(|target| target["id"] == id)
        .unwrap_or_else(|| panic!("the report has no target `{id}`"))
}

/// Final states by target, those that a triage agent added among them.
pub fn states(report: &Value) -> BTreeMap<String, String> {
    list(report, "targets").iter().map(|target| (text(target, "id"), text(target, "state"))).collect()
}

/// What happened on each target's way.
pub fn ways(report: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let ways = |target: &Value| {
        list(target, "ways").iter().map(|way| way.as_str().unwrap_or_default().to_owned()).collect()
    };
    list(report, "targets").iter().map(|target| (text(target, "id"), ways(target))).collect()
}

pub fn expected(name: &str) -> BTreeMap<String, String> {
    serde_json::from_value(json(&example(name).join("expected.json"))).unwrap()
}

pub fn assert_final_states(name: &str, report: &Value) {
    assert_eq!(states(report), expected(name), "final states of {name}");
}

/// The submissions that landed, oldest first.
pub fn landed(home: &Path) -> Vec<String> {
    let format = "--format=%(trailers:key=Atlas-Submission,valueonly,separator=)";
    let log = git(&home.join("library.git"), &["log", "--reverse", format, "main"]);
    log.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Nothing landed twice, and the repository is sound.
pub fn assert_landed_once(home: &Path) {
    git(&home.join("library.git"), &["fsck", "--strict"]);
    let submissions = landed(home);
    let distinct: BTreeSet<&String> = submissions.iter().collect();
    assert_eq!(submissions.len(), distinct.len(), "a submission landed twice");
}

/// The provider's own count of the calls that it served, by (role, target, attempt, turn).
pub fn calls(home: &Path) -> BTreeMap<String, usize> {
    let mut calls = BTreeMap::new();
    for line in std::fs::read_to_string(home.join("logs/model-calls.jsonl")).unwrap().lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        let key = [text(&call, "role"), text(&call, "target")].join(" ");
        *calls.entry(format!("{key} {} {}", call["attempt"], call["turn"])).or_default() += 1;
    }
    calls
}

/// A call whose answer was journaled is never made again. One that was under way at a kill may be: at most once per kill.
pub fn assert_no_journaled_call_repeated(home: &Path) {
    let repeated: usize = calls(home).values().map(|times| times - 1).sum();
    let uncertain = report(home)["repeated_calls"].as_u64().unwrap();
    assert!(
        repeated as u64 <= uncertain,
        "{repeated} calls were repeated, {uncertain} of them were unanswered at a kill"
    );
}

/// The Lean files of the library's working copy, by path.
pub fn library(home: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![home.join("library")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with(".git") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lean") {
                let name = path.strip_prefix(home).unwrap().display().to_string();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}
