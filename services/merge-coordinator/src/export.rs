//! A plain working copy of `main`, for people: an ordinary Lake project.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use atlas_library::{LibraryPath, Repository, RepositoryError};

/// Lists the files that an earlier export wrote: only those are ever removed.
const LIST: &str = ".atlas-export";

/// What an export did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The commit; `None`: nothing has landed yet.
    pub commit: Option<String>,
    /// Files of the library.
    pub files: usize,
    /// Of those, written because they differed.
    pub written: usize,
    /// Files of an earlier export that the library no longer has.
    pub removed: usize,
}

/// Why there is no working copy.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The repository cannot be read.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A file of the working copy cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes `folder` a working copy of `main`. Files of the user's own stay.
///
/// # Errors
/// [`ExportError`]; what was written before stays, and the next export goes on.
pub fn export(repository: &Path, folder: &Path) -> Result<Exported, ExportError> {
    let repository = Repository::open_or_init(repository)?;
    let Some(commit) = repository.main()? else {
        return Ok(Exported { commit: None, files: 0, written: 0, removed: 0 });
    };
    let files = repository.files(&repository.tree(&commit)?)?;
    let mut exported = Exported { commit: Some(commit), files: files.len(), written: 0, removed: 0 };
    for (path, blob) in &files {
        let file = folder.join(path);
        let bytes = repository.blob(blob)?;
        if std::fs::read(&file).is_ok_and(|present| present == bytes) {
            continue;
        }
        write(&file, &bytes)?;
        exported.written += 1;
    }
    let list = folder.join(LIST);
    let before = std::fs::read_to_string(&list).unwrap_or_default();
    let stale: BTreeSet<&str> = before.lines().filter(|path| !files.contains_key(*path) && LibraryPath::parse(path).is_ok()).collect();
    for path in stale {
        exported.removed += usize::from(std::fs::remove_file(folder.join(path)).is_ok());
    }
    let paths: Vec<&str> = files.keys().map(String::as_str).collect();
    write(&list, paths.join("\n").as_bytes())?;
    Ok(exported)
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: file.to_owned(), source };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = file.with_file_name(name);
    std::fs::write(&new, bytes).map_err(failed)?;
    std::fs::rename(&new, file).map_err(failed)
}
