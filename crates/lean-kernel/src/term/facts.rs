//! What is kept beside every expression, so that most walks over terms end early.

use super::{Expr, Terms};

/// Facts about an expression, computed once when it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// All loose bound variables are below this; 0: none.
    pub loose: u32,
    /// All free variables have numbers below this; 0: none.
    pub free: u32,
    /// Height of the term as a tree.
    pub depth: u32,
    /// Does a universe parameter occur?
    pub params: bool,
}

const LEAF: Facts = Facts { loose: 0, free: 0, depth: 0, params: false };

impl Facts {
    pub(super) fn of(terms: &Terms, e: Expr) -> Facts {
        let at = |e| terms.facts(e);
        let has = |l| terms.level_has_params(l);
        let f = match e {
            // Saturating: a builder refuses numbers this high, and lifting stops at the limits long before.
            Expr::BVar(i) => Facts { loose: i.saturating_add(1), ..LEAF },
            Expr::FVar(k, ty) => Facts { free: k + 1, params: at(ty).params, ..LEAF },
            Expr::Sort(l) => Facts { params: has(l), ..LEAF },
            Expr::Const(_, us) => Facts { params: terms.get_levels(us).iter().any(|l| has(*l)), ..LEAF },
            Expr::App(f, a) => at(f).join(at(a)),
            Expr::Lam(t, b) | Expr::Pi(t, b) => at(t).join(at(b).under()),
            Expr::Let(t, v, b) => at(t).join(at(v)).join(at(b).under()),
            Expr::Proj(_, _, s) => at(s),
            Expr::Nat(_) | Expr::Str(_) => LEAF,
        };
        Facts { depth: f.depth + 1, ..f }
    }

    fn join(self, other: Facts) -> Facts {
        Facts {
            loose: self.loose.max(other.loose),
            free: self.free.max(other.free),
            depth: self.depth.max(other.depth),
            params: self.params || other.params,
        }
    }

    /// Behind a binder.
    fn under(self) -> Facts {
        Facts { loose: self.loose.saturating_sub(1), ..self }
    }
}
