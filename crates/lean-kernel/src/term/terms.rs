//! The stack of layers that holds all terms of a check, and how terms are made.

use std::sync::Arc;

use num_bigint::BigUint;

use super::table::{ExprNode, LevelNode, Table};
use super::{
    ANONYMOUS, Expr, ExprId, Facts, Level, LevelId, LevelsId, Name, NameId, NatId, StrId, Tables, ZERO,
};
use crate::base::BaseId;
use crate::known::Known;
use crate::limits::{LEVEL_DEPTH, Limit, Limits};

/// Hash-consed names, universe levels and expressions: equal terms have equal ids, so that syntactic equality is one
/// comparison.
///
/// The tables come in layers. Those of the base are frozen and shared by all threads; what is made here goes into an own
/// layer on top. Whoever has a [`Base`](crate::Base) gets terms over it from [`Base::terms`](crate::Base::terms).
///
/// The constructors `name_…`, `level_…`, `expr_…` check every id that they are given, so that a host may feed them what an
/// untrusted guest wrote. Nothing that they build is believed: [`check`](crate::check) decides.
pub struct Terms {
    /// The base that they are over.
    pub(crate) base: BaseId,
    frozen: Vec<Arc<Tables>>,
    own: Tables,
    /// Names that the kernel knows.
    pub(crate) known: Known,
    /// What may still be used.
    steps: u64,
    limits: Limits,
    overrun: Option<Limit>,
}

/// Looks an id up in the own layer, then in those below.
macro_rules! lookup {
    ($self:ident, $table:ident, $id:expr) => {{
        let id = $id.0;
        match $self.own.$table.get(id) {
            Some(node) => node,
            // Ids are checked where they come in, so one of the layers has it.
            None => match $self.frozen.iter().rev().find_map(|t| t.$table.get(id)) {
                Some(node) => node,
                None => unreachable!("an id of other terms"),
            },
        }
    }};
}

/// Finds a value in any layer, or adds it to the own one.
macro_rules! intern {
    ($self:ident, $table:ident, $hash:expr, $same:expr, $new:expr, $rehash:expr) => {{
        let hash = $hash;
        let same = $same;
        match $self
            .frozen
            .iter()
            .find_map(|t| t.$table.find(hash, same))
            .or_else(|| $self.own.$table.find(hash, same))
        {
            Some(id) => id,
            None if $self.full(&$self.own.$table) => $self.own.$table.end() - 1,
            None => {
                let new = $new;
                let builder = $self.own.hash.clone();
                $self.own.$table.push(hash, new, |n| std::hash::BuildHasher::hash_one(&builder, $rehash(n)))
            }
        }
    }};
}

impl Terms {
    /// Terms with nothing but what the kernel itself knows.
    pub(crate) fn root() -> Terms {
        let mut t = Terms {
            base: BaseId::none(),
            frozen: Vec::new(),
            own: Tables::root(),
            known: Known::default(),
            steps: u64::MAX,
            limits: Limits { terms: u32::MAX / 2, ..Limits::default() },
            overrun: None,
        };
        t.name(Name::Anonymous);
        t.level(Level::Zero);
        t.levels(&[]);
        t.known = Known::new(&mut t);
        t
    }

    /// Terms without anything, to be filled with what [`Terms::root`] begins with and more.
    pub(crate) fn bare(limits: &Limits) -> Terms {
        Terms::over(BaseId::none(), Vec::new(), Known::default(), limits)
    }

    /// Learns the names that the kernel knows, and says whether the tables begin with them as all others do.
    pub(crate) fn begins_with_known(&mut self) -> bool {
        let root = Terms::root();
        let same = root.own.names.iter().zip(self.own.names.iter()).all(|(a, b)| a == b)
            && root.own.strs.iter().zip(self.own.strs.iter()).all(|(a, b)| a == b)
            && root.own.names.len() <= self.own.names.len()
            && root.own.strs.len() <= self.own.strs.len()
            && self.own.levels.get(ZERO.0).is_some_and(|node| node.level == Level::Zero)
            && self.own.lists.get(0).is_some_and(|list| list.is_empty());
        self.known = root.known;
        same
    }

    /// The own layer.
    pub(crate) fn tables(&self) -> &Tables {
        &self.own
    }

    /// Makes room for `count` more expressions.
    pub(crate) fn reserve_exprs(&mut self, count: usize) {
        let builder = self.own.hash.clone();
        self.own.exprs.reserve(count, |n| std::hash::BuildHasher::hash_one(&builder, n.expr));
    }

