//! What a declaration rests on at any depth, proofs included: axioms, and whose `sorry`.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use atlas_lean_kernel::{ConstantKind, ExprId, NameId};

use crate::library::{Library, TooLarge};
use crate::names;

/// A declaration, or a part of one, together with what Lean split off from it.
#[derive(Default)]
pub(crate) struct Piece {
    /// That it names itself, or that the toolchain's declarations rest on which it names.
    axioms: BTreeSet<NameId>,
    /// The other library declarations that it names.
    uses: Vec<NameId>,
}

/// What a declaration, or a part of one, rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Foundation {
    pub(crate) axioms: BTreeSet<NameId>,
    /// The declarations in it that name `sorryAx` themselves.
    pub(crate) sorry_from: BTreeSet<NameId>,
}

/// What has been walked.
pub(crate) struct Foundations {
    sorry: NameId,
    dependencies: HashMap<NameId, Rc<[NameId]>>,
    pieces: HashMap<NameId, Rc<Piece>>,
}

impl Foundations {
    /// `sorry` is the name `sorryAx`.
    pub(crate) fn new(sorry: NameId) -> Self {
        Self { sorry, dependencies: HashMap::new(), pieces: HashMap::new() }
    }

    /// What the declaration that brings `name` rests on.
    pub(crate) fn of(&mut self, library: &mut Library<'_>, name: NameId) -> Result<Foundation, TooLarge> {
        let piece = self.piece(library, unit(library, name))?;
        self.below(library, name, &piece)
    }

    /// What the terms, a part of the declaration that brings `name`, rest on.
    pub(crate) fn of_part(
        &mut self,
        library: &mut Library<'_>,
        name: NameId,
        terms: &[ExprId],
    ) -> Result<Foundation, TooLarge> {
        let names = library.names_in(terms)?;
        let piece = self.gather(library, unit(library, name), names)?;
        self.below(library, name, &piece)
    }

    fn below(
        &mut self,
        library: &mut Library<'_>,
        name: NameId,
        piece: &Piece,
    ) -> Result<Foundation, TooLarge> {
        let own = unit(library, name);
        let mut foundation = Foundation::default();
        let mut found = |owner: NameId, axioms: &BTreeSet<NameId>, sorry: NameId| {
            if axioms.contains(&sorry) {
                foundation.sorry_from.insert(owner);
            }
            foundation.axioms.extend(axioms);
        };
        found(own, &piece.axioms, self.sorry);
        let (mut seen, mut todo) = (HashSet::from([own]), piece.uses.clone());
        while let Some(at) = todo.pop() {
            if seen.insert(at) {
                let below = self.piece(library, at)?;
                library.spend(1 + below.uses.len())?;
                found(at, &below.axioms, self.sorry);
                todo.extend(&below.uses);
            }
        }
        Ok(foundation)
    }

    /// A library declaration with what Lean split off from it.
    fn piece(&mut self, library: &mut Library<'_>, own: NameId) -> Result<Rc<Piece>, TooLarge> {
        if let Some(known) = self.pieces.get(&own) {
            return Ok(known.clone());
        }
        let names = self.dependencies(library, own)?.to_vec();
        let mut piece = self.gather(library, own, names)?;
        if is_axiom(library, own) {
            piece.axioms.insert(own);
        }
        let piece = Rc::new(piece);
        self.pieces.insert(own, piece.clone());
        Ok(piece)
    }

    /// What a part of the declaration `own` consists of that names these constants. Whose an axiom is, `sorry` above all, follows from
    /// the way to it and not from names: Lean shares what it splits off between declarations and names it after the first, and anybody
    /// may name it. So it is a part of each that names it.
    fn gather(
        &mut self,
        library: &mut Library<'_>,
        own: NameId,
        mut todo: Vec<NameId>,
    ) -> Result<Piece, TooLarge> {
        let (mut piece, mut uses, mut seen) = (Piece::default(), BTreeSet::new(), HashSet::from([own]));
        while let Some(name) = todo.pop() {
            let at = unit(library, name);
            if !seen.insert(at) {
                continue;
            }
            library.spend(1)?;
            if library.constant(at).is_none() {
                piece.axioms.extend(library.toolchain_axioms(at));
            } else if names::is_split_off(library.terms, at) {
                todo.extend(self.dependencies(library, at)?.iter());
                if is_axiom(library, at) {
                    piece.axioms.insert(at);
                }
            } else {
                uses.insert(at);
            }
        }
        piece.uses = uses.into_iter().collect();
        Ok(piece)
    }

    /// Every constant that a library declaration names, its proof included.
    fn dependencies(&mut self, library: &mut Library<'_>, own: NameId) -> Result<Rc<[NameId]>, TooLarge> {
        if let Some(known) = self.dependencies.get(&own) {
            return Ok(known.clone());
        }
        let names: Rc<[NameId]> = library.names_in(&library.declarations.terms_of(own))?.into();
        self.dependencies.insert(own, names.clone());
        Ok(names)
    }
}

/// What stands for the whole declaration that brings a name: an inductive block is one.
fn unit(library: &Library<'_>, name: NameId) -> NameId {
    match library.constant(name) {
        Some(_) => library.declarations.first_of(name).unwrap_or(name),
        None => name,
    }
}

fn is_axiom(library: &Library<'_>, name: NameId) -> bool {
    library.constant(name).is_some_and(|constant| constant.kind == ConstantKind::Axiom)
}
