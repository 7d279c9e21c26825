//! Starting the built `atlas` on an example, or on a copy of one.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use crate::common::atlas;
use crate::common::root;

/// Each run wants the whole machine: one at a time.
static MACHINE: Mutex<()> = Mutex::new(());

pub fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn example(name: &str) -> PathBuf {
    root().join("examples").join(name)
}

/// `atlas run` of the AtlasRun `file` as the run `name` in `dir`.
pub fn run_file(file: &Path, dir: &Path, name: &str) -> Command {
    let (file, dir) = (file.to_str().unwrap(), dir.to_str().unwrap());
    atlas(&["run", "-f", file, "--dir", dir, "--run", name, "--ui", "json"])
}

/// `atlas run` of an example as it is.
pub fn run(name: &str, dir: &Path) -> Command {
    run_file(&example(name).join("atlasrun.yaml"), dir, name)
}

/// An example's AtlasRun with some of its lines replaced, in `dir`; its book and recording stay where they are.
pub fn changed(name: &str, dir: &Path, replace: &[(&str, &str)]) -> PathBuf {
    let folder = example(name);
    let mut text = std::fs::read_to_string(folder.join("atlasrun.yaml")).unwrap();
    for (old, new) in replace {
        assert_eq!(text.matches(old).count(), 1, "`{old}` in the AtlasRun of {name}");
        text = text.replace(old, new);
    }
    for key in ["path", "recording"] {
        let here = format!("{key}: ");
        let lines: Vec<String> = text
            .lines()
            .map(|line| match line.split_once(&here) {
                Some((before, path)) if before.trim_start_matches(['-', ' ']).is_empty() => {
                    format!("{before}{here}{}", folder.join(path.trim()).display())
                }
                _ => line.to_owned(),
            })
            .collect();
        text = lines.join("\n");
    }
    let file = dir.join("atlasrun.yaml");
    std::fs::write(&file, text).unwrap();
    file
}

/// Runs a command to its end, which must be a good one.
pub fn done(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
