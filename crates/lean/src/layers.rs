//! Warm guests with imported modules, least recently used out first.

use std::sync::Arc;

use atlas_lean_wasm::Snapshot;
use parking_lot::Mutex;

/// A place for one warm guest; who makes it holds the lock, so that it is made once.
pub(crate) type Slot = Arc<Mutex<Option<Arc<Snapshot>>>>;

/// The guests that are kept. Copies in use keep theirs alive beyond this.
pub(crate) struct Layers {
    most: usize,
    /// Least recently used first.
    slots: Mutex<Vec<(String, Slot)>>,
}

impl Layers {
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), slots: Mutex::new(vec![]) }
    }

    /// The slot of `key`, now the most recently used.
    pub(crate) fn slot(&self, key: &str) -> Slot {
        let mut slots = self.slots.lock();
        let entry = match slots.iter().position(|(k, _)| k == key) {
            Some(at) => slots.remove(at),
            None => (key.to_owned(), Slot::default()),
        };
        let slot = entry.1.clone();
        slots.push(entry);
        if slots.len() > self.most {
            slots.remove(0);
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let layers = Layers::new(2);
        let (a, b) = (layers.slot("a"), layers.slot("b"));
        assert!(Arc::ptr_eq(&a, &layers.slot("a")));
        layers.slot("c");
        assert!(Arc::ptr_eq(&a, &layers.slot("a")));
        assert!(!Arc::ptr_eq(&b, &layers.slot("b")));
    }
}
