//! What is looked at: declarations of a library, and where the library ends and the toolchain begins.
//!
//! What the toolchain declares counts by its name alone: a verdict names its toolchain. So the same facts come out of a
//! guest's memory, where the toolchain's declarations are not read, and of a certified base, where they are.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use atlas_lean_kernel::{Base, Constant, ConstantKind, Declarations, ExprId, NameId, Terms};
use serde::{Deserialize, Serialize};

use crate::names;

/// Axioms that the toolchain has. At the level at which its library is shipped every one of its theorems looks like an
/// axiom too, so the true ones are told by name.
pub const TOOLCHAIN_AXIOMS: [&str; 7] = [
    "propext",
    "Classical.choice",
    "Quot.sound",
    "sorryAx",
    "Lean.ofReduceBool",
    "Lean.ofReduceNat",
    "Lean.trustCompiler",
];

/// Nodes of terms and names that may be looked at for the facts of one module: some seconds.
const MOST_STEPS: usize = 100_000_000;

/// Working out facts takes too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the declarations are too large: what they rest on cannot be walked in {MOST_STEPS} steps")]
pub struct TooLarge;

/// What a constant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Believed.
    Axiom,
    /// Unfolds to its value.
    Definition,
    /// Has a proof.
    Theorem,
    /// Has a value that it never unfolds to.
    Opaque,
    /// One of the four of quotient types.
    Quotient,
    /// An inductive type.
    Inductive,
    /// A constructor.
    Constructor,
    /// A recursor.
    Recursor,
}

impl Kind {
    pub(crate) fn of(constant: &Constant<'_>) -> Self {
        match constant.kind {
            ConstantKind::Axiom | ConstantKind::Given => Self::Axiom,
            ConstantKind::Definition => Self::Definition,
            ConstantKind::Theorem => Self::Theorem,
            ConstantKind::Opaque => Self::Opaque,
            ConstantKind::Quotient => Self::Quotient,
            ConstantKind::Inductive => Self::Inductive,
            ConstantKind::Constructor => Self::Constructor,
            ConstantKind::Recursor => Self::Recursor,
        }
    }

    /// As facts and receipts write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Axiom => "axiom",
            Self::Definition => "def",
            Self::Theorem => "theorem",
            Self::Opaque => "opaque",
            Self::Quotient => "quot",
            Self::Inductive => "inductive",
            Self::Constructor => "ctor",
            Self::Recursor => "rec",
        }
    }
}

/// The terms that a constant says: a theorem its type, others also their value.
pub(crate) fn said(constant: &Constant<'_>) -> Vec<ExprId> {
    let value =
        constant.value.filter(|_| matches!(constant.kind, ConstantKind::Definition | ConstantKind::Opaque));
    std::iter::once(constant.ty).chain(value).collect()
}

/// A library: its declarations and those that they are on top of.
pub(crate) struct Library<'l> {
    pub(crate) terms: &'l Terms,
    pub(crate) declarations: &'l Declarations,
    /// The part of the declarations' base that is the toolchain's; `None`: nothing of the toolchain has been read.
    toolchain: Option<&'l Base>,
    axioms: HashSet<NameId>,
    /// Steps that are left.
    steps: usize,
    uses: HashMap<NameId, Rc<[NameId]>>,
}

impl<'l> Library<'l> {
    /// `axioms` are the names of [`TOOLCHAIN_AXIOMS`].
    pub(crate) fn new(
        terms: &'l Terms,
        declarations: &'l Declarations,
        toolchain: Option<&'l Base>,
        axioms: HashSet<NameId>,
    ) -> Self {
        Self { terms, declarations, toolchain, axioms, steps: MOST_STEPS, uses: HashMap::new() }
    }

    /// The library's constant of this name; of the toolchain's there is none.
    pub(crate) fn constant(&self, name: NameId) -> Option<Constant<'l>> {
        match self.toolchain {
            Some(toolchain) if toolchain.declares(name) => None,
            _ => self.declarations.constant(name),
        }
    }

    /// The axioms behind a name of the toolchain, as far as what was read of it shows them.
    pub(crate) fn toolchain_axioms(&self, name: NameId) -> Vec<NameId> {
        match self.toolchain {
            Some(toolchain) => toolchain.axioms(name).to_vec(),
            None if self.axioms.contains(&name) => vec![name],
            None => Vec::new(),
        }
    }

    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), TooLarge> {
        self.steps = self.steps.checked_sub(steps).ok_or(TooLarge)?;
        Ok(())
    }

    /// The constants that terms name, split-off ones among them and not looked through.
    pub(crate) fn names_in(&mut self, terms: &[ExprId]) -> Result<Vec<NameId>, TooLarge> {
        let (names, looked_at) = self.terms.names_in(terms.iter().copied());
        self.spend(looked_at)?;
        Ok(names)
    }

    /// The constants that terms name; split-off ones are looked through, proofs among them as far as what they prove.
    pub(crate) fn uses(&mut self, terms: &[ExprId]) -> Result<Vec<NameId>, TooLarge> {
        let (mut found, mut through) = (Vec::new(), HashSet::new());
        let mut todo = self.names_in(terms)?;
        while let Some(name) = todo.pop() {
            if !self.is_inlined(name) {
                found.push(name);
            } else if through.insert(name) {
                todo.extend(self.inlined_uses(name)?.iter());
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Whether a name is a library constant's that counts by its content: a definition or a theorem, of which two with the same content
    /// are the same. Two opaque constants are not, and the constructors of an inductive type are no part of it; Lean would choose no such
    /// names for them.
    pub(crate) fn is_inlined(&self, name: NameId) -> bool {
        let kinds = [ConstantKind::Definition, ConstantKind::Theorem];
        names::is_inlined(self.terms, name)
            && self.constant(name).is_some_and(|constant| kinds.contains(&constant.kind))
    }

    /// The constants that stand in what an inlined one is.
    pub(crate) fn inlined_uses(&mut self, name: NameId) -> Result<Rc<[NameId]>, TooLarge> {
        if let Some(known) = self.uses.get(&name) {
            return Ok(known.clone());
        }
        let terms = self.constant(name).map_or_else(Vec::new, |constant| said(&constant));
        let uses: Rc<[NameId]> = self.names_in(&terms)?.into();
        self.uses.insert(name, uses.clone());
        Ok(uses)
    }

    /// Names as texts, sorted.
    pub(crate) fn texts(&self, names: impl IntoIterator<Item = NameId>) -> Vec<String> {
        let mut texts: Vec<String> = names.into_iter().map(|name| names::text(self.terms, name)).collect();
        texts.sort();
        texts
    }
}
