//! How a theorem is proved. Of one whose own proof is `sorry` there is nothing to say.

use atlas_lean_kernel::{Expr, ExprId, NameId, Seen};

use super::hypothesis::called;
use super::look::{Look, Opened};
use super::{Kind, Rule, Tag};

pub(super) const RULES: &[Rule] = &[unused, shape];

/// The declaration and its proof, if it has one.
fn proved(look: &mut Look<'_, '_>, name: NameId) -> Seen<Option<(Opened, ExprId)>> {
    let opened = look.open(name)?;
    let Some(body) = opened.body else { return Ok(None) };
    let open = look.see.constants(body).into_iter().any(|used| look.as_word(used) == "sorryAx");
    Ok((!open).then_some((opened, body)))
}

/// Hypotheses that the proof does without.
fn unused(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let Some((opened, body)) = proved(look, name)? else { return Ok(vec![]) };
    let used = look.variables(opened.types.iter().copied().chain([opened.conclusion, body]));
    let mut tags = vec![];
    for &k in opened.hypotheses.iter().filter(|k| !used.contains(&opened.vars[**k])) {
        let evidence = format!("the proof does without {}", called(look, &opened, k));
        tags.push(Tag::new(Kind::UnusedHypothesis, evidence));
    }
    Ok(tags)
}

/// What the proof is at its outside.
fn shape(look: &mut Look<'_, '_>, name: NameId) -> Seen<Vec<Tag>> {
    let Some((opened, body)) = proved(look, name)? else { return Ok(vec![]) };
    let body = outside(look, body);
    let (head, args) = look.see.spine(body);
    let conclusion = look.see.whnf(opened.conclusion)?;
    let tag = match look.word(body) {
        "False.elim" | "False.rec" | "False.casesOn" | "Empty.elim" | "Empty.rec" | "Empty.casesOn"
        | "PEmpty.elim" | "absurd"
            if look.word(conclusion) != "False" =>
        {
            let by = look.see.head(head).map(|by| look.show(by)).unwrap_or_default();
            let evidence = format!(
                "the proof derives `False` from what is assumed, by `{by}`: there is no case to which it applies"
            );
            Tag::new(Kind::ProofFromContradiction, evidence)
        }
        "Subsingleton.elim" | "Subsingleton.helim" => {
            let ty = args.first().map(|ty| look.say(*ty, &opened.vars)).unwrap_or_default();
            let evidence = format!("it holds because `{ty}` has at most one value");
            Tag::new(Kind::ProofBySubsingleton, evidence)
        }
        _ => match hypothesis(look, &opened, body)? {
            Some(how) => Tag::new(Kind::ProofByHypothesis, how),
            None => return Ok(vec![]),
        },
    };
    Ok(vec![tag])
}

/// A proof without the local definitions, type ascriptions and the library's own auxiliary lemmas around it.
fn outside(look: &mut Look<'_, '_>, mut body: ExprId) -> ExprId {
    for _ in 0..16 {
        match look.see.terms().get(body) {
            Expr::Let(_, value, inner) => body = look.see.apply_let(inner, value),
            Expr::App(..) => {
                let (head, args) = look.see.spine(body);
                match (look.see.terms().get(head), &args[..]) {
                    (Expr::Lam(..), _) => body = look.see.apply(head, &args),
                    (Expr::Const(id, _), [_, inner]) if look.show(id) == "id" => body = *inner,
                    _ => return body,
                }
            }
            _ => return body,
        }
    }
    body
}

/// How a proof is nothing but a hypothesis, or a field of something assumed, at some arguments.
fn hypothesis(look: &mut Look<'_, '_>, opened: &Opened, body: ExprId) -> Seen<Option<String>> {
    let (mut head, mut fields) = (body, vec![]);
    loop {
        let (function, args) = look.see.spine(head);
        match look.see.terms().get(function) {
            Expr::Proj(structure, field, value) => {
                fields.push(look.field(structure, field));
                head = value;
            }
            Expr::Const(name, _) => {
                let shelf = look.shelf();
                let own = shelf.projections.iter().find(|(_, by)| **by == name).map(|(of, _)| *of);
                // The structure is the last argument that the projection itself takes.
                let taken = look.see.declared_type(name).map_or(0, |ty| arity_to_structure(look, ty));
                match (own, args.get(taken.wrapping_sub(1))) {
                    (Some((structure, field)), Some(value)) => {
                        fields.push(look.field(structure, field));
                        head = *value;
                    }
                    _ => return Ok(None),
                }
            }
            Expr::FVar(..) => {
                let Some(k) = opened.vars.iter().position(|var| *var == function) else { return Ok(None) };
                if fields.is_empty() && !opened.hypotheses.contains(&k) {
                    return Ok(None);
                }
                let what = match opened.hypotheses.contains(&k) {
                    true => called(look, opened, k),
                    false => format!("`{}` (binder {})", look.say(opened.types[k], &opened.vars), k + 1),
                };
                let at = if args.is_empty() { "" } else { ", at some arguments" };
                return Ok(Some(match fields.last() {
                    None => format!("the proof is {what}{at}"),
                    Some(field) => format!("the proof is {field} of {what}{at}"),
                }));
            }
            _ => return Ok(None),
        }
    }
}

/// The number of arguments up to the first one whose type is a structure of the library by its head: of a projection, its parameters and the
/// value.
fn arity_to_structure(look: &Look<'_, '_>, ty: ExprId) -> usize {
    let (mut ty, mut count) = (ty, 0);
    while let Expr::Pi(domain, codomain) = look.see.terms().get(ty) {
        count += 1;
        if look
            .see
            .head(domain)
            .is_some_and(|head| look.see.structure(head).is_some() && look.is_library(head))
        {
            return count;
        }
        ty = codomain;
    }
    0
}
