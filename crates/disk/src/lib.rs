//! A disk whose power can fail: a file system in memory (FUSE) that forgets what was not synced.
//!
//! What programs write is there for all programs at once, as the page cache has it, and survives their deaths. After
//! [`LossyDisk::power_fail`] a file has the bytes that it had at its last `fsync` or `fdatasync`, or write through `O_SYNC` or `O_DSYNC`, and a folder has
//! the names that [`Names`] says; a file that has a name but was never synced is empty. Sizes go with the bytes. Modes and owners are kept as they are. The model is one
//! of the worst that POSIX allows: no page is written back by itself, however long one waits.
//!
//! Needs `/dev/fuse` and the right to mount, as root or by `fusermount3`; no libfuse.

mod contents;
mod mounted;
mod tree;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fuser::{BackgroundSession, MountOption, Session};
use nix::errno::Errno;
use parking_lot::Mutex;

use mounted::Mounted;
use tree::Tree;

/// Which names of files and folders are there after a power failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// Those that a folder had at its own last `fsync`: all that POSIX says.
    #[default]
    ByFolder,
    /// Those that there were at the last `fsync` of anything: file systems with one journal (ext4, XFS) commit all names before it with it.
    Journaled,
}

/// Why there is no such disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The system has no FUSE.
    #[error("there is no /dev/fuse: load the kernel's module `fuse`, or give the container the device")]
    NoDevice,
    /// It cannot be mounted.
    #[error("cannot mount a file system at {}: {source}; root may, others need `fusermount3`", at.display())]
    Mount {
        /// The folder.
        at: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be taken away, for some program still works on it.
    #[error("cannot unmount {}: {source}; is what works there dead?", at.display())]
    Unmount {
        /// The folder.
        at: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What programs have asked of a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Writes.
    pub writes: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// Files that were synced, and writes that were to be synced at once.
    pub syncs: u64,
    /// Folders that were synced.
    pub folder_syncs: u64,
}

/// The disk, mounted. Unmounted and gone when it is dropped.
#[derive(Debug)]
pub struct LossyDisk {
    at: PathBuf,
    state: Arc<Mutex<State>>,
    session: Option<BackgroundSession>,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    traffic: Traffic,
}

impl LossyDisk {
    /// Mounts an empty disk at a folder, which must not be a mount point already.
    ///
    /// # Errors
    /// [`DiskError::NoDevice`], [`DiskError::Mount`].
    pub fn mount(at: &Path, names: Names) -> Result<Self, DiskError> {
        if !Path::new("/dev/fuse").exists() {
            return Err(DiskError::NoDevice);
        }
        let owner = (nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw());
        let state = State { tree: Tree::new(names, owner), traffic: Traffic::default() };
        let mut disk = Self { at: at.to_owned(), state: Arc::new(Mutex::new(state)), session: None };
        disk.begin()?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// What has been asked of it so far.
    pub fn traffic(&self) -> Traffic {
        self.state.lock().traffic
    }

    /// The power fails, and comes back: what was not synced is gone. Whoever works on the disk must be dead: a power
    /// failure kills it first.
    ///
    /// # Errors
    /// [`DiskError::Unmount`] when somebody is not; [`DiskError::Mount`].
    pub fn power_fail(&mut self) -> Result<(), DiskError> {
        // Unmounted, so that the kernel remembers nothing either.
        self.unmount().map_err(|source| DiskError::Unmount { at: self.at.clone(), source })?;
        self.state.lock().tree.forget();
        self.begin()
    }

    /// Leaves everything as it is when somebody works there.
    fn unmount(&mut self) -> io::Result<()> {
        match nix::mount::umount(&self.at) {
            Ok(()) => match self.session.take() {
                // Closed files may be told late: not before the last is heard does this end.
                Some(session) => session.guard.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())),
                None => Ok(()),
            },
            // Not root: `fusermount3` is asked.
            Err(Errno::EPERM) => self.session.take().map_or(Ok(()), BackgroundSession::umount_and_join),
            Err(error) => Err(error.into()),
        }
    }

    fn begin(&mut self) -> Result<(), DiskError> {
        let failed = |source| DiskError::Mount { at: self.at.clone(), source };
        let mut config = fuser::Config::default();
        config.mount_options = vec![MountOption::FSName("lossy".to_owned()), MountOption::DefaultPermissions];
        let mounted = Mounted::new(Arc::clone(&self.state));
        let session = Session::new(mounted, &self.at, &config).and_then(Session::spawn).map_err(failed)?;
        self.session = Some(session);
        Ok(())
    }
}

impl Drop for LossyDisk {
    fn drop(&mut self) {
        if self.session.is_some() && self.unmount().is_err() {
            // Somebody works there still: out of sight now, gone when they are.
            let _ = nix::mount::umount2(&self.at, nix::mount::MntFlags::MNT_DETACH);
        }
    }
}
