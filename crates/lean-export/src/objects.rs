//! Lean objects from wherever they are: a guest's memory, or the text that a native Lean wrote.

use crate::heap::{Heap, Malformed};

/// Objects by reference. References are only good for the value that gave them.
pub trait Objects {
    /// Which constructor: of a boxed scalar its value, of an object its tag.
    ///
    /// # Errors
    /// [`Malformed`], as everywhere here, when the object is not what is asked for.
    fn constructor(&self, object: u32) -> Result<u32, Malformed>;
    /// The `index`th field of a constructor.
    fn field(&self, object: u32, index: u32) -> Result<u32, Malformed>;
    /// The byte `offset` bytes after the fields of a constructor.
    fn scalar_byte(&self, object: u32, offset: u32) -> Result<u8, Malformed>;
    /// The value of a boxed scalar.
    fn scalar(&self, object: u32) -> Option<u32>;
    /// The elements of an array.
    fn array(&self, object: u32) -> Result<Vec<u32>, Malformed>;
    /// The elements of a list.
    fn list(&self, object: u32) -> Result<Vec<u32>, Malformed>;
    /// A string.
    fn string(&self, object: u32) -> Result<&str, Malformed>;
    /// A natural number, little-endian without trailing zero bytes.
    fn natural(&self, object: u32) -> Result<Vec<u8>, Malformed>;
}

impl Objects for Heap<'_> {
    fn constructor(&self, object: u32) -> Result<u32, Malformed> {
        Heap::constructor(self, object)
    }
    fn field(&self, object: u32, index: u32) -> Result<u32, Malformed> {
        Heap::field(self, object, index)
    }
    fn scalar_byte(&self, object: u32, offset: u32) -> Result<u8, Malformed> {
        Heap::scalar_byte(self, object, offset)
    }
    fn scalar(&self, object: u32) -> Option<u32> {
        Heap::scalar(self, object)
    }
    fn array(&self, object: u32) -> Result<Vec<u32>, Malformed> {
        Heap::array(self, object)
    }
    fn list(&self, object: u32) -> Result<Vec<u32>, Malformed> {
        Heap::list(self, object)
    }
    fn string(&self, object: u32) -> Result<&str, Malformed> {
        Heap::string(self, object)
    }
    fn natural(&self, object: u32) -> Result<Vec<u8>, Malformed> {
        Heap::natural(self, object)
    }
}

/// Objects as `native/driver.lean` writes them.
pub struct Dump(Vec<Object>);

enum Object {
    Constructor { tag: u32, scalars: Vec<u8>, fields: Vec<u32> },
    Array(Vec<u32>),
    Text(String),
    Number(Vec<u8>),
}

/// Odd references are boxed scalars, as in memory; even ones the numbers of lines.
fn line_reference(line: u32) -> u32 {
    line * 2
}

impl Dump {
    /// Reads a dump; its root is the last object.
    pub fn parse(text: &str) -> Option<(Self, u32)> {
        let mut objects = vec![];
        let mut rest = text;
        while let Some((line, after)) = rest.split_once('\n') {
            rest = after;
            let mut words = line.split(' ');
            let reference = |word: &str| -> Option<u32> {
                match word.strip_prefix('#') {
                    Some(scalar) => scalar.parse::<u32>().ok()?.checked_mul(2)?.checked_add(1),
                    // Only what stands above can be meant, so there are no cycles.
                    None => {
                        word.parse::<u32>().ok().filter(|n| (*n as usize) < objects.len()).map(line_reference)
                    }
                }
            };
            let object = match words.next()? {
                "c" => {
                    let tag = words.next()?.parse().ok()?;
                    let scalars = match words.next()? {
                        "-" => vec![],
                        hex => hex::decode(hex).ok()?,
                    };
                    Object::Constructor { tag, scalars, fields: words.map(reference).collect::<Option<_>>()? }
                }
                "a" => Object::Array(words.map(reference).collect::<Option<_>>()?),
                "s" => {
                    let (string, after) = rest.split_at_checked(words.next()?.parse().ok()?)?;
                    rest = after.strip_prefix('\n')?;
                    Object::Text(string.to_owned())
                }
                "n" => Object::Number(little_endian(words.next()?)?),
                _ => return None,
            };
            objects.push(object);
        }
        let root = line_reference(u32::try_from(objects.len()).ok()?.checked_sub(1)?);
        Some((Self(objects), root))
    }

