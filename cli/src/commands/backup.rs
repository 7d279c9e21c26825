//! `atlas backup` and `atlas restore`: a stopped run's folder, whole and with the digest of each file.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use atlas_domain::RunId;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::args::{BackupArgs, Output, RestoreArgs};
use crate::directory::{Directory, beside};
use crate::failure::{Exit, Failure, Result};
use crate::format::{date, now_ms, plural};
use crate::print;

/// The list of a backup's files, beside the folder with them.
const LIST: &str = "backup.json";
const FILES: &str = "files";
const VERSION: u32 = 1;
/// Held by processes, and of no meaning to others.
const LOCK: &str = "lock";
/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// `backup.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Backup {
    version: u32,
    run: RunId,
    made_ms: u64,
    files: Vec<Copied>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Copied {
    /// Below the run's folder.
    path: PathBuf,
    bytes: u64,
    sha256: String,
}

/// Copies a stopped run.
pub fn backup(args: &BackupArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.run.as_deref())?;
    let Some(identity) = directory.identity()? else {
        return Err(Failure::input(format!("{} holds no run", directory.root().display())));
    };
    if let Some(nats) = identity.nats.as_ref().filter(|nats| !nats.own) {
        return Err(Failure::input(format!("the run `{}` keeps its journals in the NATS at {}", identity.run, nats.url))
            .hint("back that NATS up by its own means (`nats account backup`) while nobody works on it; docs/runbook.md"));
    }
    // Nobody writes while this is held: all that is copied is of one moment.
    let _lock = directory.lock()?;
    let (made, place) = (beside(&args.to, "new"), args.to.display());
    if args.to.exists() {
        return Err(Failure::input(format!("{place} is there already")).hint("name a folder that is not"));
    }
    let failed = |e: io::Error| Failure::fault(format!("cannot write the backup {place}: {e}"));
    remove(&made).map_err(failed)?;
    private(&made).map_err(failed)?;
    let mut files = vec![];
    copy_below(directory.root(), &made.join(FILES), Path::new(""), &mut files).map_err(failed)?;
    let backup = Backup { version: VERSION, run: identity.run, made_ms: now_ms(), files };
    let list = serde_json::to_vec_pretty(&backup).map_err(|e| failed(e.into()))?;
    write_synced(&made.join(LIST), &list).map_err(failed)?;
    sync_folder(&made).and_then(|()| std::fs::rename(&made, &args.to)).map_err(failed)?;
    args.to
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or(Ok(()), sync_folder)
        .map_err(failed)?;
    let bytes: u64 = backup.files.iter().map(|file| file.bytes).sum();
    match args.output.output {
        Output::Json => {
            print::json(
                &json!({ "run": backup.run, "backup": args.to, "files": backup.files.len(), "bytes": bytes }),
            )?;
        }
        Output::Text => print::line(format!(
            "{} is copied to {place}: {}, {:.1} MB; its signing key and passwords are among them",
            backup.run,
            plural(backup.files.len(), "file"),
            bytes as f64 / 1e6
        )),
    }
    Ok(Exit::Done)
}

/// Brings a run back as it was when it was backed up.
pub fn restore(args: &RestoreArgs) -> Result<Exit> {
    let from = args.backup.display();
    let list = args.backup.join(LIST);
    let bytes = std::fs::read(&list).map_err(|e| {
        Failure::input(format!("{from} is no backup: cannot read {}: {e}", list.display()))
            .hint("`atlas backup` makes one")
    })?;
    let damaged = |what: String| {
        Failure::fault(format!("the backup {from} is damaged: {what}"))
            .hint("use an older one; nothing was restored")
    };
    let backup: Backup = serde_json::from_slice(&bytes).map_err(|e| damaged(format!("{LIST}: {e}")))?;
    if backup.version != VERSION {
        return Err(Failure::input(format!(
            "{from} has format {}, this atlas knows {VERSION}",
            backup.version
        ))
        .hint("use the atlas that made it"));
    }
    let directory = Directory::of(&args.dir, &backup.run);
    if directory.root().exists() {
        return Err(Failure::input(format!("{} is there already", directory.root().display()))
            .hint("move it away first, or restore elsewhere with `--dir DIR`"));
    }
    // No run before it is whole.
    let outer = args.dir.join(format!(".restoring-{}", backup.run));
    let new = outer.join(FILES);
    let failed = |e: io::Error| Failure::fault(format!("cannot write {}: {e}", outer.display()));
    remove(&outer).map_err(failed)?;
    let mut found = vec![];
    copy_below(&args.backup.join(FILES), &new, Path::new(""), &mut found).map_err(failed)?;
    if let Some(wrong) = backup.files.iter().find(|file| !found.contains(file)) {
        remove(&outer).map_err(failed)?;
        return Err(damaged(format!("{} is missing or has other bytes", wrong.path.display())));
    }
    std::fs::rename(&new, directory.root()).and_then(|()| sync_folder(&args.dir)).map_err(failed)?;
    remove(&outer).map_err(failed)?;
    let made = date(UNIX_EPOCH + Duration::from_millis(backup.made_ms));
    match args.output.output {
        Output::Json => print::json(
            &json!({ "run": backup.run, "directory": directory.root(), "made_ms": backup.made_ms, "files": found.len() }),
        )?,
        Output::Text => print::line(format!(
            "{} is in {} as it was on {made}; go on with the same `atlas run` as before",
            backup.run,
            directory.root().display()
        )),
    }
    Ok(Exit::Done)
}

/// Copies a folder with all below it, each file to the disk; locks are left out.
fn copy_below(from: &Path, to: &Path, below: &Path, files: &mut Vec<Copied>) -> io::Result<()> {
    if !to.join(below).exists() {
        private(&to.join(below))?;
    }
    let mut entries = std::fs::read_dir(from.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_below(from, to, &path, files)?;
        } else if kind.is_file() && entry.file_name() != LOCK {
            let (bytes, sha256) = copy(&from.join(&path), &to.join(&path))?;
            files.push(Copied { path, bytes, sha256 });
        }
    }
    sync_folder(&to.join(below))
}

/// Copies a file to the disk, with its mode: bytes and their SHA-256.
fn copy(from: &Path, to: &Path) -> io::Result<(u64, String)> {
    let (mut source, mut target) = (File::open(from)?, File::create_new(to)?);
    target.set_permissions(source.metadata()?.permissions())?;
    let (mut digest, mut bytes, mut chunk) = (Sha256::new(), 0, vec![0; CHUNK]);
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        digest.update(&chunk[..read]);
        target.write_all(&chunk[..read])?;
        bytes += read as u64;
    }
    target.sync_all()?;
    Ok((bytes, hex::encode(digest.finalize())))
}

/// Makes a folder for its owner alone: keys and passwords lie below.
fn private(folder: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).recursive(true).create(folder)
}

fn remove(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
