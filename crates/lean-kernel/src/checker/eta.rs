//! η: a function is `fun x => f x`, a value of a structure is its constructor applied to its projections.

use super::Checker;
use crate::environment::Kind;
use crate::fault::Checked;
use crate::term::{Expr, ExprId};

impl Checker<'_> {
    /// `fun x => b` against `f`: compare with `fun x => f x`, of `f`'s own domain.
    pub(super) fn eta(&mut self, a: ExprId, b: ExprId) -> Checked<bool> {
        if !matches!(self.t.get(a), Expr::Lam(..)) || matches!(self.t.get(b), Expr::Lam(..)) {
            return Ok(false);
        }
        let ty = self.infer(b)?;
        let ty = self.whnf(ty)?;
        let Expr::Pi(d, _) = self.t.get(ty) else { return Ok(false) };
        let x = self.t.mk(Expr::BVar(0));
        // `b` has no loose variables, so it need not be lifted under the binder.
        let body = self.t.app(b, x);
        let l = self.t.mk(Expr::Lam(d, body));
        self.defeq(a, l)
    }

    /// `a` against `mk params fields` of a structure: same type, and each projection of `a` equal to the field.
    pub(super) fn struct_eta(&mut self, a: ExprId, b: ExprId) -> Checked<bool> {
        let (h, args) = self.t.spine(b);
        let Expr::Const(n, _) = self.t.get(h) else { return Ok(false) };
        let Some(found) = self.find(n) else { return Ok(false) };
        let Kind::Ctor(c) = &found.kind else { return Ok(false) };
        let (np, nf) = (c.nparams as usize, c.nfields as usize);
        if args.len() != np + nf || self.structure(c.induct).is_none() {
            return Ok(false);
        }
        let (p, q) = (self.infer(a)?, self.infer(b)?);
        if !self.defeq(p, q)? {
            return Ok(false);
        }
        for i in 0..nf {
            let p = self.t.mk(Expr::Proj(c.induct, i as u32, a));
            if !self.defeq(p, args[np + i])? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A structure without fields has one value.
    pub(super) fn unit_like(&mut self, a: ExprId, b: ExprId) -> Checked<bool> {
        let ty = self.infer(a)?;
        let ty = self.whnf(ty)?;
        let Some((n, _)) = self.t.head_const(ty) else { return Ok(false) };
        if self.structure(n).is_none_or(|s| s.2 != 0) {
            return Ok(false);
        }
        let q = self.infer(b)?;
        self.defeq(ty, q)
    }
}
