//! Recursors: their types and computation rules, made from the constructors alone.
//!
//! For a block with types `Tᵢ`, motives `Mᵢ : (indices) → Tᵢ params indices → Sort u` and, for every constructor
//! `c : (fields) → Tᵢ params is`, a minor premise
//!
//! ```text
//! m_c : (fields) → (ih : (xs) → Mⱼ js (f xs)  for each recursive field f : (xs) → Tⱼ params js) → Mᵢ is (c params fields)
//! ```
//!
//! the recursor is `Tᵢ.rec : (params) → (motives) → (minors) → (indices) → (t : Tᵢ params indices) → Mᵢ indices t`, and computes
//!
//! ```text
//! Tᵢ.rec params motives minors is (c params fields) ⟶ m_c fields (fun xs => Tⱼ.rec params motives minors js (f xs) …)
//! ```

use super::block::Block;
use crate::declaration::{Recursor, RecursorRule, Signature};
use crate::environment::{Const, Kind, Rec};
use crate::fault::{Checked, Rule, wrong};
use crate::term::{Expr, ExprId, Level, LevelsId, NameId, ZERO};

/// What all recursors of a block have in common.
struct Frame {
    names: Vec<NameId>,
    uparams: Vec<NameId>,
    us: LevelsId,
    k: bool,
    motives: Vec<ExprId>,
    minors: Vec<ExprId>,
    /// Parameters, motives, minor premises.
    before: Vec<ExprId>,
    /// For each type its indices and a value of it.
    targets: Vec<Vec<ExprId>>,
}

impl Block<'_, '_> {
    /// Verifies that the recursors handed in are those that the block has.
    pub(super) fn compare_recursors(&mut self, ctors: &[&Const], recs: &[&Const]) -> Checked<()> {
        if recs.len() != self.types.len() {
            return wrong(Rule::Recursor, "wrong number of recursors");
        }
        let large = self.large()?;
        let uparams = &recs[0].params;
        let agree = if large {
            matches!(uparams.split_first(), Some((u, rest)) if rest == self.uparams && !rest.contains(u))
        } else {
            *uparams == self.uparams
        };
        if !agree {
            return wrong(Rule::Recursor, "universe parameters of the recursor");
        }
        let elim = if large { uparams.first().copied() } else { None };
        let frame = self.frame(elim)?;
        self.put_back(ctors);
        self.ck.params.clone_from(&frame.uparams);
        let mut given = Vec::new();
        for k in 0..self.types.len() {
            let shown = self.ck.t.show(frame.names[k]);
            let Some(c) = recs.iter().find(|r| r.name == frame.names[k]) else {
                return wrong(Rule::Recursor, format!("no recursor {shown}"));
            };
            let Kind::Rec(g) = &c.kind else {
                return wrong(Rule::Recursor, format!("{shown} is no recursor"));
            };
            if c.params != frame.uparams || !self.numbers_agree(&frame, k, g) {
                return wrong(Rule::Recursor, format!("{shown}: facts about the recursor are wrong"));
            }
            let ty = self.recursor_type(&frame, k)?;
            if !self.same(ty, c.ty)? {
                return wrong(Rule::Recursor, format!("{shown}: the type of the recursor is wrong"));
            }
            given.push(g);
        }
        // Rules mention recursors; to type-check them their types are enough.
        for r in recs {
            self.ck.bring(Const { kind: Kind::Axiom, ..(*r).clone() });
        }
        for (k, g) in given.into_iter().enumerate() {
            let made = self.rules(&frame, k)?;
            for (rule, made) in g.rules.iter().zip(made) {
                let ok = rule.constructor == made.constructor && rule.num_fields == made.num_fields;
                if !ok || !self.same(made.value, rule.value)? {
                    let shown = self.ck.t.show(frame.names[k]);
                    return wrong(Rule::RecursorRule, format!("{shown}: a rule of the recursor is wrong"));
                }
            }
        }
        Ok(())
    }

    /// Makes the recursors.
    pub(super) fn make_recursors(&mut self, ctors: &[&Const]) -> Checked<Vec<Recursor>> {
        let elim = if self.large()? { Some(self.fresh_param()) } else { None };
        let frame = self.frame(elim)?;
        self.put_back(ctors);
        self.ck.params.clone_from(&frame.uparams);
        let all: Vec<NameId> = self.types[..self.own].iter().map(|t| t.name).collect();
        let mut made = Vec::new();
        for k in 0..self.types.len() {
            let ty = self.recursor_type(&frame, k)?;
            made.push(Recursor {
                signature: Signature { name: frame.names[k], universe_params: frame.uparams.clone(), ty },
                all: all.clone(),
                num_params: self.nparams,
                num_indices: self.types[k].nindices as u32,
                num_motives: frame.motives.len() as u32,
                num_minors: frame.minors.len() as u32,
                rules: self.rules(&frame, k)?,
                k: frame.k,
            });
        }
        Ok(made)
    }

    /// A universe parameter that the block does not have: `u`, `u_1`, …
    fn fresh_param(&mut self) -> NameId {
        let mut i = 0;
        loop {
            let text = if i == 0 { "u".to_owned() } else { format!("u_{i}") };
            let n = self.ck.t.path(&text);
            if !self.uparams.contains(&n) {
                return n;
            }
            i += 1;
        }
    }

    fn numbers_agree(&self, frame: &Frame, k: usize, g: &Rec) -> bool {
        g.all.iter().eq(self.types[..self.own].iter().map(|t| &t.name))
            && g.nparams == self.nparams
            && g.nindices as usize == self.types[k].nindices
            && g.nmotives as usize == frame.motives.len()
            && g.nminors as usize == frame.minors.len()
            && g.k == frame.k
            && g.rules.len() == self.shapes[k].len()
    }

