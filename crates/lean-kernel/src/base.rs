//! A library that later declarations may rest on.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::axioms;
use crate::declarations::Declarations;
use crate::environment::{Environment, Layer};
use crate::inductive;
use crate::known::{Known, OPS, OpSet};
use crate::limits::Limits;
use crate::ndjson::{Bounds, ReadError, Reader};
use crate::term::{NameId, Tables, Terms};
use crate::verdict::{Certified, Verdict, undecided};
use crate::{Inductive, stack};

/// Tells bases apart, so that the ids of one are never taken for those of another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BaseId(u64);

impl BaseId {
    fn next() -> BaseId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        BaseId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
    /// Of terms that belong to no base.
    pub fn none() -> BaseId {
        BaseId(0)
    }
}

/// Declarations that need no check any more: a trusted library, or what [`check`](crate::check) accepted on top of one.
///
/// Immutable and cheap to clone; all clones and all checks share its terms.
#[derive(Clone)]
pub struct Base {
    id: BaseId,
    tables: Vec<Arc<Tables>>,
    known: Known,
    environment: Environment,
    /// Operations on numbers that may be computed.
    ops: OpSet,
}

impl Base {
    /// Nothing but the names that the kernel knows. What is checked over it stands on its own.
    pub fn empty() -> Base {
        let mut terms = Terms::root();
        Base {
            id: BaseId::next(),
            tables: terms.freeze(),
            known: terms.known,
            environment: Environment::default(),
            ops: OpSet::default(),
        }
    }

    /// Reads a library that is trusted, in lean4export's format. Nothing in it is checked but its form.
    ///
    /// Libraries come without proofs where a Lean installation does not ship them: their theorems are `axiom` lines. `kinds`, a list that the
    /// exporter writes beside such a file, says what each `axiom` line really is; without it all of them are axioms. Operations on
    /// numbers are what their names say.
    ///
    /// # Errors
    /// [`ReadError`] with the line, when the file or the list is not what it must be.
    pub fn load(
        library: &mut dyn BufRead,
        kinds: Option<&mut dyn BufRead>,
        bounds: &Bounds,
    ) -> Result<Base, ReadError> {
        let empty = Base::empty();
        let mut reader = Reader::new(&empty, bounds);
        reader.read(library)?;
        if let Some(kinds) = kinds {
            reader.read_given(kinds)?;
        }
        let (terms, declarations) = reader.finish();
        Ok(empty.trusting(terms, declarations))
    }

    /// [`Base::load`] of a library all of whose `axiom` lines are constants without their values, but for `axioms`, by full name.
    ///
    /// # Errors
    /// As [`Base::load`].
    pub fn load_statements(
        library: &mut dyn BufRead,
        axioms: &[&str],
        bounds: &Bounds,
    ) -> Result<Base, ReadError> {
        let empty = Base::empty();
        let mut reader = Reader::new(&empty, bounds);
        reader.read(library)?;
        let (mut terms, mut declarations) = reader.finish();
        let axioms: Vec<_> = axioms.iter().map(|name| terms.path(name)).collect();
        declarations.mark_given(|name| !axioms.contains(&name));
        Ok(empty.trusting(terms, declarations))
    }

    fn trusting(&self, mut terms: Terms, declarations: Declarations) -> Base {
        let mut ops = self.ops;
        for (op, path) in OPS {
            if declarations.declares(terms.path(path)) {
                ops.insert(op);
            }
        }
        self.with(&mut terms, declarations.layer, ops)
    }

    /// This base and what was certified on top of it. Cheap: nothing of the base is copied.
    ///
    /// `None` if `certified` was checked over another base: its ids mean nothing here.
    pub fn extend(&self, certified: &Certified) -> Option<Base> {
        (certified.over == self.id).then(|| {
            let mut environment = certified.environment.clone();
            environment.merge();
            Base {
                id: BaseId::next(),
                tables: certified.tables.clone(),
                known: self.known,
                environment,
                ops: certified.ops,
            }
        })
    }

    /// A base whose tables and constants are these, with their axioms.
    pub(crate) fn thawed(mut terms: Terms, layer: Layer, ops: OpSet) -> Base {
        let mut environment = Environment::default();
        environment.push(Arc::new(layer));
        Base { id: BaseId::next(), tables: terms.freeze(), known: terms.known, environment, ops }
    }

    fn with(&self, terms: &mut Terms, mut layer: Layer, ops: OpSet) -> Base {
        let tables = terms.freeze();
        let mut environment = self.environment.clone();
        layer.axioms = axioms::of_layer(&environment, &layer, terms);
        environment.push(Arc::new(layer));
        environment.merge();
        Base { id: BaseId::next(), tables, known: self.known, environment, ops }
    }

    /// Terms over this base, to make declarations of.
    pub fn terms(&self) -> Terms {
        self.terms_within(&Limits { terms: u32::MAX / 4, ..Limits::default() })
    }

    /// Terms over this base with other bounds: `terms`, `term_depth` and `bits` of `limits` count.
    pub fn terms_within(&self, limits: &Limits) -> Terms {
        let limits = Limits { steps: u64::MAX, ..limits.clone() };
        Terms::over(self.id, self.tables.clone(), self.known, &limits)
    }

    /// Number of declarations.
    pub fn len(&self) -> usize {
        self.environment.len() as usize
    }

    /// Does it declare this name?
    pub fn declares(&self, name: NameId) -> bool {
        self.environment.find(name).is_some()
    }

    /// The axioms that a declaration rests on, at any depth; of what is not declared here, none.
    pub fn axioms(&self, name: NameId) -> &[NameId] {
        let found = self.environment.find(name).and_then(|c| self.environment.axioms_of(c.decl));
        found.map_or(&[], |axioms| axioms)
    }

    /// Is nothing declared?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn tables(&self) -> &[Arc<Tables>] {
        &self.tables
    }

    pub(crate) fn ops(&self) -> OpSet {
        self.ops
    }

    pub(crate) fn id(&self) -> BaseId {
        self.id
    }
}

/// Fills in what a block's types and constructors leave no choice in: `all`, flags, numbers of indices and fields, and the
/// recursors. Of the types, signatures, `num_params` and constructor names are read; of the constructors, signatures.
///
/// `declarations` is what the block rests on; it is believed here, and checked when it is checked.
///
/// # Errors
/// The [`Verdict`] that says why there is no such block.
pub fn complete(
    terms: &mut Terms,
    declarations: &Declarations,
    block: &Inductive,
    limits: &Limits,
) -> Result<Inductive, Verdict> {
    let name = block.types.first().map_or_else(String::new, |t| terms.show(t.signature.name));
    let tables = terms.freeze();
    let known = terms.known;
    let environment = declarations.environment();
    let before = environment.len();
    let made = stack::run(limits, || {
        let mut ck = crate::checker::Checker::new(tables, known, &environment, declarations.ops, limits);
        ck.reset(before, limits.steps);
        ck.params = block.types.first().map(|t| t.signature.universe_params.clone()).unwrap_or_default();
        let made = inductive::complete(&mut ck, block);
        let made = ck.sound().and(made);
        // The terms that were made are the checker's own: they are kept by taking its layer over.
        made.map(|m| (m, ck.t.freeze()))
    });
    match made {
        Some(Ok((block, tables))) => {
            terms.adopt(tables);
            Ok(block)
        }
        Some(Err(fault)) => Err(Verdict::from_fault(name, fault)),
        None => Err(undecided(name, crate::Limit::Fault)),
    }
}
