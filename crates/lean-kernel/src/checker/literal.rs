//! Literals: `5` is short for `Nat.succ (… Nat.zero)`, `"ab"` for `String.ofList [Char.ofNat 97, Char.ofNat 98]`.
//!
//! They are abbreviations, so they are sound exactly if what they abbreviate is well typed. Number literals are admitted only
//! over an inductive type `Nat` with the two constructors that the abbreviation uses. For a string literal the long form is
//! type-checked, whatever lists and characters are in this environment.

use num_bigint::BigUint;

use super::Checker;
use crate::environment::Kind;
use crate::fault::{Checked, Rule, wrong};
use crate::term::{Expr, ExprId, LevelsId, NameId, NatId, StrId, ZERO};

impl Checker<'_> {
    /// Is `Nat` the type with the constructors `Nat.zero : Nat` and `Nat.succ : Nat → Nat`?
    pub(super) fn nat_ok(&self) -> bool {
        let k = &self.t.known;
        let Some(c) = self.find(k.nat) else { return false };
        let Kind::Induct(i) = &c.kind else { return false };
        if !(c.params.is_empty()
            && i.nparams == 0
            && i.nindices == 0
            && i.ctors == [k.zero, k.succ]
            && i.all == [k.nat])
        {
            return false;
        }
        let is_nat = |e: ExprId| matches!(self.t.get(e), Expr::Const(n, _) if n == k.nat);
        let (Some(z), Some(s)) = (self.find(k.zero), self.find(k.succ)) else { return false };
        is_nat(z.ty) && matches!(self.t.get(s.ty), Expr::Pi(a, b) if is_nat(a) && is_nat(b))
    }

    /// Is `Bool` the type with the constructors `Bool.false`, `Bool.true` and no fields in them?
    pub(super) fn bool_ok(&self) -> bool {
        let k = &self.t.known;
        let is_bool = |n: NameId| {
            self.find(n).is_some_and(|c| matches!(self.t.get(c.ty), Expr::Const(m, _) if m == k.boolean))
        };
        let Some(c) = self.find(k.boolean) else { return false };
        let Kind::Induct(i) = &c.kind else { return false };
        c.params.is_empty()
            && i.nparams == 0
            && i.nindices == 0
            && i.ctors == [k.bool_false, k.bool_true]
            && is_bool(k.bool_false)
            && is_bool(k.bool_true)
    }

    pub(super) fn type_of_nat(&mut self) -> Checked<ExprId> {
        if self.nat_ok() {
            Ok(self.plain(self.t.known.nat))
        } else {
            wrong(Rule::Literal, "number literal without the type of natural numbers")
        }
    }

    pub(super) fn type_of_str(&mut self, s: StrId, check: bool) -> Checked<ExprId> {
        let string = self.plain(self.t.known.string);
        let Some(long) = self.spell(s)? else {
            return wrong(Rule::Literal, "string literal without the type of strings");
        };
        if check {
            let ty = self.check(long)?;
            if !self.defeq(ty, string)? {
                return wrong(Rule::Literal, "string literal without the type of strings");
            }
        }
        Ok(string)
    }

    /// The function from lists of characters that string literals stand for: the constructor `String.mk` if `String` has it
    /// (older Lean), else `String.ofList`.
    ///
    /// Which one must not depend on what is declared later: if a literal meant `String.mk` until a `String.ofList` comes, and
    /// that from then on, the two could be made to differ and be proved equal.
    fn string_ctor(&self) -> Option<NameId> {
        let k = &self.t.known;
        if !self.nat_ok() {
            return None;
        }
        let is = |e: ExprId, n: NameId| matches!(self.t.get(e), Expr::Const(m, _) if m == n);
        let of_nat = self.find(k.char_of_nat)?;
        let char_fn = of_nat.params.is_empty()
            && matches!(self.t.get(of_nat.ty), Expr::Pi(a, b) if is(a, k.nat) && is(b, k.char));
        let list = self.find(k.list)?;
        let list_ok = matches!(&list.kind, Kind::Induct(i)
            if list.params.len() == 1 && i.nparams == 1 && i.nindices == 0 && i.ctors == [k.nil, k.cons]);
        let string = self.find(k.string)?;
        let own = matches!(&string.kind, Kind::Induct(i) if i.ctors == [k.string_mk]);
        let n = if own { k.string_mk } else { k.of_list };
        let found = self.find(n)?;
        let from_list = found.params.is_empty()
            && match self.t.get(found.ty) {
                Expr::Pi(a, b) if is(b, k.string) => {
                    matches!(self.t.get(a), Expr::App(l, x) if is(x, k.char) && is(l, k.list))
                }
                _ => false,
            };
        (char_fn && list_ok && from_list).then_some(n)
    }

    /// What a string literal stands for, if there are strings.
    pub(super) fn spell(&mut self, s: StrId) -> Checked<Option<ExprId>> {
        let Some(from_list) = self.string_ctor() else { return Ok(None) };
        let text: Vec<char> = self.t.get_text(s).chars().collect();
        self.spend(text.len() as u64 * 4)?;
        let known = self.t.known;
        let us = self.t.levels(&[ZERO]);
        let char = self.plain(known.char);
        let nil = self.t.constant(known.nil, us);
        let mut list = self.t.app(nil, char);
        let cons = self.t.constant(known.cons, us);
        let cons = self.t.app(cons, char);
        let of_nat = self.plain(known.char_of_nat);
        for c in text.into_iter().rev() {
            let n = self.number(BigUint::from(c as u32));
            let c = self.t.app(of_nat, n);
            list = self.t.apps(cons, &[c, list]);
        }
        let from_list = self.plain(from_list);
        Ok(Some(self.t.app(from_list, list)))
    }

    fn none(&mut self) -> LevelsId {
        self.t.levels(&[])
    }

    /// A constant without universe levels.
    pub(super) fn plain(&mut self, n: NameId) -> ExprId {
        let us = self.none();
        self.t.constant(n, us)
    }

    pub(super) fn number(&mut self, n: BigUint) -> ExprId {
        let n = self.t.nat(n);
        self.t.mk(Expr::Nat(n))
    }

    /// A literal with its outermost constructor.
    pub(super) fn unary(&mut self, n: NatId) -> ExprId {
        let n = self.t.get_nat(n).clone();
        if n == BigUint::ZERO {
            return self.plain(self.t.known.zero);
        }
        let succ = self.plain(self.t.known.succ);
        let pred = self.number(n - 1u32);
        self.t.app(succ, pred)
    }

    /// The number that a literal or `Nat.zero` is.
    pub(super) fn as_nat(&self, e: ExprId) -> Option<BigUint> {
        match self.t.get(e) {
            Expr::Nat(n) => Some(self.t.get_nat(n).clone()),
            Expr::Const(n, _) if n == self.t.known.zero && self.nat_ok() => Some(BigUint::ZERO),
            _ => None,
        }
    }
}
