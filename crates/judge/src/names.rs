//! Lean's names: how they are written, and which of them Lean made up.

use atlas_lean_kernel::{Name, NameId, Terms};

/// A part of a name.
enum Part<'t> {
    Text(&'t str),
    Number(u64),
}

/// From the last part to the first.
fn parts(terms: &Terms, mut name: NameId) -> impl Iterator<Item = Part<'_>> {
    std::iter::from_fn(move || match terms.get_name(name) {
        Name::Anonymous => None,
        Name::Str(before, text) => {
            name = before;
            Some(Part::Text(terms.get_text(text)))
        }
        Name::Num(before, number) => {
            name = before;
            Some(Part::Number(number))
        }
    })
}

/// As Lean prints it: parts that are no identifiers stand in `«»`. Two names that no person would choose may print alike (`«a».«b»`, of
/// one part or of two); [`Judge::examine`](crate::Judge::examine) refuses declarations that do.
pub fn text(terms: &Terms, name: NameId) -> String {
    let mut texts: Vec<String> = parts(terms, name)
        .map(|part| match part {
            Part::Number(number) => number.to_string(),
            Part::Text(text) if is_identifier(text) => text.to_owned(),
            Part::Text(text) => format!("«{text}»"),
        })
        .collect();
    texts.reverse();
    texts.join(".")
}

/// Whether Lean made the name up for its own use.
pub(crate) fn is_auxiliary(terms: &Terms, name: NameId) -> bool {
    parts(terms, name).enumerate().any(|(k, part)| match part {
        Part::Number(_) => true,
        Part::Text(text) => is_made_up(text, k == 0),
    })
}

/// Whether Lean gives such names to parts that it splits off from a declaration, matchers and proofs, and to what is
/// private to a module: nobody's target, whatever it is. Unlike [`is_auxiliary`] this leaves out
/// what people may call their theorems (`N.Tree.induct`).
pub(crate) fn is_split_off(terms: &Terms, name: NameId) -> bool {
    is_inlined(terms, name)
        || parts(terms, name).any(|part| match part {
            Part::Number(_) => true,
            Part::Text(text) => text.starts_with('_'),
        })
}

/// Whether a constant of this name is a part of what uses it and no thing of its own: matchers, proofs that were split
/// off. Lean shares them between declarations by content, so that their names depend on what was elaborated before.
pub(crate) fn is_inlined(terms: &Terms, name: NameId) -> bool {
    match parts(terms, name).next() {
        Some(Part::Text(text)) => {
            text.starts_with('_') || is_numbered(text, "match_") || is_numbered(text, "proof_")
        }
        _ => false,
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

/// Whether Lean made up a name that is known as text only: of one that nobody has asked Lean about yet.
pub fn is_auxiliary_text(name: &str) -> bool {
    name.split('.').rev().enumerate().any(|(k, part)| is_made_up(part, k == 0))
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
    use atlas_lean_kernel::Base;

    use super::*;

    fn name(terms: &mut Terms, parts: &[&str]) -> NameId {
        parts.iter().fold(terms.name_anonymous(), |name, part| terms.name_str(name, part).unwrap())
    }

    #[test]
    fn names_that_people_choose_print_as_they_write_them() {
        let mut terms = Base::empty().terms();
        let (two, one) = (name(&mut terms, &["Quot", "sound"]), name(&mut terms, &["Quot.sound"]));
        assert_eq!((text(&terms, two).as_str(), text(&terms, one).as_str()), ("Quot.sound", "«Quot.sound»"));
        assert_eq!(name(&mut terms, &["Quot", "sound"]), two);
        let numbered = terms.name_num(two, 7).unwrap();
        assert_eq!(text(&terms, numbered), "Quot.sound.7");
    }

    #[test]
    fn what_lean_makes_up_is_told_from_what_people_write() {
        let mut terms = Base::empty().terms();
        for (parts, auxiliary) in [
            (&["Numbers", "Tree", "size"][..], false),
            (&["Numbers", "Tree", "casesOn"], true),
            (&["Numbers", "sumTo", "match_1"], true),
            (&["Numbers", "foo", "_proof_1"], true),
            (&["_private", "Numbers", "foo"], true),
            (&["eq_comm"], false),
            (&["Numbers", "foo", "eq_1"], true),
        ] {
            let name = name(&mut terms, parts);
            assert_eq!(is_auxiliary(&terms, name), auxiliary, "{parts:?}");
            assert_eq!(is_auxiliary_text(&parts.join(".")), auxiliary, "{parts:?}");
        }
    }
}
