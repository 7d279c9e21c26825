//! Definitions and structures.

use atlas_lean_kernel::{Expr, ExprId, Name, NameId, Nature, Seen};

use super::look::{Look, Opened};
use super::{Kind, Rule, Tag, statement};

pub(super) const RULES: &[Rule] = &[body, construction, structure, operations];

/// A body that says nothing, or does without arguments.
fn body(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let Some(value) = opened.body else { return Ok(vec![]) };
    if look.see.is_prop_sort(opened.conclusion) {
        let falsehood = falsehood(look, value)?;
        if let Some(why) = statement::trivial(look, value)?.or(falsehood) {
            let every = if opened.vars.is_empty() { "" } else { ", whatever its arguments are" };
            let said = look.say(value, &opened.vars);
            return Ok(vec![Tag::new(Kind::ConstantProposition, format!("`{said}` {why}{every}"))]);
        }
    }
    if let Some(k) = opened.vars.iter().position(|var| *var == value) {
        return Ok(vec![Tag::new(Kind::ReturnsArgument, format!("it is {}", argument(look, &opened, k)))]);
    }
    Ok(ignored(look, &opened, value))
}

fn argument(look: &mut Look<'_, '_>, opened: &Opened, k: usize) -> String {
    format!("its argument {}, of type `{}`", k + 1, look.say(opened.types[k], &opened.vars))
}

/// Why a proposition never holds, as far as its form tells.
fn falsehood(look: &mut Look<'_, '_>, proposition: ExprId) -> Seen<Option<&'static str>> {
    let unfolded = look.see.whnf(proposition)?;
    let (_, args) = look.see.spine(unfolded);
    Ok(match (look.word(unfolded), &args[..]) {
        ("False", _) => Some("unfolds to `False`"),
        ("And", [a, b]) => {
            let either = falsehood(look, *a)?.is_some() || falsehood(look, *b)?.is_some();
            either.then_some("has a part that is `False`")
        }
        _ => None,
    })
}

/// Arguments that nothing in a definition speaks of.
fn ignored(look: &mut Look<'_, '_>, opened: &Opened, value: ExprId) -> Vec<Tag> {
    let spoken = look.variables(opened.types.iter().copied().chain([opened.conclusion, value]));
    let unused = |k: &usize| !spoken.contains(&opened.vars[*k]);
    let ignored: Vec<usize> = (0..opened.vars.len()).filter(unused).collect();
    if ignored.is_empty() {
        return vec![];
    }
    let used = look.variables([value]);
    let constant = opened.vars.iter().all(|var| !used.contains(var));
    if constant {
        let said = look.say(value, &opened.vars);
        let evidence = format!("it is `{said}` for all {} of its arguments", opened.vars.len());
        return vec![Tag::new(Kind::ConstantDefinition, evidence)];
    }
    let tag =
        |k: usize| Tag::new(Kind::IgnoresArgument, format!("it does without {}", argument(look, opened, k)));
    ignored.into_iter().map(tag).collect()
}

/// Fields of a structure that is built which are the same whatever they are given.
fn construction(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let Some(value) = opened.body else { return Ok(vec![]) };
    let built = look.see.whnf(value)?;
    let Some((of, params)) = look.see.head(built).and_then(|ctor| look.see.constructed(ctor)) else {
        return Ok(vec![]);
    };
    let own: std::collections::HashSet<ExprId> = opened.vars.iter().copied().collect();
    let mut tags = vec![];
    for (field, given) in (0..).zip(look.see.spine(built).1.into_iter().skip(params as usize)) {
        let ty = look.see.infer(given)?;
        let function = matches!(look.see.terms().get(given), Expr::Lam(..));
        if !function || look.see.is_proposition(ty)? {
            continue;
        }
        let mut result = given;
        while let Expr::Lam(_, body) = look.see.terms().get(result) {
            result = body;
        }
        if look.see.terms().closed(result) && look.variables([result]).is_disjoint(&own) {
            let (field, said) = (look.field(of, field), look.say(result, &opened.vars));
            let evidence = format!("it has `{said}` as {field}, whatever that is given");
            tags.push(Tag::new(Kind::ConstantField, evidence));
        }
    }
    Ok(tags)
}

