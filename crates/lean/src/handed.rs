//! What the session hands over, read: facts of the new declarations, or their text for the judge.

use std::collections::{BTreeSet, HashMap};

use atlas_judge::{Facts, LibraryFacts, TooLarge};
use atlas_lean_export::{Belonging, ExportError, Malformed, Objects, Twice, Walk, WalkError, export};
use atlas_lean_kernel::{ConstantKind, Declarations, Name, NameId, TermError, Terms};
use atlas_proto::Outcome;
use serde::{Deserialize, Serialize};

use crate::pipeline::Failure;

/// What the session handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Handed {
    /// The new declarations by name, in the order of the session's `declaration` frames.
    pub(crate) names: Vec<String>,
    /// New declarations that no kernel is asked about: unsafe and partial ones.
    pub(crate) unchecked: Vec<String>,
    pub(crate) declarations: Described,
}

/// The new declarations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Described {
    /// Facts of those that a person would name or that were asked for: good enough for agents.
    Facts(Vec<Facts>),
    /// All of them in lean4export's format, for the judge.
    Export(#[serde(with = "serde_bytes")] Vec<u8>),
}

impl Default for Described {
    fn default() -> Self {
        Self::Facts(vec![])
    }
}

/// Why what was handed over cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandedError {
    #[error(transparent)]
    Walk(#[from] WalkError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// What was handed over cannot be read, as the outcome of the check.
pub(crate) fn unreadable(what: &str, malformed: &HandedError) -> Failure {
    let fault = format!("{what}: the declarations cannot be read: {malformed}");
    Failure { outcome: Outcome::Crashed, fault }
}

impl From<Malformed> for HandedError {
    fn from(malformed: Malformed) -> Self {
        Self::Walk(malformed.into())
    }
}

impl From<TermError> for HandedError {
    fn from(error: TermError) -> Self {
        Self::Walk(error.into())
    }
}

/// Reads the pair that the session hands over: the new constants, and the data of the imported library modules. With `exported`
/// the new constants come as text, else as facts; `asked` are those that are described although Lean made them up.
pub(crate) fn read(
    heap: &dyn Objects,
    address: u32,
    exported: bool,
    asked: &BTreeSet<String>,
) -> Result<Handed, HandedError> {
    let new = heap.array(heap.field(address, 0)?)?;
    let mut walk = Walk::new(heap);
    let names = new.iter().map(|at| walk.name_of(*at)).collect::<Result<Vec<NameId>, _>>()?;
    let mut unchecked = vec![];
    for (name, at) in names.iter().zip(&new) {
        walk.constant(*at, Twice::Refused)?;
        if walk.is_unchecked(*at)? {
            unchecked.push(*name);
        }
    }
    if !exported {
        let modules = heap.array(heap.field(address, 1)?)?;
        Imported::new(&mut walk, heap, &modules)?.read_what_is_named(&mut walk)?;
    }
    let (mut terms, declarations) = walk.finish()?;
    // The twin of a definition by recursion that was made for the compiler is nobody's.
    unchecked.retain(|name| !is_companion(&terms, &declarations, *name));
    let text = |name: &NameId| atlas_judge::name_text(&terms, *name);
    let (texts, unchecked) = (names.iter().map(text).collect(), unchecked.iter().map(text).collect());
    let described = if exported {
        Described::Export(export(&terms, &declarations)?)
    } else {
        let mut library = LibraryFacts::new(&mut terms, &declarations, None)?;
        let mut facts = vec![];
        for name in names {
            if !library.is_auxiliary(name) || asked.contains(&library.text(name)) {
                facts.extend(library.facts(name)?);
            }
        }
        Described::Facts(facts)
    };
    Ok(Handed { names: texts, unchecked, declarations: described })
}

/// Whether a name is that of the unsafe twin of a definition by recursion. (Of a `partial` one the twin stands beside an opaque
/// constant: that is no definition.)
fn is_companion(terms: &Terms, declarations: &Declarations, name: NameId) -> bool {
    let Name::Str(of, last) = terms.get_name(name) else { return false };
    let definition = |of| declarations.constant(of).is_some_and(|c| c.kind == ConstantKind::Definition);
    terms.get_text(last) == "_unsafe_rec" && definition(of)
}

/// The constants of the imported library modules: most are nothing to what is new, and are not read.
#[derive(Default)]
struct Imported {
    /// What one declaration brings, by any of its names: a place in `units`.
    unit_of: HashMap<NameId, usize>,
    /// Addresses.
    units: Vec<Vec<u32>>,
}

impl Imported {
    /// Finds the constants of the `ModuleData`s at `modules`.
    fn new(walk: &mut Walk<'_>, heap: &dyn Objects, modules: &[u32]) -> Result<Self, HandedError> {
        let mut imported = Self::default();
        let mut later = vec![];
        for module in modules {
            for at in heap.array(heap.field(*module, 2)?)? {
                let (name, of) = (walk.name_of(at)?, walk.belongs_to(at)?);
                match of {
                    // Its type may come after it.
                    Belonging::ToType(ty) => later.push((at, name, ty)),
                    Belonging::ToBlock(first) => imported.add(at, name, first),
                    Belonging::Alone => imported.add(at, name, name),
                }
            }
        }
        for (at, name, ty) in later {
            imported.add(at, name, ty);
        }
        Ok(imported)
    }

    fn add(&mut self, at: u32, name: NameId, with: NameId) {
        let unit = match self.unit_of.get(&with) {
            Some(unit) => *unit,
            None => {
                self.units.push(vec![]);
                self.units.len() - 1
            }
        };
        self.unit_of.extend([(name, unit), (with, unit)]);
        self.units[unit].push(at);
    }

    /// Reads those that the walk has met by name, and what these name.
    fn read_what_is_named(mut self, walk: &mut Walk<'_>) -> Result<(), HandedError> {
        while let Some(name) = walk.named.pop() {
            let Some(unit) = self.unit_of.get(&name) else { continue };
            for at in std::mem::take(&mut self.units[*unit]) {
                walk.constant(at, Twice::LeftOut)?;
            }
        }
        Ok(())
    }
}
