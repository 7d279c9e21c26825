//! The whole file system that a guest can see. Nothing else of the machine exists for it.
//!
//! | path | what |
//! |---|---|
//! | `/lib/lean` | the toolchain's compiled library, read-only, from the image |
//! | `/library` and other inputs | files that the host handed in, read-only, in memory |
//! | `/work` | scratch in memory, bounded |
//! | `/host/nonce` | a secret, readable once |
//! | `/host/request` | the request, readable once |
//! | `/host/answer` | written by the session: nonce, then the answer |
//! | `/host/object` | written by the session: nonce, then the address of an object that the host is to read |
//! | `/host/register` | written by the session: the address of the action to run in each copy |

use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Error numbers as Emscripten has them: WASI's.
pub(crate) mod errno {
    pub(crate) const EACCES: i32 = 2;
    pub(crate) const EBADF: i32 = 8;
    pub(crate) const EEXIST: i32 = 20;
    pub(crate) const EINVAL: i32 = 28;
    pub(crate) const EISDIR: i32 = 31;
    pub(crate) const ENOENT: i32 = 44;
    pub(crate) const ENOSPC: i32 = 51;
    pub(crate) const ENOSYS: i32 = 52;
    pub(crate) const ENOTDIR: i32 = 54;
    pub(crate) const ENOTTY: i32 = 59;
    pub(crate) const EROFS: i32 = 69;
    pub(crate) const ESPIPE: i32 = 70;
}
use errno::*;

const O_ACCMODE: i32 = 3;
const O_CREAT: i32 = 0o100;
const O_EXCL: i32 = 0o200;
const O_TRUNC: i32 = 0o1000;
const O_APPEND: i32 = 0o2000;
const O_DIRECTORY: i32 = 0o200_000;
/// `AT_FDCWD`: relative to the working directory.
const AT_CWD: i32 = -100;
/// Bytes of one entry that `getdents64` gives; also how directory offsets count.
pub(crate) const DIRENT_BYTES: u64 = 280;

/// Where the toolchain's compiled library lies for the guest.
pub(crate) const TOOLCHAIN: &str = "/lib/lean";
const SCRATCH: &str = "/work";
/// Compiled modules are written to the scratch; the largest that was seen has 2 MB.
const SCRATCH_BYTES: usize = 64 << 20;
/// What a check may write to its standard streams; the rest is dropped.
const LOG_BYTES: usize = 64 << 10;

/// The files of the session protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Channel {
    Nonce,
    Request,
    Answer,
    Object,
    Register,
}

impl Channel {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/host/nonce" => Self::Nonce,
            "/host/request" => Self::Request,
            "/host/answer" => Self::Answer,
            "/host/object" => Self::Object,
            "/host/register" => Self::Register,
            _ => return None,
        })
    }
}

enum File {
    Stdin,
    Log,
    Toolchain(std::fs::File, u64),
    Bytes(Arc<[u8]>),
    Scratch(String),
    /// What has been written so far to a channel.
    Channel(Channel, Vec<u8>),
    Directory(String, Option<Vec<(String, bool)>>),
}

struct Open {
    file: File,
    position: u64,
    append: bool,
    write: bool,
}

/// What `stat` tells of a file.
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) size: u64,
    pub(crate) inode: u64,
}

const DIRECTORY: Stat = Stat { mode: 0o40555, size: 4096, inode: 1 };

/// The file system of one guest.
pub(crate) struct Vfs {
    toolchain: PathBuf,
    inputs: BTreeMap<String, Arc<[u8]>>,
    scratch: BTreeMap<String, Vec<u8>>,
    descriptors: HashMap<i32, Open>,
    working_directory: String,
    nonce: Option<String>,
    request: Option<Arc<[u8]>>,
    log: Vec<u8>,
    log_bytes: usize,
}

enum Node {
    Toolchain(PathBuf),
    Input(Arc<[u8]>),
    Scratch(String),
    Channel(Channel),
    Directory,
}

/// The absolute path without `.`, `..` and double slashes; `..` at the root stays there.
fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = vec![];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn below<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    path.strip_prefix(directory)?.strip_prefix('/')
}

impl Vfs {
    /// A file system with the toolchain's library from `toolchain` and `inputs` by absolute guest path.
    pub(crate) fn new(toolchain: PathBuf, inputs: BTreeMap<String, Arc<[u8]>>) -> Self {
        let standard = |file, write| Open { file, position: 0, append: false, write };
        Self {
            toolchain,
            inputs,
            scratch: BTreeMap::new(),
            descriptors: HashMap::from([
                (0, standard(File::Stdin, false)),
                (1, standard(File::Log, true)),
                (2, standard(File::Log, true)),
            ]),
            working_directory: SCRATCH.into(),
            nonce: None,
            request: None,
            log: vec![],
            log_bytes: LOG_BYTES,
        }
    }

