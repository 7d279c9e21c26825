//! ι: recursors compute on constructors, `Quot.lift` and `Quot.ind` on `Quot.mk`.

use super::Checker;
use crate::declaration::QuotientPart;
use crate::environment::Kind;
use crate::fault::Checked;
use crate::term::{Expr, ExprId, NameId};

impl Checker<'_> {
    /// `I.rec params motives minors indices (c params fields) rest ⟶ rule params motives minors fields rest`.
    ///
    /// The rules were compared with those that the block's constructors give (`inductive::recursor`), so this step preserves
    /// types. Three things besides a constructor may stand there: a literal, which is one; by K any proof of an equality-like
    /// proposition, for all its proofs are equal to the one constructor; by structure eta any value of a structure, for it is its
    /// constructor applied to its projections.
    pub(super) fn reduce_rec(&mut self, f: ExprId, args: &[ExprId]) -> Checked<Option<ExprId>> {
        let Expr::Const(n, us) = self.t.get(f) else { return Ok(None) };
        let Some(found) = self.find(n) else { return Ok(None) };
        let rec = match &found.kind {
            Kind::Rec(r) => r,
            Kind::Quot(part) => return self.reduce_quot(*part, args),
            _ => return Ok(None),
        };
        let at = rec.major();
        let Some(mut major) = args.get(at).copied() else { return Ok(None) };
        if self.t.get_levels(us).len() != found.params.len() {
            return Ok(None);
        }
        let Some(ind) = self.taken_apart(found.ty, at) else { return Ok(None) };
        if rec.k
            && let Some(m) = self.k_constructor(ind, rec.nparams as usize, major)?
        {
            major = m;
        }
        major = self.whnf(major)?;
        major = match self.t.get(major) {
            Expr::Nat(x) => self.unary(x),
            Expr::Str(x) => match self.spell(x)? {
                Some(c) => self.whnf(c)?,
                None => major,
            },
            _ => self.eta_constructor(ind, major)?,
        };
        let Some((ctor, _)) = self.t.head_const(major) else { return Ok(None) };
        let Some(rule) = rec.rules.iter().find(|r| r.constructor == ctor) else { return Ok(None) };
        let (_, fields) = self.t.spine(major);
        let Some(from) = fields.len().checked_sub(rule.num_fields as usize) else { return Ok(None) };
        let levels = self.t.get_levels(us).to_vec();
        let value = self.t.subst_params(rule.value, &found.params, &levels);
        let mut all = args[..(rec.nparams + rec.nmotives + rec.nminors) as usize].to_vec();
        all.extend_from_slice(&fields[from..]);
        all.extend_from_slice(&args[at + 1..]);
        Ok(Some(self.beta(value, &all)))
    }

    /// The type that a recursor takes apart: with nested types not always one of its own block.
    fn taken_apart(&self, ty: ExprId, at: usize) -> Option<NameId> {
        let mut b = ty;
        for _ in 0..at {
            let Expr::Pi(_, body) = self.t.get(b) else { return None };
            b = body;
        }
        let Expr::Pi(dom, _) = self.t.get(b) else { return None };
        self.t.head_const(dom).map(|c| c.0)
    }

    /// K: the constructor that `major` is equal to by proof irrelevance, if its type is that of the constructor.
    fn k_constructor(&mut self, ind: NameId, np: usize, major: ExprId) -> Checked<Option<ExprId>> {
        let ty = self.infer(major)?;
        let ty = self.whnf(ty)?;
        let (h, args) = self.t.spine(ty);
        let Expr::Const(n, us) = self.t.get(h) else { return Ok(None) };
        if n != ind || args.len() < np {
            return Ok(None);
        }
        let Some(found) = self.find(n) else { return Ok(None) };
        let Kind::Induct(i) = &found.kind else { return Ok(None) };
        let Some(ctor) = i.ctors.first().copied() else { return Ok(None) };
        let c = self.t.constant(ctor, us);
        let c = self.t.apps(c, &args[..np]);
        let ct = self.infer(c)?;
        Ok(if self.defeq(ty, ct)? { Some(c) } else { None })
    }

    /// Parameters, constructor and fields, if structure eta holds for the type: one constructor, no indices, not recursive.
    pub(super) fn structure(&self, n: NameId) -> Option<(usize, NameId, u32)> {
        let found = self.find(n)?;
        let Kind::Induct(i) = &found.kind else { return None };
        let [ctor] = i.ctors[..] else { return None };
        if i.nindices != 0 || i.is_rec {
            return None;
        }
        match self.find(ctor)?.kind {
            Kind::Ctor(ref c) => Some((i.nparams as usize, ctor, c.nfields)),
            _ => None,
        }
    }

    /// `x` as a constructor applied to its projections, if its type is a structure and no proposition.
    fn eta_constructor(&mut self, ind: NameId, x: ExprId) -> Checked<ExprId> {
        let Some((np, ctor, nf)) = self.structure(ind) else { return Ok(x) };
        if self.t.head_const(x).is_some_and(|c| c.0 == ctor) {
            return Ok(x);
        }
        let ty = self.infer(x)?;
        let ty = self.whnf(ty)?;
        let (h, args) = self.t.spine(ty);
        let Expr::Const(n, us) = self.t.get(h) else { return Ok(x) };
        if n != ind || args.len() != np || self.is_prop(ty)? {
            return Ok(x);
        }
        let c = self.t.constant(ctor, us);
        let mut c = self.t.apps(c, &args);
        for i in 0..nf {
            let p = self.t.mk(Expr::Proj(ind, i, x));
            c = self.t.app(c, p);
        }
        Ok(c)
    }

    /// `Quot.lift f h (Quot.mk r a) ⟶ f a`, `Quot.ind h (Quot.mk r a) ⟶ h a`. The constants are the real ones: `rules::quotient`.
    fn reduce_quot(&mut self, part: QuotientPart, args: &[ExprId]) -> Checked<Option<ExprId>> {
        let at = match part {
            QuotientPart::Lift => 5,
            QuotientPart::Induction => 4,
            QuotientPart::Type | QuotientPart::Constructor => return Ok(None),
        };
        let Some(m) = args.get(at).copied() else { return Ok(None) };
        let m = self.whnf(m)?;
        let (h, margs) = self.t.spine(m);
        let Expr::Const(n, _) = self.t.get(h) else { return Ok(None) };
        let is_mk = self.find(n).is_some_and(|c| c.kind == Kind::Quot(QuotientPart::Constructor));
        if !is_mk || margs.len() != 3 {
            return Ok(None);
        }
        let r = self.t.app(args[3], margs[2]);
        Ok(Some(self.t.apps(r, &args[at + 1..])))
    }
}
