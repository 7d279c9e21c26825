//! Quotient types: four constants whose types must be exactly these.
//!
//! ```text
//! Quot      : {α : Sort u} → (α → α → Prop) → Sort u
//! Quot.mk   : {α : Sort u} → (r : α → α → Prop) → α → Quot r
//! Quot.lift : {α : Sort u} → {r : α → α → Prop} → {β : Sort v} → (f : α → β) → (∀ a b, r a b → f a = f b) → Quot r → β
//! Quot.ind  : {α : Sort u} → {r : α → α → Prop} → {β : Quot r → Prop} → (∀ a, β (Quot.mk r a)) → ∀ q, β q
//! ```
//!
//! `Quot.lift f h (Quot.mk r a)` computes to `f a`; with `Quot.sound` that is consistent because `f` respects `r`, which `h` proves. So `=` must
//! be the real equality, and the `Quot` and `Quot.mk` in these types must be constants of this very kind: over a look-alike
//! `Quot` (a definition, or an inductive type of one's own) the computation rule would be wrong.

use crate::checker::Checker;
use crate::declaration::QuotientPart;
use crate::environment::{Const, Kind};
use crate::fault::{Checked, Rule, wrong};
use crate::term::{ExprId, Level, NameId, ZERO};

pub(super) fn check(ck: &mut Checker<'_>, c: &Const, part: QuotientPart) -> Checked<()> {
    let k = ck.t.known;
    let (name, universes) = match part {
        QuotientPart::Type => (k.quot, 1),
        QuotientPart::Constructor => (k.quot_mk, 1),
        QuotientPart::Lift => (k.quot_lift, 2),
        QuotientPart::Induction => (k.quot_ind, 1),
    };
    if c.name != name || c.params.len() != universes {
        return wrong(Rule::Quotient, "a quotient constant with a wrong name or wrong universe parameters");
    }
    let real = |n: NameId, p: QuotientPart| ck.find(n).is_some_and(|c| c.kind == Kind::Quot(p));
    let over_real = match part {
        QuotientPart::Type => true,
        QuotientPart::Constructor => real(k.quot, QuotientPart::Type),
        QuotientPart::Lift | QuotientPart::Induction => {
            real(k.quot, QuotientPart::Type) && real(k.quot_mk, QuotientPart::Constructor)
        }
    };
    if !over_real {
        return wrong(Rule::Quotient, "a quotient constant over something else");
    }
    if part == QuotientPart::Lift && !equality_is_real(ck) {
        return wrong(Rule::Quotient, "quotients without the real equality");
    }
    if expected(ck, c, part) == c.ty {
        Ok(())
    } else {
        wrong(Rule::Quotient, "a quotient constant with a wrong type")
    }
}

fn expected(ck: &mut Checker<'_>, c: &Const, part: QuotientPart) -> ExprId {
    let k = ck.t.known;
    let u = ck.t.level(Level::Param(c.params[0]));
    let us = ck.t.levels(&[u]);
    let (sort_u, prop) = (ck.t.sort(u), ck.t.sort(ZERO));
    let alpha = ck.var(sort_u);
    let (x, y) = (ck.var(alpha), ck.var(alpha));
    let relation = ck.t.pis(&[x, y], prop);
    let r = ck.var(relation);
    let quot = ck.t.constant(k.quot, us);
    let quot = ck.t.apps(quot, &[alpha, r]);
    let mk = ck.t.constant(k.quot_mk, us);
    let mk = ck.t.apps(mk, &[alpha, r]);
    match part {
        QuotientPart::Type => ck.t.pis(&[alpha, r], sort_u),
        QuotientPart::Constructor => {
            let a = ck.var(alpha);
            ck.t.pis(&[alpha, r, a], quot)
        }
        QuotientPart::Lift => {
            let v = ck.t.level(Level::Param(c.params[1]));
            let vs = ck.t.levels(&[v]);
            let sort_v = ck.t.sort(v);
            let beta = ck.var(sort_v);
            let f = ck.t.pis(&[x], beta);
            let f = ck.var(f);
            let (a, b) = (ck.var(alpha), ck.var(alpha));
            let related = ck.t.apps(r, &[a, b]);
            let h = ck.var(related);
            let (fa, fb) = (ck.t.app(f, a), ck.t.app(f, b));
            let eq = ck.t.constant(k.eq, vs);
            let eq = ck.t.apps(eq, &[beta, fa, fb]);
            let respects = ck.t.pis(&[a, b, h], eq);
            let respects = ck.var(respects);
            let q = ck.var(quot);
            ck.t.pis(&[alpha, r, beta, f, respects, q], beta)
        }
        QuotientPart::Induction => {
            let q = ck.var(quot);
            let motive = ck.t.pis(&[q], prop);
            let beta = ck.var(motive);
            let a = ck.var(alpha);
            let m = ck.t.app(mk, a);
            let m = ck.t.app(beta, m);
            let m = ck.t.pis(&[a], m);
            let m = ck.var(m);
            let q = ck.var(quot);
            let goal = ck.t.app(beta, q);
            ck.t.pis(&[alpha, r, beta, m, q], goal)
        }
    }
}

/// Is `Eq` the inductive family `{α : Sort u} → α → α → Prop` with the one constructor `Eq.refl a : Eq a a`?
fn equality_is_real(ck: &mut Checker<'_>) -> bool {
    let k = ck.t.known;
    let (Some(e), Some(r)) = (ck.find(k.eq), ck.find(k.eq_refl)) else { return false };
    let family =
        matches!(&e.kind, Kind::Induct(i) if i.ctors == [k.eq_refl] && i.nparams == 2 && i.nindices == 1);
    if !family || e.params.len() != 1 || r.params != e.params {
        return false;
    }
    let vars = ck.vars;
    let u = ck.t.level(Level::Param(e.params[0]));
    let us = ck.t.levels(&[u]);
    let sort = ck.t.sort(u);
    let prop = ck.t.sort(ZERO);
    let alpha = ck.var(sort);
    let (a, b) = (ck.var(alpha), ck.var(alpha));
    let ty = ck.t.pis(&[alpha, a, b], prop);
    let c = ck.t.constant(k.eq, us);
    let c = ck.t.apps(c, &[alpha, a, a]);
    let refl = ck.t.pis(&[alpha, a], c);
    ck.vars = vars;
    ty == e.ty && refl == r.ty
}
