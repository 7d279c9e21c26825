//! A set of declarations over a base, not yet checked.

use std::sync::Arc;

use crate::base::{Base, BaseId};
use crate::declaration::{Declaration, Inductive, Signature};
use crate::environment::{Const, Decl, Environment, Kind, Layer};
use crate::known::OpSet;
use crate::term::{ANONYMOUS, ExprId, NameId, Terms};

/// Numbers of parameters, fields and the like in a declaration.
const MAX_COUNT: u32 = 1 << 20;
/// Declarations of one set.
const MAX_DECLARATIONS: usize = 1 << 28;

/// Why a declaration cannot be added to a set. All of these are grounds to reject the whole set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DeclareError {
    /// The name is taken in this set.
    #[error("{0} is declared twice")]
    Twice(String),
    /// The base declares the name, differently.
    #[error("{0} differs from the declaration that the base has")]
    DiffersFromBase(String),
    /// An inductive block shares only some names with the base.
    #[error("{0} is not part of the declaration that the base has")]
    NotInBase(String),
    /// A declaration must have a name.
    #[error("a declaration without a name")]
    Anonymous,
    /// An id that the terms have not given out.
    #[error("an id that has not been given out")]
    UnknownId,
    /// A type or value with a bound variable without a binder.
    #[error("{0}: a bound variable without a binder")]
    LooseVariable(String),
    /// A number of parameters, fields, … is absurd, or there are too many declarations.
    #[error("{0}: a number is too big")]
    TooBig(String),
    /// An inductive block without a type.
    #[error("an inductive block without a type")]
    EmptyBlock,
}

/// Was it new?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    /// It will be checked.
    New,
    /// The base has the very same declaration.
    InBase,
}

/// Declarations to be checked together, in order: each may use those before it and the base.
#[derive(Clone)]
pub struct Declarations {
    pub(crate) over: BaseId,
    pub(crate) base: Environment,
    pub(crate) ops: OpSet,
    pub(crate) layer: Layer,
}

impl Declarations {
    /// No declarations yet.
    pub fn over(base: &Base) -> Declarations {
        let environment = base.environment().clone();
        let layer = Layer { first: environment.len(), ..Layer::default() };
        Declarations { over: base.id(), base: environment, ops: base.ops(), layer }
    }

    /// Adds a declaration made of ids of `terms`, which must be terms over the same base.
    ///
    /// # Errors
    /// [`DeclareError`]: it cannot be part of this set.
    pub fn add(&mut self, terms: &Terms, declaration: Declaration) -> Result<Added, DeclareError> {
        match declaration {
            Declaration::Axiom(s) => self.add_one(terms, &s, Kind::Axiom),
            Declaration::Definition { signature, value, height } => {
                self.add_one(terms, &signature, Kind::Def { value, height })
            }
            Declaration::Theorem { signature, value } => self.add_one(terms, &signature, Kind::Thm { value }),
            Declaration::Opaque { signature, value } => {
                self.add_one(terms, &signature, Kind::Opaque { value })
            }
            Declaration::Quotient { signature, part } => self.add_one(terms, &signature, Kind::Quot(part)),
            Declaration::Inductive(block) => self.add_block(terms, &block),
        }
    }

    /// Number of declarations.
    pub fn len(&self) -> usize {
        self.layer.decls.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.layer.decls.is_empty()
    }