    /// From here on everything is said without stand-ins: the real constructors are put back.
    fn put_back(&mut self, ctors: &[&Const]) {
        for c in ctors {
            self.ck.bring((*c).clone());
        }
        self.ck.forget();
    }

    /// Lean drops annotations like `outParam` from binder types, so a given term may differ from ours in form. It is
    /// type-checked, for equality presupposes that.
    fn same(&mut self, ours: ExprId, given: ExprId) -> Checked<bool> {
        if ours == given {
            return Ok(true);
        }
        self.ck.check(given)?;
        self.ck.defeq(ours, given)
    }

    fn frame(&mut self, elim: Option<NameId>) -> Checked<Frame> {
        let k = self.k_like()?;
        let mut uparams: Vec<NameId> = elim.into_iter().collect();
        uparams.extend(&self.uparams);
        let into = elim.map_or(ZERO, |u| self.ck.t.level(Level::Param(u)));
        let into = self.ck.t.sort(into);
        let us = self.ck.t.param_levels(&uparams);
        let names = (0..self.types.len()).map(|k| self.recursor_name(k)).collect();
        let (mut targets, mut motives) = (Vec::new(), Vec::new());
        for k in 0..self.types.len() {
            let target = self.target(k)?;
            motives.push(self.ck.t.pis(&target, into));
            targets.push(target);
        }
        let motives: Vec<ExprId> = motives.into_iter().map(|m| self.ck.var(m)).collect();
        let mut minors = Vec::new();
        for k in 0..self.types.len() {
            for j in 0..self.shapes[k].len() {
                let ty = self.minor(k, j, &motives);
                minors.push(self.ck.var(ty));
            }
        }
        let before = self.params.iter().chain(&motives).chain(&minors).copied().collect();
        Ok(Frame { names, uparams, us, k, motives, minors, before, targets })
    }

    /// `T.rec`; for the stand-ins `T.rec_1`, `T.rec_2`, … after the block's first type.
    fn recursor_name(&mut self, k: usize) -> NameId {
        if k < self.own {
            self.ck.t.child(self.types[k].name, "rec")
        } else {
            self.ck.t.child(self.types[0].name, &format!("rec_{}", k - self.own + 1))
        }
    }

    /// Variables for the indices of a type and for a value of it.
    fn target(&mut self, k: usize) -> Checked<Vec<ExprId>> {
        let mut ty = self.types[k].ty;
        for p in self.params.clone() {
            ty = self.ck.pi_body(ty, p)?;
        }
        let mut xs = Vec::new();
        for _ in 0..self.types[k].nindices {
            let w = self.ck.whnf(ty)?;
            let Expr::Pi(d, b) = self.ck.t.get(w) else {
                return wrong(Rule::InductiveType, "wrong number of indices");
            };
            let x = self.ck.var(d);
            xs.push(x);
            ty = self.ck.t.inst(b, &[x]);
        }
        let t = self.ck.t.constant(self.types[k].name, self.us);
        let t = self.ck.t.apps(t, &self.params);
        let t = self.ck.t.apps(t, &xs);
        xs.push(self.ck.var(t));
        Ok(xs)
    }

    /// The type of a constructor's minor premise.
    fn minor(&mut self, k: usize, j: usize, motives: &[ExprId]) -> ExprId {
        let shape = &self.shapes[k][j];
        let vars = self.ck.vars;
        let mut hyps = Vec::new();
        for r in &shape.recursive {
            let value = self.ck.t.apps(r.field, &r.xs);
            let h = self.ck.t.apps(motives[r.ty], &r.indices);
            let h = self.ck.t.app(h, value);
            let h = self.ck.t.pis(&r.xs, h);
            hyps.push(self.ck.var(h));
        }
        let con = self.ck.t.constant(self.types[k].ctors[j].0, self.us);
        let con = self.ck.t.apps(con, &self.params);
        let con = self.ck.t.apps(con, &shape.fields);
        let r = self.ck.t.apps(motives[k], &shape.indices);
        let r = self.ck.t.app(r, con);
        let r = self.ck.t.pis(&hyps, r);
        let r = self.ck.t.pis(&shape.fields, r);
        self.ck.vars = vars;
        r
    }

    fn recursor_type(&mut self, frame: &Frame, k: usize) -> Checked<ExprId> {
        let r = self.ck.t.apps(frame.motives[k], &frame.targets[k]);
        let r = self.ck.t.pis(&frame.targets[k], r);
        let ty = self.ck.t.pis(&frame.before, r);
        self.restore(ty)
    }

    fn rules(&mut self, frame: &Frame, k: usize) -> Checked<Vec<RecursorRule>> {
        let first: usize = self.shapes[..k].iter().map(Vec::len).sum();
        let mut rules = Vec::new();
        for j in 0..self.shapes[k].len() {
            let shape = &self.shapes[k][j];
            let mut args = shape.fields.clone();
            for r in &shape.recursive {
                let f = self.ck.t.constant(frame.names[r.ty], frame.us);
                let f = self.ck.t.apps(f, &frame.before);
                let f = self.ck.t.apps(f, &r.indices);
                let value = self.ck.t.apps(r.field, &r.xs);
                let f = self.ck.t.app(f, value);
                args.push(self.ck.t.lams(&r.xs, f));
            }
            let value = self.ck.t.apps(frame.minors[first + j], &args);
            let value = self.ck.t.lams(&shape.fields, value);
            let num_fields = shape.fields.len() as u32;
            let value = self.ck.t.lams(&frame.before, value);
            let value = self.restore(value)?;
            let constructor =
                if k < self.own { self.types[k].ctors[j].0 } else { self.aux[k - self.own].ctors[j].1 };
            rules.push(RecursorRule { constructor, num_fields, value });
        }
        Ok(rules)
    }
}
