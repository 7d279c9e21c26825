//! The guest's linear memory, seen from the host: every access is bounds-checked.

use wasmtime::{Engine, MemoryType, Result, SharedMemory, bail};

/// Bytes of a WebAssembly page.
pub(crate) const WASM_PAGE: usize = 65536;

/// The memory that all threads of one guest share.
///
/// All of a guest's threads are fibers of one OS thread, and the host only looks at the memory from that thread,
/// inside a host call or between two polls. So nobody writes while the host reads or writes.
#[derive(Clone)]
pub(crate) struct GuestMemory(SharedMemory);

impl GuestMemory {
    /// A memory of `pages` WebAssembly pages of zeros.
    pub(crate) fn new(engine: &Engine, pages: u32) -> Result<Self> {
        Ok(Self(SharedMemory::new(engine, MemoryType::shared(pages, crate::guest::MOST_PAGES))?))
    }

    pub(crate) fn shared(&self) -> &SharedMemory {
        &self.0
    }

    /// Bytes of it now.
    pub(crate) fn len(&self) -> usize {
        self.0.data().len()
    }

    fn range(&self, address: u32, length: usize) -> Result<usize> {
        let start = address as usize;
        if start.checked_add(length).is_none_or(|end| end > self.len()) {
            bail!("guest pointer {address:#x} + {length} is out of range");
        }
        Ok(start)
    }

    /// `length` bytes from `address`.
    pub(crate) fn bytes(&self, address: u32, length: usize) -> Result<&[u8]> {
        let start = self.range(address, length)?;
        // SAFETY: in range by the check above; the memory is never shrunk or unmapped while `self` lives, and nobody
        // writes while the host looks (see the type's comment).
        Ok(unsafe { std::slice::from_raw_parts(self.0.data().as_ptr().add(start).cast::<u8>(), length) })
    }

    /// Lets `f` fill or change `length` bytes from `address`. `f` must not use this memory otherwise; as it gets no
    /// handle of it, it cannot.
    pub(crate) fn update<R>(&self, address: u32, length: usize, f: impl FnOnce(&mut [u8]) -> R) -> Result<R> {
        let start = self.range(address, length)?;
        // SAFETY: as in `bytes`; the slice lives only during `f`, on the guest's own OS thread, which is here and
        // not in the guest, so that no other reference to these bytes is in use.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.0.data().as_ptr().add(start).cast_mut().cast::<u8>(), length)
        };
        Ok(f(bytes))
    }

    pub(crate) fn write(&self, address: u32, bytes: &[u8]) -> Result<()> {
        self.update(address, bytes.len(), |b| b.copy_from_slice(bytes))
    }

    pub(crate) fn u8(&self, address: u32) -> Result<u8> {
        Ok(self.bytes(address, 1)?[0])
    }

    pub(crate) fn u32(&self, address: u32) -> Result<u32> {
        let mut word = [0; 4];
        word.copy_from_slice(self.bytes(address, 4)?);
        Ok(u32::from_le_bytes(word))
    }

    pub(crate) fn set_u32(&self, address: u32, value: u32) -> Result<()> {
        self.write(address, &value.to_le_bytes())
    }

    pub(crate) fn set_u64(&self, address: u32, value: u64) -> Result<()> {
        self.write(address, &value.to_le_bytes())
    }

    /// The NUL-terminated string at `address`, at most 64 KiB of it.
    pub(crate) fn string(&self, address: u32) -> Result<String> {
        let rest = self.bytes(address, (self.len().saturating_sub(address as usize)).min(1 << 16))?;
        let end = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
        Ok(String::from_utf8_lossy(&rest[..end]).into_owned())
    }

    /// The `(address, length)` pairs of an `iovec` array.
    pub(crate) fn vectors(&self, address: u32, count: i32) -> Result<Vec<(u32, usize)>> {
        (0..count.max(0) as u32)
            .map(|k| {
                let pair = address.wrapping_add(8 * k);
                Ok((self.u32(pair)?, self.u32(pair.wrapping_add(4))? as usize))
            })
            .collect()
    }
}
