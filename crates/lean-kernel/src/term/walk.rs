//! Walks that only look. None of them recurses.

use super::{Expr, ExprId, LevelsId, NameId, Set, Terms};

impl Terms {
    /// Head and arguments of an application.
    pub(crate) fn spine(&self, mut e: ExprId) -> (ExprId, Vec<ExprId>) {
        let mut args = Vec::new();
        while let Expr::App(f, a) = self.get(e) {
            args.push(a);
            e = f;
        }
        args.reverse();
        (e, args)
    }

    /// Head of an application.
    pub(crate) fn head(&self, mut e: ExprId) -> ExprId {
        while let Expr::App(f, _) = self.get(e) {
            e = f;
        }
        e
    }

    /// The constant at the head of an application.
    pub(crate) fn head_const(&self, e: ExprId) -> Option<(NameId, LevelsId)> {
        match self.get(self.head(e)) {
            Expr::Const(n, us) => Some((n, us)),
            _ => None,
        }
    }

    /// The nodes right below `e`.
    pub(crate) fn children(&self, e: ExprId, mut f: impl FnMut(ExprId)) {
        match self.get(e) {
            Expr::App(a, b) | Expr::Lam(a, b) | Expr::Pi(a, b) => {
                f(a);
                f(b);
            }
            Expr::Let(a, b, c) => {
                f(a);
                f(b);
                f(c);
            }
            Expr::Proj(_, _, a) => f(a),
            Expr::BVar(_)
            | Expr::FVar(..)
            | Expr::Sort(_)
            | Expr::Const(..)
            | Expr::Nat(_)
            | Expr::Str(_) => {}
        }
    }

    /// Calls `f` for every node below `roots` that is not in `seen` yet, until it says that this is enough.
    pub(crate) fn visit(
        &self,
        roots: impl IntoIterator<Item = ExprId>,
        seen: &mut Set<ExprId>,
        f: &mut dyn FnMut(Expr) -> bool,
    ) -> bool {
        let mut todo: Vec<ExprId> = roots.into_iter().collect();
        while let Some(e) = todo.pop() {
            if seen.insert(e) {
                if f(self.get(e)) {
                    return true;
                }
                self.children(e, |c| todo.push(c));
            }
        }
        false
    }

    /// The constants that terms name, each once, those that literals stand for included; and the number of nodes that were looked at.
    pub fn names_in(&self, roots: impl IntoIterator<Item = ExprId>) -> (Vec<NameId>, usize) {
        let mut seen = Set::default();
        let mut names = self.constants(roots, &mut seen);
        names.sort_unstable();
        names.dedup();
        (names, seen.len())
    }

    /// Constants that a kernel treats specially: numbers, strings, quotients, arithmetic.
    pub fn special_names(&self) -> Vec<NameId> {
        self.known.special()
    }

    /// The constants that terms name, those of projections and literals included.
    pub(crate) fn constants(
        &self,
        roots: impl IntoIterator<Item = ExprId>,
        seen: &mut Set<ExprId>,
    ) -> Vec<NameId> {
        let mut found = Vec::new();
        self.visit(roots, seen, &mut |e| {
            match e {
                Expr::Const(n, _) | Expr::Proj(n, _, _) => found.push(n),
                // A literal stands for terms over these.
                Expr::Nat(_) => found.push(self.known.nat),
                Expr::Str(_) => found.extend(self.known.of_strings()),
                _ => {}
            }
            false
        });
        found
    }
}
