//! Before anything starts: exit code 2, and nothing is begun.

use super::{BOOK, Project, Told};

/// A project whose book is `text`.
fn with_book(text: impl AsRef<[u8]>) -> Project {
    let project = Project::new();
    project.write("book.md", text);
    project
}

/// Refused for its input, with nothing begun.
fn refused(project: &Project) -> Told {
    let told = project.run().exits(2);
    assert!(!project.folder().join("runs").exists(), "a run was begun");
    let validated = Told::by(project.atlas(&["validate"]));
    assert_eq!(validated.code, Some(2), "`atlas validate` finds it too: {}", validated.text);
    told
}

#[test]
fn no_atlasrun() {
    let project = Project::new();
    Told::by(project.atlas(&["run", "-f", "nowhere.yaml"]))
        .exits(2)
        .at("nowhere.yaml")
        .way_out("-f FILE")
        .documented("no AtlasRun");
}

#[test]
fn a_mistyped_field() {
    let project = Project::new();
    project.edit("package: Pair", "pakage: Pair");
    refused(&project)
        .at("atlasrun.yaml:10:5")
        .way_out("did you mean `package`?")
        .documented("a mistyped field");
}

#[test]
fn a_mistyped_value() {
    let project = Project::new();
    project.edit("provider: recorded", "provider: recordet");
    refused(&project)
        .at("atlasrun.yaml:13:17")
        .way_out("did you mean `recorded`?")
        .documented("a mistyped value");
}

#[test]
fn an_unknown_role_and_an_unknown_model() {
    let project = Project::new();
    project.write(
        "atlasrun.yaml",
        format!(
            "{}  agents:\n    roles:\n      proover: {{}}\n      triage: {{model: recordet}}\n",
            super::ATLASRUN
        ),
    );
    refused(&project)
        .at("atlasrun.yaml:17:7")
        .way_out("did you mean `prover`?")
        .documented("an unknown role")
        .at("atlasrun.yaml:18:23")
        .way_out("did you mean `recorded`?")
        .documented("an unknown model");
}

#[test]
fn a_missing_key() {
    let project = Project::new();
    project.edit(
        "provider: recorded\n      recording: recording.yaml",
        "provider: anthropic\n      model: claude\n      key: {env: ANTHROPIC_API_KEY}",
    );
    let told = project.run().exits(2);
    assert!(!project.folder().join("runs").exists(), "a run was begun");
    told.at("atlasrun.yaml:15:18").way_out("export ANTHROPIC_API_KEY").documented("a missing key");
}

#[test]
fn a_book_without_targets() {
    refused(&with_book("# Parity\n\nNothing is claimed here.\n"))
        .at("book.md")
        .way_out("docs/book-format.md")
        .documented("a book without targets");
}

#[test]
fn a_label_used_twice() {
    refused(&with_book(BOOK.replace("#even-two uses=even", "#even")))
        .at("book.md:6:1")
        .at("book.md:3")
        .way_out("another label")
        .documented("a label used twice");
}

#[test]
fn a_reference_to_nowhere() {
    refused(&with_book(BOOK.replace("uses=even", "uses=evem")))
        .at("book.md:6")
        .way_out("did you mean `even`?")
        .documented("a reference to nowhere");
}

#[test]
fn a_blueprint_with_a_cycle() {
    refused(&with_book(BOOK.replace("lean=Even", "lean=Even uses=even-two")))
        .at("book.md:3:1")
        .at("even → even-two → even")
        .way_out("remove one")
        .documented("a blueprint with a cycle");
}

#[test]
fn chapters_that_need_each_other() {
    let two = format!(
        "{}\n# Oddity\n\n**Definition 2.1** (Odd). {{#odd lean=Odd uses=even}}\nNot even.\n\n# Parity again\n\nNothing.\n",
        BOOK.replace("uses=even}", "uses=even,odd}")
    );
    refused(&with_book(two))
        .at("book.md:11:1")
        .way_out("move a target to the other chapter")
        .documented("chapters that need each other");
}

#[test]
fn latin_1_bytes() {
    refused(&with_book(b"# Parity\n\nParit\xe4t.\n"))
        .at("book.md:3")
        .at("byte 0xe4 at offset 15")
        .way_out("iconv -f latin1 -t utf-8")
        .documented("Latin-1 or other bytes");
}

#[test]
fn more_than_fifty_megabytes() {
    let project = Project::new();
    std::fs::File::create(project.folder().join("book.md")).unwrap().set_len(60_000_000).unwrap();
    refused(&project).at("book.md").way_out("split into chapters").documented("a book of more than 50 MB");
}

#[test]
fn a_recording_with_mistakes() {
    let project = Project::new();
    project.write("recording.yaml", "- role: proover\n  target: even\n  turns: []\n");
    let told = project.run().exits(2);
    assert!(!project.folder().join("runs").exists(), "a run was begun");
    told.at("recording.yaml:1:9").way_out("did you mean `prover`?").documented("a recording with mistakes");
}

#[test]
fn no_such_run() {
    let project = Project::new();
    for arguments in [&["status"][..], &["report", "nothing"], &["logs"], &["reply", "even", "Yes."]] {
        Told::by(project.atlas(arguments))
            .exits(2)
            .at("runs")
            .way_out("atlas run -f FILE")
            .documented("no such run");
    }
}
