//! Where copies live: a memory with a snapshot mapped over it, used by one copy after the other.
//!
//! Between two copies the memory is put back to what the snapshot holds. The kernel says which pages a copy has made its own
//! (`pages`); every other page still is the snapshot's. A page that copies write to again and again is written back in place,
//! which costs a tenth of dropping it and faulting it in again; one that lies unused goes.

use parking_lot::Mutex;
use std::sync::Arc;
use wasmtime::{Engine, Result, bail};

use crate::guest::{Guest, Setup, SharedGuest};
use crate::instances::Instances;
use crate::memory::GuestMemory;
use crate::pages::{PAGE, Pagemap};
use crate::snapshot::Snapshot;

/// Pages that a slot keeps for its next copy, at most: 16 MB.
const MOST_KEPT: usize = 4096;
/// A page goes when so many copies have left it as the snapshot has it.
const PATIENCE: u8 = 16;
/// Slots that no copy lives in, at most; of each the kept pages stay in memory.
const MOST_IDLE: usize = 8;
/// A slot is not used more often than this: whatever a guest could leave behind outside of its memory (native stacks that have
/// grown, objects of the host's runtime) goes with it.
const MOST_COPIES: u32 = 256;

/// A memory for copies of one snapshot.
pub(crate) struct Slot {
    of: Snapshot,
    guest: SharedGuest,
    memory: GuestMemory,
    instances: Instances,
    /// Bytes of the memory at a copy's start.
    length: usize,
    /// Of each page, how many copies have left it unused since it was last needed.
    unused: Vec<u8>,
    copies: u32,
}

impl Slot {
    /// A new slot for copies of `of`, with room for `spare` more WebAssembly pages than it has.
    pub(crate) fn new(engine: &Engine, of: &Snapshot, spare: u32, setup: Setup) -> Result<Self> {
        let memory = GuestMemory::new(engine, of.pages + spare)?;
        of.map_over(&memory)?;
        let length = memory.len();
        Ok(Self {
            of: of.clone(),
            guest: Arc::new(Mutex::new(Guest::new(memory.clone(), setup))),
            memory,
            instances: Instances::default(),
            length,
            unused: vec![0; length / PAGE],
            copies: 0,
        })
    }

    /// Whether a copy of `of` that begins with `spare` pages can live here.
    fn fits(&self, of: &Snapshot, spare: u32) -> bool {
        self.of.is(of) && self.length == (of.pages + spare) as usize * crate::memory::WASM_PAGE
    }

    /// Gives the next copy what it starts with.
    fn settle(&self, setup: Setup) {
        *self.guest.lock() = Guest::new(self.memory.clone(), setup);
    }

    pub(crate) fn guest(&self) -> &SharedGuest {
        &self.guest
    }

    pub(crate) fn instances(&self) -> &Instances {
        &self.instances
    }

    /// Makes the memory what it was when the last copy began.
    fn restore(&mut self, pagemap: &Pagemap) -> Result<()> {
        let view = self.of.view()?.bytes();
        let start = self.memory.shared().data().as_ptr() as usize;
        let written = pagemap.written(start, self.length).map_err(wasmtime::Error::from)?;
        let mut kept = 0;
        for page in written.into_iter().flat_map(|range| range.step_by(PAGE)) {
            // Behind the snapshot there are zeros; both end at whole pages.
            let was = view.get(page..page + PAGE).unwrap_or(&[0; PAGE]);
            let unused = &mut self.unused[page / PAGE];
            let keep = self.memory.update(page as u32, PAGE, |now| {
                if now == was {
                    *unused = unused.saturating_add(1);
                    return *unused < PATIENCE && kept < MOST_KEPT;
                }
                *unused = 0;
                if kept < MOST_KEPT {
                    now.copy_from_slice(was);
                    return true;
                }
                false
            })?;
            if keep {
                kept += 1;
            } else {
                drop_page(&self.memory, page)?;
            }
        }
        Ok(())
    }
}

/// Lets a page go that is the process's own: whoever reads it next finds the snapshot's, or zeros.
fn drop_page(memory: &GuestMemory, page: usize) -> Result<()> {
    memory.update(page as u32, PAGE, |bytes| {
        // SAFETY: the range is exactly `bytes`, which nothing else refers to; after the call it holds what is mapped there.
        match unsafe { libc::madvise(bytes.as_mut_ptr().cast(), PAGE, libc::MADV_DONTNEED) } {
            0 => Ok(()),
            _ => bail!("cannot let a page go: {}", std::io::Error::last_os_error()),
        }
    })?
}

/// The slots that no copy lives in.
#[derive(Default)]
pub(crate) struct Slots(Mutex<Vec<Slot>>);

impl Slots {
    /// An idle slot for a copy of `of`, or a new one.
    pub(crate) fn take(&self, engine: &Engine, of: &Snapshot, spare: u32, setup: Setup) -> Result<Slot> {
        let found = {
            let mut idle = self.0.lock();
            let at = idle.iter().rposition(|slot| slot.fits(of, spare));
            at.map(|at| idle.remove(at))
        };
        match found {
            Some(slot) => {
                slot.settle(setup);
                Ok(slot)
            }
            None => Slot::new(engine, of, spare, setup),
        }
    }

    /// Takes a slot back whose copy has ended well. One that has grown or is worn is not kept, nor one that cannot be put in order.
    pub(crate) fn put(&self, mut slot: Slot, pagemap: &Pagemap) {
        slot.copies += 1;
        slot.guest.lock().leave();
        let grown = slot.memory.len() != slot.length;
        if grown || slot.copies >= MOST_COPIES || slot.restore(pagemap).is_err() {
            return;
        }
        let mut idle = self.0.lock();
        idle.push(slot);
        // The least recently used goes, after the lock.
        let gone = (idle.len() > MOST_IDLE).then(|| idle.remove(0));
        drop(idle);
        drop(gone);
    }
}

#[cfg(test)]
mod tests;
