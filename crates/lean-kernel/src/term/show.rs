//! Names as text.

use super::{ANONYMOUS, Name, NameId, Terms};

/// Must a part of a name be quoted, so that it cannot be taken for something else?
fn odd(part: &str) -> bool {
    part.is_empty()
        || part.contains(['.', '«', '»', ','])
        || part.chars().any(|c| c.is_whitespace() || c.is_control())
        || part.bytes().all(|b| b.is_ascii_digit())
}

impl Terms {
    /// The name as text. Different names are shown differently: the one-part name whose text is `Quot.sound` is shown as
    /// `«Quot.sound»`.
    pub fn show(&self, n: NameId) -> String {
        let mut parts = Vec::new();
        let mut n = n;
        while n != ANONYMOUS {
            n = match self.get_name(n) {
                Name::Anonymous => ANONYMOUS,
                Name::Str(pre, s) => {
                    let s = self.get_text(s);
                    parts.push(if odd(s) { format!("«{}»", s.escape_debug()) } else { s.to_owned() });
                    pre
                }
                Name::Num(pre, i) => {
                    parts.push(i.to_string());
                    pre
                }
            };
        }
        parts.reverse();
        parts.join(".")
    }
}
