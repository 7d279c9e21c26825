//! What a theorem assumes.

use std::collections::HashSet;

use atlas_lean_kernel::{Expr, ExprId, NameId, Seen};

use super::look::{Look, Opened};
use super::{Kind, Rule, Tag, statement};

pub(super) const RULES: &[Rule] = &[falsehood, contradiction, assumed, fields, unrelated, unconstructed];

/// How deep a conclusion is looked for in structures within structures.
const DEEPEST: usize = 3;

/// A hypothesis as evidence calls it.
pub(super) fn called(look: &mut Look<'_, '_>, opened: &Opened, k: usize) -> String {
    format!("hypothesis `{}` (binder {})", look.say(opened.types[k], &opened.vars), k + 1)
}

/// A hypothesis that unfolds to `False`.
fn falsehood(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let mut tags = vec![];
    for &k in &opened.hypotheses {
        let unfolded = look.see.whnf(opened.types[k])?;
        let denied = denies(look, unfolded)?;
        let untrue = match denied {
            Some(denied) => statement::trivial(look, denied)?.is_some(),
            None => look.word(unfolded) == "False",
        };
        if untrue {
            let what = called(look, &opened, k);
            tags.push(Tag::new(Kind::FalseHypothesis, format!("{what} cannot hold")));
        }
    }
    Ok(tags)
}

/// `p` of a proposition that unfolds to `p → False`.
fn denies(look: &mut Look<'_, '_>, proposition: ExprId) -> Seen<Option<ExprId>> {
    let unfolded = match look.word(proposition) {
        "Not" | "Ne" => look.see.whnf(proposition)?,
        _ => proposition,
    };
    let Expr::Pi(denied, codomain) = look.see.terms().get(unfolded) else { return Ok(None) };
    Ok((look.see.terms().closed(codomain) && look.word(codomain) == "False").then_some(denied))
}

/// Two hypotheses, one the negation of the other.
fn contradiction(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let mut tags = vec![];
    for &k in &opened.hypotheses {
        let Some(denied) = denies(look, opened.types[k])? else { continue };
        for &j in &opened.hypotheses {
            if look.same(denied, opened.types[j])? {
                let (a, b) = (called(look, &opened, j), called(look, &opened, k));
                tags.push(Tag::new(Kind::ContradictoryHypotheses, format!("{b} is the negation of {a}")));
            }
        }
    }
    Ok(tags)
}

/// The conclusion among the hypotheses.
fn assumed(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    for &k in &opened.hypotheses {
        for form in opened.forms(look, k + 1) {
            if look.same(opened.types[k], form)? {
                let evidence = format!("the conclusion is {}", called(look, &opened, k));
                return Ok(vec![Tag::new(Kind::ConclusionAssumed, evidence)]);
            }
        }
    }
    Ok(vec![])
}

/// The conclusion as a field of a structure that is assumed.
fn fields(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    for k in 0..opened.vars.len() {
        let forms = opened.forms(look, k + 1);
        if let Some((structure, field)) = holds(look, opened.types[k], opened.vars[k], &forms, DEEPEST)? {
            let (of, ty) = (look.field(structure, field), look.say(opened.types[k], &opened.vars));
            let kind = match look.is_library(structure) {
                true => Kind::FieldHoldsConclusion,
                false => Kind::ConclusionInHypothesis,
            };
            let evidence = format!("the conclusion is {of} of what is assumed as `{ty}` (binder {})", k + 1);
            return Ok(vec![Tag::new(kind, evidence)]);
        }
    }
    Ok(vec![])
}

