//! What no kernel can see and a reviewer should: facts about declarations that are true and may nevertheless say nothing.
//!
//! A theorem whose hypotheses contradict each other is a theorem. So is one whose conclusion is a field of the structure that it assumes, or
//! whose definitions are all `True`. Nothing is refused for that; it is *noticed*, in words with names, by looking at the terms that the
//! kernels have accepted. Binders' names mean nothing to a term, so they change no tag. `docs/tags.md` has each kind with an example.
//!
//! ```text
//! kind.rs        the kinds, their weight
//! look.rs        what the rules share: opened declarations, the book's structures and theorems
//! print.rs       terms in words
//! statement.rs   rules on what a theorem says
//! hypothesis.rs  rules on what it assumes
//! proof.rs       rules on how it is proved
//! definition.rs  rules on definitions and structures
//! cone.rs        rules on what a statement rests on
//! book.rs        the book beside the Lean: what a target should speak of
//! ```

mod book;
mod cone;
mod definition;
mod hypothesis;
mod kind;
mod look;
mod print;
mod proof;
mod statement;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use atlas_lean_kernel::{Declarations, Limits, NameId, Nature, Seen, Terms};

pub use book::{Dependency, unmentioned};
pub use kind::{Kind, Weight};
use look::{Look, Words};

/// Steps for one rule on one declaration: some tenths of a second at the most.
const STEPS: u64 = 2_000_000;
/// Nested calls for one rule.
const DEPTH: u32 = 5_000;
/// The most tags of one declaration, and bytes of one's evidence: a reviewer reads them.
const MOST: usize = 16;
const LONGEST: usize = 600;

/// Something noticed of a declaration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Tag {
    /// What it is; its weight follows.
    pub kind: Kind,
    /// What was seen, in words with names.
    pub evidence: String,
}

impl Tag {
    /// A tag; evidence that is too long is cut.
    pub fn new(kind: Kind, evidence: impl Into<String>) -> Self {
        let mut evidence = evidence.into();
        if evidence.len() > LONGEST {
            evidence.truncate(evidence.floor_char_boundary(LONGEST));
            evidence.push('…');
        }
        Self { kind, evidence }
    }
}

impl From<&Tag> for atlas_proto::Tag {
    fn from(tag: &Tag) -> Self {
        let weight = match tag.kind.weight() {
            Weight::Information => atlas_proto::tag::Weight::Information,
            Weight::Doubt => atlas_proto::tag::Weight::Doubt,
            Weight::Grave => atlas_proto::tag::Weight::Grave,
        };
        Self { kind: tag.kind.as_str().to_owned(), weight: weight.into(), evidence: tag.evidence.clone() }
    }
}

/// A rule: what it notices of a declaration.
type Rule = fn(&mut Look<'_, '_>, NameId) -> Seen<Vec<Tag>>;

/// Tags of the declarations in `declarations`, by name, the gravest first; declarations of which nothing was noticed are not among them. All must have been
/// accepted by a kernel. `library`: the number of the first declaration of the base that is the library's and not the toolchain's.
/// `named`: whether a person would name a declaration so; of others nothing is said. What takes too long to find out is
/// told as [`Kind::NotExamined`].
pub fn of(
    terms: &mut Terms,
    declarations: &Declarations,
    library: usize,
    named: &(dyn Fn(&str) -> bool + Sync),
) -> BTreeMap<String, Vec<Tag>> {
    // Without its words nothing can be looked for: then the tables are full, and the kernel has said so.
    let Ok(words) = Words::new(terms) else { return BTreeMap::new() };
    let limits = Limits { steps: STEPS, depth: DEPTH, ..Limits::default() };
    let seen = declarations.inspect(terms, &limits, |see| {
        let mut look = Look::new(see, &words, library);
        let mut found = BTreeMap::new();
        for name in declarations.names() {
            let shown = look.show(name);
            if !named(&shown) {
                continue;
            }
            let tags = look_at(&mut look, name);
            if !tags.is_empty() {
                found.insert(shown, tags);
            }
        }
        found
    });
    let lost = || {
        tracing::error!("looking for tags failed");
        let all = declarations.names().map(|name| terms.show(name)).filter(|name| named(name));
        all.map(|name| (name, vec![Tag::new(Kind::NotExamined, "looking at it failed")])).collect()
    };
    seen.unwrap_or_else(lost)
}

fn look_at(look: &mut Look<'_, '_>, name: NameId) -> Vec<Tag> {
    let groups: &[&[Rule]] = match look.see.nature(name) {
        Some(Nature::Theorem) => &[statement::RULES, hypothesis::RULES, proof::RULES, cone::RULES],
        Some(Nature::Definition | Nature::Opaque | Nature::Inductive) => &[definition::RULES, cone::RULES],
        _ => &[],
    };
    let mut tags = apply(look, name, groups.iter().copied().flatten());
    tags.sort_by(|a, b| b.kind.weight().cmp(&a.kind.weight()).then_with(|| a.cmp(b)));
    tags.dedup();
    tags.truncate(MOST);
    tags
}

/// What these rules notice.
fn apply<'r>(look: &mut Look<'_, '_>, name: NameId, rules: impl Iterator<Item = &'r Rule>) -> Vec<Tag> {
    let (mut tags, mut missed) = (vec![], false);
    for rule in rules {
        match rule(look, name) {
            Ok(found) => tags.extend(found),
            Err(_) => missed = true,
        }
    }
    if missed {
        tags.push(Tag::new(Kind::NotExamined, "its terms take too long to look at in full"));
    }
    tags
}
