//! Names the sources that `atlas` and `lean-worker` must have in common to understand each other, for `worker::BUILD`.

use std::io::Result;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// This crate and those whose types and code it shares with its workers.
const SOURCES: [&str; 10] = [
    "native",
    "src",
    "../judge/src",
    "../lean-export/src",
    "../lean-kernel/src",
    "../lean-wasm/session",
    "../lean-wasm/src",
    "../sandbox/src",
    "../../proto/atlas",
    "../../proto/src",
];

fn main() -> Result<()> {
    let mut files = vec![];
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let text = std::fs::read(&file)?;
        digest.update(file.to_string_lossy().as_bytes());
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    let digest = digest.finalize();
    let short: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=ATLAS_LEAN_SOURCES={short}");
    Ok(())
}

/// All files below a folder.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
