//! Warm guests, saved and copied.
//!
//! A base is a file with the whole memory of a guest that has returned from `main`; a layer is what a copy of a snapshot has
//! changed since. A copy maps the base privately (copy-on-write) over its own memory, and over that one layer after the other.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use wasmtime::{Result, bail};

use crate::Error;
use crate::memory::{GuestMemory, WASM_PAGE};

/// Granularity of saving: the system's page.
const PAGE: usize = 4096;
/// Runs of changed pages closer than this are saved as one: a mapping costs more than a few copied pages.
const GAP: usize = 32 * PAGE;

/// A warm guest: no frame on any stack, and an action to run in each copy.
#[derive(Clone)]
pub struct Snapshot {
    base: Arc<Base>,
    layer: Option<Arc<Layer>>,
    /// WebAssembly pages of memory.
    pub(crate) pages: u32,
    pub(crate) globals: Vec<(String, i32)>,
    pub(crate) action: u32,
}

struct Base {
    file: File,
    /// Bytes.
    length: usize,
}

/// What one copy changed.
struct Layer {
    /// What that was a copy of, if not the base.
    below: Option<Arc<Layer>>,
    file: File,
    runs: Vec<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    guest: usize,
    file: usize,
    length: usize,
}

/// Writes a guest's memory as a sparse file: pages of zeros stay holes.
pub(crate) fn save(memory: &GuestMemory, path: &Path) -> Result<(), Error> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let length = memory.len();
    file.set_len(length as u64).map_err(Error::io("size", path))?;
    let bytes = memory.bytes(0, length).map_err(Error::wasm("read the guest's memory"))?;
    for (k, page) in bytes.chunks(PAGE).enumerate() {
        if page.iter().any(|b| *b != 0) {
            file.write_all_at(page, (k * PAGE) as u64).map_err(Error::io("write", path))?;
        }
    }
    file.sync_all().map_err(Error::io("write", path))
}

impl Snapshot {
    /// The base at `path`.
    pub(crate) fn open(
        path: &Path,
        pages: u32,
        globals: Vec<(String, i32)>,
        action: u32,
    ) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        if length != u64::from(pages) * WASM_PAGE as u64 {
            let reason = format!("the snapshot has {length} bytes, expected {pages} pages");
            return Err(Error::Image { path: path.into(), reason });
        }
        let base = Arc::new(Base { file, length: length as usize });
        Ok(Self { base, layer: None, pages, globals, action })
    }

    /// Puts a private view of the snapshot over a new guest's memory, which has `pages` pages.
    pub(crate) fn map_over(&self, memory: &GuestMemory) -> Result<()> {
        if memory.len() != self.pages as usize * WASM_PAGE {
            bail!("a copy needs {} pages of memory", self.pages);
        }
        map(memory, 0, &self.base.file, 0, self.base.length)?;
        let mut layers: Vec<&Layer> =
            std::iter::successors(self.layer.as_deref(), |layer| layer.below.as_deref()).collect();
        while let Some(layer) = layers.pop() {
            for run in &layer.runs {
                map(memory, run.guest, &layer.file, run.file, run.length)?;
            }
        }
        Ok(())
    }

    /// A snapshot of a copy of this one: the pages that the copy has written to go to a file in memory.
    pub(crate) fn layer(
        &self,
        memory: &GuestMemory,
        globals: Vec<(String, i32)>,
        action: u32,
    ) -> Result<Self, Error> {
        let failed = Error::wasm("save a copy's memory");
        let length = memory.len();
        let mut runs = written(memory).map_err(Error::io("read", Path::new(PAGEMAP)))?;
        let file = memfd().map_err(Error::io("create", Path::new("a file in memory")))?;
        let bytes = memory.bytes(0, length).map_err(failed)?;
        let mut at = 0;
        for run in &mut runs {
            run.file = at;
            file.write_all_at(&bytes[run.guest..run.guest + run.length], at as u64)
                .map_err(Error::io("write", Path::new("a file in memory")))?;
            at += run.length;
        }
        let layer = Some(Arc::new(Layer { below: self.layer.clone(), file, runs }));
        Ok(Self { base: self.base.clone(), layer, pages: (length / WASM_PAGE) as u32, globals, action })
    }

    /// Bytes that this snapshot adds to what it was a copy of.
    pub fn layer_bytes(&self) -> u64 {
        self.layer.as_ref().map_or(0, |layer| layer.runs.iter().map(|r| r.length as u64).sum())
    }
}

