//! What the kernel asks of the file system, answered from the tree.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::libc::{O_DSYNC, O_SYNC};
use parking_lot::Mutex;

use crate::State;
use crate::tree::Node;

/// How long the kernel may keep what it was told: nobody but the kernel changes anything.
const KEPT: Duration = Duration::from_secs(3600);
/// Bytes of a block.
const BLOCK: u32 = 4096;
/// Blocks that the disk says it has: 64 GiB, all of them free.
const BLOCKS: u64 = (64 << 30) / BLOCK as u64;

/// A folder that is being read: its names as they were when that began.
type Listing = Arc<Vec<(u64, FileType, OsString)>>;

/// The file system while it is mounted.
pub(crate) struct Mounted {
    state: Arc<Mutex<State>>,
    listings: Mutex<HashMap<u64, Listing>>,
    last: AtomicU64,
}

type Result<T> = std::result::Result<T, Errno>;

impl Mounted {
    pub(crate) fn new(state: Arc<Mutex<State>>) -> Self {
        Self { state, listings: Mutex::default(), last: AtomicU64::new(0) }
    }

    fn made(
        &self,
        request: &Request,
        folder: INodeNo,
        name: &OsStr,
        is_folder: bool,
        mode: u32,
    ) -> Result<FileAttr> {
        let mut state = self.state.lock();
        let mode = u16::try_from(mode & 0o7777).unwrap_or_default();
        let number = state.tree.add(folder.0, name, is_folder, mode, (request.uid(), request.gid()))?;
        Ok(attributes(number, state.tree.node(number)?))
    }

    fn listing(&self, folder: u64) -> Result<Listing> {
        let state = self.state.lock();
        let mut entries = vec![
            (folder, FileType::Directory, OsString::from(".")),
            (folder, FileType::Directory, OsString::from("..")),
        ];
        for (name, number) in state.tree.names(folder)? {
            entries.push((*number, kind(state.tree.node(*number)?), name.clone()));
        }
        Ok(Arc::new(entries))
    }
}

fn kind(node: &Node) -> FileType {
    if node.is_folder() { FileType::Directory } else { FileType::RegularFile }
}

fn attributes(number: u64, node: &Node) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: node.size(),
        blocks: node.size().div_ceil(512),
        atime: node.changed,
        mtime: node.changed,
        ctime: node.changed,
        crtime: node.changed,
        kind: kind(node),
        perm: node.mode,
        nlink: node.links(),
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    }
}

fn done(result: Result<()>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn entry(result: Result<FileAttr>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&KEPT, &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn length(size: u64) -> Result<usize> {
    usize::try_from(size).map_err(|_| Errno::EFBIG)
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = self.state.lock();
        let found = state.tree.lookup(parent.0, name);
        entry(found.and_then(|number| Ok(attributes(number, state.tree.node(number)?))), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.state.lock().tree.node(ino.0) {
            Ok(node) => reply.attr(&KEPT, &attributes(ino.0, node)),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let tree = &mut self.state.lock().tree;
        let mut set = || {
            if let Some(size) = size {
                tree.file_mut(ino.0)?.resize(length(size)?);
            }
            let node = tree.node_mut(ino.0)?;
            if let Some(mode) = mode {
                node.mode = u16::try_from(mode & 0o7777).unwrap_or_default();
            }
            node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
            match mtime {
                Some(TimeOrNow::SpecificTime(time)) => node.changed = time,
                Some(TimeOrNow::Now) => node.changed = SystemTime::now(),
                None => {}
            }
            Ok(attributes(ino.0, node))
        };
        match set() {
            Ok(attributes) => reply.attr(&KEPT, &attributes),
            Err(error) => reply.error(error),
        }
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        entry(self.made(request, parent, name, true, mode & !umask), reply);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let made = self.made(request, parent, name, false, mode & !umask);
        match made.and_then(|made| self.state.lock().tree.open(made.ino.0).map(|()| made)) {
            Ok(made) => {
                reply.created(&KEPT, &made, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE)
            }
            Err(error) => reply.error(error),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.state.lock().tree.remove(parent.0, name, false), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        done(self.state.lock().tree.remove(parent.0, name, true), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let tree = &mut self.state.lock().tree;
        let keeps = flags.contains(RenameFlags::RENAME_NOREPLACE);
        if flags.intersects(!RenameFlags::RENAME_NOREPLACE) {
            reply.error(Errno::EINVAL);
        } else if keeps && tree.lookup(newparent.0, newname).is_ok() {
            reply.error(Errno::EEXIST);
        } else {
            done(tree.rename((parent.0, name), (newparent.0, newname)), reply);
        }
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.state.lock().tree.open(ino.0) {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(error),
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        done(self.state.lock().tree.close(ino.0), reply);
    }

    /// Comes when a descriptor is closed: that syncs nothing.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.state.lock();
        match state.tree.read(ino.0) {
            Ok(bytes) => {
                let from = length(offset).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(size as usize).min(bytes.len());
                reply.data(&bytes[from..to]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let State { tree, traffic } = &mut *self.state.lock();
        let at_once = flags.0 & (O_SYNC | O_DSYNC) != 0;
        let mut write = || {
            tree.file_mut(ino.0)?.write(length(offset)?, data);
            if at_once { tree.sync_file(ino.0) } else { Ok(()) }
        };
        match write() {
            Ok(()) => {
                traffic.writes += 1;
                traffic.bytes += data.len() as u64;
                traffic.syncs += u64::from(at_once);
                // The kernel sends no write larger than it was told it may.
                reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX));
            }
            Err(error) => reply.error(error),
        }
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let State { tree, traffic } = &mut *self.state.lock();
        traffic.syncs += 1;
        done(tree.sync_file(ino.0), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let State { tree, traffic } = &mut *self.state.lock();
        traffic.folder_syncs += 1;
        done(tree.sync_folder(ino.0), reply);
    }

    fn opendir(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.listing(ino.0) {
            Ok(listing) => {
                let handle = self.last.fetch_add(1, Ordering::Relaxed);
                self.listings.lock().insert(handle, listing);
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, _: INodeNo, fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some(listing) = self.listings.lock().get(&fh.0).cloned() else {
            return reply.error(Errno::EBADF);
        };
        for (next, (number, kind, name)) in
            (1..).zip(listing.iter()).skip(length(offset).unwrap_or(usize::MAX))
        {
            if reply.add(INodeNo(*number), next, *kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.listings.lock().remove(&fh.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCK, 255, BLOCK);
    }
}
