//! The kinds of tags.

use std::fmt;

/// How much a tag says against a declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Worth knowing while reading.
    Information,
    /// Often a mistake.
    Doubt,
    /// What is said is most likely worth nothing.
    Grave,
}

macro_rules! kinds { ($($(#[$doc:meta])* $kind:ident = $text:literal, $weight:ident;)*) => {
    /// What a tag says; `docs/tags.md` has an example of each.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    pub enum Kind { $($(#[$doc])* $kind,)* }

    impl Kind {
        /// All kinds.
        pub const ALL: &'static [Kind] = &[$(Kind::$kind),*];

        /// Its name in reports.
        pub fn as_str(self) -> &'static str {
            match self { $(Kind::$kind => $text,)* }
        }

        /// How much it says.
        pub fn weight(self) -> Weight {
            match self { $(Kind::$kind => Weight::$weight,)* }
        }
    }
} }

kinds! {
    /// A hypothesis unfolds to `False`.
    FalseHypothesis = "false-hypothesis", Grave;
    /// One hypothesis is the negation of another.
    ContradictoryHypotheses = "contradictory-hypotheses", Grave;
    /// The automation tier proves `False` from the hypotheses.
    HypothesesRefuted = "hypotheses-refuted", Grave;
    /// The conclusion is a hypothesis.
    ConclusionAssumed = "conclusion-assumed", Grave;
    /// The conclusion is a field of a structure of the library that is assumed.
    FieldHoldsConclusion = "field-holds-conclusion", Grave;
    /// The conclusion unfolds to `True`, or its two sides are the same term.
    TrivialConclusion = "trivial-conclusion", Grave;
    /// The automation tier proves the negation.
    RefutedAtOnce = "refuted-at-once", Grave;
    /// The proof derives `False` from what is assumed.
    ProofFromContradiction = "proof-from-contradiction", Grave;
    /// A proposition or predicate that unfolds to `True` or to `False`.
    ConstantProposition = "constant-proposition", Grave;
    /// A definition that ignores all of its arguments.
    ConstantDefinition = "constant-definition", Grave;
    /// A structure with a field that unfolds to `False`: it has no values.
    ImpossibleField = "impossible-field", Grave;
    /// A type or predicate without constructors.
    EmptyType = "empty-type", Grave;

    /// The conclusion is a part of a hypothesis of the toolchain's kinds (`∧`, `↔`, its classes).
    ConclusionInHypothesis = "conclusion-in-hypothesis", Doubt;
    /// A hypothesis that speaks of no variable: a proposition of its own, to be proved elsewhere.
    ClosedHypothesis = "closed-hypothesis", Doubt;
    /// A hypothesis that shares no variable with the conclusion, not even through others.
    UnrelatedHypothesis = "unrelated-hypothesis", Doubt;
    /// The proof does without a hypothesis.
    UnusedHypothesis = "unused-hypothesis", Doubt;
    /// The proof is a hypothesis, or a field of one, at some arguments.
    ProofByHypothesis = "proof-by-hypothesis", Doubt;
    /// `∃ x, P`, and `P` does not speak of `x`.
    IdleQuantifier = "idle-quantifier", Doubt;
    /// `∃ x, A → B`: any `x` without `A` will do.
    ImplicationUnderExists = "implication-under-exists", Doubt;
    /// A definition that ignores an argument.
    IgnoresArgument = "ignores-argument", Doubt;
    /// A structure is built with an operation that ignores its arguments.
    ConstantField = "constant-field", Doubt;
    /// A structure with a field that unfolds to `True`.
    ContentlessField = "contentless-field", Doubt;
    /// A structure with axioms of its own is assumed, and nothing in the library builds one.
    UnconstructedStructure = "unconstructed-structure", Doubt;
    /// The statement rests on a definition with a tag of its own.
    RestsOnTagged = "rests-on-tagged", Doubt;
    /// The statement rests on what does not unfold: an opaque constant, an axiom, `sorry`.
    RestsOnOpaque = "rests-on-opaque", Doubt;
    /// Another theorem of the library says the same.
    SameStatement = "same-statement", Doubt;
    /// The book's statement depends on a definition that the Lean statement does not speak of.
    BookDependencyMissing = "book-dependency-missing", Doubt;

    /// The automation tier proves it.
    ProvedAtOnce = "proved-at-once", Information;
    /// A variable that nothing else speaks of: it only says that its type has a value.
    UnusedVariable = "unused-variable", Information;
    /// A statement about particular values: nothing is quantified.
    ClosedStatement = "closed-statement", Information;
    /// An operation that is cut off or has a made-up value somewhere: subtraction in `Nat`, division by 0.
    TotalizedOperation = "totalized-operation", Information;
    /// The proof is that a type has at most one value.
    ProofBySubsingleton = "proof-by-subsingleton", Information;
    /// A definition that is one of its arguments.
    ReturnsArgument = "returns-argument", Information;
    /// Too large to be looked at in full.
    NotExamined = "not-examined", Information;
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
