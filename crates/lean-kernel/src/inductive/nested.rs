//! Nested occurrences: `inductive Tree | node : List Tree → Tree`.
//!
//! `List Tree` is replaced by a new type `L` of the same block, with `List`'s constructors at `Tree`: `nil : L`, `cons : Tree → L →
//! L`. Then the block is a mutual one, positivity and universes are checked as for any other, and the recursors are made. At the end
//! `L` and its constructors are put back. The two are isomorphic, which is why this is sound: a nested type is as good as the mutual
//! type that it stands for, provided that *every* occurrence is replaced: also those under the binders of other fields and those
//! that appear when another stand-in's constructors are instantiated.

use super::block::{Aux, Block, Type};
use crate::environment::Kind;
use crate::fault::{Checked, Fault, Rule, wrong};
use crate::limits::Limit;
use crate::term::{ANONYMOUS, Expr, ExprId, Map, Name, NameId};

/// Types of a block, stand-ins included.
const MAX_TYPES: usize = 2000;

impl Block<'_, '_> {
    /// Replaces nested occurrences in all constructors; new stand-ins bring new constructors.
    pub(super) fn eliminate_nested(&mut self) -> Checked<()> {
        let mut k = 0;
        while k < self.types.len() {
            for j in 0..self.types[k].ctors.len() {
                let ty = self.types[k].ctors[j].1;
                let params = self.params.clone();
                let body = self.strip(ty, &params)?;
                // What mentions a stand-in made since is nested now.
                self.replaced.clear();
                let body = self.replace_nested(body)?;
                self.types[k].ctors[j].1 = self.ck.t.pis(&params, body);
            }
            k += 1;
            if self.types.len() > MAX_TYPES {
                return Err(Fault::Limit(Limit::NestedTypes));
            }
        }
        Ok(())
    }

    fn replace_nested(&mut self, e: ExprId) -> Checked<ExprId> {
        if let Some(r) = self.replaced.get(&e) {
            return Ok(*r);
        }
        self.ck.spend(1)?;
        let r = match self.stand_in(e)? {
            Some(r) => r,
            None if !self.mentions(e) => e,
            None => self.replace_below(e)?,
        };
        self.replaced.insert(e, r);
        Ok(r)
    }

    fn replace_below(&mut self, e: ExprId) -> Checked<ExprId> {
        let below = match self.ck.t.get(e) {
            Expr::App(f, a) => Expr::App(self.replace_nested(f)?, self.replace_nested(a)?),
            Expr::Lam(d, b) => Expr::Lam(self.replace_nested(d)?, self.replace_nested(b)?),
            Expr::Pi(d, b) => Expr::Pi(self.replace_nested(d)?, self.replace_nested(b)?),
            Expr::Let(d, v, b) => {
                Expr::Let(self.replace_nested(d)?, self.replace_nested(v)?, self.replace_nested(b)?)
            }
            Expr::Proj(n, i, s) => Expr::Proj(n, i, self.replace_nested(s)?),
            _ => return Ok(e),
        };
        Ok(self.ck.t.mk(below))
    }

    /// If `e` is `J As is` with types of the block in `As`: the stand-in for `J As`, applied to `is`.
    fn stand_in(&mut self, e: ExprId) -> Checked<Option<ExprId>> {
        let (h, args) = self.ck.t.spine(e);
        let Expr::Const(j, us) = self.ck.t.get(h) else { return Ok(None) };
        if self.find_type(j).is_some() {
            return Ok(None);
        }
        let Some(found) = self.ck.find(j) else { return Ok(None) };
        let Kind::Induct(ind) = &found.kind else { return Ok(None) };
        let np = ind.nparams as usize;
        if args.len() < np {
            return Ok(None);
        }
        let mut nested = false;
        for a in &args[..np] {
            nested |= self.mentions(*a);
        }
        if !nested {
            return Ok(None);
        }
        if args[..np].iter().any(|a| !self.ck.t.closed(*a)) {
            return wrong(Rule::Nested, "a nested occurrence's parameters depend on local variables");
        }
        let app = self.ck.t.apps(h, &args[..np]);
        if !self.aux.iter().any(|a| a.app == app) {
            // With `J` come the other types of its block.
            for m in ind.all.clone() {
                let head = self.ck.t.constant(m, us);
                let app = self.ck.t.apps(head, &args[..np]);
                self.add_stand_in(m, app, &args[..np])?;
            }
        }
        let Some(a) = self.aux.iter().find(|a| a.app == app) else {
            return wrong(Rule::Nested, "a nested occurrence of a type that is not in its own block");
        };
        let c = self.ck.t.constant(a.name, self.us);
        let c = self.ck.t.apps(c, &self.params);
        Ok(Some(self.ck.t.apps(c, &args[np..])))
    }

