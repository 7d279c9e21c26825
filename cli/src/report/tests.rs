use super::*;

/// A report with a target in every state.
fn sample() -> Report {
    let target = |id: &str, kind: &str, state| Target {
        id: id.into(),
        kind: kind.into(),
        chapter: "01-parity".into(),
        title: format!("About {id}"),
        state,
        stated: !matches!(state, TargetState::Open | TargetState::Stating),
        statement: "If $n$ is even, so is $n^2$.".into(),
        lean: "theorem x : 1 < 2 := by\n  sorry".into(),
        ..Target::default()
    };
    let mut report = Report {
        run: "numbers".into(),
        chapters: vec![Chapter {
            slug: "01-parity".into(),
            title: "Parity".into(),
            module: "Numbers.Parity".into(),
        }],
        targets: vec![
            target("even", "definition", TargetState::Certified),
            target("even-add", "theorem", TargetState::Certified),
            target("even-mul", "theorem", TargetState::Proving),
            target("even-square", "corollary", TargetState::Proved),
            target("odd-add", "exercise", TargetState::Refuted),
            target("perfect", "theorem", TargetState::Escalated),
            target("last", "theorem", TargetState::Open),
        ],
        ..Report::default()
    };
    report.targets[1].receipt = Some(TargetReceipt {
        sha256: "0123456789abcdef".repeat(4),
        file: "../receipts/Numbers.Parity.json".into(),
        kernels: vec!["lean 4.28".into(), "atlas-kernel 0.1".into()],
        axioms: vec!["propext".into()],
        made_ms: 784_111_777_000,
    });
    report.targets[1].tags = vec![Tag {
        kind: "unused-hypothesis".into(),
        weight: "doubt".into(),
        evidence: "the proof does without hypothesis `x1 < 3` (binder 2)".into(),
    }];
    report.landings = 9;
    report.landings_with_receipts = 8;
    report.count();
    report
}

#[test]
fn totals_tell_stated_proved_certified_refuted_and_open_apart() {
    let totals = sample().totals;
    assert_eq!(
        totals,
        Totals { targets: 7, stated: 6, proved: 2, certified: 2, refuted: 1, escalated: 1, open: 4 }
    );
}

#[test]
fn report_json_has_the_keys_that_programs_rely_on() {
    let value = serde_json::to_value(sample()).unwrap();
    for key in ["run", "totals", "targets", "usage", "checks", "model_calls", "elapsed_ms"] {
        assert!(value.get(key).is_some(), "{key}");
    }
    for key in ["targets", "stated", "proved", "certified", "refuted", "escalated", "open"] {
        assert!(value["totals"][key].is_u64(), "totals.{key}");
    }
    for key in [
        "id",
        "kind",
        "chapter",
        "state",
        "declaration",
        "module",
        "attempts",
        "tokens",
        "cost",
        "landed_commit",
        "receipt",
        "tags",
    ] {
        assert!(value["targets"][0].get(key).is_some(), "targets[].{key}");
    }
}

#[test]
fn a_certified_target_shows_its_receipt_and_the_totals_how_many_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let html = std::fs::read_to_string(sample().write(folder.path()).unwrap()).unwrap();
    let rows: Vec<&str> = html.lines().filter(|line| line.contains("<dt>Receipt</dt>")).collect();
    insta::assert_snapshot!(rows.join("\n"));
    assert!(html.contains("<dt>Landings</dt><dd>9<small>8 with receipts</small>"));
    assert!(sample().summary(false).contains("9 landings (8 with receipts)"));
}

#[test]
fn the_page_is_one_file_that_asks_nothing_of_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let page = sample().write(folder.path()).unwrap();
    let html = std::fs::read_to_string(page).unwrap();
    for outside in ["src=", "url(", "@import", "<link rel=\"stylesheet", "http://", "https://"] {
        let found = html.replace("http://www.w3.org/1998/Math/MathML", "");
        assert!(!found.contains(outside), "{outside}");
    }
    assert!(html.contains("<math") && html.contains("<span class=bad>sorry</span>"));
    assert_eq!(Report::read(folder.path()).unwrap().totals, sample().totals);
}
