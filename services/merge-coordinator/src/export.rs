//! A plain working copy of `main`, for people: an ordinary Lake project.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use atlas_library::{LibraryPath, Repository, RepositoryError};
use sha2::{Digest as _, Sha256};

/// Lists what exports wrote, `<sha256> <path>` a line: only such files are ever replaced or removed.
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
    /// Paths that somebody else wrote or changed: left as they are.
    pub kept: Vec<String>,
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

/// Makes `folder` a working copy of `main`. What an export did not write, or somebody has changed since, stays as it is.
///
/// # Errors
/// [`ExportError`]; what was written before stays, and the next export goes on.
pub fn export(repository: &Path, folder: &Path) -> Result<Exported, ExportError> {
    let repository = Repository::open_or_init(repository)?;
    let mut exported =
        Exported { commit: repository.main()?, files: 0, written: 0, removed: 0, kept: Vec::new() };
    let Some(commit) = &exported.commit else { return Ok(exported) };
    let files = repository.files(&repository.tree(commit)?)?;
    exported.files = files.len();
    let mut contents: BTreeMap<&str, (Vec<u8>, String)> = BTreeMap::new();
    for (path, blob) in &files {
        let bytes = repository.blob(blob)?;
        let digest = digest(&bytes);
        contents.insert(path, (bytes, digest));
    }
    let list = folder.join(LIST);
    let listed = std::fs::read_to_string(&list).unwrap_or_default();
    let mut ours: BTreeSet<(&str, &str)> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
    ours.extend(contents.iter().map(|(path, (_, digest))| (digest.as_str(), *path)));
    // The list names what is about to be written: an export that is killed leaves no file that the next would not know.
    write(&list, lines(&ours).as_bytes())?;
    for (path, (bytes, wanted)) in &contents {
        let file = folder.join(path);
        match std::fs::read(&file).ok().map(|present| digest(&present)) {
            Some(present) if present == *wanted => continue,
            Some(present) if !ours.contains(&(present.as_str(), *path)) => {
                exported.kept.push((*path).to_owned());
                continue;
            }
            _ => {}
        }
        write(&file, bytes)?;
        exported.written += 1;
    }
    let gone: BTreeSet<&str> = ours
        .iter()
        .map(|(_, path)| *path)
        .filter(|path| !files.contains_key(*path) && LibraryPath::parse(path).is_ok())
        .collect();
    for path in gone {
        let file = folder.join(path);
        match std::fs::read(&file).ok().map(|present| digest(&present)) {
            Some(present) if ours.contains(&(present.as_str(), path)) => {
                exported.removed += usize::from(std::fs::remove_file(&file).is_ok());
            }
            Some(_) => exported.kept.push(path.to_owned()),
            None => {}
        }
    }
    let now: BTreeSet<(&str, &str)> =
        contents.iter().map(|(path, (_, digest))| (digest.as_str(), *path)).collect();
    write(&list, lines(&now).as_bytes())?;
    Ok(exported)
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn lines(list: &BTreeSet<(&str, &str)>) -> String {
    list.iter().map(|(digest, path)| format!("{digest} {path}\n")).collect()
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let failed = |source| ExportError::Write { path: file.to_owned(), source };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".atlas-new");
    let new = file.with_file_name(name);
    std::fs::write(&new, bytes).map_err(failed)?;
    std::fs::rename(&new, file).map_err(failed)
}
