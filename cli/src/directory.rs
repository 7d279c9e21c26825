//! A run's folder: where its parts lie, who works in it, what it was begun with.
//!
//! ```text
//! runs/numbers/
//!   run.json          identity: name, AtlasRun, digests of the inputs, where its NATS is
//!   credentials.json  user and password of its NATS; readable by its owner alone
//!   lock              held by the process that works here (the kernel frees it when that dies)
//!   nats/             JetStream's files: journals, work, objects
//!   library.git/      the library's bare repository
//!   library/          its working copy, written at the end
//!   receipts/         of what was certified: one for each module, and the public keys
//!   keys/             the key that signs receipts (readable by its owner alone), and the public keys
//!   report/           index.html, report.json
//!   logs/             atlas.log
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use atlas_domain::RunId;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};

const VERSION: u32 = 1;
/// Bytes that the disk must have left. With less a run stops while it still can say so: JetStream on a full disk refuses
/// writes for good, and services would try again for ever.
const ROOM: u64 = 32 << 20;

/// `path` with `.what` after its name.
pub fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{what}"));
    path.with_file_name(name)
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

/// `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Identity {
    /// Of this file's format.
    pub version: u32,
    /// The run's name.
    pub run: RunId,
    /// The AtlasRun's path.
    pub atlasrun: PathBuf,
    /// The books' titles.
    pub title: String,
    /// When the run was first started, Unix milliseconds; its deadline counts from here.
    pub created_ms: u64,
    /// Digests of what may not change while the run lasts, by name.
    pub inputs: BTreeMap<String, String>,
    /// The NATS that serves the run, or served it last.
    pub nats: Option<Nats>,
    /// Model calls that were under way when a process died: at most so many were made twice.
    #[serde(default)]
    pub repeated_calls: u64,
}

/// Where a run's NATS is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nats {
    /// E.g. `nats://127.0.0.1:40123`.
    pub url: String,
    /// True when the run started it itself, and it is to be found only while the run is at work.
    pub own: bool,
}

/// `credentials.json`.
#[derive(Serialize, Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

