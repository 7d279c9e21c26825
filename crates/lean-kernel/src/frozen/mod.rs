//! A base as bytes, so that the next process does not have to parse the text that it was loaded from.
//!
//! **This is a cache in its owner's folder, not a door for what others have written.** Whoever can write the bytes decides what the base
//! declares, exactly as with the text of a trusted library. The digest at their end finds damage, not malice. Reading is safe for all that:
//! every number is checked where it is read, facts about terms are worked out anew, and whatever is wrong is a [`FrozenError`].
//!
//! What it holds: the tables in order of their ids (an entry refers to earlier ones only), the constants in order of their
//! declarations, what axioms each declaration rests on. All numbers are little-endian; a list has its length before it.

mod read;
mod write;

use sha2::{Digest as _, Sha256};

/// The first bytes: what this is, and the version of the form. Raised when the form or the meaning of what is kept changes.
const MAGIC: &[u8; 16] = b"atlas-base-v001\n";
/// Bytes of the digest at the end.
const DIGEST: usize = 32;

/// Why bytes are not a base. The way out is always to load the library's text again.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrozenError {
    /// Written by another version of this crate, or something else altogether.
    #[error("not a base in this version's form")]
    Version,
    /// The digest at the end is another: the bytes are damaged or cut off.
    #[error("the bytes are damaged")]
    Digest,
    /// An entry that cannot be.
    #[error("malformed at byte {0}")]
    Malformed(usize),
}

fn digest(bytes: &[u8]) -> [u8; DIGEST] {
    Sha256::digest(bytes).into()
}

/// Tags of what has several shapes, in one place for both directions.
mod tag {
    pub(super) const NAME_STR: u8 = 1;
    pub(super) const NAME_NUM: u8 = 2;
    pub(super) const NAME_ANONYMOUS: u8 = 0;

    pub(super) const ZERO: u8 = 0;
    pub(super) const SUCC: u8 = 1;
    pub(super) const MAX: u8 = 2;
    pub(super) const IMAX: u8 = 3;
    pub(super) const PARAM: u8 = 4;

    pub(super) const BVAR: u8 = 0;
    pub(super) const SORT: u8 = 1;
    pub(super) const CONST: u8 = 2;
    pub(super) const APP: u8 = 3;
    pub(super) const LAM: u8 = 4;
    pub(super) const PI: u8 = 5;
    pub(super) const LET: u8 = 6;
    pub(super) const PROJ: u8 = 7;
    pub(super) const NAT: u8 = 8;
    pub(super) const STR: u8 = 9;

    pub(super) const AXIOM: u8 = 0;
    pub(super) const GIVEN: u8 = 1;
    pub(super) const DEF: u8 = 2;
    pub(super) const THM: u8 = 3;
    pub(super) const OPAQUE: u8 = 4;
    pub(super) const QUOT: u8 = 5;
    pub(super) const INDUCT: u8 = 6;
    pub(super) const CTOR: u8 = 7;
    pub(super) const REC: u8 = 8;

    pub(super) const ONE: u8 = 0;
    pub(super) const BLOCK: u8 = 1;

    pub(super) const LAST: u8 = 0;
    pub(super) const REGULAR: u8 = 1;
    pub(super) const FIRST: u8 = 2;
}
