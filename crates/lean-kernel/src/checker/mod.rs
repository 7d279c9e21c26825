//! Typing, weak head normal forms and definitional equality, for one declaration at a time.
//!
//! | module | what |
//! |---|---|
//! | `infer` | the type of a term |
//! | `whnf`, `recursor` | computing: β, δ, ζ, ι, projections, quotients |
//! | `literal`, `arithmetic` | what literals stand for; computing with big numbers |
//! | `defeq`, `delta`, `eta` | are two terms equal by computation? |
//!
//! The algorithms are bidirectional only in this: `check` verifies all that a term contains, `infer` finds the type of what is
//! known to be well typed. Equality presupposes that both sides are well typed.

mod arithmetic;
mod defeq;
mod delta;
mod eta;
mod infer;
mod literal;
mod recursor;
mod whnf;

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::BaseId;
use crate::environment::{Const, Environment};
use crate::fault::{Checked, Fault, Rule, wrong};
use crate::known::{Known, OpSet};
use crate::limits::{Limit, Limits};
use crate::term::{Expr, ExprId, LevelId, LevelsId, Map, NameId, Set, Tables, Terms};
use crate::universe;

/// Checks declarations, one after another. Everything it remembers belongs to the declaration at hand.
pub(crate) struct Checker<'a> {
    pub t: Terms,
    env: &'a Environment,
    limits: &'a Limits,
    /// Operations on numbers that are computed: their constants are these operations, or their declarations are refused.
    ops: OpSet,
    /// Declarations from this one on are not visible.
    before: u32,
    /// What the declaration at hand brings itself: the types, constructors and stand-ins of an inductive block.
    overlay: Map<NameId, Rc<Const>>,
    /// Universe parameters of the declaration at hand.
    pub params: Vec<NameId>,
    /// Binders that are open: the number of the next variable.
    pub vars: u32,
    depth: u32,
    /// Inside an argument `eagerReduce …` numbers are computed in open terms too.
    eager: bool,
    /// Off while the equations of an operation on numbers are verified.
    pub compute: bool,
    caches: Caches,
}

#[derive(Default)]
struct Caches {
    whnf: Map<ExprId, ExprId>,
    core: Map<ExprId, ExprId>,
    checked: Map<ExprId, ExprId>,
    inferred: Map<ExprId, ExprId>,
    unfolded: Map<(NameId, LevelsId), ExprId>,
    types: Map<(NameId, LevelsId), ExprId>,
    /// Pairs whose arguments were compared in vain.
    failed: Set<(ExprId, ExprId)>,
    /// Union-find over terms that were found equal.
    parents: Map<ExprId, ExprId>,
}

/// A constant of the environment or of the block at hand.
#[derive(Clone)]
pub(crate) enum Found<'a> {
    Declared(&'a Const),
    Own(Rc<Const>),
}

impl Deref for Found<'_> {
    type Target = Const;
    fn deref(&self) -> &Const {
        match self {
            Found::Declared(c) => c,
            Found::Own(c) => c,
        }
    }
}

/// Runs a nested call: it costs a step and a level of recursion.
macro_rules! nested {
    ($self:ident, $body:expr) => {{
        $self.enter()?;
        let r = $body;
        $self.depth -= 1;
        r
    }};
}
use nested;