    /// A stand-in for the type `m` at `args`, which together are `app`.
    fn add_stand_in(&mut self, m: NameId, app: ExprId, args: &[ExprId]) -> Checked<()> {
        let Some((_, us)) = self.ck.t.head_const(app) else {
            return wrong(Rule::Nested, "a nested occurrence of what is no type");
        };
        let Some(found) = self.ck.find(m) else {
            return wrong(Rule::Nested, "a nested occurrence of an unknown type");
        };
        let Kind::Induct(ind) = &found.kind else {
            return wrong(Rule::Nested, "a nested occurrence of what is no inductive type");
        };
        let params = self.params.clone();
        // No name that is handed in has a number this high (`RESERVED_NUMBERS`).
        let name = self.ck.t.name(Name::Num(ANONYMOUS, u64::MAX - self.aux.len() as u64));
        let ty = self.ck.const_type(m, us)?;
        let ty = self.strip(ty, args)?;
        let ty = self.ck.t.pis(&params, ty);
        let (mut ctors, mut pairs) = (Vec::new(), Vec::new());
        for (i, c) in ind.ctors.iter().enumerate() {
            let own = self.ck.t.name(Name::Num(name, u64::MAX - i as u64));
            let ct = self.ck.const_type(*c, us)?;
            let ct = self.strip(ct, args)?;
            ctors.push((own, self.ck.t.pis(&params, ct)));
            pairs.push((own, *c));
        }
        self.aux.push(Aux { name, app, ctors: pairs });
        self.types.push(Type { name, ty, ctors, nindices: ind.nindices as usize });
        Ok(())
    }

    /// Puts back what the stand-ins and their constructors stand for.
    pub(super) fn restore(&mut self, e: ExprId) -> Checked<ExprId> {
        if self.aux.is_empty() {
            return Ok(e);
        }
        self.restore_memo(e, &mut Map::default())
    }

    fn restore_memo(&mut self, e: ExprId, memo: &mut Map<ExprId, ExprId>) -> Checked<ExprId> {
        if let Some(r) = memo.get(&e) {
            return Ok(*r);
        }
        self.ck.spend(1)?;
        let r = match self.ck.t.get(e) {
            Expr::App(..) | Expr::Const(..) => self.restore_app(e, memo)?,
            Expr::Lam(d, b) => {
                let below = Expr::Lam(self.restore_memo(d, memo)?, self.restore_memo(b, memo)?);
                self.ck.t.mk(below)
            }
            Expr::Pi(d, b) => {
                let below = Expr::Pi(self.restore_memo(d, memo)?, self.restore_memo(b, memo)?);
                self.ck.t.mk(below)
            }
            Expr::Let(d, v, b) => {
                let (d, v) = (self.restore_memo(d, memo)?, self.restore_memo(v, memo)?);
                let below = Expr::Let(d, v, self.restore_memo(b, memo)?);
                self.ck.t.mk(below)
            }
            Expr::Proj(n, i, s) => {
                let below = Expr::Proj(n, i, self.restore_memo(s, memo)?);
                self.ck.t.mk(below)
            }
            _ => e,
        };
        memo.insert(e, r);
        Ok(r)
    }

    /// `stand-in params rest ⟶ (J As)[params] rest`, likewise for its constructors.
    fn restore_app(&mut self, e: ExprId, memo: &mut Map<ExprId, ExprId>) -> Checked<ExprId> {
        let (h, args) = self.ck.t.spine(e);
        let mut out = Vec::with_capacity(args.len());
        for a in args {
            out.push(self.restore_memo(a, memo)?);
        }
        let Expr::Const(n, _) = self.ck.t.get(h) else {
            let h = self.restore_memo(h, memo)?;
            return Ok(self.ck.t.apps(h, &out));
        };
        let real = self.aux.iter().find_map(|a| {
            if a.name == n {
                Some((a.app, None))
            } else {
                a.ctors.iter().find(|c| c.0 == n).map(|c| (a.app, Some(c.1)))
            }
        });
        let Some((app, ctor)) = real else { return Ok(self.ck.t.apps(h, &out)) };
        let np = self.params.len();
        if out.len() < np {
            return wrong(Rule::Nested, "a stand-in without its parameters");
        }
        let app = match ctor {
            None => app,
            Some(c) => {
                let (head, args) = self.ck.t.spine(app);
                let Expr::Const(_, us) = self.ck.t.get(head) else {
                    return wrong(Rule::Nested, "a nested occurrence of what is no type");
                };
                let c = self.ck.t.constant(c, us);
                self.ck.t.apps(c, &args)
            }
        };
        // `out` may have loose variables: substitution lifts them under the binders that it crosses.
        let app = self.ck.t.abstract_vars(app, &self.params);
        let app = self.ck.t.inst(app, &out[..np]);
        Ok(self.ck.t.apps(app, &out[np..]))
    }
}
