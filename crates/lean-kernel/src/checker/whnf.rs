//! Weak head normal forms.
//!
//! β (`(fun x => b) a ⟶ b[a]`), ζ (`let x := v; b ⟶ b[v]`), projections of constructors, ι (recursors, in `recursor`), δ (definitions
//! unfold; opaque constants and axioms do not), and computing with numbers. All of them are reductions of the calculus, so a term and
//! its normal form are equal and have the same type.

use super::{Checker, nested};
use crate::declaration::Height;
use crate::environment::Kind;
use crate::fault::Checked;
use crate::term::{Expr, ExprId, LevelsId, NameId};

impl Checker<'_> {
    /// Weak head normal form.
    pub fn whnf(&mut self, e: ExprId) -> Checked<ExprId> {
        match self.t.get(e) {
            Expr::Sort(_) | Expr::Pi(..) | Expr::Lam(..) | Expr::FVar(..) | Expr::Nat(_) | Expr::Str(_) => {
                return Ok(e);
            }
            _ => {}
        }
        if let Some(r) = self.caches.whnf.get(&e) {
            return Ok(*r);
        }
        let r = nested!(self, self.whnf_new(e))?;
        if !self.eager {
            self.caches.whnf.insert(e, r);
        }
        Ok(r)
    }

    fn whnf_new(&mut self, e: ExprId) -> Checked<ExprId> {
        let mut e = e;
        loop {
            e = self.core(e, false)?;
            if let Some(v) = self.reduce_nat(e)? {
                return Ok(v);
            }
            match self.unfold(e) {
                Some(v) => {
                    self.spend(1)?;
                    e = v;
                }
                None => return Ok(e),
            }
        }
    }

    /// Without unfolding definitions at the head. `cheap`: nor under a projection.
    pub(super) fn core(&mut self, e: ExprId, cheap: bool) -> Checked<ExprId> {
        match self.t.get(e) {
            Expr::App(..) | Expr::Let(..) | Expr::Proj(..) => {}
            _ => return Ok(e),
        }
        if let Some(r) = self.caches.core.get(&e) {
            return Ok(*r);
        }
        let r = nested!(self, self.core_new(e, cheap))?;
        if !cheap && !self.eager {
            self.caches.core.insert(e, r);
        }
        Ok(r)
    }

    fn core_new(&mut self, e: ExprId, cheap: bool) -> Checked<ExprId> {
        let mut e = e;
        loop {
            self.spend(1)?;
            match self.t.get(e) {
                Expr::Let(_, v, b) => e = self.t.inst(b, &[v]),
                Expr::App(..) => {
                    let (f, args) = self.t.spine(e);
                    let g = self.core(f, cheap)?;
                    if let Expr::Lam(..) = self.t.get(g) {
                        e = self.beta(g, &args);
                    } else if g != f {
                        e = self.t.apps(g, &args);
                    } else {
                        match self.reduce_rec(g, &args)? {
                            Some(r) => e = r,
                            None => return Ok(e),
                        }
                    }
                }
                Expr::Proj(_, i, s) => {
                    let s = if cheap { self.core(s, cheap)? } else { self.whnf(s)? };
                    match self.reduce_proj(i, s)? {
                        Some(r) => e = r,
                        None => return Ok(e),
                    }
                }
                _ => return Ok(e),
            }
        }
    }

    /// `f args` with as many β steps at its head as there are both.
    pub fn beta(&mut self, f: ExprId, args: &[ExprId]) -> ExprId {
        let (mut b, mut k) = (f, 0);
        while k < args.len() {
            let Expr::Lam(_, body) = self.t.get(b) else { break };
            b = body;
            k += 1;
        }
        let b = self.t.inst(b, &args[..k]);
        self.t.apps(b, &args[k..])
    }

    /// The field of a constructor's application.
    fn reduce_proj(&mut self, i: u32, s: ExprId) -> Checked<Option<ExprId>> {
        let mut s = s;
        if let Expr::Str(x) = self.t.get(s) {
            match self.spell(x)? {
                Some(c) => s = self.whnf(c)?,
                None => return Ok(None),
            }
        }
        let Some((n, _)) = self.t.head_const(s) else { return Ok(None) };
        let Some(found) = self.find(n) else { return Ok(None) };
        let Kind::Ctor(c) = &found.kind else { return Ok(None) };
        let np = c.nparams as usize;
        Ok(self.t.spine(s).1.get(np + i as usize).copied())
    }

    /// The constant at the head if it unfolds, and how eagerly.
    pub(super) fn height(&self, e: ExprId) -> Option<(NameId, LevelsId, Height)> {
        let (n, us) = self.t.head_const(e)?;
        let c = self.find(n)?;
        let h = match c.kind {
            Kind::Def { height, .. } => height,
            // Proofs unfold too: recursion on accessibility proofs may need it.
            Kind::Thm { .. } => Height::Opaque,
            _ => return None,
        };
        (c.params.len() == self.t.get_levels(us).len()).then_some((n, us, h))
    }

    /// One δ step at the head.
    pub(super) fn unfold(&mut self, e: ExprId) -> Option<ExprId> {
        let (n, us, _) = self.height(e)?;
        let value = match self.caches.unfolded.get(&(n, us)) {
            Some(v) => *v,
            None => {
                let c = self.find(n)?;
                let (Kind::Def { value, .. } | Kind::Thm { value }) = c.kind else { return None };
                let levels = self.t.get_levels(us).to_vec();
                let v = self.t.subst_params(value, &c.params, &levels);
                self.caches.unfolded.insert((n, us), v);
                v
            }
        };
        let (_, args) = self.t.spine(e);
        Some(self.beta(value, &args))
    }
}
