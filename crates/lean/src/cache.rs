//! Results by content, on disk: what a module said, and its compiled form.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use atlas_judge::{Refusal, Said};
use atlas_proto::receipt::KernelVerdict;
use atlas_proto::{DeclarationFacts, Diagnostic};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Error;

/// What elaborating one source gave. Only what content decides is kept: no time-outs, no crashes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Artefact {
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) declarations: Vec<DeclarationFacts>,
    /// What each of them says, as digests.
    pub(crate) said: BTreeMap<String, Said>,
    pub(crate) goals: String,
    /// Declarations that no library may have (axioms, unsafe code, replaced implementations) and why.
    pub(crate) forbidden: Vec<Refusal>,
    /// Two kernels contradict each other about it; empty: they do not.
    pub(crate) incident: String,
    /// Whether other modules may import it.
    pub(crate) accepted: bool,
    /// SHA-256 of its compiled form, under which that is kept.
    pub(crate) compiled: Option<String>,
    /// SHA-256 of its declarations in lean4export's format, under which they are kept; of a certified one.
    pub(crate) export: Option<String>,
    /// The kernels that accepted every declaration.
    pub(crate) kernels: Vec<KernelVerdict>,
}

/// A directory of artefacts. Several processes may share one: files are put in place whole.
pub(crate) struct Cache {
    directory: PathBuf,
}

/// Extensions of files.
const COMPILED: &str = "olean";
const EXPORT: &str = "ndjson";
/// A cache larger than this, in bytes, is made smaller when it is opened.
const MOST_BYTES: u64 = 4 << 30;
/// Files younger than this stay: somebody may be about to read them.
const YOUNG: Duration = Duration::from_secs(3600);

impl Cache {
    /// Opens the cache in `directory`; of one that has grown too large the oldest files go.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(directory).map_err(Error::io("create", directory))?;
        let cache = Self { directory: directory.into() };
        cache.prune(MOST_BYTES, SystemTime::now() - YOUNG);
        Ok(cache)
    }

    /// Removes the oldest files that were written before `until`, until `most` bytes are left. What cannot be read or
    /// removed stays: another process may have been faster.
    fn prune(&self, most: u64, until: SystemTime) {
        let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries(&self.directory)
            .flat_map(|folder| entries(&folder.path()).collect::<Vec<_>>())
            .filter_map(|file| {
                let known = file.metadata().ok()?;
                Some((known.modified().ok()?, known.len(), file.path()))
            })
            .collect();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        files.sort();
        for (written, length, path) in files {
            if bytes <= most || written >= until {
                break;
            }
            if std::fs::remove_file(path).is_ok() {
                bytes -= length;
            }
        }
    }

    fn path(&self, key: &str, extension: &str) -> PathBuf {
        self.directory.join(&key[..2]).join(format!("{key}.{extension}"))
    }

    /// The artefact of `key`; a damaged one counts as missing.
    pub(crate) fn get(&self, key: &str) -> Option<Artefact> {
        let artefact: Artefact = serde_json::from_slice(&std::fs::read(self.path(key, "json")).ok()?).ok()?;
        let there = |digest: &Option<String>, extension: &str| {
            digest.as_ref().is_none_or(|digest| self.path(digest, extension).exists())
        };
        (there(&artefact.compiled, COMPILED) && there(&artefact.export, EXPORT)).then_some(artefact)
    }

    /// The compiled form with this digest.
    pub(crate) fn compiled(&self, digest: &str) -> Result<Arc<[u8]>, Error> {
        self.content(digest, COMPILED)
    }

    /// Keeps a compiled module; its digest.
    pub(crate) fn put_compiled(&self, bytes: &[u8]) -> Result<String, Error> {
        self.put_content(bytes, COMPILED)
    }

    /// The exported declarations with this digest. Whether they have it is the judge's to see.
    pub(crate) fn export(&self, digest: &str) -> Result<Arc<[u8]>, Error> {
        self.content(digest, EXPORT)
    }

    /// Keeps exported declarations; their digest.
    pub(crate) fn put_export(&self, bytes: &[u8]) -> Result<String, Error> {
        self.put_content(bytes, EXPORT)
    }

    /// The text kept under `key`.
    pub(crate) fn text(&self, key: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path(key, EXPORT)).ok()
    }

    /// Keeps a text under `key`.
    pub(crate) fn put_text(&self, key: &str, bytes: &[u8]) -> Result<(), Error> {
        self.write(&self.path(key, EXPORT), bytes)
    }

    fn content(&self, digest: &str, extension: &str) -> Result<Arc<[u8]>, Error> {
        let path = self.path(digest, extension);
        Ok(std::fs::read(&path).map_err(Error::io("read", &path))?.into())
    }

    fn put_content(&self, bytes: &[u8], extension: &str) -> Result<String, Error> {
        let digest = hex::encode(Sha256::digest(bytes));
        let path = self.path(&digest, extension);
        if !path.exists() {
            self.write(&path, bytes)?;
        }
        Ok(digest)
    }

    /// Keeps an artefact; its compiled form must be there already.
    pub(crate) fn put(&self, key: &str, artefact: &Artefact) -> Result<(), Error> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_artefact_without_its_compiled_form_counts_as_missing_and_old_files_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let digest = cache.put_compiled(&[7; 5000]).unwrap();
        let artefact = Artefact { compiled: Some(digest.clone()), accepted: true, ..Artefact::default() };
        cache.put("abcd", &artefact).unwrap();
        assert_eq!(cache.get("abcd"), Some(artefact));
        assert_eq!(cache.compiled(&digest).unwrap().len(), 5000);
        cache.prune(1, SystemTime::UNIX_EPOCH);
        assert!(cache.get("abcd").is_some(), "young files stay");
        cache.prune(4000, SystemTime::now() + YOUNG);
        assert_eq!(cache.get("abcd"), None);
        assert!(cache.compiled(&digest).is_err() && cache.get("dead").is_none());
    }
}
