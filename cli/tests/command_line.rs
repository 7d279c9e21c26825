//! What a user meets before any service starts: help, mistakes, exit codes, the shape of JSON.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// An AtlasRun that is well, around a book of two targets.
const ATLASRUN: &str = include_str!("pair.yaml");

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
        .env_remove("ATLAS_CACHE")
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
fn models_say_whether_their_key_is_found_and_never_show_it() {
    let folder = project();
    let text = ATLASRUN
        .replace(
            "provider: recorded",
            "provider: anthropic\n      model: claude-sonnet-4-5\n      key: {env: ANTHROPIC_API_KEY}",
        )
        .replace("      recording: recording.yaml\n", "");
    write(folder.path(), "atlasrun.yaml", text);
    let models = |key: Option<&str>| -> (Value, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
        command.args(["models", "-o", "json"]).current_dir(folder.path()).env_remove("ANTHROPIC_API_KEY");
        let text = stdout(&command.envs(key.map(|key| ("ANTHROPIC_API_KEY", key))).output().unwrap());
        (serde_json::from_str::<Value>(&text).unwrap()[0].clone(), text)
    };
    let (without, _) = models(None);
    assert_eq!(without["key_found"], false);
    assert_eq!(without["key"], "the environment variable ANTHROPIC_API_KEY");
    let (with, text) = models(Some("sk-very-secret"));
    assert_eq!(with["key_found"], true);
    assert!(!text.contains("very-secret"), "{text}");
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
