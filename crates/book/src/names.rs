//! Names: the book's labels as target ids, chapters as modules, labels as Lean declarations.

use atlas_domain::TargetKind;

/// A label as a target id: what is not a letter, digit, `-` or `_` becomes `-` (`thm:even.add` → `thm-even-add`).
pub fn label(text: &str) -> String {
    let mut id = String::new();
    for c in text.trim().chars() {
        let c = if c.is_ascii_alphanumeric() || c == '_' { c.to_ascii_lowercase() } else { '-' };
        if !(c == '-' && (id.is_empty() || id.ends_with('-'))) {
            id.push(c);
        }
    }
    id.truncate(100);
    id.trim_end_matches('-').to_owned()
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

fn upper_camel<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words
        .map(|word| {
            let (head, tail) = word.split_at(1); // words are ASCII and not empty
            head.to_ascii_uppercase() + tail
        })
        .collect()
}

/// The module of a chapter: the package and the slug's words without leading numbers (`01-parity` → `Numbers.Parity`).
pub fn module_name(package: &str, slug: &str) -> String {
    let named = upper_camel(words(slug).skip_while(|word| word.bytes().all(|b| b.is_ascii_digit())));
    let named = if named.is_empty() { format!("Chapter{}", upper_camel(words(slug))) } else { named };
    format!("{package}.{named}")
}

const PREFIXES: [&str; 16] = [
    "theorem",
    "thm",
    "lemma",
    "lem",
    "lm",
    "proposition",
    "prop",
    "corollary",
    "cor",
    "definition",
    "defn",
    "def",
    "example",
    "exercise",
    "exr",
    "ex",
];

/// The declaration of a target, without namespace: `even-add` → `even_add`; definitions `even` → `Even`. A kind at the
/// front of the label (`thm-even-add`) is not part of the name unless nothing else is.
pub fn declaration_name(kind: TargetKind, label: &str) -> String {
    let parts: Vec<&str> = words(label).collect();
    let rest = match parts.split_first() {
        Some((first, rest))
            if PREFIXES.contains(first)
                && rest.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_alphabetic())) =>
        {
            rest
        }
        _ => &parts[..],
    };
    if kind.is_definition() { upper_camel(rest.iter().copied()) } else { rest.join("_").to_ascii_lowercase() }
}

/// True of a name that can be the last part of a Lean declaration: letters, digits, `_`, `'`, `.`-separated.
pub(crate) fn is_declaration(name: &str) -> bool {
    name.split('.').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || matches!(c, '_' | '\'' | '!' | '?'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_chapters_and_declarations_follow_the_documented_rules() {
        assert_eq!(label("thm:Even.add"), "thm-even-add");
        assert_eq!(label("  Theorem 3.2 (Heine-Borel) "), "theorem-3-2-heine-borel");
        assert_eq!(module_name("Numbers", "01-parity"), "Numbers.Parity");
        assert_eq!(module_name("Numbers", "12"), "Numbers.Chapter12");
        assert_eq!(declaration_name(TargetKind::Theorem, "even-add"), "even_add");
        assert_eq!(declaration_name(TargetKind::Theorem, "thm-even-add"), "even_add");
        assert_eq!(declaration_name(TargetKind::Theorem, "theorem-3-2"), "theorem_3_2");
        assert_eq!(declaration_name(TargetKind::Definition, "binary-tree"), "BinaryTree");
        assert!(is_declaration("Tree.size") && !is_declaration("3x") && !is_declaration("a b"));
    }
}