    /// Sets the request, and the secret that an answer to it must begin with.
    pub(crate) fn set_request(&mut self, request: Arc<[u8]>, nonce: String) {
        self.request = Some(request);
        self.nonce = Some(nonce);
    }

    /// Keeps so many bytes of what the guest writes to its standard streams.
    pub(crate) fn set_log_bytes(&mut self, bytes: usize) {
        self.log_bytes = bytes;
    }

    /// Takes what the guest has written to its scratch, by absolute path, and to its standard streams.
    pub(crate) fn take_written(&mut self) -> (BTreeMap<String, Vec<u8>>, Vec<u8>) {
        (std::mem::take(&mut self.scratch), std::mem::take(&mut self.log))
    }

    /// The absolute path that `path` means relative to the directory `descriptor`.
    pub(crate) fn absolute(&self, descriptor: i32, path: &str) -> Result<String, i32> {
        if path.starts_with('/') {
            return Ok(normalize(path));
        }
        if descriptor == AT_CWD {
            return Ok(normalize(&format!("{}/{path}", self.working_directory)));
        }
        match self.descriptors.get(&descriptor).map(|o| &o.file) {
            Some(File::Directory(directory, _)) => Ok(normalize(&format!("{directory}/{path}"))),
            _ => Err(EBADF),
        }
    }

    fn find(&self, path: &str) -> Option<Node> {
        if path == TOOLCHAIN {
            return Some(Node::Toolchain(self.toolchain.clone()));
        }
        if let Some(rest) = below(path, TOOLCHAIN) {
            return Some(Node::Toolchain(self.toolchain.join(rest)));
        }
        if let Some(bytes) = self.inputs.get(path) {
            return Some(Node::Input(bytes.clone()));
        }
        if let Some(channel) = Channel::of(path) {
            return Some(Node::Channel(channel));
        }
        let inside = if path == "/" { "/".to_owned() } else { format!("{path}/") };
        let input = self.inputs.range(inside.clone()..).next().is_some_and(|(p, _)| p.starts_with(&inside));
        if below(path, SCRATCH).is_some() && !input {
            return Some(Node::Scratch(path.into()));
        }
        let fixed = ["/lib/", "/library/", "/work/", "/host/"].iter().any(|d| d.starts_with(&inside));
        (input || fixed).then_some(Node::Directory)
    }

    /// What `stat` says of `path`.
    pub(crate) fn stat(&self, path: &str) -> Result<Stat, i32> {
        match self.find(path).ok_or(ENOENT)? {
            Node::Toolchain(host) => {
                let found = std::fs::metadata(&host).map_err(|_| ENOENT)?;
                Ok(if found.is_dir() {
                    DIRECTORY
                } else {
                    Stat { mode: 0o100_444, size: found.len(), inode: 2 }
                })
            }
            Node::Input(bytes) => Ok(Stat { mode: 0o100_444, size: bytes.len() as u64, inode: 3 }),
            Node::Scratch(file) => match self.scratch.get(&file) {
                Some(bytes) => Ok(Stat { mode: 0o100_644, size: bytes.len() as u64, inode: 4 }),
                None => Err(ENOENT),
            },
            Node::Channel(_) => Ok(Stat { mode: 0o100_644, size: 0, inode: 5 }),
            Node::Directory if path == SCRATCH => Ok(Stat { mode: 0o40755, ..DIRECTORY }),
            Node::Directory => Ok(DIRECTORY),
        }
    }

    /// What `fstat` says of an open file.
    pub(crate) fn fstat(&self, descriptor: i32) -> Result<Stat, i32> {
        let open = self.descriptors.get(&descriptor).ok_or(EBADF)?;
        let file = |mode, size| Stat { mode, size, inode: 6 };
        Ok(match &open.file {
            File::Stdin | File::Log | File::Channel(..) => file(0o20666, 0),
            File::Toolchain(_, size) => file(0o100_444, *size),
            File::Bytes(bytes) => file(0o100_444, bytes.len() as u64),
            File::Scratch(path) => file(0o100_644, self.scratch.get(path).map_or(0, |b| b.len() as u64)),
            File::Directory(..) => DIRECTORY,
        })
    }

    fn add(&mut self, file: File, append: bool, write: bool) -> i32 {
        let descriptor = (3..).find(|d| !self.descriptors.contains_key(d)).unwrap_or(i32::MAX);
        self.descriptors.insert(descriptor, Open { file, position: 0, append, write });
        descriptor
    }