    /// An empty layer over frozen ones. `frozen` must come from terms with the same `known`.
    pub(crate) fn over(base: BaseId, frozen: Vec<Arc<Tables>>, known: Known, limits: &Limits) -> Terms {
        let own = frozen.last().map_or_else(Tables::root, |below| Tables::over(below));
        Terms { base, frozen, own, known, steps: limits.steps, limits: limits.clone(), overrun: None }
    }

    /// Freezes the own layer and shares all.
    pub(crate) fn freeze(&mut self) -> Vec<Arc<Tables>> {
        if !self.own.is_empty() {
            let next = Tables::over(&self.own);
            self.frozen.push(Arc::new(std::mem::replace(&mut self.own, next)));
            merge_layers(
                &mut self.frozen,
                |t| t.size(),
                |below, above| {
                    let mut merged = below.clone();
                    merged.absorb(above);
                    merged
                },
            );
        }
        self.frozen.clone()
    }

    /// Takes over layers that were made on top of these.
    pub(crate) fn adopt(&mut self, frozen: Vec<Arc<Tables>>) {
        if let Some(top) = frozen.last() {
            self.own = Tables::over(top);
            self.frozen = frozen;
        }
    }

    /// Forgets the own layer and starts to count anew. No id of that layer may be kept.
    pub(crate) fn reset(&mut self, steps: u64) {
        self.own.clear();
        self.steps = steps;
        self.overrun = None;
    }

    // ---- what may be used ----

    /// Uses up `n` steps.
    pub(crate) fn spend(&mut self, n: u64) {
        match self.steps.checked_sub(n) {
            Some(left) => self.steps = left,
            None => {
                self.steps = 0;
                self.overrun = Some(Limit::Steps);
            }
        }
    }

    /// Steps that are left.
    pub(crate) fn steps_left(&self) -> u64 {
        self.steps
    }

    /// The limit that was hit. From then on terms that are made may be wrong, so whoever uses them must ask.
    pub(crate) fn overrun(&self) -> Option<Limit> {
        self.overrun
    }

    fn full<T>(&self, table: &Table<T>) -> bool {
        table.end() >= u32::MAX / 2
    }

    /// The id after the last expression's, and likewise for names and levels.
    pub(super) fn ends(&self) -> [u32; 3] {
        [self.own.exprs.end(), self.own.names.end(), self.own.levels.end()]
    }

    /// Bits that a number literal may have.
    pub(super) fn max_bits(&self) -> u64 {
        self.limits.bits
    }

    /// Number of expressions in all layers.
    pub fn expr_count(&self) -> usize {
        self.own.exprs.end() as usize
    }

    // ---- what ids stand for ----

    /// What a name is.
    pub fn get_name(&self, n: NameId) -> Name {
        *lookup!(self, names, n)
    }
    /// What a level is.
    pub fn get_level(&self, l: LevelId) -> Level {
        lookup!(self, levels, l).level
    }
    /// The levels of a list.
    pub fn get_levels(&self, ls: LevelsId) -> &[LevelId] {
        lookup!(self, lists, ls)
    }
    /// What an expression is.
    pub fn get(&self, e: ExprId) -> Expr {
        lookup!(self, exprs, e).expr
    }
    /// The number of a literal.
    pub fn get_nat(&self, n: NatId) -> &BigUint {
        lookup!(self, nats, n)
    }
    /// The text of a part of a name or of a literal.
    pub fn get_text(&self, s: StrId) -> &str {
        lookup!(self, strs, s)
    }
    pub(crate) fn facts(&self, e: ExprId) -> Facts {
        lookup!(self, exprs, e).facts
    }
    /// Has `e` no loose bound variable?
    pub fn closed(&self, e: ExprId) -> bool {
        self.facts(e).loose == 0
    }
    pub(crate) fn level_has_params(&self, l: LevelId) -> bool {
        lookup!(self, levels, l).params
    }

    // ---- making, for the checker ----

