//! What a statement is made of, kept when it is frozen, so that somebody can be told later *what* has changed. Nothing is decided by it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::library::Kind;

/// What one declaration says, as digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// What it is.
    pub kind: Kind,
    /// SHA-256 (hex) of its type.
    pub type_hash: String,
    /// SHA-256 (hex) of all that it says; of a theorem nothing more than its type, universe parameters beside it.
    pub content_hash: String,
}

/// A declaration and those that its statement rests on, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline(pub BTreeMap<String, Said>);

impl Outline {
    /// What differs now from how it was `before`, in words: the first few declarations.
    pub fn changes(&self, before: &Self) -> Vec<String> {
        const MOST: usize = 5;
        let was = before.0.iter().filter_map(|(name, was)| {
            Some(match self.0.get(name) {
                None => format!("it no longer rests on `{name}`"),
                Some(now) if now == was => return None,
                Some(now) if now.kind != was.kind => {
                    format!("`{name}` was {} and is {}", was.kind.as_str(), now.kind.as_str())
                }
                Some(now) if now.type_hash != was.type_hash => format!("`{name}` has another type"),
                Some(_) if was.kind == Kind::Theorem => format!("`{name}` has other universe parameters"),
                Some(_) if was.kind == Kind::Inductive => {
                    format!("`{name}` has other constructors or parameters")
                }
                Some(_) => format!("`{name}` has another value"),
            })
        });
        let new = self.0.keys().filter(|name| !before.0.contains_key(*name));
        was.chain(new.map(|name| format!("it rests on `{name}`, which it did not"))).take(MOST).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_by_declaration_and_in_what() {
        let said =
            |kind, ty: &str, content: &str| Said { kind, type_hash: ty.into(), content_hash: content.into() };
        let outline = |list: &[(&str, Said)]| {
            Outline(list.iter().map(|(name, said)| ((*name).to_owned(), said.clone())).collect())
        };
        let before = outline(&[
            ("N.Even", said(Kind::Definition, "t", "v")),
            ("N.Old", said(Kind::Definition, "t", "v")),
            ("N.T", said(Kind::Inductive, "t", "c")),
            ("N.t", said(Kind::Theorem, "p", "p")),
        ]);
        let after = outline(&[
            ("N.Even", said(Kind::Definition, "t", "w")),
            ("N.New", said(Kind::Definition, "t", "v")),
            ("N.T", said(Kind::Inductive, "t", "c")),
            ("N.t", said(Kind::Theorem, "q", "q")),
        ]);
        assert!(before.changes(&before).is_empty());
        assert_eq!(
            after.changes(&before),
            [
                "`N.Even` has another value",
                "it no longer rests on `N.Old`",
                "`N.t` has another type",
                "it rests on `N.New`, which it did not",
            ]
        );
    }
}