    /// Opens `path` with `open(2)`'s flags.
    pub(crate) fn open(&mut self, path: &str, flags: i32) -> Result<i32, i32> {
        let write = flags & O_ACCMODE != 0;
        if path == "/dev/urandom" && !write {
            // The same bytes each time, on purpose: copies of a guest must not differ. Hash seeds ask for them.
            return Ok(self.add(File::Bytes((0..=255).collect()), false, false));
        }
        match self.find(path).ok_or(if write { EACCES } else { ENOENT })? {
            Node::Toolchain(_) | Node::Input(_) if write || flags & O_TRUNC != 0 => Err(EROFS),
            Node::Toolchain(host) => {
                let found = std::fs::metadata(&host).map_err(|_| ENOENT)?;
                if found.is_dir() {
                    return Ok(self.add(File::Directory(path.into(), None), false, false));
                }
                if flags & O_DIRECTORY != 0 {
                    return Err(ENOTDIR);
                }
                let file = std::fs::File::open(&host).map_err(|_| EACCES)?;
                Ok(self.add(File::Toolchain(file, found.len()), false, false))
            }
            Node::Input(bytes) => Ok(self.add(File::Bytes(bytes), false, false)),
            Node::Scratch(file) => {
                let there = self.scratch.contains_key(&file);
                if !there && flags & O_CREAT == 0 {
                    return Err(ENOENT);
                }
                if there && flags & O_EXCL != 0 {
                    return Err(EEXIST);
                }
                if !there || flags & O_TRUNC != 0 {
                    self.scratch.insert(file.clone(), vec![]);
                }
                Ok(self.add(File::Scratch(file), flags & O_APPEND != 0, write))
            }
            Node::Directory if write => Err(EISDIR),
            Node::Directory => Ok(self.add(File::Directory(path.into(), None), false, false)),
            Node::Channel(Channel::Nonce) => {
                let nonce = self.nonce.take().ok_or(ENOENT)?;
                Ok(self.add(File::Bytes(nonce.into_bytes().into()), false, false))
            }
            Node::Channel(Channel::Request) => {
                let request = self.request.take().ok_or(ENOENT)?;
                Ok(self.add(File::Bytes(request), false, false))
            }
            Node::Channel(channel) => Ok(self.add(File::Channel(channel, vec![]), true, true)),
        }
    }

    /// Forgets all files but the toolchain's.
    pub(crate) fn leave(&mut self) {
        self.inputs.clear();
        self.scratch.clear();
        self.descriptors.clear();
        self.request = None;
    }

    /// Closes a file; what was written to a channel is handed back.
    pub(crate) fn close(&mut self, descriptor: i32) -> Result<Option<(Channel, Vec<u8>)>, i32> {
        match self.descriptors.remove(&descriptor).ok_or(EBADF)?.file {
            File::Channel(channel, bytes) => Ok(Some((channel, bytes))),
            _ => Ok(None),
        }
    }

    /// Whether the descriptor is a directory; `EBADF` if it is not open.
    pub(crate) fn is_directory(&self, descriptor: i32) -> Result<bool, i32> {
        self.descriptors.get(&descriptor).map(|o| matches!(o.file, File::Directory(..))).ok_or(EBADF)
    }

