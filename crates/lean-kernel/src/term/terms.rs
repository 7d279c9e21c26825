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

/// Parts of names that are numbers this high are the checker's own (stand-ins for nested types).
pub(crate) const RESERVED_NUMBERS: u64 = 1 << 62;
/// Parts that a name may have.
const NAME_DEPTH: u32 = 500;
/// The highest bound variable that a builder may name.
const MAX_BVAR: u32 = 1 << 30;

/// Why a term could not be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TermError {
    /// An id that these terms have not given out.
    #[error("an id that has not been given out")]
    UnknownId,
    /// A name with too many parts, or a number in a name or of a bound variable that is too big.
    #[error("{0}")]
    TooBig(&'static str),
    /// A table is full or a term is too deep.
    #[error("{0}")]
    Limit(Limit),
}

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

    fn sound(&self) -> Result<(), TermError> {
        self.overrun.map_or(Ok(()), |l| Err(TermError::Limit(l)))
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
        StrId(intern!(self, strs, hash, |t: &Box<str>| **t == *s, Box::from(s), text_key))
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
        LevelsId(intern!(self, lists, hash, |m: &Box<[LevelId]>| **m == *ls, Box::from(ls), list_key))
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

fn text_key(t: &Box<str>) -> &str {
    t
}
fn number_key(n: &BigUint) -> &BigUint {
    n
}
fn list_key(l: &Box<[LevelId]>) -> &[LevelId] {
    l
}

/// The constructors for outsiders: every id is checked.
///
/// # Errors
/// [`TermError::UnknownId`] for an id that these terms have not given out, [`TermError::TooBig`] and [`TermError::Limit`]
/// where a bound is passed. After [`TermError::Limit`] these terms are of no more use.
impl Terms {
    pub(crate) fn has_name(&self, n: NameId) -> bool {
        n.0 < self.own.names.end()
    }
    pub(crate) fn has_expr(&self, e: ExprId) -> bool {
        e.0 < self.own.exprs.end()
    }
    fn known_name(&self, n: NameId) -> Result<(), TermError> {
        if self.has_name(n) { Ok(()) } else { Err(TermError::UnknownId) }
    }
    fn known_level(&self, l: LevelId) -> Result<(), TermError> {
        if l.0 < self.own.levels.end() { Ok(()) } else { Err(TermError::UnknownId) }
    }
    fn known_expr(&self, e: ExprId) -> Result<(), TermError> {
        if self.has_expr(e) { Ok(()) } else { Err(TermError::UnknownId) }
    }
    fn made<T>(&self, id: T) -> Result<T, TermError> {
        self.sound().map(|()| id)
    }

    /// The anonymous name.
    pub fn name_anonymous(&self) -> NameId {
        ANONYMOUS
    }
    /// `pre` with a text as one more part.
    pub fn name_str(&mut self, pre: NameId, part: &str) -> Result<NameId, TermError> {
        self.room_for_part(pre)?;
        Ok(self.child(pre, part))
    }
    /// `pre` with a number (below 2⁶²) as one more part.
    pub fn name_num(&mut self, pre: NameId, part: u64) -> Result<NameId, TermError> {
        self.room_for_part(pre)?;
        if part >= RESERVED_NUMBERS {
            return Err(TermError::TooBig("a number in a name is too big"));
        }
        Ok(self.name(Name::Num(pre, part)))
    }
    fn room_for_part(&self, pre: NameId) -> Result<(), TermError> {
        self.known_name(pre)?;
        let (mut n, mut parts) = (pre, 0);
        while let Name::Str(p, _) | Name::Num(p, _) = self.get_name(n) {
            (n, parts) = (p, parts + 1);
        }
        if parts < NAME_DEPTH { Ok(()) } else { Err(TermError::TooBig("a name has too many parts")) }
    }
    /// The name whose parts, all texts, stand between dots: `Nat.add`.
    pub fn name_path(&mut self, dotted: &str) -> Result<NameId, TermError> {
        dotted.split('.').try_fold(ANONYMOUS, |n, part| self.name_str(n, part))
    }

    /// The level 0.
    pub fn level_zero(&self) -> LevelId {
        ZERO
    }
    /// `l + 1`.
    pub fn level_succ(&mut self, l: LevelId) -> Result<LevelId, TermError> {
        self.known_level(l)?;
        let id = self.level(Level::Succ(l));
        self.made(id)
    }
    /// `max a b`.
    pub fn level_max(&mut self, a: LevelId, b: LevelId) -> Result<LevelId, TermError> {
        self.known_level(a).and(self.known_level(b))?;
        let id = self.level(Level::Max(a, b));
        self.made(id)
    }
    /// `imax a b`.
    pub fn level_imax(&mut self, a: LevelId, b: LevelId) -> Result<LevelId, TermError> {
        self.known_level(a).and(self.known_level(b))?;
        let id = self.level(Level::IMax(a, b));
        self.made(id)
    }
    /// A universe parameter.
    pub fn level_param(&mut self, n: NameId) -> Result<LevelId, TermError> {
        self.known_name(n)?;
        Ok(self.level(Level::Param(n)))
    }

    /// A bound variable: the number of binders between it and its own.
    pub fn expr_bvar(&mut self, i: u32) -> Result<ExprId, TermError> {
        if i >= MAX_BVAR {
            return Err(TermError::TooBig("the number of a bound variable is too big"));
        }
        self.expr(Expr::BVar(i))
    }
    /// `Sort l`.
    pub fn expr_sort(&mut self, l: LevelId) -> Result<ExprId, TermError> {
        self.known_level(l)?;
        self.expr(Expr::Sort(l))
    }
    /// A constant at universe levels.
    pub fn expr_const(&mut self, n: NameId, levels: &[LevelId]) -> Result<ExprId, TermError> {
        self.known_name(n)?;
        levels.iter().try_for_each(|l| self.known_level(*l))?;
        let us = self.levels(levels);
        self.expr(Expr::Const(n, us))
    }
    /// A function and its argument.
    pub fn expr_app(&mut self, f: ExprId, a: ExprId) -> Result<ExprId, TermError> {
        self.known_expr(f).and(self.known_expr(a))?;
        self.expr(Expr::App(f, a))
    }
    /// A function: type of the argument, body.
    pub fn expr_lam(&mut self, domain: ExprId, body: ExprId) -> Result<ExprId, TermError> {
        self.known_expr(domain).and(self.known_expr(body))?;
        self.expr(Expr::Lam(domain, body))
    }
    /// A function type: domain, codomain.
    pub fn expr_pi(&mut self, domain: ExprId, codomain: ExprId) -> Result<ExprId, TermError> {
        self.known_expr(domain).and(self.known_expr(codomain))?;
        self.expr(Expr::Pi(domain, codomain))
    }
    /// A local definition: type, value, body.
    pub fn expr_let(&mut self, ty: ExprId, value: ExprId, body: ExprId) -> Result<ExprId, TermError> {
        self.known_expr(ty).and(self.known_expr(value)).and(self.known_expr(body))?;
        self.expr(Expr::Let(ty, value, body))
    }
    /// A field of a structure.
    pub fn expr_proj(&mut self, structure: NameId, field: u32, value: ExprId) -> Result<ExprId, TermError> {
        self.known_name(structure)?;
        self.known_expr(value)?;
        self.expr(Expr::Proj(structure, field, value))
    }
    /// A number literal.
    pub fn expr_nat(&mut self, n: BigUint) -> Result<ExprId, TermError> {
        if n.bits() > self.limits.bits {
            return Err(TermError::Limit(Limit::NumberSize));
        }
        let n = self.nat(n);
        self.expr(Expr::Nat(n))
    }
    /// A string literal.
    pub fn expr_str(&mut self, s: &str) -> Result<ExprId, TermError> {
        let s = self.text(s);
        self.expr(Expr::Str(s))
    }
    fn expr(&mut self, e: Expr) -> Result<ExprId, TermError> {
        let id = self.mk(e);
        self.made(id)
    }
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
