//! The example whose text marks no target: agents find them, a person edits what they found, and the run is made again.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::outcome::{assert_final_states, calls, expected, list, report, states, target, text};
use crate::start::{atlas, changed, done, machine, run, run_file};

fn ids(target: &Value, key: &str) -> Vec<String> {
    list(target, key).iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_book_without_targets_is_read_by_agents_and_run_again_from_what_they_found() {
    let _machine = machine();
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("switches");
    done(&mut run("switches", dir.path()));
    let found = report(&home);
    assert_final_states("switches", &found);

    // Two extractors for each of three pieces, and one more where two disagreed.
    let agents: BTreeSet<String> = calls(&home)
        .into_keys()
        .filter_map(|call| {
            call.strip_prefix("extractor ").map(|call| call.rsplit_once(' ').unwrap().0.to_owned())
        })
        .collect();
    let asked = [
        "chunk-1 1",
        "chunk-1 2",
        "chunk-1-disagreement 1",
        "chunk-2 1",
        "chunk-2 2",
        "chunk-3 1",
        "chunk-3 2",
        "chunk-3-disagreement 1",
    ];
    assert_eq!(agents, asked.iter().map(|&agent| agent.to_owned()).collect());
    let log = done(&mut atlas(&[
        "logs",
        "chunk-2.extractor.2",
        "--dir",
        dir.path().to_str().unwrap(),
        "--run",
        "switches",
    ]));
    let log = String::from_utf8_lossy(&log.stdout).into_owned();
    assert!(log.contains("`observation` is not a kind of target"), "{log}");

    // What each rests on, whichever extractor saw it under whichever label, is kept; lines are the book's.
    let even = target(&found, "press-even");
    assert_eq!((even["line"].as_u64(), text(even, "chapter")), (Some(23), "01-pressing".to_owned()));
    assert_eq!(ids(even, "statement_depends_on"), ["press"]);
    assert_eq!(ids(even, "proof_depends_on"), ["press-twice"]);
    assert_eq!(ids(target(&found, "press-odd"), "proof_depends_on"), ["press-even"]);
    assert_eq!(ids(target(&found, "lit-flip"), "statement_depends_on"), ["flip", "lit"]);

    // A person takes the last target out and gives the first another title.
    let written = std::fs::read_to_string(home.join("targets.yaml")).unwrap();
    let last = written.find("- id: lit-flip\n").expect("the last target, in the book's order");
    let edited = written[..last].replace("title: Pressing n times", "title: Repeated pressing");
    let file = dir.path().join("edited.yaml");
    std::fs::write(&file, &edited).unwrap();
    let books = format!("path: book\n      targets: {}", file.display());
    let atlasrun = changed("switches", dir.path(), &[("path: book", &books)]);
    done(&mut run_file(&atlasrun, dir.path(), "edited"));

    let home = dir.path().join("edited");
    let again = report(&home);
    let mut left = expected("switches");
    left.remove("lit-flip");
    assert_eq!(states(&again), left);
    assert_eq!(text(target(&again, "press"), "title"), "Repeated pressing");
    assert!(
        calls(&home).keys().all(|call| !call.starts_with("extractor ")),
        "nobody looks for targets again"
    );
    let unchanged = |key: &str| {
        list(&again, "targets").iter().all(|one| one[key] == target(&found, &text(one, "id"))[key])
    };
    for key in ["kind", "chapter", "declaration", "module", "statement", "proof", "line"] {
        assert!(unchanged(key), "`{key}` is as it was found");
    }
    for key in ["statement_depends_on", "proof_depends_on"] {
        assert!(unchanged(key), "`{key}` is as it was found");
    }
}
