//! Lean objects in a guest's memory, read from the host with every access checked.
//!
//! Layout (`lean.h`, 32-bit): a header of 8 bytes (reference count 4, size 2, number of fields 1, tag 1), then fields of
//! 4 bytes, then scalars. Odd words are not addresses but boxed scalars.

use std::cell::Cell;

/// Tags that are not constructors.
pub mod tag {
    /// Of an array.
    pub const ARRAY: u8 = 246;
    /// Of a string.
    pub const STRING: u8 = 249;
    pub(super) const BIG_NUMBER: u8 = 250;
    pub(super) const MOST_CONSTRUCTOR: u8 = 244;
}

/// Longest string or array that is read; a guest could claim anything.
const LONGEST: u32 = 64 << 20;
/// Digits, of 32 bits each, of the longest number that is read: some 158,000 decimal ones. To write many more down in decimal takes hours,
/// and nobody reads them.
const MOST_DIGITS: u32 = 1 << 14;
/// Bytes that are read in all, for each byte that there is. Who remembers what has been met reads an object a few times; a guest could share
/// one long list between a million terms.
const READS: u64 = 8;
/// … and so many more, in a memory however small.
const MORE_READS: u64 = 1 << 20;

/// What the guest handed over is not the object that was expected.
#[derive(Debug, Clone, thiserror::Error)]
#[error("malformed object at {address:#x}: {what}")]
pub struct Malformed {
    /// Where.
    pub address: u32,
    /// What is wrong.
    pub what: &'static str,
}

/// The objects of one guest.
pub struct Heap<'a> {
    memory: &'a [u8],
    /// Bytes that may still be read.
    left: Cell<u64>,
}

impl<'a> Heap<'a> {
    /// The objects in a memory, whoever made it.
    pub fn over(memory: &'a [u8]) -> Self {
        let left = READS.saturating_mul(memory.len() as u64).saturating_add(MORE_READS);
        Self { memory, left: Cell::new(left) }
    }

    fn bytes(&self, address: u32, length: usize) -> Result<&'a [u8], Malformed> {
        let malformed = |what| Malformed { address, what };
        let from = address as usize;
        let end = from.checked_add(length).ok_or(malformed("out of range"))?;
        let bytes = self.memory.get(from..end).ok_or(malformed("out of range"))?;
        let left = self.left.get().checked_sub(length as u64);
        self.left.set(left.ok_or(malformed("shared more often than any term is"))?);
        Ok(bytes)
    }

    fn word(&self, address: u32) -> Result<u32, Malformed> {
        let mut word = [0; 4];
        word.copy_from_slice(self.bytes(address, 4)?);
        Ok(u32::from_le_bytes(word))
    }

    fn byte(&self, address: u32) -> Result<u8, Malformed> {
        Ok(self.bytes(address, 1)?[0])
    }

    /// The value of a boxed scalar (a small number, a constructor without fields); `None` for an address.
    pub fn scalar(&self, object: u32) -> Option<u32> {
        (object & 1 == 1).then_some(object >> 1)
    }

    /// Which constructor: of a boxed scalar its value, of an object its tag.
    ///
    /// # Errors
    /// [`Malformed`] for anything that is not a constructor.
    pub fn constructor(&self, object: u32) -> Result<u32, Malformed> {
        if let Some(value) = self.scalar(object) {
            return Ok(value);
        }
        match self.byte(object.wrapping_add(7))? {
            tag if tag <= tag::MOST_CONSTRUCTOR => Ok(u32::from(tag)),
            _ => Err(Malformed { address: object, what: "not a constructor" }),
        }
    }

    fn field_count(&self, object: u32) -> Result<u32, Malformed> {
        self.constructor(object)?;
        if self.scalar(object).is_some() {
            return Ok(0);
        }
        Ok(u32::from(self.byte(object.wrapping_add(6))?))
    }

    /// The `index`th field of a constructor.
    ///
    /// # Errors
    /// [`Malformed`] when there is none.
    pub fn field(&self, object: u32, index: u32) -> Result<u32, Malformed> {
        if index >= self.field_count(object)? {
            return Err(Malformed { address: object, what: "has fewer fields" });
        }
        self.word(object.wrapping_add(8 + 4 * index))
    }

    /// The byte `offset` bytes after the fields of a constructor.
    ///
    /// # Errors
    /// [`Malformed`] when it lies outside the memory.
    pub fn scalar_byte(&self, object: u32, offset: u32) -> Result<u8, Malformed> {
        let fields = self.field_count(object)?;
        self.byte(object.wrapping_add(8 + 4 * fields).wrapping_add(offset))
    }

    fn tagged(&self, object: u32, tag: u8, what: &'static str) -> Result<(), Malformed> {
        if object & 1 == 1 || self.byte(object.wrapping_add(7))? != tag {
            return Err(Malformed { address: object, what });
        }
        Ok(())
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// [`Malformed`] when it is none.
    pub fn array(&self, object: u32) -> Result<Vec<u32>, Malformed> {
        self.tagged(object, tag::ARRAY, "not an array")?;
        let size = self.word(object.wrapping_add(8))?;
        if size > LONGEST {
            return Err(Malformed { address: object, what: "array too long" });
        }
        (0..size).map(|k| self.word(object.wrapping_add(16 + 4 * k))).collect()
    }

    /// The elements of a `List`.
    ///
    /// # Errors
    /// [`Malformed`] when it is none.
    pub fn list(&self, mut object: u32) -> Result<Vec<u32>, Malformed> {
        let mut elements = vec![];
        while self.constructor(object)? == 1 {
            elements.push(self.field(object, 0)?);
            object = self.field(object, 1)?;
            if elements.len() as u32 > LONGEST / 8 {
                return Err(Malformed { address: object, what: "list too long" });
            }
        }
        Ok(elements)
    }

    /// A string.
    ///
    /// # Errors
    /// [`Malformed`] when it is none or not UTF-8.
    pub fn string(&self, object: u32) -> Result<&'a str, Malformed> {
        self.tagged(object, tag::STRING, "not a string")?;
        let size = self.word(object.wrapping_add(8))?;
        if size == 0 || size > LONGEST {
            return Err(Malformed { address: object, what: "string too long" });
        }
        let bytes = self.bytes(object.wrapping_add(20), size as usize - 1)?;
        std::str::from_utf8(bytes).map_err(|_| Malformed { address: object, what: "string is not UTF-8" })
    }

    /// A natural number, little-endian without trailing zero bytes.
    ///
    /// # Errors
    /// [`Malformed`] when it is none.
    pub fn natural(&self, object: u32) -> Result<Vec<u8>, Malformed> {
        let mut bytes = match self.scalar(object) {
            Some(small) => small.to_le_bytes().to_vec(),
            None => {
                // The runtime's own big numbers: sign, number of 32-bit digits, digits.
                self.tagged(object, tag::BIG_NUMBER, "not a number")?;
                let (negative, digits) =
                    (self.byte(object.wrapping_add(8))?, self.word(object.wrapping_add(12))?);
                if negative != 0 || digits > MOST_DIGITS {
                    return Err(Malformed { address: object, what: "number too long" });
                }
                let at = self.word(object.wrapping_add(16))?;
                self.bytes(at, 4 * digits as usize)?.to_vec()
            }
        };
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }
}
