//! The names that the guest's interpreter looks up at run time (`dlsym`): what each stands for in the rewritten module.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::Error;

/// The symbol table as text, sorted by name, one `<name> <kind> <value>` a line: kind `f`, a table slot; kind `d`, an
/// address. It stays text: at 22 MB and 300,000 lines, a binary search in it costs less than building a map.
pub(crate) struct Symbols(Text);

enum Text {
    /// The file, mapped: a look-up reads some 20 of its pages.
    Mapped { start: *const u8, length: usize },
    #[cfg(test)]
    Owned(Vec<u8>),
}

// SAFETY: the mapping is private and only read.
unsafe impl Send for Symbols {}
// SAFETY: as above.
unsafe impl Sync for Symbols {}

impl Symbols {
    /// The table in the file at `path`, which must not change: it is part of an image.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len() as usize;
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE);
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(Error::io("map", path)(std::io::Error::last_os_error()));
        }
        Ok(Self(Text::Mapped { start: start.cast_const().cast(), length }))
    }

    fn text(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: so many bytes are mapped as long as `self` lives; an image's files are put in place whole and never written to.
            Text::Mapped { start, length } => unsafe { std::slice::from_raw_parts(*start, *length) },
            #[cfg(test)]
            Text::Owned(text) => text,
        }
    }

    /// The table slot or the address of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<i32> {
        let text = self.text();
        let (mut low, mut high) = (0, text.len());
        while low < high {
            let middle = (low + high) / 2;
            let start = text[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1).max(low);
            let end = start + text[start..].iter().position(|b| *b == b'\n')?;
            let line = std::str::from_utf8(&text[start..end]).ok()?;
            let (found, rest) = line.split_once(' ')?;
            match name.cmp(found) {
                std::cmp::Ordering::Equal => return rest.get(2..)?.parse().ok(),
                std::cmp::Ordering::Less => high = start,
                std::cmp::Ordering::Greater => low = end + 1,
            }
        }
        None
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        #[cfg_attr(not(test), expect(irrefutable_let_patterns, reason = "tests have a second kind"))]
        if let Self::Mapped { start, length } = self {
            // SAFETY: the mapping is this value's own; references into it borrow it.
            unsafe { libc::munmap(start.cast_mut().cast(), *length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Symbols, Text};

    #[test]
    fn finds_every_name_and_no_other() {
        let table = Symbols(Text::Owned(b"a f 1\nab d 20\nb f 3\nlean_x f 4\n".to_vec()));
        for (name, value) in [
            ("a", Some(1)),
            ("ab", Some(20)),
            ("b", Some(3)),
            ("lean_x", Some(4)),
            ("aa", None),
            ("z", None),
            ("", None),
        ] {
            assert_eq!(table.get(name), value, "{name}");
        }
    }
}
