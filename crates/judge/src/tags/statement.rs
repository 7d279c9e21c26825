//! What a theorem says.

use atlas_lean_kernel::{Expr, ExprId, NameId, Seen};

use super::look::Look;
use super::{Kind, Rule, Tag, definition};

pub(super) const RULES: &[Rule] = &[conclusion, quantifiers, variables, operations, twins];

/// A conclusion that says nothing.
fn conclusion(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let Some(why) = trivial(look, opened.conclusion)? else { return Ok(vec![]) };
    let said = look.say(opened.conclusion, &opened.vars);
    Ok(vec![Tag::new(Kind::TrivialConclusion, format!("the conclusion `{said}` {why}"))])
}

/// Why a proposition says nothing; `None`: it says something, as far as its form tells.
pub(super) fn trivial(look: &mut Look<'_, '_>, proposition: ExprId) -> Seen<Option<&'static str>> {
    let (_, args) = look.see.spine(proposition);
    match (look.word(proposition), &args[..]) {
        ("True", _) => return Ok(Some("is `True`")),
        ("Eq" | "Iff" | "HEq", [.., a, b]) if a == b => {
            return Ok(Some("has the same term on both sides"));
        }
        ("And", [a, b]) => {
            let both = trivial(look, *a)?.is_some() && trivial(look, *b)?.is_some();
            return Ok(both.then_some("is made of parts that say nothing"));
        }
        ("Or", [a, b]) => {
            let either = trivial(look, *a)?.is_some() || trivial(look, *b)?.is_some();
            return Ok(either.then_some("has an alternative that says nothing"));
        }
        ("Exists", [kind, predicate]) => {
            let var = look.see.variable(*kind);
            let body = look.see.apply(*predicate, &[var]);
            return Ok(trivial(look, body)?.map(|_| "says nothing of what exists"));
        }
        _ => {}
    }
    if let Expr::Pi(domain, _) = look.see.terms().get(proposition) {
        let var = look.see.variable(domain);
        let body = look.see.body(proposition, var);
        return trivial(look, body);
    }
    let unfolded = look.see.whnf(proposition)?;
    if look.word(unfolded) == "True" {
        return Ok(Some("unfolds to `True`"));
    }
    if unfolded == proposition { Ok(None) } else { trivial(look, unfolded) }
}

/// `∃` without use of the variable, and with an implication behind it.
fn quantifiers(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let mut tags = vec![];
    let mut todo: Vec<ExprId> = opened.hypotheses.iter().map(|k| opened.types[*k]).collect();
    todo.push(opened.conclusion);
    while let Some(proposition) = todo.pop() {
        let (_, args) = look.see.spine(proposition);
        match (look.word(proposition), &args[..]) {
            ("And" | "Or" | "Iff", [a, b]) => todo.extend([*a, *b]),
            ("Not", [a]) => todo.push(*a),
            ("Exists", [kind, predicate]) => {
                let said = |look: &mut Look<'_, '_>| look.say(proposition, &opened.vars);
                let var = look.see.variable(*kind);
                let body = look.see.apply(*predicate, &[var]);
                if !look.occurs(var, body) {
                    let evidence = format!("`{}` does not speak of what it says exists", said(look));
                    tags.push(Tag::new(Kind::IdleQuantifier, evidence));
                }
                if let Expr::Pi(premise, codomain) = look.see.terms().get(body)
                    && look.see.terms().closed(codomain)
                    && look.occurs(var, premise)
                    && look.see.is_proposition(premise)?
                {
                    let evidence = format!("`{}` holds of whatever does not meet the premise", said(look));
                    tags.push(Tag::new(Kind::ImplicationUnderExists, evidence));
                }
                todo.push(body);
            }
            _ => {
                if let Expr::Pi(domain, _) = look.see.terms().get(proposition) {
                    let var = look.see.variable(domain);
                    todo.push(look.see.body(proposition, var));
                    todo.push(domain);
                }
            }
        }
    }
    Ok(tags)
}

/// Variables of which nothing else speaks; a statement without variables.
fn variables(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let opened = look.open(name)?;
    let spoken = look.variables(opened.types.iter().copied().chain([opened.conclusion]));
    let mut tags = vec![];
    for (k, var) in opened.vars.iter().enumerate() {
        if !opened.hypotheses.contains(&k) && !spoken.contains(var) {
            let said = look.say(opened.types[k], &opened.vars);
            let evidence = format!(
                "nothing speaks of variable {}, of type `{said}`: it only says that there is one",
                k + 1
            );
            tags.push(Tag::new(Kind::UnusedVariable, evidence));
        }
    }
    let quantified = look.see.subterms(opened.conclusion).into_iter().any(|e| {
        look.as_word(look.see.head(e).unwrap_or(name)) == "Exists"
            || matches!(look.see.terms().get(e), Expr::Pi(..) | Expr::Lam(..))
    });
    if opened.vars.is_empty() && !quantified {
        let evidence = "the statement is about particular values only: nothing is quantified";
        tags.push(Tag::new(Kind::ClosedStatement, evidence));
    }
    Ok(tags)
}

/// Operations with values that mathematics does not give them.
fn operations(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    look.see.begin();
    Ok(look.see.declared_type(name).map(|ty| definition::totalized(look, ty)).unwrap_or_default())
}

/// Other theorems that say the same.
fn twins(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let Some(ty) = look.see.declared_type(name) else { return Ok(vec![]) };
    let shelf = look.shelf();
    let Some(all) = shelf.theorems.get(&ty) else { return Ok(vec![]) };
    let others = all.iter().filter(|other| **other != name).map(|other| look.show(*other));
    // What Lean splits off from a proof is nobody's theorem.
    let others = others.filter(|other| !other.contains("._proof_")).take(3);
    Ok(others.map(|other| Tag::new(Kind::SameStatement, format!("`{other}` states the very same"))).collect())
}
