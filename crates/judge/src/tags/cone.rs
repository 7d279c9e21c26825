//! What a statement rests on: the definitions below it, at any depth.

use std::collections::HashSet;
use std::rc::Rc;

use atlas_lean_kernel::{Name, NameId, Nature, Seen};

use super::look::Look;
use super::{Kind, Rule, Tag, Weight, apply, definition};

pub(super) const RULES: &[Rule] = &[tagged, opaque];

/// The most definitions below a statement that are looked at.
const MOST: usize = 2_000;

/// The library's constants that what `name` says rests on, each after one that names it; `name` itself is not among them.
fn cone(look: &mut Look<'_, '_>, name: NameId) -> (Vec<NameId>, HashSet<NameId>) {
    let (mut seen, mut found, mut others) = (HashSet::from([name]), vec![], HashSet::new());
    let mut todo = vec![name];
    while let Some(at) = todo.pop() {
        let says = look.see.declared_type(at).into_iter();
        let value = match look.see.nature(at) {
            Some(Nature::Definition) => look.see.value(at),
            _ => None,
        };
        let mut names: Vec<NameId> = says.chain(value).flat_map(|e| look.see.constants(e)).collect();
        names.extend(look.see.constructors(at).into_iter().flatten());
        for used in names {
            if look.is_library(used) {
                if seen.insert(used) && found.len() < MOST {
                    found.push(used);
                    todo.push(used);
                }
            } else {
                others.insert(used);
            }
        }
    }
    (found, others)
}

/// Definitions below that are tagged themselves.
fn tagged(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let mut tags = vec![];
    for below in cone(look, name).0 {
        for noticed in noticed(look, below).iter().filter(|tag| tag.kind.weight() >= Weight::Doubt) {
            let evidence = format!("`{}` ({}): {}", look.show(below), noticed.kind, noticed.evidence);
            tags.push(Tag::new(Kind::RestsOnTagged, evidence));
        }
    }
    Ok(tags)
}

/// What is noticed of a definition by itself.
fn noticed(look: &mut Look<'_, '_>, name: NameId) -> Rc<[Tag]> {
    if let Some(known) = look.noticed.get(&name) {
        return Rc::clone(known);
    }
    let made =
        look.shelf().projections.values().any(|projection| *projection == name) || is_derived(look, name);
    let tags = match look.see.nature(name) {
        Some(Nature::Definition | Nature::Inductive) if !made => apply(look, name, definition::RULES.iter()),
        _ => vec![],
    };
    let tags: Rc<[Tag]> = tags.into();
    look.noticed.insert(name, Rc::clone(&tags));
    tags
}

/// What Lean derives from every inductive type.
const DERIVED: &[&str] = &[
    "below",
    "brecOn",
    "casesOn",
    "ctorElim",
    "ctorElimType",
    "ctorIdx",
    "noConfusion",
    "noConfusionType",
    "recOn",
    "toCtorIdx",
];

/// Whether Lean has made the definition with its type. Nobody else can have such a name.
fn is_derived(look: &Look<'_, '_>, name: NameId) -> bool {
    let terms = look.see.terms();
    let Name::Str(of, part) = terms.get_name(name) else { return false };
    DERIVED.contains(&terms.get_text(part)) && look.see.nature(of) == Some(Nature::Inductive)
}

/// What does not unfold.
fn opaque(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let (below, others) = cone(look, name);
    let mut told = vec![];
    for used in below {
        match look.see.nature(used) {
            Some(Nature::Opaque) => {
                told.push(format!("`{}` is opaque: it does not say what it is", look.show(used)))
            }
            Some(Nature::Axiom) => told.push(format!("`{}` is an axiom", look.show(used))),
            _ => {}
        }
    }
    if others.iter().any(|used| look.as_word(*used) == "sorryAx") {
        told.push("`sorry` is in it, or in a definition below".to_owned());
    }
    told.sort();
    let theorem = look.see.nature(name) == Some(Nature::Theorem);
    let what = if theorem { "the statement rests on it" } else { "the definition rests on it" };
    Ok(told.into_iter().map(|why| Tag::new(Kind::RestsOnOpaque, format!("{why}; {what}"))).collect())
}
