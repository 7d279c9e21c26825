//! Lean's names, interned.

use std::collections::HashMap;

use atlas_lean_wasm::Malformed;

use crate::objects::Objects;

/// An interned name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NameId(u32);

/// A part of a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Part {
    Text(String),
    Number(Vec<u8>),
}

/// All names that have been seen.
#[derive(Default)]
pub(crate) struct Names {
    ids: HashMap<Vec<Part>, NameId>,
    parts: Vec<Vec<Part>>,
    by_address: HashMap<u32, NameId>,
}

/// Longest name that is read, in parts.
const LONGEST: usize = 256;

impl Names {
    fn intern(&mut self, parts: Vec<Part>) -> NameId {
        if let Some(id) = self.ids.get(&parts) {
            return *id;
        }
        let id = NameId(self.parts.len() as u32);
        self.parts.push(parts.clone());
        self.ids.insert(parts, id);
        id
    }

    /// The name of text parts, such as `["Classical", "choice"]`.
    pub(crate) fn of(&mut self, parts: &[&str]) -> NameId {
        self.intern(parts.iter().map(|p| Part::Text((*p).to_owned())).collect())
    }

    /// The name object at `address`.
    pub(crate) fn read(&mut self, heap: &dyn Objects, address: u32) -> Result<NameId, Malformed> {
        if let Some(id) = self.by_address.get(&address) {
            return Ok(*id);
        }
        let mut parts = vec![];
        let mut at = address;
        loop {
            match heap.constructor(at)? {
                0 => break,
                1 => parts.push(Part::Text(heap.string(heap.field(at, 1)?)?.to_owned())),
                2 => parts.push(Part::Number(heap.natural(heap.field(at, 1)?)?)),
                _ => return Err(Malformed { address: at, what: "not a name" }),
            }
            if parts.len() > LONGEST {
                return Err(Malformed { address, what: "name too long" });
            }
            at = heap.field(at, 0)?;
        }
        parts.reverse();
        let id = self.intern(parts);
        self.by_address.insert(address, id);
        Ok(id)
    }

    /// An injective encoding: names that differ have keys that differ, whatever their parts hold.
    pub(crate) fn key(&self, name: NameId) -> Vec<u8> {
        let mut key = vec![];
        for part in &self.parts[name.0 as usize] {
            let (tag, bytes) = match part {
                Part::Text(text) => (b's', text.as_bytes()),
                Part::Number(number) => (b'n', &number[..]),
            };
            key.push(tag);
            key.extend((bytes.len() as u64).to_le_bytes());
            key.extend(bytes);
        }
        key
    }

    /// As Lean prints it: parts that are no identifiers stand in `«»`.
    pub(crate) fn text(&self, name: NameId) -> String {
        let part = |p: &Part| match p {
            Part::Number(number) => {
                let small = number.iter().rev().take(8).fold(0_u64, |n, b| n << 8 | u64::from(*b));
                small.to_string()
            }
            Part::Text(text) if is_identifier(text) => text.clone(),
            Part::Text(text) => format!("«{text}»"),
        };
        self.parts[name.0 as usize].iter().map(part).collect::<Vec<_>>().join(".")
    }

    /// Whether Lean made the name up for its own use.
    pub(crate) fn is_auxiliary(&self, name: NameId) -> bool {
        let parts = &self.parts[name.0 as usize];
        parts.iter().enumerate().any(|(k, p)| match p {
            Part::Number(_) => true,
            Part::Text(text) => is_made_up(text, k + 1 == parts.len()),
        })
    }

    /// Whether Lean gives such names to parts that it splits off from a declaration, matchers and proofs, and to what is
    /// private to a module: nobody's target, whatever it is. Unlike [`Names::is_auxiliary`] this leaves out
    /// what people may call their theorems (`N.Tree.induct`).
    pub(crate) fn is_split_off(&self, name: NameId) -> bool {
        let made_up = |part: &Part| match part {
            Part::Number(_) => true,
            Part::Text(text) => text.starts_with('_'),
        };
        self.is_inlined(name) || self.parts[name.0 as usize].iter().any(made_up)
    }

    /// Whether a constant of this name is a part of what uses it and no thing of its own: matchers, proofs that were split
    /// off. Lean shares them between declarations by content, so that their names depend on what was elaborated before.
    pub(crate) fn is_inlined(&self, name: NameId) -> bool {
        match self.parts[name.0 as usize].last() {
            Some(Part::Text(text)) => {
                text.starts_with('_') || is_numbered(text, "match_") || is_numbered(text, "proof_")
            }
            _ => false,
        }
    }
}

/// What Lean derives from an inductive type or a definition under a name of its own.
const LAST_PARTS: &[&str] = &[
    "rec",
    "recOn",
    "casesOn",
    "below",
    "brecOn",
    "ibelow",
    "binductionOn",
    "noConfusion",
    "noConfusionType",
    "injEq",
    "inj",
    "sizeOf_spec",
    "ctorIdx",
    "toCtorIdx",
    "ctorElim",
    "ctorElimType",
    "elim",
    "induct",
    "induct_unfolding",
    "fun_cases",
    "fun_cases_unfolding",
    "ndrec",
    "ndrecOn",
    "congr_simp",
    "hinj",
    "eq_def",
    "eq_unfold",
];

fn is_made_up(part: &str, last: bool) -> bool {
    let numbered =
        || ["match_", "eq_", "proof_", "below_", "rec_", "brecOn_"].iter().any(|p| is_numbered(part, p));
    part.starts_with('_') || last && (numbered() || LAST_PARTS.contains(&part))
}

/// [`Names::is_auxiliary`] of a name as text, for names that Lean has not been asked for yet.
pub(crate) fn is_auxiliary_text(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    parts.iter().enumerate().any(|(k, part)| is_made_up(part, k + 1 == parts.len()))
}

fn is_numbered(text: &str, before: &str) -> bool {
    text.strip_prefix(before).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    let first = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_');
    first && chars.all(|c| c.is_alphanumeric() || "_'!?".contains(c) || ('₀'..='₉').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_print_alike_have_different_keys() {
        let mut names = Names::default();
        let (two, one) = (names.of(&["Quot", "sound"]), names.of(&["Quot.sound"]));
        assert_ne!(names.key(two), names.key(one));
        assert_eq!((names.text(two), names.text(one)), ("Quot.sound".into(), "«Quot.sound»".into()));
        assert_eq!(names.of(&["Quot", "sound"]), two);
    }

    #[test]
    fn what_lean_makes_up_is_told_from_what_people_write() {
        let mut names = Names::default();
        for (parts, auxiliary) in [
            (&["Numbers", "Tree", "size"][..], false),
            (&["Numbers", "Tree", "casesOn"], true),
            (&["Numbers", "sumTo", "match_1"], true),
            (&["Numbers", "foo", "_proof_1"], true),
            (&["_private", "Numbers", "foo"], true),
            (&["eq_comm"], false),
            (&["Numbers", "foo", "eq_1"], true),
        ] {
            let name = names.of(parts);
            assert_eq!(names.is_auxiliary(name), auxiliary, "{parts:?}");
        }
    }
}
