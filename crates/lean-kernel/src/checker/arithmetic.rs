//! Computing with big numbers instead of unfolding `Nat.add` and the like.
//!
//! `Nat.add 2 3` reduces to `5` by unfolding, in as many steps as the number is big. Doing it with big integers is sound where the
//! constant *is* addition. Which constants are is decided before (`rules::arithmetic`); here it is only used. Both arguments must be
//! literals, so that the result is the normal form of the unfolded term. Work and size are counted: a short term can name a
//! number of 2³² bits.

use num_bigint::BigUint;

use super::Checker;
use crate::fault::{Checked, Fault};
use crate::known::Op;
use crate::limits::Limit;
use crate::term::{Expr, ExprId, NameId};

/// Exponents and shifts to the left beyond this are not computed.
const MAX_EXPONENT: u32 = 1 << 24;

impl Checker<'_> {
    fn computed(&self, n: NameId) -> Option<Op> {
        let op = self.t.known.op(n)?;
        (self.compute && self.ops.contains(op) && self.find(n).is_some()).then_some(op)
    }

    /// `Nat.succ n` and operations, on numbers.
    pub(super) fn reduce_nat(&mut self, e: ExprId) -> Checked<Option<ExprId>> {
        let Expr::App(f, b) = self.t.get(e) else { return Ok(None) };
        if self.t.facts(e).free > 0 && !self.eager {
            return Ok(None);
        }
        match self.t.get(f) {
            Expr::Const(n, _) if n == self.t.known.succ && self.nat_ok() => {
                let b = self.whnf(b)?;
                Ok(self.as_nat(b).map(|x| self.number(x + 1u32)))
            }
            Expr::Const(n, _) if self.computed(n) == Some(Op::Log2) => {
                let b = self.whnf(b)?;
                let Some(x) = self.as_nat(b) else { return Ok(None) };
                Ok(Some(self.number(BigUint::from(x.bits().saturating_sub(1)))))
            }
            Expr::App(g, a) => {
                let Expr::Const(n, _) = self.t.get(g) else { return Ok(None) };
                let Some(op) = self.computed(n).filter(|op| *op != Op::Log2) else { return Ok(None) };
                let a = self.whnf(a)?;
                let Some(x) = self.as_nat(a) else { return Ok(None) };
                let b = self.whnf(b)?;
                let Some(y) = self.as_nat(b) else { return Ok(None) };
                self.operate(op, x, y)
            }
            _ => Ok(None),
        }
    }

    /// Pays for an operation, or refuses it for its size.
    fn afford(&mut self, op: Op, x: &BigUint, y: &BigUint) -> Checked<()> {
        let (wx, wy) = (x.bits() / 64 + 1, y.bits() / 64 + 1);
        let times = u64::try_from(y).unwrap_or(u64::MAX);
        let bits = match op {
            Op::Mul => x.bits() + y.bits(),
            Op::Pow if *x > BigUint::from(1u32) => x.bits().saturating_mul(times),
            Op::Shl if *x != BigUint::ZERO => x.bits().saturating_add(times),
            _ => 0,
        };
        if bits > self.limits.bits {
            return Err(Fault::Limit(Limit::NumberSize));
        }
        let cost = match op {
            // Schoolbook bounds; the library does better on long numbers.
            Op::Gcd => wx.saturating_mul(wy),
            Op::Mul | Op::Div | Op::Mod => wx.saturating_mul(wy) / 64,
            Op::Pow => bits / 64 * (bits / 64 + 1) / 64,
            _ => (wx + wy + bits / 64) / 64,
        };
        self.spend(cost)
    }

    fn operate(&mut self, op: Op, x: BigUint, y: BigUint) -> Checked<Option<ExprId>> {
        self.afford(op, &x, &y)?;
        let zero = BigUint::ZERO;
        let small = || u32::try_from(&y).ok().filter(|n| *n <= MAX_EXPONENT);
        let r = match op {
            Op::Add => x + y,
            Op::Sub => {
                if x > y {
                    x - y
                } else {
                    zero
                }
            }
            Op::Mul => x * y,
            Op::Div => {
                if y == zero {
                    zero
                } else {
                    x / y
                }
            }
            Op::Mod => {
                if y == zero {
                    x
                } else {
                    x % y
                }
            }
            Op::Gcd => gcd(x, y),
            Op::Beq | Op::Ble => {
                if !self.bool_ok() {
                    return Ok(None);
                }
                let holds = if op == Op::Beq { x == y } else { x <= y };
                let k = &self.t.known;
                let n = if holds { k.bool_true } else { k.bool_false };
                return Ok(Some(self.plain(n)));
            }
            Op::Land => x & y,
            Op::Lor => x | y,
            Op::Xor => x ^ y,
            Op::Shl => match small() {
                Some(n) => x << n,
                None => return Ok(None),
            },
            Op::Shr => match u64::try_from(&y) {
                Ok(n) => x >> n,
                Err(_) => zero,
            },
            Op::Pow => match small() {
                Some(n) => x.pow(n),
                None => return Ok(None),
            },
            Op::Log2 => return Ok(None),
        };
        Ok(Some(self.number(r)))
    }
}

/// Euclid's algorithm; `gcd 0 y = y`.
fn gcd(mut a: BigUint, mut b: BigUint) -> BigUint {
    while b != BigUint::ZERO {
        let r = a % &b;
        a = std::mem::replace(&mut b, r);
    }
    a
}
