//! The library as an attempt sees it: the files of its base commit, read through the bus, under its draft.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atlas_bus::Bus;
use atlas_library::layout;
use atlas_proto::{Focus, Manifest, ManifestEntry, ModuleSource, Task};
use sha2::{Digest as _, Sha256};

use crate::draft::Draft;

/// Why the library cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The base commit's files are not to be had now.
    #[error("cannot read {what} of the library: {cause}")]
    Read {
        /// Path or commit.
        what: String,
        /// What the bus said.
        cause: atlas_bus::Error,
    },
    /// A file holds no text.
    #[error("`{path}` is not UTF-8 text")]
    NotText {
        /// Its path.
        path: String,
    },
}

/// The commit that an attempt reads: reviewers look at a submission on the commit that it was written on.
pub fn base_commit(task: &Task) -> &str {
    let reviewed = task.subject.as_ref().filter(|_| task.role.ends_with("-reviewer"));
    match reviewed.map(|subject| subject.base_commit.as_str()) {
        Some(commit) if !commit.is_empty() => commit,
        _ => &task.base_commit,
    }
}

/// A base commit with a draft on top.
#[derive(Debug, Clone)]
pub struct Library {
    bus: Bus,
    draft: Draft,
    base: Arc<Manifest>,
}

impl Library {
    /// Opens the library at `commit` under `draft`. An empty commit is an empty library: extractors work before there is one.
    ///
    /// # Errors
    /// [`LibraryError::Read`].
    pub async fn open(bus: &Bus, commit: &str, draft: Draft) -> Result<Self, LibraryError> {
        let base = match commit {
            "" => Arc::default(),
            _ => bus
                .manifest(commit)
                .await
                .map_err(|cause| LibraryError::Read { what: format!("commit {commit}"), cause })?,
        };
        Ok(Self { bus: bus.clone(), draft, base })
    }

    /// The file of this path at the base commit.
    fn entry(&self, path: &str) -> Option<&ManifestEntry> {
        let at = self.base.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        self.base.files.get(at)
    }

    /// The same base under another draft.
    #[must_use]
    pub fn with_draft(&self, draft: Draft) -> Self {
        Self { bus: self.bus.clone(), draft, base: Arc::clone(&self.base) }
    }

    /// The draft.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// All paths with their sizes in bytes, and whether the draft changes them.
    pub fn files(&self) -> BTreeMap<&str, (u64, bool)> {
        let mut files: BTreeMap<&str, (u64, bool)> =
            self.base.files.iter().map(|file| (file.path.as_str(), (file.size, false))).collect();
        files.extend(self.draft.changed().map(|(path, text)| (path, (text.len() as u64, true))));
        files
    }

    /// The text of `path`; `None` when there is no such file.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub async fn text(&self, path: &str) -> Result<Option<String>, LibraryError> {
        match self.draft.change(path) {
            Some(text) => Ok(Some(text.to_owned())),
            None => self.base_text(path).await,
        }
    }

    /// The text of `path` at the base commit.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub async fn base_text(&self, path: &str) -> Result<Option<String>, LibraryError> {
        let Some(entry) = self.entry(path) else { return Ok(None) };
        let bytes = self.bus.file(&entry.sha256).await;
        let bytes = bytes.map_err(|cause| LibraryError::Read { what: path.to_owned(), cause })?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(LibraryError::NotText { path: path.to_owned() }),
        }
    }

    /// The lines of the target's module from where its region begins to where it ends, or to the last that the draft changes; `None`
    /// when there is no such region. What stands behind them is not the attempt's work.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub async fn focus(&self) -> Result<Option<Focus>, LibraryError> {
        let path = self.draft.module_path();
        let Some(text) = self.text(path).await? else { return Ok(None) };
        let regions = layout::regions(&text).unwrap_or_default();
        let Some(region) = regions.into_iter().find(|r| r.id == self.draft.region_id()) else {
            return Ok(None);
        };
        let base = self.base_text(path).await?.unwrap_or_default();
        let same = text.lines().rev().zip(base.lines().rev()).take_while(|(new, old)| new == old).count();
        let last = (text.lines().count() - same).max(region.end_line);
        let line = |line: usize| u32::try_from(line).unwrap_or(u32::MAX);
        Ok(Some(Focus { first_line: line(region.begin_line + 1), last_line: line(last) }))
    }

    /// `modules` and all of the library that they import: changed ones with their source, the others by digest. A module that does not
    /// exist is left out; Lean names it better than we could.
    ///
    /// # Errors
    /// [`LibraryError`].
    pub async fn closure(&self, modules: &[String]) -> Result<Vec<ModuleSource>, LibraryError> {
        let mut seen: BTreeSet<String> = modules.iter().cloned().collect();
        let mut next: Vec<String> = modules.to_vec();
        let mut closure = Vec::new();
        while let Some(module) = next.pop() {
            let path = layout::module_path(&module);
            let Some(text) = self.text(&path).await? else { continue };
            let imports = layout::imports(&text).into_iter();
            let own = imports.filter(|import| layout::is_module_of(self.draft.package(), import));
            next.extend(own.filter(|import| seen.insert(import.clone())));
            closure.push(match (self.draft.change(&path), self.entry(&path)) {
                (None, Some(entry)) => {
                    ModuleSource { name: module, sha256: entry.sha256.clone(), source: None }
                }
                _ => {
                    let sha256 = hex::encode(Sha256::digest(text.as_bytes()));
                    ModuleSource { name: module, sha256, source: Some(text.into_bytes()) }
                }
            });
        }
        closure.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(closure)
    }
}
