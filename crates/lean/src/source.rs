//! What can be read off a module's text without Lean: its imports.

/// A module that is imported, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub(crate) module: String,
    /// 1-based.
    pub(crate) line: u32,
}

/// Whether a module comes with the toolchain.
pub(crate) fn is_toolchain(module: &str) -> bool {
    matches!(module.split('.').next(), Some("Init" | "Std" | "Lean" | "Lake"))
}

/// The imports of the header: what comes before the first command. Comments are skipped.
pub(crate) fn imports(text: &str) -> Vec<Import> {
    let mut found = vec![];
    let mut tokens = Tokens { rest: text, line: 1 };
    let mut modifiers = vec![];
    while let Some((token, line)) = tokens.next() {
        match token {
            "module" | "prelude" if modifiers.is_empty() => {}
            "public" | "private" | "meta" => modifiers.push(token),
            "import" => {
                modifiers.clear();
                let Some((mut name, _)) = tokens.next() else { break };
                if name == "all" {
                    let Some((next, _)) = tokens.next() else { break };
                    name = next;
                }
                found.push(Import { module: name.to_owned(), line });
            }
            _ => break,
        }
    }
    found
}

struct Tokens<'a> {
    rest: &'a str,
    line: u32,
}

impl<'a> Tokens<'a> {
    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.matches('\n').count() as u32;
        self.rest = rest;
    }

    /// The next word and its line, after blanks and comments.
    fn next(&mut self) -> Option<(&'a str, u32)> {
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            self.advance(blank);
            if self.rest.starts_with("--") {
                self.advance(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/-") {
                self.advance(comment_length(self.rest));
            } else if self.rest.is_empty() {
                return None;
            } else {
                break;
            }
        }
        let length = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let (word, line) = (&self.rest[..length], self.line);
        self.advance(length);
        Some((word, line))
    }
}

/// Bytes of the comment, nested ones included, that `text` begins with; all of it when it does not end.
fn comment_length(text: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/-") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("-/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_ends_where_the_first_command_begins() {
        let text = "/- a comment /- nested: import Not.This -/ -/\nmodule\n\npublic import Init -- import Nor.This\npublic meta import all Numbers.Parity\nimport Numbers.Gcd\n\n@[expose] public section\n-- import Late\nimport Too.Late\n";
        let found: Vec<_> = imports(text).into_iter().map(|i| (i.module, i.line)).collect();
        assert_eq!(
            found,
            [("Init".to_owned(), 4), ("Numbers.Parity".to_owned(), 5), ("Numbers.Gcd".to_owned(), 6)]
        );
        assert!(imports("theorem a : True := trivial").is_empty());
        assert!(imports("/- never ends").is_empty());
        assert!(imports("import").is_empty());
    }
}