/// Where the kernel tells what lies behind each page of a process.
const PAGEMAP: &str = "/proc/self/pagemap";

/// The file, opened once: a confined process will not find it again.
static OWN_PAGEMAP: OnceLock<File> = OnceLock::new();

/// Opens what warm guests cannot be saved without, for a process that is about to lose sight of its files.
///
/// # Errors
/// When `/proc` is not there.
pub fn hold_pagemap() -> std::io::Result<()> {
    pagemap().map(drop)
}

fn pagemap() -> std::io::Result<&'static File> {
    match OWN_PAGEMAP.get() {
        Some(file) => Ok(file),
        None => File::open(PAGEMAP).map(|file| OWN_PAGEMAP.get_or_init(|| file)),
    }
}

/// The pages of a copy that have been written to since its snapshot was mapped, in runs. A written page of a private mapping
/// is the process's own, no longer the file's: bit 61 of its entry (Linux, admin-guide/mm/pagemap) is then clear and bit 63, or for
/// a swapped page 62, set. Of what the copy's memory has grown by, every page that there is counts.
fn written(memory: &GuestMemory) -> std::io::Result<Vec<Run>> {
    const PRESENT: u64 = 1 << 63;
    const SWAPPED: u64 = 1 << 62;
    const OF_A_FILE: u64 = 1 << 61;
    let length = memory.len();
    let mut entries = vec![0; length / PAGE * 8];
    let first = memory.shared().data().as_ptr() as u64 / PAGE as u64;
    pagemap()?.read_exact_at(&mut entries, first * 8)?;
    let mut runs: Vec<Run> = vec![];
    for (k, entry) in entries.chunks_exact(8).enumerate() {
        let entry = u64::from_le_bytes(entry.try_into().unwrap_or_default());
        let start = k * PAGE;
        if entry & (PRESENT | SWAPPED) == 0 || entry & OF_A_FILE != 0 {
            continue;
        }
        match runs.last_mut() {
            Some(run) if start - (run.guest + run.length) <= GAP => run.length = start + PAGE - run.guest,
            _ => runs.push(Run { guest: start, file: 0, length: PAGE }),
        }
    }
    Ok(runs)
}

/// A file that lies in memory and has no name.
fn memfd() -> std::io::Result<File> {
    // SAFETY: the name is a C string, and the descriptor that comes back is nobody else's.
    unsafe {
        let descriptor = libc::memfd_create(c"atlas-layer".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(descriptor))
    }
}

fn map(memory: &GuestMemory, guest: usize, file: &File, offset: usize, length: usize) -> Result<()> {
    let end = guest.checked_add(length);
    if !guest.is_multiple_of(PAGE) || !offset.is_multiple_of(PAGE) || end.is_none_or(|end| end > memory.len())
    {
        bail!("a snapshot reaches beyond its memory");
    }
    let base = memory.shared().data().as_ptr().cast_mut();
    // SAFETY: the target range lies inside this guest's own memory (checked above), at whole system pages, and nothing
    // has run in the guest yet, so no reference into the range exists. wasmtime keeps the memory's address for life and
    // treats its content as volatile; that replacing the pages beneath is safe is not promised by its API but holds for
    // the pinned version (a test runs copies, and `Cargo.toml` pins it). Protection stays as it was: read and write.
    // When wasmtime drops the memory it unmaps the whole reservation, this mapping included.
    let mapped = unsafe {
        libc::mmap(
            base.add(guest).cast(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_FIXED,
            file.as_raw_fd(),
            offset as libc::off_t,
        )
    };
    if mapped == libc::MAP_FAILED {
        bail!("cannot map a snapshot: {}", std::io::Error::last_os_error());
    }
    Ok(())
}
