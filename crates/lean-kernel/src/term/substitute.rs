//! Substitution: instantiating bound variables, abstracting free ones, universe parameters.
//!
//! Terms are directed acyclic graphs: a graph of 2,000 nodes may be a tree of 2²⁰⁰⁰. So every walk remembers what it has
//! done, by node and, where the number of binders crossed matters, by that too. Every visit costs a step, for a graph of `n`
//! nodes may be seen under `n` different numbers of binders.

use super::{Expr, ExprId, Level, LevelId, Map, NameId, Terms};

type At = Map<(ExprId, u32), ExprId>;

impl Terms {
    /// Rebuilds `e` with `f` applied to its children and the number of binders crossed.
    fn rebuild(&mut self, e: ExprId, at: u32, f: &mut dyn FnMut(&mut Self, ExprId, u32) -> ExprId) -> ExprId {
        self.spend(1);
        if self.overrun().is_some() {
            return e;
        }
        let rebuilt = match self.get(e) {
            Expr::App(g, a) => Expr::App(f(self, g, at), f(self, a, at)),
            Expr::Lam(t, b) => Expr::Lam(f(self, t, at), f(self, b, at + 1)),
            Expr::Pi(t, b) => Expr::Pi(f(self, t, at), f(self, b, at + 1)),
            Expr::Let(t, v, b) => Expr::Let(f(self, t, at), f(self, v, at), f(self, b, at + 1)),
            Expr::Proj(n, i, s) => Expr::Proj(n, i, f(self, s, at)),
            Expr::BVar(_)
            | Expr::FVar(..)
            | Expr::Sort(_)
            | Expr::Const(..)
            | Expr::Nat(_)
            | Expr::Str(_) => return e,
        };
        self.mk(rebuilt)
    }

    /// Replaces the outermost `xs.len()` loose variables; variable 0 becomes the last of `xs`.
    pub(crate) fn inst(&mut self, e: ExprId, xs: &[ExprId]) -> ExprId {
        if self.facts(e).loose == 0 || xs.is_empty() {
            return e;
        }
        self.inst_at(e, 0, xs, &mut At::default())
    }

    fn inst_at(&mut self, e: ExprId, at: u32, xs: &[ExprId], memo: &mut At) -> ExprId {
        if self.facts(e).loose <= at {
            return e;
        }
        if let Expr::BVar(i) = self.get(e) {
            // `at <= i`, for `e` has a loose variable at or above `at` and is a variable.
            let n = xs.len() as u32;
            return match xs.len().checked_sub(1 + (i - at) as usize) {
                Some(k) => self.lift(xs[k], at),
                None => self.mk(Expr::BVar(i - n)),
            };
        }
        if let Some(r) = memo.get(&(e, at)) {
            return *r;
        }
        let r = self.rebuild(e, at, &mut |t, e, at| t.inst_at(e, at, xs, memo));
        memo.insert((e, at), r);
        r
    }

    /// Raises all loose variables by `by`.
    pub(crate) fn lift(&mut self, e: ExprId, by: u32) -> ExprId {
        if by == 0 || self.facts(e).loose == 0 { e } else { self.lift_at(e, 0, by, &mut At::default()) }
    }

    fn lift_at(&mut self, e: ExprId, at: u32, by: u32, memo: &mut At) -> ExprId {
        if self.facts(e).loose <= at {
            return e;
        }
        if let Expr::BVar(i) = self.get(e) {
            return self.mk(Expr::BVar(i.saturating_add(by)));
        }
        if let Some(r) = memo.get(&(e, at)) {
            return *r;
        }
        let r = self.rebuild(e, at, &mut |t, e, at| t.lift_at(e, at, by, memo));
        memo.insert((e, at), r);
        r
    }

    /// Turns the free variables `xs` into loose bound ones; the last of `xs` becomes variable 0.
    pub(crate) fn abstract_vars(&mut self, e: ExprId, xs: &[ExprId]) -> ExprId {
        let number = |x: &ExprId| match self.get(*x) {
            Expr::FVar(k, _) => k,
            _ => unreachable!("only variables are abstracted"),
        };
        match xs.iter().map(number).min() {
            Some(lowest) => self.abstract_at(e, 0, xs, lowest, &mut At::default()),
            None => e,
        }
    }

