//! A Lean file's header: `module`, `prelude` and its imports. The header alone decides what a file is
//! elaborated after, so that it is read here without Lean.

/// One import of a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The module imported.
    pub module: String,
    /// `public import`: importers see it too.
    pub public: bool,
    /// `meta import`: for elaboration only.
    pub meta: bool,
    /// `import all`: private scope too.
    pub all: bool,
}

/// A file's header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// It begins with `module`.
    pub module: bool,
    /// `prelude`: not even `Init` is imported.
    pub prelude: bool,
    /// In the file's order.
    pub imports: Vec<Import>,
    /// Byte offset right behind the header's last token.
    pub end: usize,
}

/// Reads a file's header. Lean's own parser gives up at the first token that cannot belong to it; so does this one.
pub fn header(text: &str) -> Header {
    let mut cursor = Cursor { text, at: 0 };
    let mut header = Header::default();
    if cursor.keyword("module") {
        header.module = true;
        header.end = cursor.at;
    }
    if cursor.keyword("prelude") {
        header.prelude = true;
        header.end = cursor.at;
    }
    loop {
        let public = cursor.keyword("public");
        let meta = cursor.keyword("meta");
        if !cursor.keyword("import") {
            return header;
        }
        let all = cursor.keyword("all");
        let Some(module) = cursor.name() else { return header };
        header.imports.push(Import { module, public, meta, all });
        header.end = cursor.at;
    }
}

/// The modules that a file imports, in its order.
pub fn imports(text: &str) -> Vec<String> {
    header(text).imports.into_iter().map(|import| import.module).collect()
}

/// The file with `public import MODULE` added to its header, unless it imports it already.
pub fn with_import(text: &str, module: &str) -> String {
    let header = header(text);
    if header.imports.iter().any(|import| import.module == module) {
        return text.to_owned();
    }
    let (before, after) = text.split_at(header.end);
    let gap = match (before.is_empty(), header.imports.is_empty()) {
        (true, _) => "",
        (false, true) => "\n\n",
        (false, false) => "\n",
    };
    let public = if header.module { "public " } else { "" };
    let tail = if before.is_empty() && !after.is_empty() { "\n" } else { "" };
    format!("{before}{gap}{public}import {module}{tail}{after}")
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    /// Where the next token begins: behind blanks, `--` comments and nested `/- -/` comments. Doc comments
    /// (`/--`, `/-!`) are tokens.
    fn token_start(&self) -> usize {
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        loop {
            let rest = &bytes[at..];
            if rest.first().is_some_and(u8::is_ascii_whitespace) {
                at += 1;
            } else if rest.starts_with(b"--") {
                at += rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len());
            } else if rest.starts_with(b"/-") && !matches!(rest.get(2), Some(b'-' | b'!')) {
                match block_comment(rest) {
                    Some(length) => at += length,
                    None => return bytes.len(),
                }
            } else {
                return at;
            }
        }
    }

    fn keyword(&mut self, word: &str) -> bool {
        let start = self.token_start();
        let Some(rest) = self.text[start..].strip_prefix(word) else { return false };
        let ends = rest.chars().next().is_none_or(|c| !(c.is_alphanumeric() || "_.'!?«".contains(c)));
        if ends {
            self.at = start + word.len();
        }
        ends
    }

    /// A dotted name; components may stand in `«»`.
    fn name(&mut self) -> Option<String> {
        let start = self.token_start();
        let mut quoted = false;
        let length = self.text[start..]
            .char_indices()
            .find(|&(_, c)| {
                match c {
                    '«' => quoted = true,
                    '»' => {
                        quoted = false;
                        return false;
                    }
                    _ => {}
                }
                !(quoted || c.is_alphanumeric() || "_.'!?«".contains(c)) || (quoted && c == '\n')
            })
            .map_or(self.text.len() - start, |(at, _)| at);
        let name = &self.text[start..start + length];
        if name.is_empty() {
            return None;
        }
        self.at = start + length;
        Some(name.replace(['«', '»'], ""))
    }
}

/// The length of the nested comment that `bytes` begins with; `None` when it never ends.
fn block_comment(bytes: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/-") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"-/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_header_is_read_through_comments() {
        let text = "/- Copyright /- nested -/ -/\nmodule -- yes\n\npublic import Numbers.Parity\nmeta import Lean\n\
                    import all A.«B c».C'\n\n/-! doc: import Not.This -/\nimport Nor.That\n";
        let header = header(text);
        assert!(header.module && !header.prelude);
        assert_eq!(imports(text), ["Numbers.Parity", "Lean", "A.B c.C'"]);
        assert!(header.imports[0].public && header.imports[1].meta && header.imports[2].all);
        assert!(text[..header.end].ends_with("A.«B c».C'"));
    }

    #[test]
    fn what_is_no_header_has_no_imports() {
        for text in [
            "",
            "theorem t : True := trivial",
            "importance",
            "/- never closed\nimport A",
            "moduleX\nimport A",
        ] {
            assert_eq!(imports(text), Vec::<String>::new(), "{text}");
        }
        assert_eq!(imports("import A import B"), ["A", "B"]);
        assert_eq!(imports("prelude\nimport A"), ["A"]);
    }

    #[test]
    fn an_import_is_added_once_behind_the_others() {
        let text = "module\n\npublic import A\n\n@[expose] public section\n";
        let with = with_import(text, "B");
        assert_eq!(with, "module\n\npublic import A\npublic import B\n\n@[expose] public section\n");
        assert_eq!(with_import(&with, "B"), with);
        assert_eq!(with_import("module\n\ndef x := 1\n", "B"), "module\n\npublic import B\n\ndef x := 1\n");
        assert_eq!(with_import("def x := 1\n", "B"), "import B\ndef x := 1\n");
    }
}
