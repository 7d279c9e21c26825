//! Keys of results: SHA-256 over framed parts.

use sha2::{Digest as _, Sha256};

/// A key in the making.
#[derive(Clone)]
pub(crate) struct Key(Sha256);

impl Key {
    /// A key of a kind; the kind ends in a number that is raised when the meaning of its parts changes.
    pub(crate) fn new(kind: &str) -> Self {
        Self(Sha256::new()).with(kind)
    }

    pub(crate) fn with(mut self, part: &str) -> Self {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
        self
    }

    pub(crate) fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}
