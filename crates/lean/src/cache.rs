//! Results by content, on disk: what a module said, and its compiled form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atlas_proto::{DeclarationFacts, Diagnostic};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What elaborating one source gave. Only what content decides is kept: no time-outs, no crashes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Artefact {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) declarations: Vec<DeclarationFacts>,
    pub(crate) goals: String,
    /// Declarations that no library may have (axioms, unsafe code, replaced implementations) and why.
    pub(crate) forbidden: Vec<(String, String)>,
    /// Digest of all that each declaration is, by encoded name.
    pub(crate) whole: BTreeMap<String, String>,
    /// Whether other modules may import it.
    pub(crate) accepted: bool,
    /// Whether a compiled form is kept beside it.
    pub(crate) compiled: bool,
}

/// A directory of artefacts. Several processes may share one: files are put in place whole.
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        Ok(Self { directory: directory.into() })
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn path(&self, key: &str, extension: &str) -> PathBuf {
        self.directory.join(&key[..2]).join(format!("{key}.{extension}"))
    }

    /// The artefact of `key`; a damaged one counts as missing.
    pub(crate) fn get(&self, key: &str) -> Option<Artefact> {
        let artefact: Artefact = serde_json::from_slice(&std::fs::read(self.path(key, "json")).ok()?).ok()?;
        (!artefact.compiled || self.path(key, "olean").exists()).then_some(artefact)
    }

    /// The compiled form of `key`.
    pub(crate) fn compiled(&self, key: &str) -> Result<Arc<[u8]>, Error> {
        let path = self.path(key, "olean");
        Ok(std::fs::read(&path).map_err(Error::io("read", &path))?.into())
    }

    /// Keeps an artefact, its compiled form first, so that whoever finds the one finds the other.
    pub(crate) fn put(&self, key: &str, artefact: &Artefact, compiled: Option<&[u8]>) -> Result<(), Error> {
        if let Some(bytes) = compiled {
            self.write(&self.path(key, "olean"), bytes)?;
        }
        let path = self.path(key, "json");
        let text = serde_json::to_vec(artefact).map_err(|e| Error::io("encode", &path)(e.into()))?;
        self.write(&path, &text)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), Error> {
        let parent = path.parent().unwrap_or(&self.directory);
        std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        let file = tempfile::NamedTempFile::new_in(parent).map_err(Error::io("create a file in", parent))?;
        std::fs::write(file.path(), bytes).map_err(Error::io("write", file.path()))?;
        file.persist(path).map_err(|e| Error::io("put in place", path)(e.error))?;
        Ok(())
    }
}
