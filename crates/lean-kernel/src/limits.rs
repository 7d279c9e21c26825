//! What a check may use. Whoever runs into a limit has not been refuted: the outcome is *undecided*, and that is no pass.

use std::num::NonZeroUsize;

use serde::Serialize;

/// Bounds on time and memory. All are counts, so that the same input gives the same outcome on every machine.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Steps for one declaration: a visit of a node by the checker or by a substitution, a word of a big number.
    pub steps: u64,
    /// Steps for all declarations of one check together.
    pub total_steps: u64,
    /// Expressions that the check of one declaration may make (about 100 bytes each, what is remembered about them included).
    pub terms: u32,
    /// Nested calls of the checker. The stack of a checking thread is sized by this and by `term_depth`.
    pub depth: u32,
    /// Height of a term as a tree.
    pub term_depth: u32,
    /// Bits of a number that is computed with.
    pub bits: u64,
    /// Threads that check.
    pub threads: NonZeroUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            steps: 1_000_000_000,
            total_steps: u64::MAX,
            terms: 20_000_000,
            depth: 50_000,
            term_depth: 100_000,
            bits: 1 << 26,
            threads: NonZeroUsize::MIN,
        }
    }
}

impl Limits {
    /// Bytes of stack that a checking thread reserves (it uses what it needs) for `depth` nested calls of the checker and, below
    /// the last of them, one walk over a term of `term_depth`. The factors are generous guesses at the frames' sizes;
    /// `tests/limits.rs` reaches the default `depth` without overflow. An overflow ends the process: no verdict.
    pub fn stack_bytes(&self) -> usize {
        (16 << 20) + self.depth as usize * (24 << 10) + self.term_depth as usize * (2 << 10)
    }
}

/// Levels deeper than this are refused; the walks over them recurse.
pub(crate) const LEVEL_DEPTH: u32 = 5_000;

/// The limit that a check ran into.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// [`Limits::steps`] or [`Limits::total_steps`].
    Steps,
    /// [`Limits::terms`].
    Terms,
    /// [`Limits::depth`].
    Depth,
    /// [`Limits::term_depth`], or the like for universe levels.
    TermDepth,
    /// [`Limits::bits`].
    NumberSize,
    /// Comparing two universe levels takes too many cases.
    UniverseCases,
    /// A nested inductive type needs too many auxiliary types.
    NestedTypes,
    /// The checker itself failed (a panic). An incident, and no verdict.
    Fault,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Limit::Steps => "too many steps",
            Limit::Terms => "too many terms",
            Limit::Depth => "recursion too deep",
            Limit::TermDepth => "a term is too deep",
            Limit::NumberSize => "a number is too long",
            Limit::UniverseCases => "universe levels too complex",
            Limit::NestedTypes => "too many nested types",
            Limit::Fault => "the checker failed",
        })
    }
}