    pub(crate) fn name(&mut self, n: Name) -> NameId {
        let hash = self.own.hash_of(&n);
        NameId(intern!(self, names, hash, |m: &Name| *m == n, n, |m: &Name| *m))
    }
    pub(crate) fn text(&mut self, s: &str) -> StrId {
        let hash = self.own.hash_of(s);
        StrId(intern!(self, strs, hash, |t: &_| contents(t) == s, Box::from(s), contents))
    }
    /// `pre` and one more part, unchecked.
    pub(crate) fn child(&mut self, pre: NameId, s: &str) -> NameId {
        let s = self.text(s);
        self.name(Name::Str(pre, s))
    }
    /// The name whose parts stand between dots.
    pub(crate) fn path(&mut self, dotted: &str) -> NameId {
        dotted.split('.').fold(ANONYMOUS, |n, s| self.child(n, s))
    }
    pub(crate) fn nat(&mut self, n: BigUint) -> NatId {
        let hash = self.own.hash_of(&n);
        NatId(intern!(self, nats, hash, |m: &BigUint| *m == n, n.clone(), number_key))
    }
    pub(crate) fn level(&mut self, l: Level) -> LevelId {
        let hash = self.own.hash_of(&l);
        let facts = |l: LevelId| {
            let node = lookup!(self, levels, l);
            (node.depth, node.params)
        };
        let (depth, params) = match l {
            Level::Zero => (0, false),
            Level::Param(_) => (0, true),
            Level::Succ(a) => facts(a),
            Level::Max(a, b) | Level::IMax(a, b) => {
                let (x, y) = (facts(a), facts(b));
                (x.0.max(y.0), x.1 || y.1)
            }
        };
        if depth >= LEVEL_DEPTH {
            self.overrun = Some(Limit::TermDepth);
        }
        let node = LevelNode { level: l, depth: depth + 1, params };
        LevelId(intern!(self, levels, hash, |m: &LevelNode| m.level == l, node, |m: &LevelNode| m.level))
    }
    pub(crate) fn levels(&mut self, ls: &[LevelId]) -> LevelsId {
        let hash = self.own.hash_of(ls);
        LevelsId(intern!(self, lists, hash, |l: &_| contents(l) == ls, Box::from(ls), contents))
    }
    pub(crate) fn mk(&mut self, e: Expr) -> ExprId {
        let hash = self.own.hash_of(&e);
        let same = |n: &ExprNode| n.expr == e;
        let found = self.own.exprs.find(hash, same);
        if let Some(id) = found.or_else(|| self.frozen.iter().find_map(|t| t.exprs.find(hash, same))) {
            return ExprId(id);
        }
        if self.own.exprs.len() >= self.limits.terms as usize || self.full(&self.own.exprs) {
            self.overrun = Some(Limit::Terms);
            // Wrong, and known to be: whoever sees `overrun` throws it away. There is an expression, for the table is full.
            return ExprId(self.own.exprs.end().saturating_sub(1));
        }
        let facts = Facts::of(self, e);
        if facts.depth > self.limits.term_depth {
            self.overrun = Some(Limit::TermDepth);
        }
        let builder = self.own.hash.clone();
        let node = ExprNode { expr: e, facts };
        ExprId(self.own.exprs.push(hash, node, |n| std::hash::BuildHasher::hash_one(&builder, n.expr)))
    }
    pub(crate) fn app(&mut self, f: ExprId, a: ExprId) -> ExprId {
        self.mk(Expr::App(f, a))
    }
    pub(crate) fn apps(&mut self, f: ExprId, args: &[ExprId]) -> ExprId {
        args.iter().fold(f, |f, a| self.app(f, *a))
    }
    pub(crate) fn sort(&mut self, l: LevelId) -> ExprId {
        self.mk(Expr::Sort(l))
    }
    pub(crate) fn constant(&mut self, n: NameId, us: LevelsId) -> ExprId {
        self.mk(Expr::Const(n, us))
    }
    pub(crate) fn param_levels(&mut self, ps: &[NameId]) -> LevelsId {
        let ls: Vec<LevelId> = ps.iter().map(|p| self.level(Level::Param(*p))).collect();
        self.levels(&ls)
    }
}

/// What a box holds.
fn contents<T: std::ops::Deref>(boxed: &T) -> &T::Target {
    boxed
}
fn number_key(n: &BigUint) -> &BigUint {
    n
}

/// Keeps the number of layers logarithmic in their total size: while the top one is at least half as big as the one below,
/// they become one.
pub(crate) fn merge_layers<T>(
    layers: &mut Vec<Arc<T>>,
    size: impl Fn(&T) -> usize,
    merge: impl Fn(&T, &T) -> T,
) {
    while let [.., below, top] = &layers[..] {
        if size(top) * 2 < size(below) {
            break;
        }
        let merged = Arc::new(merge(below, top));
        layers.truncate(layers.len() - 2);
        layers.push(merged);
    }
}
