//! The private root of a mount namespace.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, pivot_root};

use crate::Error;

/// Where the new root lies until it is the root.
const STAGE: &str = "/tmp";

/// Makes an empty root in which only the directories `readable` are, read-only and with their own paths. The caller is alone in its
/// mount namespace.
pub(crate) fn make(readable: &[PathBuf]) -> Result<(), Error> {
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
    let failed = || Error::confine::<nix::Error>("change to the empty root");
    chdir(STAGE).map_err(failed())?;
    pivot_root(".", ".").map_err(failed())?;
    umount2(".", MntFlags::MNT_DETACH).map_err(failed())?;
    chdir("/").map_err(failed())?;
    mount(none, "/", none, empty | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, none)
        .map_err(failed())
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
