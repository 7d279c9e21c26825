//! Which pages of a private mapping are no longer the file's.

use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

use crate::Error;

/// Granularity: the system's page, bytes.
pub(crate) const PAGE: usize = 4096;

/// Where the kernel tells what lies behind each page of a process.
const PAGEMAP: &str = "/proc/self/pagemap";

/// This process's page map.
pub(crate) struct Pagemap(File);

/// The one that is opened once: a confined process will not find it again.
static OWN: OnceLock<Pagemap> = OnceLock::new();

/// Opens what copies cannot be put back nor saved without, for a process that is about to lose sight of its files.
///
/// # Errors
/// When `/proc` is not there.
pub fn hold_pagemap() -> std::io::Result<()> {
    Pagemap::own().map(drop)
}

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    most_regions: u64,
    most_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    reported: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `PAGEMAP_SCAN`, `_IOWR('f', 16, struct pm_scan_arg)`; Linux 6.7 and later.
const PAGEMAP_SCAN: u64 = 0xC060_6610;
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;
/// Regions that one call reports.
const REGIONS: usize = 2048;

impl Pagemap {
    /// The process's own.
    pub(crate) fn own() -> std::io::Result<&'static Self> {
        match OWN.get() {
            Some(own) => Ok(own),
            None => File::open(PAGEMAP).map(|file| OWN.get_or_init(|| Self(file))),
        }
    }

    /// The pages among `length` bytes from `address` that have been written to since a file was mapped there privately, as
    /// ranges of bytes from `address`. A written page of a private mapping is the process's own, no longer the file's. Of anonymous
    /// memory every page that there is counts.
    pub(crate) fn written(&self, address: usize, length: usize) -> Result<Vec<Range<usize>>, Error> {
        let scanned = match self.scan(address, length) {
            Err(cause) if matches!(cause.raw_os_error(), Some(libc::ENOTTY | libc::EINVAL | libc::EPERM)) => {
                self.read(address, length)
            }
            scanned => scanned,
        };
        scanned.map_err(Error::io("read", Path::new(PAGEMAP)))
    }

    fn scan(&self, address: usize, length: usize) -> std::io::Result<Vec<Range<usize>>> {
        let mut regions = vec![Region::default(); REGIONS];
        let (mut found, mut at, end) = (vec![], address as u64, (address + length) as u64);
        while at < end {
            let mut scan = Scan {
                size: size_of::<Scan>() as u64,
                flags: 0,
                start: at,
                end,
                walk_end: 0,
                regions: regions.as_mut_ptr() as u64,
                most_regions: REGIONS as u64,
                most_pages: 0,
                inverted: IS_FILE,
                all_of: IS_FILE,
                any_of: IS_PRESENT | IS_SWAPPED,
                reported: IS_FILE,
            };
            // SAFETY: `scan` and `regions` live across the call and have the layout and the length that they tell; the
            // kernel writes to nothing else.
            let count = unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN as _, &raw mut scan) };
            let count = usize::try_from(count).map_err(|_| std::io::Error::last_os_error())?;
            let offset = |at: u64| at as usize - address;
            found.extend(regions.iter().take(count).map(|r| offset(r.start)..offset(r.end)));
            if scan.walk_end <= at {
                return Err(std::io::Error::other("the scan of pages does not get on"));
            }
            at = scan.walk_end;
        }
        Ok(found)
    }

    /// The same for kernels without the call: bit 61 of an entry (Linux, admin-guide/mm/pagemap) says that a page is a
    /// file's, bit 63 that it is there, 62 that it is swapped.
    fn read(&self, address: usize, length: usize) -> std::io::Result<Vec<Range<usize>>> {
        const THERE: u64 = 1 << 63 | 1 << 62;
        const OF_A_FILE: u64 = 1 << 61;
        let mut entries = vec![0; length / PAGE * 8];
        self.0.read_exact_at(&mut entries, (address / PAGE * 8) as u64)?;
        let mut found: Vec<Range<usize>> = vec![];
        for (k, entry) in entries.chunks_exact(8).enumerate() {
            let entry = u64::from_le_bytes(entry.try_into().unwrap_or_default());
            if entry & THERE == 0 || entry & OF_A_FILE != 0 {
                continue;
            }
            let start = k * PAGE;
            match found.last_mut() {
                Some(last) if last.end == start => last.end += PAGE,
                _ => found.push(start..start + PAGE),
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_asking_find_the_same_pages() {
        let pages = 700;
        let file = tempfile::tempfile().unwrap();
        file.set_len((pages * PAGE) as u64).unwrap();
        // SAFETY: a new mapping of a file of this length; the pointer is used within it and it is unmapped at the end.
        unsafe {
            let flags = libc::MAP_PRIVATE;
            let protection = libc::PROT_READ | libc::PROT_WRITE;
            let at = libc::mmap(std::ptr::null_mut(), pages * PAGE, protection, flags, file.as_raw_fd(), 0);
            assert_ne!(at, libc::MAP_FAILED);
            let bytes = at.cast::<u8>();
            let read: u32 = (0..pages).map(|k| u32::from(bytes.add(k * PAGE).read_volatile())).sum();
            assert_eq!(read, 0);
            for page in [0, 1, 5, 699] {
                bytes.add(page * PAGE + 7).write_volatile(1);
            }
            let map = Pagemap::own().unwrap();
            let expected = vec![0..2 * PAGE, 5 * PAGE..6 * PAGE, 699 * PAGE..700 * PAGE];
            assert_eq!(map.read(at as usize, pages * PAGE).unwrap(), expected);
            assert_eq!(map.written(at as usize, pages * PAGE).unwrap(), expected);
            libc::munmap(at, pages * PAGE);
        }
    }
}