    /// Reads from `at`, or from the file's position, which then moves.
    pub(crate) fn read(&mut self, descriptor: i32, buffer: &mut [u8], at: Option<u64>) -> Result<usize, i32> {
        let open = self.descriptors.get_mut(&descriptor).ok_or(EBADF)?;
        let position = at.unwrap_or(open.position);
        let copy = |bytes: &[u8], buffer: &mut [u8]| {
            let rest = &bytes[(position as usize).min(bytes.len())..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            count
        };
        let count = match &open.file {
            File::Stdin => 0,
            File::Toolchain(file, _) => file.read_at(buffer, position).map_err(|_| EINVAL)?,
            File::Bytes(bytes) => copy(bytes, buffer),
            File::Scratch(path) => copy(self.scratch.get(path).map_or(&[][..], |b| b), buffer),
            File::Directory(..) => return Err(EISDIR),
            File::Log | File::Channel(..) => return Err(EBADF),
        };
        if at.is_none() {
            open.position += count as u64;
        }
        Ok(count)
    }

    /// Writes at `at`, or at the file's position, which then moves.
    pub(crate) fn write(&mut self, descriptor: i32, bytes: &[u8], at: Option<u64>) -> Result<usize, i32> {
        let used: usize = self.scratch.values().map(Vec::len).sum();
        let open = self.descriptors.get_mut(&descriptor).ok_or(EBADF)?;
        if !open.write {
            return Err(EBADF);
        }
        match &mut open.file {
            File::Log => {
                let room = self.log_bytes.saturating_sub(self.log.len());
                self.log.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            File::Channel(_, written) => {
                if written.len() + bytes.len() > SCRATCH_BYTES {
                    return Err(ENOSPC);
                }
                written.extend_from_slice(bytes);
            }
            File::Scratch(path) => {
                let file = self.scratch.entry(path.clone()).or_default();
                let position =
                    at.unwrap_or(if open.append { file.len() as u64 } else { open.position }) as usize;
                let end = position.saturating_add(bytes.len());
                if (used - file.len()).saturating_add(end.max(file.len())) > SCRATCH_BYTES {
                    return Err(ENOSPC);
                }
                if file.len() < end {
                    file.resize(end, 0);
                }
                file[position..end].copy_from_slice(bytes);
                if at.is_none() {
                    open.position = end as u64;
                }
            }
            _ => return Err(EBADF),
        }
        Ok(bytes.len())
    }

    /// Moves the file's position as `lseek` does.
    pub(crate) fn seek(&mut self, descriptor: i32, offset: i64, whence: i32) -> Result<u64, i32> {
        let end = self.fstat(descriptor)?.size as i64;
        let open = self.descriptors.get_mut(&descriptor).ok_or(EBADF)?;
        if matches!(open.file, File::Stdin | File::Log | File::Channel(..)) {
            return Err(ESPIPE);
        }
        let from = match whence {
            0 => 0,
            1 => open.position as i64,
            2 => end,
            _ => return Err(EINVAL),
        };
        let target = from.checked_add(offset).filter(|t| *t >= 0).ok_or(EINVAL)?;
        open.position = target as u64;
        Ok(open.position)
    }

    /// Removes a scratch file.
    pub(crate) fn remove(&mut self, path: &str) -> Result<(), i32> {
        self.scratch.remove(path).map(drop).ok_or(EACCES)
    }

    /// Renames a scratch file within the scratch.
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), i32> {
        if below(to, SCRATCH).is_none() {
            return Err(EACCES);
        }
        let bytes = self.scratch.remove(from).ok_or(EACCES)?;
        self.scratch.insert(to.into(), bytes);
        Ok(())
    }

    /// Changes the working directory.
    pub(crate) fn change_directory(&mut self, path: String) -> Result<(), i32> {
        if self.stat(&path)?.mode & 0o40000 == 0 {
            return Err(ENOTDIR);
        }
        self.working_directory = path;
        Ok(())
    }

    /// The working directory.
    pub(crate) fn working_directory(&self) -> &str {
        &self.working_directory
    }

    /// Up to `most` directory entries from the current position: name, whether a directory, next offset.
    pub(crate) fn entries(&mut self, descriptor: i32, most: usize) -> Result<Vec<(String, bool, u64)>, i32> {
        let Some(File::Directory(path, list)) = self.descriptors.get(&descriptor).map(|o| &o.file) else {
            return Err(if self.descriptors.contains_key(&descriptor) { ENOTDIR } else { EBADF });
        };
        let listed = match list {
            Some(listed) => listed.clone(),
            None => self.list(path)?,
        };
        let open = self.descriptors.get_mut(&descriptor).ok_or(EBADF)?;
        let start = ((open.position / DIRENT_BYTES) as usize).min(listed.len());
        let end = listed.len().min(start + most);
        open.position = end as u64 * DIRENT_BYTES;
        let entries = listed[start..end]
            .iter()
            .enumerate()
            .map(|(k, (name, directory))| (name.clone(), *directory, (start + k + 1) as u64 * DIRENT_BYTES))
            .collect();
        if let File::Directory(_, list) = &mut open.file {
            *list = Some(listed);
        }
        Ok(entries)
    }

    fn list(&self, path: &str) -> Result<Vec<(String, bool)>, i32> {
        let mut found = vec![(".".to_owned(), true), ("..".to_owned(), true)];
        if let Some(Node::Toolchain(host)) = self.find(path) {
            for entry in std::fs::read_dir(host).map_err(|_| ENOENT)?.flatten() {
                let directory = entry.file_type().is_ok_and(|t| t.is_dir());
                found.push((entry.file_name().to_string_lossy().into_owned(), directory));
            }
            return Ok(found);
        }
        for file in self.inputs.keys().chain(self.scratch.keys()) {
            let Some(rest) = below(file, path) else { continue };
            let entry = match rest.split_once('/') {
                Some((directory, _)) => (directory.to_owned(), true),
                None => (rest.to_owned(), false),
            };
            if !found.contains(&entry) {
                found.push(entry);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests;
