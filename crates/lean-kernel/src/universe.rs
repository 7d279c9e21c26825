//! Order and equality of universe levels, decided exactly.
//!
//! `a ≤ b` means: for every assignment of natural numbers to the parameters. It is decided by *cases*, then by *max-plus normal
//! forms*:
//!
//! * `imax a b` whose `b` may or may not be 0 is settled by splitting on a parameter `p` of `b`: either `p = 0`, or `p ≥ 1`. The two
//!   cases cover all assignments, so the order holds if it holds in both.
//! * With no open `imax` left, a level is the maximum of a number and of terms `p + k`. Such a maximum is at most another if each
//!   of its terms is: `p + k ≤ max(n, q₁ + k₁, …)` for all values of `p` only if some `qᵢ` is `p` with `kᵢ ≥ k` (let `p` grow
//!   and the others be least); the number, if it is at most the least value of the other side, which is taken when every
//!   parameter is least. In the case `p ≥ 1` the term stands for `p' + 1`, `p'` arbitrary, so that least is 0 throughout.
//!
//! The incomplete rules of other kernels have proved `False` here (`imax` compared with what it is not); exactness leaves no rule to
//! get wrong. The price is cases, exponentially many in the worst case, so their number is limited.

use crate::limits::Limit;
use crate::term::{Level, LevelId, Map, NameId, Set, Terms, ZERO};

/// Work that one comparison may take: visits of nodes, over all cases, weighted by the parameters at hand.
const WORK: u64 = 1 << 19;

/// `max(number, parameter + number, …)`
#[derive(Clone, Default)]
struct MaxPlus {
    number: u64,
    terms: Vec<(NameId, u64)>,
}

impl MaxPlus {
    fn join(mut self, other: &MaxPlus) -> MaxPlus {
        self.number = self.number.max(other.number);
        for (p, k) in &other.terms {
            match self.terms.iter_mut().find(|t| t.0 == *p) {
                Some(t) => t.1 = t.1.max(*k),
                None => self.terms.push((*p, *k)),
            }
        }
        self
    }
    fn least(&self) -> u64 {
        self.terms.iter().map(|t| t.1).fold(self.number, u64::max)
    }
    fn at_most(&self, other: &MaxPlus) -> bool {
        self.number <= other.least()
            && self.terms.iter().all(|(p, k)| other.terms.iter().any(|(q, j)| p == q && k <= j))
    }
}

/// A case: is this parameter 0 (`true`) or at least 1?
type Case = Vec<(NameId, bool)>;

/// Why there is no normal form yet.
enum Open {
    /// This parameter must be split first.
    Split(NameId),
    TooMuch,
}

/// The normal form in a case.
fn normal(
    t: &Terms,
    l: LevelId,
    case: &Case,
    left: &mut u64,
    memo: &mut Map<LevelId, MaxPlus>,
) -> Result<MaxPlus, Open> {
    if let Some(n) = memo.get(&l) {
        *left = left.checked_sub(1 + n.terms.len() as u64).ok_or(Open::TooMuch)?;
        return Ok(n.clone());
    }
    *left = left.checked_sub(1 + case.len() as u64).ok_or(Open::TooMuch)?;
    let n = match t.get_level(l) {
        Level::Zero => MaxPlus::default(),
        Level::Succ(a) => {
            let mut n = normal(t, a, case, left, memo)?;
            n.number += 1;
            n.terms.iter_mut().for_each(|t| t.1 += 1);
            n
        }
        Level::Max(a, b) => normal(t, a, case, left, memo)?.join(&normal(t, b, case, left, memo)?),
        Level::IMax(a, b) => {
            let b = normal(t, b, case, left, memo)?;
            match b.terms.first() {
                _ if b.least() > 0 => normal(t, a, case, left, memo)?.join(&b),
                None => b, // it is 0
                Some((p, _)) => return Err(Open::Split(*p)),
            }
        }
        Level::Param(p) => match case.iter().find(|c| c.0 == p) {
            Some((_, true)) => MaxPlus::default(),
            Some((_, false)) => MaxPlus { number: 0, terms: vec![(p, 1)] },
            None => MaxPlus { number: 0, terms: vec![(p, 0)] },
        },
    };
    memo.insert(l, n.clone());
    Ok(n)
}

fn at_most(t: &Terms, a: LevelId, b: LevelId, case: &mut Case, left: &mut u64) -> Result<bool, Limit> {
    let mut memo = Map::default();
    let x = normal(t, a, case, left, &mut memo);
    let y = normal(t, b, case, left, &mut memo);
    let split = match (x, y) {
        (Ok(a), Ok(b)) => return Ok(a.at_most(&b)),
        (Err(Open::TooMuch), _) | (_, Err(Open::TooMuch)) => return Err(Limit::UniverseCases),
        (Err(Open::Split(p)), _) | (_, Err(Open::Split(p))) => p,
    };
    for zero in [true, false] {
        case.push((split, zero));
        let r = at_most(t, a, b, case, left);
        case.pop();
        if r != Ok(true) {
            return r;
        }
    }
    Ok(true)
}

/// `a ≤ b`, whatever the parameters are.
pub(crate) fn leq(t: &mut Terms, a: LevelId, b: LevelId) -> Result<bool, Limit> {
    if a == b || a == ZERO {
        return Ok(true);
    }
    let mut left = WORK;
    let r = at_most(t, a, b, &mut Vec::new(), &mut left);
    t.spend(WORK - left);
    r
}

/// `a = b`, whatever the parameters are.
pub(crate) fn equal(t: &mut Terms, a: LevelId, b: LevelId) -> Result<bool, Limit> {
    Ok(a == b || (leq(t, a, b)? && leq(t, b, a)?))
}

/// Is the level 0 whatever the parameters are?
pub(crate) fn is_zero(t: &mut Terms, a: LevelId) -> Result<bool, Limit> {
    leq(t, a, ZERO)
}

/// Is the level at least 1 whatever the parameters are?
pub(crate) fn never_zero(t: &mut Terms, a: LevelId) -> Result<bool, Limit> {
    let one = t.level(Level::Succ(ZERO));
    leq(t, one, a)
}

/// Do all parameters in the level belong to `ps`?
pub(crate) fn params_in(t: &Terms, l: LevelId, ps: &[NameId]) -> bool {
    let (mut seen, mut todo) = (Set::default(), vec![l]);
    while let Some(l) = todo.pop() {
        if !t.level_has_params(l) || !seen.insert(l) {
            continue;
        }
        match t.get_level(l) {
            Level::Zero => {}
            Level::Succ(a) => todo.push(a),
            Level::Max(a, b) | Level::IMax(a, b) => todo.extend([a, b]),
            Level::Param(p) if !ps.contains(&p) => return false,
            Level::Param(_) => {}
        }
    }
    true
}

#[cfg(test)]
mod tests;
