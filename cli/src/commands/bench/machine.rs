//! The machine that figures are of, and what processes take of it.

use std::path::Path;
use std::time::Duration;

use nix::sys::stat::{major, minor, stat};
use nix::sys::time::TimeValLike as _;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Processors that this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Processors, their model, memory.
pub fn line() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (cpu, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    let gigabytes =
        total.and_then(|kilobytes| kilobytes.parse::<f64>().ok()).map(|kilobytes| kilobytes / 1e6);
    let model = model.map_or("unknown processor", |(_, model)| model);
    format!("{} cores, {model}, {:.0} GB", cores(), gigabytes.unwrap_or(f64::NAN))
}

/// Bytes of memory that a process holds; 0: there is none.
pub fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    line.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).map_or(0, |kilobytes| kilobytes * 1024)
}

/// Processor time that a process has taken; none: there is no such process.
pub fn cpu(process: u32) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(process.cast_signed()));
    let taken = clock.and_then(clock_gettime).map_or(0, |taken| taken.num_nanoseconds());
    Duration::from_nanos(taken.unsigned_abs())
}

/// Bytes that a folder takes on disk.
pub fn size(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(known) if known.is_dir() => size(&entry.path()),
        Ok(known) => known.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
}

/// Flushes of the disk that a folder is on, by all that the machine does: each sync of a file is one. 0: the system does not say.
pub fn flushes(folder: &Path) -> u64 {
    let Ok(device) = stat(folder).map(|stat| stat.st_dev) else { return 0 };
    let (major, minor) = (major(device).to_string(), minor(device).to_string());
    let disks = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let fields = disks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Flushes are the 16th of the statistics, which come after numbers and name (Linux, iostats.rst).
    let mut own = fields.filter(|fields| fields.len() > 18 && fields[0] == major && fields[1] == minor);
    own.next().and_then(|fields| fields[18].parse().ok()).unwrap_or_default()
}