impl<'a> Checker<'a> {
    pub fn new(
        tables: Vec<Arc<Tables>>,
        known: Known,
        env: &'a Environment,
        ops: OpSet,
        limits: &'a Limits,
    ) -> Checker<'a> {
        Checker {
            t: Terms::over(BaseId::none(), tables, known, limits),
            env,
            limits,
            ops,
            before: 0,
            overlay: Map::default(),
            params: Vec::new(),
            vars: 0,
            depth: 0,
            eager: false,
            compute: true,
            caches: Caches::default(),
        }
    }

    /// Makes ready for the declaration `before`, which may take `steps`.
    pub fn reset(&mut self, before: u32, steps: u64) {
        self.t.reset(steps);
        self.before = before;
        self.overlay.clear();
        self.params.clear();
        (self.vars, self.depth, self.eager, self.compute) = (0, 0, false, true);
        self.forget();
    }

    /// Empties the caches: they hold what followed from the constants that were visible.
    pub fn forget(&mut self) {
        fn wipe<K: std::hash::Hash + Eq, V>(m: &mut Map<K, V>) {
            if m.capacity() > 1 << 14 { *m = Map::default() } else { m.clear() }
        }
        let c = &mut self.caches;
        wipe(&mut c.whnf);
        wipe(&mut c.core);
        wipe(&mut c.checked);
        wipe(&mut c.inferred);
        wipe(&mut c.unfolded);
        wipe(&mut c.types);
        wipe(&mut c.parents);
        if c.failed.capacity() > 1 << 14 {
            c.failed = Set::default();
        } else {
            c.failed.clear();
        }
    }

    /// Whatever was concluded must not be used if a limit was hit on the way: terms may be wrong since.
    pub fn sound(&self) -> Checked<()> {
        self.t.overrun().map_or(Ok(()), |l| Err(Fault::Limit(l)))
    }

    fn enter(&mut self) -> Checked<()> {
        self.spend(4)?;
        if self.depth >= self.limits.depth {
            return Err(Fault::Limit(Limit::Depth));
        }
        self.depth += 1;
        Ok(())
    }

    pub fn spend(&mut self, steps: u64) -> Checked<()> {
        self.t.spend(steps);
        self.sound()
    }

    // ---- constants ----

    pub fn find(&self, n: NameId) -> Option<Found<'a>> {
        if !self.overlay.is_empty()
            && let Some(c) = self.overlay.get(&n)
        {
            return Some(Found::Own(Rc::clone(c)));
        }
        self.env.find(n).filter(|c| c.decl < self.before).map(Found::Declared)
    }

    /// Makes a constant of the block at hand visible.
    pub fn bring(&mut self, c: Const) {
        self.overlay.insert(c.name, Rc::new(c));
    }

    /// The type of a constant at universe levels.
    pub fn const_type(&mut self, n: NameId, us: LevelsId) -> Checked<ExprId> {
        if let Some(t) = self.caches.types.get(&(n, us)) {
            return Ok(*t);
        }
        let Some(c) = self.find(n) else {
            return wrong(Rule::UnknownConstant, format!("unknown constant {}", self.t.show(n)));
        };
        let levels = self.t.get_levels(us).to_vec();
        if c.params.len() != levels.len() {
            let name = self.t.show(n);
            return wrong(
                Rule::UniverseArity,
                format!("{name} takes {} universe levels, not {}", c.params.len(), levels.len()),
            );
        }
        let ty = self.t.subst_params(c.ty, &c.params, &levels);
        self.caches.types.insert((n, us), ty);
        Ok(ty)
    }

    // ---- variables and universes ----

    /// Opens a binder.
    pub fn var(&mut self, ty: ExprId) -> ExprId {
        debug_assert!(self.t.overrun().is_some() || self.t.facts(ty).free <= self.vars);
        self.vars += 1;
        self.t.mk(Expr::FVar(self.vars - 1, ty))
    }

    pub fn level_eq(&mut self, a: LevelId, b: LevelId) -> Checked<bool> {
        Ok(universe::equal(&mut self.t, a, b)?)
    }

    fn levels_eq(&mut self, a: LevelsId, b: LevelsId) -> Checked<bool> {
        if a == b {
            return Ok(true);
        }
        let (x, y) = (self.t.get_levels(a).to_vec(), self.t.get_levels(b).to_vec());
        if x.len() != y.len() {
            return Ok(false);
        }
        for (a, b) in x.into_iter().zip(y) {
            if !self.level_eq(a, b)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
