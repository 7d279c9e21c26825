//! Colours Lean source for the report: a tokenizer of the few classes that a reader's eye needs.
//!
//! It never fails and keeps every character, so that the text of the page is the text of the library.

/// What a stretch of Lean source is to the eye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// `theorem`, `by`, `where`, …
    Keyword,
    /// `sorry` and what stands for it: never to be overlooked.
    Sorry,
    /// `-- …`, `/- … -/`, doc comments.
    Comment,
    /// `"…"`, `'c'`.
    Text,
    /// `12`, `0x1f`.
    Number,
    /// An identifier with a capital: types, structures, namespaces.
    Type,
    /// `@[simp]`, `#check`.
    Attribute,
    /// `→`, `∀`, `:=`, …
    Operator,
    /// All else.
    Plain,
}

impl Class {
    /// The CSS class, empty for plain text.
    fn css(self) -> &'static str {
        match self {
            Self::Keyword => "k",
            Self::Sorry => "bad",
            Self::Comment => "c",
            Self::Text => "s",
            Self::Number => "n",
            Self::Type => "t",
            Self::Attribute => "a",
            Self::Operator => "o",
            Self::Plain => "",
        }
    }
}

const KEYWORDS: &[&str] = &[
    "abbrev",
    "axiom",
    "at",
    "by",
    "calc",
    "case",
    "cases",
    "class",
    "decide",
    "def",
    "deriving",
    "do",
    "else",
    "end",
    "example",
    "exact",
    "export",
    "expose",
    "extends",
    "forall",
    "from",
    "fun",
    "funext",
    "have",
    "if",
    "import",
    "in",
    "include",
    "inductive",
    "induction",
    "instance",
    "intro",
    "intros",
    "lemma",
    "let",
    "macro",
    "match",
    "module",
    "mutual",
    "namespace",
    "noncomputable",
    "notation",
    "obtain",
    "omit",
    "omega",
    "opaque",
    "open",
    "partial",
    "private",
    "protected",
    "public",
    "rcases",
    "refine",
    "rfl",
    "rw",
    "scoped",
    "section",
    "set_option",
    "show",
    "simp",
    "structure",
    "suffices",
    "syntax",
    "termination_by",
    "then",
    "theorem",
    "unfold",
    "universe",
    "unsafe",
    "using",
    "variable",
    "where",
    "with",
    "constructor",
    "apply",
    "rintro",
    "grind",
    "exists",
    "exfalso",
    "contradiction",
];

/// The tokens of `source`, in order and without a gap.
pub fn tokens(source: &str) -> Vec<(Class, &str)> {
    let mut tokens: Vec<(Class, &str)> = Vec::new();
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let (class, length) = token(rest);
        let length = length.clamp(1, rest.len());
        let length = (length..=rest.len()).find(|&n| rest.is_char_boundary(n)).unwrap_or(rest.len());
        tokens.push((class, &rest[..length]));
        at += length;
    }
    tokens
}

/// Class and byte length of the token that `rest` begins with.
fn token(rest: &str) -> (Class, usize) {
    let Some(first) = rest.chars().next() else { return (Class::Plain, 0) };
    if rest.starts_with("--") {
        return (Class::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/-") {
        return (Class::Comment, block_comment(rest));
    }
    if first == '"' {
        return (Class::Text, string(rest));
    }
    if first == '\'' {
        let mut chars = rest.char_indices().skip(1);
        let escaped = matches!(chars.next(), Some((_, '\\')));
        let close = if escaped { chars.nth(1) } else { chars.next() };
        return match close {
            Some((at, '\'')) => (Class::Text, at + 1),
            _ => (Class::Plain, 1),
        };
    }
    if rest.starts_with("@[") {
        return (Class::Attribute, rest.find(']').map_or(2, |at| at + 1));
    }
    if first == '#' {
        let length = word(&rest[1..]);
        return (if length > 0 { Class::Attribute } else { Class::Operator }, 1 + length);
    }
    if first.is_ascii_digit() {
        return (Class::Number, rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len()));
    }
    if is_name_start(first) {
        let length = word(rest);
        let name = &rest[..length];
        let class = match name {
            "sorry" | "sorryAx" | "admit" => Class::Sorry,
            _ if KEYWORDS.contains(&name) => Class::Keyword,
            "ℕ" | "ℤ" | "ℚ" | "ℝ" | "ℂ" => Class::Type,
            _ if first.is_uppercase() => Class::Type,
            _ => Class::Plain,
        };
        return (class, length);
    }
    if first.is_whitespace() {
        return (Class::Plain, rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len()));
    }
    let operator = |c: char| ":=|<>+-*/^%&!~?λ∀∃→←↔∧∨¬≤≥≠∈∉⊆∣×∑∏▸·∘⟨⟩⊢↦".contains(c);
    if operator(first) {
        // A doc comment or a comment may follow an operator without a blank.
        let mut end = first.len_utf8();
        for c in rest[end..].chars() {
            if !operator(c) || rest[end..].starts_with("--") || rest[end..].starts_with("/-") {
                break;
            }
            end += c.len_utf8();
        }
        return (Class::Operator, end);
    }
    (Class::Plain, first.len_utf8())
}

fn is_name_start(c: char) -> bool {
    (c.is_alphabetic() && c != 'λ') || c == '_'
}

/// Length of the dotted name that `rest` begins with.
fn word(rest: &str) -> usize {
    let mut end = 0;
    for (at, c) in rest.char_indices() {
        let follows = rest[at + c.len_utf8()..].chars().next();
        let part = is_name_start(c)
            || (at > 0 && (c.is_numeric() || "'!?₀₁₂₃₄₅₆₇₈₉".contains(c)))
            || (at > 0 && c == '.' && follows.is_some_and(is_name_start));
        if !part {
            break;
        }
        end = at + c.len_utf8();
    }
    end
}

/// Length of the block comment that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/-") {
            depth += 1;
            at += 2;
        } else if here.starts_with("-/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Length of the string literal that `rest` begins with.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    rest.len()
}

/// `source` as HTML, each token in a `<span>` of its class.
pub fn html(source: &str) -> String {
    let mut html = String::with_capacity(source.len() * 2);
    for (class, text) in tokens(source) {
        let css = class.css();
        if css.is_empty() {
            super::escape_into(&mut html, text);
        } else {
            html.push_str("<span class=");
            html.push_str(css);
            html.push('>');
            super::escape_into(&mut html, text);
            html.push_str("</span>");
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(source: &str) -> String {
        let shown = tokens(source).into_iter().filter(|(_, text)| !text.trim().is_empty());
        shown.map(|(class, text)| format!("{class:?} {text}\n")).collect()
    }

    #[test]
    fn a_theorem_is_coloured() {
        insta::assert_snapshot!(classes(
            "@[simp] theorem even_add' (n : Nat) : n ≤ Numbers.Even.zero := by -- why\n  exact sorry /- a /- b -/ c -/"
        ));
    }

    #[test]
    fn every_character_is_kept() {
        for source in [
            "",
            "'",
            "\"open",
            "/- open /- -/",
            "x'y'",
            "∀ ε>0, ∃δ",
            "#eval 0xff",
            "a.b.1.c",
            "--",
            "𝔸«x y»",
            "'\\n'",
        ] {
            let joined: String = tokens(source).into_iter().map(|(_, text)| text).collect();
            assert_eq!(joined, source);
        }
    }

    #[test]
    fn markup_in_lean_is_text_in_the_page() {
        assert!(html("a <b> \"</script>\"").contains("&lt;/script&gt;"));
        assert!(!html("a <b> \"</script>\"").contains("</script>"));
    }
}
