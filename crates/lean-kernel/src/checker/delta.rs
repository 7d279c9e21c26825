//! Lazy δ: unfold as little as it takes to see whether two terms are equal.
//!
//! Any order of unfolding is sound; this one, the higher definition first and both if they stand equally high, meets in the middle
//! most of the time.

use num_bigint::BigUint;

use super::Checker;
use crate::declaration::Height;
use crate::fault::{Checked, Fault};
use crate::limits::Limit;
use crate::term::{Expr, ExprId};

/// Decided, or what is left with nothing to unfold at either head.
type Unfolded = Result<bool, (ExprId, ExprId)>;

impl Checker<'_> {
    pub(super) fn lazy_delta(&mut self, a: ExprId, b: ExprId) -> Checked<Unfolded> {
        let (mut a, mut b) = (a, b);
        loop {
            self.spend(1)?;
            if let Some(r) = self.compare_numbers(a, b)? {
                return Ok(Ok(r));
            }
            let (mut unfold_a, mut unfold_b) = (false, false);
            match (self.height(a), self.height(b)) {
                (None, None) => return Ok(Err((a, b))),
                (Some(_), None) => match self.step_projection(b)? {
                    Some(c) => b = c,
                    None => unfold_a = true,
                },
                (None, Some(_)) => match self.step_projection(a)? {
                    Some(c) => a = c,
                    None => unfold_b = true,
                },
                (Some((m, us, h)), Some((n, vs, k))) => {
                    if m == n && h == k && h > Height::Opaque {
                        let key = (a.min(b), a.max(b));
                        let apps = matches!((self.t.get(a), self.t.get(b)), (Expr::App(..), Expr::App(..)));
                        if apps && !self.caches.failed.contains(&key) {
                            if self.levels_eq(us, vs)? && self.same_args(a, b)? {
                                return Ok(Ok(true));
                            }
                            self.caches.failed.insert(key);
                        }
                    }
                    (unfold_a, unfold_b) = (h >= k, k >= h);
                }
            }
            if unfold_a {
                a = self.unfold_and_reduce(a)?;
            }
            if unfold_b {
                b = self.unfold_and_reduce(b)?;
            }
            if let Some(r) = self.quick(a, b)? {
                return Ok(Ok(r));
            }
        }
    }

    fn unfold_and_reduce(&mut self, e: ExprId) -> Checked<ExprId> {
        // `height` has just said that it unfolds.
        let e = self.unfold(e).ok_or(Fault::Limit(Limit::Fault))?;
        self.core(e, true)
    }

    /// Numbers: literals are compared, `n + 1` with `m + 1` by `n` with `m`, closed operations are computed.
    fn compare_numbers(&mut self, a: ExprId, b: ExprId) -> Checked<Option<bool>> {
        if self.nat_ok() {
            if let (Some(x), Some(y)) = (self.as_nat(a), self.as_nat(b)) {
                return Ok(Some(x == y));
            }
            if let (Some(x), Some(y)) = (self.predecessor(a), self.predecessor(b)) {
                return Ok(Some(self.defeq(x, y)?));
            }
        }
        if (self.t.facts(a).free == 0 && self.t.facts(b).free == 0) || self.eager {
            if let Some(x) = self.reduce_nat(a)? {
                return Ok(Some(self.defeq(x, b)?));
            }
            if let Some(y) = self.reduce_nat(b)? {
                return Ok(Some(self.defeq(a, y)?));
            }
        }
        Ok(None)
    }

    /// `n` if `e` is visibly `n + 1`.
    fn predecessor(&mut self, e: ExprId) -> Option<ExprId> {
        match self.t.get(e) {
            Expr::Nat(n) => {
                let n = self.t.get_nat(n).clone();
                if n == BigUint::ZERO { None } else { Some(self.number(n - 1u32)) }
            }
            Expr::App(f, x) => {
                matches!(self.t.get(f), Expr::Const(n, _) if n == self.t.known.succ).then_some(x)
            }
            _ => None,
        }
    }

    /// A step in what is projected out of, where the cheap normal form stopped.
    fn step_projection(&mut self, e: ExprId) -> Checked<Option<ExprId>> {
        if !matches!(self.t.get(self.t.head(e)), Expr::Proj(..)) {
            return Ok(None);
        }
        let r = self.core(e, false)?;
        Ok((r != e).then_some(r))
    }
}
