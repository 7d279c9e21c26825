//! A run that goes on under another policy: what is in its library is certified again, and what is not any more is named.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::common::{atlas, json};
use crate::outcome::{calls, list, report, text};
use crate::start::{changed, done, machine, run_file};

/// The run's receipts, by module.
fn receipts(home: &Path) -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(home.join("receipts")).unwrap().map(|entry| entry.unwrap().path());
    let modules = files.filter(|path| path.file_name().is_some_and(|name| name != "keys.json"));
    modules.map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), json(&path))).collect()
}

fn axioms(receipt: &Value) -> Vec<String> {
    let behind = list(receipt, "declarations").iter().flat_map(|one| list(one, "axioms").iter());
    behind.map(|axiom| axiom.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_finished_run_is_certified_again_under_fewer_axioms_and_names_what_is_not() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("dominoes");
    let all = changed("dominoes", dir.path(), &[]);
    done(&mut run_file(&all, dir.path(), "dominoes"));
    let first = report(&home);
    let before = receipts(&home);
    assert_eq!(first["receipts"]["current"], before.len(), "{}", first["receipts"]);
    let odd: Vec<&String> =
        before.iter().filter(|(_, receipt)| !axioms(receipt).is_empty()).map(|(module, _)| module).collect();
    assert!(!odd.is_empty() && odd.len() < before.len(), "some modules rest on axioms: {odd:?}");
    let calls_before = calls(&home);

    // No axiom at all.
    let none = ("  budget:\n", "  verifiers: {axioms: []}\n\n  budget:\n");
    let none = changed("dominoes", dir.path(), &[none]);
    let ended = run_file(&none, dir.path(), "dominoes").output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{}", String::from_utf8_lossy(&ended.stdout));
    let narrow = report(&home);
    let lapsed: Vec<String> = list(&narrow, "lapsed").iter().map(|lapsed| text(lapsed, "module")).collect();
    assert_eq!(lapsed.iter().collect::<Vec<_>>(), odd);
    for one in list(&narrow, "lapsed") {
        let axiom = &axioms(&before[&text(one, "module")])[0];
        assert_eq!(text(one, "kind"), "axioms");
        assert!(text(one, "reason").contains(&format!("`{axiom}`")), "{one}");
    }
    assert_eq!((&narrow["receipts"]["renewing"], &narrow["exit_code"]), (&0.into(), &3.into()));
    let certified = list(&narrow, "targets").iter().filter(|target| target["state"] == "certified");
    assert!(certified.clone().count() > 0);
    assert!(certified.clone().all(|target| !lapsed.contains(&text(target, "module"))));
    for (module, receipt) in receipts(&home) {
        let renewed = receipt["allowed_axioms"] == Value::Array(Vec::new());
        assert_eq!(renewed, !lapsed.contains(&module), "{module}");
        assert_eq!(receipt == before[&module], !renewed, "{module}");
    }
    let (dir_name, name) = (dir.path().to_str().unwrap(), "dominoes");
    let status = atlas(&["status", name, "--dir", dir_name]).output().unwrap();
    assert_eq!(status.status.code(), Some(3));
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    let standing =
        format!("receipts: {} current, {} no longer certified", before.len() - odd.len(), odd.len());
    assert!(said.contains(&standing), "{said}");
    assert!(said.contains(&format!("{}: no longer certified under the present policy: ", odd[0])), "{said}");

    // All of them again: the receipts that are there are enough, those of no axiom too.
    let all = changed("dominoes", dir.path(), &[]);
    done(&mut run_file(&all, dir.path(), "dominoes"));
    let again = report(&home);
    assert_eq!((list(&again, "lapsed").len(), &again["totals"]), (0, &first["totals"]));
    assert_eq!(again["receipts"]["current"], before.len(), "{}", again["receipts"]);
    assert_eq!(calls(&home), calls_before, "no model was asked");
}
