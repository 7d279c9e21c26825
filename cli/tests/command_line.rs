//! What a user meets before any service starts: help, mistakes, exit codes, the shape of JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// An AtlasRun that is well, around a book of two targets.
const ATLASRUN: &str = "\
apiVersion: atlasrun.dev/v1alpha1
kind: AtlasRun
metadata:
  name: pair
spec:
  books:
    - path: book.md
      title: Two facts
  library:
    package: Pair
  models:
    - name: recorded
      provider: recorded
      recording: recording.yaml
";

const BOOK: &str = include_str!("pair.md");

const RECORDING: &str = "\
- role: formalizer
  target: even
  turns:
    - call: {give_up: {reason: not needed here}}
";

/// A folder with an AtlasRun, its book and its recording.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "atlasrun.yaml", ATLASRUN);
    write(folder.path(), "book.md", BOOK);
    write(folder.path(), "recording.yaml", RECORDING);
    folder
}

fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn atlas(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("ATLAS_RUNS")
        .env_remove("ANTHROPIC_API_KEY")
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The exit code and what was said on standard error.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = atlas(folder, arguments);
    let text = String::from_utf8_lossy(&output.stderr).replace(&folder.display().to_string(), "FOLDER");
    format!("exit code {}\n{text}", output.status.code().unwrap())
}

#[test]
fn a_sound_atlasrun_is_called_so() {
    let folder = project();
    let output = atlas(folder.path(), &["validate"]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    insta::assert_snapshot!(stdout(&output));
    let json: Value =
        serde_json::from_slice(&atlas(folder.path(), &["validate", "-o", "json"]).stdout).unwrap();
    assert_eq!(json["targets"].as_array().unwrap().len(), 2);
    assert_eq!(json["chapters"][0]["module"], "Pair.Book");
}

#[test]
fn all_mistakes_of_an_atlasrun_are_told_at_once() {
    let folder = project();
    let wrong =
        ATLASRUN.replace("provider: recorded", "provider: antropic").replace("package: Pair", "pakage: pair");
    write(folder.path(), "atlasrun.yaml", wrong);
    insta::assert_snapshot!(refused(folder.path(), &["run"]));
}

#[test]
fn a_missing_atlasrun_says_what_to_give() {
    let folder = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(refused(folder.path(), &["run", "-f", "nowhere.yaml"]));
}

#[test]
fn mistakes_of_the_book_name_line_and_way_out() {
    let cases = [
        ("duplicate_label", BOOK.replace("#even-two uses=even", "#even")),
        ("cycle", BOOK.replace("lean=Even", "lean=Even uses=even-two")),
        ("no_targets", "# Parity\n\nNothing is claimed here.\n".to_owned()),
    ];
    for (name, book) in cases {
        let folder = project();
        write(folder.path(), "book.md", book);
        insta::assert_snapshot!(name, refused(folder.path(), &["run"]));
    }
}

#[test]
fn latin_1_and_fifty_megabytes_are_refused_with_their_place() {
    let folder = project();
    write(folder.path(), "book.md", b"# Parit\xe4t\n");
    insta::assert_snapshot!("latin_1", refused(folder.path(), &["run"]));
    let huge = std::fs::File::create(folder.path().join("book.md")).unwrap();
    huge.set_len(60_000_000).unwrap();
    insta::assert_snapshot!("fifty_megabytes", refused(folder.path(), &["run"]));
}

#[test]
fn unknown_roles_and_models_are_told_with_what_was_meant() {
    let folder = project();
    let text = format!(
        "{ATLASRUN}  agents:\n    roles:\n      proover: {{model: recorded}}\n      triage: {{model: strong}}\n"
    );
    write(folder.path(), "atlasrun.yaml", text);
    insta::assert_snapshot!(refused(folder.path(), &["run"]));
}

#[test]
fn a_missing_key_is_told_before_anything_starts() {
    let folder = project();
    let text = ATLASRUN
        .replace(
            "provider: recorded",
            "provider: anthropic\n      model: claude-sonnet-4-5\n      key: {env: ANTHROPIC_API_KEY}",
        )
        .replace("      recording: recording.yaml\n", "");
    write(folder.path(), "atlasrun.yaml", text);
    insta::assert_snapshot!("missing_key", refused(folder.path(), &["run"]));
    assert!(!folder.path().join("runs").exists(), "nothing was begun");
    let models = stdout(&atlas(folder.path(), &["models", "-o", "json"]));
    let models: Value = serde_json::from_str(&models).unwrap();
    assert_eq!(models[0]["key_found"], false);
    assert_eq!(models[0]["key"], "the environment variable ANTHROPIC_API_KEY");
}

#[test]
fn mistakes_of_a_recording_name_file_and_line() {
    let folder = project();
    write(folder.path(), "recording.yaml", "- role: proover\n  target: even\n  turns: []\n");
    insta::assert_snapshot!(refused(folder.path(), &["run"]));
}

#[test]
fn commands_about_a_run_that_is_not_there_say_how_to_start_one() {
    let folder = project();
    for arguments in [&["status"][..], &["report", "nothing"], &["logs"], &["reply", "even", "Yes."]] {
        let text = refused(folder.path(), arguments);
        assert!(text.starts_with("exit code 2\nerror: there is no run"), "{text}");
        assert!(text.contains("atlas run -f FILE"), "{text}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_a_fault_with_a_way_out() {
    let folder = project();
    write(folder.path(), "runs", "a file where a folder should be");
    insta::assert_snapshot!(refused(folder.path(), &["run"]));
}

#[test]
fn a_nats_server_that_cannot_be_had_is_a_fault_with_a_way_out() {
    let folder = project();
    let output = Command::new(env!("CARGO_BIN_EXE_atlas"))
        .args(["run", "--ui", "plain"])
        .current_dir(folder.path())
        .env("ATLAS_NATS_SERVER", "/nonexistent/nats-server")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("cannot run nats-server at /nonexistent/nats-server")
            && text.contains("scripts/setup nats"),
        "{text}"
    );
}

#[test]
fn a_nats_system_that_does_not_answer_is_a_fault_with_a_way_out() {
    let folder = project();
    // A port that was free a moment ago, and that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output =
        atlas(folder.path(), &["run", "--ui", "plain", "--nats", &format!("nats://127.0.0.1:{port}")]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot connect to NATS at") && text.contains("leave `--nats` out"), "{text}");
}

#[test]
fn completions_and_schema_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&atlas(folder.path(), &["completions", shell]));
        assert!(script.contains("validate") && script.contains("completions"), "{shell}");
    }
    let schema: Value = serde_json::from_slice(&atlas(folder.path(), &["schema"]).stdout).unwrap();
    assert_eq!(schema["properties"]["kind"]["type"], "string");
}

#[test]
fn help_lists_commands_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let help = |arguments: &[&str]| {
        // Help tells what is set, and a cache may be.
        let output = Command::new(env!("CARGO_BIN_EXE_atlas"))
            .args(arguments)
            .current_dir(folder.path())
            .env_remove("ATLAS_CACHE")
            .env_remove("ATLAS_RUNS")
            .env("NO_COLOR", "1")
            .output();
        stdout(&output.unwrap())
    };
    insta::assert_snapshot!("help", help(&["--help"]));
    insta::assert_snapshot!("help_run", help(&["run", "--help"]));
    insta::assert_snapshot!("help_receipt_verify", help(&["receipt", "verify", "--help"]));
    assert_eq!(atlas(folder.path(), &["frobnicate"]).status.code(), Some(2));
}
