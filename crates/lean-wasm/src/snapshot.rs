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
use crate::pages::{PAGE, Pagemap};

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
    view: Arc<OnceLock<View>>,
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
        Ok(Self { base, layer: None, pages, globals, action, view: Arc::default() })
    }

    /// Whether both are the same state, not only alike.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.view, &other.view)
    }

    /// Puts a private view of the snapshot over a new guest's memory, which has at least `pages` pages.
    pub(crate) fn map_over(&self, memory: &GuestMemory) -> Result<()> {
        let room = memory.len();
        if room < self.length() {
            bail!("a copy needs {} pages of memory", self.pages);
        }
        let start = memory.shared().data().as_ptr().cast_mut().cast::<u8>();
        // SAFETY: the `room` bytes from `start` are this guest's own memory, and nothing has run in the guest yet, so no
        // reference into them exists. wasmtime keeps the memory's address for life and treats its content as volatile; that
        // replacing the pages beneath is safe is not promised by its API but holds for the pinned version (a test runs copies,
        // and `Cargo.toml` pins it). Protection stays as it was: read and write. When wasmtime drops the memory it unmaps the
        // whole reservation, these mappings included.
        unsafe { self.map_at(start, room, libc::PROT_READ | libc::PROT_WRITE) }
    }

    fn length(&self) -> usize {
        self.pages as usize * WASM_PAGE
    }

    /// Maps the base and the layers, oldest first, over `room` bytes from `start`.
    ///
    /// # Safety
    /// These bytes must be mapped, the caller's own, and without any reference into them.
    unsafe fn map_at(&self, start: *mut u8, room: usize, protection: i32) -> Result<()> {
        let map = |guest: usize, file: &File, offset: usize, length: usize| {
            let end = guest.checked_add(length);
            if !guest.is_multiple_of(PAGE) || !offset.is_multiple_of(PAGE) || end.is_none_or(|end| end > room)
            {
                bail!("a snapshot reaches beyond its memory");
            }
            // SAFETY: the target lies within the bytes that the caller vouches for (checked above), at whole pages.
            let mapped = unsafe {
                libc::mmap(
                    start.add(guest).cast(),
                    length,
                    protection,
                    libc::MAP_PRIVATE | libc::MAP_FIXED,
                    file.as_raw_fd(),
                    offset as libc::off_t,
                )
            };
            if mapped == libc::MAP_FAILED {
                bail!("cannot map a snapshot: {}", std::io::Error::last_os_error());
            }
            Ok(())
        };
        map(0, &self.base.file, 0, self.base.length)?;
        let mut layers: Vec<&Layer> =
            std::iter::successors(self.layer.as_deref(), |layer| layer.below.as_deref()).collect();
        while let Some(layer) = layers.pop() {
            for run in &layer.runs {
                map(run.guest, &layer.file, run.file, run.length)?;
            }
        }
        Ok(())
    }

    /// What a copy's memory holds before anything runs, to be read.
    pub(crate) fn view(&self) -> Result<&View> {
        if let Some(view) = self.view.get() {
            return Ok(view);
        }
        let made = View::reserve(self.length())?;
        // SAFETY: the reservation is new and nobody else's.
        unsafe { self.map_at(made.start, made.length, libc::PROT_READ)? };
        Ok(self.view.get_or_init(|| made))
    }

    /// A snapshot of a copy of this one: the pages that the copy has written to go to a file in memory.
    pub(crate) fn layer(
        &self,
        memory: &GuestMemory,
        pagemap: &Pagemap,
        globals: Vec<(String, i32)>,
        action: u32,
    ) -> Result<Self, Error> {
        let failed = Error::wasm("save a copy's memory");
        let length = memory.len();
        let mut runs: Vec<Run> = vec![];
        for pages in pagemap.written(memory.shared().data().as_ptr() as usize, length)? {
            match runs.last_mut() {
                Some(run) if pages.start - (run.guest + run.length) <= GAP => {
                    run.length = pages.end - run.guest;
                }
                _ => runs.push(Run { guest: pages.start, file: 0, length: pages.len() }),
            }
        }
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
        let pages = (length / WASM_PAGE) as u32;
        Ok(Self { base: self.base.clone(), layer, pages, globals, action, view: Arc::default() })
    }

    /// Bytes of memory that a copy begins with.
    pub fn memory_bytes(&self) -> u64 {
        self.length() as u64
    }

    /// Bytes that this snapshot adds to what it was a copy of.
    pub fn layer_bytes(&self) -> u64 {
        self.layer.as_ref().map_or(0, |layer| layer.runs.iter().map(|r| r.length as u64).sum())
    }
}

/// A snapshot mapped to be read.
pub(crate) struct View {
    start: *mut u8,
    length: usize,
}

// SAFETY: the mapping is private, never written to and unmapped only when dropped.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    fn reserve(length: usize) -> Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            bail!("cannot map a snapshot: {}", std::io::Error::last_os_error());
        }
        Ok(Self { start: start.cast(), length })
    }

    /// The snapshot's memory. Behind it a copy has zeros.
    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped as long as `self` lives, and nobody writes to them: a base is never written to once
        // its image is in place, a layer's file has no name.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own; references into it borrow it.
        unsafe { libc::munmap(self.start.cast(), self.length) };
    }
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
