//! How outsiders make terms: constructors that check every id.

use num_bigint::BigUint;

use super::{ANONYMOUS, Expr, ExprId, Level, LevelId, Name, NameId, Terms, ZERO};
use crate::limits::Limit;

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

/// The constructors for outsiders: every id is checked.
///
/// # Errors
/// [`TermError::UnknownId`] for an id that these terms have not given out, [`TermError::TooBig`] and [`TermError::Limit`]
/// where a bound is passed. After [`TermError::Limit`] these terms are of no more use.
impl Terms {
    pub(crate) fn has_name(&self, n: NameId) -> bool {
        n.0 < self.ends()[1]
    }
    pub(crate) fn has_expr(&self, e: ExprId) -> bool {
        e.0 < self.ends()[0]
    }
    fn known_name(&self, n: NameId) -> Result<(), TermError> {
        if self.has_name(n) { Ok(()) } else { Err(TermError::UnknownId) }
    }
    fn known_level(&self, l: LevelId) -> Result<(), TermError> {
        if l.0 < self.ends()[2] { Ok(()) } else { Err(TermError::UnknownId) }
    }
    fn known_expr(&self, e: ExprId) -> Result<(), TermError> {
        if self.has_expr(e) { Ok(()) } else { Err(TermError::UnknownId) }
    }
    fn made<T>(&self, id: T) -> Result<T, TermError> {
        self.overrun().map_or(Ok(id), |l| Err(TermError::Limit(l)))
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
        if n.bits() > self.max_bits() {
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
