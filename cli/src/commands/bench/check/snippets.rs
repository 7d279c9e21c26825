//! What is checked: snippets made from a seed, no two alike, in fixed proportions.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What a snippet tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Rfl,
    Omega,
    Simp,
    Grind,
    Induction,
    Failing,
    Looping,
    Eating,
}

impl Kind {
    /// How many of 1,000 snippets are of each kind. A loop costs its whole deadline and an eater its whole memory, so there are few:
    /// with more, every server would be measured by its deadline alone.
    pub const SHARES: [(Self, u32); 8] = [
        (Self::Rfl, 200),
        (Self::Omega, 200),
        (Self::Simp, 200),
        (Self::Grind, 140),
        (Self::Induction, 150),
        (Self::Failing, 100),
        (Self::Looping, 5),
        (Self::Eating, 5),
    ];

    /// How tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rfl => "rfl",
            Self::Omega => "omega",
            Self::Simp => "simp",
            Self::Grind => "grind",
            Self::Induction => "induction",
            Self::Failing => "failing",
            Self::Looping => "looping",
            Self::Eating => "memory-eating",
        }
    }

    /// Whether it would take all there is.
    pub fn is_hostile(self) -> bool {
        matches!(self, Self::Looping | Self::Eating)
    }
}

/// One snippet.
#[derive(Debug, Clone)]
pub struct Snippet {
    pub kind: Kind,
    /// The module that it imports, exactly as a client would write it.
    pub header: &'static str,
    pub source: String,
}

/// The header of most snippets, and of one in fifty where headers are mixed.
pub const HEADERS: [&str; 2] = ["Init", "Std.Data.HashMap"];

/// `count` snippets in the order in which they are asked. The same seed gives the same ones.
pub fn generate(seed: u64, count: usize, mixed_headers: bool) -> Vec<Snippet> {
    let mut random = StdRng::seed_from_u64(seed);
    let total: u32 = Kind::SHARES.iter().map(|(_, share)| share).sum();
    let mut kinds: Vec<Kind> = vec![];
    for (kind, share) in Kind::SHARES {
        // At least one of each, so that a short run tries everything.
        let of_it = (count * share as usize).div_ceil(total as usize);
        kinds.extend(std::iter::repeat_n(kind, of_it));
    }
    for at in (1..kinds.len()).rev() {
        kinds.swap(at, random.random_range(0..=at));
    }
    kinds.truncate(count.max(Kind::SHARES.len()));
    let snippet = |(number, kind): (usize, Kind)| Snippet {
        kind,
        header: HEADERS[usize::from(mixed_headers && number % 50 == 25)],
        source: source(kind, number, &mut random),
    };
    kinds.into_iter().enumerate().map(snippet).collect()
}

/// `count` snippets of the four sorts with which the host that this one was made from was measured, in turn: a statement each by `omega`,
/// `simp` and `grind`, and one that is false.
pub fn plain(count: usize) -> Vec<Snippet> {
    let snippet = |number: usize| {
        let (kind, says) = match number % 4 {
            0 => (Kind::Omega, "(a b : Nat) : a + b = b + a := by omega"),
            1 => (
                Kind::Simp,
                "(xs ys : List Nat) : (xs ++ ys ++ []).length = ys.length + xs.length := by simp [Nat.add_comm]",
            ),
            2 => (
                Kind::Grind,
                "(a b c : Nat) (f : Nat → Nat) (h : a = b) (h2 : b = c) : f a = f c := by grind",
            ),
            _ => (Kind::Failing, "(a b : Nat) : a + b = b + a + 1 := by omega"),
        };
        Snippet { kind, header: HEADERS[0], source: format!("theorem t{number} {says}") }
    };
    (0..count).map(snippet).collect()
}

/// A client's snippet that does harm: a loop, a memory eater or one that ends its process, by turns.
pub fn hostile(number: usize) -> Snippet {
    let mut random = StdRng::seed_from_u64(number as u64);
    match number % 3 {
        0 => Snippet {
            kind: Kind::Looping,
            header: HEADERS[0],
            source: source(Kind::Looping, number, &mut random),
        },
        1 => Snippet {
            kind: Kind::Eating,
            header: HEADERS[0],
            source: source(Kind::Eating, number, &mut random),
        },
        _ => Snippet {
            kind: Kind::Failing,
            header: HEADERS[0],
            source: format!("#eval (IO.Process.exit {} : IO Unit)", number % 200 + 1),
        },
    }
}

fn source(kind: Kind, number: usize, random: &mut StdRng) -> String {
    let mut below = |end: u32| random.random_range(1..end);
    let (a, b, c) = (below(40), below(40), below(9));
    match kind {
        Kind::Rfl => format!("theorem t{number} : {a} * {b} + {c} = {} := rfl", a * b + c),
        Kind::Omega => format!(
            "theorem t{number} (x y z : Nat) (h : x + {a} < y) (g : y + {b} ≤ z) : x + {} < z + 1 := by omega",
            a + b
        ),
        Kind::Simp => format!(
            "theorem t{number} (xs ys : List Nat) : (xs ++ [{a}] ++ ys ++ [{b}]).length = xs.length + ys.length + 2 := by\n  \
             simp only [List.length_append, List.length_cons, List.length_nil]; simp +arith"
        ),
        Kind::Grind => format!(
            "theorem t{number} (x y z : Nat) (f : Nat → Nat) (h : f x = y + {a}) (g : x = z) : f z = y + {a} := by grind"
        ),
        Kind::Induction => format!(
            "noncomputable def s{number} : Nat → Nat\n  | 0 => {a}\n  | n + 1 => s{number} n + {b}\n\
             theorem t{number} (n : Nat) : s{number} n = {a} + {b} * n := by\n  induction n with\n  \
             | zero => rfl\n  | succ n ih => simp only [s{number}, ih]; omega"
        ),
        Kind::Failing => {
            format!(
                "theorem t{number} (x y : Nat) (h : x < y + {a}) : x < y + {c} := by omega\n#check undefined{number}"
            )
        }
        Kind::Looping => {
            format!(
                "partial def spin{number} (n : Nat) : IO Nat := spin{number} (n + {a})\n#eval spin{number} 0"
            )
        }
        Kind::Eating => format!(
            "partial def grow{number} (a : Array Nat) : IO Nat := do\n  if a.size > 400000000 then return a.size\n  \
             grow{number} (a.push {a})\n#eval grow{number} #[]"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_snippets_in_the_same_shares() {
        let (once, again, other) =
            (generate(7, 1000, true), generate(7, 1000, true), generate(8, 1000, true));
        let sources = |of: &[Snippet]| of.iter().map(|s| s.source.clone()).collect::<Vec<_>>();
        assert_eq!(sources(&once), sources(&again));
        assert_ne!(sources(&once), sources(&other));
        for (kind, share) in Kind::SHARES {
            assert_eq!(once.iter().filter(|s| s.kind == kind).count(), share as usize, "{}", kind.name());
        }
        let mut unique = sources(&once);
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), 1000);
        assert_eq!(once.iter().filter(|s| s.header != HEADERS[0]).count(), 20);
        assert_eq!(generate(7, 3, false).len(), 8, "one of each kind at least");
    }
}
