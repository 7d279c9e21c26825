//! What makes a declaration acceptable, given those before it.

mod arithmetic;
mod quotient;

use crate::checker::Checker;
use crate::environment::{Const, Decl, Environment, Kind};
use crate::fault::{Checked, Rule, wrong};
use crate::inductive;
use crate::term::NameId;
use crate::universe;

/// Checks declaration `k` with at most `steps`. Whatever happens, the checker is ready for another one afterwards.
pub(crate) fn check_declaration(ck: &mut Checker<'_>, env: &Environment, k: u32, steps: u64) -> Checked<()> {
    ck.reset(k, steps);
    let Some((decl, consts)) = env.decl(k) else { return wrong(Rule::Declaration, "no such declaration") };
    match decl {
        Decl::One(i) => check_one(ck, &consts[i as usize])?,
        Decl::Block(at) => {
            let [types, ctors, recs, end] = at.map(|i| i as usize);
            let part = |r: std::ops::Range<usize>| consts[r].iter().collect::<Vec<_>>();
            let (types, ctors, recs) = (part(types..ctors), part(ctors..recs), part(recs..end));
            for c in types.iter().chain(&ctors).chain(&recs) {
                distinct(&c.params)?;
            }
            ck.params = types.first().map(|t| t.params.clone()).unwrap_or_default();
            inductive::check(ck, &types, &ctors, &recs)?;
        }
    }
    // A limit that was hit may have made a wrong term look right.
    ck.sound()
}

fn distinct(ps: &[NameId]) -> Checked<()> {
    for (i, p) in ps.iter().enumerate() {
        if ps[..i].contains(p) {
            return wrong(Rule::UniverseParameter, "a universe parameter is declared twice");
        }
    }
    Ok(())
}

/// A constant of its own: its type is a type, its value has it, and a theorem's is a proposition. The last matters: theorems are
/// never unfolded where their statement is enough, and Lean treats their proofs as irrelevant.
fn check_one(ck: &mut Checker<'_>, c: &Const) -> Checked<()> {
    distinct(&c.params)?;
    ck.params.clone_from(&c.params);
    let l = ck.sort_of(c.ty, true)?;
    match &c.kind {
        Kind::Axiom | Kind::Given => arithmetic::check_type(ck, c),
        Kind::Thm { value } | Kind::Def { value, .. } | Kind::Opaque { value } => {
            if matches!(c.kind, Kind::Thm { .. }) && !universe::is_zero(&mut ck.t, l)? {
                return wrong(Rule::TheoremNotProposition, "the statement of a theorem is no proposition");
            }
            let ty = ck.check(*value)?;
            if !ck.defeq(ty, c.ty)? {
                return wrong(Rule::ValueType, "the value has another type than declared");
            }
            arithmetic::check(ck, c)
        }
        Kind::Quot(part) => quotient::check(ck, c, *part),
        Kind::Induct(_) | Kind::Ctor(_) | Kind::Rec(_) => {
            wrong(Rule::Declaration, "a part of an inductive block on its own")
        }
    }
}
