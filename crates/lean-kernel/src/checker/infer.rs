//! The type of a term: the calculus of inductive constructions with a cumulative-free hierarchy `Prop, Type 0, Type 1, …`.
//!
//! | term | rule |
//! |---|---|
//! | `Sort l` | `Sort (l + 1)`: no universe contains itself (Girard's paradox needs one that does) |
//! | constant | its declared type at the given levels, of the declared number |
//! | `f a` | `f : (x : A) → B`, `a : A` up to definitional equality; type `B[a]` |
//! | `fun x : A => b` | `A` a type; `(x : A) → B` for `b : B` |
//! | `(x : A) → B` | `Sort (imax a b)`: impredicative, for a proposition may quantify over everything |
//! | `let x : A := v; b` | `v : A`; the type of `b[v]`, so `b` may use the value (ζ) |
//! | projection | below |
//! | literal | `Nat` or `String`, if they are what they must be (`literal`) |

use super::{Checker, nested};
use crate::environment::Kind;
use crate::fault::{Checked, Rule, wrong};
use crate::term::{Expr, ExprId, Level, LevelId, NameId};
use crate::universe;

impl Checker<'_> {
    /// The type of `e`; everything in `e` is verified.
    pub fn check(&mut self, e: ExprId) -> Checked<ExprId> {
        self.infer_type(e, true)
    }

    /// The type of `e`, which is known to be well typed.
    pub fn infer(&mut self, e: ExprId) -> Checked<ExprId> {
        self.infer_type(e, false)
    }

    fn infer_type(&mut self, e: ExprId, check: bool) -> Checked<ExprId> {
        match self.t.get(e) {
            Expr::FVar(_, ty) => return Ok(ty),
            Expr::BVar(_) => return wrong(Rule::LooseVariable, "a bound variable without a binder"),
            _ => {}
        }
        if let Some(r) = self.caches.checked.get(&e) {
            return Ok(*r);
        }
        if !check && let Some(r) = self.caches.inferred.get(&e) {
            return Ok(*r);
        }
        if !self.t.closed(e) {
            return wrong(Rule::LooseVariable, "a bound variable without a binder");
        }
        let r = nested!(self, self.infer_new(e, check))?;
        if check {
            self.caches.checked.insert(e, r)
        } else {
            self.caches.inferred.insert(e, r)
        };
        Ok(r)
    }

    fn infer_new(&mut self, e: ExprId, check: bool) -> Checked<ExprId> {
        match self.t.get(e) {
            Expr::BVar(_) | Expr::FVar(..) => unreachable!("asked before"),
            Expr::Sort(l) => {
                if check {
                    self.check_level(l)?;
                }
                let l = self.t.level(Level::Succ(l));
                Ok(self.t.sort(l))
            }
            Expr::Const(n, us) => {
                if check {
                    for l in self.t.get_levels(us).to_vec() {
                        self.check_level(l)?;
                    }
                }
                self.const_type(n, us)
            }
            Expr::App(..) => self.infer_app(e, check),
            Expr::Lam(..) => self.infer_lam(e, check),
            Expr::Pi(..) => self.infer_pi(e, check),
            Expr::Let(ty, v, b) => {
                if check {
                    self.sort_of(ty, true)?;
                    let given = self.infer_type(v, true)?;
                    if !self.defeq(given, ty)? {
                        return wrong(Rule::Let, "the value of a let has another type than it says");
                    }
                }
                let b = self.t.inst(b, &[v]);
                self.infer_type(b, check)
            }
            Expr::Proj(s, i, x) => self.infer_proj(s, i, x, check),
            Expr::Nat(_) => self.type_of_nat(),
            Expr::Str(s) => self.type_of_str(s, check),
        }
    }

    /// All arguments at once: the domain is instantiated where it is needed, not after each argument.
    fn infer_app(&mut self, e: ExprId, check: bool) -> Checked<ExprId> {
        let (f, args) = self.t.spine(e);
        let mut ty = self.infer_type(f, check)?;
        let mut from = 0;
        for k in 0..args.len() {
            if !matches!(self.t.get(ty), Expr::Pi(..)) {
                ty = self.t.inst(ty, &args[from..k]);
                from = k;
                ty = self.whnf(ty)?;
            }
            let Expr::Pi(dom, cod) = self.t.get(ty) else {
                return wrong(Rule::Application, "application of what is no function");
            };
            if check {
                let dom = self.t.inst(dom, &args[from..k]);
                let arg = self.infer_type(args[k], true)?;
                let outer = self.eager;
                self.eager |= self.t.head_const(args[k]).is_some_and(|c| c.0 == self.t.known.eager);
                let same = self.defeq(dom, arg);
                self.eager = outer;
                if !same? {
                    let name =
                        self.t.head_const(f).map_or_else(|| "a function".to_owned(), |c| self.t.show(c.0));
                    return wrong(
                        Rule::Application,
                        format!("argument {k} of {name} has another type than its function expects"),
                    );
                }
            }
            ty = cod;
        }
        Ok(self.t.inst(ty, &args[from..]))
    }

    fn infer_lam(&mut self, e: ExprId, check: bool) -> Checked<ExprId> {
        let (mut b, mut xs, vars) = (e, Vec::new(), self.vars);
        while let Expr::Lam(d, body) = self.t.get(b) {
            let d = self.t.inst(d, &xs);
            if check {
                self.sort_of(d, true)?;
            }
            xs.push(self.var(d));
            b = body;
        }
        let b = self.t.inst(b, &xs);
        let ty = self.infer_type(b, check)?;
        self.vars = vars;
        Ok(self.t.pis(&xs, ty))
    }

    fn infer_pi(&mut self, e: ExprId, check: bool) -> Checked<ExprId> {
        let (mut b, mut xs, mut levels, vars) = (e, Vec::new(), Vec::new(), self.vars);
        while let Expr::Pi(d, body) = self.t.get(b) {
            let d = self.t.inst(d, &xs);
            levels.push(self.sort_of(d, check)?);
            xs.push(self.var(d));
            b = body;
        }
        let b = self.t.inst(b, &xs);
        let mut l = self.sort_of(b, check)?;
        self.vars = vars;
        for d in levels.into_iter().rev() {
            l = self.t.level(Level::IMax(d, l));
        }
        Ok(self.t.sort(l))
    }

    fn check_level(&self, l: LevelId) -> Checked<()> {
        if universe::params_in(&self.t, l, &self.params) {
            Ok(())
        } else {
            wrong(Rule::UniverseParameter, "a universe parameter that is not declared")
        }
    }

    /// The universe level that the type `ty` lives in.
    pub fn sort_of(&mut self, ty: ExprId, check: bool) -> Checked<LevelId> {
        let s = self.infer_type(ty, check)?;
        let s = self.whnf(s)?;
        match self.t.get(s) {
            Expr::Sort(l) => Ok(l),
            _ => wrong(Rule::NotAType, "what must be a type is none"),
        }
    }

    /// Is `ty` a proposition, whatever the universe parameters are?
    pub fn is_prop(&mut self, ty: ExprId) -> Checked<bool> {
        let s = self.infer(ty)?;
        let s = self.whnf(s)?;
        match self.t.get(s) {
            Expr::Sort(l) => Ok(universe::is_zero(&mut self.t, l)?),
            _ => Ok(false),
        }
    }

    /// `x.i` for `x` of a type with one constructor: the type of its `i`-th field, earlier fields replaced by projections.
    ///
    /// Out of a proof only proofs may be projected, and nothing whose type depends on data in the proof: two proofs are equal,
    /// so data in them would make different things equal. Projections are the eliminator that large elimination forbids.
    fn infer_proj(&mut self, s: NameId, i: u32, x: ExprId, check: bool) -> Checked<ExprId> {
        let refuse = |reason: &str| wrong(Rule::Projection, format!("projection {reason}"));
        let xt = self.infer_type(x, check)?;
        let xt = self.whnf(xt)?;
        let (head, args) = self.t.spine(xt);
        let Expr::Const(n, us) = self.t.get(head) else { return refuse("out of what is no structure") };
        if n != s {
            return refuse("out of another structure than it names");
        }
        let Some(found) = self.find(n) else { return refuse("out of an unknown structure") };
        let Kind::Induct(ind) = &found.kind else { return refuse("out of what is no structure") };
        let [ctor] = ind.ctors[..] else { return refuse("out of a type with several constructors") };
        if args.len() != (ind.nparams + ind.nindices) as usize {
            return refuse("out of a type with a wrong number of arguments");
        }
        let Some(found_ctor) = self.find(ctor) else {
            return refuse("out of a type whose constructor is unknown");
        };
        let Kind::Ctor(c) = &found_ctor.kind else {
            return refuse("out of a type whose constructor is none");
        };
        if i >= c.nfields {
            return refuse("of a field that is not there");
        }
        let prop = self.is_prop(xt)?;
        let mut ty = self.const_type(ctor, us)?;
        for a in &args[..ind.nparams as usize] {
            ty = self.pi_body(ty, *a)?;
        }
        for k in 0..i {
            let field = self.t.mk(Expr::Proj(s, k, x));
            let w = self.whnf(ty)?;
            let Expr::Pi(dom, cod) = self.t.get(w) else { return refuse("of a field that is not there") };
            if prop && !self.t.closed(cod) && !self.is_prop(dom)? {
                return refuse("out of a proof, of what depends on data in it");
            }
            ty = self.t.inst(cod, &[field]);
        }
        let w = self.whnf(ty)?;
        let Expr::Pi(dom, _) = self.t.get(w) else { return refuse("of a field that is not there") };
        if prop && !self.is_prop(dom)? {
            return refuse("of data out of a proof");
        }
        Ok(dom)
    }

    /// The codomain at `a` of a function type.
    pub fn pi_body(&mut self, ty: ExprId, a: ExprId) -> Checked<ExprId> {
        let w = self.whnf(ty)?;
        match self.t.get(w) {
            Expr::Pi(_, cod) => Ok(self.t.inst(cod, &[a])),
            _ => wrong(Rule::Application, "a function type was expected"),
        }
    }
}
