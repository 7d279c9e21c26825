//! The library's bare git repository. Objects are written straight into its database: there is no checkout, no index
//! file and nothing to reset.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use atlas_proto::{FileChange, Manifest, ManifestEntry};
use git2::build::TreeUpdateBuilder;
use git2::{ErrorCode, FileMode, ObjectType, Oid, Signature, Sort, Time, TreeWalkMode, TreeWalkResult};
use sha2::{Digest, Sha256};

use crate::commit::{CommitText, HistoryEntry, message, plain, trailers};
use crate::merge::{Conflict, merge_text};

/// The branch that holds what is certified.
const MAIN: &str = "refs/heads/main";

/// A lock file of git older than this was left behind by a process that was killed.
const STALE_LOCK: Duration = Duration::from_secs(10);

/// Why a git operation failed.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// libgit2 refused.
    #[error("{attempt} in the library's repository {}: {source}", repository.display())]
    Git {
        /// What was attempted.
        attempt: String,
        /// The repository.
        repository: PathBuf,
        /// libgit2's reason.
        source: git2::Error,
    },
    /// `main` is not where it was expected: nothing was changed.
    #[error("main is at {actual}, not at {expected}")]
    Moved {
        /// Where it is; `nothing` when the branch does not exist.
        actual: String,
        /// Where it was expected.
        expected: String,
    },
    /// Another process is updating `main` right now.
    #[error("{} is held by another process; it is taken over once it is {} s old", lock.display(), STALE_LOCK.as_secs())]
    Locked {
        /// git's lock file.
        lock: PathBuf,
    },
}

/// What merging a submission came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// The merged tree, by its object id.
    Clean(String),
    /// The files that two sides changed in the same place.
    Conflicts(Vec<Conflict>),
}