    fn abstract_at(&mut self, e: ExprId, at: u32, xs: &[ExprId], lowest: u32, memo: &mut At) -> ExprId {
        if self.facts(e).free <= lowest {
            return e;
        }
        if let Expr::FVar(..) = self.get(e) {
            return match xs.iter().rposition(|x| *x == e) {
                Some(i) => self.mk(Expr::BVar(at + (xs.len() - 1 - i) as u32)),
                None => e,
            };
        }
        if let Some(r) = memo.get(&(e, at)) {
            return *r;
        }
        let r = self.rebuild(e, at, &mut |t, e, at| t.abstract_at(e, at, xs, lowest, memo));
        memo.insert((e, at), r);
        r
    }

    fn bind(&mut self, xs: &[ExprId], body: ExprId, binder: fn(ExprId, ExprId) -> Expr) -> ExprId {
        let mut r = self.abstract_vars(body, xs);
        for (i, x) in xs.iter().enumerate().rev() {
            let Expr::FVar(_, ty) = self.get(*x) else { unreachable!("only variables are abstracted") };
            let ty = self.abstract_vars(ty, &xs[..i]);
            r = self.mk(binder(ty, r));
        }
        r
    }

    /// The function type from the variables `xs` to `body`.
    pub(crate) fn pis(&mut self, xs: &[ExprId], body: ExprId) -> ExprId {
        self.bind(xs, body, Expr::Pi)
    }

    /// The function of the variables `xs` with this body.
    pub(crate) fn lams(&mut self, xs: &[ExprId], body: ExprId) -> ExprId {
        self.bind(xs, body, Expr::Lam)
    }

    /// `e` with universe levels for its parameters.
    pub(crate) fn subst_params(&mut self, e: ExprId, ps: &[NameId], us: &[LevelId]) -> ExprId {
        if ps.is_empty() {
            return e;
        }
        self.subst_params_memo(e, ps, us, &mut Map::default(), &mut Map::default())
    }

    fn subst_params_memo(
        &mut self,
        e: ExprId,
        ps: &[NameId],
        us: &[LevelId],
        memo: &mut Map<ExprId, ExprId>,
        levels: &mut Map<LevelId, LevelId>,
    ) -> ExprId {
        if !self.facts(e).params {
            return e;
        }
        if let Some(r) = memo.get(&e) {
            return *r;
        }
        let r = match self.get(e) {
            Expr::Sort(l) => {
                let l = self.subst_level_memo(l, ps, us, levels);
                self.sort(l)
            }
            Expr::Const(n, ls) => {
                let ls: Vec<LevelId> = self.get_levels(ls).to_vec();
                let ls: Vec<LevelId> =
                    ls.into_iter().map(|l| self.subst_level_memo(l, ps, us, levels)).collect();
                let ls = self.levels(&ls);
                self.constant(n, ls)
            }
            Expr::FVar(k, ty) => {
                let ty = self.subst_params_memo(ty, ps, us, memo, levels);
                self.mk(Expr::FVar(k, ty))
            }
            _ => self.rebuild(e, 0, &mut |t, e, _| t.subst_params_memo(e, ps, us, memo, levels)),
        };
        memo.insert(e, r);
        r
    }

    fn subst_level_memo(
        &mut self,
        l: LevelId,
        ps: &[NameId],
        us: &[LevelId],
        memo: &mut Map<LevelId, LevelId>,
    ) -> LevelId {
        if !self.level_has_params(l) {
            return l;
        }
        if let Some(r) = memo.get(&l) {
            return *r;
        }
        let r = match self.get_level(l) {
            Level::Zero => l,
            Level::Succ(a) => {
                let a = self.subst_level_memo(a, ps, us, memo);
                self.level(Level::Succ(a))
            }
            Level::Max(a, b) => {
                let (a, b) = (self.subst_level_memo(a, ps, us, memo), self.subst_level_memo(b, ps, us, memo));
                self.level(Level::Max(a, b))
            }
            Level::IMax(a, b) => {
                let (a, b) = (self.subst_level_memo(a, ps, us, memo), self.subst_level_memo(b, ps, us, memo));
                self.level(Level::IMax(a, b))
            }
            Level::Param(p) => ps.iter().position(|q| *q == p).map_or(l, |i| us[i]),
        };
        memo.insert(l, r);
        r
    }
}