/// The structure and field at which a value of type `ty` holds a proof of one of `forms`.
fn holds(
    look: &mut Look<'_, '_>,
    ty: ExprId,
    value: ExprId,
    forms: &[ExprId],
    deep: usize,
) -> Seen<Option<(NameId, u32)>> {
    let Some((structure, types)) = look.see.fields(ty, value)? else { return Ok(None) };
    for (field, ty) in (0..).zip(&types) {
        if look.see.is_proposition(*ty)? {
            for form in forms {
                if look.same(*ty, *form)? {
                    return Ok(Some((structure, field)));
                }
            }
        }
        let within = look.see.head(*ty).is_some_and(|head| look.see.structure(head).is_some());
        if within && deep > 0 {
            let inner = look.see.projection(structure, field, value);
            if let Some(found) = holds(look, *ty, inner, forms, deep - 1)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Hypotheses that speak of nothing that the conclusion speaks of.
fn unrelated(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    // Types tie nothing together: everything is about some α.
    let mut data = HashSet::new();
    for (k, var) in opened.vars.iter().enumerate() {
        let (_, sort) = look.see.open(opened.types[k]);
        if !opened.hypotheses.contains(&k) && !matches!(look.see.terms().get(sort), Expr::Sort(_)) {
            data.insert(*var);
        }
    }
    let speaks = |look: &Look<'_, '_>, e: ExprId| -> HashSet<ExprId> {
        look.variables([e]).intersection(&data).copied().collect()
    };
    let all: HashSet<ExprId> = opened.vars.iter().copied().collect();
    let mut tags = vec![];
    let mut open: Vec<usize> = vec![];
    for &k in &opened.hypotheses {
        if look.variables([opened.types[k]]).is_disjoint(&all) {
            tags.push(closed(look, &opened, k));
        } else if !speaks(look, opened.types[k]).is_empty() {
            open.push(k);
        }
    }
    let mut related = speaks(look, opened.conclusion);
    if related.is_empty() {
        return Ok(tags);
    }
    while let Some(at) = open.iter().position(|k| !speaks(look, opened.types[*k]).is_disjoint(&related)) {
        related.extend(speaks(look, opened.types[open.swap_remove(at)]));
    }
    open.sort_unstable();
    for k in open {
        let what = called(look, &opened, k);
        let evidence = format!("{what} shares no variable with the conclusion, not even through others");
        tags.push(Tag::new(Kind::UnrelatedHypothesis, evidence));
    }
    Ok(tags)
}

/// A hypothesis that is a proposition of its own.
fn closed(look: &mut Look<'_, '_>, opened: &Opened, k: usize) -> Tag {
    let what = called(look, opened, k);
    let shelf = look.shelf();
    let theorem = shelf.theorems.get(&opened.types[k]).and_then(|all| all.first()).map(|t| look.show(*t));
    let evidence = match theorem {
        Some(theorem) => format!("{what} speaks of no variable: it is what `{theorem}` states"),
        None => format!("{what} speaks of no variable: it is a proposition of its own, assumed here"),
    };
    Tag::new(Kind::ClosedHypothesis, evidence)
}

/// A structure with axioms of its own of which the library has no example.
fn unconstructed(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let shelf = look.shelf();
    let mut told = HashSet::new();
    for (ty, var) in opened.types.iter().zip(&opened.vars) {
        let Some(structure) = look.see.head(*ty) else { continue };
        if look.is_library(structure)
            && look.see.structure(structure).is_some()
            && !shelf.built.contains(&structure)
            && has_axioms(look, *ty, *var, DEEPEST)?
        {
            told.insert(look.show(structure));
        }
    }
    let mut told: Vec<String> = told.into_iter().collect();
    told.sort();
    let tag = |structure: &String| {
        let evidence = format!("nothing in the library is a `{structure}`: perhaps nothing can be");
        Tag::new(Kind::UnconstructedStructure, evidence)
    };
    Ok(told.iter().map(tag).collect())
}

/// Whether a structure has a field that is a proof, perhaps in a structure within it.
fn has_axioms(look: &mut Look<'_, '_>, ty: ExprId, value: ExprId, deep: usize) -> Seen<bool> {
    let Some((structure, types)) = look.see.fields(ty, value)? else { return Ok(false) };
    for (field, ty) in (0..).zip(&types) {
        if look.see.is_proposition(*ty)? {
            return Ok(true);
        }
        let inner = look.see.projection(structure, field, value);
        if deep > 0
            && look.see.head(*ty).is_some_and(|s| look.see.structure(s).is_some())
            && has_axioms(look, *ty, inner, deep - 1)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