/// A bare repository whose branch `main` is the library. Calls block on the file system; they may come from any thread.
pub struct Repository {
    git: Mutex<git2::Repository>,
    path: PathBuf,
    /// SHA-256 and size of blobs by object id: manifests of neighbouring commits share almost all of them.
    digests: Mutex<HashMap<Oid, (String, u64)>>,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Repository {
    /// Opens the bare repository at `path`, or creates an empty one there.
    ///
    /// # Errors
    /// The folder cannot be written, or holds something else.
    pub fn open_or_init(path: &Path) -> Result<Self, RepositoryError> {
        let named = |attempt: &str| {
            let (attempt, repository) = (attempt.to_owned(), path.to_owned());
            move |source| RepositoryError::Git { attempt, repository, source }
        };
        let git = if path.join("HEAD").exists() {
            git2::Repository::open_bare(path).map_err(named("opening"))?
        } else {
            let mut options = git2::RepositoryInitOptions::new();
            options
                .bare(true)
                .no_dotgit_dir(true)
                .initial_head("main")
                .description("A library that Atlas writes");
            git2::Repository::init_opts(path, &options).map_err(named("creating"))?
        };
        // Objects are on disk before the ref that names them: a power failure leaves no dangling main.
        let mut config = git.config().map_err(named("reading the configuration"))?;
        config.set_bool("core.fsyncObjectFiles", true).map_err(named("writing the configuration"))?;
        Ok(Self { git: Mutex::new(git), path: path.to_owned(), digests: Mutex::default() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The commit that `main` is at; `None` in an empty repository.
    ///
    /// # Errors
    /// [`RepositoryError::Git`], here and in all methods.
    pub fn main(&self) -> Result<Option<String>, RepositoryError> {
        let git = self.git();
        match git.refname_to_id(MAIN) {
            Ok(id) => Ok(Some(id.to_string())),
            Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
            Err(error) => Err(self.failed("reading main", error)),
        }
    }

    /// The tree of a commit; of no commit (empty): the empty tree.
    ///
    /// # Errors
    /// There is no such commit.
    pub fn tree(&self, commit: &str) -> Result<String, RepositoryError> {
        let git = self.git();
        self.tree_of(&git, commit).map(|tree| tree.id().to_string())
    }

    /// Whether the object of this id is there.
    pub fn has(&self, id: &str) -> bool {
        let git = self.git();
        Oid::from_str(id).is_ok_and(|id| git.odb().is_ok_and(|odb| odb.exists(id)))
    }

    /// All files of a tree, by path, with their blobs' ids.
    ///
    /// # Errors
    /// There is no such tree.
    pub fn files(&self, tree: &str) -> Result<BTreeMap<String, String>, RepositoryError> {
        let git = self.git();
        let tree = self.find_tree(&git, tree)?;
        let mut files = BTreeMap::new();
        tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
            if entry.kind() == Some(ObjectType::Blob)
                && let Ok(name) = entry.name()
            {
                files.insert(format!("{folder}{name}"), entry.id().to_string());
            }
            TreeWalkResult::Ok
        })
        .map_err(|error| self.failed("listing a tree", error))?;
        Ok(files)
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// There is no such blob.
    pub fn blob(&self, id: &str) -> Result<Vec<u8>, RepositoryError> {
        let git = self.git();
        let oid = self.oid(id)?;
        let blob = git.find_blob(oid).map_err(|error| self.failed(&format!("reading blob {id}"), error))?;
        Ok(blob.content().to_vec())
    }

    /// The bytes of one file of a tree; `None` when the tree does not have it.
    ///
    /// # Errors
    /// There is no such tree.
    pub fn file(&self, tree: &str, path: &str) -> Result<Option<Vec<u8>>, RepositoryError> {
        let git = self.git();
        let tree = self.find_tree(&git, tree)?;
        self.content(&git, &tree, path)
    }

    /// SHA-256 (hex) and size of each file of a tree, by path; the digests are remembered.
    ///
    /// # Errors
    /// There is no such tree.
    pub fn entries(&self, tree: &str) -> Result<Vec<ManifestEntry>, RepositoryError> {
        let mut entries = Vec::new();
        for (path, blob) in self.files(tree)? {
            let (sha256, size) = self.digest(&blob)?;
            entries.push(ManifestEntry { path, sha256, size });
        }
        Ok(entries)
    }

    /// The manifest of a commit.
    ///
    /// # Errors
    /// There is no such commit.
    pub fn manifest(&self, commit: &str) -> Result<Manifest, RepositoryError> {
        let files = self.entries(&self.tree(commit)?)?;
        Ok(Manifest { commit: commit.to_owned(), files })
    }

    /// Merges `changes` that were made to `base_commit` into the tree `onto`, file by file. Nothing but objects is written.
    /// An empty `base_commit` is the empty library.
    ///
    /// # Errors
    /// There is no such commit or tree.
    pub fn merge(
        &self,
        onto: &str,
        base_commit: &str,
        changes: &[FileChange],
    ) -> Result<Merged, RepositoryError> {
        let git = self.git();
        let ours_tree = self.find_tree(&git, onto)?;
        let base_tree = self.tree_of(&git, base_commit)?;
        let mut files: Vec<(String, Option<Vec<u8>>)> = Vec::new();
        let mut conflicts = Vec::new();
        for change in changes {
            let path = &change.path;
            let base = self.content(&git, &base_tree, path)?;
            let ours = self.content(&git, &ours_tree, path)?;
            let theirs = change.content.clone();
            let mut conflict = |what, places| {
                conflicts.push(Conflict { path: path.clone(), places, what, other_side: Vec::new() });
            };
            if ours == theirs || theirs == base {
                continue;
            }
            match (base, ours, theirs) {
                (base, ours, theirs) if ours == base => files.push((path.clone(), theirs)),
                (base, Some(ours), Some(theirs)) => {
                    match merge_text(&base.unwrap_or_default(), &ours, &theirs) {
                        Ok(merged) => files.push((path.clone(), Some(merged))),
                        Err(places) => conflict("both sides changed it", places),
                    }
                }
                (_, None, _) => conflict("main removed it and the submission changed it", Vec::new()),
                (_, _, None) => conflict("main changed it and the submission removed it", Vec::new()),
            }
        }
        if conflicts.is_empty() {
            self.updated(&git, &ours_tree, &files).map(Merged::Clean)
        } else {
            Ok(Merged::Conflicts(conflicts))
        }
    }

    /// The tree with some files written (`None`: removed); the new tree's id.
    ///
    /// # Errors
    /// There is no such tree.
    pub fn with_files(
        &self,
        tree: &str,
        files: &[(String, Option<Vec<u8>>)],
    ) -> Result<String, RepositoryError> {
        let git = self.git();
        let tree = self.find_tree(&git, tree)?;
        self.updated(&git, &tree, files)
    }

    /// Writes a commit object; no ref moves. `parent` empty: a first commit.
    ///
    /// # Errors
    /// There is no such tree or parent.
    pub fn commit(&self, tree: &str, parent: &str, text: &CommitText) -> Result<String, RepositoryError> {
        let git = self.git();
        let tree = self.find_tree(&git, tree)?;
        let time = Time::new(text.time, 0);
        let signed = |name: &str, email: &str| {
            Signature::new(&plain(name), &plain(email), &time)
                .map_err(|error| self.failed("signing a commit", error))
        };
        let author = signed(&text.author, &text.email)?;
        let committer = signed("atlas merge-coordinator", "merge-coordinator@run.atlas")?;
        let parent = match parent {
            "" => None,
            parent => Some(
                git.find_commit(self.oid(parent)?)
                    .map_err(|error| self.failed(&format!("reading commit {parent}"), error))?,
            ),
        };
        let parents: Vec<_> = parent.iter().collect();
        git.commit(None, &author, &committer, &message(text), &tree, &parents)
            .map(|id| id.to_string())
            .map_err(|error| self.failed("writing a commit", error))
    }

    /// Moves `main` from one commit (empty: from nothing) to another, if it still is where it is said to be.
    ///
    /// # Errors
    /// [`RepositoryError::Moved`] when it is not; [`RepositoryError::Locked`] when another process is at it.
    pub fn advance_main(&self, from: &str, to: &str) -> Result<(), RepositoryError> {
        let mut result = self.try_advance(from, to);
        if result.as_ref().is_err_and(|error| error.code() == ErrorCode::Locked) {
            let lock = self.path.join(format!("{MAIN}.lock"));
            let age = std::fs::metadata(&lock).and_then(|meta| meta.modified()).ok();
            if age.and_then(|at| at.elapsed().ok()).is_some_and(|age| age < STALE_LOCK) {
                return Err(RepositoryError::Locked { lock });
            }
            // A leftover of a killed process. Failing to remove it shows in the second try's error.
            let _ = std::fs::remove_file(&lock);
            result = self.try_advance(from, to);
        }
        let Err(error) = result else { return Ok(()) };
        let actual = self.main()?.unwrap_or_default();
        if actual == from {
            return Err(self.failed("moving main", error));
        }
        let named = |commit: &str| if commit.is_empty() { "nothing".to_owned() } else { commit.to_owned() };
        Err(RepositoryError::Moved { actual: named(&actual), expected: named(from) })
    }

    fn try_advance(&self, from: &str, to: &str) -> Result<(), git2::Error> {
        let git = self.git();
        let to = Oid::from_str(to)?;
        let log = "land";
        if from.is_empty() {
            git.reference(MAIN, to, false, log)?;
        } else {
            git.reference_matching(MAIN, to, true, Oid::from_str(from)?, log)?;
        }
        Ok(())
    }

    /// Commits from `head` back to, without, `until` (empty: to the first), latest first, at most `limit`.
    ///
    /// # Errors
    /// There is no such commit.
    pub fn history(
        &self,
        head: &str,
        until: &str,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, RepositoryError> {
        if head.is_empty() {
            return Ok(Vec::new());
        }
        let git = self.git();
        let failed = |error| self.failed("reading history", error);
        let mut walk = git.revwalk().map_err(failed)?;
        walk.set_sorting(Sort::TOPOLOGICAL).map_err(failed)?;
        walk.push(self.oid(head)?).map_err(failed)?;
        if !until.is_empty() {
            walk.hide(self.oid(until)?).map_err(failed)?;
        }
        let mut entries = Vec::new();
        for id in walk.take(limit) {
            let commit = git.find_commit(id.map_err(failed)?).map_err(failed)?;
            let text = String::from_utf8_lossy(commit.message_bytes()).into_owned();
            entries.push(HistoryEntry {
                commit: commit.id().to_string(),
                subject: text.lines().next().unwrap_or_default().to_owned(),
                author: commit.author().to_string(),
                trailers: trailers(&text),
                time: commit.time().seconds(),
            });
        }
        Ok(entries)
    }

    /// Titles of the commits between `base` and `head` that changed `path`, latest first.
    ///
    /// # Errors
    /// There is no such commit.
    pub fn who_changed(
        &self,
        path: &str,
        base: &str,
        head: &str,
        limit: usize,
    ) -> Result<Vec<String>, RepositoryError> {
        let mut titles = Vec::new();
        for entry in self.history(head, base, usize::MAX)? {
            if titles.len() == limit {
                break;
            }
            let git = self.git();
            let find = |id: &str| {
                let commit = git.find_commit(self.oid(id)?).map_err(|e| self.failed("reading history", e))?;
                Ok::<_, RepositoryError>(commit)
            };
            let commit = find(&entry.commit)?;
            let blob = |commit: &git2::Commit<'_>| {
                commit.tree().ok().and_then(|tree| tree.get_path(Path::new(path)).ok()).map(|e| e.id())
            };
            let before = commit.parent(0).ok().and_then(|parent| blob(&parent));
            if blob(&commit) != before {
                titles.push(entry.subject);
            }
        }
        Ok(titles)
    }

    fn git(&self) -> MutexGuard<'_, git2::Repository> {
        // libgit2 keeps no state between calls that a panic could have broken.
        self.git.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, attempt: &str, source: git2::Error) -> RepositoryError {
        RepositoryError::Git { attempt: attempt.to_owned(), repository: self.path.clone(), source }
    }

    fn oid(&self, id: &str) -> Result<Oid, RepositoryError> {
        Oid::from_str(id).map_err(|error| self.failed(&format!("parsing object id `{id}`"), error))
    }

    fn find_tree<'git>(
        &self,
        git: &'git git2::Repository,
        tree: &str,
    ) -> Result<git2::Tree<'git>, RepositoryError> {
        git.find_tree(self.oid(tree)?).map_err(|error| self.failed(&format!("reading tree {tree}"), error))
    }

