//! What tests of the built `atlas` share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "each test uses its own part"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Where nats-server and the embedded Lean are.
pub fn cache() -> PathBuf {
    std::env::var_os("ATLAS_CACHE").map_or_else(|| root().join(".cache"), PathBuf::from)
}

/// The built `atlas`, in the repository's root, with nothing of the tester's own environment that it heeds.
pub fn atlas(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_atlas"));
    command
        .args(arguments)
        .env("ATLAS_CACHE", cache())
        .env("NO_COLOR", "1")
        .current_dir(root())
        .stdin(Stdio::null());
    for name in ["ATLAS_RUNS", "ATLAS_LOG", "ATLAS_NATS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
        command.env_remove(name);
    }
    command
}

/// A JSON file.
pub fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// What git says about a bare repository.
pub fn git(repository: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("--git-dir").arg(repository).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
