//! Which constants are the operations that the checker computes with big numbers?
//!
//! | operations | why they are what their names say |
//! |---|---|
//! | `add sub mul pow beq ble shiftLeft shiftRight` | their defining equations hold by computation, for variables `x`, `y`. By induction that fixes every value, and a declaration under one of these names that does not satisfy them is refused |
//! | `div mod log2` | the definition, with all that it rests on, is one that this crate knows (`pinned`) |
//! | `gcd land lor xor` | only a trusted base says so; elsewhere they are unfolded like any definition |
//!
//! `shiftRight` is computed only where `div` is, for its equation speaks of it. While the equations are verified nothing is computed.

use crate::checker::Checker;
use crate::environment::{Const, Kind};
use crate::fault::{Checked, Rule, wrong};
use crate::known::Op;
use crate::term::{ExprId, NameId};

/// Is the operation known by its equations?
fn has_equations(op: Op) -> bool {
    matches!(op, Op::Add | Op::Sub | Op::Mul | Op::Pow | Op::Beq | Op::Ble | Op::Shl | Op::Shr)
}

/// An operation must not be an axiom unless a trusted library says so.
pub(super) fn check_type(ck: &mut Checker<'_>, c: &Const) -> Checked<()> {
    match ck.t.known.op(c.name) {
        Some(op) if has_equations(op) && c.kind == Kind::Axiom => {
            wrong(Rule::Arithmetic, "an operation on numbers without a definition")
        }
        _ => Ok(()),
    }
}

pub(super) fn check(ck: &mut Checker<'_>, c: &Const) -> Checked<()> {
    let Some(op) = ck.t.known.op(c.name).filter(|op| has_equations(*op)) else { return Ok(()) };
    let Kind::Def { value, .. } = c.kind else {
        return wrong(Rule::Arithmetic, "an operation on numbers without a definition");
    };
    let k = ck.t.known;
    if ck.find(k.nat).is_none() || !c.params.is_empty() {
        return wrong(Rule::Arithmetic, "an operation on numbers that is none");
    }
    let nat = plain(ck, k.nat);
    let (x, y) = (ck.var(nat), ck.var(nat));
    let result = if matches!(op, Op::Beq | Op::Ble) { plain(ck, k.boolean) } else { nat };
    let want = ck.t.pis(&[x, y], result);
    if !ck.defeq(want, c.ty)? {
        return wrong(Rule::Arithmetic, "an operation on numbers with a wrong type");
    }
    ck.compute = false;
    ck.forget();
    for (left, right) in equations(ck, op, value, x, y) {
        if !ck.defeq(left, right)? {
            return wrong(Rule::Arithmetic, "an operation on numbers that does not compute as its name says");
        }
    }
    Ok(())
}

fn plain(ck: &mut Checker<'_>, n: NameId) -> ExprId {
    let us = ck.t.levels(&[]);
    ck.t.constant(n, us)
}

/// The equations that fix the operation `f`.
fn equations(ck: &mut Checker<'_>, op: Op, f: ExprId, x: ExprId, y: ExprId) -> Vec<(ExprId, ExprId)> {
    let k = ck.t.known;
    let (zero, succ) = (plain(ck, k.zero), plain(ck, k.succ));
    let (sx, sy) = (ck.t.app(succ, x), ck.t.app(succ, y));
    let one = ck.t.app(succ, zero);
    let two = ck.t.app(succ, one);
    let of = |ck: &mut Checker<'_>, a, b| ck.t.apps(f, &[a, b]);
    let other = |ck: &mut Checker<'_>, op, a, b| {
        let g = plain(ck, ck.t.known.op_name(op));
        ck.t.apps(g, &[a, b])
    };
    let (base, step, fxy) = (of(ck, x, zero), of(ck, x, sy), of(ck, x, y));
    match op {
        Op::Add => vec![(base, x), (step, ck.t.app(succ, fxy))],
        Op::Sub => {
            let pred = plain(ck, k.pred);
            let (pz, ps) = (ck.t.app(pred, zero), ck.t.app(pred, sx));
            vec![(base, x), (step, ck.t.app(pred, fxy)), (pz, zero), (ps, x)]
        }
        Op::Mul => vec![(base, zero), (step, other(ck, Op::Add, fxy, x))],
        Op::Pow => vec![(base, one), (step, other(ck, Op::Mul, fxy, x))],
        Op::Shl => {
            let double = other(ck, Op::Mul, two, x);
            vec![(base, x), (step, of(ck, double, y))]
        }
        Op::Shr => vec![(base, x), (step, other(ck, Op::Div, fxy, two))],
        Op::Beq | Op::Ble => {
            let (yes, no) = (plain(ck, k.bool_true), plain(ck, k.bool_false));
            let (zz, zs, sz, ss) = (of(ck, zero, zero), of(ck, zero, sy), of(ck, sx, zero), of(ck, sx, sy));
            vec![(zz, yes), (zs, if op == Op::Beq { no } else { yes }), (sz, no), (ss, fxy)]
        }
        Op::Div | Op::Mod | Op::Gcd | Op::Land | Op::Lor | Op::Xor | Op::Log2 => Vec::new(),
    }
}
