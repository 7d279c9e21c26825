//! Names that the kernel itself knows. Every base begins with them, so they have the same ids everywhere.

use crate::term::{ANONYMOUS, NameId, Terms};

macro_rules! known { ($($field:ident = $path:literal,)*) => {
    /// Names that mean something to the kernel.
    #[derive(Clone, Copy, PartialEq, Debug)]
    pub(crate) struct Known { $(pub $field: NameId,)* ops: [NameId; OPS.len()] }

    impl Default for Known {
        fn default() -> Self {
            Known { $($field: ANONYMOUS,)* ops: [ANONYMOUS; OPS.len()] }
        }
    }

    impl Known {
        pub fn new(t: &mut Terms) -> Known {
            Known { $($field: t.path($path),)* ops: OPS.map(|(_, path)| t.path(path)) }
        }
    }
} }

known! {
    nat = "Nat", zero = "Nat.zero", succ = "Nat.succ", pred = "Nat.pred",
    boolean = "Bool", bool_true = "Bool.true", bool_false = "Bool.false",
    string = "String", of_list = "String.ofList", string_mk = "String.mk",
    char = "Char", char_of_nat = "Char.ofNat", list = "List", nil = "List.nil", cons = "List.cons",
    eq = "Eq", eq_refl = "Eq.refl", eager = "eagerReduce",
    quot = "Quot", quot_mk = "Quot.mk", quot_lift = "Quot.lift", quot_ind = "Quot.ind",
    sorry = "sorryAx",
}

/// An operation on natural numbers that is computed with big integers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Op {
    Add,
    Sub,
    Mul,
    Pow,
    Beq,
    Ble,
    Shl,
    Shr,
    Div,
    Mod,
    Gcd,
    Land,
    Lor,
    Xor,
    Log2,
}

pub(crate) const OPS: [(Op, &str); 15] = [
    (Op::Add, "Nat.add"),
    (Op::Sub, "Nat.sub"),
    (Op::Mul, "Nat.mul"),
    (Op::Pow, "Nat.pow"),
    (Op::Beq, "Nat.beq"),
    (Op::Ble, "Nat.ble"),
    (Op::Shl, "Nat.shiftLeft"),
    (Op::Shr, "Nat.shiftRight"),
    (Op::Div, "Nat.div"),
    (Op::Mod, "Nat.mod"),
    (Op::Gcd, "Nat.gcd"),
    (Op::Land, "Nat.land"),
    (Op::Lor, "Nat.lor"),
    (Op::Xor, "Nat.xor"),
    (Op::Log2, "Nat.log2"),
];

impl Known {
    /// The operation that a constant of this name must be.
    pub fn op(&self, n: NameId) -> Option<Op> {
        // The names were interned one after another.
        if n < self.ops[0] {
            return None;
        }
        self.ops.iter().position(|m| *m == n).map(|i| OPS[i].0)
    }

    /// The name of an operation.
    pub fn op_name(&self, op: Op) -> NameId {
        // Every operation is in the table.
        OPS.iter().position(|o| o.0 == op).map_or(ANONYMOUS, |i| self.ops[i])
    }

    /// What a string literal stands for is written with these.
    pub fn of_strings(&self) -> [NameId; 7] {
        [self.string, self.of_list, self.string_mk, self.char, self.char_of_nat, self.list, self.nat]
    }

    /// Constants that the kernel treats specially, so that two libraries must agree on them before terms over them can be
    /// compared (comparator's list).
    pub fn special(&self) -> Vec<NameId> {
        let mut names = vec![
            self.nat,
            self.string,
            self.of_list,
            self.string_mk,
            self.char,
            self.char_of_nat,
            self.list,
            self.boolean,
            self.quot,
            self.quot_mk,
            self.quot_lift,
            self.quot_ind,
            self.eager,
            self.pred,
        ];
        names.extend(self.ops);
        names
    }
}

/// A set of operations.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct OpSet(u16);

impl OpSet {
    pub fn insert(&mut self, op: Op) {
        self.0 |= 1 << op as u16;
    }
    /// As a number, for [`OpSet::from_bits`].
    pub fn bits(self) -> u16 {
        self.0
    }
    pub fn from_bits(bits: u16) -> OpSet {
        OpSet(bits)
    }
    pub fn contains(self, op: Op) -> bool {
        self.0 & (1 << op as u16) != 0
    }
}