/// The right to work in a run's folder. The kernel takes it back when the process ends, however it ends:
/// after `kill -9` the next process just gets it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Directory {
    /// The folder of `run` under `runs`.
    pub fn of(runs: &Path, run: &RunId) -> Self {
        Self { root: runs.join(run.as_str()) }
    }

    /// The folder of the run that a command means: the named one, or the one that was worked on last.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(runs: &Path, name: Option<&str>) -> Result<Self> {
        if let Some(name) = name {
            let run = RunId::new(name).map_err(|e| Failure::input(e.to_string()))?;
            let found = Self::of(runs, &run);
            if found.root.join("run.json").is_file() {
                return Ok(found);
            }
            let known = Self::all(runs);
            let failure = Failure::input(format!("there is no run `{name}` in {}", runs.display()));
            return Err(match known.is_empty() {
                true => {
                    failure.hint("start one with `atlas run -f FILE`, or name another folder with `--dir`")
                }
                false => failure.hint(format!("there are: {}", known.join(", "))),
            });
        }
        let newest = Self::all(runs)
            .into_iter()
            .filter_map(|name| {
                let root = runs.join(name);
                let touched = root.join("run.json").metadata().and_then(|meta| meta.modified()).ok()?;
                Some((touched, root))
            })
            .max();
        newest.map(|(_, root)| Self { root }).ok_or_else(|| {
            Failure::input(format!("there is no run in {}", runs.display()))
                .hint("start one with `atlas run -f FILE`, or name another folder with `--dir`")
        })
    }

    /// The names of all runs under `runs`.
    pub fn all(runs: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter(|entry| entry.path().join("run.json").is_file())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// JetStream's files.
    pub fn nats(&self) -> PathBuf {
        self.root.join("nats")
    }

    /// The bare repository.
    pub fn repository(&self) -> PathBuf {
        self.root.join("library.git")
    }

    /// The library's working copy.
    pub fn library(&self) -> PathBuf {
        self.root.join("library")
    }

    /// Receipts of the library's modules.
    pub fn receipts(&self) -> PathBuf {
        self.root.join("receipts")
    }

    /// Where the key is that signs receipts.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// The report's folder.
    pub fn report(&self) -> PathBuf {
        self.root.join("report")
    }

    /// The logs' folder.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Makes the folder and takes the right to work in it.
    ///
    /// # Errors
    /// When another process works here, or the folder cannot be written.
    pub fn lock(&self) -> Result<Lock> {
        let unusable = |e: std::io::Error| {
            Failure::fault(format!("cannot use the run's folder {}: {e}", self.root.display()))
                .hint("make it writable, or name another folder with `--dir`")
        };
        for folder in [self.root.clone(), self.logs()] {
            std::fs::create_dir_all(folder).map_err(unusable)?;
        }
        let path = self.root.join("lock");
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(Failure::fault(format!(
                    "another process (pid {}) works on the run in {}",
                    pid.trim(),
                    self.root.display()
                ))
                .hint("watch it with `atlas status`; stop it with Ctrl-C in its terminal, or by `kill -INT` of that pid")
                .hint("or work on another run with `--run NAME`"));
            }
            Err(TryLockError::Error(e)) => return Err(unusable(e)),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(unusable)?;
        Ok(Lock { _file: file })
    }

    /// Checks that the disk has room for a run to write to.
    ///
    /// # Errors
    /// When it has less than [`ROOM`].
    pub fn has_room(&self) -> Result<()> {
        // Where the system does not say, the first write will.
        let Ok(disk) = nix::sys::statvfs::statvfs(&self.root) else { return Ok(()) };
        let left = disk.blocks_available() * disk.fragment_size();
        if left >= ROOM {
            return Ok(());
        }
        Err(Failure::fault(format!(
            "the disk of {} is full: {} MB are left, a run needs {} MB to write to",
            self.root.display(),
            left >> 20,
            ROOM >> 20
        ))
        .hint("make room, then run the same command again: it goes on where it was")
        .hint("or begin elsewhere, with `--dir DIR`"))
    }

    /// Whether some process works here now.
    pub fn is_at_work(&self) -> bool {
        File::open(self.root.join("lock"))
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Reads `run.json`; `None` when the run has not been begun.
    ///
    /// # Errors
    /// When it is damaged or of another version.
    pub fn identity(&self) -> Result<Option<Identity>> {
        let path = self.root.join("run.json");
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            // `lock` says what is wrong with the place.
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(e) => return Err(Failure::fault(format!("cannot read {}: {e}", path.display()))),
        };
        let identity: Identity = serde_json::from_slice(&bytes).map_err(|e| {
            Failure::fault(format!("{} is damaged: {e}", path.display())).hint(format!(
                "start a new run with `--run NAME`, or remove {} to begin anew",
                self.root.display()
            ))
        })?;
        if identity.version != VERSION {
            return Err(Failure::fault(format!(
                "{} has format {}, this atlas knows {VERSION}",
                path.display(),
                identity.version
            ))
            .hint("use the atlas that the run was begun with, or start a new run with `--run NAME`"));
        }
        Ok(Some(identity))
    }

    /// Writes `run.json`, as a whole.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_identity(&self, identity: &Identity) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(identity)
            .map_err(|e| Failure::fault(format!("cannot write the run's identity as JSON: {e}")))?;
        self.replace("run.json", &bytes, 0o644)
    }

    /// Writes the user and password of the run's NATS, for the other commands of the same person.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn write_credentials(&self, user: Option<&(String, String)>) -> Result<()> {
        let Some((user, password)) = user.cloned() else {
            let _ = std::fs::remove_file(self.root.join("credentials.json"));
            return Ok(());
        };
        let bytes = serde_json::to_vec(&Credentials { user, password })
            .map_err(|e| Failure::fault(format!("cannot write the credentials as JSON: {e}")))?;
        self.replace("credentials.json", &bytes, 0o600)
    }

    /// The user and password of the run's NATS, if it asks for any.
    pub fn credentials(&self) -> Option<(String, String)> {
        let bytes = std::fs::read(self.root.join("credentials.json")).ok()?;
        let read: Credentials = serde_json::from_slice(&bytes).ok()?;
        Some((read.user, read.password))
    }

    fn replace(&self, name: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let new = self.root.join(format!("{name}.new"));
        let path = self.root.join(name);
        // Begun anew each time, so that `mode` holds from the first byte on.
        let _ = std::fs::remove_file(&new);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&new)
            .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|e| {
                Failure::fault(format!("cannot write {}: {e}", path.display()))
                    .hint("check that the disk has room and the folder is yours")
            })
    }
}

