//! An agent's worktree: a base commit's files with changes over them, in memory. The overlay does no I/O: what it needs of
//! the base's bytes it names, and its owner provides them.

use std::collections::BTreeMap;

use atlas_proto::{FileChange, Manifest};
use sha2::{Digest, Sha256};

use crate::layout::{self, LayoutError};
use crate::path::{LibraryPath, PathError};

/// A file that an agent writes may not be longer than this; a Lean file of this size is a mistake.
pub const MAX_FILE_BYTES: usize = 1 << 20;

/// Why an overlay refused something. The messages are written for the agent that caused them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// The path is not one that it may use.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The markers do not allow it.
    #[error("{path}: {source}")]
    Layout {
        /// The file.
        path: String,
        /// What is wrong.
        source: LayoutError,
    },
    /// There is no such file.
    #[error("there is no file `{path}` in the library{}", suggestion(similar))]
    NotFound {
        /// The path.
        path: String,
        /// A file of a similar name.
        similar: Option<String>,
    },
    /// The base's bytes are needed first: fetch `sha256` and call [`Overlay::provide`].
    #[error("`{path}` has not been loaded from the base commit")]
    NotLoaded {
        /// The path.
        path: String,
        /// Hex SHA-256 of its content: object `file/<sha256>`.
        sha256: String,
    },
    /// The text to replace is not there.
    #[error(
        "`{path}` does not contain the text to replace; read the file and copy the text exactly, with its indentation"
    )]
    NoMatch {
        /// The file.
        path: String,
    },
    /// The text to replace is there more than once.
    #[error("`{path}` contains the text to replace {count} times, at lines {}; give more of its surroundings", lines.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Ambiguous {
        /// The file.
        path: String,
        /// How often.
        count: usize,
        /// Where it begins, 1-based.
        lines: Vec<usize>,
    },
    /// The file would be too long.
    #[error("`{path}` would be {bytes} bytes long; the limit is {MAX_FILE_BYTES}")]
    TooLong {
        /// The file.
        path: String,
        /// Its length.
        bytes: usize,
    },
}

fn suggestion(similar: &Option<String>) -> String {
    similar.as_ref().map_or_else(String::new, |path| format!("; did you mean `{path}`?"))
}

/// Where a file's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// Changed here.
    Changed(&'a str),
    /// As in the base commit: object `file/<sha256>`.
    Base(&'a str),
}

/// A base commit's files with changes over them.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    package: String,
    commit: String,
    /// Digest by path.
    base: BTreeMap<String, String>,
    loaded: BTreeMap<String, String>,
    changes: BTreeMap<LibraryPath, Option<String>>,
}

impl Overlay {
    /// An overlay without changes over the files of `base`.
    pub fn new(package: &str, base: &Manifest) -> Self {
        Self {
            package: package.to_owned(),
            commit: base.commit.clone(),
            base: base.files.iter().map(|file| (file.path.clone(), file.sha256.clone())).collect(),
            ..Self::default()
        }
    }

    /// The commit that it stands on.
    pub fn base_commit(&self) -> &str {
        &self.commit
    }

    /// Gives the bytes of a base file that [`OverlayError::NotLoaded`] asked for.
    pub fn provide(&mut self, path: &str, text: impl Into<String>) {
        self.loaded.insert(path.to_owned(), text.into());
    }

    /// Applies the changes of a submission, e.g. one to review or to fix.
    ///
    /// # Errors
    /// A path that no submission may change, or content that is not UTF-8 or too long.
    pub fn apply(&mut self, changes: &[FileChange]) -> Result<(), OverlayError> {
        for change in changes {
            let path = LibraryPath::parse_writable(&self.package, &change.path)?;
            let text = change.content.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            self.changes.insert(path, text);
        }
        Ok(())
    }

