//! `image.json`: what an image was made from, and what it consists of.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::package;
use crate::{Error, engine};

/// The toolchain's compiled library.
pub(crate) const LIBRARY: &str = "library";
/// The guest's machine code.
pub(crate) const CODE: &str = "lean.cwasm";
/// The rewritten module, until it is compiled.
pub(crate) const REWRITTEN: &str = "lean.rewritten.wasm";
/// What names stand for.
pub(crate) const SYMBOLS: &str = "lean.symbols";
/// The memory of the warm guest.
pub(crate) const SNAPSHOT: &str = "warm.snapshot";
/// The toolchain's declarations and their types.
pub(crate) const INDEX: &str = "declarations.tsv";
/// This file.
const MANIFEST: &str = "image.json";

/// Raised when the rewriting changes what it writes.
const REWRITING: u32 = 1;

/// The session's source, which is part of the image. A native toolchain runs the same code.
pub const SESSION: &str = include_str!("../session/session.lean");

/// The steps of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    Library,
    Rewrite,
    Compile,
    Snapshot,
    Index,
}

impl Step {
    pub(crate) const ALL: [Self; 5] =
        [Self::Library, Self::Rewrite, Self::Compile, Self::Snapshot, Self::Index];

    /// Names everything that the step's result depends on.
    pub(crate) fn key(self, engine: &Engine) -> String {
        let parts = match self {
            Self::Library => vec![package::LIBRARY.sha256.to_owned()],
            Self::Rewrite => vec![package::WASM.sha256.to_owned(), REWRITING.to_string()],
            Self::Compile => {
                vec![Self::Rewrite.key(engine), engine::WASMTIME.to_owned(), engine::compatibility(engine)]
            }
            Self::Snapshot => vec![Self::Library.key(engine), Self::Compile.key(engine), SESSION.to_owned()],
            Self::Index => vec![Self::Snapshot.key(engine)],
        };
        let mut digest = Sha256::new();
        for part in &parts {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        hex::encode(digest.finalize())
    }

    /// The files that the step leaves and whose digests are kept.
    pub(crate) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Library => &[],
            Self::Rewrite => &[SYMBOLS],
            Self::Compile => &[CODE],
            Self::Snapshot => &[SNAPSHOT],
            Self::Index => &[INDEX],
        }
    }
}

/// What restoring a snapshot needs beside its memory.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// WebAssembly pages of memory.
    pub(crate) pages: u32,
    /// Address of the action to run.
    pub(crate) action: u32,
    /// Mutable globals of the main thread.
    pub(crate) globals: Vec<(String, i32)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    bytes: u64,
    sha256: String,
}

/// The content of `image.json`; written after each step, so that a build can go on where it was cut off.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Manifest {
    /// How verdicts name the toolchain.
    toolchain: String,
    wasmtime: String,
    /// SHA-256 of lean.wasm.
    wasm: String,
    /// SHA-256 of the session's source.
    session: String,
    /// What compiled code depends on: wasmtime's version and settings, the CPU's features.
    compatibility: String,
    /// What each finished step was made from.
    steps: BTreeMap<Step, String>,
    files: BTreeMap<String, Mark>,
    snapshot: Option<Saved>,
}

impl Manifest {
    /// The manifest in `directory`, or a new one.
    pub(crate) fn load_or_new(directory: &Path, engine: &Engine) -> Self {
        let read = std::fs::read(directory.join(MANIFEST))
            .ok()
            .and_then(|b| serde_json::from_slice::<Self>(&b).ok());
        let mut manifest = read.unwrap_or_default();
        manifest.toolchain = package::TOOLCHAIN.into();
        manifest.wasmtime = engine::WASMTIME.into();
        manifest.wasm = package::WASM.sha256.into();
        manifest.session = hex::encode(Sha256::digest(SESSION));
        manifest.compatibility = engine::compatibility(engine);
        manifest
    }

    /// The manifest in `directory`, if every step up to `last` was made from what this program would make it from.
    pub(crate) fn usable(directory: &Path, engine: &Engine, last: Step) -> Result<Self, Error> {
        let fault = |reason: String| Error::Image { path: directory.into(), reason };
        let path = directory.join(MANIFEST);
        let bytes = std::fs::read(&path).map_err(|e| fault(format!("cannot read {MANIFEST}: {e}")))?;
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|e| fault(format!("{MANIFEST}: {e}")))?;
        for step in Step::ALL.into_iter().filter(|s| *s <= last) {
            if manifest.steps.get(&step) != Some(&step.key(engine)) {
                return Err(fault(format!(
                    "it was made from another version of what step `{step:?}` depends on"
                )));
            }
        }
        for (name, mark) in &manifest.files {
            let path = directory.join(name);
            let found = std::fs::metadata(&path).map_err(|e| fault(format!("{name}: {e}")))?.len();
            if found != mark.bytes {
                return Err(fault(format!("{name} has {found} bytes, expected {}", mark.bytes)));
            }
        }
        Ok(manifest)
    }

    pub(crate) fn is_done(&self, step: Step, engine: &Engine) -> bool {
        self.steps.get(&step) == Some(&step.key(engine))
    }

    /// Notes a finished step and its files, and saves.
    pub(crate) fn done(
        &mut self,
        step: Step,
        directory: &Path,
        engine: &Engine,
        snapshot: Option<Saved>,
    ) -> Result<(), Error> {
        for name in step.files() {
            let path = directory.join(name);
            let bytes = std::fs::metadata(&path).map_err(Error::io("read", &path))?.len();
            self.files.insert((*name).into(), Mark { bytes, sha256: package::digest(&path)? });
        }
        if snapshot.is_some() {
            self.snapshot = snapshot;
        }
        self.steps.insert(step, step.key(engine));
        let path = directory.join(MANIFEST);
        let text = serde_json::to_vec_pretty(self).map_err(|e| Error::Io {
            attempt: "encode",
            path: path.clone(),
            cause: e.into(),
        })?;
        let next = directory.join("image.json.new");
        std::fs::write(&next, text).map_err(Error::io("write", &next))?;
        std::fs::rename(&next, &path).map_err(Error::io("rename", &next))
    }

    /// What restoring the snapshot needs.
    pub(crate) fn saved(&self, directory: &Path) -> Result<&Saved, Error> {
        let fault =
            || Error::Image { path: directory.into(), reason: "its manifest describes no snapshot".into() };
        self.snapshot.as_ref().ok_or_else(fault)
    }

    /// Compares every file with its digest.
    pub(crate) fn check_digests(&self, directory: &Path) -> Result<(), Error> {
        for (name, mark) in &self.files {
            let found = package::digest(&directory.join(name))?;
            if found != mark.sha256 {
                let reason = format!("{name} has SHA-256 {found}, expected {}", mark.sha256);
                return Err(Error::Image { path: directory.into(), reason });
            }
        }
        Ok(())
    }
}