    fn object(&self, reference: u32) -> Result<&Object, Malformed> {
        let found = if reference.is_multiple_of(2) { self.0.get(reference as usize / 2) } else { None };
        found.ok_or(Malformed { address: reference, what: "no such object" })
    }
}

/// A decimal number as little-endian bytes without trailing zeros.
fn little_endian(digits: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = vec![];
    for digit in digits.bytes() {
        let mut carry = u32::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
        for byte in &mut bytes {
            carry += u32::from(*byte) * 10;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry > 0 {
            bytes.push(carry as u8);
        }
    }
    Some(bytes)
}

impl Objects for Dump {
    fn constructor(&self, object: u32) -> Result<u32, Malformed> {
        if let Some(value) = self.scalar(object) {
            return Ok(value);
        }
        match self.object(object)? {
            Object::Constructor { tag, .. } => Ok(*tag),
            _ => Err(Malformed { address: object, what: "not a constructor" }),
        }
    }

    fn field(&self, object: u32, index: u32) -> Result<u32, Malformed> {
        let found = match self.object(object)? {
            Object::Constructor { fields, .. } => fields.get(index as usize).copied(),
            _ => None,
        };
        found.ok_or(Malformed { address: object, what: "has fewer fields" })
    }

    fn scalar_byte(&self, object: u32, offset: u32) -> Result<u8, Malformed> {
        let found = match self.object(object)? {
            Object::Constructor { scalars, .. } => scalars.get(offset as usize).copied(),
            _ => None,
        };
        found.ok_or(Malformed { address: object, what: "has fewer scalars" })
    }

    fn scalar(&self, object: u32) -> Option<u32> {
        (object % 2 == 1).then_some(object / 2)
    }

    fn array(&self, object: u32) -> Result<Vec<u32>, Malformed> {
        match self.object(object)? {
            Object::Array(elements) => Ok(elements.clone()),
            _ => Err(Malformed { address: object, what: "not an array" }),
        }
    }

    fn list(&self, object: u32) -> Result<Vec<u32>, Malformed> {
        self.array(object)
    }

    fn string(&self, object: u32) -> Result<&str, Malformed> {
        match self.object(object)? {
            Object::Text(text) => Ok(text),
            _ => Err(Malformed { address: object, what: "not a string" }),
        }
    }

    fn natural(&self, object: u32) -> Result<Vec<u8>, Malformed> {
        match self.object(object)? {
            Object::Number(bytes) => Ok(bytes.clone()),
            _ => Err(Malformed { address: object, what: "not a number" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumps_are_read_as_they_were_written() {
        let (dump, root) = Dump::parse("s 3\na\nb\nn 65536\nn 0\na 0 1\nc 5 01ff 3 #7\n").unwrap();
        assert_eq!((dump.constructor(root).unwrap(), dump.scalar_byte(root, 1).unwrap()), (5, 255));
        let array = dump.array(dump.field(root, 0).unwrap()).unwrap();
        assert_eq!(
            (dump.string(array[0]).unwrap(), dump.natural(array[1]).unwrap()),
            ("a\nb", vec![0, 0, 1])
        );
        assert_eq!(dump.scalar(dump.field(root, 1).unwrap()), Some(7));
        assert!(Dump::parse("c 1 - 0\n").is_none(), "an object that refers to itself");
        assert!(Dump::parse("s 9\nab\n").is_none());
    }
}
