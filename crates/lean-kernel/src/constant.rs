//! A constant of a set of declarations as others read it.

use crate::declarations::Declarations;
use crate::environment::{Const, Kind};
use crate::term::{ExprId, NameId};

/// What a constant is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConstantKind {
    /// Without a value, and so believed.
    Axiom,
    /// A theorem, definition or opaque constant of a trusted library that came without its value.
    Given,
    /// Unfolds to its value.
    Definition,
    /// Has a proof.
    Theorem,
    /// Has a value and never unfolds to it.
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

/// A constant, borrowed from the set that declares it.
#[derive(Clone, Copy, Debug)]
pub struct Constant<'d> {
    /// What it is.
    pub kind: ConstantKind,
    /// Its universe parameters.
    pub universe_params: &'d [NameId],
    /// Its type.
    pub ty: ExprId,
    /// Its value or proof.
    pub value: Option<ExprId>,
    /// The constructors of an inductive type.
    pub constructors: &'d [NameId],
    /// The type of a constructor.
    pub inductive: Option<NameId>,
    /// Parameters of an inductive type or a constructor.
    pub num_params: u32,
}

impl Declarations {
    /// The constant of this name, here or in the base.
    pub fn constant(&self, name: NameId) -> Option<Constant<'_>> {
        let c = self.find(name)?;
        let plain = |kind, value| Constant {
            kind,
            universe_params: &c.params,
            ty: c.ty,
            value,
            constructors: &[],
            inductive: None,
            num_params: 0,
        };
        Some(match &c.kind {
            Kind::Axiom => plain(ConstantKind::Axiom, None),
            Kind::Given => plain(ConstantKind::Given, None),
            Kind::Def { value, .. } => plain(ConstantKind::Definition, Some(*value)),
            Kind::Thm { value } => plain(ConstantKind::Theorem, Some(*value)),
            Kind::Opaque { value } => plain(ConstantKind::Opaque, Some(*value)),
            Kind::Quot(_) => plain(ConstantKind::Quotient, None),
            Kind::Induct(i) => Constant {
                constructors: &i.ctors,
                num_params: i.nparams,
                ..plain(ConstantKind::Inductive, None)
            },
            Kind::Ctor(d) => Constant {
                inductive: Some(d.induct),
                num_params: d.nparams,
                ..plain(ConstantKind::Constructor, None)
            },
            Kind::Rec(_) => plain(ConstantKind::Recursor, None),
        })
    }

    /// The first name of the declaration that brings `name`: of an inductive block its first type.
    pub fn first_of(&self, name: NameId) -> Option<NameId> {
        self.siblings(self.find(name)?).first().map(|c| c.name)
    }

    /// All terms of the declaration that brings a name: types, values, rules of recursors.
    pub fn terms_of(&self, name: NameId) -> Vec<ExprId> {
        self.find(name).map_or_else(Vec::new, |c| self.siblings(c).iter().flat_map(Const::exprs).collect())
    }
}
