//! Definitional equality: a decision procedure that may say no where the answer is yes, never the reverse.
//!
//! Equality is the least congruence that contains the reductions of `whnf`, η for functions and structures, and proof irrelevance.
//! Each way below to say *yes* is one of these closure rules: same term; same universe; binders part by part; equal after reduction;
//! two proofs of equal propositions; unfolding; same head and equal arguments; η. Answers are kept in a union-find, which is
//! sound because equality is an equivalence.

use super::{Checker, nested};
use crate::fault::Checked;
use crate::term::{Expr, ExprId};

impl Checker<'_> {
    /// Are two well-typed terms equal by computation?
    pub fn defeq(&mut self, a: ExprId, b: ExprId) -> Checked<bool> {
        if let Some(r) = self.quick(a, b)? {
            return Ok(r);
        }
        let r = nested!(self, self.defeq_new(a, b))?;
        if r {
            self.unite(a, b);
        }
        Ok(r)
    }

    /// What needs no reduction.
    pub(super) fn quick(&mut self, a: ExprId, b: ExprId) -> Checked<Option<bool>> {
        if a == b {
            return Ok(Some(true));
        }
        Ok(match (self.t.get(a), self.t.get(b)) {
            (Expr::Sort(x), Expr::Sort(y)) => Some(self.level_eq(x, y)?),
            (Expr::Nat(_), Expr::Nat(_)) | (Expr::Str(_), Expr::Str(_)) => Some(false),
            (Expr::Lam(..), Expr::Lam(..)) => Some(nested!(self, self.binders(a, b, false))?),
            (Expr::Pi(..), Expr::Pi(..)) => Some(nested!(self, self.binders(a, b, true))?),
            _ if self.root(a) == self.root(b) => Some(true),
            _ => None,
        })
    }

    /// Two functions, or two function types: domains, then bodies at one new variable.
    fn binders(&mut self, a: ExprId, b: ExprId, pi: bool) -> Checked<bool> {
        if self.root(a) == self.root(b) {
            return Ok(true);
        }
        let (mut x, mut y, mut xs, vars) = (a, b, Vec::new(), self.vars);
        loop {
            let (d, e, p, q) = match (self.t.get(x), self.t.get(y)) {
                (Expr::Pi(d, p), Expr::Pi(e, q)) if pi => (d, e, p, q),
                (Expr::Lam(d, p), Expr::Lam(e, q)) if !pi => (d, e, p, q),
                _ => break,
            };
            let dx = self.t.inst(d, &xs);
            if d != e {
                let ey = self.t.inst(e, &xs);
                if !self.defeq(dx, ey)? {
                    self.vars = vars;
                    return Ok(false);
                }
            }
            xs.push(self.var(dx));
            (x, y) = (p, q);
        }
        let (x, y) = (self.t.inst(x, &xs), self.t.inst(y, &xs));
        let r = self.defeq(x, y)?;
        self.vars = vars;
        if r {
            self.unite(a, b);
        }
        Ok(r)
    }

    fn defeq_new(&mut self, a: ExprId, b: ExprId) -> Checked<bool> {
        // `decide` and the like: evaluate at once instead of unfolding step by step.
        let is_true = matches!(self.t.get(b), Expr::Const(n, _) if n == self.t.known.bool_true);
        if is_true && (self.t.facts(a).free == 0 || self.eager) && self.whnf(a)? == b {
            return Ok(true);
        }
        let (x, y) = (self.core(a, true)?, self.core(b, true)?);
        if (x, y) != (a, b)
            && let Some(r) = self.quick(x, y)?
        {
            return Ok(r);
        }
        if let Some(r) = self.proof_irrelevant(x, y)? {
            return Ok(r);
        }
        let (x, y) = match self.lazy_delta(x, y)? {
            Ok(r) => return Ok(r),
            Err(stuck) => stuck,
        };
        match (self.t.get(x), self.t.get(y)) {
            (Expr::Const(m, us), Expr::Const(n, vs)) if m == n && self.levels_eq(us, vs)? => return Ok(true),
            (Expr::Proj(m, i, s), Expr::Proj(n, j, u)) if m == n && i == j && self.defeq(s, u)? => {
                return Ok(true);
            }
            _ => {}
        }
        let (p, q) = (self.core(x, false)?, self.core(y, false)?);
        if (p, q) != (x, y) {
            return self.defeq(p, q);
        }
        if self.same_apps(x, y)?
            || self.eta(x, y)?
            || self.eta(y, x)?
            || self.struct_eta(x, y)?
            || self.struct_eta(y, x)?
        {
            return Ok(true);
        }
        for (p, q) in [(x, y), (y, x)] {
            if let Expr::Str(s) = self.t.get(p)
                && self.t.head_const(q).is_some()
                && let Some(c) = self.spell(s)?
            {
                return self.defeq(c, q);
            }
        }
        self.unit_like(x, y)
    }

    /// Two proofs are equal if they prove equal propositions. `None`: they are no proofs.
    fn proof_irrelevant(&mut self, a: ExprId, b: ExprId) -> Checked<Option<bool>> {
        if matches!(self.t.get(a), Expr::Sort(_) | Expr::Pi(..) | Expr::Nat(_) | Expr::Str(_)) {
            return Ok(None);
        }
        let p = self.infer(a)?;
        if !self.is_prop(p)? {
            return Ok(None);
        }
        let q = self.infer(b)?;
        Ok(Some(self.defeq(p, q)?))
    }

    pub(super) fn same_args(&mut self, a: ExprId, b: ExprId) -> Checked<bool> {
        let ((_, xs), (_, ys)) = (self.t.spine(a), self.t.spine(b));
        if xs.len() != ys.len() {
            return Ok(false);
        }
        for (x, y) in xs.into_iter().zip(ys) {
            if !self.defeq(x, y)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn same_apps(&mut self, a: ExprId, b: ExprId) -> Checked<bool> {
        if !matches!((self.t.get(a), self.t.get(b)), (Expr::App(..), Expr::App(..))) {
            return Ok(false);
        }
        let ((f, xs), (g, ys)) = (self.t.spine(a), self.t.spine(b));
        Ok(xs.len() == ys.len() && self.defeq(f, g)? && self.same_args(a, b)?)
    }

    // ---- union-find ----

    fn root(&self, mut e: ExprId) -> ExprId {
        while let Some(p) = self.caches.parents.get(&e) {
            e = *p;
        }
        e
    }

    /// Remembers that `a` and `b` are equal. Roots have the least id of their class, so links point downwards and there is no
    /// cycle; `a` and `b` are linked straight to the root.
    fn unite(&mut self, a: ExprId, b: ExprId) {
        let (x, y) = (self.root(a), self.root(b));
        if x == y {
            return;
        }
        let r = x.min(y);
        for e in [x.max(y), a, b] {
            if e != r {
                self.caches.parents.insert(e, r);
            }
        }
    }
}
