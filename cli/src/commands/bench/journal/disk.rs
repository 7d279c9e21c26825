//! What reaches the disk, as far as the system tells; and a bare file.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use atlas_bus::bench::Figures;

/// In a device's `stat`: requests to write through its cache (Documentation/ABI/stable/sysfs-block of Linux, since 5.5).
const FLUSHES: usize = 15;

/// Counts since a process or the system began.
#[derive(Debug, Clone, Copy)]
pub struct Traffic {
    /// Bytes that processes have had written.
    pub written: Option<u64>,
    /// Flushes of a whole device: what a synced write ends in, several at once in one.
    pub flushes: Option<u64>,
}

impl Traffic {
    /// Of processes whose files lie in `folder`.
    pub fn now(processes: &[u32], folder: &Path) -> Self {
        let written = |pid: &u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
            text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse::<u64>().ok())
        };
        let flushes = || {
            let text = std::fs::read_to_string(device(folder)?.join("stat")).ok()?;
            text.split_whitespace().nth(FLUSHES)?.parse().ok()
        };
        Self { written: processes.iter().map(written).sum(), flushes: flushes() }
    }

    /// What has come since `before`.
    pub fn since(self, before: Self) -> Self {
        let since = |now: Option<u64>, before: Option<u64>| Some(now?.saturating_sub(before?));
        Self { written: since(self.written, before.written), flushes: since(self.flushes, before.flushes) }
    }
}

/// The block device that a folder lies on, whole; none for a file system without one.
pub fn device(folder: &Path) -> Option<PathBuf> {
    let number = std::fs::metadata(folder).ok()?.dev();
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    let device = std::fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    // A partition lies below its device, and does not count flushes.
    if device.join("partition").exists() { device.parent().map(Path::to_owned) } else { Some(device) }
}

/// Writes `bytes` to a file and has them on disk, again and again for `time`.
///
/// # Errors
/// As the system says.
pub fn file(path: &Path, bytes: usize, time: Duration) -> std::io::Result<Figures> {
    let (mut file, record) = (File::create(path)?, vec![0; bytes]);
    let (mut each, begun) = (vec![], Instant::now());
    while begun.elapsed() < time {
        let at = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        each.push(at.elapsed());
    }
    Ok(Figures { each, elapsed: begun.elapsed() })
}