impl Identity {
    /// A run that begins now.
    pub fn new(run: RunId, atlasrun: PathBuf, title: String, inputs: BTreeMap<String, String>) -> Self {
        let created_ms = crate::format::now_ms();
        Self { version: VERSION, run, atlasrun, title, created_ms, inputs, nats: None, repeated_calls: 0 }
    }

    /// Checks that the run can go on with `inputs`.
    ///
    /// # Errors
    /// Names what was added, removed or changed, and says what may change.
    pub fn admits(&self, inputs: &BTreeMap<String, String>) -> Result<()> {
        const SHOWN: usize = 12;
        let mut differences: Vec<String> = Vec::new();
        for (name, digest) in &self.inputs {
            match inputs.get(name) {
                None => differences.push(format!("{name} is gone")),
                Some(now) if now != digest => differences.push(format!("{name} has changed")),
                Some(_) => {}
            }
        }
        differences.extend(
            inputs
                .keys()
                .filter(|name| !self.inputs.contains_key(*name))
                .map(|name| format!("{name} is new")),
        );
        if differences.is_empty() {
            return Ok(());
        }
        let more = differences.len().saturating_sub(SHOWN);
        differences.truncate(SHOWN);
        if more > 0 {
            differences.push(format!("and {more} more"));
        }
        Err(Failure::input(format!(
            "the run `{}` was begun with other inputs:\n  {}",
            self.run,
            differences.join("\n  ")
        ))
        .hint("a run goes on with the books, targets and library that it began with; budget, deadline, models, agents and verifiers may change")
        .hint(format!("start a new run with `--run {}-2`, or put the inputs back as they were", self.run)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(folder: &Path) -> Directory {
        Directory::of(folder, &RunId::new("numbers").unwrap())
    }

    #[test]
    fn two_processes_do_not_work_on_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(folder.path());
        let lock = directory.lock().unwrap();
        assert!(directory.is_at_work());
        let refused = directory.lock().unwrap_err().to_string();
        assert!(refused.contains(&std::process::id().to_string()), "{refused}");
        drop(lock);
        assert!(!directory.is_at_work());
        directory.lock().unwrap();
    }

    #[test]
    fn credentials_are_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let directory = directory(folder.path());
        let _lock = directory.lock().unwrap();
        let user = ("atlas".to_owned(), "secret".to_owned());
        directory.write_credentials(Some(&user)).unwrap();
        let mode = directory.root().join("credentials.json").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(directory.credentials(), Some(user));
        directory.write_credentials(None).unwrap();
        assert_eq!(directory.credentials(), None);
    }

    #[test]
    fn changed_inputs_are_named() {
        let inputs =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let run = RunId::new("numbers").unwrap();
        let began = inputs(&[("target `a`", "1"), ("target `b`", "1"), ("library package", "1")]);
        let identity = Identity::new(run, "atlasrun.yaml".into(), String::new(), began);
        assert!(identity.admits(&identity.inputs).is_ok());
        let now = inputs(&[("target `a`", "2"), ("target `c`", "1"), ("library package", "1")]);
        insta::assert_snapshot!(identity.admits(&now).unwrap_err());
    }
}