    /// The names that are declared here, in order.
    pub fn names(&self) -> impl Iterator<Item = NameId> + '_ {
        self.layer.consts.iter().map(|c| c.name)
    }

    /// The declarations, in order.
    pub fn iter(&self) -> impl Iterator<Item = Declaration> + '_ {
        let first = |d: &Decl| self.layer.consts[d.range()].first().map(|c| c.name);
        self.layer.decls.iter().filter_map(first).filter_map(|name| self.get(name))
    }

    /// Is the name declared here?
    pub fn declares(&self, name: NameId) -> bool {
        self.layer.by_name.contains_key(&name)
    }

    /// The declaration that brings a name, here or in the base.
    pub fn get(&self, name: NameId) -> Option<Declaration> {
        let c = self.find(name)?;
        let value = |v: ExprId| (c.signature(), v);
        Some(match &c.kind {
            Kind::Axiom | Kind::Given => Declaration::Axiom(c.signature()),
            Kind::Def { value: v, height } => {
                let (signature, value) = value(*v);
                Declaration::Definition { signature, value, height: *height }
            }
            Kind::Thm { value: v } => {
                let (signature, value) = value(*v);
                Declaration::Theorem { signature, value }
            }
            Kind::Opaque { value: v } => {
                let (signature, value) = value(*v);
                Declaration::Opaque { signature, value }
            }
            Kind::Quot(part) => Declaration::Quotient { signature: c.signature(), part: *part },
            Kind::Induct(_) | Kind::Ctor(_) | Kind::Rec(_) => Declaration::Inductive(self.block_of(c)),
        })
    }

    pub(crate) fn find(&self, n: NameId) -> Option<&Const> {
        self.layer.find(n).or_else(|| self.base.find(n))
    }

    /// The constants of the declaration that `c` belongs to.
    pub(crate) fn siblings(&self, c: &Const) -> &[Const] {
        match c.decl.checked_sub(self.layer.first) {
            Some(k) => self.layer.decls.get(k as usize).map_or(&[], |d| &self.layer.consts[d.range()]),
            None => self.base.consts_of(c.decl),
        }
    }

    fn block_of(&self, c: &Const) -> Inductive {
        crate::environment::block(self.siblings(c))
    }

    /// The base and, on top, these.
    pub(crate) fn environment(&self) -> Environment {
        let mut env = self.base.clone();
        env.push(Arc::new(self.layer.clone()));
        env
    }

    fn add_one(&mut self, terms: &Terms, signature: &Signature, kind: Kind) -> Result<Added, DeclareError> {
        let c = Const::new(signature, kind, self.next());
        self.add_all(terms, vec![c], None)
    }

    fn next(&self) -> u32 {
        self.layer.first + self.layer.decls.len() as u32
    }

    fn add_block(&mut self, terms: &Terms, block: &Inductive) -> Result<Added, DeclareError> {
        let next = self.next();
        let mut consts: Vec<Const> =
            block.types.iter().map(|t| Const::new(&t.signature, t.into(), next)).collect();
        let types = consts.len();
        consts.extend(block.constructors.iter().map(|c| Const::new(&c.signature, c.into(), next)));
        let ctors = consts.len();
        consts.extend(block.recursors.iter().map(|r| Const::new(&r.signature, r.into(), next)));
        if types == 0 {
            return Err(DeclareError::EmptyBlock);
        }
        self.add_all(terms, consts, Some([types, ctors]))
    }

    fn add_all(
        &mut self,
        terms: &Terms,
        consts: Vec<Const>,
        block: Option<[usize; 2]>,
    ) -> Result<Added, DeclareError> {
        if self.layer.decls.len() + consts.len() > MAX_DECLARATIONS {
            return Err(DeclareError::TooBig("the set".to_owned()));
        }
        for c in &consts {
            valid(terms, c)?;
        }
        if consts.iter().any(|c| self.base.find(c.name).is_some()) {
            return self.same_as_base(terms, &consts);
        }
        let from = self.layer.consts.len();
        for (i, c) in consts.iter().enumerate() {
            let twice = consts[..i].iter().any(|d| d.name == c.name);
            if twice || self.layer.by_name.contains_key(&c.name) {
                return Err(DeclareError::Twice(terms.show(c.name)));
            }
        }
        for c in consts {
            self.layer.by_name.insert(c.name, self.layer.consts.len() as u32);
            self.layer.consts.push(c);
        }
        let at = |i: usize| (from + i) as u32;
        self.layer.decls.push(match block {
            None => Decl::One(at(0)),
            Some([types, ctors]) => {
                Decl::Block([at(0), at(types), at(ctors), self.layer.consts.len() as u32])
            }
        });
        Ok(Added::New)
    }

    /// What the base has may be declared again if it is the same to the id, all of it.
    fn same_as_base(&self, terms: &Terms, consts: &[Const]) -> Result<Added, DeclareError> {
        for c in consts {
            match self.base.find(c.name) {
                None => return Err(DeclareError::NotInBase(terms.show(c.name))),
                Some(b) if !b.same(c) => return Err(DeclareError::DiffersFromBase(terms.show(c.name))),
                Some(_) => {}
            }
        }
        Ok(Added::InBase)
    }

    /// Marks axiom lines as what a trusted library really has there: theorems and definitions that came without their values.
    pub(crate) fn mark_given(&mut self, given: impl Fn(NameId) -> bool) {
        for c in &mut self.layer.consts {
            if c.kind == Kind::Axiom && given(c.name) {
                c.kind = Kind::Given;
            }
        }
    }
}

/// Ids are given out, terms are closed, numbers are such that no sum of them overflows.
fn valid(terms: &Terms, c: &Const) -> Result<(), DeclareError> {
    let mut names = vec![c.name];
    names.extend(&c.params);
    let mut counts = vec![c.params.len() as u32];
    match &c.kind {
        Kind::Induct(i) => {
            names.extend(i.all.iter().chain(&i.ctors));
            counts.extend([i.nparams, i.nindices, i.nested]);
        }
        Kind::Ctor(d) => {
            names.push(d.induct);
            counts.extend([d.cidx, d.nparams, d.nfields]);
        }
        Kind::Rec(r) => {
            names.extend(r.all.iter().copied().chain(r.rules.iter().map(|r| r.constructor)));
            counts.extend([r.nparams, r.nindices, r.nmotives, r.nminors]);
            counts.extend(r.rules.iter().map(|r| r.num_fields));
        }
        Kind::Axiom
        | Kind::Given
        | Kind::Def { .. }
        | Kind::Thm { .. }
        | Kind::Opaque { .. }
        | Kind::Quot(_) => {}
    }
    let exprs = c.exprs();
    if names.iter().any(|n| !terms.has_name(*n)) || exprs.iter().any(|e| !terms.has_expr(*e)) {
        return Err(DeclareError::UnknownId);
    }
    if c.name == ANONYMOUS {
        return Err(DeclareError::Anonymous);
    }
    if exprs.iter().any(|e| !terms.closed(*e)) {
        return Err(DeclareError::LooseVariable(terms.show(c.name)));
    }
    if counts.iter().any(|n| *n > MAX_COUNT) {
        return Err(DeclareError::TooBig(terms.show(c.name)));
    }
    Ok(())
}