    /// All paths, in order; with `under`, those at or below it.
    pub fn paths(&self, under: Option<&str>) -> Vec<&str> {
        let under =
            under.map(|under| under.trim_start_matches("./").trim_end_matches('/')).filter(|u| !u.is_empty());
        let within = |path: &str| {
            under.is_none_or(|under| {
                path.strip_prefix(under).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let mut paths: Vec<&str> = self
            .base
            .keys()
            .map(String::as_str)
            .filter(|path| !self.is_removed(path) && within(path))
            .collect();
        let new = self
            .changes
            .iter()
            .filter(|(path, text)| text.is_some() && !self.base.contains_key(path.as_str()));
        paths.extend(new.map(|(path, _)| path.as_str()).filter(|path| within(path)));
        paths.sort_unstable();
        paths
    }

    /// Where the bytes of a file are; `None` when there is no such file.
    pub fn source(&self, path: &str) -> Option<Source<'_>> {
        let parsed = LibraryPath::parse(path).ok()?;
        match self.changes.get(&parsed) {
            Some(Some(text)) => Some(Source::Changed(text)),
            Some(None) => None,
            None => self.base.get(parsed.as_str()).map(|sha256| Source::Base(sha256)),
        }
    }

    /// A file's text.
    ///
    /// # Errors
    /// An unsafe path, no such file, or [`OverlayError::NotLoaded`].
    pub fn read(&self, path: &str) -> Result<&str, OverlayError> {
        let path = LibraryPath::parse(path)?;
        match self.source(path.as_str()) {
            Some(Source::Changed(text)) => Ok(text),
            Some(Source::Base(sha256)) => self
                .loaded
                .get(path.as_str())
                .map(String::as_str)
                .ok_or_else(|| OverlayError::NotLoaded { path: path.to_string(), sha256: sha256.to_owned() }),
            None => {
                Err(OverlayError::NotFound { similar: self.similar(path.as_str()), path: path.to_string() })
            }
        }
    }

    /// Writes a whole file, new or not.
    ///
    /// # Errors
    /// A path that no submission may change, or content that is too long.
    pub fn write(&mut self, path: &str, content: impl Into<String>) -> Result<(), OverlayError> {
        let path = LibraryPath::parse_writable(&self.package, path)?;
        let content = content.into();
        if content.len() > MAX_FILE_BYTES {
            return Err(OverlayError::TooLong { path: path.to_string(), bytes: content.len() });
        }
        self.changes.insert(path, Some(content));
        Ok(())
    }

    /// Replaces the one place in a file that reads `old`.
    ///
    /// # Errors
    /// As [`Overlay::read`] and [`Overlay::write`]; the text is not there, or more than once.
    pub fn edit(&mut self, path: &str, old: &str, new: &str) -> Result<(), OverlayError> {
        let path = LibraryPath::parse_writable(&self.package, path)?;
        let text = self.read(path.as_str())?;
        let found: Vec<usize> =
            if old.is_empty() { Vec::new() } else { text.match_indices(old).map(|(at, _)| at).collect() };
        match found[..] {
            [] => Err(OverlayError::NoMatch { path: path.to_string() }),
            [at] => {
                let text = format!("{}{new}{}", &text[..at], &text[at + old.len()..]);
                self.write(path.as_str(), text)
            }
            _ => {
                let line = |at: &usize| text[..*at].matches('\n').count() + 1;
                let lines = found.iter().take(10).map(line).collect();
                Err(OverlayError::Ambiguous { path: path.to_string(), count: found.len(), lines })
            }
        }
    }

    /// Replaces what lies between the markers of a target's region.
    ///
    /// # Errors
    /// As [`Overlay::read`] and [`Overlay::write`]; there is no such region, or `content` holds a marker.
    pub fn write_region(&mut self, path: &str, id: &str, content: &str) -> Result<(), OverlayError> {
        let text = layout::with_region(self.read(path)?, id, content)
            .map_err(|source| OverlayError::Layout { path: path.to_owned(), source })?;
        self.write(path, text)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// A path that no submission may change, or no such file.
    pub fn remove(&mut self, path: &str) -> Result<(), OverlayError> {
        let path = LibraryPath::parse_writable(&self.package, path)?;
        if self.source(path.as_str()).is_none() {
            return Err(OverlayError::NotFound {
                similar: self.similar(path.as_str()),
                path: path.to_string(),
            });
        }
        if self.base.contains_key(path.as_str()) {
            self.changes.insert(path, None);
        } else {
            self.changes.remove(&path);
        }
        Ok(())
    }

    /// The submission: every file that differs from the base, by path.
    pub fn changes(&self) -> Vec<FileChange> {
        let differs = |path: &str, text: &Option<String>| {
            let new = text.as_ref().map(|text| hex::encode(Sha256::digest(text.as_bytes())));
            new.as_ref() != self.base.get(path)
        };
        self.changes
            .iter()
            .filter(|(path, text)| differs(path.as_str(), text))
            .map(|(path, text)| FileChange {
                path: path.to_string(),
                content: text.as_ref().map(|text| text.clone().into_bytes()),
            })
            .collect()
    }

    fn is_removed(&self, path: &str) -> bool {
        LibraryPath::parse(path).is_ok_and(|path| matches!(self.changes.get(&path), Some(None)))
    }

    /// The file whose name shares the last component with `path`.
    fn similar(&self, path: &str) -> Option<String> {
        let wanted = path.rsplit('/').next()?.to_lowercase();
        let stem = wanted.trim_end_matches(".lean");
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_lowercase();
        let found = self.paths(None).into_iter().find(|path| name(path).trim_end_matches(".lean") == stem);
        found.map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use atlas_proto::ManifestEntry;
    use proptest::prelude::*;

    use super::*;

    const CHAPTER: &str = "module\n-- begin a\n-- end a\nx\nx\n";

    fn overlay() -> Overlay {
        let file = |path: &str, text: &str| ManifestEntry {
            path: path.to_owned(),
            sha256: hex::encode(Sha256::digest(text.as_bytes())),
            size: text.len() as u64,
        };
        let files = vec![file("N.lean", "import N.A\n"), file("N/A.lean", CHAPTER)];
        Overlay::new("N", &Manifest { commit: "c".to_owned(), files })
    }

    #[test]
    fn base_bytes_are_asked_for_and_then_read() {
        let mut overlay = overlay();
        assert!(matches!(overlay.read("N/A.lean"), Err(OverlayError::NotLoaded { .. })));
        overlay.provide("N/A.lean", CHAPTER);
        assert_eq!(overlay.read("./N/A.lean").unwrap(), CHAPTER);
        let missing = overlay.read("N/Sub/a.lean").unwrap_err().to_string();
        assert_eq!(missing, "there is no file `N/Sub/a.lean` in the library; did you mean `N/A.lean`?");
    }

    #[test]
    fn a_submission_is_what_differs_from_the_base() {
        let mut overlay = overlay();
        overlay.provide("N/A.lean", CHAPTER);
        overlay.write_region("N/A.lean", "a", "def a := 1").unwrap();
        overlay.write("N/B.lean", "module\n").unwrap();
        assert_eq!(overlay.paths(Some("N")), ["N/A.lean", "N/B.lean"]);
        let paths: Vec<String> = overlay.changes().into_iter().map(|change| change.path).collect();
        assert_eq!(paths, ["N/A.lean", "N/B.lean"]);
        overlay.write_region("N/A.lean", "a", "").unwrap();
        overlay.remove("N/B.lean").unwrap();
        assert_eq!(overlay.changes(), []);
        overlay.remove("N/A.lean").unwrap();
        assert_eq!(overlay.changes(), [FileChange { path: "N/A.lean".to_owned(), content: None }]);
        assert_eq!(overlay.paths(None), ["N.lean"]);
    }

    #[test]
    fn edits_need_exactly_one_place() {
        let mut overlay = overlay();
        overlay.provide("N/A.lean", CHAPTER);
        let twice = overlay.edit("N/A.lean", "x\n", "y\n").unwrap_err().to_string();
        assert!(twice.contains("2 times, at lines 4, 5"), "{twice}");
        assert!(matches!(overlay.edit("N/A.lean", "nope", ""), Err(OverlayError::NoMatch { .. })));
        assert!(matches!(overlay.edit("N.lean", "import", ""), Err(OverlayError::Path(_))));
        overlay.edit("N/A.lean", "x\nx\n", "y\n").unwrap();
        assert_eq!(overlay.read("N/A.lean").unwrap(), "module\n-- begin a\n-- end a\ny\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_only_package_files_are_written(
            path in "(N|M|\\.\\.|\\.git)?/?[A-Z]{1,2}(\\.lean|\\.toml)", text in "[a-z\n]{0,20}",
        ) {
            let mut overlay = overlay();
            if overlay.write(&path, text.clone()).is_ok() {
                prop_assert!(path.starts_with("N/") && path.ends_with(".lean"));
                prop_assert_eq!(overlay.read(&path).unwrap(), text);
            }
        }
    }
}
