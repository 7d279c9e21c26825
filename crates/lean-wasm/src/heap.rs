//! Lean objects in a guest's memory, read from the host with every access checked.
//!
//! Layout (`lean.h`, 32-bit): a header of 8 bytes (reference count 4, size 2, number of fields 1, tag 1), then fields of
//! 4 bytes, then scalars. Odd words are not addresses but boxed scalars.

use crate::memory::GuestMemory;

/// Tags that are not constructors.
pub(crate) mod tag {
    pub(crate) const ARRAY: u8 = 246;
    pub(crate) const STRING: u8 = 249;
    pub(super) const BIG_NUMBER: u8 = 250;
    pub(super) const MOST_CONSTRUCTOR: u8 = 244;
}

/// Longest string or array and largest number that is read; a guest could claim anything.
const LONGEST: u32 = 64 << 20;

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
pub struct Heap<'a>(&'a GuestMemory);

impl<'a> Heap<'a> {
    pub(crate) fn new(memory: &'a GuestMemory) -> Self {
        Self(memory)
    }

    fn word(&self, address: u32) -> Result<u32, Malformed> {
        self.0.u32(address).map_err(|_| Malformed { address, what: "out of range" })
    }

    fn byte(&self, address: u32) -> Result<u8, Malformed> {
        self.0.u8(address).map_err(|_| Malformed { address, what: "out of range" })
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
        self.byte(object.wrapping_add(8 + 4 * fields + offset))
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
        let bytes = self
            .0
            .bytes(object.wrapping_add(20), size as usize - 1)
            .map_err(|_| Malformed { address: object, what: "string out of range" })?;
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
                if negative != 0 || digits > LONGEST / 4 {
                    return Err(Malformed { address: object, what: "number out of range" });
                }
                let at = self.word(object.wrapping_add(16))?;
                self.0
                    .bytes(at, 4 * digits as usize)
                    .map_err(|_| Malformed { address: object, what: "digits out of range" })?
                    .to_vec()
            }
        };
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Ok(bytes)
    }
}
