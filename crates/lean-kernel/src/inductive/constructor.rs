//! Constructors: strict positivity, universes, results.

use super::block::{Block, Recursive, Shape};
use crate::fault::{Checked, Rule, wrong};
use crate::term::{Expr, ExprId, NameId};
use crate::universe;

impl Block<'_, '_> {
    /// `(params) → (fields) → T params indices`.
    pub(super) fn check_constructor(&mut self, k: usize, name: NameId, ty: ExprId) -> Checked<Shape> {
        let mut ty = ty;
        for i in 0..self.params.len() {
            let Expr::Pi(d, b) = self.ck.t.get(ty) else {
                return self.refuse(Rule::Constructor, name, "too few parameters");
            };
            let p = self.ck.infer(self.params[i])?;
            if !self.ck.defeq(p, d)? {
                return self.refuse(Rule::Constructor, name, "parameters differ from those of the type");
            }
            ty = self.ck.t.inst(b, &[self.params[i]]);
        }
        let (mut fields, mut recursive) = (Vec::new(), Vec::new());
        let prop = universe::is_zero(&mut self.ck.t, self.level)?;
        while let Expr::Pi(d, b) = self.ck.t.get(ty) {
            // A type must be at least as big as what it contains, else it contains itself (Girard). `Prop` is impredicative; there
            // the price is paid in elimination.
            let l = self.ck.sort_of(d, false)?;
            if !prop && !universe::leq(&mut self.ck.t, l, self.level)? {
                return self.refuse(
                    Rule::FieldUniverse,
                    name,
                    "a field lives in a universe too big for the type",
                );
            }
            let x = self.ck.var(d);
            recursive.extend(self.recursive(name, x, d)?);
            fields.push(x);
            ty = self.ck.t.inst(b, &[x]);
        }
        match self.block_app(ty)? {
            Some((j, indices)) if j == k => Ok(Shape { fields, recursive, indices }),
            _ => self.refuse(Rule::Constructor, name, "its result is not the type being defined"),
        }
    }

    /// Strict positivity: a field's type is free of the block, or `(xs) → T params indices` with everything else free of it. Without it
    /// `inductive T | mk : (T → False) → T` would be Russell's paradox.
    fn recursive(&mut self, name: NameId, field: ExprId, ty: ExprId) -> Checked<Option<Recursive>> {
        let mut xs = Vec::new();
        let mut t = self.ck.whnf(ty)?;
        if !self.mentions(t) {
            return Ok(None);
        }
        while let Expr::Pi(d, b) = self.ck.t.get(t) {
            if self.mentions(d) {
                return self.refuse(Rule::Positivity, name, "the type being defined occurs left of an arrow");
            }
            let x = self.ck.var(d);
            xs.push(x);
            let b = self.ck.t.inst(b, &[x]);
            t = self.ck.whnf(b)?;
        }
        if !self.mentions(t) {
            return Ok(None);
        }
        match self.block_app(t)? {
            Some((ty, indices)) => Ok(Some(Recursive { field, xs, ty, indices })),
            None => self.refuse(Rule::Positivity, name, "the type being defined occurs where it may not"),
        }
    }

    /// `T params indices` with `T` of the block, at the block's own parameters and universe levels, and the block not in the
    /// indices: which type, and the indices.
    fn block_app(&mut self, e: ExprId) -> Checked<Option<(usize, Vec<ExprId>)>> {
        let (h, args) = self.ck.t.spine(e);
        let Expr::Const(n, us) = self.ck.t.get(h) else { return Ok(None) };
        let Some(k) = self.find_type(n) else { return Ok(None) };
        let np = self.params.len();
        if us != self.us || args.len() != np + self.types[k].nindices {
            return Ok(None);
        }
        for (a, p) in args.iter().zip(self.params.clone()) {
            if !self.ck.defeq(*a, p)? {
                return Ok(None);
            }
        }
        for a in &args[np..] {
            if self.mentions(*a) {
                return Ok(None);
            }
        }
        Ok(Some((k, args[np..].to_vec())))
    }

    fn refuse<T>(&self, rule: Rule, name: NameId, reason: &str) -> Checked<T> {
        // A stand-in's constructor has no name that means anything to a reader.
        let real = self.aux.iter().flat_map(|a| &a.ctors).find(|c| c.0 == name).map_or(name, |c| c.1);
        wrong(rule, format!("{}: {reason}", self.ck.t.show(real)))
    }
}
