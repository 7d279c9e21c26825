//! Warm guests: with imported modules, or behind the beginning of a module. Least recently used out first.

use std::sync::Arc;

use atlas_lean_wasm::Snapshot;
use parking_lot::Mutex;

/// A place for one warm guest; who makes it holds the lock, so that it is made once.
pub(crate) type Slot = Arc<Mutex<Option<Arc<Snapshot>>>>;

/// The guests that are kept. Copies in use keep theirs alive beyond this, and so do guests that were copied from them.
pub(crate) struct Layers {
    /// Bytes.
    most: u64,
    /// Least recently used first.
    slots: Mutex<Vec<Entry>>,
}

struct Entry {
    key: String,
    slot: Slot,
    bytes: u64,
}

impl Layers {
    /// Keeps up to `most` bytes of guests, and always the last one.
    pub(crate) fn new(most: u64) -> Self {
        Self { most, slots: Mutex::new(vec![]) }
    }

    /// The slot of `key`, now the most recently used.
    pub(crate) fn slot(&self, key: &str) -> Slot {
        let mut slots = self.slots.lock();
        // Where a guest could not be made, and nobody tries to, nothing is kept.
        slots.retain(|entry| entry.bytes > 0 || Arc::strong_count(&entry.slot) > 1);
        let entry = match slots.iter().position(|entry| entry.key == key) {
            Some(at) => slots.remove(at),
            None => Entry { key: key.to_owned(), slot: Slot::default(), bytes: 0 },
        };
        let slot = entry.slot.clone();
        slots.push(entry);
        slot
    }

    /// The guest of `key`, if there is one and nobody is making it.
    pub(crate) fn find(&self, key: &str) -> Option<Arc<Snapshot>> {
        let slot = self.slots.lock().iter().find(|entry| entry.key == key)?.slot.clone();
        slot.try_lock()?.clone()
    }

    /// Notes how large the guest of `key` is, now that it is made, and lets others go.
    pub(crate) fn made(&self, key: &str, bytes: u64) {
        let mut slots = self.slots.lock();
        if let Some(entry) = slots.iter_mut().find(|entry| entry.key == key) {
            entry.bytes = bytes;
        }
        let mut held: u64 = slots.iter().map(|entry| entry.bytes).sum();
        slots.retain(|entry| {
            let goes = held > self.most && entry.bytes > 0 && entry.key != key;
            held -= if goes { entry.bytes } else { 0 };
            !goes
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let layers = Layers::new(100);
        let (a, b) = (layers.slot("a"), layers.slot("b"));
        layers.made("a", 50);
        layers.made("b", 50);
        assert!(Arc::ptr_eq(&a, &layers.slot("a")));
        layers.slot("c");
        layers.made("c", 50);
        assert!(Arc::ptr_eq(&a, &layers.slot("a")));
        assert!(!Arc::ptr_eq(&b, &layers.slot("b")));
        layers.slot("d");
        layers.made("d", 1000);
        assert!(!Arc::ptr_eq(&a, &layers.slot("a")), "a large one drives out all others");
    }
}
