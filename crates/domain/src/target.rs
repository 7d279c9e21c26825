//! Targets: what the book defines or states and the library is to hold.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::TargetId;

/// What a target is in the book. All but definitions have a proof to be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// Something that the book introduces: a notion, a structure, a function.
    Definition,
    /// A theorem.
    Theorem,
    /// A lemma.
    Lemma,
    /// A proposition.
    Proposition,
    /// A corollary.
    Corollary,
    /// An example that asserts something.
    Example,
    /// An exercise; the book gives no proof.
    Exercise,
}

impl TargetKind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Definition,
        Self::Theorem,
        Self::Lemma,
        Self::Proposition,
        Self::Corollary,
        Self::Example,
        Self::Exercise,
    ];

    /// The kind as the wire and `targets.yaml` write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Theorem => "theorem",
            Self::Lemma => "lemma",
            Self::Proposition => "proposition",
            Self::Corollary => "corollary",
            Self::Example => "example",
            Self::Exercise => "exercise",
        }
    }

    /// True of definitions: stating one whole is all there is to do.
    pub fn is_definition(self) -> bool {
        self == Self::Definition
    }
}

impl fmt::Display for TargetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no kind of target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a kind of target: use definition, theorem, lemma, proposition, corollary, example or exercise"
)]
pub struct UnknownKind(pub String);

impl FromStr for TargetKind {
    type Err = UnknownKind;

    fn from_str(word: &str) -> Result<Self, UnknownKind> {
        let lower = word.to_ascii_lowercase();
        Self::ALL.into_iter().find(|kind| kind.as_str() == lower).ok_or_else(|| UnknownKind(word.to_owned()))
    }
}

/// A definition or statement of the book that is to be formalized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The book's label; unique in the run.
    pub id: TargetId,
    /// What it is.
    pub kind: TargetKind,
    /// Slug of the chapter that it stands in, e.g. `01-parity`.
    #[serde(default)]
    pub chapter: String,
    /// Its name or number in the book, e.g. `Theorem 1.4 (Even sums)`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The book's words.
    pub statement: String,
    /// The book's proof; empty when the book has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub proof: String,
    /// Targets that its statement speaks of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statement_depends_on: Vec<TargetId>,
    /// Targets that its proof uses beyond them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof_depends_on: Vec<TargetId>,
    /// Full Lean name that the library gives it, e.g. `Numbers.even_add`.
    #[serde(default)]
    pub declaration: String,
    /// Lean module that holds it, e.g. `Numbers.Parity`.
    #[serde(default)]
    pub module: String,
    /// 1-based line in `source`; 0 when unknown.
    #[serde(default)]
    pub line: u32,
    /// Path of the book's source file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The target that a triage agent decomposed into this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TargetId>,
}

/// A target in an encoding that does not name its fields: none is left out.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Target")]
pub(crate) struct EveryField {
    id: TargetId,
    kind: TargetKind,
    chapter: String,
    title: String,
    statement: String,
    proof: String,
    statement_depends_on: Vec<TargetId>,
    proof_depends_on: Vec<TargetId>,
    declaration: String,
    module: String,
    line: u32,
    source: String,
    parent: Option<TargetId>,
}

impl Target {
    /// Where it stands in the book, as `path:line`, for messages.
    pub fn place(&self) -> String {
        match (self.source.as_str(), self.line) {
            ("", 0) => format!("target `{}`", self.id),
            ("", line) => format!("line {line}"),
            (source, 0) => source.to_owned(),
            (source, line) => format!("{source}:{line}"),
        }
    }
}

/// How far a target has come. Derived from the blueprint and the work in hand, never stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetState {
    /// Not stated, and nobody is at it.
    #[default]
    Open,
    /// An agent writes, reviews or lands its statement.
    Stating,
    /// Its statement is frozen in the library, with `sorry` in the proof's place.
    Stated,
    /// An agent proves, reviews or lands its proof.
    Proving,
    /// Its own proof is in the library; something that it rests on is not certified yet.
    Proved,
    /// It waits for a human's answer.
    Escalated,
    /// Its negation has been certified in its place.
    Refuted,
    /// Fully proved: whole in the library, and so is all that it rests on.
    Certified,
}

impl TargetState {
    /// All states, in the order of their declaration.
    pub const ALL: [Self; 8] = [
        Self::Open,
        Self::Stating,
        Self::Stated,
        Self::Proving,
        Self::Proved,
        Self::Escalated,
        Self::Refuted,
        Self::Certified,
    ];

    /// The state as documents write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Stating => "stating",
            Self::Stated => "stated",
            Self::Proving => "proving",
            Self::Proved => "proved",
            Self::Escalated => "escalated",
            Self::Refuted => "refuted",
            Self::Certified => "certified",
        }
    }

    /// True when nothing is left to do, for it or below it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Certified | Self::Refuted)
    }
}

impl fmt::Display for TargetState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
