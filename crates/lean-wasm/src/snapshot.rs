//! Warm guests, saved and copied.
//!
//! A base is a file with the whole memory of a guest that has returned from `main`; a layer is what a copy of a base has
//! changed since. A copy maps the base privately (copy-on-write) over its own memory and the layer over that.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

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
    /// The file, mapped read-only, to find what a copy has changed.
    view: View,
}

struct Layer {
    file: File,
    runs: Vec<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    guest: usize,
    file: usize,
    length: usize,
}

/// A file mapped read-only.
struct View {
    address: *mut libc::c_void,
    length: usize,
}
// SAFETY: the mapping is read-only, private and lives as long as the value.
unsafe impl Send for View {}
// SAFETY: as above: shared reads only.
unsafe impl Sync for View {}

impl View {
    fn new(file: &File, length: usize) -> std::io::Result<Self> {
        // SAFETY: a fresh private read-only mapping at an address of the kernel's choice touches nothing else.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Self { address, length })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped readable for as long as `self` lives; the image's file is not written
        // after it was put in place (`image` renames finished files only).
        unsafe { std::slice::from_raw_parts(self.address.cast::<u8>(), self.length) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: unmaps exactly what `new` mapped; no slice of it outlives `self`.
        unsafe { libc::munmap(self.address, self.length) };
    }
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
        let view = View::new(&file, length as usize).map_err(Error::io("map", path))?;
        Ok(Self { base: Arc::new(Base { file, view }), layer: None, pages, globals, action })
    }

    /// Puts a private view of the snapshot over a new guest's memory, which has `pages` pages.
    pub(crate) fn map_over(&self, memory: &GuestMemory) -> Result<()> {
        if memory.len() != self.pages as usize * WASM_PAGE {
            bail!("a copy needs {} pages of memory", self.pages);
        }
        map(memory, 0, &self.base.file, 0, self.base.view.length)?;
        if let Some(layer) = &self.layer {
            for run in &layer.runs {
                map(memory, run.guest, &layer.file, run.file, run.length)?;
            }
        }
        Ok(())
    }

    /// A snapshot of a copy of this one: what differs from the base goes to an unnamed file in `directory`.
    pub(crate) fn layer(
        &self,
        memory: &GuestMemory,
        globals: Vec<(String, i32)>,
        action: u32,
        directory: &Path,
    ) -> Result<Self, Error> {
        let bytes = memory.bytes(0, memory.len()).map_err(Error::wasm("read the guest's memory"))?;
        let base = self.base.view.bytes();
        let mut runs: Vec<Run> = vec![];
        for start in (0..bytes.len()).step_by(PAGE) {
            let page = &bytes[start..start + PAGE];
            let same = match base.get(start..start + PAGE) {
                Some(before) => before == page,
                None => page.iter().all(|b| *b == 0),
            };
            if same {
                continue;
            }
            match runs.last_mut() {
                Some(run) if start - (run.guest + run.length) <= GAP => run.length = start + PAGE - run.guest,
                _ => runs.push(Run { guest: start, file: 0, length: PAGE }),
            }
        }
        let file = tempfile::tempfile_in(directory).map_err(Error::io("create a file in", directory))?;
        let mut at = 0;
        for run in &mut runs {
            run.file = at;
            file.write_all_at(&bytes[run.guest..run.guest + run.length], at as u64)
                .map_err(Error::io("write a file in", directory))?;
            at += run.length;
        }
        let pages = (bytes.len() / WASM_PAGE) as u32;
        let layer = Some(Arc::new(Layer { file, runs }));
        Ok(Self { base: self.base.clone(), layer, pages, globals, action })
    }

    /// Bytes that this snapshot adds to its base.
    pub fn layer_bytes(&self) -> u64 {
        self.layer.as_ref().map_or(0, |layer| layer.runs.iter().map(|r| r.length as u64).sum())
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
