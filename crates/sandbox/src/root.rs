//! The private root of a mount namespace.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

use crate::{Error, Guest};

/// Where the new root lies until it is the root.
const STAGE: &str = "/tmp";
/// The largest number that a program may have which a worker starts: they are counted from 1, threads too.
const MOST_NUMBER: u32 = 32;

/// Makes an empty root in which only the directories `readable` are, read-only and with their own paths, and what a guest needs beside: memory
/// that it can write to, and links that tell it which program it is. The caller is alone in its mount namespace.
pub(crate) fn make(readable: &[PathBuf], guest: Option<(&Guest, &Path)>) -> Result<(), Error> {
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .map_err(Error::confine("keep mounts to itself"))?;
    // Opened now: the new root may cover them.
    let held = readable.iter().map(|path| hold(path)).collect::<Result<Vec<File>, Error>>()?;
    let empty = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), STAGE, Some("tmpfs"), empty, Some("size=1m,mode=0755"))
        .map_err(Error::confine(format!("mount an empty root on `{STAGE}`")))?;
    for (path, file) in readable.iter().zip(&held) {
        let failed = || Error::confine::<nix::Error>(format!("show `{}` read-only", path.display()));
        let target = Path::new(STAGE).join(path.strip_prefix("/").unwrap_or(path));
        std::fs::create_dir_all(&target)
            .map_err(Error::confine(format!("make a place for `{}`", path.display())))?;
        let source = format!("/proc/self/fd/{}", file.as_raw_fd());
        mount(Some(source.as_str()), &target, none, MsFlags::MS_BIND, none).map_err(failed())?;
        let flags = MsFlags::MS_BIND
            | MsFlags::MS_REMOUNT
            | MsFlags::MS_RDONLY
            | MsFlags::MS_NOSUID
            | MsFlags::MS_NODEV
            | kept(&target).map_err(failed())?;
        mount(none, &target, none, flags, none).map_err(failed())?;
    }
    if let Some((guest, scratch)) = guest {
        let target = Path::new(STAGE).join(scratch.strip_prefix("/").unwrap_or(scratch));
        std::fs::create_dir_all(&target).map_err(Error::confine("make a place for what is written"))?;
        let memory = format!("size={},mode=0777", guest.scratch);
        mount(Some("tmpfs"), &target, Some("tmpfs"), empty, Some(memory.as_str()))
            .map_err(Error::confine("mount memory for what is written"))?;
        link_program(&guest.program).map_err(Error::confine("say which program it is"))?;
    }
    let failed = || Error::confine::<nix::Error>("change to the empty root");
    chdir(STAGE).map_err(failed())?;
    pivot_root(".", ".").map_err(failed())?;
    umount2(".", MntFlags::MNT_DETACH).map_err(failed())?;
    chdir("/").map_err(failed())?;
    mount(none, "/", none, empty | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)
        .map_err(failed())
}

/// Programs find their own files by `/proc/self/exe`. There is no `/proc` here; a few links stand for all that is asked of it.
fn link_program(program: &Path) -> std::io::Result<()> {
    let proc = Path::new(STAGE).join("proc");
    let numbers = (1..=MOST_NUMBER).map(|number| number.to_string());
    for process in numbers.chain(["self".to_owned()]) {
        let folder = proc.join(process);
        std::fs::create_dir_all(&folder)?;
        std::os::unix::fs::symlink(program, folder.join("exe"))?;
    }
    Ok(())
}

fn hold(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
        .open(path)
        .map_err(Error::confine(format!("find `{}`", path.display())))
}

/// Flags of a mount that a user namespace may not take away.
fn kept(path: &Path) -> nix::Result<MsFlags> {
    let now = statvfs(path)?.flags();
    let pairs = [
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    Ok(pairs.into_iter().filter(|(flag, _)| now.contains(*flag)).map(|(_, kept)| kept).collect())
}
