//! The order against evaluation at all small assignments.

use proptest::prelude::*;

use super::{equal, is_zero, leq, never_zero};
use crate::term::{Level, LevelId, NameId, Terms, ZERO};

/// A level, written out.
#[derive(Clone, Debug)]
enum L {
    Zero,
    Succ(Box<L>),
    Max(Box<L>, Box<L>),
    IMax(Box<L>, Box<L>),
    Param(usize),
}

const PARAMS: usize = 3;
/// A level of `n` symbols that differs from another does so at an assignment of numbers up to about `n`.
const VALUES: u64 = 7;

fn level() -> impl Strategy<Value = L> {
    let leaf = prop_oneof![Just(L::Zero), (0..PARAMS).prop_map(L::Param)];
    leaf.prop_recursive(5, 24, 2, |l| {
        let two = (l.clone(), l.clone());
        prop_oneof![
            l.prop_map(|a| L::Succ(Box::new(a))),
            two.clone().prop_map(|(a, b)| L::Max(Box::new(a), Box::new(b))),
            two.prop_map(|(a, b)| L::IMax(Box::new(a), Box::new(b))),
        ]
    })
}

impl L {
    fn value(&self, at: &[u64]) -> u64 {
        match self {
            L::Zero => 0,
            L::Succ(a) => a.value(at) + 1,
            L::Max(a, b) => a.value(at).max(b.value(at)),
            L::IMax(a, b) => match b.value(at) {
                0 => 0,
                v => a.value(at).max(v),
            },
            L::Param(i) => at[*i],
        }
    }
    fn id(&self, t: &mut Terms, ps: &[NameId]) -> LevelId {
        let l = match self {
            L::Zero => return ZERO,
            L::Succ(a) => Level::Succ(a.id(t, ps)),
            L::Max(a, b) => Level::Max(a.id(t, ps), b.id(t, ps)),
            L::IMax(a, b) => Level::IMax(a.id(t, ps), b.id(t, ps)),
            L::Param(i) => Level::Param(ps[*i]),
        };
        t.level(l)
    }
}

/// Does `f` hold at every assignment?
fn everywhere(f: impl Fn(&[u64]) -> bool) -> bool {
    (0..VALUES.pow(PARAMS as u32)).all(|n| {
        let at: Vec<u64> = (0..PARAMS as u32).map(|i| n / VALUES.pow(i) % VALUES).collect();
        f(&at)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn the_order_is_that_of_all_assignments(a in level(), b in level()) {
        let mut t = Terms::root();
        let ps: Vec<NameId> = (0..PARAMS).map(|i| t.path(&format!("u{i}"))).collect();
        let (x, y) = (a.id(&mut t, &ps), b.id(&mut t, &ps));
        prop_assert_eq!(leq(&mut t, x, y).unwrap(), everywhere(|at| a.value(at) <= b.value(at)));
        prop_assert_eq!(equal(&mut t, x, y).unwrap(), everywhere(|at| a.value(at) == b.value(at)));
        prop_assert_eq!(is_zero(&mut t, x).unwrap(), everywhere(|at| a.value(at) == 0));
        prop_assert_eq!(never_zero(&mut t, x).unwrap(), everywhere(|at| a.value(at) > 0));
    }

    /// Levels that differ in one place: close calls.
    #[test]
    fn close_levels(a in level(), i in 0..PARAMS) {
        let mut t = Terms::root();
        let ps: Vec<NameId> = (0..PARAMS).map(|i| t.path(&format!("u{i}"))).collect();
        let p = || Box::new(L::Param(i));
        for b in [
            L::IMax(Box::new(a.clone()), p()),
            L::Max(Box::new(a.clone()), p()),
            L::IMax(p(), Box::new(a.clone())),
            L::IMax(Box::new(L::Succ(Box::new(a.clone()))), Box::new(a.clone())),
        ] {
            let (x, y) = (a.id(&mut t, &ps), b.id(&mut t, &ps));
            prop_assert_eq!(leq(&mut t, x, y).unwrap(), everywhere(|at| a.value(at) <= b.value(at)));
            prop_assert_eq!(leq(&mut t, y, x).unwrap(), everywhere(|at| b.value(at) <= a.value(at)));
        }
    }
}
