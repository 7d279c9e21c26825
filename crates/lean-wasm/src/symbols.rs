//! The names that the guest's interpreter looks up at run time (`dlsym`): what each stands for in the rewritten module.

/// The symbol table as text, sorted by name, one `<name> <kind> <value>` a line: kind `f`, a table slot; kind `d`, an
/// address. It stays text: at 22 MB and 300,000 lines, a binary search in it costs less than building a map.
pub(crate) struct Symbols(Vec<u8>);

impl Symbols {
    pub(crate) fn new(text: Vec<u8>) -> Self {
        Self(text)
    }

    /// The table slot or the address of `name`.
    pub(crate) fn get(&self, name: &str) -> Option<i32> {
        let (mut low, mut high) = (0, self.0.len());
        while low < high {
            let middle = (low + high) / 2;
            let start = self.0[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |p| p + 1).max(low);
            let end = start + self.0[start..].iter().position(|b| *b == b'\n')?;
            let line = std::str::from_utf8(&self.0[start..end]).ok()?;
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

#[cfg(test)]
mod tests {
    use super::Symbols;

    #[test]
    fn finds_every_name_and_no_other() {
        let table = Symbols::new(b"a f 1\nab d 20\nb f 3\nlean_x f 4\n".to_vec());
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