    fn tree_of<'git>(
        &self,
        git: &'git git2::Repository,
        commit: &str,
    ) -> Result<git2::Tree<'git>, RepositoryError> {
        let found = if commit.is_empty() {
            git.treebuilder(None).and_then(|empty| empty.write()).and_then(|id| git.find_tree(id))
        } else {
            git.find_commit(self.oid(commit)?).and_then(|commit| commit.tree())
        };
        found.map_err(|error| self.failed(&format!("reading commit {commit}"), error))
    }

    fn content(
        &self,
        git: &git2::Repository,
        tree: &git2::Tree<'_>,
        path: &str,
    ) -> Result<Option<Vec<u8>>, RepositoryError> {
        let failed = |error| self.failed(&format!("reading {path}"), error);
        let entry = match tree.get_path(Path::new(path)) {
            Ok(entry) => entry,
            Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if entry.kind() != Some(ObjectType::Blob) {
            return Ok(None);
        }
        git.find_blob(entry.id()).map(|blob| Some(blob.content().to_vec())).map_err(failed)
    }

    fn updated(
        &self,
        git: &git2::Repository,
        tree: &git2::Tree<'_>,
        files: &[(String, Option<Vec<u8>>)],
    ) -> Result<String, RepositoryError> {
        let failed = |error| self.failed("writing a tree", error);
        let mut update = TreeUpdateBuilder::new();
        for (path, content) in files {
            match content {
                Some(bytes) => {
                    update.upsert(path.as_str(), git.blob(bytes).map_err(failed)?, FileMode::Blob);
                }
                None if tree.get_path(Path::new(path)).is_ok() => {
                    update.remove(path.as_str());
                }
                None => {}
            }
        }
        update.create_updated(git, tree).map(|id| id.to_string()).map_err(failed)
    }

    fn digest(&self, blob: &str) -> Result<(String, u64), RepositoryError> {
        let oid = self.oid(blob)?;
        let known = |digests: &Mutex<HashMap<Oid, (String, u64)>>| {
            digests.lock().unwrap_or_else(PoisonError::into_inner).get(&oid).cloned()
        };
        if let Some(known) = known(&self.digests) {
            return Ok(known);
        }
        let bytes = self.blob(blob)?;
        let digest = (hex::encode(Sha256::digest(&bytes)), bytes.len() as u64);
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(oid, digest.clone());
        Ok(digest)
    }
}
