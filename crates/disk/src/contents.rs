//! The bytes of one file: as programs see them, and as the disk has them.

use std::ops::Range;

/// A file's bytes, and what of them would be there after a power failure.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    now: Vec<u8>,
    synced: Vec<u8>,
    /// Written since the last sync.
    dirty: Vec<Range<usize>>,
    /// The least length since the last sync: what lay beyond it was cut off meanwhile.
    shortest: usize,
}

impl Contents {
    /// The bytes as programs see them.
    pub(crate) fn now(&self) -> &[u8] {
        &self.now
    }

    /// Writes at an offset; a gap before it is zeros.
    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
        match self.dirty.last_mut() {
            // Logs are appended to: one range that grows.
            Some(last) if last.end == offset => last.end = end,
            _ => self.dirty.push(offset..end),
        }
    }

    /// Cuts off or adds zeros.
    pub(crate) fn resize(&mut self, length: usize) {
        self.now.resize(length, 0);
        self.shortest = self.shortest.min(length);
    }

    /// All that was written so far reaches the disk. Copies only what has changed.
    pub(crate) fn sync(&mut self) {
        self.synced.truncate(self.shortest);
        let from = self.synced.len();
        self.synced.extend_from_slice(&self.now[from..]);
        for written in self.dirty.drain(..) {
            let range = written.start.min(from)..written.end.min(from);
            self.synced[range.clone()].copy_from_slice(&self.now[range]);
        }
        self.shortest = self.now.len();
    }

    /// What the disk has is all that there is.
    pub(crate) fn forget(&mut self) {
        self.now.clone_from(&self.synced);
        self.dirty.clear();
        self.shortest = self.now.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_comes_back_however_it_was_written_over() {
        let mut file = Contents::default();
        file.write(0, b"abcdefgh");
        file.sync();
        file.write(2, b"XY");
        file.resize(3);
        file.write(5, b"Z");
        assert_eq!(file.now(), b"abX\0\0Z");
        file.forget();
        assert_eq!(file.now(), b"abcdefgh");
        file.write(2, b"XY");
        file.resize(3);
        file.write(5, b"Z");
        file.sync();
        file.write(0, b"lost");
        file.forget();
        assert_eq!(file.now(), b"abX\0\0Z");
    }
}
