//! Processes as the system shows them: whose children they are, in which control groups, and their ends as events.
#![allow(unsafe_code)] // `pidfd_open`, which has no safe wrapper here, and `pre_exec`

use std::io::{Error, Result};
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The direct children of a process, the dead among them left out.
pub fn children(of: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parent = of.to_string();
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        fields.next().is_some_and(|state| state != "Z") && fields.next() == Some(&parent)
    };
    numbers.filter(is_child).collect()
}

/// All that a process has started, and what those have.
pub fn descendants(of: u32) -> Vec<u32> {
    children(of).into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// Processor time that a process has taken, in clock ticks; 0 when there is none.
pub fn ticks(of: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{of}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    fields.get(11..13).map_or(0, |times| times.iter().filter_map(|time| time.parse::<u64>().ok()).sum())
}

/// The control groups in which a launcher (`atlas-sandbox`) has put its worker: a directory in each hierarchy of `/sys/fs/cgroup`.
pub fn groups_of_launcher(pid: u32) -> Vec<PathBuf> {
    fn below(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name() == name {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                below(&entry.path(), name, found);
            }
        }
    }
    let mut found = vec![];
    below(Path::new("/sys/fs/cgroup"), &format!("atlas-worker-{pid}"), &mut found);
    found
}

/// Has a process that this one will start end with it, however it ends. To be started from a thread that lives as long: a worker of the
/// runtime.
pub fn end_with_this(command: &mut tokio::process::Command) {
    // SAFETY: between fork and exec this makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?));
    }
}

/// A process that is waited for by others than its parent. Its number may be used anew meanwhile.
pub struct Watched(OwnedFd);

impl Watched {
    /// Begins to watch.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn begin(pid: u32) -> Result<Self> {
        // SAFETY: takes numbers; what comes back is a new descriptor or an error.
        let descriptor = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0) };
        match i32::try_from(descriptor) {
            // SAFETY: the kernel has just opened it for this process, and nothing else here knows it.
            Ok(descriptor) if descriptor >= 0 => Ok(Self(unsafe { OwnedFd::from_raw_fd(descriptor) })),
            _ => Err(Error::last_os_error()),
        }
    }

    /// Waits for its end, and says whether that came within `patience` (whole milliseconds, at most half a minute).
    pub fn ends_within(&self, patience: Duration) -> bool {
        let patience = PollTimeout::from(u16::try_from(patience.as_millis()).unwrap_or(30_000));
        poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], patience) == Ok(1)
    }
}