/// Fields of a structure that say nothing or cannot be had; a type without constructors.
fn structure(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    if look.see.nature(name) != Some(Nature::Inductive) {
        return Ok(vec![]);
    }
    if look.see.constructors(name).is_some_and(|all| all.is_empty()) {
        let evidence = "it has no constructors: nothing is of this type, and no such proposition holds";
        return Ok(vec![Tag::new(Kind::EmptyType, evidence)]);
    }
    let Some(structure) = look.see.structure(name) else { return Ok(vec![]) };
    let opened = look.open(structure.constructor)?;
    let mut tags = vec![];
    for (field, k) in (0..).zip(structure.params as usize..opened.vars.len()) {
        if !opened.hypotheses.contains(&k) {
            continue;
        }
        let ty = opened.types[k];
        if falsehood(look, ty)?.is_some() {
            let evidence = format!("{} cannot be had: there is no such structure", look.field(name, field));
            tags.push(Tag::new(Kind::ImpossibleField, evidence));
        } else if let Some(why) = statement::trivial(look, ty)? {
            let (field, said) = (look.field(name, field), look.say(ty, &opened.vars));
            tags.push(Tag::new(Kind::ContentlessField, format!("{field}, `{said}`, {why}")));
        }
    }
    Ok(tags)
}

/// Operations with values that mathematics does not give them.
fn operations(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let (Some(value), false) = (opened.body, look.see.nature(name) == Some(Nature::Inductive)) else {
        return Ok(vec![]);
    };
    Ok(totalized(look, value))
}

/// The operations in a term that are total only by convention.
pub(super) fn totalized(look: &mut Look<'_, '_>, e: ExprId) -> Vec<Tag> {
    let mut told: Vec<&str> = vec![];
    for e in look.see.subterms(e) {
        let (_, args) = look.see.spine(e);
        let over = |look: &Look<'_, '_>, word: &str| args.first().is_some_and(|ty| look.word(*ty) == word);
        let by = |look: &Look<'_, '_>| args.last().is_some_and(|e| look.word(*e) == "OfNat.ofNat");
        let here = match (look.word(e), args.len()) {
            ("HSub.hSub", 6) if over(look, "Nat") => {
                "subtraction of natural numbers: `a - b` is 0 where `b` is larger"
            }
            ("Nat.sub", 2) => "subtraction of natural numbers: `a - b` is 0 where `b` is larger",
            ("HDiv.hDiv", 6) if over(look, "Nat") || over(look, "Int") => {
                "division of whole numbers: it rounds, and `a / 0` is 0"
            }
            ("Nat.div", 2) => "division of whole numbers: it rounds, and `a / 0` is 0",
            ("HDiv.hDiv", 6) if !by(look) => "division: `a / 0` is 0 in a field",
            ("HMod.hMod", 6) if !by(look) => "remainder: `a % 0` is `a`",
            ("Nat.mod", 2) => "remainder: `a % 0` is `a`",
            ("Inv.inv", 3) => "inverse: `0⁻¹` is 0 in a field",
            ("Nat.pred", 1) => "predecessor: that of 0 is 0",
            ("Nat.log2", 1) => "logarithm: that of 0 is 0",
            ("Int.toNat", 1) => "`Int.toNat`: it is 0 of negative numbers",
            _ => match look.see.terms().get(e) {
                Expr::Const(name, _) if is_partial(look, name) => {
                    "an access with `!`: it is a default where there is nothing"
                }
                _ => continue,
            },
        };
        if !told.contains(&here) {
            told.push(here);
        }
    }
    told.sort_unstable();
    told.into_iter().map(|evidence| Tag::new(Kind::TotalizedOperation, evidence)).collect()
}

/// Whether a constant is called like `List.head!`.
fn is_partial(look: &Look<'_, '_>, name: NameId) -> bool {
    let terms = look.see.terms();
    matches!(terms.get_name(name), Name::Str(_, part) if terms.get_text(part).ends_with('!'))
}
